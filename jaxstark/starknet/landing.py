"""Bringing one transaction into a block: send, look, send again, pay more, or know that it is dead.

The rules that make this safe:

- A transaction is stored before it is sent, and the stored bytes are what is sent, however often.
- A new signature for the same transaction has the same nonce, so that at most one can land.
- A new nonce is taken only when another transaction was found in the place of the old one.
- The node's "unknown" is never taken for "gone": the bytes are sent again.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxstark.starknet.drafting import INVALID, Drafter, hint
from jaxstark.starknet.fees import show
from jaxstark.starknet.nonces import taker_of_nonce
from jaxstark.starknet.outbox import ACCEPTED, DEAD, LIVE, REVERTED, Attempt, JobRow
from jaxstark.starknet.rpc import PRE_CONFIRMED, Receipt
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submission_error import (
    NodeError,
    SubmissionError,
    Unreachable,
    revert_reason,
    shorten,
)

WRONG_NONCE, LOW_BOUNDS, NO_FUNDS = 52, 53, 54
DUPLICATE, UNEXPECTED, UNDERPRICED, BELOW_MINIMUM = 59, 63, 64, 65
MAX_UNEXPECTED = 8  # answers "unexpected error" in a row


class Lander:
    """Brings what a drafter has signed into blocks."""

    def __init__(self, drafter: Drafter) -> None:
        self.drafter = drafter
        self._unexpected = 0

    def land(self, job: JobRow, sub: Submission, index: int, replace: bool = True) -> str:
        """Bring the live attempt of a transaction into a block.

        Args:
          job: whose transaction it is.
          sub: its plan.
          index: of the transaction; it has a live attempt.
          replace: whether an attempt that the node refused before is signed anew, at its nonce.

        Returns ``"accepted"``, ``"reverted"`` or ``"dead"``, as it is then in the outbox. Raises
        ``SubmissionError`` where it cannot go on; the attempt stays live.
        """
        began = self.drafter.clock.now()
        due = began  # when to send again
        pause = self.drafter.timing.poll
        bumping = True
        self._unexpected = 0
        while True:
            live = [a for a in self.drafter.outbox.attempts(job.key, index) if a.state == LIVE]
            newest = live[-1]
            status = self._look(job, index, live) if any(a.sends for a in live) else ""
            if status in (ACCEPTED, REVERTED, DEAD):
                return status
            now = self.drafter.clock.now()
            late = newest.sends and now - newest.sent > self.drafter.timing.bump_after
            if status == "waiting" and bumping and late:
                try:
                    self.drafter.replace(job, sub, index, live)
                    due = now
                    continue
                except SubmissionError as error:  # the waiting one may still land
                    self.drafter.outbox.note(job.key, index, "not replaced", shorten(str(error)))
                    bumping = False
            if status == "" and newest.error and replace and not _is_about_funds(newest):
                self.drafter.replace(job, sub, index, live)
                continue
            unsent = newest.sends == 0
            if (unsent or status == "") and (unsent or now >= due):
                if newest.sends and not unsent:
                    self.drafter.tell("resending", job, index, newest.tx_hash)
                outcome = self._send(job, sub, index, live)
                now = self.drafter.clock.now()
                if outcome == "replaced":
                    due = now
                    continue
                pause = self.drafter.timing.poll if outcome == "sent" else min(pause * 2, 30.0)
                due = now + (self.drafter.timing.resend if outcome == "sent" else pause)
            if now - began > self.drafter.timing.give_up:
                raise SubmissionError(
                    f"transaction {newest.tx_hash:#x}: expected it in a block within "
                    f"{self.drafter.timing.give_up:g} s, got none; it may still land: run the same "
                    "command again to go on, which sends nothing twice"
                )
            self.drafter.clock.sleep(self.drafter.timing.poll)

    def _look(self, job: JobRow, index: int, live: Sequence[Attempt]) -> str:
        """Where a transaction is: a final state, ``"waiting"``, ``"included"``, or ``""``."""
        receipts: dict[int, Receipt | None] = {}
        for attempt in live:
            receipt = self.drafter.node.receipt(attempt.tx_hash)
            receipts[attempt.tx_hash] = receipt
            if receipt is not None and receipt.final:
                return self._settled(job, index, attempt, receipt)
        for attempt in live:
            if receipts[attempt.tx_hash] is not None:
                self.drafter.tell("pre_confirmed", job, index, attempt.tx_hash)
                return "included"
        if any(self.drafter.node.known(a.tx_hash) for a in reversed(live)):
            self.drafter.tell("waiting", job, index, live[-1].tx_hash)
            self._fill_gap(live[-1].nonce)
            return "waiting"
        nonce = live[-1].nonce
        if self.drafter.node.nonce(self.drafter.account.address) > nonce:
            taker = taker_of_nonce(self.drafter.node, self.drafter.account.address, nonce)
            if taker is not None and taker not in receipts:
                return self._taken(job, index, live, taker)
            return "included"  # a part of the node knows it already
        return ""

    def _taken(self, job: JobRow, index: int, live: Sequence[Attempt], taker: int) -> str:
        """What it means that none of the live attempts has their nonce: ``"dead"``, mostly."""
        outbox, nonce = self.drafter.outbox, live[-1].nonce
        if any(a.tx_hash == taker for a in outbox.attempts(job.key, index)):
            # The same calls under an earlier signature, which was dead while the block of a later
            # one stood, and came in its place when that block was undone.
            outbox.settle(taker, LIVE)
            return "included"
        for attempt in live:
            outbox.settle(attempt.tx_hash, DEAD)
            detail = f"nonce {nonce} was taken by {taker:#x}"
            self.drafter.tell("dead", job, index, attempt.tx_hash, detail)
        return DEAD

    def _fill_gap(self, nonce: int) -> None:
        """Send again what must come first, if a block with it was undone after it was accepted."""
        account, outbox = self.drafter.account.address, self.drafter.outbox
        first = self.drafter.node.nonce(account, PRE_CONFIRMED)
        if first >= nonce:
            return
        for attempt in outbox.settled_attempts(self.drafter.network.chain_id, account, first):
            if self.drafter.node.receipt(attempt.tx_hash) is None:
                outbox.settle(attempt.tx_hash, LIVE)
                outbox.sending(attempt.tx_hash, self.drafter.clock.now())
                try:
                    self.drafter.node.broadcast(attempt.payload)
                except (NodeError, Unreachable) as error:  # the next look tries again
                    outbox.note(attempt.job, attempt.index, "unclear", shorten(str(error)))

    def _settled(self, job: JobRow, index: int, attempt: Attempt, receipt: Receipt) -> str:
        state = ACCEPTED if receipt.succeeded else REVERTED
        self.drafter.outbox.settle(attempt.tx_hash, state, receipt.fee)
        if not receipt.succeeded:
            self.drafter.outbox.note(job.key, index, "reason", receipt.reason)
        for other in self.drafter.outbox.attempts(job.key, index):
            if other.state == LIVE and other.nonce == attempt.nonce:
                self.drafter.outbox.settle(other.tx_hash, DEAD)
        detail = f"fee {show(receipt.fee)}"
        if not receipt.succeeded:
            detail = f"{revert_reason(receipt.reason)}, {detail}"
        self.drafter.tell(state, job, index, attempt.tx_hash, detail)
        return state

    def _send(self, job: JobRow, sub: Submission, index: int, live: Sequence[Attempt]) -> str:
        """Hand the newest attempt to the node: ``"sent"``, ``"unclear"`` or ``"replaced"``."""
        attempt = live[-1]
        if not attempt.sends:
            self.drafter.check_cap(job, attempt)
        self.drafter.outbox.sending(attempt.tx_hash, self.drafter.clock.now())
        self.drafter.tell("sending", job, index, attempt.tx_hash)
        try:
            answered = self.drafter.node.broadcast(attempt.payload)
        except Unreachable as error:
            self.drafter.tell("unclear", job, index, attempt.tx_hash, str(error))
            if not error.retry:
                raise
            return "unclear"
        except NodeError as error:
            return self._refused(job, sub, index, live, error)
        if answered != attempt.tx_hash:
            raise SubmissionError(
                f"transaction {attempt.tx_hash:#x}: expected the node to give it this hash, got "
                f"{answered:#x}; it was sent and may land: run again with another node"
            )
        self._unexpected = 0
        self.drafter.tell("sent", job, index, attempt.tx_hash)
        return "sent"

    def _refused(
        self, job: JobRow, sub: Submission, index: int, live: Sequence[Attempt], error: NodeError
    ) -> str:
        attempt, code = live[-1], error.code
        if code == DUPLICATE:
            self.drafter.tell("sent", job, index, attempt.tx_hash, "the node has it already")
            return "sent"
        if code == WRONG_NONCE or (code == INVALID and "nonce" in error.data.lower()):
            self.drafter.tell(
                "unclear", job, index, attempt.tx_hash, "nonce"
            )  # the next look decides
            return "unclear"
        if code == UNEXPECTED:
            self._unexpected += 1
            if self._unexpected < MAX_UNEXPECTED:
                self.drafter.tell("unclear", job, index, attempt.tx_hash, shorten(str(error)))
                return "unclear"
        self.drafter.outbox.refused(attempt.tx_hash, f"{code} {shorten(str(error))}")
        self.drafter.tell("refused", job, index, attempt.tx_hash, shorten(str(error)))
        if code in (LOW_BOUNDS, UNDERPRICED, BELOW_MINIMUM):
            try:
                self.drafter.replace(job, sub, index, live)
                return "replaced"
            except SubmissionError:
                if code != UNDERPRICED:
                    raise
            return "unclear"  # what it should have replaced may still land
        if code == NO_FUNDS:
            raise SubmissionError(
                f"account {self.drafter.account.address:#x}: expected STRK for at most "
                f"{show(attempt.worst_fee)}, got less (error 54); send it STRK and run again"
            )
        raise SubmissionError(f"{error}{hint(error)}; run again when that is mended")


def _is_about_funds(attempt: Attempt) -> bool:
    """Whether an attempt was refused for want of STRK: then the same bytes will do, once funded."""
    return attempt.error.startswith(f"{NO_FUNDS} ")
