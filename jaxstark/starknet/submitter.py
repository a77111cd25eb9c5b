"""The submitter: from a submission to a final, read-back record, once, whatever happens between.

``Submitter.submit`` may be called again after any failure or crash, with the same submission and
outbox: it goes on where it was. Success means that every transaction is accepted on L2 and
succeeded, that a second look finds the same, and that the registry's event equals what was packed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxstark.starknet.accounts import Account
from jaxstark.starknet.clock import Clock, SystemClock
from jaxstark.starknet.drafting import Drafter
from jaxstark.starknet.fees import Bounds, FeePolicy
from jaxstark.starknet.guard import (
    check_balance,
    check_contracts,
    check_event,
    check_network,
    on_chain,
)
from jaxstark.starknet.landing import Lander
from jaxstark.starknet.networks import Network
from jaxstark.starknet.outbox import ACCEPTED, DEAD, LIVE, REVERTED, Attempt, JobRow, Outbox
from jaxstark.starknet.progress import Landed, Observer, Result, Timing
from jaxstark.starknet.registry import Status
from jaxstark.starknet.rpc import PRE_CONFIRMED, Node
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submission_error import SubmissionError, revert_reason

MAX_NONCES = 10  # nonces that other senders may take from one transaction


@dataclass(frozen=True)
class Simulation:
    """What a submission would do and cost; nothing was sent.

    Attributes:
      estimates: units and prices of every transaction.
      bounds: what would be signed.
      worst_fee: FRI in all at worst, tips included.
      reverts: reason of every transaction that would be reverted, empty where it would succeed.
      balance: FRI that the account has.
    """

    estimates: tuple[Bounds, ...]
    bounds: tuple[Bounds, ...]
    worst_fee: int
    reverts: tuple[str, ...]
    balance: int


class Submitter:
    """Submits for one account on one network.

    Args:
      node: the network's node.
      network: what it is expected to be.
      account: address and signer.
      outbox: keeps what is signed.
      policy: caps on fees.
      timing: pauses.
      observer: told at every step.
      clock: time.
      allow_mainnet: needed where fees are money.
    """

    def __init__(
        self,
        node: Node,
        network: Network,
        account: Account,
        outbox: Outbox,
        policy: FeePolicy,
        *,
        timing: Timing | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        allow_mainnet: bool = False,
    ) -> None:
        self.node, self.network, self.account, self.outbox = node, network, account, outbox
        self.policy, self.timing = policy, timing or Timing()
        self.clock, self.allow_mainnet = clock or SystemClock(), allow_mainnet
        self._drafter = Drafter(
            node, network, account, outbox, policy, self.timing, self.clock, observer
        )
        self._lander = Lander(self._drafter)

    def simulate(self, submission: Submission) -> Simulation:
        """Ask the node what the submission would do and cost; sends and stores nothing.

        Raises ``SubmissionError`` or ``ValueError`` as ``submit`` does before it signs.
        """
        self._check(submission)
        address = self.account.address
        nonce = self.node.nonce(address, PRE_CONFIRMED)
        estimates = self._drafter.estimate(submission, 0, nonce)
        bounds = tuple(self.policy.bounds(e) for e in estimates)
        worst = sum(b.worst_fee(self.policy.tip) for b in bounds)
        queries = self._drafter.queries(submission, 0, nonce, bounds)
        reverts = [_reverted(answer) for answer in self.node.simulate(queries)]
        balance = check_balance(self.node, address, 0)
        return Simulation(tuple(estimates), bounds, worst, tuple(reverts), balance)

    def submit(self, submission: Submission, *, retry_reverted: bool = False) -> Result:
        """Bring the submission onto the chain and read it back.

        Args:
          submission: what to submit.
          retry_reverted: send a transaction that was reverted before again, at a new nonce.

        Raises ``SubmissionError`` with what to do where it cannot go on, and ``ValueError`` for
        another network than expected. Both leave an outbox from which the next call goes on.
        """
        address = self.account.address
        key = submission.key(self.network.chain_id, address)
        self.outbox.bind(self.network.name)
        with self.outbox.sender(self.network.chain_id, address):
            self._check(submission)
            self._finish_earlier(key)
            job = self._job(key, submission)
            if job is None:
                return self._found(key, submission)
            self._drafter.tell("checked", job)
            was_done = job.done
            checked: list[Attempt] = []
            while not checked:
                for index in range(job.skip, job.transactions):
                    self._bring(job, submission, index, retry_reverted)
                checked = self._look_again(job)
            return self._read_back(job, submission, checked, was_done)

    def _check(self, submission: Submission) -> None:
        check_network(self.node, self.network, self.allow_mainnet)
        check_contracts(self.node, submission, self.account.address)

    def _job(self, key: str, submission: Submission) -> JobRow | None:
        """The job of the outbox, made if it is new; None if the record was there without it."""
        job = self.outbox.job(key)
        if job is None:
            found = on_chain(self.node, submission, self.account.address)
            if found.status != Status.ABSENT and not submission.record_only:
                raise SubmissionError(
                    f"record {submission.expected.digest:#x}: expected a new one, got one that "
                    "this account has begun or made with another outbox or job; use that one"
                )
            if found.status == Status.RECORDED:
                return None
            if not submission.continues(found.chunks, found.felts):
                raise SubmissionError(
                    f"record {submission.expected.digest:#x}: expected its next chunk, got one "
                    f"that this account has begun with {found.chunks} other chunks, {found.felts} "
                    "felts of payload; run again with the --max_felts of then, or call abandon of "
                    "the registry"
                )
            job = JobRow(
                key=key,
                chain_id=self.network.chain_id,
                account=self.account.address,
                plan=submission.plan(),
                transactions=len(submission.transactions),
                skip=found.chunks,
                max_fee=self.policy.max_fee,
                done=False,
                created=self.clock.now(),
            )
            self.outbox.add_job(job)
            self._drafter.tell("planned", job)
        elif job.max_fee != self.policy.max_fee:
            self.outbox.set_job(key, max_fee=self.policy.max_fee)
            job = replace(job, max_fee=self.policy.max_fee)
        return job

    def _finish_earlier(self, job: str) -> None:
        """Settle what other jobs of the account have sent: their nonces come first."""
        live = self.outbox.live_attempts(self.network.chain_id, self.account.address)
        for key, index in dict.fromkeys((a.job, a.index) for a in live if a.job != job):
            earlier = self.outbox.job(key)
            signed = [a for a in self.outbox.attempts(key, index) if a.state == LIVE]
            if earlier is None or signed[-1].error or not any(a.sends for a in signed):
                continue  # refused or never sent: that job has to be run again itself
            plan = Submission.from_plan(earlier.plan)
            try:
                self._lander.land(earlier, plan, index, replace=False)
            except SubmissionError as error:
                raise SubmissionError(f"an earlier job, {key[:12]}, comes first: {error}") from None

    def _bring(self, job: JobRow, submission: Submission, index: int, retry: bool) -> None:
        """Bring one transaction of the job into a block, from whatever state it is in."""
        for _ in range(MAX_NONCES):
            attempts = self.outbox.attempts(job.key, index)
            states = {a.state for a in attempts}
            if ACCEPTED in states:
                return
            if LIVE not in states:
                if REVERTED in states and not retry:
                    raise self._reverted(job, index, attempts)
                self._drafter.sign_new(job, submission, index)
            outcome = self._lander.land(job, submission, index)
            if outcome == REVERTED:
                raise self._reverted(job, index, self.outbox.attempts(job.key, index))
            if outcome != DEAD:
                return
        raise SubmissionError(
            f"account {self.account.address:#x}: expected to be its only sender, but others took "
            f"{MAX_NONCES} nonces from one transaction; stop them and run again"
        )

    def _reverted(self, job: JobRow, index: int, attempts: list[Attempt]) -> SubmissionError:
        last = [a for a in attempts if a.state == REVERTED][-1]
        notes = [
            d for _, i, what, d in self.outbox.journal(job.key) if (i, what) == (index, "reason")
        ]
        reason = revert_reason(notes[-1]) if notes else "unknown"
        return SubmissionError(
            f"transaction {last.tx_hash:#x}: reverted by the contract: {reason}; its fee is spent "
            "and nothing was recorded by it; mend the cause and run again with --retry_reverted"
        )

    def _look_again(self, job: JobRow) -> list[Attempt]:
        """The accepted attempts in order, if a second look finds them all; else none."""
        self.clock.sleep(self.timing.settle)
        good = []
        for attempt in self.outbox.attempts(job.key):
            if attempt.state != ACCEPTED:
                continue
            receipt = self.node.receipt(attempt.tx_hash)
            if receipt is not None and receipt.final and receipt.succeeded:
                good.append(attempt)
                continue
            self.outbox.settle(attempt.tx_hash, LIVE)  # its block was undone: it may come again
            self._drafter.tell("reopened", job, attempt.index, attempt.tx_hash)
        if len(good) < job.transactions - job.skip:
            self.outbox.set_job(job.key, done=False)
            return []
        return sorted(good, key=lambda a: a.index)

    def _read_back(
        self, job: JobRow, submission: Submission, accepted: list[Attempt], was_done: bool
    ) -> Result:
        self._drafter.tell("reading", job, job.transactions - 1, accepted[-1].tx_hash)
        landed, events = [], []
        for attempt in accepted:
            receipt = self.node.receipt(attempt.tx_hash)
            if receipt is None or receipt.block is None:
                raise SubmissionError(
                    f"transaction {attempt.tx_hash:#x}: expected its receipt, got none; run again"
                )
            link = self.network.explorer_link(attempt.tx_hash)
            landed.append(Landed(attempt.tx_hash, receipt.block, receipt.fee, link))
            events += receipt.events
        check_event(events, submission, self.account.address)
        found = on_chain(self.node, submission, self.account.address)
        if found.status != Status.RECORDED:
            raise SubmissionError(
                f"record {submission.expected.digest:#x}: expected the registry to have it, got "
                "none; run again"
            )
        self.outbox.set_job(job.key, done=True)
        fee = self._drafter.spent(job)
        self._drafter.tell("done", job, detail=f"fee {fee} FRI")
        record = submission.wanted(self.account.address)
        return Result(job.key, tuple(landed), record, fee, was_done)

    def _found(self, key: str, submission: Submission) -> Result:
        """The result for a record that was made without this outbox."""
        keys, _ = submission.wanted(self.account.address).encode()
        found = self.node.events(submission.registry, [[key] for key in keys])
        check_event([event for _, event in found], submission, self.account.address)
        tx_hash = found[0][0]
        receipt = self.node.receipt(tx_hash)
        if receipt is None or not receipt.final or receipt.block is None:
            raise SubmissionError(
                f"transaction {tx_hash:#x}: expected it to be final, got one that is not yet; run "
                "again in a minute"
            )
        landed = Landed(tx_hash, receipt.block, 0, self.network.explorer_link(tx_hash))
        return Result(key, (landed,), submission.wanted(self.account.address), 0, True)


def _reverted(answer: dict) -> str:
    """Why a simulated transaction would be reverted; empty if it would succeed."""
    trace = answer.get("transaction_trace")
    execution = trace.get("execute_invocation") if isinstance(trace, dict) else None
    if not isinstance(execution, dict):
        return "the node shows no execution"
    reason = execution.get("revert_reason")
    return "" if reason is None else revert_reason(str(reason))
