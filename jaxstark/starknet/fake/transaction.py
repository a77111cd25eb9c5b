"""Version 3 transactions as a client broadcasts them, and their hashes.

The hash is computed here from its definition, with the package's own Poseidon, so that a test
may compare it with a client library's. Source: the Starknet documentation on transaction
hashes (v3), with ``L1_DATA`` bounds and, where present, the proof facts as last element.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxstark.hash.poseidon252 import F252, hash_many

from .errors import RpcError

INVOKE, DECLARE, DEPLOY_ACCOUNT = "INVOKE", "DECLARE", "DEPLOY_ACCOUNT"
QUERY = 1 << 128  # added to the version of a transaction that may only be estimated
_HEX = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)")
_MODES = {"L1": 0, "L2": 1}
_BOUNDS = {"l1_gas": b"L1_GAS", "l2_gas": b"L2_GAS", "l1_data_gas": b"L1_DATA"}


class Bound(NamedTuple):
    """The most of one resource that a transaction pays for: units, and fri for each."""

    amount: int = 0
    price: int = 0


@dataclass(frozen=True)
class Transaction:
    """A transaction of any kind; what a kind does not have is empty or 0.

    ``calldata`` is the constructor's for an account's deployment. ``source`` is the JSON object
    that was sent, without contract class and proof.
    """

    kind: str
    version: int
    sender: int
    nonce: int
    tip: int
    l1_gas: Bound
    l2_gas: Bound
    l1_data_gas: Bound
    signature: tuple[int, ...]
    calldata: tuple[int, ...] = ()
    paymaster_data: tuple[int, ...] = ()
    account_deployment_data: tuple[int, ...] = ()
    data_modes: int = 0
    class_hash: int = 0
    compiled_class_hash: int = 0
    salt: int = 0
    proof: bool = False
    proof_facts: tuple[int, ...] = ()
    source: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def query(self) -> bool:
        """Whether it was signed for an estimate only."""
        return self.version >= QUERY

    @property
    def length(self) -> int:
        """Felts that count towards the limit for one transaction."""
        return len(self.calldata) + len(self.proof_facts)

    @property
    def max_fee(self) -> int:
        """The most that it can cost, in fri: bound times price, with the tip on L2 gas."""
        l2 = self.l2_gas.amount * (self.l2_gas.price + self.tip)
        return l2 + sum(b.amount * b.price for b in (self.l1_gas, self.l1_data_gas))


def transaction_hash(tx: Transaction, chain_id: int) -> int:
    """The hash that identifies a transaction on a chain, and that its sender signs."""
    bounds = [
        (int.from_bytes(name, "big") << 192) + (bound.amount << 128) + bound.price
        for name, bound in zip(
            _BOUNDS.values(), (tx.l1_gas, tx.l2_gas, tx.l1_data_gas), strict=True
        )
    ]
    elements = [
        int.from_bytes(tx.kind.lower().encode(), "big"),
        tx.version,
        tx.sender,
        hash_many([tx.tip, *bounds]),
        hash_many(tx.paymaster_data),
        chain_id,
        tx.nonce,
        tx.data_modes,
    ]
    if tx.kind == INVOKE:
        elements += [hash_many(tx.account_deployment_data), hash_many(tx.calldata)]
        elements += [hash_many(tx.proof_facts)] if tx.proof_facts else []
    elif tx.kind == DECLARE:
        elements += [hash_many(tx.account_deployment_data), tx.class_hash, tx.compiled_class_hash]
    else:
        elements += [hash_many(tx.calldata), tx.class_hash, tx.salt]
    return hash_many(elements)


def number(value: object, what: str, limit: int = F252) -> int:
    """A canonical hexadecimal number below ``limit``; RPC error -32602 otherwise."""
    if not isinstance(value, str) or not _HEX.fullmatch(value) or int(value, 16) >= limit:
        raise RpcError(-32602, f"{what}: expected a hexadecimal number, got {str(value)[:80]!r}")
    return int(value, 16)


def numbers(values: object, what: str) -> tuple[int, ...]:
    """A list of felts; RPC error -32602 otherwise."""
    if not isinstance(values, list):
        raise RpcError(-32602, f"{what}: expected a list, got {type(values).__name__}")
    return tuple(number(value, what) for value in values)


def parse(source: object) -> Transaction:
    """A transaction from its JSON object.

    A declaration's ``class_hash`` must stand in the object: the caller computes it from the class.
    An account's deployment has the new account as sender, which the caller fills in.
    Raises ``RpcError``: -32602 if it is malformed, 61 if its version is not 3.
    """
    if not isinstance(source, dict):
        raise RpcError(-32602, f"transaction: expected an object, got {type(source).__name__}")
    kind = source.get("type")
    if kind not in (INVOKE, DECLARE, DEPLOY_ACCOUNT):
        raise RpcError(-32602, f"type: expected a transaction's, got {str(kind)[:80]!r}")
    version = number(source.get("version"), "version")
    if version not in (3, QUERY + 3):
        raise RpcError(61)
    bounds = source.get("resource_bounds")
    if not isinstance(bounds, dict) or set(bounds) != set(_BOUNDS):
        raise RpcError(-32602, f"resource_bounds: expected {sorted(_BOUNDS)}")
    modes = [str(source.get(f"{name}_data_availability_mode")) for name in ("nonce", "fee")]
    if any(mode not in _MODES for mode in modes):
        raise RpcError(-32602, f"data availability modes: expected L1 or L2, got {modes}")
    felts = {
        INVOKE: ("sender_address",),
        DECLARE: ("sender_address", "class_hash", "compiled_class_hash"),
        DEPLOY_ACCOUNT: ("sender_address", "class_hash", "contract_address_salt"),
    }[kind]
    values = {name: number(source.get(name), name) for name in felts}
    calldata = {INVOKE: "calldata", DEPLOY_ACCOUNT: "constructor_calldata"}.get(kind)
    deployment = "account_deployment_data"
    facts = source.get("proof_facts")
    return Transaction(
        kind=kind,
        version=version,
        sender=values["sender_address"],
        nonce=number(source.get("nonce"), "nonce"),
        tip=number(source.get("tip"), "tip", 1 << 64),
        signature=numbers(source.get("signature"), "signature"),
        calldata=numbers(source.get(calldata), calldata) if calldata else (),
        paymaster_data=numbers(source.get("paymaster_data"), "paymaster_data"),
        account_deployment_data=(
            () if kind == DEPLOY_ACCOUNT else numbers(source.get(deployment), deployment)
        ),
        data_modes=(_MODES[modes[0]] << 32) + _MODES[modes[1]],
        class_hash=values.get("class_hash", 0),
        compiled_class_hash=values.get("compiled_class_hash", 0),
        salt=values.get("contract_address_salt", 0),
        proof=source.get("proof") is not None,
        proof_facts=() if facts is None else numbers(facts, "proof_facts"),
        source={k: v for k, v in source.items() if k not in ("contract_class", "proof")},
        **{name: _bound(bounds[name], name) for name in _BOUNDS},
    )


def _bound(value: object, what: str) -> Bound:
    if not isinstance(value, dict):
        raise RpcError(-32602, f"{what}: expected an object, got {type(value).__name__}")
    return Bound(
        number(value.get("max_amount"), f"{what}.max_amount", 1 << 64),
        number(value.get("max_price_per_unit"), f"{what}.max_price_per_unit", 1 << 128),
    )


def calls_of(calldata: Sequence[int]) -> list[tuple[int, int, tuple[int, ...]]]:
    """The calls (contract, selector, calldata) of an account's calldata (Cairo 1 form).

    Raises ``ValueError`` if the calldata is no such list.
    """
    rest = list(calldata)
    if not rest:
        raise ValueError("calldata: expected a list of calls, got no felts")
    count, at, calls = rest[0], 1, []
    for _ in range(min(count, len(rest))):
        head = rest[at : at + 3]
        if len(head) < 3 or at + 3 + head[2] > len(rest):
            raise ValueError(f"calldata: expected {count} calls, got too few felts")
        calls.append((head[0], head[1], tuple(rest[at + 3 : at + 3 + head[2]])))
        at += 3 + head[2]
    if len(calls) != count or at != len(rest):
        raise ValueError(f"calldata: expected {count} calls, got {len(rest)} felts")
    return calls
