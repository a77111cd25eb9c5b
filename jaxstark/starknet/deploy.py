"""Declaring and deploying the registry.

Both steps ask the chain first and do nothing where they are done already: a class is declared once
for all, and the address of the contract follows from class and salt alone, so that the same command
run again never makes a second contract. Signing needs the extra ``starknet``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxstark.starknet.accounts import Account
from jaxstark.starknet.calls import QUERY_VERSION, Call, sign
from jaxstark.starknet.clock import Clock, SystemClock
from jaxstark.starknet.fees import NO_BOUNDS, Bounds, FeePolicy, require_within
from jaxstark.starknet.guard import check_balance, check_network
from jaxstark.starknet.networks import DEPLOYER, Network
from jaxstark.starknet.registry import CLASS_HASH, COMPILED_CLASS_HASH, sierra_class
from jaxstark.starknet.rpc import LATEST, PRE_CONFIRMED, Node
from jaxstark.starknet.submission_error import NodeError, SubmissionError, Unreachable

_CLASS_NOT_FOUND = 28
_POLL_SECONDS, _POLLS = 2.0, 300


@dataclass(frozen=True)
class Sent:
    """What a step did.

    Attributes:
      done: whether it was done before; nothing was sent then.
      tx_hash: of its transaction; 0 without.
      block: number of the block of that transaction; 0 without.
      worst_fee, fee: FRI that it could cost and that it cost; 0 where nothing was sent.
      bounds: what its transaction may use, as estimated with a margin; None without.
    """

    done: bool = False
    tx_hash: int = 0
    block: int = 0
    worst_fee: int = 0
    fee: int = 0
    bounds: Bounds | None = None


def registry_address(salt: int = 0) -> int:
    """Where the registry of this salt is on every network, once deployed by anyone."""
    from starknet_py.hash.address import compute_address

    return compute_address(
        class_hash=CLASS_HASH, constructor_calldata=[], salt=salt, deployer_address=0
    )


@dataclass(frozen=True)
class Sender:
    """What sends the transactions of this module.

    Attributes:
      node: where to.
      network: on which the node must be.
      account: that signs and pays.
      policy: what one transaction may cost.
      allow_mainnet: whether the main network may be the network.
      clock: to wait with.
    """

    node: Node
    network: Network
    account: Account
    policy: FeePolicy
    allow_mainnet: bool = False
    clock: Clock = SystemClock()


def declare(sender: Sender, *, dry_run: bool = False) -> Sent:
    """Declare the class of the registry, unless it is declared; ``dry_run`` stops before sending.

    Raises ``SubmissionError`` where the node refuses, the cost is above the cap or the transaction
    fails, and ``ValueError`` for a node on another chain.
    """
    check_network(sender.node, sender.network, sender.allow_mainnet)
    if _is_declared(sender.node):
        return Sent(done=True)

    def make(nonce: int, bounds: Bounds, query: bool) -> tuple[int, dict[str, Any]]:
        return _declaration(sender, nonce, bounds, query)

    return _send(sender, make, "addDeclareTransaction", "declare_transaction", dry_run)


def deploy(sender: Sender, *, salt: int = 0, dry_run: bool = False) -> Sent:
    """Deploy the declared class at ``registry_address(salt)``, unless it is there.

    Arguments and errors are those of ``declare``.
    """
    check_network(sender.node, sender.network, sender.allow_mainnet)
    address = registry_address(salt)
    if _is_deployed(sender.node, address):
        return Sent(done=True)
    if not _is_declared(sender.node):
        raise SubmissionError(
            "registry: expected its class to be declared, but the node does not know it; declare "
            "it first; nothing was sent"
        )
    call = Call("deploy", DEPLOYER, "deployContract", (CLASS_HASH, salt, 0, 0))

    def make(nonce: int, bounds: Bounds, query: bool) -> tuple[int, dict[str, Any]]:
        signed = sign(
            [call],
            sender=sender.account.address,
            signer=sender.account.signer,
            chain_id=sender.network.chain_id,
            nonce=nonce,
            bounds=bounds,
            tip=sender.policy.tip,
            query=query,
        )
        return signed.tx_hash, json.loads(signed.payload)

    sent = _send(sender, make, "addInvokeTransaction", "invoke_transaction", dry_run)
    if not dry_run and not _is_deployed(sender.node, address):
        raise SubmissionError(
            f"registry: expected a contract at {address:#x} after transaction {sent.tx_hash:#x}, "
            "found none"
        )
    return sent


def _declaration(
    sender: Sender, nonce: int, bounds: Bounds, query: bool
) -> tuple[int, dict[str, Any]]:
    """Hash and parameters of a signed declaration."""
    from starknet_py.common import create_sierra_compiled_contract
    from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping
    from starknet_py.net.models.transaction import DeclareV3

    text = sierra_class()
    contract: Any = create_sierra_compiled_contract(text)  # with the ABI as the text that is hashed
    mapping = {name: ResourceBounds(r.amount, r.price) for name, r in bounds.items()}
    unsigned = DeclareV3(
        version=QUERY_VERSION if query else 3,
        signature=[],
        nonce=nonce,
        resource_bounds=ResourceBoundsMapping(**mapping),
        tip=sender.policy.tip,
        sender_address=sender.account.address,
        compiled_class_hash=COMPILED_CLASS_HASH,
        contract_class=contract,
    )
    signature = [int(part) for part in sender.account.signer.sign_transaction(unsigned)]
    obj = json.loads(text)
    names = ("sierra_program", "contract_class_version", "entry_points_by_type")
    return unsigned.calculate_hash(sender.network.chain_id), {
        "type": "DECLARE",
        "version": hex(unsigned.version),
        "sender_address": hex(sender.account.address),
        "compiled_class_hash": hex(COMPILED_CLASS_HASH),
        "contract_class": {name: obj[name] for name in names} | {"abi": contract.abi},
        "signature": [hex(part) for part in signature],
        "nonce": hex(nonce),
        "resource_bounds": bounds.to_json(),
        "tip": hex(sender.policy.tip),
        "paymaster_data": [],
        "account_deployment_data": [],
        "nonce_data_availability_mode": "L1",
        "fee_data_availability_mode": "L1",
    }


def _send(
    sender: Sender,
    make: Callable[[int, Bounds, bool], tuple[int, dict[str, Any]]],
    method: str,
    name: str,
    dry_run: bool,
) -> Sent:
    """Estimate, bound, sign, send and wait for one transaction."""
    node, policy, account = sender.node, sender.policy, sender.account.address
    if node.class_hash(account) is None:
        raise SubmissionError(
            f"account {account:#x}: expected a deployed account, got no contract at that address; "
            "nothing was sent"
        )
    nonce = node.nonce(account, PRE_CONFIRMED)
    bounds = policy.bounds(node.estimate([make(nonce, NO_BOUNDS, True)[1]])[0])
    worst = bounds.worst_fee(policy.tip)
    require_within([worst], 0, policy.max_fee)
    if dry_run:
        return Sent(worst_fee=worst, bounds=bounds)
    check_balance(node, account, worst)
    tx_hash, payload = make(nonce, bounds, False)
    try:
        node.send(method, {name: payload})
    except Unreachable as error:
        raise SubmissionError(
            f"transaction {tx_hash:#x}: sent, but {error}; run again later: what was done is found "
            "on the chain"
        ) from None
    for _ in range(_POLLS):
        receipt = node.receipt(tx_hash)
        if receipt is not None and not receipt.succeeded:
            raise SubmissionError(f"transaction {tx_hash:#x}: reverted: {receipt.reason}")
        if receipt is not None and receipt.final and receipt.block is not None:
            return Sent(False, tx_hash, receipt.block, worst, receipt.fee, bounds)
        sender.clock.sleep(_POLL_SECONDS)
    raise SubmissionError(
        f"transaction {tx_hash:#x}: expected it in a block within {_POLLS * _POLL_SECONDS:.0f} s, "
        "got none; run again later: what was done is found on the chain"
    )


def _is_declared(node: Node) -> bool:
    try:
        node.read("getClass", {"block_id": LATEST, "class_hash": hex(CLASS_HASH)})
    except NodeError as error:
        if error.code == _CLASS_NOT_FOUND:
            return False
        raise
    return True


def _is_deployed(node: Node, address: int) -> bool:
    found = node.class_hash(address)
    if found not in (None, CLASS_HASH):
        raise SubmissionError(
            f"contract {address:#x}: expected class {CLASS_HASH:#x}, found {found:#x}"
        )
    return found is not None
