"""A timed submission, and the table of end_to_end.py; the benchmark's ``--submit`` uses it, too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import _script
from _submit import Place

from jaxstark.starknet.clock import SystemClock
from jaxstark.starknet.fees import FeePolicy
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.progress import Progress, Result, Timing
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submission_error import SubmissionError
from jaxstark.starknet.submitter import Submitter

DIGITS = 6  # decimals of recorded seconds
QUICK = Timing(poll=0.01, resend=2.0, bump_after=20.0, give_up=120.0, settle=0.01)
"""Pauses for a network on this machine, so short that a latency is not theirs."""

READ_BACK = "read back"
PAUSES = "of these, pauses"
# The part of a submission that each of its steps ends; all that are not here are on the way from
# the broadcast to acceptance.
_ENDS = {
    **dict.fromkeys(("checked", "planned", "estimated", "signing"), "check, estimate"),
    "signed": "sign, keep",
    "reading": "second look",
    "done": READ_BACK,
}
BROADCAST = "broadcast to accepted"
PARTS = (*dict.fromkeys(_ENDS.values()), BROADCAST)

# Of one run; "start" to "set-up" and "compile" only come before or in the first.
STAGES = (
    *("start", "connect", "inference", "trace", "set-up", "compile", "prove", "verify", "pack"),
    *("submit", READ_BACK),
)


class Watch:
    """An observer that adds up the seconds of every part of a submission."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, step: Progress) -> None:
        """A step was reached."""
        now = time.perf_counter()
        part = _ENDS.get(step.what, BROADCAST)
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


class PausingClock(SystemClock):
    """The clock of the machine, which counts the seconds that it was asked to wait."""

    def __init__(self) -> None:
        self.paused = 0.0

    def sleep(self, seconds: float) -> None:
        """Block for so long."""
        self.paused += seconds
        super().sleep(seconds)


class Outcome(NamedTuple):
    """A submission that succeeded, its record read back.

    Attributes:
      result: what the submitter returned.
      parts: seconds of every part but reading back, and of the pauses in them.
      submit, read_back: seconds.
      gas: that the receipts name, by resource, over all transactions.
    """

    result: Result
    parts: dict[str, float]
    submit: float
    read_back: float
    gas: dict[str, int]


def submit(
    place: Place, submission: Submission, policy: FeePolicy, outbox: SqliteOutbox
) -> Outcome:
    """Submit and read back, timed.

    Raises ``SubmissionError`` as the submitter does, and if the record was there before, for then
    nothing was submitted.
    """
    watch, clock = Watch(), PausingClock()
    submitter = Submitter(
        place.node,
        place.network,
        place.account,
        outbox,
        policy,
        timing=QUICK,
        observer=watch,
        clock=clock,
    )
    began = time.perf_counter()
    result = submitter.submit(submission)
    seconds = time.perf_counter() - began
    if result.already:
        raise SubmissionError(
            f"record {result.record.digest:#x}: expected a new one, got one that account "
            f"{place.account.address:#x} has made before; choose other samples"
        )
    parts = {part: watch.seconds.get(part, 0.0) for part in PARTS}
    read_back = parts.pop(READ_BACK)
    parts[PAUSES] = clock.paused
    gas = gas_used(place.node, [t.tx_hash for t in result.transactions])
    return Outcome(result, parts, seconds - read_back, read_back, gas)


def gas_used(node: Node, hashes: Sequence[int]) -> dict[str, int]:
    """Units of the three resources that the receipts of transactions name, in all."""
    out = dict.fromkeys(("l1_gas", "l1_data_gas", "l2_gas"), 0)
    for tx_hash in hashes:
        receipt = node.read("getTransactionReceipt", {"transaction_hash": hex(tx_hash)})
        resources = receipt.get("execution_resources") if isinstance(receipt, dict) else None
        for name in out:
            units = resources.get(name) if isinstance(resources, dict) else None
            if type(units) is not int:
                raise SubmissionError(
                    f"transaction {tx_hash:#x}: expected a receipt with {name}, got {units!r}"
                )
            out[name] += units
    return out


@dataclass
class Run:
    """Seconds of one run, from its inference to the record that was read back.

    Attributes:
      seconds: by stage, and ``total`` by the clock on the wall.
      inside: of the stages that are shown in parts.
      facts: what was proved and recorded, for the record.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    inside: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """For the record."""
        return {
            **self.facts,
            "seconds": _script.rounded(self.seconds, DIGITS),
            "inside": {name: _script.rounded(s, DIGITS) for name, s in self.inside.items()},
        }


def spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Median, least and largest by name; a run without a name took no time for it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: _script.spread([run.get(name, 0.0) for run in runs], DIGITS) for name in names}


def table(cold: Run, warm: Sequence[Run]) -> list[str]:
    """The latency table, in seconds: the first run, and the spread of those after it."""
    out = [f"{'seconds':<28}{'cold':>10}{'warm':>10}{'min':>10}{'max':>10}"]
    for stage in (*STAGES, "total"):
        if stage in cold.seconds:
            out.append(_line(stage, cold.seconds, [run.seconds for run in warm]))
        parts = cold.inside.get(stage, {})
        inside = [run.inside.get(stage, {}) for run in warm]
        out += [_line(part, parts, inside, "  ") for part in parts]
    return out


def _line(
    name: str, cold: Mapping[str, float], warm: Sequence[Mapping[str, float]], indent: str = ""
) -> str:
    values = [run[name] for run in warm if name in run]
    cells = [f"{cold[name]:.4f}"]
    if values:
        cells += [f"{f(values):.4f}" for f in (statistics.median, min, max)]
    else:
        cells += ["-"] * 3
    return f"{indent + name:<28}" + "".join(f"{cell:>10}" for cell in cells)
