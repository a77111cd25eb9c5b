"""Which implementation proves: the choice, its record, and the clock of its stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxstark.proof import Provenance

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


def choose(implementation: str | None, transcript: str) -> str:
    """The implementation that will run, ``"mosaic_gpu"`` or ``"xla"``.

    None takes the kernels if the default device runs them. Raises ``ValueError`` if the default
    device does not run what is asked for.
    """
    if implementation not in (None, *IMPLEMENTATIONS):
        raise ValueError(
            f"implementation: expected one of {', '.join(IMPLEMENTATIONS)}, got {implementation!r}"
        )
    if transcript not in TRANSCRIPTS:
        raise ValueError(f"transcript: expected 'host' or 'device', got {transcript!r}")
    if implementation != "xla" and (implementation or jax.default_backend() == "gpu"):
        from jaxstark.pallas.probe import supported  # kernels cost a second to import

        good, reason = supported()
        if good:
            return "mosaic_gpu"
        if implementation:
            raise ValueError(
                "implementation: expected one that the default device runs, got 'mosaic_gpu', "
                f"but {reason} (choose 'xla')"
            )
    if transcript == "device":
        raise ValueError(
            "transcript: expected 'host' with implementation 'xla', got 'device', which needs "
            "the kernels of 'mosaic_gpu'"
        )
    return "xla"


def provenance(transcript: str, stages: Mapping[str, str]) -> Provenance:
    """The record of a proof made on the default device."""
    return Provenance(jax.devices()[0].device_kind, transcript, dict(stages))


class Clock:
    """Reports stages; blocks on a stage's arrays only if somebody listens."""

    def __init__(self, on_stage: OnStage | None) -> None:
        self.on_stage, self.start = on_stage, time.perf_counter()

    def done(self, stage: str, arrays: Any = None) -> None:
        """A stage ended, once ``arrays`` are there."""
        if self.on_stage is not None:
            jax.block_until_ready(arrays)
            now = time.perf_counter()
            self.on_stage(stage, now - self.start)
            self.start = time.perf_counter()
