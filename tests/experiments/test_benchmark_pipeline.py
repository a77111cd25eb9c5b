"""The benchmark: verified rows only, written as they come, merged, and never lost."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import _benchmark
import _benchmark_jobs
import _benchmark_measure
import _benchmark_tables
import _networks
import pytest
from _benchmark import FAILED, MEASURED, SKIPPED, Results
from _script import UsageError

from jaxstark import ProvingError
from tests.experiments.test_scripts import CACHED, USAGE, assert_one_sentence, last, script
from tests.experiments.test_scripts import FAILED as EXIT_FAILED

pytest.importorskip("numba", reason="numba is missing: the executor was not run")
pytest.importorskip("jax")

QUICK = ["--warm_runs=2", "--pow_runs=2", "--params=published", "--noplot", CACHED]
SMALL = [*QUICK, "--log_sizes=6", "--vm_log_sizes=6"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One run over most sections: its document, what it printed, its file."""
    out = tmp_path_factory.mktemp("benchmark") / "results.json"
    done = script(
        "benchmark_pipeline",
        *SMALL,
        "--sections=legacy26,vm,throughput",
        "--sources=device,numpy,pinned",
        "--throughput_params=published",
        "--throughput_log_size=6",
        "--proofs=3",
        "--batches=2",
        f"--out={out}",
    )
    return json.loads(out.read_text()), done, out


def row_of(document: dict, section: str, workload: str, source: str) -> dict:
    found = [
        row
        for row in document["rows"]
        if (row["section"], row["workload"], row["source"]) == (section, workload, source)
    ]
    assert len(found) == 1
    return found[0]


def test_every_workload_and_source_has_a_verified_row(measured):
    document, done, _ = measured
    assert last(done)["measured"] == len(document["rows"]) == 9
    assert document["schema"] == _benchmark.SCHEMA
    for row in document["rows"]:
        assert row["status"] == MEASURED and row["verified"] is True
        assert row["insecure"] is True and row["security"]["formula"]["total"] == 13.0
        assert (row["platform"], row["implementation"]) == ("cpu", "xla")
        assert set(row["provenance"].values()) == {"xla"}
        assert len(row["sha256"]) == 64 and row["bytes"] > 1000
        assert row["times_limit"] > 1 and row["target"] is None
        assert document["runs"][row["run"]]["environment"]["platform"] == "cpu"


def test_a_proof_row_has_times_stages_and_limits(measured):
    row = row_of(measured[0], "proof", "legacy26", "device")
    seconds = row["seconds"]
    assert seconds["warm"]["runs"] == 2
    assert seconds["warm"]["min"] <= seconds["warm"]["median"] <= seconds["warm"]["max"]
    assert seconds["stages_sum"] == pytest.approx(sum(seconds["stages"].values()), abs=1e-5)
    assert {"commit trace", "FRI", "open"} <= set(seconds["stages"])
    total = seconds["with_proof_of_work"]
    assert total["runs"] == 2 and total["expected_nonces"] == 1024 and total["mean_nonces"] >= 1
    assert total["min"] <= total["mean"] <= total["max"]
    for name in ("execute", "trace", "verify"):
        assert seconds[name]["median"] > 0
    assert row["limit"]["seconds"] == pytest.approx(
        sum(s for n, s in row["limit"]["stages"].items() if "grinding" not in n), rel=0.01
    )
    assert row["committed_cells"] == 26 * 64 and row["steps"] == 64
    assert row["times_limit"] == pytest.approx(
        seconds["warm"]["median"] / row["limit"]["seconds"], rel=0.01
    )


def test_the_source_does_not_change_the_proof(measured):
    for workload in ("legacy26", "vm"):
        rows = [row_of(measured[0], "proof", workload, s) for s in ("device", "numpy", "pinned")]
        assert len({row["sha256"] for row in rows}) == 1


