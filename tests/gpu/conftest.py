"""GPU tests are skipped, for one reason, where JAX has no GPU that runs the kernels."""

from __future__ import annotations

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test."""
    if item.get_closest_marker("gpu"):
        import jax

        from jaxstark.pallas import launch

        good, reason = launch.supported()
        if not good or jax.default_backend() != "gpu":
            pytest.skip(f"no GPU for the kernels (`make test-gpu` looks for one): {reason}")
