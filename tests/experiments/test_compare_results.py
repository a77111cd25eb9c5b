"""Two results files side by side: matched rows, named gaps, one sentence for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _benchmark import SCHEMA

from tests.experiments.test_scripts import USAGE, assert_one_sentence, last, script

PARAMS = {"pow_bits": 26, "log_blowup": 1, "n_queries": 70}


def proof(seconds: float, **more: object) -> dict:
    row = {
        "run": 0,
        "section": "proof",
        "status": "measured",
        "workload": "legacy26",
        "log_size": 16,
        "trace_of": "execution",
        "params": "stwo-96",
        "params_values": PARAMS,
        "transcript": "host",
        "source": "device",
        "platform": "gpu",
        "implementation": "mosaic_gpu",
        "seconds": {"warm": {"median": seconds}},
    }
    return row | more


def cold(seconds: float) -> dict:
    return proof(0) | {"section": "cold", "cache": "empty", "seconds": {"to_proof": seconds}}


def throughput(rate: float) -> dict:
    return proof(0, section="throughput", batch=8, per_second=rate)


def write(path: Path, *rows: dict, schema: str = SCHEMA) -> Path:
    environment = {"git_sha": "a" * 40, "git_dirty": True, "device_kind": "some GPU"}
    runs = [{"arguments": [], "environment": environment}]
    path.write_text(json.dumps({"schema": schema, "runs": runs, "rows": list(rows)}))
    return path


def compare(before: Path, after: Path, *more: str):
    return script("compare_results", f"--before={before}", f"--after={after}", *more)


def test_rows_are_matched_whatever_their_order_and_backend(tmp_path):
    before = write(tmp_path / "a.json", proof(0.004), cold(20.0), throughput(1000.0))
    gone = proof(0.02, implementation="xla", platform="cpu", source="numpy")
    now = [r | {"platform": "cpu", "implementation": "xla"} for r in (throughput(500), cold(10))]
    after = write(tmp_path / "b.json", *now, gone)
    done = compare(before, after)
    row = last(done)
    assert row["compared"] == 2
    assert row["ratios"] == {
        "cold legacy26 2^16 stwo-96 host device empty": 0.5,
        "throughput legacy26 2^16 stwo-96 host device": 2.0,
    }
    assert row["only_before"] == ["proof legacy26 2^16 stwo-96 host device"]
    assert row["only_after"] == ["proof legacy26 2^16 stwo-96 host numpy"]
    for words in (
        "before  " + str(before) + ": gpu/mosaic_gpu, some GPU, commit aaaaaaaaaaaa+",
        "only before: proof legacy26 2^16 stwo-96 host device",
        "only after: proof legacy26 2^16 stwo-96 host numpy",
        "1000.0/s",
    ):
        assert words in done.stdout


def test_a_slower_proof_has_a_ratio_above_1(tmp_path):
    before, after = (
        write(tmp_path / "a.json", proof(0.004)),
        write(tmp_path / "b.json", proof(0.005)),
    )
    done = compare(before, after)
    assert last(done)["ratios"] == {"proof legacy26 2^16 stwo-96 host device": 1.25}
    assert done.stdout.splitlines()[3].split()[-5:] == ["4.000", "ms", "5.000", "ms", "1.250"]


def test_rows_that_were_not_measured_do_not_count(tmp_path):
    skipped = {"section": "proof", "workload": "iris", "status": "skipped", "reason": "no data"}
    before = write(tmp_path / "a.json", proof(0.004), skipped)
    row = last(compare(before, before))
    assert (row["compared"], row["only_before"]) == (1, [])


def test_backends_of_one_file(tmp_path):
    both = write(
        tmp_path / "a.json", proof(0.004), proof(0.4, platform="cpu", implementation="xla")
    )
    error = assert_one_sentence(compare(both, both), USAGE)
    assert (
        "expected rows of one backend, or --backends with it, got gpu/mosaic_gpu, cpu/xla" in error
    )
    row = last(compare(both, both, "--backends=cpu/xla,gpu/mosaic_gpu"))
    assert list(row["ratios"].values()) == [0.01]
    error = assert_one_sentence(compare(both, both, "--backends=cpu/xla,tpu/xla"), USAGE)
    assert "--backends: expected one of gpu/mosaic_gpu, cpu/xla" in error
    error = assert_one_sentence(compare(both, both, "--backends=cpu/xla"), USAGE)
    assert "--backends: expected one for each file, got 1" in error


def test_other_parameters_under_one_name_are_an_error(tmp_path):
    before = write(tmp_path / "a.json", proof(0.004))
    after = write(tmp_path / "b.json", proof(0.001, params_values=PARAMS | {"n_queries": 7}))
    error = assert_one_sentence(compare(before, after), USAGE)
    assert "expected one set of parameters under one name" in error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "jaxstark-benchmark/2", "rows": []}', "got jaxstark-benchmark/2"),
        ('{"experiment": "sweep"}', "got None"),
        ("[1]", "got list"),
        ("a,b\n", "got a file that is no JSON"),
    ],
)
def test_files_of_another_schema(tmp_path, text, words):
    good, bad = write(tmp_path / "a.json", proof(0.004)), tmp_path / "b.json"
    bad.write_text(text)
    for pair in ((good, bad), (bad, good)):
        error = assert_one_sentence(compare(*pair), USAGE)
        assert f"{bad}: expected a results file of schema {SCHEMA}, {words}" in error


def test_flags_and_absent_files(tmp_path):
    assert "--after" in assert_one_sentence(script("compare_results", "--before=a"), USAGE)
    absent = tmp_path / "absent.json"
    assert str(absent) in assert_one_sentence(compare(absent, absent), USAGE)


def test_rows_are_matched_by_whether_evaluations_were_kept(tmp_path):
    """A file of before rows said so is of rows that kept them."""
    before = write(tmp_path / "a.json", proof(0.004))
    rows = proof(0.005, keep_evaluations=True), proof(0.008, keep_evaluations=False)
    row = last(compare(before, write(tmp_path / "b.json", *rows)))
    assert list(row["ratios"].values()) == [1.25]
    assert len(row["only_after"]) == 1 and row["only_after"][0].endswith("evaluations not kept")
