"""What the fake node accepts and refuses, asked by starknet-py's account."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

pytest.importorskip("starknet_py")
from starknet_py.hash.utils import private_to_stark_key, verify_message_signature  # noqa: E402
from starknet_py.net.client_errors import ClientError  # noqa: E402

from jaxstark.starknet.fake import ACCEPTED, MANUAL, PRE_CONFIRMED, RECEIVED, FakeNode, Prices, Step  # noqa: E402
from jaxstark.starknet.fake.node import STRK  # noqa: E402
from tests.starknet.fakes import (  # noqa: E402
    account,
    ask,
    bounds,
    call,
    code_of,
    pay,
    plain_account,
    post,
    send,
    sign,
)
from tests.starknet.stark_curve import ORDER  # noqa: E402
from tests.starknet.stark_curve import sign as stark_sign  # noqa: E402

TAGS = ("latest", "pre_confirmed")
STEP = Step("Gone", once="gone", exists="done twice")


@pytest.fixture
def node():
    with FakeNode(seed=1, advance=MANUAL) as running:
        yield running


def refused(node: FakeNode, transaction) -> int:
    """The code with which a signed transaction is refused; it leaves no trace."""
    before = node.transactions()
    with pytest.raises(ClientError) as caught:
        post(node, transaction)
    assert node.transactions() == before
    return code_of(caught.value)


def test_a_transaction_from_sending_to_acceptance(node):
    signed = sign(node, pay(amount=11))
    digest = post(node, signed)
    assert digest == signed.calculate_hash(node.chain_id)
    assert ask(node, "get_transaction_status", digest).finality_status.value == RECEIVED
    with pytest.raises(ClientError) as caught:
        ask(node, "get_transaction_receipt", digest)
    assert code_of(caught.value) == 29
    for status in (PRE_CONFIRMED, ACCEPTED):
        node.tick()
        assert ask(node, "get_transaction_status", digest).finality_status.value == status
        receipt = ask(node, "get_transaction_receipt", digest)
        assert receipt.finality_status.value == status
        assert receipt.execution_status.value == "SUCCEEDED"
        assert (receipt.block_hash is None) == (status == PRE_CONFIRMED)
    assert receipt.block_number == node.block_number == 1
    assert node.balance(7) == 11
    charged = receipt.actual_fee.amount
    assert node.balance(node.account.address) == 1_000 * STRK - 11 - charged
    assert 0 < charged <= node.transactions()[0].max_fee
    shown = ask(node, "get_transaction", digest)
    assert shown.calldata == signed.calldata and shown.signature == signed.signature


def test_starknet_pys_own_account_and_signer(node):
    async def story() -> int:
        sender = plain_account(node)
        sent = await sender.execute_v3(calls=[pay(), pay(to=8)], auto_estimate=True)
        return sent.transaction_hash

    digest = asyncio.run(story())
    node.mine()
    assert [(t.hash, t.reverted) for t in node.transactions()] == [(digest, None)]
    assert (node.balance(7), node.balance(8)) == (5, 5)


def test_the_quick_signer_signs_what_the_network_checks():
    """It is checked by the library that starknet-py signs with; the node uses the same check."""
    for key in (1, 2, ORDER - 1, 0x1234567):
        for digest in (1, 5, 2**251 - 1):
            signature = list(stark_sign(digest, key))
            public = private_to_stark_key(key)
            assert verify_message_signature(digest, signature, public)
            assert not verify_message_signature(digest ^ 1, signature, public)


@pytest.mark.parametrize("part", [0, 1])
def test_a_changed_signature_is_refused(node, part):
    signed = sign(node, pay())
    signature = list(signed.signature)
    signature[part] ^= 1
    assert refused(node, dataclasses.replace(signed, signature=signature)) == 55
    post(node, signed)


@pytest.mark.parametrize("signature", [[], [1], [0, 0], [1, 0], [1, 2, 3], [2**251, 2**251]])
def test_a_malformed_signature_is_refused(node, signature):
    assert refused(node, dataclasses.replace(sign(node, pay()), signature=signature)) == 55


@pytest.mark.parametrize(
    "change",
    [
        {"tip": 1},
        {"calldata": [0]},
        {"resource_bounds": bounds(l2_gas=20_000_001)},
        {"nonce": 1},
        {"proof_facts": [1]},
    ],
    ids=str,
)
def test_a_signature_covers_the_whole_transaction(node, change):
    assert refused(node, dataclasses.replace(sign(node, pay()), **change)) == 55


def test_the_signature_is_of_the_sender_and_the_chain(node):
    other = node.new_account(funds=STRK)
    signed = sign(node, pay())
    assert refused(node, dataclasses.replace(signed, sender_address=other.address)) == 55
    with FakeNode(seed=1, chain_id="SN_MAIN") as main:
        assert main.account == node.account
        assert refused(main, signed) == 55


def test_senders_that_are_no_accounts(node):
    signed = sign(node, pay())
    assert refused(node, dataclasses.replace(signed, sender_address=5)) == 55
    assert refused(node, dataclasses.replace(signed, sender_address=node.registry)) == 58


def test_an_estimate_signature_cannot_be_executed(node):
    signed = sign(node, pay())
    assert refused(node, dataclasses.replace(signed, version=signed.version + 2**128)) == 61


def test_proofs_of_the_network_are_not_accepted_here(node):
    assert refused(node, sign(node, pay(), proof="AAAA", proof_facts=[1])) == 69


def test_nonces(node):
    first, second = sign(node, pay(), nonce=0), sign(node, pay(), nonce=1)
    assert refused(node, sign(node, pay(), nonce=201)) == 52
    late = post(node, second)
    node.mine()
    assert ask(node, "get_transaction_status", late).finality_status.value == RECEIVED
    assert node.nonce(node.account.address) == 0
    post(node, first)
    node.mine()
    assert ask(node, "get_transaction_status", late).finality_status.value == ACCEPTED
    assert node.nonce(node.account.address) == 2
    assert refused(node, sign(node, pay(amount=6), nonce=1)) == 52


def test_nonce_by_block(node):
    sender = account(node).address
    send(node, pay())
    assert [ask(node, "get_contract_nonce", sender, block_number=t) for t in TAGS] == [0, 0]
    node.tick()
    assert [ask(node, "get_contract_nonce", sender, block_number=t) for t in TAGS] == [0, 1]
    node.tick()
    assert [ask(node, "get_contract_nonce", sender, block_number=t) for t in TAGS] == [1, 1]
    assert ask(node, "get_contract_nonce", sender, block_number=0) == 0


def test_the_same_bytes_are_a_duplicate_until_their_block_is_accepted(node):
    signed = sign(node, pay())
    post(node, signed)
    assert refused(node, signed) == 59
    node.tick()
    assert refused(node, signed) == 59
    node.tick()
    assert refused(node, signed) == 52
    assert node.balance(7) == 5


@pytest.mark.parametrize(
    ("tip", "price", "code"),
    [
        (100, 16_000_000_000, 64),
        (109, 17_600_000_000, 64),
        (110, 17_599_999_999, 64),
        (110, 17_600_000_000, None),
    ],
)
def test_a_replacement_pays_ten_per_cent_more(node, tip, price, code):
    old = send(node, pay(amount=1), tip=100, nonce=0)
    new = sign(node, pay(amount=2), tip=tip, nonce=0, resource_bounds=bounds(price=price))
    if code:
        assert refused(node, new) == code
        assert [t.hash for t in node.transactions()] == [old]
        return
    digest = post(node, new)
    with pytest.raises(ClientError) as caught:
        ask(node, "get_transaction_status", old)
    assert code_of(caught.value) == 29
    node.mine()
    assert [t.hash for t in node.transactions(ACCEPTED)] == [digest]
    assert node.balance(7) == 2


def test_what_is_pre_confirmed_cannot_be_replaced(node):
    send(node, pay(), nonce=0)
    node.tick()
    again = sign(node, pay(amount=9), nonce=0, resource_bounds=bounds(price=32_000_000_000))
    assert refused(node, again) == 52


@pytest.mark.parametrize(("felts", "fits"), [(5_000, True), (5_001, False)])
def test_five_thousand_felts_are_the_most(node, felts, fits):
    log = node.deploy_log({})
    wide = sign(node, call(log, "x", [1] * (felts - 4)), resource_bounds=bounds(l2_gas=10**8))
    assert len(wide.calldata) == felts
    if fits:
        post(node, wide)
    else:
        assert refused(node, wide) == 63


def test_proof_facts_count_as_felts(node):
    log = node.deploy_log({})
    options = {"resource_bounds": bounds(l2_gas=10**8)}
    wide = sign(node, call(log, "x", [1] * 4_990), proof_facts=[1] * 7, **options)
    assert refused(node, wide) == 63
    post(node, sign(node, call(log, "x", [1] * 4_990), proof_facts=[1] * 6, **options))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (bounds(l2_gas=100), 53),
        (bounds(data=10), 53),
        (bounds(price=7_999_999_999), 65),
        (bounds(l2_gas=1_210_000_001), 63),
        (bounds(l2_gas=1_210_000_000, price=10**12), 54),
    ],
    ids=["gas", "data gas", "below minimum", "over the limit", "balance"],
)
def test_bounds(node, limits, code):
    assert refused(node, sign(node, pay(), resource_bounds=limits)) == code


def test_the_tip_is_part_of_the_most_that_it_may_cost(node):
    limits = bounds(l2_gas=10**9, price=999_000_000_000)
    assert refused(node, sign(node, pay(), resource_bounds=limits, tip=10**10)) == 54
    post(node, sign(node, pay(), resource_bounds=limits, tip=10**8))


def test_the_price_of_the_day_must_be_covered():
    with FakeNode(advance=MANUAL, prices=Prices(l2_gas=20_000_000_000)) as node:
        assert refused(node, sign(node, pay())) == 53
        send(node, pay(), resource_bounds=bounds(price=20_000_000_000))


def test_a_transaction_waits_while_the_price_is_above_its_bound(node):
    digest = send(node, pay())
    node.set_prices(l2_gas=17_000_000_000)
    node.mine()
    assert node.transactions()[0].status == RECEIVED
    bumped = bounds(price=18_000_000_000)
    new = send(node, pay(), nonce=0, resource_bounds=bumped)
    node.mine()
    assert [t.hash for t in node.transactions()] == [new] != [digest]


def test_no_fee_is_above_the_bounds(node):
    """A transaction that needs more gas than its bound is reverted and pays for its bound."""
    log = node.deploy_log({"go": STEP})
    limits = bounds(l2_gas=1_500_000)
    send(node, *[call(log, "go", [i]) for i in range(8)], resource_bounds=limits, tip=7)
    node.mine()
    (sent,) = node.transactions()
    assert sent.reverted and "l2_gas" in sent.reverted
    assert 0 < sent.fee <= sent.max_fee
    assert sent.fee >= 1_500_000 * 8_000_000_007
    assert node.events(log) == []
    assert node.nonce(node.account.address) == 1


def test_a_transaction_cannot_spend_its_own_fee(node):
    poor = node.new_account(funds=STRK)
    send(node, pay(amount=STRK - 10), sender=account(node, poor))
    node.mine()
    (sent,) = node.transactions()
    assert sent.reverted and "fee token balance" in sent.reverted
    assert node.balance(7) == 0
    assert node.balance(poor.address) == STRK - sent.fee


def test_what_its_sender_can_no_longer_pay_is_rejected(node):
    poor = node.new_account(funds=STRK)
    digest = send(node, pay(), sender=account(node, poor))
    node.fund(poor.address, 3)
    node.mine()
    assert node.transactions() == []
    with pytest.raises(ClientError) as caught:
        ask(node, "get_transaction_status", digest)
    assert code_of(caught.value) == 29


def test_a_multicall_is_reverted_as_a_whole(node):
    log = node.deploy_log({"go": STEP})
    send(node, call(log, "go", [1]), pay(), call(log, "go", [1]))
    node.mine()
    (sent,) = node.transactions()
    assert sent.reverted and "'done twice'" in sent.reverted
    assert node.events(log) == [] and node.balance(7) == 0
    assert sent.fee > 0 and node.nonce(node.account.address) == 1
    receipt = ask(node, "get_transaction_receipt", sent.hash)
    assert receipt.execution_status.value == "REVERTED"
    assert receipt.revert_reason == sent.reverted
    send(node, call(log, "go", [1]))
    node.mine()
    assert len(node.events(log)) == 1


@pytest.mark.parametrize(
    ("target", "reason"),
    [((5, "go"), "not deployed"), ((None, "stop"), "ENTRYPOINT_NOT_FOUND")],
)
def test_calls_to_nowhere_are_reverted(node, target, reason):
    log = node.deploy_log({"go": STEP})
    send(node, call(target[0] or log, target[1], [1]))
    node.mine()
    assert reason in str(node.transactions()[0].reverted)


def test_calldata_that_is_no_multicall_is_reverted(node):
    signed = sign(node, pay())
    broken = dataclasses.replace(signed, calldata=[5, 1])
    signature = account(node).signer.sign_transaction(broken)
    post(node, dataclasses.replace(broken, signature=signature))
    node.mine()
    assert "calldata" in str(node.transactions()[0].reverted)


def test_higher_tips_go_first(node):
    other = node.new_account(funds=STRK)
    slow = send(node, pay())
    fast = send(node, pay(), sender=account(node, other), tip=5)
    node.mine()
    assert ask(node, "get_block", block_number=1).transactions[0].hash == fast
    assert ask(node, "get_transaction_by_block_id", 1, block_number=1).hash == slow
