"""The submitter without faults: what success is, what is refused before anything is sent."""

from __future__ import annotations

import dataclasses
import json

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet.accounts import Account  # noqa: E402
from jaxstark.starknet.envelope import split  # noqa: E402
from jaxstark.starknet.fake import ACCEPTED, FakeNode, Fault, job_steps  # noqa: E402
from jaxstark.starknet.fees import FRI, FeePolicy  # noqa: E402
from jaxstark.starknet.job import RECORD, STEPS, Job, Target  # noqa: E402
from jaxstark.starknet.networks import NETWORKS, RpcUrl  # noqa: E402
from jaxstark.starknet.outbox_sqlite import MEMORY, SqliteOutbox  # noqa: E402
from jaxstark.starknet.progress import EVENTS, Timing  # noqa: E402
from jaxstark.starknet.rpc import Node  # noqa: E402
from jaxstark.starknet.secret import Secret  # noqa: E402
from jaxstark.starknet.signing import KeySigner  # noqa: E402
from jaxstark.starknet.submission import make_submission  # noqa: E402
from jaxstark.starknet.submission_error import SubmissionError  # noqa: E402
from jaxstark.starknet.submitter import Submitter  # noqa: E402
from tests.starknet.submit_kit import CAP, Kit, message  # noqa: E402

SELF = NETWORKS["sepolia"]


def kit(**options) -> Kit:
    return Kit(FakeNode(seed=1, advance="manual", **options), cheap=True)


def test_success_is_final_and_read_back():
    found = Kit(FakeNode(seed=1, advance="manual"))  # signed as on a network
    result = found.submitter().submit(found.submission(1))
    (landed,), (sent,) = result.transactions, found.fake.transactions(ACCEPTED)
    assert (landed.tx_hash, landed.fee) == (sent.hash, sent.fee)
    assert landed.link == f"https://sepolia.voyager.online/tx/{sent.hash:#066x}"
    text = message(1)
    assert dataclasses.astuple(result.record) == (
        found.account.address,
        *text[4:6],
        *text[1:4],
        text[6],
        1,
    )
    assert not result.already and result.fee == sent.fee <= sent.max_fee <= CAP
    assert [e for e in found.events if e not in ("waiting", "pre_confirmed")] == (
        "planned checked estimated signing signed sending sent accepted reading done".split()
    )
    assert set(found.events) <= set(EVENTS)


def test_the_same_again_sends_nothing():
    found = kit()
    first = found.submitter().submit(found.submission(1))
    again = found.submitter().submit(found.submission(1))
    assert again.already and again.transactions == first.transactions and again.fee == first.fee
    assert found.sends() == 1


def test_a_lost_outbox_finds_the_record_on_the_chain():
    found = kit()
    first = found.submitter().submit(found.submission(1))
    found.outbox = SqliteOutbox(MEMORY)
    again = found.submitter().submit(found.submission(1))
    assert again.already and again.record == first.record
    assert again.transactions[0].tx_hash == first.transactions[0].tx_hash
    assert found.sends() == 1


def test_a_lost_outbox_goes_on_at_the_next_chunk():
    found = kit()
    stop = {"accepted": 2}

    def observer(step) -> None:
        stop[step.what] = stop.get(step.what, 9) - 1
        if not stop[step.what]:
            raise KeyboardInterrupt

    options = {"felts": 40, "chunk_felts": 32}
    with pytest.raises(KeyboardInterrupt):
        found.submitter(observer).submit(found.submission(1, **options))
    found.outbox = SqliteOutbox(MEMORY)
    result = found.submitter().submit(found.submission(1, **options))
    assert found.sends() == 3 and len(result.transactions) == 1
    assert found.records() == [message(1, 40)[5]]


def test_a_lost_outbox_does_not_go_on_with_other_chunks():
    """The second plan has as many transactions as the chain has chunks, or fewer, or more."""
    for felts in (30, 44, 60):
        found = kit()
        accepted = []

        def observer(step, accepted=accepted) -> None:
            accepted += [step.index] if step.what == "accepted" else []
            if len(accepted) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            found.submitter(observer).submit(found.submission(1, felts=40, chunk_felts=32))
        found.outbox = SqliteOutbox(MEMORY)
        other = found.submission(1, felts=40, chunk_felts=felts)
        with pytest.raises(
            SubmissionError, match="begun with 2 other chunks, 36 felts .*max_felts"
        ):
            found.submitter().submit(other)
        assert found.sends() == 2 and found.unfinished() == []


def test_a_record_that_lacks_nothing_does_not_go_on():
    submission = kit().submission(1, felts=40, chunk_felts=32)
    payload = len(message(1, 40)) - 8
    assert submission.continues(0, 0) and submission.continues(2, 36)
    assert not submission.continues(3, payload) and not submission.continues(1, 36)


def test_an_outbox_of_another_network_is_refused():
    found = kit()
    found.outbox.bind("devnet")
    with pytest.raises(SubmissionError, match="expected one of network sepolia, got one of devnet"):
        found.submitter().submit(found.submission(1))
    assert found.fake.requests == {}


