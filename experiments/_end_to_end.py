"""A timed submission, and the table of end_to_end.py; the benchmark's ``--submit`` uses it, too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import _script
from _submit import Place

from jaxstark.starknet.clock import SystemClock
from jaxstark.starknet.fees import FeePolicy
from jaxstark.starknet.guard import check_contracts, check_network, on_chain
from jaxstark.starknet.job import RECORD
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.progress import Progress, Result, Timing
from jaxstark.starknet.registry import Recorded, record_of_call
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
CHECK, SIGN, BROADCAST = "check, estimate", "sign, keep", "broadcast to accepted"
LOOK = "second look"
_ENDS = {
    **dict.fromkeys(("checked", "planned", "estimated", "signing"), CHECK),
    "signed": SIGN,
    "reading": LOOK,
    "done": READ_BACK,
}
PARTS = (CHECK, SIGN, BROADCAST, LOOK, READ_BACK)

# Of one run; "start" to "set-up" and "compile" only come before or in the first.
STAGES = (
    *("start", "connect", "inference", "trace", "set-up", "compile", "prove", "verify", "pack"),
    *("submit", READ_BACK),
)
# What the system that this project replaces claims for all of it, and what its own records say;
# least and most seconds, on other machines, and not of sound proofs.
PUBLISHED = {"claimed": [0.0, 1.0], "recorded": [8.9, 17.8]}


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
    """

    result: Result
    parts: dict[str, float]
    submit: float
    read_back: float


def submit(
    place: Place, submission: Submission, policy: FeePolicy, outbox: SqliteOutbox
) -> Outcome:
    """Submit and read back, timed.

    Raises ``SubmissionError`` as the submitter does, and if the record was there before, for then
    nothing was submitted.
    """
    # Before the watch begins, so that no part is outside the whole.
    began = time.perf_counter()
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
    result = submitter.submit(submission)
    seconds = time.perf_counter() - began
    if result.already:
        raise SubmissionError(
            f"record {result.record.digest:#x}: expected a new one, got one that account "
            f"{place.account.address:#x} has made before; choose other samples; nothing was sent"
        )
    parts = {part: watch.seconds.get(part, 0.0) for part in PARTS}
    read_back = parts.pop(READ_BACK)
    parts[PAUSES] = clock.paused
    return Outcome(result, parts, seconds - read_back, read_back)


def preflight(place: Place, registry: int) -> None:
    """Refuse an account or a registry that is not there, before there is a proof to record.

    Raises ``ValueError`` for another network, ``SubmissionError`` for the rest.
    """
    check_network(place.node, place.network, allow_mainnet=False)
    nothing = Recorded(0, 0, 0, 0, 0, 0, 0, 0)
    call = record_of_call(registry, place.account.address, 0, 0)
    asked = Submission(((replace(call, step=RECORD),),), registry, nothing)
    check_contracts(place.node, asked, place.account.address)
    on_chain(place.node, asked, place.account.address)


def gas_used(node: Node, result: Result) -> dict[str, int]:
    """Units of the three resources that the receipts of a submission name, in all."""
    out: dict[str, int] = {"l1_gas": 0, "l1_data_gas": 0, "l2_gas": 0}
    for tx_hash in (landed.tx_hash for landed in result.transactions):
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


def run_line(name: str, run: Run, class_name: Callable[[int], str]) -> str:
    """A line about a run, when it is done."""
    facts = run.facts
    classes = [class_name(c) for c in facts["classes"]]
    answer = ", ".join(classes[:8]) + (", .." if len(classes) > 8 else "")
    begin, end = facts["samples"]
    return (
        f"{name:<8} samples {begin}:{end}, {answer}; record {facts['digest'][:12]}.. in block "
        f"{facts['transactions'][-1]['block']}; {run.seconds['total']:.3f} s"
    )


def notes(runs: Sequence[Run], pow_bits: int, cached: int, fake: bool) -> list[str]:
    """What the table does not say by itself, and the sizes.

    Args:
      runs: the cold run and the warm ones.
      pow_bits: bits of the proof of work.
      cached: compiled programs that there were before.
      fake: whether the network is the one in this process.
    """
    facts, count = runs[0].facts, len(runs[0].facts["transactions"])
    tried = ", ".join(f"{run.facts['nonces_tried']:,}" for run in runs)
    (_, claim), (low, high) = PUBLISHED["claimed"], PUBLISHED["recorded"]
    warm = "not measured (--repeat)"
    if len(runs) > 1:
        warm = (
            f"median of {len(runs) - 1}, each of other samples, with a proof and a record of its "
            "own; key and programs are kept"
        )
    chain = "the node of --rpc_url sets the pace"
    if fake:
        chain = (
            "the fake network is in this process and accepts at the second look: signing, checks, "
            "local HTTP and the fake's own work are in it, and no network latency"
        )
    return [
        "cold: from the start of the process, with compilation; start: interpreter, imports, "
        f"device, data; {cached} files of compiled programs were there",
        f"warm: {warm}",
        f"proof of work: a search whose length is luck, {1 << pow_bits:,} tries expected, made "
        f"{tried}",
        f"submit, read back: {chain}",
        f"published for what this replaces: below {claim:g} s claimed, {low:g} to {high:g} s "
        "recorded; on other machines, and not of sound proofs",
        "recorded, not verified: the registry keeps the proof and checks none",
        f"size         {facts['felts']} felts ({facts['encoding']}) in {count} "
        f"transaction{'s' * (count > 1)}; {facts['bytes']} bytes binary",
        f"L2 gas       {facts['model_l2_gas'] / 1e6:.2f} M by the model of docs/starknet.md, "
        f"{facts['gas']['l2_gas'] / 1e6:.2f} M by "
        f"{'the model of the fake network' if fake else 'the receipts'}",
    ]
