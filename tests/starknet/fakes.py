"""How tests talk to the fake node: starknet-py's account, run synchronously."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_errors import ClientError
from starknet_py.net.client_models import Call, ResourceBounds, ResourceBoundsMapping
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.models.transaction import AccountTransaction
from starknet_py.net.signer.key_pair import KeyPair
from starknet_py.net.signer.stark_curve_signer import StarkCurveSigner

from jaxstark.starknet.fake import STRK_ADDRESS, FakeAccount, FakeNode
from tests.starknet.stark_curve import sign as stark_sign


class QuickSigner(StarkCurveSigner):
    """starknet-py's signer with the same signatures' mathematics, a hundred times as fast."""

    def sign_transaction(self, transaction: AccountTransaction) -> list[int]:
        digest = transaction.calculate_hash(self.chain_id)
        return list(stark_sign(digest, self.private_key))


def account(node: FakeNode, owner: FakeAccount | None = None) -> Account:
    """starknet-py's account of an owner, the node's first by default, with the quick signer."""
    owner = owner or node.account
    client = FullNodeClient(node.url)
    signer = QuickSigner(owner.address, KeyPair(owner.private_key, owner.public_key), node.chain_id)
    return Account(address=owner.address, client=client, chain=node.chain_id, signer=signer)


def plain_account(node: FakeNode) -> Account:
    """starknet-py's account with its own signer."""
    return Account(
        address=node.account.address,
        client=FullNodeClient(node.url),
        chain=node.chain_id,
        key_pair=KeyPair.from_private_key(node.account.private_key),
    )


def call(address: int, name: str, arguments: Sequence[int] = ()) -> Call:
    """A call of an entry point by name."""
    return Call(address, get_selector_from_name(name), list(arguments))


def pay(amount: int = 5, to: int = 7) -> Call:
    """A small transfer of STRK."""
    return call(STRK_ADDRESS, "transfer", [to, amount, 0])


def bounds(
    l2_gas: int = 20_000_000, price: int = 16_000_000_000, data: int = 5_000
) -> ResourceBoundsMapping:
    """Bounds that cover any small transaction."""
    return ResourceBoundsMapping(
        l1_gas=ResourceBounds(0, 10**15),
        l1_data_gas=ResourceBounds(data, 10**6),
        l2_gas=ResourceBounds(l2_gas, price),
    )


def send(node: FakeNode, *calls: Call, **options: Any) -> int:
    """Sign and send with generous bounds; gives the hash."""
    options.setdefault("resource_bounds", bounds())
    sender = options.pop("sender", None) or account(node)
    return asyncio.run(sender.execute_v3(calls=list(calls), **options)).transaction_hash


def sign(node: FakeNode, *calls: Call, **options: Any) -> Any:
    """A signed transaction that is not sent."""
    options.setdefault("resource_bounds", bounds())
    return asyncio.run(account(node).sign_invoke_v3(list(calls), **options))


def post(node: FakeNode, transaction: Any) -> int:
    """Send a signed transaction; gives the hash."""
    return asyncio.run(FullNodeClient(node.url).send_transaction(transaction)).transaction_hash


def ask(node: FakeNode, method: str, *arguments: Any, **options: Any) -> Any:
    """What a method of the client answers."""
    return asyncio.run(getattr(FullNodeClient(node.url), method)(*arguments, **options))


def code_of(error: ClientError) -> int:
    """The JSON-RPC code of an error."""
    return int(error.code or 0)


def fails(node: FakeNode, method: str, *arguments: Any, **options: Any) -> ClientError:
    """The error with which a method of the client fails."""
    with pytest.raises(ClientError) as caught:
        ask(node, method, *arguments, **options)
    return caught.value
