"""A small JSON-RPC client that sorts what goes wrong.

An error of the node's specification is a ``NodeError`` with its code: the node has answered, and
did not act. Everything else (time-out, dropped connection, 5xx, nonsense) is ``Unreachable``: the
node may have acted or not. Reads are repeated; a broadcast never is, that is the submitter's
decision. No message holds the URL. Source: the JSON-RPC specification of Starknet, version 0.10.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxstark.starknet.clock import Clock, SystemClock
from jaxstark.starknet.fees import Bounds, parse_estimate
from jaxstark.starknet.networks import RpcUrl
from jaxstark.starknet.submission_error import NodeError, SubmissionError, Unreachable

PRE_CONFIRMED, LATEST = "pre_confirmed", "latest"
CONTRACT_NOT_FOUND, BLOCK_NOT_FOUND, TX_NOT_FOUND = 20, 24, 29
MAX_ANSWER = 64 << 20  # bytes
_MAX_TEXT = 20_000  # characters of a node's words
_BUSY = (429, 500, 502, 503, 504)


class Transport(Protocol):
    """Carries one request to the node."""

    def __call__(self, body: bytes, timeout: float) -> tuple[int, bytes]:
        """HTTP status and body of the answer; ``OSError`` where there is none."""
        ...


def http_transport(url: RpcUrl) -> Transport:
    """POST requests to a URL; a node on this machine is asked without a proxy."""
    handlers: list[Any] = [urllib.request.ProxyHandler({})] if url.is_local else []
    opener = urllib.request.build_opener(*handlers)

    def post(body: bytes, timeout: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "User-Agent": "jaxstark"}
        request = urllib.request.Request(url.reveal(), body, headers)
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, answer.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_MAX_TEXT)
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from None

    return post


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
      block: number of its block, and ``block_hash``; None while pre-confirmed.
    """

    final: bool
    succeeded: bool
    reason: str
    fee: int
    block: int | None
    block_hash: str | None
    events: tuple[Event, ...]


class Node:
    """A node of the network.

    Args:
      url: of its JSON-RPC end point.
      transport: carries requests; None for HTTP.
      timeout: seconds to wait for an answer.
      tries: how often a read is tried, with growing pauses.
      clock: to wait with.
    """

    def __init__(
        self,
        url: RpcUrl,
        transport: Transport | None = None,
        *,
        timeout: float = 30.0,
        tries: int = 6,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self._post = transport or http_transport(url)
        self._timeout = timeout
        self._tries = tries
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"Node({self.url})"

    def send(self, method: str, params: Any) -> Any:
        """One request, once.

        Raises ``NodeError`` for an error of the specification and ``Unreachable`` for no answer.
        """
        request = {"jsonrpc": "2.0", "id": 1, "method": f"starknet_{method}", "params": params}
        body = json.dumps(request, separators=(",", ":")).encode()
        failure, status, answer = "", 0, b""
        try:
            status, answer = self._post(body, self._timeout)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            failure = self._words(str(reason) or type(reason).__name__)
        if failure:  # raised here, so that an error that may quote the URL is not chained to it
            raise Unreachable(
                f"{self.url}: {method}: no answer ({failure}); check STARKNET_RPC_URL or try again"
            )
        if status in (401, 403):
            raise Unreachable(
                f"{self.url}: {method}: the node refuses access (HTTP {status}); check the token "
                "in STARKNET_RPC_URL",
                retry=False,
            )
        try:
            content = json.loads(answer) if len(answer) <= MAX_ANSWER else None
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and isinstance(content.get("error"), dict):
            error = content["error"]
            code = error.get("code")
            text = self._words(error.get("message"))
            if type(code) is int and code >= 0:
                raise NodeError(method, code, text, self._words(error.get("data")))
            # Codes below 0 are of the server: malformed requests, rate limits, what it does not do.
            passing = type(code) is int and -32768 <= code <= -32000
            lasting = not passing or code in (-32600, -32601, -32602)
            data = self._words(error.get("data"))
            raise Unreachable(
                f"{self.url}: {method}: error {code}, {text} {data}".strip(), retry=not lasting
            )
        if status != 200 or not isinstance(content, dict) or "result" not in content:
            what = f"HTTP {status}" if status != 200 else "no JSON-RPC answer"
            retry = status == 200 or status in _BUSY
            raise Unreachable(f"{self.url}: {method}: {what}", retry=retry)
        return content["result"]

    def read(self, method: str, params: Any = ()) -> Any:
        """A request without effect, repeated while there is no answer."""
        for number in range(self._tries):
            try:
                return self.send(method, list(params) if isinstance(params, tuple) else params)
            except Unreachable as error:
                if not error.retry or number + 1 == self._tries:
                    raise
            self._clock.sleep(min(2.0**number / 2, 8.0))
        raise Unreachable(f"{self.url}: {method}: no answer")

    def _words(self, value: Any) -> str:
        """What a node says, on one line, without the URL, and not at any length."""
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value)
        text = " ".join(self.url.scrub(text).split())
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."

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
                fee=int(answer["actual_fee"]["amount"], 16),
                block=answer.get("block_number"),
                block_hash=answer.get("block_hash"),
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
                out += [(int(e["transaction_hash"], 16), _event(e)) for e in answer["events"]]
                token = answer.get("continuation_token")
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self._nonsense("getEvents") from None
            if token is None:
                return out

    def _number(self, value: Any, method: str) -> int:
        try:
            return int(value, 16)
        except (TypeError, ValueError):
            raise self._nonsense(method) from None

    def _nonsense(self, method: str) -> SubmissionError:
        return Unreachable(
            f"{self.url}: {method}: the answer is not one of specification 0.10; use another node",
            retry=False,
        )


def _block(block: str | int) -> Any:
    return block if isinstance(block, str) else {"block_number": block}


def _event(obj: Any) -> Event:
    return Event(
        int(obj["from_address"], 16),
        tuple(int(k, 16) for k in obj["keys"]),
        tuple(int(d, 16) for d in obj["data"]),
    )
