"""The outbox: what was decided and signed, kept before it is sent, so that a crash loses nothing.

A job has one entry per transaction of its plan. An entry collects attempts: signed transactions, of
which at most one can ever land, because a new attempt has the nonce of the old ones until those are
known dead. That rule is checked here, when an attempt is stored, whoever asks. An attempt is

- ``live``: signed, and it may be on its way;
- ``accepted``: in a block, and it did what it was to do;
- ``reverted``: in a block, undone, fee and nonce spent;
- ``dead``: another transaction took its nonce, so it can never land.

Nothing in here is secret: signatures are public, keys are never handed in. Every change goes into a
journal too. ``SqliteOutbox`` is the default store; anything with the methods of ``Outbox`` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

LIVE, ACCEPTED, REVERTED, DEAD = "live", "accepted", "reverted", "dead"
STATES = (LIVE, ACCEPTED, REVERTED, DEAD)


@dataclass(frozen=True)
class JobRow:
    """A job as it is kept.

    Attributes:
      key: identity: a hash of chain, account, calls and proof facts (``Submission.key``).
      chain_id, account: where and as whom.
      plan: JSON text of the calls of every transaction.
      transactions: how many.
      skip: transactions at the beginning that the chain had before the job was made.
      max_fee: FRI that it may cost in all.
      done: whether its event was read back.
      created: seconds since 1970.
    """

    key: str
    chain_id: int
    account: int
    plan: str
    transactions: int
    skip: int
    max_fee: int
    done: bool
    created: float


@dataclass(frozen=True)
class Attempt:
    """A signed transaction of a job.

    Attributes:
      job, index: which transaction of which job.
      tx_hash, nonce: of the transaction.
      payload: what is sent, to the byte.
      bounds: JSON text of its resource bounds.
      tip: FRI for each unit of L2 gas.
      worst_fee: FRI that it can cost at most.
      state: one of ``STATES``.
      sends: how often sending it was begun.
      error: the node's refusal when it was last sent; empty if there was none.
      fee: FRI that it did cost.
      created: seconds since 1970.
      sent: when sending was last begun; 0 for never.
    """

    job: str
    index: int
    tx_hash: int
    nonce: int
    payload: str
    bounds: str
    tip: int
    worst_fee: int
    state: str = LIVE
    sends: int = 0
    error: str = ""
    fee: int = 0
    created: float = 0.0
    sent: float = 0.0


class Outbox(Protocol):
    """What the submitter asks of a store; every method is atomic and durable when it returns."""

    def bind(self, network: str) -> None:
        """Keep the name of the network that the outbox is for, or compare it.

        Networks may share a chain id, and a transaction that is signed for one is valid on the
        other. Raises ``SubmissionError`` for another network than before.
        """
        ...

    def sender(self, chain_id: int, account: int) -> AbstractContextManager[None]:
        """The right to send for an account, for one holder at a time, over all processes.

        It ends with the process that holds it. Raises ``SubmissionError`` if it is taken.
        """
        ...

    def add_job(self, job: JobRow) -> None:
        """Keep a job; one of that key that is there already stays as it is."""
        ...

    def job(self, key: str) -> JobRow | None:
        """The job of a key."""
        ...

    def set_job(self, key: str, *, max_fee: int | None = None, done: bool | None = None) -> None:
        """Change a job; None leaves a field as it is."""
        ...

    def add_attempt(self, attempt: Attempt) -> None:
        """Keep a signed transaction.

        Raises ``SubmissionError``, and keeps nothing, if an attempt of the same transaction of the
        job was accepted, or one with another nonce is live.
        """
        ...

    def attempts(self, key: str, index: int | None = None) -> list[Attempt]:
        """Attempts of a job, or of one of its transactions, the oldest first."""
        ...

    def live_attempts(self, chain_id: int, account: int) -> list[Attempt]:
        """Live attempts of all jobs of an account, by nonce and then age."""
        ...

    def settled_attempts(self, chain_id: int, account: int, nonce: int) -> list[Attempt]:
        """Attempts of an account with a nonce that were accepted or reverted."""
        ...

    def sending(self, tx_hash: int, when: float) -> None:
        """Note that sending an attempt begins; clears its error."""
        ...

    def refused(self, tx_hash: int, error: str) -> None:
        """Note that the node refused an attempt."""
        ...

    def settle(self, tx_hash: int, state: str, fee: int = 0) -> None:
        """Change the state of an attempt."""
        ...

    def note(self, key: str, index: int, what: str, detail: str = "") -> None:
        """Write a line of the journal."""
        ...

    def journal(self, key: str) -> Sequence[tuple[float, int, str, str]]:
        """Lines of a job: seconds since 1970, transaction, what happened, detail."""
        ...
