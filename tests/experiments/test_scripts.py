"""The scripts: exit codes, one sentence for bad input, whole records, nothing unverified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import _script
import pytest

REPO = Path(__file__).resolve().parent.parent.parent
FOLDER = REPO / "experiments"
ELSEWHERE = tempfile.gettempdir()  # scripts need no particular folder
CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(REPO / ".jax_cache"))
CACHED = f"--jax_cache={CACHE}"
OK, FAILED, USAGE = 0, 1, 2
TINY = ["--log_size=5", "--preset=test", "--insecure", "--repeat=1", CACHED]


def script(name: str, *args: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script as a user does; ``before`` is code that runs first in its process."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *args]
    if before:
        code = (
            f"import sys, runpy\nsys.path.insert(0, {str(FOLDER)!r})\n"
            f"sys.path.insert(0, {str(REPO)!r})\n{before}\n"
            f"sys.argv = {[f'{name}.py', *args]!r}\n"
            f"runpy.run_path({str(FOLDER / f'{name}.py')!r}, run_name='__main__')\n"
        )
        command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ELSEWHERE, timeout=600
    )


def last(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == OK, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A proof of the smallest useful kind: its folder and what the script printed."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("prove")
    return folder, script("prove", *TINY, f"--out={folder}")


BAD = {
    "air": ("prove", ["--air=nothing"], "air"),
    "log_size": ("prove", ["--log_size=25"], "log_size"),
    "log_size_text": ("prove", ["--log_size=big"], "log_size"),
    "small": ("prove", ["--log_size=3"], "2^4 rows"),
    "preset": ("prove", ["--preset=best"], "preset"),
    "insecure": ("prove", ["--preset=test"], "insecure"),
    "seed": ("prove", ["--seed=-1"], "seed"),
    "flag": ("prove", ["--no_such_flag=1"], "no_such_flag"),
    "argument": ("prove", ["proof.json"], "proof.json"),
    "out": ("prove", ["--out=/dev/null/out"], "/dev/null/out"),
    "verify_flags": ("verify", [], "proof"),
    "verify_file": ("verify", ["--proof=absent.json", "--key=absent.json"], "absent.json"),
    "verify_bits": ("verify", ["--proof=a", "--key=b", "--minimum_bits=-1"], "minimum_bits"),
    "sweep_blowup": ("sweep", ["--blowups=3"], "powers of two"),
    "sweep_log_size": ("sweep", ["--log_sizes=4,x"], "log_sizes"),
    "sweep_queries": ("sweep", ["--queries=0"], "queries"),
    "sweep_empty": ("sweep", ["--folds="], "folds"),
    "sweep_insecure": ("sweep", ["--queries=3"], "insecure"),
    "sweep_small": ("sweep", ["--log_sizes=4", "--folds=5"], "2^5 rows"),
    "plot_input": ("plot", [], "input"),
    "plot_absent": ("plot", ["--input=absent.jsonl"], "absent.jsonl"),
    "plot_out": ("plot", ["--input=absent.jsonl", "--out=plot.doc"], "plot.doc"),
    "bench_size": ("bench_cpu", ["--growth=4"], "growth"),
    "bench_upstream": ("bench_cpu", ["--upstream=/no/such/program"], "upstream"),
    "bench_repeat": ("bench_cpu", ["--repeat=1"], "repeat"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence_and_exit_code_2(case):
    name, args, word = BAD[case]
    assert word in assert_one_sentence(script(name, *args), USAGE)


def test_prove_writes_files_that_verify_and_reports_them(proved):
    folder, done = proved
    row = last(done)
    assert row["verified"] is True
    assert row["log_sizes"] == [5]
    for name in ("proof.json", "proof.bin", "key.json", "public.json"):
        assert (folder / name).is_file()
        assert len(row["sha256"][name]) == 64
    assert row["bytes"]["binary"] == (folder / "proof.bin").stat().st_size
    assert row["bytes"]["json"] == (folder / "proof.json").stat().st_size
    assert 0.5 < row["felts"] / row["plan"]["felts"] < 2
    assert set(row["security"]) == {"formula", "elias", "johnson", "unique"}
    assert row["security"]["formula"]["total"] == 13.0
    assert row["seconds"]["warm"]["runs"] == 1
    assert {"git_sha", "platform", "cpu_count"} <= set(row["environment"])
    assert "proof of work" in row["seconds"]["first_stages"]
    for word in ("commit trace", "FRI", "johnson", "bytes JSON", "verified", "plan"):
        assert word in done.stdout


def test_warm_proofs_come_after_one_that_compiles(monkeypatch):
    from jaxstark import ProofParams

    trace: Any = None
    proved: list[ProofParams] = []

    def prove(trace, params, **options):
        proved.append(params)
        return len(proved)

    monkeypatch.setattr(_script, "timed_prove", prove)
    params = ProofParams.preset("stwo-96")
    assert _script.warm_runs(trace, params, 3) == [2, 3, 4]
    assert {one.pow_bits for one in proved} == {0}
    proved.clear()
    assert _script.warm_runs(trace, params, 0) == [] and not proved


def test_prove_fails_when_the_proof_does_not_verify(tmp_path):
    pytest.importorskip("jax")
    broken = (
        "import jaxstark\n"
        "def refuse(*args, **options):\n"
        "    raise jaxstark.VerificationError('fri', 'refused by the test')\n"
        "jaxstark.verify = refuse"
    )
    done = script("prove", *TINY, f"--out={tmp_path}", before=broken)
    assert "refused by the test" in assert_one_sentence(done, FAILED)
    assert '"verified":true' not in done.stdout


def test_prove_fails_on_a_trace_that_breaks_the_air(tmp_path):
    pytest.importorskip("jax")
    broken = (
        "import dataclasses\n"
        "from jaxstark.air import registry\n"
        "shipped = registry.SHIPPED['wide_fibonacci']\n"
        "def example(log_size, seed):\n"
        "    air, sizes, columns, public = shipped.example(log_size, seed)\n"
        "    columns['fibonacci']['c9'] = columns['fibonacci']['c9'] * 0\n"
        "    return air, sizes, columns, public\n"
        "registry.SHIPPED['wide_fibonacci'] = dataclasses.replace(shipped, example=example)"
    )
    done = script("prove", *TINY, f"--out={tmp_path}", before=broken)
    assert "c9" in assert_one_sentence(done, FAILED)
    assert not (tmp_path / "proof.json").exists()


def verify(folder: Path, proof: str, *args: str) -> subprocess.CompletedProcess[str]:
    files = [f"--{n}={folder / f'{n}.json'}" for n in ("key", "public")]
    return script("verify", f"--proof={folder / proof}", *files, *args)


@pytest.mark.parametrize("form", ["proof.json", "proof.bin"])
def test_verify_accepts_with_one_sentence(proved, form):
    done = verify(proved[0], form, "--insecure")
    assert done.returncode == OK, done.stderr
    assert done.stdout.startswith("accepted: ")
    assert done.stdout.count("\n") == 1


def test_verify_rejects_a_changed_proof(proved, tmp_path):
    for file in proved[0].iterdir():
        shutil.copy(file, tmp_path)
    data = bytearray((tmp_path / "proof.bin").read_bytes())
    data[-1] ^= 1  # the last coefficient of the last FRI layer
    (tmp_path / "proof.bin").write_bytes(bytes(data))
    done = verify(tmp_path, "proof.bin", "--insecure")
    assert assert_one_sentence(done, FAILED).startswith("rejected: ")


def test_verify_refuses_an_insecure_key(proved):
    assert "96" in assert_one_sentence(verify(proved[0], "proof.bin"), USAGE)


def test_verify_says_what_the_command_line_says(proved):
    folder = proved[0]
    args = [str(folder / "proof.json"), str(folder / "key.json"), "--insecure"]
    module = subprocess.run(
        [sys.executable, "-m", "jaxstark", "verify", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPO,
    )
    ours = script("verify", f"--proof={args[0]}", f"--key={args[1]}", "--insecure")
    assert (ours.returncode, ours.stdout) == (module.returncode, module.stdout)


SWEEP = ["--log_sizes=5", "--blowups=2", "--queries=3", "--pow_bits=0", "--insecure", CACHED]


def test_a_sweep_goes_on_where_it_stopped_and_can_be_plotted(tmp_path):
    pytest.importorskip("jax")
    pytest.importorskip("matplotlib")
    out = tmp_path / "sweep.jsonl"
    first = last(script("sweep", *SWEEP, "--folds=1", "--repeat=1", f"--out={out}"))
    assert (first["measured"], first["skipped"]) == (1, 0)
    with out.open("a") as file:
        file.write('{"experiment":"sweep","air":"wide_fib')  # as a crash leaves it
    second = last(script("sweep", *SWEEP, "--folds=1,2", "--repeat=1", f"--out={out}"))
    assert (second["measured"], second["skipped"]) == (1, 1)
    rows = [json.loads(t) for t in out.read_text().splitlines() if t.endswith("}")]
    assert [row["params"]["fold_step"] for row in rows] == [1, 2]
    for row in rows:
        assert row["verified"] is True
        assert row["bytes"]["binary"] > 0
        assert row["seconds"]["warm"]["runs"] == 1
        assert row["security"]["unique"]["total"] < row["security"]["formula"]["total"]

    picture = tmp_path / "sweep.png"
    drawn = last(script("plot", f"--input={out}", f"--out={picture}"))
    assert (drawn["configurations"], drawn["points"]) == (2, 2)
    assert picture.read_bytes().startswith(b"\x89PNG")
    other = script("plot", f"--input={out}", f"--out={picture}", "--air=plonk")
    assert "plonk" in assert_one_sentence(other, USAGE) or "none" in other.stderr


def test_a_plot_needs_rows(tmp_path):
    (tmp_path / "empty.jsonl").write_text("{}\n")
    done = script("plot", f"--input={tmp_path / 'empty.jsonl'}")
    assert "none" in assert_one_sentence(done, USAGE)


@pytest.mark.slow
def test_the_cpu_benchmark_measures_everything_once(tmp_path):
    pytest.importorskip("jax")
    small = "--log_size=6 --further=5 --growth=5,6 --hash_log=10 --grind_bits=8 --queries=3".split()
    done = script("bench_cpu", *small, "--repeat=5", f"--out={tmp_path / 'bench.json'}")
    row = last(done)
    assert json.loads((tmp_path / "bench.json").read_text()) == row
    assert row["verified"] is True
    assert row["first_proof"]["empty_cache"]["second_compilations"] == 0
    assert row["first_proof"]["empty_cache"]["first_compilations"] > 0
    assert [point["log_size"] for point in row["growth"]] == [5, 6]
    assert row["warm"]["warm"]["runs"] >= 5
    assert len(row["targets"]) == 7
    assert "leaf hashing" in done.stdout
