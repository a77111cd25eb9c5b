"""The record: all runs of a file, each once, whatever comes between."""

from __future__ import annotations

import json
from pathlib import Path

import _benchmark_runs
import pytest
from _script import UsageError

from tests.experiments.test_scripts import CACHE, FOLDER, OK, USAGE, assert_one_sentence, script
from tests.experiments.test_scripts import FAILED as EXIT_FAILED

pytest.importorskip("numba", reason="numba is missing: the executor was not run")
pytest.importorskip("jax")

QUICK = ["--params=published", "--sources=device", "--warm_runs=1", "--pow_runs=1"]
QUICK += [f"--jax_cache={CACHE}"]
TINY = [
    {"name": "legacy", "section": "legacy26", "over": {"log_sizes": ["6", "7"]}, "flags": QUICK},
    {"name": "wrong", "section": "legacy26", "over": {}, "flags": ["--log_sizes=60"]},
    {"name": "machine", "section": "vm", "over": {}, "flags": [*QUICK, "--vm_log_sizes=6"]},
]


def call(folder: Path, *args: str):
    """The script with the runs of ``runs.json``: what it did, and the process."""
    done = script(
        "benchmark_of_record",
        f"--runs={folder / 'runs.json'}",
        f"--out={folder / 'record.json'}",
        f"--cache={folder / 'cache'}",
        "--workers=2",
        *args,
    )
    assert done.returncode in (OK, EXIT_FAILED), done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done


def test_every_run_adds_its_rows_once_and_one_that_fails_stops_no_other(tmp_path):
    (tmp_path / "runs.json").write_text(json.dumps(TINY))
    first, done = call(tmp_path)
    assert done.returncode == EXIT_FAILED
    assert first["measured"] == ["legacy", "machine"] and first["left"] == []
    (sentence,) = first["failed"]
    assert sentence.startswith("wrong: exit code 2: --log_sizes: expected integers")
    assert "to compile: 2 processes, 2 at a time" in done.stdout
    document = json.loads((tmp_path / "record.json").read_text())
    rows = [(row["workload"], row["log_size"]) for row in document["rows"]]
    assert rows == [("legacy26", 6), ("legacy26", 7), ("vm", 6)]
    assert all(row["verified"] for row in document["rows"])

    # What is done stays done, until the code is another.
    again, done = call(tmp_path, "--only=legacy,machine")
    assert done.returncode == OK and "to compile: 0 processes" in done.stdout
    assert again["measured"] == again["left"] == again["failed"] == []
    state = json.loads((tmp_path / "cache" / "done.json").read_text())
    (tmp_path / "cache" / "done.json").write_text(json.dumps(state | {"code": "of another time"}))
    anew, _ = call(tmp_path, "--only=machine")
    assert anew["measured"] == ["machine"]
    assert len(json.loads((tmp_path / "record.json").read_text())["rows"]) == 3


def test_what_there_was_no_time_for_is_left_and_named(tmp_path):
    (tmp_path / "runs.json").write_text(json.dumps(TINY))
    what, done = call(tmp_path, "--deadline=0", "--only=legacy,machine")
    assert what["left"] == ["legacy", "machine"]
    assert what["measured"] == what["failed"] == []
    assert done.returncode == OK and not (tmp_path / "record.json").exists()


def test_the_runs_of_the_record_have_names_and_known_flags():
    runs = _benchmark_runs.load(FOLDER / "benchmark_runs.json")
    known = {"legacy26", "vm", "inference", "throughput", "cold"}
    assert {run.section for run in runs} == known
    pipeline = (FOLDER / "benchmark_pipeline.py").read_text()
    for run in runs:
        assert len(run.over) <= 1
        for argument in run.arguments():
            assert f'"{argument.partition("=")[0].removeprefix("--")}"' in pipeline


@pytest.mark.parametrize(
    ("text", "found"),
    [("[", "no JSON"), ('[{"name": "a"}]', "another form"), ('["a"]', "another form")],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, found):
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(UsageError, match=found):
        _benchmark_runs.load(tmp_path / "runs.json")


def test_two_runs_of_one_name_are_refused(tmp_path):
    (tmp_path / "runs.json").write_text(json.dumps([TINY[0], TINY[0]]))
    with pytest.raises(UsageError, match="names of runs that differ"):
        _benchmark_runs.load(tmp_path / "runs.json")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--samples={}/none"], "--samples: expected a folder, got"),
        (["--out={}/runs.json"], "expected a results file of schema"),
    ],
)
def test_what_every_run_would_refuse_is_refused_before_any_compiles(tmp_path, args, words):
    (tmp_path / "runs.json").write_text(json.dumps(TINY))
    files = [f"--runs={tmp_path / 'runs.json'}", f"--cache={tmp_path / 'cache'}"]
    done = script("benchmark_of_record", *files, *(a.format(tmp_path) for a in args))
    assert words in assert_one_sentence(done, USAGE)
    assert json.loads((tmp_path / "runs.json").read_text()) == TINY
    assert "to compile" not in done.stdout and not (tmp_path / "cache").exists()


def test_an_unknown_run_is_one_sentence():
    sentence = assert_one_sentence(script("benchmark_of_record", "--only=nothing"), USAGE)
    assert "--only: expected some of legacy26, vm" in sentence and "'nothing'" in sentence
