"""Contract models of the fake node: token, marketplace, deployer, accounts, classes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import cached_property

import pytest

pytest.importorskip("starknet_py")
from starknet_py.hash.address import compute_address  # noqa: E402
from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash  # noqa: E402
from starknet_py.net.account.account import Account  # noqa: E402
from starknet_py.net.client_errors import ClientError  # noqa: E402
from starknet_py.net.client_models import SierraContractClass  # noqa: E402
from starknet_py.net.full_node_client import FullNodeClient  # noqa: E402
from starknet_py.net.signer.key_pair import KeyPair  # noqa: E402
from starknet_py.net.udc_deployer.deployer import Deployer  # noqa: E402

from jaxstark.starknet.fake import (  # noqa: E402
    DEPLOYER_ADDRESS,
    INSTANT,
    STRK_ADDRESS,
    Contract,
    FakeNode,
    RegistryModel,
    Step,
    job_steps,
)
from jaxstark.starknet.fake.machine import selector  # noqa: E402
from jaxstark.starknet.fake.node import STRK  # noqa: E402
from jaxstark.starknet.fake.views import class_json  # noqa: E402
from tests.starknet.fakes import account, ask, bounds, call, code_of, pay, send, sign  # noqa: E402

STEP = Step("Gone", once="gone", exists="done twice")


@pytest.fixture
def node():
    with FakeNode(seed=5, advance=INSTANT) as running:
        yield running


def test_a_token(node):
    friend = node.new_account(funds=STRK)
    send(node, call(STRK_ADDRESS, "approve", [friend.address, 30, 0]))
    move = call(STRK_ADDRESS, "transfer_from", [node.account.address, 9, 20, 0])
    for expected in (20, 20):  # the allowance suffices once
        send(node, move, sender=account(node, friend))
        assert node.balance(9) == expected
    assert "insufficient allowance" in str(node.transactions()[-1].reverted)
    send(node, pay(amount=10**22))
    assert "insufficient balance" in str(node.transactions()[-1].reverted)
    send(node, call(STRK_ADDRESS, "transfer", [7, 0, 1]))
    assert node.transactions()[-1].reverted
    assert ask(node, "call_contract", call(STRK_ADDRESS, "decimals")) == [18]


def test_the_five_calls_of_a_marketplace(node):
    log = node.deploy_log(job_steps())
    job = [42, 0]
    steps = {
        "register_job": ([*job, 1, 2], "JobRegistered", [1, 2]),
        "submit_proof": ([2, 8, 9, 77, *job], "ProofSubmitted", [2, 8, 9, 77]),
        "register_with_router": ([*job, 1], "JobRouted", [1]),
        "pay": ([5, 0, *job], "JobPaid", [5, 0]),
        "submit_result": ([*job, 3], "ResultSubmitted", [3]),
    }
    send(node, call(log, "submit_result", steps["submit_result"][0]))
    assert "'no such job'" in str(node.transactions()[-1].reverted)
    send(node, *[call(log, name, arguments) for name, (arguments, _, _) in steps.items()])
    found = [(e.keys, e.data) for e in node.events(log)]
    caller = node.account.address
    assert found == [
        ((selector(event), caller, *job), tuple(data)) for _, event, data in steps.values()
    ]
    for name, reason in (("register_job", "job exists"), ("submit_result", "result exists")):
        send(node, call(log, name, steps[name][0]))
        assert f"'{reason}'" in str(node.transactions()[-1].reverted)


def test_a_class_is_declared_and_deployed(node):
    source = class_json("Registry")
    source["sierra_program"] = [hex(n) for n in (1, 8, 0, 5)]
    parsed = SierraContractClass(
        **{**source, "entry_points_by_type": _no_entry_points(), "sierra_program": [1, 8, 0, 5]}
    )
    class_hash = compute_sierra_class_hash(parsed)
    node.know_class(class_hash, RegistryModel())
    sender = account(node)

    async def declare() -> int:
        transaction = await sender.sign_declare_v3(
            json.dumps(source), compiled_class_hash=99, auto_estimate=True
        )
        answer = await sender.client.declare(transaction)
        assert answer.transaction_hash == transaction.calculate_hash(node.chain_id)
        return answer.class_hash

    assert asyncio.run(declare()) == class_hash
    assert ask(node, "get_class_by_hash", class_hash).sierra_program == [1, 8, 0, 5]
    with pytest.raises(ClientError) as caught:
        asyncio.run(declare())
    assert code_of(caught.value) == 51

    deployment = Deployer(account_address=sender.address).create_contract_deployment(
        class_hash, salt=1
    )
    send(node, deployment.call)
    assert node.transactions()[-1].reverted is None
    assert ask(node, "get_class_hash_at", deployment.address) == class_hash
    view = call(deployment.address, "chunks_received", [1, 2, 3])
    assert ask(node, "call_contract", view) == [0]
    (told,) = node.events(DEPLOYER_ADDRESS)
    assert told.data[0] == deployment.address
    send(node, deployment.call)
    assert "already deployed" in str(node.transactions()[-1].reverted)
    unknown = Deployer(account_address=sender.address).create_contract_deployment(5, salt=1)
    send(node, unknown.call)
    assert "not declared" in str(node.transactions()[-1].reverted)


def _no_entry_points():
    from starknet_py.net.client_models import SierraEntryPointsByType

    return SierraEntryPointsByType(constructor=[], external=[], l1_handler=[])


def test_an_account_is_deployed(node):
    pair = KeyPair.from_private_key(0x1234567)
    class_hash = ask(node, "get_class_hash_at", node.account.address)
    address = compute_address(class_hash=class_hash, constructor_calldata=[pair.public_key], salt=3)

    def deploy():
        return asyncio.run(
            Account.deploy_account_v3(
                address=address,
                class_hash=class_hash,
                salt=3,
                key_pair=pair,
                client=FullNodeClient(node.url),
                resource_bounds=bounds(),
            )
        )

    with pytest.raises(ClientError) as caught:
        deploy()
    assert code_of(caught.value) == 54
    node.fund(address, STRK)
    result = deploy()
    asyncio.run(result.wait_for_acceptance(check_interval=0.01))
    assert asyncio.run(result.account.get_nonce()) == 1
    send(node, pay(), sender=result.account)
    assert node.balance(7) == 5
    query = call(address, "supports_interface", [5])
    assert ask(node, "call_contract", query) == [0]


@dataclass(frozen=True)
class Relay(Contract):
    """Calls another contract, or itself, for its caller."""

    target: int = 0

    @cached_property
    def entry_points(self):
        return {selector("relay"): self._relay, selector("loop"): self._loop}

    def _relay(self, ctx, data):
        ctx.emit([selector("Relayed")], [])
        ctx.call(self.target, selector("go"), data)
        return []

    def _loop(self, ctx, data):
        return ctx.call(ctx.address, selector("loop"), data)


def test_contracts_call_contracts(node):
    log = node.deploy_log({"go": STEP})
    relay = node.deploy(Relay(log))
    signed = sign(node, call(relay, "relay", [3]))
    (simulated,) = ask(node, "simulate_transactions", [signed])
    inner = simulated.transaction_trace.execute_invocation.calls
    found = [(c.contract_address, c.caller_address, len(c.events)) for c in inner]
    assert found == [(log, relay, 1), (relay, node.account.address, 1)]
    send(node, call(relay, "relay", [3]))
    (gone,) = node.events(log)
    assert gone.keys == (selector("Gone"), relay, 3)
    assert len(node.events(relay)) == 1
    send(node, call(relay, "relay", [3]))
    assert "'done twice'" in str(node.transactions()[-1].reverted)
    assert len(node.events(relay)) == 1, "the caller's event is undone too"
    send(node, call(relay, "loop"))
    assert "recursion" in str(node.transactions()[-1].reverted)