def test_chunks_go_in_order_with_consecutive_nonces():
    found = kit()
    submission = found.submission(1, felts=60, chunk_felts=40)
    result = found.submitter().submit(submission)
    sent = found.fake.transactions(ACCEPTED)
    assert [t.nonce for t in sent] == list(range(len(submission.transactions)))
    assert [t.hash for t in sent] == [t.tx_hash for t in result.transactions]
    assert result.record.chunks == len(sent) > 2
    assert found.records() == [message(1, 60)[5]]


def test_the_five_calls_and_the_record_land_together():
    found = kit()
    market = found.fake.deploy_log(job_steps())
    targets = {s: Target(found.fake.registry if s == RECORD else market, s) for s in STEPS}
    job = Job(targets, job_id=(1 << 200) + 5, worker=7, amount=1 << 129)
    submission = make_submission(message(1, 40), job, chunk_felts=110)
    assert len(submission.transactions) == 2
    found.submitter().submit(submission)
    events = [e for t in found.fake.transactions(ACCEPTED) for e in t.events]
    assert sum(e.address == market for e in events) == 6  # submit_proof is in both
    with pytest.raises(SubmissionError, match="another outbox or job"):
        found.outbox = SqliteOutbox(MEMORY)
        found.submitter().submit(submission)


def test_tip_and_margin_are_what_is_signed():
    found = kit()
    policy = FeePolicy(CAP, tip=1000, margin=10)
    found.submitter(policy=policy).submit(found.submission(1))
    key = found.submission(1).key(found.fake.chain_id, found.account.address)
    (attempt,) = found.outbox.attempts(key)
    payload = json.loads(attempt.payload)
    (used,) = found.fake.transactions(ACCEPTED)
    assert payload["tip"] == hex(1000)
    assert int(payload["resource_bounds"]["l2_gas"]["max_price_per_unit"], 16) == 88 * 10**8
    assert attempt.worst_fee == used.max_fee


def test_a_simulation_sends_and_keeps_nothing():
    found = kit()
    simulation = found.submitter().simulate(found.submission(1))
    assert simulation.reverts == ("",) and simulation.balance == 1000 * FRI
    assert found.sends() == 0 and found.unfinished() == []
    result = found.submitter().submit(found.submission(1))
    assert result.fee <= simulation.worst_fee <= 2 * result.fee
    with pytest.raises(SubmissionError, match="already recorded"):
        found.submitter().simulate(found.submission(1))


def assert_refused(found: Kit, error: pytest.ExceptionInfo) -> None:
    """One sentence, and nothing was sent or signed."""
    assert "\n" not in str(error.value) and found.sends() == 0
    assert found.outbox.live_attempts(found.fake.chain_id, found.account.address) == []


def test_another_chain_is_refused():
    found = kit(chain_id="SN_MAIN")
    with pytest.raises(
        ValueError, match="expected SN_SEPOLIA of network sepolia, got SN_MAIN"
    ) as e:
        found.submitter().submit(found.submission(1))
    assert_refused(found, e)


def test_another_specification_is_refused():
    found = kit(spec_version="0.9.0")
    with pytest.raises(ValueError, match=r"expected JSON-RPC specification 0\.10\.x") as e:
        found.submitter().submit(found.submission(1))
    assert_refused(found, e)


def test_mainnet_needs_its_flag():
    found = kit(chain_id="SN_MAIN")
    options = {"clock": found.clock, "timing": Timing(settle=8.0)}
    arguments = (NETWORKS["mainnet"], found.account, found.outbox, FeePolicy(CAP))
    with pytest.raises(ValueError, match="--allow_mainnet") as e:
        Submitter(found.node, *arguments, **options).submit(found.submission(1))
    assert_refused(found, e)
    assert found.fake.requests == {}
    Submitter(found.node, *arguments, allow_mainnet=True, **options).submit(found.submission(1))
    assert len(found.records()) == 1


def test_an_unfunded_account_is_refused():
    found = kit(funds=10**15)
    with pytest.raises(
        SubmissionError, match=r"for fees, got 0\.001 STRK .*\(a faucet on Sepolia\)"
    ) as e:
        found.submitter().submit(found.submission(1))
    assert_refused(found, e)
    found.fake.fund(found.account.address, FRI)
    found.submitter().submit(found.submission(1))


def test_an_account_that_is_not_deployed_is_refused():
    found = kit()
    found.account = Account(0x123, found.account.signer, "a test")
    with pytest.raises(SubmissionError, match="account 0x123: expected a deployed account") as e:
        found.submitter().submit(found.submission(1))
    assert_refused(found, e)


def test_a_missing_contract_is_refused():
    found = kit()
    job = Job({RECORD: Target(found.fake.registry, RECORD), "pay": Target(0x55, "pay")})
    with pytest.raises(
        SubmissionError, match="contract 0x55 of step pay: expected a deployed"
    ) as e:
        found.submitter().submit(make_submission(message(1), job))
    assert_refused(found, e)


