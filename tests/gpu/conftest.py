"""GPU tests are skipped, for one reason, where JAX has no GPU that runs the kernels.

``--part=I/N`` runs the I-th of N parts, for processes side by side: most of the time is compiling.
Tests that share what one compiles stay together; those that measure are ``--part=alone``.
"""

from __future__ import annotations

import re

import pytest

# Files whose tests share a compiled program, and files whose tests need the machine for themselves.
TOGETHER = ("test_proofs.py",)
ALONE = ("test_compile_time.py", "test_limits.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Also read where no part is asked for."""
    parser.addoption(
        "--part", default=None, metavar="I/N", help="one of N parts, I from 0, or 'alone'"
    )


@pytest.hookimpl(trylast=True)  # after those that marks deselect
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of one part."""
    if (text := config.getoption("--part")) is None:
        return
    if text == "alone":
        items[:] = [item for item in items if item.path.name in ALONE]
        return
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not part < parts or parts <= len(TOGETHER):
        expected = f"I/N with I < N and N > {len(TOGETHER)}, or alone"
        raise pytest.UsageError(f"--part: expected {expected}, got {text!r}")
    turn, kept = 0, []
    for item in items:
        if (name := item.path.name) in ALONE:
            continue
        if name in TOGETHER:
            mine = TOGETHER.index(name)
        else:
            mine = len(TOGETHER) + turn % (parts - len(TOGETHER))
            turn += 1
        if mine == part:
            kept.append(item)
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test."""
    if item.get_closest_marker("gpu"):
        import jax

        from jaxstark.pallas import probe

        good, reason = probe.supported()
        if not good or jax.default_backend() != "gpu":
            pytest.skip(f"no GPU for the kernels (`make test-gpu` looks for one): {reason}")
