"""Set-up of every test: strict JAX on the CPU, a shared compilation cache, outside resources.

The JAX settings go through the environment, before anything imports JAX, so that subprocesses of
tests get them too and tests of the verifier need no JAX at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("JAXSTARK_TEST_CACHE", REPO / ".jax_cache"))
VECTORS = REPO.parent / "shared" / "vectors"
FLOOR_FOLDERS = ("fields", "hash")

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

try:
    from hypothesis import settings
except ImportError:
    pass
else:
    # Compilation makes the first example slow, and a suite must give the same answer each time.
    settings.register_profile("jaxstark", deadline=None, derandomize=True, max_examples=50)
    settings.load_profile("jaxstark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the floor suite by folder, and skip interop tests where there is no cargo."""
    no_cargo = pytest.mark.skip(reason="cargo is missing: the upstream verifier was not run")
    has_cargo = shutil.which("cargo") is not None
    for item in items:
        folder = item.path.relative_to(REPO / "tests").parts[0] if REPO in item.path.parents else ""
        if folder in FLOOR_FOLDERS:
            item.add_marker(pytest.mark.floor)
        if not has_cargo and item.get_closest_marker("interop"):
            item.add_marker(no_cargo)


def pytest_terminal_summary(terminalreporter) -> None:  # noqa: ANN001
    """Say what the outcome does not cover, before pytest's closing line."""
    write = terminalreporter
    skipped = [r for r in write.stats.get("skipped", ()) if "gpu" in getattr(r, "keywords", ())]
    if any("no GPU for the kernels" in str(r.longrepr) for r in skipped):
        write.section("GPU NOT RUN", sep="!", red=True)
        write.line("JAX found no GPU that runs the kernels: nothing was compared on one.")
    if shutil.which("cargo") is None:
        write.section("INTEROP NOT RUN", sep="!", red=True)
        write.line("cargo is missing: no proof was shown to StarkWare's verifier (stwo).")
        write.line("Install Rust (cargo) and run the tests again to cover interoperability.")
    if not VECTORS.is_dir():
        write.section("VECTORS NOT READ", sep="!", yellow=True)
        write.line(f"{VECTORS} is absent: conformance tests against StarkWare's data were skipped.")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Folder of StarkWare's proofs and unit vectors; the test is skipped where it is absent."""
    if not VECTORS.is_dir():
        pytest.skip(f"conformance vectors are absent: {VECTORS}")
    return VECTORS


@pytest.fixture(scope="session")
def cargo() -> str:
    """Path of cargo; the test is skipped, and the summary says so, where there is none."""
    path = shutil.which("cargo")
    if path is None:
        pytest.skip("cargo is missing: the upstream verifier was not run")
    return path


@pytest.fixture(scope="session")
def repo() -> Path:
    """Root of the repository."""
    return REPO


@pytest.fixture
def compilations():
    """Names of the traces, lowerings and compilations since ``compilations.clear()``."""
    import jax

    events: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)
