"""The submitter against every fault of the fake node: nothing lost, doubled or over its cap."""

from __future__ import annotations

import dataclasses
import random

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet.fake import (  # noqa: E402
    ACCEPTED,
    PRE_CONFIRMED,
    FakeNode,
    Fault,
    RandomFaults,
    usual_faults,
)
from jaxstark.starknet.fees import FRI, FeePolicy  # noqa: E402
from jaxstark.starknet.progress import Timing  # noqa: E402
from jaxstark.starknet.submission_error import SubmissionError, Unreachable  # noqa: E402
from tests.starknet.submit_kit import CAP, Kit, message  # noqa: E402

READS = ("getTransactionReceipt", "getNonce", "estimateFee", "call", "chainId", "specVersion")
READS += ("getClassHashAt", "getTransactionStatus")


def kit(*faults: Fault, **options) -> Kit:
    return Kit(FakeNode(seed=1, advance="manual", faults=faults, **options), cheap=True)


def assert_recorded_once(kit: Kit, number: int = 1) -> None:
    assert kit.records() == [message(number)[5]]
    assert kit.outbox.live_attempts(kit.fake.chain_id, kit.account.address) == []
    assert kit.unfinished() == []


@pytest.mark.parametrize("fault", usual_faults(), ids=lambda f: f.name)
def test_every_usual_fault_is_survived(fault):
    found = kit(fault)
    result = found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    assert found.fake.struck == [("addInvokeTransaction", fault.name)]
    assert result.fee == sum(t.fee for t in found.fake.transactions(ACCEPTED)) <= CAP
    assert found.fake.nonce(found.account.address) == 1


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("fault", [Fault.http(500), Fault.http(429), Fault.reset()])
def test_reads_are_repeated(fault, method):
    found = kit(*(dataclasses.replace(fault, method=method, skip=s) for s in (0, 2)))
    found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    assert method == "getTransactionStatus" or found.fake.struck


@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("fault", [Fault.timeout(), Fault.evict(), Fault.error(52), Fault.reset()])
def test_faults_that_come_again(fault, times):
    found = kit(dataclasses.replace(fault, times=times))
    found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    payloads = {a.payload for j in [found.submission(1)] for a in attempts(found, j)}
    assert len(payloads) == 1  # the same bytes, however often they were sent


def attempts(found: Kit, submission):
    return found.outbox.attempts(submission.key(found.fake.chain_id, found.account.address))


def test_every_chunk_may_fail():
    for skip in range(3):
        for fault in (Fault.timeout(skip=skip), Fault.evict(skip=skip), Fault.reorg(skip=skip)):
            found = kit(fault)
            found.submitter().submit(found.submission(1, felts=40, chunk_felts=32))
            assert found.records() == [message(1, 40)[5]]
            assert found.fake.nonce(found.account.address) == 3


def test_a_nonce_that_others_took_is_known_dead_before_a_new_one_is_signed():
    found = kit(Fault.error(52))
    other = Kit(found.fake, cheap=True)  # the same account, another outbox
    began = []

    def observer(step) -> None:
        if step.what == "sending" and not began:
            began.append(step.tx_hash)
            other.submitter().submit(other.submission(2))

    found.submitter(observer).submit(found.submission(1))
    assert sorted(found.records()) == sorted([message(1)[5], message(2)[5]])
    states = [(a.nonce, a.state) for a in attempts(found, found.submission(1))]
    assert states == [(0, "dead"), (1, "accepted")] and "dead" in found.events


def test_an_unknown_transaction_is_not_a_dead_one():
    """A node that lags knows neither hash nor nonce: the same bytes are sent, not new ones."""
    found = kit(Fault.reorg(PRE_CONFIRMED), Fault.evict(skip=1), Fault.evict(skip=2))
    found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    assert [a.nonce for a in attempts(found, found.submission(1))] == [0]


@pytest.mark.parametrize("code", [53, 65])
def test_bounds_that_are_too_low_are_raised_at_the_same_nonce(code):
    found = kit(Fault.error(code))
    found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    first, second = attempts(found, found.submission(1))
    assert (first.nonce, first.state) == (second.nonce, "dead") and second.state == "accepted"
    assert second.worst_fee > first.worst_fee and second.worst_fee <= CAP