@pytest.mark.slow
def test_inference_from_a_file_of_samples(tmp_path):
    rows = ["5.1,3.5,1.4,0.2", "6.0,2.9,4.5,1.5"] * 10
    (tmp_path / "iris.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "results.json"
    args = ["--sections=inference", "--networks=iris", f"--samples={tmp_path}", f"--out={out}"]
    assert last(script("benchmark_pipeline", *QUICK, *args))["measured"] == 2
    device, numpy = json.loads(out.read_text())["rows"]
    assert device["sha256"] == numpy["sha256"]
    assert device["facts"] == {"samples": [17, 18], "classes": [1]}
    assert device["steps"] > 200


def test_throughput_is_of_different_complete_proofs(measured):
    row = row_of(measured[0], "throughput", "legacy26", "device")
    assert row["proofs"] == 3 and row["batch"] == 2
    assert row["per_second"] == pytest.approx(3 / row["seconds"]["warm"]["median"], rel=0.01)
    assert row["limit"]["proof_of_work"] > 0
    row_of(measured[0], "throughput", "legacy26", "execution")


def test_the_tables_are_printed(measured):
    _, done, _ = measured
    for words in (
        "not measured: transcript: expected 'host'",
        "complete proofs, milliseconds; cpu/xla",
        "proofs per second; cpu/xla",
        "sum, stage by stage",
        "13/11/11*!",
        "limit: bytes and hashes at 4.3 TB/s and 20.6 G compressions/s",
    ):
        assert words in done.stdout


def test_append_merges_and_a_new_run_does_not_overwrite(measured, tmp_path):
    document, _, first = measured
    out = tmp_path / "results.json"
    out.write_text(first.read_text())
    again = ["--sections=legacy26", "--sources=device", f"--out={out}", *SMALL[:-1]]
    error = assert_one_sentence(script("benchmark_pipeline", *again), USAGE)
    assert "--out: expected a new file, or --append" in error
    assert json.loads(out.read_text()) == document
    row = last(script("benchmark_pipeline", *again, "--append", "--log_sizes=6,7"))
    assert (row["measured"], row["rows"]) == (2, 10)
    merged = json.loads(out.read_text())
    assert [run["arguments"] for run in merged["runs"]][1][-2:] == ["--append", "--log_sizes=6,7"]
    assert row_of(merged, "proof", "vm", "numpy")["run"] == 0
    new = [r for r in merged["rows"] if r["run"] == 1]
    assert [(r["workload"], r["log_size"]) for r in new] == [("legacy26", 6), ("legacy26", 7)]
    assert row_of(document, "proof", "legacy26", "device")["sha256"] == new[0]["sha256"]


@pytest.mark.parametrize("workload", ["legacy26", pytest.param("vm", marks=pytest.mark.slow)])
def test_first_proofs_come_from_fresh_processes(workload, tmp_path):
    out = tmp_path / "results.json"
    row = last(
        script(
            "benchmark_pipeline",
            "--sections=cold",
            f"--cold_workloads={workload}",
            "--cold_log_sizes=6",
            *QUICK,
            "--implementation=xla",
            f"--out={out}",
        )
    )
    assert row["measured"] == 2
    empty, filled = json.loads(out.read_text())["rows"]
    assert (empty["cache"], filled["cache"]) == ("empty", "filled")
    assert empty["sha256"] == filled["sha256"] and empty["workload"] == workload
    assert empty["sound_air"] is (workload == "vm")
    for row in (empty, filled):
        parts = [row["seconds"][name] for name in ("start", "device", "trace", "proof")]
        assert row["seconds"]["to_proof"] == pytest.approx(sum(parts), abs=0.01)
    assert filled["seconds"]["proof"] < empty["seconds"]["proof"]


REFUSE = (
    "import jaxstark\n"
    "real, calls = jaxstark.verify, []\n"
    "def refuse(*args, **options):\n"
    "    calls.append(1)\n"
    "    if len(calls) > {allowed}:\n"
    "        raise jaxstark.VerificationError('fri', 'refused by the test')\n"
    "    real(*args, **options)\n"
    "jaxstark.verify = refuse"
)


def test_a_proof_that_does_not_verify_ends_the_run_and_keeps_earlier_rows(tmp_path):
    out = tmp_path / "results.json"
    args = ["--sections=legacy26", *SMALL, f"--out={out}"]
    # A row takes one verification of warm proofs, and one of each complete proof and the first.
    done = script("benchmark_pipeline", *args, before=REFUSE.format(allowed=4))
    assert "refused by the test" in assert_one_sentence(done, EXIT_FAILED)
    rows = json.loads(out.read_text())["rows"]
    assert [(row["source"], row["status"]) for row in rows] == [("device", MEASURED)]


def test_no_row_without_verification(tmp_path):
    out = tmp_path / "results.json"
    args = ["--sections=legacy26", *SMALL, f"--out={out}"]
    for allowed in (0, 3):
        done = script("benchmark_pipeline", *args, before=REFUSE.format(allowed=allowed))
        assert "refused by the test" in assert_one_sentence(done, EXIT_FAILED)
        assert not out.exists()


def test_a_run_that_is_killed_between_rows_keeps_them(tmp_path):
    out = tmp_path / "results.json"
    kill = (
        "import os, _benchmark\n"
        "write = _benchmark.Results.write\n"
        "def once(self):\n"
        "    write(self)\n"
        "    os._exit(9)\n"
        "_benchmark.Results.write = once"
    )
    args = ["--sections=legacy26", *SMALL, f"--out={out}"]
    assert script("benchmark_pipeline", *args, before=kill).returncode == 9
    assert [row["source"] for row in _benchmark.load(out)["rows"]] == ["device"]
    assert list(tmp_path.iterdir()) == [out]
    row = last(script("benchmark_pipeline", *args, "--append", "--sources=numpy"))
    assert (row["measured"], row["rows"]) == (1, 2)


def test_missing_data_sets_and_late_rows_are_reported(tmp_path):
    out = tmp_path / "results.json"
    absent = "import sys\nsys.modules['sklearn'] = None"
    args = ["--sections=inference", *QUICK, "--sources=device", f"--out={out}"]
    done = script("benchmark_pipeline", *args, before=absent)
    assert last(done)["skipped"] == 2
    rows = json.loads(out.read_text())["rows"]
    assert [row["workload"] for row in rows] == ["iris", "digits"]
    assert all("scikit-learn, which is not installed" in row["reason"] for row in rows)
    assert "skipped: proof iris published host device: the iris data" in done.stdout

    slow = "import time\nnow = time.perf_counter\ntime.perf_counter = lambda: 50 * now()"
    late = ["--sections=legacy26", "--deadline=1", "--append", *args[1:]]
    assert last(script("benchmark_pipeline", *late, before=slow))["skipped"] == 6


def test_what_the_prover_refuses_is_a_failed_row_and_exit_code_1(tmp_path):
    out = tmp_path / "results.json"
    full = (
        "import jaxstark\n"
        "real = jaxstark.compile\n"
        "def refuse(shape, *args, **options):\n"
        "    if shape.log_size == 6:\n"
        "        raise ValueError('memory: expected 9 GB,\\n got 8')\n"
        "    return real(shape, *args, **options)\n"
        "jaxstark.compile = refuse"
    )
    args = ["--sections=legacy26", *QUICK, "--log_sizes=6,7", f"--out={out}"]
    done = script("benchmark_pipeline", *args, before=full)
    assert done.returncode == EXIT_FAILED and "Traceback" not in done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert [(r["log_size"], r["source"], r["status"]) for r in rows] == [
        (6, "device", FAILED),
        (6, "numpy", FAILED),
        (7, "device", MEASURED),
        (7, "numpy", MEASURED),
    ]
    assert rows[0]["reason"] == "memory: expected 9 GB, got 8"
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 2


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """One row with ``--submit``: its document and what was printed."""
    pytest.importorskip("starknet_py", reason="starknet-py is missing: nothing was submitted")
    out = tmp_path_factory.mktemp("submitted") / "results.json"
    args = ["--sections=legacy26", "--submit", *SMALL, f"--out={out}"]
    done = script("benchmark_pipeline", *args)
    return json.loads(out.read_text()), done


def test_submit_records_the_proof_of_every_row(submitted, measured):
    document, done = submitted
    assert last(done)["unrecorded"] == 0
    rows = document["rows"]
    assert [row["source"] for row in rows] == ["device", "numpy"]
    for row in rows:
        record = row["starknet"]
        assert (record["network"], record["status"]) == ("fake", "recorded")
        assert record["encoding"] == "limb248" and record["transactions"] == 1
        assert record["calldata_felts"] == [record["felts"]["limb248"] + 5]
        # The Cairo layout is behind a header of 8, a length of the statement, and one of the sums.
        assert record["felts"]["serde"] == row["felts"] + 8 + 2
        assert 0.8 < record["l2_gas"]["model"] / record["l2_gas"]["fake"] < 1.2
    assert rows[0]["starknet"]["digest"] == rows[1]["starknet"]["digest"]
    # It comes after the measurement and changes nothing in it.
    plain = row_of(measured[0], "proof", "legacy26", "device")
    assert set(rows[0]) == {*plain, "starknet"} and "starknet" not in plain
    assert rows[0]["sha256"] == plain["sha256"]
    assert set(rows[0]["seconds"]) == set(plain["seconds"])


def test_submit_adds_columns_to_the_table(submitted, measured):
    document, done = submitted
    felts = document["rows"][0]["starknet"]["felts"]["limb248"]
    heads, line = done.stdout.split("complete proofs, milliseconds")[1].splitlines()[1:3]
    assert heads.split()[-5:] == ["felts", "txs", "gas", "(model)", "status"]
    assert line.split()[-5:-3] == [str(felts), "1"] and line.split()[-1] == "recorded"
    assert f"felts {felts}, txs 1, gas (model)" in done.stdout
    assert "felts" not in measured[1].stdout


def test_a_proof_that_is_not_recorded_keeps_its_row_and_fails_the_run(tmp_path):
    pytest.importorskip("starknet_py", reason="starknet-py is missing: nothing was submitted")
    out = tmp_path / "results.json"
    broken = (
        "import _end_to_end\n"
        "from jaxstark.starknet.submission_error import SubmissionError\n"
        "def submit(*_):\n"
        "    raise SubmissionError('event: refused by\\n the test')\n"
        "_end_to_end.submit = submit"
    )
    args = ["--sections=legacy26", "--sources=device", "--submit", *SMALL, f"--out={out}"]
    done = script("benchmark_pipeline", *args, before=broken)
    assert done.returncode == EXIT_FAILED and "Traceback" not in done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["status"] == MEASURED and row["verified"]
    assert row["starknet"] == {
        "network": "fake",
        "status": "failed",
        "reason": "event: refused by the test",
    }
    assert json.loads(done.stdout.splitlines()[-1])["unrecorded"] == 1
    assert "status failed, event: refused by the test" in done.stdout


def test_submitting_needs_starknet_py(tmp_path):
    absent = "import sys\nsys.modules['starknet_py'] = None"
    args = ["--sections=legacy26", "--submit", *SMALL, f"--out={tmp_path / 'results.json'}"]
    error = assert_one_sentence(script("benchmark_pipeline", *args, before=absent), USAGE)
    assert "jaxstark[starknet]" in error
    assert list(tmp_path.iterdir()) == []


BAD = {
    "sections": (["--sections=all"], "--sections: expected some of cold, legacy26"),
    "log_sizes": (["--log_sizes=5"], "--log_sizes: expected integers in 6..24, got '5'"),
    "params": (["--params=fast"], "--params: expected some of published, stwo-96"),
    "no_source": (["--sources="], "--sources: expected at least one"),
    "transcripts": (["--transcripts=gpu"], "--transcripts: expected some of host, device"),
    "rate": (["--bandwidth=0"], "--bandwidth: expected a positive number, got 0"),
    "batches": (["--batches=0"], "--batches: expected integers in 1..4096, got '0'"),
    "runs": (["--warm_runs=0"], "warm_runs"),
    "submit": (["--submit", "--sections=throughput"], "--submit: expected a section among"),
    "kernels": (["--implementation=mosaic_gpu", "--sections=vm"], "got 'mosaic_gpu', but JAX"),
    "first": (["--cold_workloads=iris"], "--cold_workloads: expected some of legacy26, vm"),
    "cold": (["--transcripts=device", "--sections=cold"], "expected 'host' with implementation"),
    "device": (["--transcripts=device", "--sections=vm"], "expected 'host' with implementation"),
    "again": (
        ["--nokeep_evaluations", "--sections=vm"],
        "keep_evaluations: expected True with implementation 'xla'",
    ),
    "cold again": (["--nokeep_evaluations"], "expected other sections than cold, got cold"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence_and_exit_code_2(case, tmp_path):
    flags, words = BAD[case]
    out = tmp_path / "results.json"
    error = assert_one_sentence(script("benchmark_pipeline", *flags, f"--out={out}"), USAGE)
    assert words in error
    assert not out.exists()


def test_a_file_of_another_schema_is_left_alone(tmp_path):
    for name, text in (("models", '{"schema": "other/1"}'), ("text", "no JSON"), ("list", "[]")):
        out = tmp_path / f"{name}.json"
        out.write_text(text)
        for flags in (["--append", f"--out={out}"], [f"--plot_only={out}"]):
            error = assert_one_sentence(script("benchmark_pipeline", *flags), USAGE)
            assert "expected a results file of schema jaxstark-benchmark/1, got" in error
        assert out.read_text() == text


def test_the_picture_is_drawn_later(measured, tmp_path):
    pytest.importorskip("matplotlib")
    copied = tmp_path / "results.json"
    copied.write_text(measured[2].read_text())
    done = script("benchmark_pipeline", f"--plot_only={copied}")
    assert done.returncode == 0 and "picture: " in done.stdout, done.stderr
    assert copied.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_picture_is_left_out_in_a_line(measured):
    absent = "import sys\nsys.modules['matplotlib'] = None"
    done = script("benchmark_pipeline", f"--plot_only={measured[2]}", before=absent)
    assert done.returncode == 0 and "no picture: matplotlib is not installed" in done.stdout
    # All that a row has is printed: stages, memory, bytes.
    one = row_of(measured[0], "proof", "vm", "numpy")
    at = done.stdout.index("proof vm 2^6 published host numpy; cpu/xla")
    said = done.stdout[at:].split("\n\n")[0]
    assert one["sha256"] in said and f"{one['felts']} felts" in said
    for word in ("set-up", "cells", "commit interaction", "sum, stage by stage", "openings"):
        assert word in said


def test_rows_that_were_measured_elsewhere_are_merged_with_their_runs(measured, tmp_path):
    document, _, path = measured
    part, out = tmp_path / "part.json", tmp_path / "all.json"
    one = row_of(document, "proof", "vm", "numpy")
    again = one | {"run": 1, "seconds": one["seconds"] | {"set_up": 7.0}}
    runs = [document["runs"][0], document["runs"][0] | {"arguments": ["elsewhere"]}]
    part.write_text(json.dumps(document | {"runs": runs, "rows": [again]}))
    out.write_text(path.read_text())
    before = "import sys\nsys.modules['jax'] = None"  # nothing is measured
    row = last(script("benchmark_pipeline", f"--merge={part}", f"--out={out}", before=before))
    assert (row["rows"], row["merged"]) == (len(document["rows"]), 1)
    merged = json.loads(out.read_text())
    assert [run["arguments"] for run in merged["runs"]][1:] == [["elsewhere"]]
    assert row_of(merged, "proof", "vm", "numpy") == again
    others = [r for r in merged["rows"] if r["run"] == 0]
    assert others == [r for r in document["rows"] if r != one]
    # Bytes that differ are refused, and the file stays as it was: no other row is taken.
    rows = [again | {"seconds": one["seconds"]}, again | {"sha256": "0" * 64}]
    part.write_text(json.dumps(document | {"runs": runs, "rows": rows}))
    done = script("benchmark_pipeline", f"--merge={part}", f"--out={out}")
    assert "expected the bytes of" in assert_one_sentence(done, EXIT_FAILED)
    assert json.loads(out.read_text()) == merged


# The document, without proving.


@pytest.fixture
def row(measured) -> dict:
    row = copy.deepcopy(row_of(measured[0], "proof", "legacy26", "device"))
    del row["run"]  # which the document adds
    return row


def begun(path: Path, append: bool = False) -> Results:
    results = Results(path, append=append)
    results.begin({"arguments": [], "environment": {}})
    return results


def test_what_was_measured_is_not_lost_to_what_was_not(row, tmp_path):
    path = tmp_path / "results.json"
    missing = {n: row[n] for n in ("section", "workload", "log_size", "params", "source")}
    begun(path).add(missing | {"status": FAILED, "reason": "for want of memory"})
    results = begun(path, append=True)
    results.add(row)
    results.add(missing | {"status": SKIPPED, "reason": "out of time"})
    assert [r["status"] for r in _benchmark.load(path)["rows"]] == [MEASURED]
    results.add(missing | {"source": "numpy", "status": SKIPPED, "reason": "out of time"})
    assert [r["status"] for r in _benchmark.load(path)["rows"]] == [MEASURED, SKIPPED]


def test_a_run_that_has_no_rows_any_more_is_forgotten(row, tmp_path):
    path = tmp_path / "results.json"
    for name, source in (("first", "device"), ("second", "numpy"), ("third", "device")):
        results = Results(path, append=True)
        results.begin({"arguments": [name], "environment": {}})
        results.add(row | {"source": source})
    document = _benchmark.load(path)
    by = {r["source"]: document["runs"][r["run"]]["arguments"] for r in document["rows"]}
    assert by == {"numpy": ["second"], "device": ["third"]}
    assert len(document["runs"]) == 2


def test_backends_stand_side_by_side(row, tmp_path):
    results = begun(tmp_path / "results.json")
    results.add(row)
    results.add(row | {"platform": "gpu", "implementation": "mosaic_gpu"})
    assert len(results.rows) == 2
    printed = _benchmark_tables.tables(results.rows)
    assert "; cpu/xla, " in printed and "; gpu/mosaic_gpu, " in printed


def test_rows_without_kept_evaluations_stand_beside_the_others(row, tmp_path):
    """A row of before the member was there is one that kept them."""
    assert row["keep_evaluations"] is True
    older = {name: value for name, value in row.items() if name != "keep_evaluations"}
    again = row | {"keep_evaluations": False, "target": None}
    results = begun(tmp_path / "results.json")
    for one in (older, again, row, again):
        results.add(one)
    assert [r["keep_evaluations"] for r in results.rows] == [True, False]
    titles = [_benchmark.title(r) for r in results.rows]
    assert titles[1] == titles[0] + " evaluations not kept"
    marked = [line for line in _benchmark_tables.tables(results.rows).splitlines() if " ~ " in line]
    assert len(marked) == 1
    missing = {n: again[n] for n in ("section", "workload", "log_size", "keep_evaluations")}
    results.add(missing | {"status": FAILED, "reason": "for want of memory"})
    assert len(results.rows) == 2
    with pytest.raises(ProvingError, match="evaluations not kept: expected the bytes of proof"):
        results.add(again | {"sha256": "0" * 64})


def test_the_plan_of_a_row_is_that_of_its_prover():
    workload = _benchmark_jobs.legacy(6, "example")
    case = workload.case(_benchmark_measure.PARAMS["published"])
    options = _benchmark_measure.Options(1, 1, None, 1e12, 1e10)
    kept = _benchmark_measure.limit(case, options)
    again = _benchmark_measure.limit(case, replace(options, keep_evaluations=False))
    assert again["peak_bytes"] != kept["peak_bytes"] and again["seconds"] > kept["seconds"]


def test_proofs_that_depend_on_what_made_them_are_refused(row, tmp_path):
    results = begun(tmp_path / "results.json")
    results.add(row)
    other = row | {"transcript": "device", "sha256": "0" * 64}
    with pytest.raises(ProvingError, match="expected the bytes of proof legacy26 2\\^6 published"):
        results.add(other)
    assert len(_benchmark.load(results.path)["rows"]) == 1


def test_a_row_needs_a_run(row, tmp_path):
    with pytest.raises(ValueError, match="expected a run to begin"):
        Results(tmp_path / "results.json", append=False).add(row)


def test_targets_are_for_a_resident_trace_on_a_gpu(measured):
    def goal(
        name: str, source: str, platform: str, seconds: float = 0.004, *, kept: bool = True
    ) -> dict:
        workload = _benchmark_jobs.Workload("legacy26", 20, None, "example", {}, lambda p: p)  # type: ignore[arg-type]
        return _benchmark_measure.goal(workload, name, source, seconds, 0.0014, platform, kept)

    assert goal("stwo-96", "device", "gpu")["target"] == {"seconds": 0.005, "met": True}
    assert goal("stwo-96", "device", "gpu", 0.006)["target"]["met"] is False
    for case in (
        ("stwo-96", "numpy", "gpu"),
        ("stwo-96", "device", "cpu"),
        ("published", "device", "gpu"),
    ):
        assert goal(*case)["target"] is None
    assert goal("stwo-96", "device", "gpu", kept=False)["target"] is None
    assert goal("published", "device", "cpu")["published_seconds"] == 0.666


def test_samples_of_another_size_are_refused(tmp_path):
    (tmp_path / "iris.csv").write_text("5.1,3.5,1.4,0.2\n")
    with pytest.raises(UsageError, match="expected the iris data, at least 18 samples, got 1"):
        _benchmark_jobs.network("iris", str(tmp_path / "iris.csv"))


def test_written_samples_are_the_data_sets(tmp_path):
    pytest.importorskip("sklearn")
    for path in _benchmark_jobs.write_samples(tmp_path):
        features, _ = _networks.load_data(path.stem)
        assert (_networks.read_samples(path) == features).all()


@pytest.mark.parametrize(
    ("durations", "counted"),
    [
        ([5.0, 0.01, 0.02, 0.03, 0.04, 0.05, 9.0], [0.01, 0.02, 0.03, 0.04, 0.05]),
        ([6.2, 3.0, 9.0], [3.0]),  # a first call that compiles
        ([31.0, 9.0], [31.0]),
    ],
)
def test_a_call_that_compiles_counts_only_where_it_is_the_only_one(durations, counted, monkeypatch):
    clock, left = [0.0], iter(durations)

    def run():
        clock[0] += next(left)
        return len(durations)

    monkeypatch.setattr(_benchmark_jobs, "ready", lambda out: out)
    monkeypatch.setattr(_benchmark_jobs.time, "perf_counter", lambda: clock[0])
    out, spread = _benchmark_jobs.repeated(run)
    assert out == len(durations)
    assert spread["runs"] == len(counted)
    assert spread["min"] == pytest.approx(min(counted))
    assert spread["max"] == pytest.approx(max(counted))


@pytest.mark.parametrize(
    ("what", "told"), [("warm proof 1 of 20", "  warm proof 1 of 20: 7.0 s\n"), ("", "")]
)
@pytest.mark.parametrize("seconds", [4.9, 7.0])
def test_only_long_waits_with_a_name_are_told(seconds, what, told, monkeypatch, capsys):
    clock = iter([0.0, seconds])
    monkeypatch.setattr(_benchmark_measure.time, "perf_counter", lambda: next(clock))
    assert _benchmark_measure.timed(lambda: "proof", what) == ("proof", seconds)
    out, err = capsys.readouterr()
    assert (out, err) == ("", told if seconds == 7.0 else "")
