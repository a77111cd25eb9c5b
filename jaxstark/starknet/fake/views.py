"""The JSON objects in which the fake node answers (Starknet JSON-RPC 0.10.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .chain import ACCEPTED, BLOCK_SECONDS, GENESIS_TIME, SEQUENCER, Block, Chain, Entry
from .gas import Gas, Prices, fee
from .machine import Called, Event, Outcome, selector
from .state import State
from .transaction import DEPLOY_ACCOUNT, INVOKE, Transaction

Json = dict[str, Any]
STARKNET_VERSION = "0.14.2"
SUCCEEDED, REVERTED = "SUCCEEDED", "REVERTED"


def hexes(values: Iterable[int]) -> list[str]:
    """Numbers as hexadecimal strings."""
    return [hex(value) for value in values]


def transaction_json(entry: Entry) -> Json:
    """A transaction as the chain shows it."""
    hidden = ("sender_address",) if entry.tx.kind == DEPLOY_ACCOUNT else ()
    shown = {k: v for k, v in entry.tx.source.items() if k not in hidden}
    return {**shown, "transaction_hash": hex(entry.hash)}


def event_json(event: Event) -> Json:
    """An event as a receipt holds it."""
    return {
        "from_address": hex(event.address),
        "keys": hexes(event.keys),
        "data": hexes(event.data),
    }


def execution_status(outcome: Outcome) -> str:
    """``SUCCEEDED`` or ``REVERTED``."""
    return SUCCEEDED if outcome.revert_reason is None else REVERTED


def status_json(entry: Entry) -> Json:
    """The answer to ``getTransactionStatus``."""
    out: Json = {"finality_status": entry.status}
    if entry.outcome is not None:
        out["execution_status"] = execution_status(entry.outcome)
        if entry.outcome.revert_reason is not None:
            out["failure_reason"] = entry.outcome.revert_reason
    return out


def receipt_json(chain: Chain, entry: Entry, block_info: bool = True) -> Json:
    """The receipt of an executed transaction."""
    outcome = entry.outcome
    if outcome is None:
        raise ValueError(f"receipt: expected an executed transaction, got {entry.hash:#x}")
    out: Json = {
        "type": entry.tx.kind,
        "transaction_hash": hex(entry.hash),
        "actual_fee": {"amount": hex(entry.fee), "unit": "FRI"},
        "finality_status": entry.status,
        "execution_status": execution_status(outcome),
        "messages_sent": [],
        "events": [event_json(event) for event in outcome.events],
        "execution_resources": outcome.gas._asdict(),
    }
    if outcome.revert_reason is not None:
        out["revert_reason"] = outcome.revert_reason
    if entry.tx.kind == DEPLOY_ACCOUNT:
        out["contract_address"] = hex(entry.tx.sender)
    if block_info:
        out["block_number"] = entry.block
        if entry.status == ACCEPTED and entry.block is not None:
            out["block_hash"] = hex(chain.blocks[entry.block].hash)
    return out


def estimate_json(gas: Gas, prices: Prices, tip: int) -> Json:
    """A fee estimate; the tip is in its total."""
    out: Json = {}
    for name in Gas._fields:
        out[f"{name}_consumed"] = hex(getattr(gas, name))
        out[f"{name}_price"] = hex(getattr(prices, name))
    return {**out, "overall_fee": hex(fee(gas, prices, tip)), "unit": "FRI"}


def _price_json(price: int) -> Json:
    return {"price_in_fri": hex(price), "price_in_wei": hex(price // 3_000 or 1)}


def header_json(chain: Chain, block: Block | None) -> Json:
    """The header of a block; None is the pre-confirmed one."""
    number = block.number if block else len(chain.blocks)
    prices = block.prices if block else chain.prices
    out: Json = {
        "block_number": number,
        "timestamp": GENESIS_TIME + BLOCK_SECONDS * number,
        "sequencer_address": hex(SEQUENCER),
        "l1_da_mode": "BLOB",
        "starknet_version": STARKNET_VERSION,
        **{f"{name}_price": _price_json(getattr(prices, name)) for name in Gas._fields},
    }
    if block is None:
        return out
    outcomes = [e.outcome for e in block.entries if e.outcome]
    zeros = ("new_root", "event_commitment", "transaction_commitment", "receipt_commitment")
    return {
        **out,
        **{name: "0x0" for name in (*zeros, "state_diff_commitment")},
        "status": ACCEPTED,
        "block_hash": hex(block.hash),
        "parent_hash": hex(block.parent),
        "event_count": sum(len(o.events) for o in outcomes),
        "transaction_count": len(block.entries),
        "state_diff_length": 0,
    }


def emitted(chain: Chain, entries: Iterable[Entry]) -> Iterable[tuple[Event, Json]]:
    """Every event of some executed transactions, with its answer to ``getEvents``."""
    for entry in entries:
        for index, event in enumerate(entry.outcome.events if entry.outcome else ()):
            place: Json = {
                "block_number": entry.block,
                "transaction_hash": hex(entry.hash),
                "transaction_index": entry.index,
                "event_index": index,
            }
            if entry.status == ACCEPTED and entry.block is not None:
                place["block_hash"] = hex(chain.blocks[entry.block].hash)
            yield event, {**event_json(event), **place}


def trace_json(tx: Transaction, outcome: Outcome, state: State, mark: int) -> Json:
    """The trace of a simulated transaction; ``mark`` is the state's before it."""
    out: Json = {
        "type": tx.kind,
        "execution_resources": outcome.gas._asdict(),
        "state_diff": _diff_json(state, mark),
    }
    if tx.kind == DEPLOY_ACCOUNT:
        made = Called(0, tx.sender, selector("constructor"), tx.calldata, ())
        constructor = {**_called_json(made, state, []), "entry_point_type": "CONSTRUCTOR"}
        return {**out, "constructor_invocation": constructor}
    if tx.kind != INVOKE:
        return out
    if outcome.revert_reason is not None:
        return {**out, "execute_invocation": {"revert_reason": outcome.revert_reason}}
    own = Called(0, tx.sender, selector("__execute__"), tx.calldata, ())
    calls = [_called_json(called, state, []) for called in outcome.calls]
    return {**out, "execute_invocation": _called_json(own, state, calls)}


