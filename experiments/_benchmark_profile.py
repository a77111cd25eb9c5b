"""Stage times where no stage is a program: what the device was busy with, from a profile.

With the transcript on the device nothing tells where a stage ends but the kernels themselves, which
are named after the module and function that they come from. The profiler of JAX gives the duration
of every one. A stage begins with the first kernel of those that only it has.
"""

from __future__ import annotations

import gzip
import json
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

RUNS = 3
FIRST = "commit trace"
# In the order of the proof: the beginning of a kernel's name, and the stage that it begins. A stage
# may be missing, and none comes back.
BEGINS = (
    ("constraints_fractions", "commit interaction"),
    ("constraints_quotient", "commit composition"),
    ("oods_drawn", "evaluate out of domain"),
    ("deep_", "DEEP quotients"),
    ("blake2s_", "FRI"),
    ("fri_", "FRI"),
    ("grind_", "proof of work"),
    ("channel_mix_and_draw_blocks", "open"),
)
# Trees are part of every commitment: they begin FRI after the quotients only.
_AFTER = {"FRI": "DEEP quotients"}


class Event(NamedTuple):
    """An operation on a stream of the device: microseconds, and its name."""

    start: float
    duration: float
    name: str


def stages(run: Callable[[], Any]) -> dict[str, float] | None:
    """Median seconds that the device is busy with each stage of ``run``, which makes one proof.

    None where the profiler shows no device.
    """
    found: dict[str, list[float]] = {}
    for _ in range(RUNS):
        if not (events := profiled(run)):
            return None
        for stage, seconds in by_stage(events).items():
            found.setdefault(stage, []).append(seconds)
    return {stage: statistics.median(seconds) for stage, seconds in found.items()}


def operations(run: Callable[[], Any]) -> list[tuple[str, float]]:
    """The device's operations during ``run`` with their median seconds, in order.

    Empty where the profiler shows no device. ``run`` must do the same each time.
    """
    runs = [profiled(run) for _ in range(RUNS)]
    return [
        (same[0].name, statistics.median(event.duration for event in same) / 1e6)
        for same in zip(*runs, strict=True)
    ]


def profiled(run: Callable[[], Any]) -> list[Event]:
    """The device's operations during ``run``, which waits for its results."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        return read(Path(folder))


def read(folder: Path) -> list[Event]:
    """The device's operations in a profile, in order; copies between host and device are none."""
    events: list[Event] = []
    for path in folder.rglob("*.trace.json.gz"):
        with gzip.open(path) as file:
            all_events = json.load(file)["traceEvents"]
        names = [e for e in all_events if e.get("ph") == "M"]
        devices = {e["pid"] for e in names if "GPU" in str(e["args"].get("name", ""))}
        streams = {
            (e["pid"], e["tid"])
            for e in names
            if e["name"] == "thread_name" and "Stream" in e["args"]["name"]
        }
        for e in all_events:
            place = e.get("pid"), e.get("tid")
            ours = e.get("ph") == "X" and place[0] in devices and place in streams
            if ours and e["name"] not in ("MemcpyH2D", "MemcpyD2H"):
                events.append(Event(e["ts"], e["dur"], e["name"]))
    return sorted(events)


def by_stage(events: Iterable[Event]) -> dict[str, float]:
    """Busy seconds by stage, of one proof."""
    stage, reached = FIRST, 0
    out = {FIRST: 0.0}
    for event in events:
        for i, (prefix, begun) in enumerate(BEGINS):
            allowed = _AFTER.get(begun) in (None, stage)
            if i >= reached and allowed and event.name.startswith(prefix):
                stage, reached = begun, i
                break
        out[stage] = out.get(stage, 0.0) + event.duration / 1e6
    return out
