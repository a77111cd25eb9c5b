"""The tool that compiles kernels without a GPU: it finds every kernel, and says what it needs."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest

jax = pytest.importorskip("jax")

from tests.experiments.test_scripts import REPO  # noqa: E402
from tests.gpu.compile_times import NEEDED  # noqa: E402
from tests.resident.test_program import program  # noqa: E402


@pytest.mark.floor
def test_the_module_of_every_kernel_is_found():
    from jaxstark.resident import driver
    from jaxstark.resident.kernels import kernels

    (lowered,) = driver.lower(program("range_sum", 8), lowering_platforms=("cuda",))
    found = kernels(lowered)
    hashes = set(re.findall(r'kernel_hash = "((?:[^"\\]|\\.)*)"', lowered.as_text()))
    assert len(found) == len(hashes) > 10
    assert all(kernel.attributes["module"].startswith(b"ML\xefR") for kernel in found)


def test_a_missing_compiler_is_one_sentence():
    if importlib.util.find_spec(NEEDED[1]) is not None:
        pytest.skip("the CUDA plug-in is installed")
    env = os.environ | {"PYTHONPATH": str(REPO)}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.gpu.compile_times", "to_storage"],
        cwd=REPO,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1 and ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("packages: expected") and "make compile-times" in ran.stderr
