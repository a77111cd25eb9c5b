"""The script of the synthetic workload: both AIRs at the smallest size, and bad input."""

from __future__ import annotations

import pytest

from jaxstark.vm.workloads import GOLDEN
from tests.experiments.test_scripts import CACHED, FAILED, USAGE, assert_one_sentence, last, script

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

TINY = ["--steps=1024", "--preset=test", "--insecure", "--repeat=1", CACHED]


@pytest.fixture(scope="module")
def proved():
    """Both AIRs at 2^10 steps: what the script printed."""
    pytest.importorskip("jax")
    return script("prove_synthetic", "--air=both", *TINY)


def test_both_airs_are_proved_and_verified(proved):
    row = last(proved)
    assert row["verified"] is True
    sound, legacy = row["rows"]
    assert (sound["air"], legacy["air"]) == ("obelysk", "legacy26")
    assert sound["air_id"].startswith("obelysk/0/0/") and legacy["air_id"] == "legacy26"
    assert sound["log_sizes"] == {"steps": 10, "program": 10, "memory": 5}
    assert legacy["log_sizes"] == {"steps": 10}
    for case in row["rows"]:
        assert case["steps"] == 1024
        assert tuple(case["registers"]) == GOLDEN[case["air"]][1024]
        assert case["golden"] is True
        assert case["bytes"] > 5000
        assert case["security"]["formula"]["total"] == 13.0
        seconds = case["seconds"]
        for name in ("execute", "trace", "warm"):
            assert seconds[name]["runs"] == 1 and 0 < seconds[name]["median"] < 60
        assert {"FRI", "proof of work"} <= set(seconds["first_stages"])


def test_cells_per_step(proved):
    sound, legacy = (row["cells_per_step"] for row in last(proved)["rows"])
    # 44 columns and 8 lookup pairs of the steps, 1 and 1 of the program, 2 and 1 of 32 cells.
    memory = 32 / 1024
    assert sound["trace"] == pytest.approx(44 + 1 + 2 * memory, abs=1e-3)
    assert sound["interaction"] == pytest.approx(4 * (8 + 1 + memory), abs=1e-3)
    assert sound["tree 0"] == pytest.approx(3 + 30 + 5 * memory, abs=1e-3)
    assert legacy == {"tree 0": 0, "trace": 26, "interaction": 0}


def test_the_table_and_the_security_report_are_printed(proved):
    lines = proved.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["AIR", "steps"])
    cells = [line.split() for line in lines[start + 1 : start + 3]]
    assert [row[:2] for row in cells] == [["obelysk", "1024"], ["legacy26", "1024"]]
    assert cells[0][5:7] == ["81.2", "33.2"] and cells[1][3:5] == ["26.0", "0.0"]
    assert max(map(len, lines[: start + 3])) <= 100
    assert proved.stdout.count("johnson: proven") == 2
    assert proved.stdout.count(", as golden") == 2
    assert "legacy26 proves nothing" in proved.stdout


def test_registers_that_are_not_the_golden_ones_end_it():
    pytest.importorskip("jax")
    broken = "from jaxstark.vm import workloads\nworkloads.GOLDEN['obelysk'][1024] = (1, 2, 3, 4)"
    error = assert_one_sentence(script("prove_synthetic", *TINY, before=broken), FAILED)
    assert "obelysk, 1024 steps, r0..r3: expected (1, 2, 3, 4), got (364997343, " in error


BAD = {
    "small": (["--steps=512"], "--steps: expected integers in 1024..16777216, got '512'"),
    "odd": (["--steps=1024,1025"], "--steps: expected powers of two, got 1025"),
    "text": (["--steps=many"], "--steps: expected integers in"),
    "none": (["--steps="], "--steps: expected at least one integer"),
    "legacy": (["--steps=16777216", "--air=both"], "expected less than 16777216 for legacy26"),
    "air": (["--air=plonk"], "air"),
    "job": (["--job=-1"], "job"),
    "repeat": (["--repeat=0"], "repeat"),
    "insecure": (["--preset=test"], "insecure"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence_and_exit_code_2(case):
    flags, words = BAD[case]
    assert words in assert_one_sentence(script("prove_synthetic", *flags), USAGE)
