"""Calls, multicalls, and signed transactions of version 3.

The calldata of an account's multicall is the number of calls, then for each its contract, its
selector, the length of its arguments, and the arguments (the layout of Cairo 1 accounts). A signed
transaction is kept as the very parameters of ``starknet_addInvokeTransaction``: what is sent again
after a crash is what was sent before. A signature is not a secret; a key is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jaxstark.starknet.fees import Bounds
from jaxstark.starknet.signing import Signer

MULTICALL_FELTS = 1  # the number of calls
CALL_HEAD_FELTS = 3  # contract, selector, length of the arguments
QUERY_VERSION = (1 << 128) + 3  # a signature over this version cannot be executed


@dataclass(frozen=True)
class Call:
    """One call of a multicall.

    Attributes:
      step: name for messages.
      contract: address.
      entry_point: name of the function; its selector is the keccak hash of that name.
      arguments: felts.
    """

    step: str
    contract: int
    entry_point: str
    arguments: tuple[int, ...]

    def selector(self) -> int:
        """The selector of the entry point."""
        from starknet_py.hash.selector import get_selector_from_name

        return get_selector_from_name(self.entry_point)


def invoke_felts(calls: Sequence[Call]) -> int:
    """Felts of the calldata of a transaction with these calls."""
    return MULTICALL_FELTS + sum(CALL_HEAD_FELTS + len(call.arguments) for call in calls)


def multicall(calls: Sequence[Call]) -> list[int]:
    """The calldata of a transaction."""
    out = [len(calls)]
    for call in calls:
        out += [call.contract, call.selector(), len(call.arguments), *call.arguments]
    return out


@dataclass(frozen=True)
class Signed:
    """A signed transaction.

    Attributes:
      tx_hash: computed here, from what is signed.
      nonce: of the account.
      bounds, tip: what it may cost.
      payload: JSON text of the member ``invoke_transaction`` of the request.
    """

    tx_hash: int
    nonce: int
    bounds: Bounds
    tip: int
    payload: str

    @property
    def worst_fee(self) -> int:
        """FRI that the transaction can cost at most."""
        return self.bounds.worst_fee(self.tip)


def sign(
    calls: Sequence[Call],
    *,
    sender: int,
    signer: Signer,
    chain_id: int,
    nonce: int,
    bounds: Bounds,
    tip: int = 0,
    proof: str | None = None,
    proof_facts: Sequence[int] = (),
    query: bool = False,
) -> Signed:
    """Sign a multicall.

    Args:
      calls: at least one.
      sender: address of the account.
      signer: signs for it.
      chain_id: of the network.
      nonce: of the account.
      bounds: what it may use, and at which prices.
      tip: FRI for each unit of L2 gas.
      proof: passed through to the node as it is (SNIP-36); no part of the hash.
      proof_facts: passed through, and part of the hash.
      query: sign the version for estimates, which cannot be executed.
    """
    from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping
    from starknet_py.net.models.transaction import InvokeV3

    mapping = {name: ResourceBounds(r.amount, r.price) for name, r in bounds.items()}
    unsigned = InvokeV3(
        version=QUERY_VERSION if query else 3,
        signature=[],
        nonce=nonce,
        resource_bounds=ResourceBoundsMapping(**mapping),
        tip=tip,
        calldata=multicall(calls),
        sender_address=sender,
        proof=proof,
        proof_facts=list(proof_facts) or None,
    )
    # The hash runs over thousands of felts: once, for the signer and for what is kept.
    object.__setattr__(unsigned, "calculate_hash", cache(unsigned.calculate_hash))
    signature = [int(part) for part in signer.sign_transaction(unsigned)]
    payload: dict[str, Any] = {
        "type": "INVOKE",
        "version": hex(unsigned.version),
        "sender_address": hex(sender),
        "calldata": [hex(felt) for felt in unsigned.calldata],
        "signature": [hex(part) for part in signature],
        "nonce": hex(nonce),
        "resource_bounds": bounds.to_json(),
        "tip": hex(tip),
        "paymaster_data": [],
        "account_deployment_data": [],
        "nonce_data_availability_mode": "L1",
        "fee_data_availability_mode": "L1",
    }
    if proof_facts:
        payload["proof_facts"] = [hex(fact) for fact in proof_facts]
    if proof is not None:
        payload["proof"] = proof
    text = json.dumps(payload, separators=(",", ":"))
    return Signed(unsigned.calculate_hash(chain_id), nonce, bounds, tip, text)