def test_prices_that_rise_are_followed_up_to_the_cap():
    found = kit()
    raised = []

    def observer(step) -> None:
        if step.what == "signed" and not raised:
            raised.append(found.fake.set_prices(l2_gas=40 * 10**9, minimum_l2=40 * 10**9))

    found.submitter(observer).submit(found.submission(1))
    assert_recorded_once(found)
    raised.clear()
    found.fake.set_prices(l2_gas=8 * 10**9, minimum_l2=8 * 10**9)
    low = FeePolicy(FRI // 20)
    with pytest.raises(SubmissionError, match="raise --max_fee_strk"):
        found.submitter(observer, policy=low).submit(found.submission(2))
    assert found.records() == [message(1)[5]]
    found.submitter().submit(found.submission(2))
    assert found.records() == [message(1)[5], message(2)[5]]


def test_a_transaction_that_waits_is_replaced_by_one_that_pays_more():
    found = kit(Fault.slow(execution=10**6))
    timing = Timing(poll=10.0, bump_after=60.0, settle=8.0)
    found.submitter(timing=timing, policy=FeePolicy(CAP, tip=5)).submit(found.submission(1))
    assert_recorded_once(found)
    first, second = attempts(found, found.submission(1))
    assert first.nonce == second.nonce and second.tip * 10 >= first.tip * 11
    assert (first.state, second.state) == ("dead", "accepted") and "replacing" in found.events


def test_an_earlier_signature_that_comes_after_all_is_taken_for_what_it_is():
    """The block of a replacement is undone, and what it replaced lands: not signed a third time."""
    found = kit(Fault.slow(execution=10**6))
    timing = Timing(poll=10.0, bump_after=60.0, settle=8.0)
    found.submitter(timing=timing).submit(found.submission(1))
    first, second = attempts(found, found.submission(1))
    found.fake.reorg(second.tx_hash)
    found.node.broadcast(first.payload)
    found.fake.mine()
    result = found.submitter(timing=timing).submit(found.submission(1))
    assert_recorded_once(found)
    assert [t.tx_hash for t in result.transactions] == [first.tx_hash]
    kept = attempts(found, found.submission(1))
    assert [(a.nonce, a.state) for a in kept] == [(0, "accepted"), (0, "dead")]


def test_a_replacement_over_the_cap_is_not_made():
    found = kit(Fault.slow(execution=40))
    timing = Timing(poll=10.0, bump_after=60.0, settle=8.0)
    policy = FeePolicy(215 * FRI // 10_000)
    found.submitter(timing=timing, policy=policy).submit(found.submission(1))
    assert_recorded_once(found)
    (only,) = attempts(found, found.submission(1))
    assert only.worst_fee <= policy.max_fee and "replacing" not in found.events


def test_an_underpriced_replacement_pays_more_again():
    found = kit(Fault.slow(execution=10**6), Fault.error(64, skip=1))
    timing = Timing(poll=10.0, bump_after=60.0, settle=8.0)
    found.submitter(timing=timing).submit(found.submission(1))
    assert_recorded_once(found)
    fees = [a.worst_fee for a in attempts(found, found.submission(1))]
    assert len(fees) == 3 and fees == sorted(fees)


def test_a_revert_is_said_and_repeated_only_when_asked():
    found = kit(Fault.revert("no such job"))
    with pytest.raises(SubmissionError, match="reverted by the contract: no such job; its fee"):
        found.submitter().submit(found.submission(1))
    with pytest.raises(SubmissionError, match="--retry_reverted"):
        found.submitter().submit(found.submission(1))
    assert found.sends() == 1 and found.records() == []
    result = found.submitter().submit(found.submission(1), retry_reverted=True)
    assert_recorded_once(found)
    assert result.fee == sum(t.fee for t in found.fake.transactions(ACCEPTED))
    assert found.fake.nonce(found.account.address) == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (54, "send it STRK and run again"),
        (55, "check that key and address belong together"),
        (58, "no account contract"),
        (61, "version 3"),
        (69, "passed through"),
    ],
)
def test_a_refusal_is_one_sentence_and_may_be_mended(code, words):
    found = kit(Fault.error(code))
    with pytest.raises(SubmissionError, match=words) as caught:
        found.submitter().submit(found.submission(1))
    assert "\n" not in str(caught.value) and found.fake.transactions() == []
    found.submitter().submit(found.submission(1))
    assert_recorded_once(found)
    kept = attempts(found, found.submission(1))
    assert len({a.nonce for a in kept}) == 1
    # For want of STRK the same bytes are sent again; otherwise they may be what is wrong.
    assert len(kept) == (1 if code == 54 else 2)


