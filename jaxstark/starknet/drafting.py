"""Drafting transactions: estimates, bounds within the caps, signatures, their way to the outbox.

Everything that is signed for the network is stored by the outbox before anyone may send it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxstark.starknet.accounts import Account
from jaxstark.starknet.calls import Call, Signed, sign
from jaxstark.starknet.clock import Clock
from jaxstark.starknet.fees import NO_BOUNDS, Bounds, FeePolicy, require_within, show
from jaxstark.starknet.guard import check_balance
from jaxstark.starknet.networks import Network
from jaxstark.starknet.outbox import ACCEPTED, LIVE, REVERTED, Attempt, JobRow, Outbox
from jaxstark.starknet.progress import Observer, Progress, Timing
from jaxstark.starknet.rpc import PRE_CONFIRMED, Node
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submission_error import NodeError, SubmissionError, revert_reason

INVALID = 55
MAX_ATTEMPTS = 12  # signatures of one transaction
_HINTS = {
    INVALID: "the account refuses the signature: check that key and address belong together",
    58: "the address is no account contract: check STARKNET_ACCOUNT_ADDRESS",
    61: "the network does not take transactions of version 3",
    69: "the network does not accept the proof that was passed through",
}


@dataclass(frozen=True)
class Drafter:
    """Signs the transactions of one account.

    Attributes:
      node, network, account, outbox, policy, timing, clock: what to work with.
      observer: told at every step.
    """

    node: Node
    network: Network
    account: Account
    outbox: Outbox
    policy: FeePolicy
    timing: Timing
    clock: Clock
    observer: Observer | None = None

    def tell(
        self, what: str, job: JobRow, index: int = -1, tx: int | None = None, detail: str = ""
    ) -> None:
        """Tell the observer."""
        if self.observer is not None:
            self.observer(Progress(what, job.key, index, job.transactions, tx, detail))

    def _sign(
        self,
        sub: Submission,
        calls: Sequence[Call],
        nonce: int,
        bounds: Bounds,
        tip: int,
        query: bool,
    ) -> Signed:
        return sign(
            calls,
            sender=self.account.address,
            signer=self.account.signer,
            chain_id=self.network.chain_id,
            nonce=nonce,
            bounds=bounds,
            tip=tip,
            proof=sub.proof,
            proof_facts=sub.proof_facts,
            query=query,
        )

    def queries(
        self, sub: Submission, first: int, nonce: int, bounds: Sequence[Bounds] = ()
    ) -> list[dict[str, Any]]:
        """Transactions from ``first`` on, signed for trials only; without bounds for estimates."""
        return [
            json.loads(
                self._sign(
                    sub, calls, nonce + i, bounds[i] if bounds else NO_BOUNDS, self.policy.tip, True
                ).payload
            )
            for i, calls in enumerate(sub.transactions[first:])
        ]

    def estimate(self, sub: Submission, first: int, nonce: int) -> list[Bounds]:
        """What the transactions from ``first`` on would use, one after the other.

        Raises ``SubmissionError`` with the contract's reason if one of them would fail.
        """
        queries = self.queries(sub, first, nonce)
        for patience in reversed(range(4)):
            try:
                return self.node.estimate(queries)
            except NodeError as error:
                # A node behind the one that showed the last chunk does not have it yet.
                if first == 0 or patience == 0 or error.code != 41:
                    raise SubmissionError(
                        "estimate: the network would refuse the transaction: "
                        f"{revert_reason(error.data or error.message)} (error {error.code})"
                        f"{hint(error)}; nothing more was sent"
                    ) from None
            self.clock.sleep(self.timing.poll)
        raise SubmissionError("estimate: the node gives none")

    def spent(self, job: JobRow) -> int:
        """FRI that the job has cost so far."""
        return sum(a.fee for a in self.outbox.attempts(job.key) if a.state in (ACCEPTED, REVERTED))

    def _reserved(self, job: JobRow, index: int) -> list[int]:
        """FRI that other transactions of the job, signed and not settled, can cost at worst."""
        worst: dict[int, int] = {}
        for a in self.outbox.attempts(job.key):
            if a.state == LIVE and a.index != index:
                worst[a.index] = max(worst.get(a.index, 0), a.worst_fee)
        return list(worst.values())

    def check_cap(self, job: JobRow, attempt: Attempt) -> None:
        """Refuse to send for the first time what costs more than a cap that was lowered since.

        Raises ``SubmissionError``.
        """
        worst = [attempt.worst_fee, *self._reserved(job, attempt.index)]
        require_within(worst, self.spent(job), job.max_fee)

    def sign_new(self, job: JobRow, sub: Submission, index: int) -> None:
        """Sign a transaction at the account's next nonce and store it.

        Raises ``SubmissionError``, with nothing stored, where the cap or the balance is too small
        for this transaction and those after it.
        """
        nonce = self.node.nonce(self.account.address, PRE_CONFIRMED)
        tip = self.policy.tip
        found = self.estimate(sub, index, nonce)
        bounds = [self.policy.bounds(estimate) for estimate in found]
        worst = [b.worst_fee(tip) for b in bounds]
        require_within([*worst, *self._reserved(job, index)], self.spent(job), job.max_fee)
        check_balance(self.node, self.account.address, sum(worst))
        self.tell("estimated", job, index, detail=f"at most {show(worst[0])}")
        self._store(job, sub, index, nonce, bounds[0], tip)

    def _store(
        self, job: JobRow, sub: Submission, index: int, nonce: int, bounds: Bounds, tip: int
    ) -> None:
        self.tell("signing", job, index)
        signed = self._sign(sub, sub.transactions[index], nonce, bounds, tip, False)
        self.outbox.add_attempt(
            Attempt(
                job=job.key,
                index=index,
                tx_hash=signed.tx_hash,
                nonce=nonce,
                payload=signed.payload,
                bounds=json.dumps(bounds.to_json()),
                tip=tip,
                worst_fee=signed.worst_fee,
                created=self.clock.now(),
            )
        )
        self.tell("signed", job, index, signed.tx_hash, f"at most {show(signed.worst_fee)}")

    def replace(self, job: JobRow, sub: Submission, index: int, live: Sequence[Attempt]) -> None:
        """Sign the transaction again at its nonce, paying more, within the cap of the job."""
        newest = live[-1]
        if len(live) >= MAX_ATTEMPTS:
            raise SubmissionError(
                f"transaction {newest.tx_hash:#x}: expected to be accepted within {MAX_ATTEMPTS} "
                "fee bumps, got none accepted; wait, then run again"
            )
        found = self.estimate(sub, index, newest.nonce)
        old = Bounds.from_json(json.loads(newest.bounds))
        bounds, tip = self.policy.replacement(old, newest.tip, found[0])
        later = [self.policy.bounds(e).worst_fee(self.policy.tip) for e in found[1:]]
        worst = [bounds.worst_fee(tip), *later, *self._reserved(job, index)]
        require_within(worst, self.spent(job), job.max_fee)
        self.tell("replacing", job, index, newest.tx_hash)
        self._store(job, sub, index, newest.nonce, bounds, tip)


def hint(error: NodeError) -> str:
    """What to do about an error of the node, behind a colon; empty where that is not known."""
    words = _HINTS.get(error.code, "")
    if not words and "signature" in error.data.lower():
        words = _HINTS[INVALID]
    return f": {words}" if words else ""
