"""What a submitter tells while it works, how long it waits, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxstark.starknet.registry import Recorded

EVENTS = (
    *("checked", "planned", "estimated", "signing", "signed", "sending", "sent", "unclear"),
    *("refused", "waiting", "pre_confirmed", "resending", "replacing", "accepted", "reverted"),
    *("dead", "reopened", "reading", "done"),
)
"""Names of all steps. Between ``signing`` and ``signed`` the transaction is signed and stored,
between ``sending`` and what follows it is handed to the node."""


@dataclass(frozen=True)
class Progress:
    """A step of a submission.

    Attributes:
      what: one of ``EVENTS``.
      job: key of the job.
      index: transaction of the job, from 0; -1 for the job as a whole.
      total: transactions of the job.
      tx_hash: of the transaction; None before it is signed.
      detail: words for a person; empty if ``what`` says all.
    """

    what: str
    job: str
    index: int = -1
    total: int = 0
    tx_hash: int | None = None
    detail: str = ""


Observer = Callable[[Progress], None]
"""Called at every step, before the next one begins; what it raises ends the submission."""


@dataclass(frozen=True)
class Timing:
    """Seconds between actions.

    Attributes:
      poll: between two looks at a waiting transaction.
      resend: after which a transaction that the node does not know is sent again.
      bump_after: after which a transaction in the mempool is replaced by one that pays more;
        infinite for never.
      give_up: after which waiting ends; the transaction may still land, and running again goes on.
      settle: between acceptance and a second look, which must find the same.

    Raises ``ValueError`` for a negative number or a pause of nothing.
    """

    poll: float = 2.0
    resend: float = 15.0
    bump_after: float = 120.0
    give_up: float = 1800.0
    settle: float = 4.0

    def __post_init__(self) -> None:
        for name in ("poll", "resend", "bump_after", "give_up", "settle"):
            value = getattr(self, name)
            if not (value > 0 or (name == "settle" and value == 0)) or math.isnan(value):
                raise ValueError(f"timing: {name}: expected a positive number, got {value!r}")


@dataclass(frozen=True)
class Landed:
    """A transaction that did what it was to do.

    Attributes:
      tx_hash: its hash.
      block: number of its block.
      fee: FRI paid; 0 where the transaction was not sent from this outbox.
      link: address in an explorer; None where the network has none.
    """

    tx_hash: int
    block: int
    fee: int
    link: str | None


@dataclass(frozen=True)
class Result:
    """A submission that succeeded: final, and its event read back.

    Attributes:
      job: key in the outbox.
      transactions: in order.
      record: the event, equal to what was packed.
      fee: FRI paid in all, reverted transactions included.
      already: whether it was all there before this call.
    """

    job: str
    transactions: tuple[Landed, ...]
    record: Recorded
    fee: int
    already: bool
