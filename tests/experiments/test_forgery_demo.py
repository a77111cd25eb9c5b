"""The forgery demo and the mutation script: what they print is what happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.soundness.vm_legacy_pairs import PAIRS

REPO = Path(__file__).resolve().parent.parent.parent
FOLDER = REPO / "experiments"
CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(REPO / ".jax_cache"))
DEMO = ("--preset=test", "--insecure", f"--jax_cache={CACHE}")
OK, FAILED, USAGE = 0, 1, 2


def script(name: str, *args: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script from elsewhere; ``before`` is code that runs first in its process."""
    code = (
        f"import sys, runpy\nsys.path[:0] = [{str(FOLDER)!r}, {str(REPO)!r}]\n{before}\n"
        f"sys.argv = {[f'{name}.py', *args]!r}\n"
        f"runpy.run_path({str(FOLDER / f'{name}.py')!r}, run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code] if before else [sys.executable, FOLDER / f"{name}.py"]
    return subprocess.run(
        command if before else [*command, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
        timeout=600,
    )


def table(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_t17_the_legacy_air_verifies_forgeries_that_the_sound_one_refuses():
    pytest.importorskip("jax")
    done = script("forgery_demo", *DEMO)
    assert done.returncode == OK, done.stdout + done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["forgeries"] == row["legacy26_accepts"] == row["sound_refuses"] == len(PAIRS)
    head, truth, *lies = table(done)
    assert head == ["claim", "legacy26", "the sound AIR"]
    assert truth[1].startswith("proved and verified") and truth[2] == "accepted"
    assert [cells[0] for cells in lies] == [pair.name for pair in PAIRS]
    for cells, pair in zip(lies, PAIRS, strict=True):
        assert cells[1].startswith("proved and verified")
        where = f"refused: {pair.component}, row {'' if pair.row is None else pair.row}"
        assert cells[2].startswith(where) and cells[2].endswith(pair.rule)


def test_the_demo_fails_if_the_sound_air_accepts_a_forgery():
    """A pair whose sound half is the truth; no legacy proof is made."""
    before = (
        "import _script\n"
        "from dataclasses import replace\n"
        "from tests.soundness import vm_legacy_pairs as legacy\n"
        "legacy.PAIRS = (replace(legacy.PAIRS[1], make=legacy.honest_sound),)\n"
        "from jaxstark.proof import Proof\n"
        "class Made:\n"
        "    proof = type('', (), {'to_bytes': staticmethod(bytes)})\n"
        "_script.timed_prove = lambda *args, **options: Made\n"
        "_script.timed_verify = lambda *args, **options: 0.0"
    )
    pytest.importorskip("jax")
    done = script("forgery_demo", *DEMO, before=before)
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "the sound AIR refuses 0" in done.stdout


def test_the_demo_needs_a_secure_preset_or_consent():
    done = script("forgery_demo", "--preset=test")
    assert done.returncode == USAGE and "insecure" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_t16_the_mutation_script_finds_no_survivor():
    done = script("vm_mutations", "--totals")
    assert done.returncode == OK, done.stdout + done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["survivors"] == [] and row["mutants"] > 100 and row["forgeries"] > 100
    assert table(done)[-1][0] == "all" and table(done)[-1][-1] == "0"


def test_the_mutation_script_exits_with_1_for_a_survivor():
    """Two mutants, and none of the forgeries that tell them apart."""
    before = (
        "import itertools\n"
        "from tests.soundness import vm_mutants\n"
        "made = vm_mutants.mutants\n"
        "vm_mutants.mutants = lambda: itertools.islice(made(), 2)\n"
        "vm_mutants.ALL = tuple(f for f in vm_mutants.ALL if f.name.startswith('start at'))"
    )
    done = script("vm_mutations", before=before)
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "survives: steps: chain: pc" in done.stdout and "| **nothing** |" in done.stdout
    assert "survives: steps: start: pc" not in done.stdout