def test_a_refused_job_does_not_stand_in_the_way():
    found = kit(Fault.error(55))
    with pytest.raises(SubmissionError):
        found.submitter().submit(found.submission(1))
    found.submitter().submit(found.submission(2))
    found.submitter().submit(found.submission(1))
    assert found.records() == [message(2)[5], message(1)[5]]


def test_unexpected_errors_end_some_time():
    found = kit(Fault.error(63, times=100))
    with pytest.raises(SubmissionError, match="error 63"):
        found.submitter().submit(found.submission(1))
    assert found.fake.transactions() == [] and found.sends() < 10


def test_waiting_ends_and_goes_on():
    found = kit(Fault.slow(execution=200))
    timing = Timing(poll=10.0, bump_after=float("inf"), give_up=600.0, settle=8.0)
    with pytest.raises(SubmissionError, match="run the same command again"):
        found.submitter(timing=timing).submit(found.submission(1))
    found.fake.tick(200)
    found.submitter(timing=timing).submit(found.submission(1))
    assert_recorded_once(found)
    assert found.sends() == 1


def test_a_node_that_never_answers_is_named_without_its_secret():
    found = kit(Fault.reset(method="", times=10**6))
    with pytest.raises(Unreachable, match="no answer"):
        found.submitter().submit(found.submission(1))
    assert found.sends() == 0


def test_an_event_that_differs_is_no_success(monkeypatch):
    found = kit()
    true = type(found.node).receipt

    def forged(node, tx_hash):
        receipt = true(node, tx_hash)
        if receipt is None:
            return None
        events = tuple(
            dataclasses.replace(e, data=(*e.data[:-1], e.data[-1] + 1))
            if e.contract == found.fake.registry
            else e
            for e in receipt.events
        )
        return dataclasses.replace(receipt, events=events)

    monkeypatch.setattr(type(found.node), "receipt", forged)
    with pytest.raises(SubmissionError, match="got another; the record is not confirmed"):
        found.submitter().submit(found.submission(1))
    assert len(found.unfinished()) == 1


class Killed(BaseException):
    """The process ends here."""


def run_random(count: int, seed: int, chunks: bool = False) -> None:
    """Submit ``count`` proofs under random faults, reverts and kills; audit the chain."""
    faults = (*usual_faults(), Fault.revert("forced"), Fault.error(53), Fault.error(65))
    fake = FakeNode(
        seed=seed,
        advance="manual",
        random_faults=RandomFaults(seed, rate=0.4, read_rate=0.03, faults=faults),
    )
    found = Kit(fake, cheap=True)
    rng = random.Random(seed)
    kills = [0]

    def observer(step) -> None:
        if rng.random() < 0.03:
            kills[0] += 1
            raise Killed

    cap = FRI // 4
    options = {"felts": 30, "chunk_felts": 26} if chunks else {}
    funds = fake.balance(found.account.address)
    for number in range(count):
        for _ in range(60):
            submitter = found.submitter(observer, policy=FeePolicy(cap))
            try:
                result = submitter.submit(found.submission(number, **options), retry_reverted=True)
                break
            except (SubmissionError, Killed):
                continue
        else:
            raise AssertionError(f"submission {number} was lost")
        assert result.fee <= cap
    felts = options.get("felts", 6)
    assert found.records() == [message(n, felts)[5] for n in range(count)]
    landed = fake.transactions(ACCEPTED)
    submissions = [found.submission(n, **options) for n in range(count)]
    kept = {a.tx_hash: a for s in submissions for a in attempts(found, s)}
    settled = {h for h, a in kept.items() if a.state in ("accepted", "reverted")}
    assert {t.hash for t in landed} == settled
    assert all(kept[t.hash].fee == t.fee <= t.max_fee == kept[t.hash].worst_fee for t in landed)
    per_job: dict[str, int] = {}
    for t in landed:
        per_job[kept[t.hash].job] = per_job.get(kept[t.hash].job, 0) + t.fee
    assert max(per_job.values()) <= cap
    assert funds - fake.balance(found.account.address) == sum(t.fee for t in landed)
    assert len(fake.struck) > count // 4 and kills[0] > count // 20


def test_submissions_with_random_faults():
    run_random(100, seed=5)


def test_submissions_in_chunks_with_random_faults():
    run_random(20, seed=6, chunks=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_submissions_with_random_faults(seed):
    run_random(1_000, seed)
