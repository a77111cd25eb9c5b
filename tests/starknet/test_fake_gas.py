"""Fees on the fake node: estimates, simulations, and what is charged."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("starknet_py")
from starknet_py.hash.address import compute_address  # noqa: E402
from starknet_py.net.account.account import Account  # noqa: E402
from starknet_py.net.client_errors import ClientError  # noqa: E402
from starknet_py.net.client_models import Call, EstimatedFee  # noqa: E402
from starknet_py.net.full_node_client import FullNodeClient  # noqa: E402
from starknet_py.net.signer.key_pair import KeyPair  # noqa: E402
from starknet_py.net.tip import estimate_tip  # noqa: E402

from jaxstark.starknet.fake import (  # noqa: E402
    INSTANT,
    FakeNode,
    Step,
)
from jaxstark.starknet.fake.machine import selector  # noqa: E402
from jaxstark.starknet.fake.node import STRK  # noqa: E402
from jaxstark.starknet.fake.views import class_json  # noqa: E402
from tests.starknet.fakes import account, ask, bounds, call, code_of, fails, pay, send, sign  # noqa: E402

STEP = Step("Gone", once="gone", exists="done twice")


@pytest.fixture
def node():
    with FakeNode(seed=5, advance=INSTANT) as running:
        yield running


def estimate(node: FakeNode, *calls: Call) -> EstimatedFee:
    """starknet-py's estimate, signed for that purpose."""
    found = asyncio.run(account(node).estimate_fee(sign(node, *calls)))
    assert isinstance(found, EstimatedFee)
    return found


def test_an_estimate_is_what_is_charged(node):
    log = node.deploy_log({"go": STEP})
    calls = [call(log, "go", [1, 2, 3]), pay()]
    found = estimate(node, *calls)
    assert node.transactions() == [] and node.events() == []
    limits = bounds(l2_gas=found.l2_gas_consumed, price=found.l2_gas_price)
    limits.l1_data_gas.max_amount = found.l1_data_gas_consumed
    send(node, *calls, resource_bounds=limits)
    (sent,) = node.transactions()
    assert sent.reverted is None and sent.fee == found.overall_fee
    assert found.overall_fee == found.calculate_overall_fee() and found.unit.value == "FRI"
    used = ask(node, "get_transaction_receipt", sent.hash).execution_resources
    assert (used.l2_gas, used.l1_data_gas) == (found.l2_gas_consumed, found.l1_data_gas_consumed)


def test_auto_estimate_and_the_tip(node):
    send(node, pay(), resource_bounds=None, auto_estimate=True, tip=1_000)
    (sent,) = node.transactions()
    used = ask(node, "get_transaction_receipt", sent.hash).execution_resources
    assert sent.fee == used.l2_gas * (8_000_000_000 + 1_000) + used.l1_data_gas * 2_000
    assert asyncio.run(estimate_tip(FullNodeClient(node.url))) == 1_000


def test_calldata_costs_what_the_network_asks(node):
    log = node.deploy_log({"go": Step("Gone")})
    gas = [estimate(node, call(log, "go", [1] * n)) for n in (501, 1_001)]
    per_felt = (gas[1].l2_gas_consumed - gas[0].l2_gas_consumed) / 500
    assert per_felt == 5_120 + 20 * 100


def test_gas_is_the_sum_of_its_parts(node):
    log = node.deploy_log({"go": Step("Gone", keys=2, once="gone")})
    found = estimate(node, call(log, "go", [1, 2, 3, 4, 5]))
    felts, keys, data = 1 + 3 + 5 + 2, 4, 3  # calldata and signature; the event's keys and data
    steps = 400 + 20 * 5
    assert found.l2_gas_consumed == (
        900_000 + 5_120 * felts + 10_240 * keys + 5_120 * data + 402_000 + 100 * steps
    )
    assert (found.l1_gas_consumed, found.l1_data_gas_consumed) == (0, 128 + 32)


def test_an_estimate_of_what_reverts_is_an_error(node):
    log = node.deploy_log({"go": STEP})
    twice = sign(node, call(log, "go", [1]), call(log, "go", [1]))
    with pytest.raises(ClientError) as caught:
        asyncio.run(account(node).estimate_fee([sign(node, pay()), twice], skip_validate=True))
    assert code_of(caught.value) == 41
    with pytest.raises(ClientError, match="done twice") as caught:
        asyncio.run(account(node).estimate_fee(twice))
    assert code_of(caught.value) == 41 and "done twice" in str(caught.value.data)


def test_an_estimate_checks_signature_and_nonce(node):
    signed = sign(node, pay(), nonce=3)
    error = fails(node, "estimate_fee", signed)
    assert code_of(error) == 41 and "nonce" in str(error.data)
    unsigned = sign(node, pay())
    unsigned.signature[0] ^= 1
    assert "signature" in str(fails(node, "estimate_fee", unsigned).data)
    assert ask(node, "estimate_fee", unsigned, skip_validate=True).overall_fee > 0


def test_simulation_sees_the_transactions_before_it(node):
    log = node.deploy_log({"go": STEP})
    first, second = (sign(node, call(log, "go", [1]), nonce=n) for n in (0, 1))
    good, bad = ask(node, "simulate_transactions", [first, second])
    (inner,) = good.transaction_trace.execute_invocation.calls
    (event,) = inner.events
    assert event.keys == [selector("Gone"), node.account.address, 1]
    assert "done twice" in bad.transaction_trace.execute_invocation.revert_reason
    assert good.fee_estimation.overall_fee > 0
    assert node.transactions() == [] and node.nonce(node.account.address) == 0


def test_simulation_applies_the_bounds_unless_told_not_to(node):
    log = node.deploy_log({"go": STEP})
    signed = sign(node, call(log, "go", [1]), resource_bounds=bounds(l2_gas=1_000_000))
    (short,) = ask(node, "simulate_transactions", [signed])
    assert "l2_gas" in short.transaction_trace.execute_invocation.revert_reason
    (free,) = ask(node, "simulate_transactions", [signed], skip_fee_charge=True)
    assert len(free.transaction_trace.execute_invocation.calls) == 1


def test_simulation_of_what_its_sender_cannot_pay(node):
    signed = sign(node, pay(), resource_bounds=bounds(price=10**16))
    error = fails(node, "simulate_transactions", [signed])
    assert code_of(error) == 41 and "balance" in str(error.data)
    assert len(ask(node, "simulate_transactions", [signed], skip_fee_charge=True)) == 1


def test_declarations_and_deployments_are_estimated(node):
    pair = KeyPair.from_private_key(0x1234567)
    class_hash = ask(node, "get_class_hash_at", node.account.address)
    address = compute_address(class_hash=class_hash, constructor_calldata=[pair.public_key], salt=3)
    node.fund(address, STRK)
    new = Account(
        address=address, client=FullNodeClient(node.url), chain=node.chain_id, key_pair=pair
    )

    async def story() -> list:
        deployment = await new.sign_deploy_account_v3(
            class_hash, 3, constructor_calldata=[pair.public_key], auto_estimate=True
        )
        declaration = await account(node).sign_declare_v3(
            json.dumps(class_json("X")), compiled_class_hash=1, auto_estimate=True
        )
        return [deployment, declaration]

    first, second = ask(node, "simulate_transactions", asyncio.run(story()))
    assert first.transaction_trace.constructor_invocation.contract_address == address
    assert second.fee_estimation.overall_fee > 0 and node.transactions() == []