def _called_json(called: Called, state: State, calls: list[Json]) -> Json:
    return {
        "contract_address": hex(called.address),
        "entry_point_selector": hex(called.selector),
        "calldata": hexes(called.calldata),
        "caller_address": hex(called.caller),
        "class_hash": hex(state.read(("class", called.address))),
        "entry_point_type": "EXTERNAL",
        "call_type": "CALL",
        "result": hexes(called.result),
        "calls": calls,
        "events": [
            {"order": i, "keys": hexes(event.keys), "data": hexes(event.data)}
            for i, event in enumerate(called.events)
        ],
        "messages": [],
        "execution_resources": {"l1_gas": 0, "l2_gas": 0},
        "is_reverted": False,
    }


def _diff_json(state: State, mark: int) -> Json:
    nonces = [
        {"contract_address": hex(int(str(key[1]))), "nonce": hex(new)}
        for key, (_, new) in state.changed(mark).items()
        if key[0] == "nonce"
    ]
    empty = ("storage_diffs", "deprecated_declared_classes", "declared_classes")
    more = ("deployed_contracts", "replaced_classes")
    return {**{name: [] for name in (*empty, *more)}, "nonces": nonces}


def class_json(name: str) -> Json:
    """What ``getClassAt`` shows for a contract model: the shape of a Cairo 1 class, no program."""
    entry_points = {kind: [] for kind in ("CONSTRUCTOR", "EXTERNAL", "L1_HANDLER")}
    return {
        "sierra_program": ["0x1", "0x8", "0x0"],
        "contract_class_version": "0.1.0",
        "entry_points_by_type": entry_points,
        "abi": f'[{{"type": "impl", "name": "{name}", "interface_name": "{name}"}}]',
    }
