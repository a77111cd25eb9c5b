"""Declaring and deploying: what is there is left alone, and what fails says so before it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet import registry
from jaxstark.starknet.accounts import Account
from jaxstark.starknet.deploy import Sender, declare, deploy, registry_address
from jaxstark.starknet.fake import INSTANT, FakeNode, Fault
from jaxstark.starknet.fees import FRI, FeePolicy
from jaxstark.starknet.networks import NETWORKS, RpcUrl
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.signing import KeySigner
from jaxstark.starknet.submission_error import SubmissionError
from tests.starknet.submit_kit import FakeClock

POLICY = FeePolicy(max_fee=20 * FRI)
SENDS = ("addDeclareTransaction", "addInvokeTransaction")


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    with FakeNode(seed=3, advance=INSTANT) as node:
        yield node


def sender(fake: FakeNode, **changes) -> Sender:
    signer = KeySigner(Secret(hex(fake.account.private_key)), fake.chain_id)
    account = Account(fake.account.address, signer, "a test")
    node = Node(RpcUrl(fake.url), tries=1)
    return replace(Sender(node, NETWORKS["sepolia"], account, POLICY, clock=FakeClock()), **changes)


def sends(fake: FakeNode) -> list[int]:
    return [fake.requests.get(name, 0) for name in SENDS]


def test_the_class_is_declared_once_and_the_contract_deployed_once(fake):
    source = sender(fake)
    with pytest.raises(SubmissionError, match="declare it first; nothing was sent"):
        deploy(source)
    first = declare(source)
    assert not first.done and first.tx_hash and 0 < first.fee <= first.worst_fee
    assert declare(source).done
    placed = deploy(source)
    assert source.node.class_hash(registry_address()) == registry.CLASS_HASH
    assert placed.block > first.block and deploy(source).done
    assert sends(fake) == [1, 1]
    deploy(source, salt=7)
    assert source.node.class_hash(registry_address(7)) == registry.CLASS_HASH
    assert sends(fake) == [1, 2]


def test_a_dry_run_sends_nothing(fake):
    source = sender(fake)
    planned = declare(source, dry_run=True)
    assert planned.bounds is not None and planned.worst_fee == planned.bounds.worst_fee()
    assert not planned.done and not planned.tx_hash
    assert sends(fake) == [0, 0]


def test_what_costs_too_much_is_not_sent(fake):
    with pytest.raises(SubmissionError, match="fee: expected at most"):
        declare(sender(fake, policy=FeePolicy(max_fee=1)))
    assert sends(fake) == [0, 0]


def test_another_chain_is_refused_before_anything_is_signed(fake):
    with pytest.raises(ValueError, match="allow_mainnet"):
        declare(sender(fake, network=NETWORKS["mainnet"]))
    with pytest.raises(ValueError, match="chain: expected SN_MAIN"):
        deploy(sender(fake, network=NETWORKS["mainnet"], allow_mainnet=True))
    assert sends(fake) == [0, 0]


def test_an_account_that_is_not_deployed_is_refused(fake):
    source = sender(fake)
    account = replace(source.account, address=0xABC)
    with pytest.raises(SubmissionError, match="0xabc: expected a deployed account"):
        declare(replace(source, account=account))
    assert sends(fake) == [0, 0]


def test_an_unclear_answer_names_the_transaction_and_running_again_finds_it(fake):
    fake.inject(Fault.reset(after=True, method="addDeclareTransaction"))
    with pytest.raises(SubmissionError, match=r"transaction 0x[0-9a-f]+: sent, but .* run again"):
        declare(sender(fake))
    assert declare(sender(fake)).done
    assert sends(fake) == [1, 0]


def test_a_reverted_transaction_is_an_error_with_its_reason(fake):
    source = sender(fake)
    declare(source)
    fake.inject(Fault.revert("no room", method="addInvokeTransaction"))
    with pytest.raises(SubmissionError, match="reverted: .*no room"):
        deploy(source)


def test_another_contract_at_the_address_is_an_error(fake, monkeypatch):
    source = sender(fake)
    monkeypatch.setattr("jaxstark.starknet.deploy.registry_address", lambda salt=0: fake.registry)
    with pytest.raises(SubmissionError, match="expected class"):
        deploy(source)
