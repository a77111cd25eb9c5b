"""The JSON-RPC methods of the fake node (Starknet JSON-RPC 0.10.2), over a ``Chain``.

Methods that a fake has no use for (storage, proofs of it, L1 messages, state updates) do not exist
here and answer -32601.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import views
from .chain import NO_FATE, Chain, Entry, Fate
from .errors import MESSAGES, Revert, RpcError
from .event_query import find_events
from .gateway import bad_nonce, check_funds, check_sender
from .machine import explain
from .state import State, class_key, declared_key
from .transaction import DECLARE, DEPLOY_ACCOUNT, Transaction, number, numbers, parse
from .transaction import transaction_hash as hash_of

SPEC_VERSION = "0.10.2"
SENDS = ("addInvokeTransaction", "addDeclareTransaction", "addDeployAccountTransaction")

Params = dict[str, Any]


class Rpc:
    """Answers method calls; ``call`` takes a name without ``starknet_`` and named parameters."""

    def __init__(self, chain: Chain, spec_version: str = SPEC_VERSION) -> None:
        self.chain = chain
        self.spec_version = spec_version
        self._methods: dict[str, Callable[[Params], Any]] = {
            "specVersion": lambda _: self.spec_version,
            "chainId": lambda _: hex(chain.chain_id),
            "syncing": lambda _: False,
            "blockNumber": lambda _: chain.latest.number,
            "blockHashAndNumber": lambda _: {
                "block_hash": hex(chain.latest.hash),
                "block_number": chain.latest.number,
            },
            "getNonce": self._get_nonce,
            "getClassHashAt": lambda p: hex(self._class_hash(p)),
            "getClassAt": lambda p: self._class(self._class_hash(p)),
            "getClass": self._get_class,
            "getBlockWithTxHashes": self._block_with_hashes,
            "getBlockWithTxs": self._block_with_transactions,
            "getBlockWithReceipts": self._block_with_receipts,
            "getBlockTransactionCount": lambda p: len(self._block(p)[1]),
            "getTransactionByBlockIdAndIndex": self._transaction_at,
            "getTransactionByHash": lambda p: views.transaction_json(self._entry(p)),
            "getTransactionStatus": lambda p: views.status_json(self._entry(p)),
            "getTransactionReceipt": self._receipt,
            "getEvents": lambda p: find_events(chain, p.get("filter"), self._number_of),
            "call": self._call,
            "estimateFee": self._estimate,
            "simulateTransactions": self._simulate,
        }

    def call(self, method: str, params: object, fate: Fate = NO_FATE) -> Any:
        """The result of one method; ``RpcError`` if it has none."""
        if not isinstance(params, dict):
            if params:
                raise RpcError(-32602, "params: expected an object")
            params = {}
        if method in SENDS:
            return self._send(method, params, fate)
        if method not in self._methods:
            raise RpcError(-32601, method[:80])
        return self._methods[method](params)

    # ------------------------------------------------------------------ blocks and state

    def _number_of(self, block_id: object, default: str = "pre_confirmed") -> int:
        """The number of a block; that after the last one stands for the pre-confirmed block."""
        chain = self.chain
        block_id = default if block_id is None else block_id
        if block_id == "pre_confirmed":
            return len(chain.blocks)
        if block_id == "latest":
            return chain.latest.number
        if block_id == "l1_accepted":
            return 0
        if isinstance(block_id, dict) and "block_number" in block_id:
            found = block_id["block_number"]
            if isinstance(found, int) and 0 <= found < len(chain.blocks):
                return found
        elif isinstance(block_id, dict) and "block_hash" in block_id:
            wanted = number(block_id["block_hash"], "block_hash")
            for block in chain.blocks:
                if block.hash == wanted:
                    return block.number
        raise RpcError(24)

    def _block(self, params: Params) -> tuple[Any, list[Entry]]:
        at = self._number_of(params.get("block_id"))
        if at == len(self.chain.blocks):
            return None, self.chain.open
        return self.chain.blocks[at], self.chain.blocks[at].entries

    def _state(self, params: Params) -> State:
        """The state after a block; never the live one if it is not needed to be."""
        chain, at = self.chain, self._number_of(params.get("block_id"))
        if at == len(chain.blocks):
            return chain.state
        if at == chain.latest.number:
            return chain.accepted
        return chain.state.view(chain.blocks[at].end)

    def _address(self, params: Params, state: State) -> int:
        address = number(params.get("contract_address"), "contract_address")
        if not state.read(class_key(address)):
            raise RpcError(20)
        return address

    def _get_nonce(self, params: Params) -> str:
        state = self._state(params)
        return hex(self.chain.nonce(self._address(params, state), state))

    def _class_hash(self, params: Params) -> int:
        state = self._state(params)
        return state.read(class_key(self._address(params, state)))

    def _class(self, class_hash: int) -> Any:
        known = self.chain.classes.get(class_hash)
        model = self.chain.contracts.get(class_hash)
        return known or views.class_json(type(model).__name__)

    def _get_class(self, params: Params) -> Any:
        class_hash = number(params.get("class_hash"), "class_hash")
        if not self._state(params).read(declared_key(class_hash)):
            raise RpcError(28)
        return self._class(class_hash)

    def _block_with_hashes(self, params: Params) -> Any:
        block, entries = self._block(params)
        header = views.header_json(self.chain, block)
        return {**header, "transactions": [hex(e.hash) for e in entries]}

    def _block_with_transactions(self, params: Params) -> Any:
        block, entries = self._block(params)
        header = views.header_json(self.chain, block)
        return {**header, "transactions": [views.transaction_json(e) for e in entries]}

    def _block_with_receipts(self, params: Params) -> Any:
        block, entries = self._block(params)
        shown = []
        for entry in entries:
            transaction = views.transaction_json(entry)
            del transaction["transaction_hash"]
            receipt = views.receipt_json(self.chain, entry, block_info=False)
            shown.append({"transaction": transaction, "receipt": receipt})
        return {**views.header_json(self.chain, block), "transactions": shown}

    def _transaction_at(self, params: Params) -> Any:
        _, entries = self._block(params)
        index = params.get("index")
        if not isinstance(index, int) or not 0 <= index < len(entries):
            raise RpcError(27)
        return views.transaction_json(entries[index])

    # ------------------------------------------------------------------ transactions

    def _entry(self, params: Params) -> Entry:
        entry = self.chain.known(number(params.get("transaction_hash"), "transaction_hash"))
        if entry is None:
            raise RpcError(29)
        return entry

    def _receipt(self, params: Params) -> Any:
        entry = self._entry(params)
        if entry.outcome is None:
            raise RpcError(29)
        return views.receipt_json(self.chain, entry)

    def _send(self, method: str, params: Params, fate: Fate) -> Any:
        name = {"I": "invoke", "D": "declare"}[method[3]] + "_transaction"
        if method == "addDeployAccountTransaction":
            name = "deploy_account_transaction"
        tx, contract_class = self._read(params.get(name))
        if method.lower() != f"add{tx.kind.replace('_', '').lower()}transaction":
            raise RpcError(-32602, f"type: expected that of {method}, got {tx.kind}")
        digest = self.chain.submit(tx, fate)
        out = {"transaction_hash": hex(digest)}
        if tx.kind == DECLARE:
            self.chain.classes[tx.class_hash] = contract_class
            out["class_hash"] = hex(tx.class_hash)
        if tx.kind == DEPLOY_ACCOUNT:
            out["contract_address"] = hex(tx.sender)
        return out

    def _read(self, source: object) -> tuple[Transaction, Any]:
        """A transaction, and its class if it declares one."""
        if not isinstance(source, dict):
            raise RpcError(-32602, "transaction: expected an object")
        contract_class = source.get("contract_class")
        if source.get("type") == DECLARE:
            source = {**source, "class_hash": hex(_class_hash_of(contract_class))}
        if source.get("type") == DEPLOY_ACCOUNT:
            source = {**source, "sender_address": hex(_address_of(source))}
        return parse(source), contract_class

    # ------------------------------------------------------------------ running without effect

    def _call(self, params: Params) -> Any:
        request = params.get("request")
        if not isinstance(request, dict):
            raise RpcError(-32602, "request: expected an object")
        live = self._state(params)
        state = live.view(live.mark())
        address = self._address(request, state)
        entry = number(request.get("entry_point_selector"), "entry_point_selector")
        calldata = numbers(request.get("calldata"), "calldata")
        model = self.chain.contracts.get(state.read(class_key(address)))
        if model is None or entry not in model.entry_points:
            raise RpcError(21)
        try:
            return views.hexes(self.chain.machine(state).call(0, address, entry, calldata))
        except (Revert, ValueError) as error:
            class_hash = state.read(class_key(address))
            raise RpcError(
                40, {"revert_error": explain(str(error), address, entry, class_hash)}
            ) from None

    def _rehearse(self, params: Params, sources: object, charge: bool) -> list[Any]:
        """Run transactions one after the other on a copy of the state."""
        if not isinstance(sources, list) or not sources:
            raise RpcError(-32602, "transactions: expected a list of at least 1")
        flags = params.get("simulation_flags") or []
        live = self._state(params)
        state = live.view(live.mark())
        done = []
        for index, source in enumerate(sources):
            tx, _ = self._read(source)
            try:
                self._may_run(tx, state, "SKIP_VALIDATE" not in flags, charge)
            except RpcError as error:
                detail = error.data or MESSAGES[error.code]
                failure = {"transaction_index": index, "execution_error": detail}
                raise RpcError(41, failure) from None
            mark = state.mark()
            outcome, _ = self.chain.run(tx, state, pays=charge)
            done.append((tx, outcome, mark, state))
        return done

    def _may_run(self, tx: Transaction, state: State, validate: bool, charge: bool) -> None:
        if tx.proof:
            raise RpcError(69)
        check_sender(tx, state, self.chain.accounts)
        nonce = self.chain.nonce(tx.sender, state)
        if tx.nonce != nonce:
            raise bad_nonce(tx, nonce)
        if charge:
            check_funds(tx, state, self.chain.prices, self.chain.model)
        if validate:
            self.chain.check_signature(tx, hash_of(tx, self.chain.chain_id))

    def _estimate(self, params: Params) -> Any:
        out = []
        for index, (tx, outcome, _, _) in enumerate(
            self._rehearse(params, params.get("request"), charge=False)
        ):
            if outcome.revert_reason is not None:
                failure = {"transaction_index": index, "execution_error": outcome.revert_reason}
                raise RpcError(41, failure)
            out.append(views.estimate_json(outcome.gas, self.chain.prices, tx.tip))
        return out

    def _simulate(self, params: Params) -> Any:
        charge = "SKIP_FEE_CHARGE" not in (params.get("simulation_flags") or [])
        done = self._rehearse(params, params.get("transactions"), charge)
        return [
            {
                "transaction_trace": views.trace_json(tx, outcome, state, mark),
                "fee_estimation": views.estimate_json(outcome.gas, self.chain.prices, tx.tip),
            }
            for tx, outcome, mark, state in done
        ]


def _class_hash_of(contract_class: object) -> int:
    from marshmallow import ValidationError
    from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash
    from starknet_py.net.schemas.rpc.contract import SierraContractClassSchema

    try:
        return compute_sierra_class_hash(SierraContractClassSchema().load(contract_class))  # type: ignore[arg-type]
    except (ValidationError, TypeError) as error:
        raise RpcError(-32602, f"contract_class: {str(error)[:200]}") from None


def _address_of(source: Params) -> int:
    from starknet_py.hash.address import compute_address

    return compute_address(
        class_hash=number(source.get("class_hash"), "class_hash"),
        constructor_calldata=numbers(source.get("constructor_calldata"), "constructor_calldata"),
        salt=number(source.get("contract_address_salt"), "contract_address_salt"),
    )
