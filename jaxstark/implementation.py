"""Which implementation proves: the choice, its record, and the clock of its stages."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxstark.proof import Provenance
from jaxstark.shape import check_keep_evaluations

IMPLEMENTATIONS = ("mosaic_gpu", "xla")
TRANSCRIPTS = ("host", "device")
# In protocol order; "commit interaction" is missing where there are no lookups.
STAGES = (
    "commit trace",
    "commit interaction",
    "compose",
    "commit composition",
    "evaluate out of domain",
    "DEEP quotients",
    "FRI",
    "proof of work",
    "open",
)
# stage name, seconds since the stage before ended
OnStage = Callable[[str, float], None]


def choose(implementation: str | None, transcript: str, keep_evaluations: bool = True) -> str:
    """The implementation that will run, ``"mosaic_gpu"`` or ``"xla"``.

    None takes the kernels if the default device runs them; a GPU that does not is warned of once.
    Raises ``ValueError`` if the default device does not run what is asked for, or if evaluations
    are not to be kept by XLA, which always keeps them.
    """
    check_keep_evaluations(keep_evaluations)
    if implementation not in (None, *IMPLEMENTATIONS):
        raise ValueError(
            f"implementation: expected one of {', '.join(IMPLEMENTATIONS)}, got {implementation!r}"
        )
    if transcript not in TRANSCRIPTS:
        raise ValueError(f"transcript: expected 'host' or 'device', got {transcript!r}")
    backend = _default_backend()
    good, reason = False, ""
    if implementation == "mosaic_gpu" or (implementation is None and backend == "gpu"):
        good, reason = _supported()
    if good:
        return "mosaic_gpu"
    if implementation == "mosaic_gpu":
        raise ValueError(
            "implementation: expected one that the default device runs, got 'mosaic_gpu', "
            f"but {reason} (or choose 'xla')"
        )
    if transcript == "device":
        if implementation is None and not reason:
            good, reason = _supported()
            reason = f"JAX's default platform is {backend!r}" if good else reason
        why = f", but {reason}" if reason else ""
        raise ValueError(
            "transcript: expected 'host' with implementation 'xla', got 'device', which needs "
            f"the kernels of 'mosaic_gpu'{why}"
        )
    if not keep_evaluations:
        why = f", but {reason}" if reason else ""
        raise ValueError(
            "keep_evaluations: expected True with implementation 'xla', which keeps them, got "
            f"False, which needs the kernels of 'mosaic_gpu'{why}"
        )
    if reason:
        _warn(reason)
    return "xla"


def _supported() -> tuple[bool, str]:
    from jaxstark.pallas import probe  # kernels cost a second to import

    return probe.supported()


def _default_backend() -> str:
    """JAX's default platform; a ``ValueError`` where JAX has none, as it says little itself."""
    try:
        return jax.default_backend()
    except Exception as error:  # an AssertionError without words, for one
        platforms = jax.config.jax_platforms or ""
        raise ValueError(
            f"device: expected one that JAX finds, got none for JAX_PLATFORMS={platforms!r}: "
            f"{_supported()[1]} (or unset JAX_PLATFORMS)"
        ) from error


@functools.cache
def _warn(reason: str) -> None:
    """Once in a process."""
    warnings.warn(
        f"{reason}: XLA proves instead of kernels (implementation='xla' chooses it)",
        RuntimeWarning,
        skip_file_prefixes=(os.path.dirname(__file__),),  # points at the caller of the library
    )


def provenance(transcript: str, stages: Mapping[str, str]) -> Provenance:
    """The record of a proof made on the default device."""
    return Provenance(jax.devices()[0].device_kind, transcript, dict(stages))


class Clock:
    """Reports stages; blocks on a stage's arrays only if somebody listens."""

    def __init__(self, on_stage: OnStage | None) -> None:
        if on_stage is not None and not callable(on_stage):
            raise ValueError(
                "on_stage: expected a function of a stage's name and its seconds, or None, got "
                f"{on_stage!r}"
            )
        self.on_stage, self.start = on_stage, time.perf_counter()

    def done(self, stage: str, arrays: Any = None) -> None:
        """A stage ended, once ``arrays`` are there."""
        if self.on_stage is not None:
            jax.block_until_ready(arrays)
            now = time.perf_counter()
            self.on_stage(stage, now - self.start)
            self.start = time.perf_counter()
