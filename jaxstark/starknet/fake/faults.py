"""What may go wrong between a client and the fake node, said in advance.

A ``Fault`` strikes calls of one method. On the wire: the answer is lost or late, the connection is
reset, HTTP or JSON-RPC errors come back. On the chain: the accepted transaction is reverted, slow,
dropped from the mempool, or undone with its block.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .chain import ACCEPTED, PRE_CONFIRMED, Fate
from .errors import MESSAGES

SEND = "addInvokeTransaction"
HTTP, ERROR, RESET = "http", "error", "reset"


@dataclass(frozen=True)
class Fault:
    """One fault; the class methods make the useful ones.

    Attributes:
      name: what to call it in reports.
      method: the JSON-RPC method that it strikes, without ``starknet_``; "" for every method.
      skip, times: how many calls of the method it lets pass first, and how many it then strikes.
      answer: ``"http"`` or ``"error"`` with a ``code``, or ``"reset"`` of the connection; "" lets
        the true answer through.
      after: whether the node does what it was asked before it gives that answer.
      seconds: how long the client waits first.
      fate: what happens to the transaction on the chain.
    """

    name: str
    method: str = SEND
    skip: int = 0
    times: int = 1
    answer: str = ""
    code: int = 0
    after: bool = False
    seconds: float = 0.0
    fate: Fate = Fate()

    def __post_init__(self) -> None:
        if self.answer not in ("", HTTP, ERROR, RESET):
            raise ValueError(f"fault answer: expected http, error, reset or '', got {self.answer}")
        if self.answer == ERROR and self.code not in MESSAGES:
            raise ValueError(f"fault code: expected a JSON-RPC error code, got {self.code}")
        if self.answer == HTTP and not 300 <= self.code <= 599:
            raise ValueError(f"fault code: expected an HTTP status in 300..599, got {self.code}")
        if self.skip < 0 or self.times < 1 or self.seconds < 0:
            raise ValueError("fault: expected skip and seconds >= 0 and times >= 1")

    @classmethod
    def timeout(cls, seconds: float = 30.0, **where: int | str) -> Fault:
        """The node accepts, and the answer never comes: the connection breaks after ``seconds``."""
        return cls("timeout", answer=RESET, after=True, seconds=seconds, **where)  # type: ignore[arg-type]

    @classmethod
    def reset(cls, after: bool = False, **where: int | str) -> Fault:
        """The connection is reset, before or after the node has done what it was asked."""
        name = f"reset {'after' if after else 'before'}"
        return cls(name, answer=RESET, after=after, **where)  # type: ignore[arg-type]

    @classmethod
    def http(cls, code: int, **where: int | str) -> Fault:
        """An HTTP status instead of an answer, such as 429 or 500; the node does nothing."""
        return cls(f"http {code}", answer=HTTP, code=code, **where)  # type: ignore[arg-type]

    @classmethod
    def error(cls, code: int, after: bool = False, **where: int | str) -> Fault:
        """A JSON-RPC error instead of an answer; ``after`` the node has accepted, or not at all."""
        name = f"error {code}{' after' if after else ''}"
        return cls(name, answer=ERROR, code=code, after=after, **where)  # type: ignore[arg-type]

    @classmethod
    def revert(cls, reason: str = "forced revert", **where: int | str) -> Fault:
        """The transaction is reverted on the chain; nonce and fee are spent."""
        return cls("revert", fate=Fate(revert=reason), **where)  # type: ignore[arg-type]

    @classmethod
    def slow(cls, execution: int = 3, block: int = 3, **where: int | str) -> Fault:
        """The transaction stays RECEIVED and PRE_CONFIRMED for so many more ticks."""
        fate = Fate(wait_execution=execution, wait_block=block)
        return cls("slow", fate=fate, **where)  # type: ignore[arg-type]

    @classmethod
    def unseen(cls, ticks: int = 3, **where: int | str) -> Fault:
        """The transaction is accepted, but for so many ticks the node says that it knows none."""
        return cls("unseen", fate=Fate(hide=ticks), **where)  # type: ignore[arg-type]

    @classmethod
    def evict(cls, **where: int | str) -> Fault:
        """The transaction is accepted and then dropped from the mempool."""
        return cls("evict", fate=Fate(evict=True), **where)  # type: ignore[arg-type]

    @classmethod
    def reorg(cls, stage: str = ACCEPTED, **where: int | str) -> Fault:
        """The transaction's block is undone once it is ``stage``; nobody knows it any more."""
        if stage not in (PRE_CONFIRMED, ACCEPTED):
            raise ValueError(f"stage: expected {PRE_CONFIRMED} or {ACCEPTED}, got {stage}")
        return cls(f"reorg {stage}", fate=Fate(reorg=stage), **where)  # type: ignore[arg-type]


def usual_faults(seconds: float = 0.05) -> tuple[Fault, ...]:
    """One of each kind that a client must survive without losing or doubling anything."""
    return (
        Fault.timeout(seconds),
        Fault.reset(),
        Fault.reset(after=True),
        Fault.http(429),
        Fault.http(500),
        Fault.error(59, after=True),
        Fault.error(52),
        Fault.error(63),
        Fault.error(63, after=True),
        Fault.slow(),
        Fault.unseen(),
        Fault.evict(),
        Fault.reorg(),
        Fault.reorg(PRE_CONFIRMED),
    )


@dataclass(frozen=True)
class RandomFaults:
    """Strikes calls of ``method`` with probability ``rate``, each time with one of ``faults``.

    ``read_rate`` is the probability of an HTTP 500 or a reset for any other method. All follows
    from ``seed`` and the order of the calls.
    """

    seed: int
    rate: float = 0.3
    read_rate: float = 0.0
    faults: tuple[Fault, ...] = field(default_factory=usual_faults)
    method: str = SEND

    def __post_init__(self) -> None:
        if not (0 <= self.rate <= 1 and 0 <= self.read_rate <= 1 and self.faults):
            raise ValueError("random faults: expected rates in 0..1 and at least one fault")


class Injector:
    """Chooses the fault of each call: the listed ones in order, then the random ones."""

    def __init__(self, faults: Sequence[Fault] = (), random_faults: RandomFaults | None = None):
        self._listed: list[list] = [[fault, 0] for fault in faults]
        self._random = random_faults
        self._rng = random.Random(random_faults.seed if random_faults else 0)
        self.struck: list[tuple[str, str]] = []  # method and name of every fault that struck

    def add(self, fault: Fault) -> None:
        """One more fault; it counts calls from now on."""
        self._listed.append([fault, 0])

    def next(self, method: str) -> Fault | None:
        """The fault of this call, if any; of several that apply, the first listed."""
        chosen = None
        for slot in self._listed:
            fault, seen = slot
            if fault.method not in ("", method):
                continue
            slot[1] = seen + 1
            if chosen is None and fault.skip <= seen < fault.skip + fault.times:
                chosen = fault
        chosen = chosen or self._draw(method)
        if chosen is not None:
            self.struck.append((method, chosen.name))
        return chosen

    def _draw(self, method: str) -> Fault | None:
        if self._random is None:
            return None
        if method == self._random.method:
            if self._rng.random() < self._random.rate:
                return self._rng.choice(self._random.faults)
        elif self._rng.random() < self._random.read_rate:
            return self._rng.choice((Fault.http(500), Fault.reset()))
        return None
