"""The benchmark of single kernels: values first, then times against a bound."""

from __future__ import annotations

import json

import pytest

from tests.experiments.test_scripts import CACHED, FAILED, USAGE, assert_one_sentence, last, script

pytest.importorskip("jax")

SMALL = ["--log_sizes=8", "--check_log_size=8", "--columns=3", CACHED]
# An operation without kernels, so that the rest of the script runs on any machine.
PLAIN = """
import _benchmark_ops as ops
import numpy as np
from jaxstark.pallas import probe

def double(size):
    words = np.arange(size.columns << size.log_size, dtype=np.uint32)
    passes = (words.nbytes, words.nbytes)
    moved = sum(passes)
    return ops.Prepared(lambda x: x + x, (words,), lambda x: {expected}, moved, 7, passes)

ops.OPS = dict(double=double, grind=double)
probe.supported = lambda: (True, "for the test")
"""
# The profiler, as if there were a device.
PROFILED = """
import _benchmark_profile
_benchmark_profile.operations = lambda run: run() is None or {ran}
"""


def test_kernels_are_compared_with_the_xla_form(tmp_path):
    out = tmp_path / "op.json"
    done = script(
        "bench_op",
        *SMALL,
        "--ops=to_storage,channel",
        "--log_sizes=11",
        "--interpret",
        f"--out={out}",
    )
    assert last(done) == {"experiment": "bench_op", "out": str(out), "rows": 2}
    document = json.loads(out.read_text())
    assert document["schema"] == "jaxstark-bench-op/3"
    assert document["environment"]["platform"] == "cpu"
    assert [(r["op"], r["log_size"], r["columns"]) for r in document["rows"]] == [
        ("to_storage", 11, 3),
        ("channel", None, None),
    ]
    assert all("seconds" not in row for row in document["rows"])


@pytest.mark.slow
def test_all_kernels_are_compared_with_the_xla_form(tmp_path):
    from _benchmark_ops import LEAST, OPS

    out = tmp_path / "op.json"
    for name in OPS:
        size = LEAST.get(name, 8)
        args = (f"--ops={name}", f"--log_sizes={size}", "--interpret", f"--out={out}")
        assert last(script("bench_op", *SMALL, *args))["rows"] == 1


def test_every_operation_says_what_it_moves_or_hashes():
    from _benchmark_ops import OPS, Size

    for name, prepare in OPS.items():
        prepared = prepare(Size(13, 17, 8, True))
        assert prepared.moved > 0 or prepared.hashes, name
        assert sum(prepared.passes) in (0, prepared.moved), name
    leaves = OPS["leaves"](Size(13, 17, 8, True))
    assert leaves.hashes == 2 << 13 and leaves.moved == (4 * 17 + 32) << 13


def test_times_rates_and_bound(tmp_path):
    out = tmp_path / "op.json"
    flags = ["--runs=3", "--pipelined=4", "--bandwidth=1e9", "--hash_rate=1e3", f"--out={out}"]
    done = script("bench_op", *SMALL, *flags, before=PLAIN.format(expected="x * 2"))
    assert last(done)["rows"] == 2
    row = json.loads(out.read_text())["rows"][0]
    seconds = row["seconds"]
    assert seconds["single"]["runs"] == 3 and seconds["compile"] > 0
    assert row["moved_bytes"] == 2 * 4 * 256 and row["hashes"] == 7 and row["passes"] == []
    assert row["bound_seconds"] == pytest.approx(0.007)  # hashes, not bytes
    assert seconds["pipelined"]["runs"] == 3 and seconds["device"] is None
    taken = seconds["pipelined"]["median"]
    assert row["times_bound"] == pytest.approx(taken / 0.007, abs=2e-3)
    assert row["bytes_per_second"] == pytest.approx(2048 / taken, rel=1e-3)
    assert row["checked_log_size"] == 8 and row["target"] is None
    table = done.stdout.splitlines()
    assert table[0].split()[:3] == ["op", "rows", "columns"]
    assert table[1].split()[:3] == ["double", "2^8", "-"]
    assert table[2].split()[:3] == ["grind", "-", "-"]


def test_the_time_of_the_device_is_compared_with_the_bound_where_it_is_known(tmp_path):
    out = tmp_path / "op.json"
    ran = [("fft_a", 0.05), ("fusion", 0.01), ("fft_b", 0.19)]
    before = PLAIN.format(expected="x * 2") + PROFILED.format(ran=ran)
    done = script("bench_op", *SMALL, f"--out={out}", before=before)
    row = json.loads(out.read_text())["rows"][0]
    assert row["seconds"]["device"] == 0.25 and row["bytes_per_second"] == 2048 / 0.25
    assert row["hashes_per_second"] == 28 and "250.0000" in done.stdout.splitlines()[1]
    assert [(one["name"], one["bytes_per_second"]) for one in row["passes"]] == [
        ("fft_a", round(1024 / 0.05)),
        ("fft_b", round(1024 / 0.19)),
    ]
    assert row["operations"][1] == {"name": "fusion", "seconds": 0.01}


def test_a_pass_below_the_target_is_not_hidden_by_the_others(tmp_path):
    """Together they reach the rate; one of them does not."""
    out = tmp_path / "op.json"
    before = PLAIN.format(expected="x * 2") + PROFILED.format(ran=[("fft_a", 0.1), ("fft_b", 0.3)])
    before += "import jax\njax.default_backend = lambda: 'gpu'\n"
    for rate, met in ((1024 / 0.31, True), (2048 / 0.4, False)):
        target = f"ops.TARGETS = dict(double=('bytes', {rate}))"
        script("bench_op", *SMALL, f"--out={out}", before=before + target)
        assert json.loads(out.read_text())["rows"][0]["target"]["met"] is met


def test_a_kernel_with_another_result_is_not_reported(tmp_path):
    out = tmp_path / "op.json"
    done = script("bench_op", *SMALL, f"--out={out}", before=PLAIN.format(expected="x * 2 + 1"))
    error = assert_one_sentence(done, FAILED)
    assert "double, 2^8 rows: expected the result of the XLA form, got another" in error
    assert not out.exists()


BAD = {
    "op": (["--ops=fft"], "--ops: expected some of to_storage, interpolate"),
    "log_sizes": (["--log_sizes=7"], "--log_sizes: expected integers in 8..27, got '7'"),
    "columns": (["--columns=0"], "--columns: expected integers in 1..4096, got '0'"),
    "rate": (["--hash_rate=-1"], "--hash_rate: expected a positive number, got -1"),
    "runs": (["--runs=0"], "runs"),
    "device": ([], "device: expected one that runs the kernels, or --interpret, got none: JAX"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence_and_exit_code_2(case, tmp_path):
    flags, words = BAD[case]
    out = f"--out={tmp_path / 'op.json'}"
    assert words in assert_one_sentence(script("bench_op", *flags, out), USAGE)