def test_a_contract_that_is_no_registry_is_refused():
    found = kit()
    job = Job.record_only(found.fake.deploy_log(job_steps()))
    with pytest.raises(SubmissionError, match="expected a proof registry") as e:
        found.submitter().submit(make_submission(message(1), job))
    assert_refused(found, e)


def test_a_fee_over_the_cap_is_refused():
    found = kit()
    for submission in (found.submission(1), found.submission(1, felts=60, chunk_felts=40)):
        one = found.submitter().simulate(submission).worst_fee
        with pytest.raises(SubmissionError, match="raise --max_fee_strk") as e:
            found.submitter(policy=FeePolicy(one - 1)).submit(submission)
        assert_refused(found, e)
        found.submitter(policy=FeePolicy(one)).simulate(submission)


def test_a_wrong_key_is_refused_by_the_estimate():
    found = Kit(FakeNode(seed=1, advance="manual"))
    signer = KeySigner(Secret("0x5"), found.fake.chain_id)
    found.account = Account(found.account.address, signer, "a test")
    with pytest.raises(SubmissionError, match="check that key and address belong together") as e:
        found.submitter().submit(found.submission(1))
    assert_refused(found, e)


def test_a_call_that_would_fail_is_refused_with_its_reason():
    found = kit()
    market = found.fake.deploy_log(job_steps())
    job = Job({RECORD: Target(found.fake.registry, RECORD), "pay": Target(market, "pay")})
    with pytest.raises(SubmissionError, match="would refuse the transaction: no such job") as e:
        found.submitter().submit(make_submission(message(1), job))
    assert_refused(found, e)


def test_a_second_sender_is_refused():
    found = kit()
    with (
        found.outbox.sender(found.fake.chain_id, found.account.address),
        pytest.raises(SubmissionError, match="only sender"),
    ):
        found.submitter().submit(found.submission(1))
    assert found.fake.requests == {}


def stopped_at(found: Kit, what: str, number: int) -> None:
    """Begin a submission and end at a step."""

    def observer(step) -> None:
        if step.what == what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.submitter(observer).submit(found.submission(number))


def test_an_earlier_transaction_is_finished_first():
    found = kit()
    stopped_at(found, "sending", 1)
    assert found.sends() == 0
    found.submitter().submit(found.submission(2))
    assert found.records() == [message(1)[5], message(2)[5]]
    assert found.submitter().submit(found.submission(1)).fee > 0
    assert found.sends() == 2


def test_what_was_signed_and_never_sent_stands_in_nobodys_way():
    found = kit()
    stopped_at(found, "signed", 1)
    found.submitter().submit(found.submission(2))
    assert found.records() == [message(2)[5]] and found.sends() == 1
    found.submitter().submit(found.submission(1))
    assert found.records() == [message(2)[5], message(1)[5]]
    key = found.submission(1).key(found.fake.chain_id, found.account.address)
    assert [(a.nonce, a.state) for a in found.outbox.attempts(key)] == [
        (0, "dead"),
        (1, "accepted"),
    ]


def test_a_cap_that_is_lowered_holds_for_what_was_not_sent_yet():
    found = kit()
    stopped_at(found, "signed", 1)
    for _ in range(2):
        with pytest.raises(SubmissionError, match="raise --max_fee_strk"):
            found.submitter(policy=FeePolicy(10**15)).submit(found.submission(1))
        assert found.sends() == 0
    found.submitter().submit(found.submission(1))
    assert found.sends() == 1 and len(found.records()) == 1


def test_a_record_undone_after_success_is_made_again():
    found = kit()
    first = found.submitter().submit(found.submission(1))
    found.fake.reorg(first.transactions[0].tx_hash)
    assert found.records() == []
    again = found.submitter().submit(found.submission(1))
    assert again.transactions[0].tx_hash == first.transactions[0].tx_hash
    assert found.records() == [message(1)[5]]


def test_over_http_with_starknet_keys():
    with FakeNode(seed=3, faults=[Fault.timeout(0.1), Fault.http(429, method="getNonce")]) as fake:
        signer = KeySigner(Secret(hex(fake.account.private_key)), fake.chain_id)
        timing = Timing(poll=0.01, resend=0.5, settle=0.02)
        submitter = Submitter(
            Node(RpcUrl(fake.url), timeout=5.0),
            SELF,
            Account(fake.account.address, signer, "a test"),
            SqliteOutbox(MEMORY),
            FeePolicy(CAP),
            timing=timing,
        )
        chunks = split(message(1, 200), 150)
        submission = make_submission(message(1, 200), Job.record_only(fake.registry))
        assert len(chunks) == 2 and len(submission.transactions) == 1
        submitter.submit(submission)
        assert len(fake.events(fake.registry)) == 1


def test_timing_is_checked():
    for bad in ({"poll": 0.0}, {"give_up": -1.0}, {"settle": float("nan")}):
        with pytest.raises(ValueError, match="timing"):
            Timing(**bad)
