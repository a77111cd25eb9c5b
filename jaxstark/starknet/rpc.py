"""The methods of a node that submitting needs, with typed answers.

Source: the JSON-RPC specification of Starknet, version 0.10.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxstark.starknet.fees import Bounds, parse_estimate
from jaxstark.starknet.felts import PRIME
from jaxstark.starknet.jsonrpc import Client
from jaxstark.starknet.submission_error import NodeError

PRE_CONFIRMED, LATEST = "pre_confirmed", "latest"
CONTRACT_NOT_FOUND, TX_NOT_FOUND = 20, 29


@dataclass(frozen=True)
class Event:
    """An event of a receipt."""

    contract: int
    keys: tuple[int, ...]
    data: tuple[int, ...]


@dataclass(frozen=True)
class Receipt:
    """What became of a transaction.

    Attributes:
      final: accepted on L2 or L1; otherwise only pre-confirmed.
      succeeded: False for a reverted one.
      reason: of a revert, as the node words it.
      fee: FRI paid.
      block: number of its block; None while pre-confirmed.
      events: in order.
    """

    final: bool
    succeeded: bool
    reason: str
    fee: int
    block: int | None
    events: tuple[Event, ...]


class Node(Client):
    """A node of the network; its arguments are those of ``Client``.

    Every method raises ``NodeError`` for an error of the specification that it does not expect and
    ``Unreachable`` for no answer or one of another shape.
    """

    def spec_version(self) -> object:
        """Version of the specification that the node speaks."""
        return self.read("specVersion")

    def chain_id(self) -> int:
        """Chain of the node."""
        return self._number(self.read("chainId"), "chainId")

    def block_number(self) -> int:
        """Number of the latest accepted block."""
        value = self.read("blockNumber")
        if type(value) is not int or value < 0:
            raise self._nonsense("blockNumber")
        return value

    def nonce(self, account: int, block: str | int = LATEST) -> int:
        """Nonce of an account, of the accepted state by default."""
        params = {"block_id": _block(block), "contract_address": hex(account)}
        return self._number(self.read("getNonce", params), "getNonce")

    def class_hash(self, contract: int) -> int | None:
        """Class of a contract in the accepted state; None where there is no contract."""
        params = {"block_id": LATEST, "contract_address": hex(contract)}
        try:
            return self._number(self.read("getClassHashAt", params), "getClassHashAt")
        except NodeError as error:
            if error.code == CONTRACT_NOT_FOUND:
                return None
            raise

    def call(self, contract: int, selector: int, arguments: Sequence[int]) -> list[int]:
        """Result of a view in the pre-confirmed state."""
        request = {
            "contract_address": hex(contract),
            "entry_point_selector": hex(selector),
            "calldata": [hex(a) for a in arguments],
        }
        answer = self.read("call", {"request": request, "block_id": PRE_CONFIRMED})
        if not isinstance(answer, list):
            raise self._nonsense("call")
        return [self._number(felt, "call") for felt in answer]

    def estimate(self, payloads: Sequence[dict[str, Any]]) -> list[Bounds]:
        """Units and prices of transactions that follow each other, signatures checked."""
        params = {
            "request": list(payloads),
            "simulation_flags": [],
            "block_id": PRE_CONFIRMED,
        }
        answer = self.read("estimateFee", params)
        if not isinstance(answer, list) or len(answer) != len(payloads):
            raise self._nonsense("estimateFee")
        return [parse_estimate(item) for item in answer]

    def simulate(self, payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Traces of transactions that follow each other, signatures checked, without the fee."""
        params = {
            "block_id": PRE_CONFIRMED,
            "transactions": list(payloads),
            "simulation_flags": ["SKIP_FEE_CHARGE"],
        }
        answer = self.read("simulateTransactions", params)
        if not isinstance(answer, list) or len(answer) != len(payloads):
            raise self._nonsense("simulateTransactions")
        return answer

    def broadcast(self, payload: str) -> int:
        """Send a signed transaction, once; the hash that the node gives it."""
        answer = self.send("addInvokeTransaction", {"invoke_transaction": json.loads(payload)})
        if not isinstance(answer, dict):
            raise self._nonsense("addInvokeTransaction")
        return self._number(answer.get("transaction_hash"), "addInvokeTransaction")

    def known(self, tx_hash: int) -> bool:
        """Whether the node has heard of a transaction, in its mempool or in a block."""
        try:
            answer = self.read("getTransactionStatus", {"transaction_hash": hex(tx_hash)})
        except NodeError as error:
            if error.code == TX_NOT_FOUND:
                return False
            raise
        return isinstance(answer, dict) and answer.get("finality_status") != "REJECTED"

    def receipt(self, tx_hash: int) -> Receipt | None:
        """The receipt of a transaction; None while it is in no block."""
        try:
            answer = self.read("getTransactionReceipt", {"transaction_hash": hex(tx_hash)})
        except NodeError as error:
            if error.code == TX_NOT_FOUND:
                return None
            raise
        try:
            return Receipt(
                final=answer["finality_status"] in ("ACCEPTED_ON_L2", "ACCEPTED_ON_L1"),
                succeeded=answer["execution_status"] == "SUCCEEDED",
                reason=self._words(answer.get("revert_reason")),
                fee=_felt(answer["actual_fee"]["amount"]),
                block=_block_number(answer.get("block_number")),
                events=tuple(_event(e) for e in answer["events"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._nonsense("getTransactionReceipt") from None

    def transactions_of_block(self, number: int) -> list[dict[str, Any]]:
        """The transactions of an accepted block."""
        answer = self.read("getBlockWithTxs", {"block_id": {"block_number": number}})
        if not isinstance(answer, dict) or not isinstance(answer.get("transactions"), list):
            raise self._nonsense("getBlockWithTxs")
        return answer["transactions"]

    def events(self, contract: int, keys: Sequence[Sequence[int]]) -> list[tuple[int, Event]]:
        """Transaction hash and event of every event of a contract whose keys match."""
        out: list[tuple[int, Event]] = []
        token: str | None = None
        while True:
            query: dict[str, Any] = {
                "from_block": {"block_number": 0},
                "to_block": LATEST,
                "address": hex(contract),
                "keys": [[hex(k) for k in choices] for choices in keys],
                "chunk_size": 100,
            }
            if token is not None:
                query["continuation_token"] = token
            answer = self.read("getEvents", {"filter": query})
            try:
                out += [(_felt(e["transaction_hash"]), _event(e)) for e in answer["events"]]
                token = answer.get("continuation_token")
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self._nonsense("getEvents") from None
            if token is None:
                return out

    def _number(self, value: Any, method: str) -> int:
        try:
            return _felt(value)
        except ValueError:
            raise self._nonsense(method) from None


def _block(block: str | int) -> Any:
    return block if isinstance(block, str) else {"block_number": block}


def _event(obj: Any) -> Event:
    return Event(
        _felt(obj["from_address"]), tuple(map(_felt, obj["keys"])), tuple(map(_felt, obj["data"]))
    )


def _block_number(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError
    return value


def _felt(value: Any) -> int:
    """The felt of a hexadecimal text; ``ValueError`` for anything else."""
    number = int(value, 16) if type(value) is str and value.startswith("0x") else -1
    if not 0 <= number < PRIME:
        raise ValueError
    return number
