"""The client: which failures are refusals, which are unclear, what is repeated, what is shown."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from typing import ClassVar

import pytest

from jaxstark.starknet.jsonrpc import http_transport
from jaxstark.starknet.networks import RpcUrl
from jaxstark.starknet.nonces import taker_of_nonce
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.submission_error import (
    NodeError,
    SubmissionError,
    Unreachable,
    revert_reason,
)

TOKEN = "tok3n5ecret99"
URL = RpcUrl(f"https://node.example/{TOKEN}")


class Silent:
    """A clock that counts the pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def node(*answers, tries: int = 6) -> tuple[Node, list[dict], Silent]:
    """A node that gives these answers: a result, a status with a body, or an exception."""
    asked, left, clock = [], list(answers), Silent()

    def post(body: bytes, timeout: float) -> tuple[int, bytes]:
        asked.append(json.loads(body))
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, tuple):
            return answer[0], answer[1].encode()
        return 200, json.dumps(answer).encode()

    return Node(URL, post, clock=clock, tries=tries), asked, clock


def error(code: int, message: str = "no", **more) -> dict:
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message} | more}


def test_an_error_of_the_specification_is_an_answer():
    client, asked, clock = node(error(52, "Invalid nonce", data={"got": "0x1"}))
    with pytest.raises(NodeError, match="error 52, Invalid nonce") as caught:
        client.read("getNonce", {})
    assert (caught.value.code, caught.value.data) == (52, '{"got": "0x1"}')
    assert len(asked) == 1 and asked[0]["method"] == "starknet_getNonce" and not clock.pauses


@pytest.mark.parametrize(
    "answer",
    [
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
        (500, "oops"),
        (429, "slow down"),
        (502, "<html>"),
        (200, "<html>"),
        (200, "[]"),
        error(-32005, "rate limit"),
        error(-32603, "internal"),
        {"jsonrpc": "2.0", "id": 1},
    ],
)
def test_everything_else_is_unclear_and_reads_are_repeated(answer):
    client, asked, clock = node(answer, answer, {"result": "0x7"})
    assert client.chain_id() == 7 and len(asked) == 3 and clock.pauses == [0.5, 1.0]
    client, asked, _ = node(answer)
    with pytest.raises(Unreachable) as caught:
        client.send("addInvokeTransaction", {})
    assert len(asked) == 1 and caught.value.retry
    client, asked, _ = node(*[answer] * 3, tries=3)
    with pytest.raises(Unreachable):
        client.read("chainId")
    assert len(asked) == 3


@pytest.mark.parametrize(
    "answer", [(401, ""), (403, ""), (404, ""), error(-32601), error(-32602), error(-1)]
)
def test_what_cannot_pass_is_not_repeated(answer):
    client, asked, _ = node(answer)
    with pytest.raises(Unreachable) as caught:
        client.read("chainId")
    assert len(asked) == 1 and not caught.value.retry


NODE = "https://node.example/<hidden>: chainId:"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError(f"cannot open {URL.reveal()}"), f"{NODE} no answer (cannot open <hidden>); check"),
        ((403, TOKEN), f"{NODE} the node refuses access (HTTP 403); check the token"),
        ((500, f"/{TOKEN}"), f"{NODE} HTTP 500"),
        (
            error(63, f"no route /{TOKEN}", data=URL.reveal()),
            "chainId: the node answers with error 63, no route <hidden> (<hidden>)",
        ),
        (error(-32601, f"no {TOKEN}"), f"{NODE} error -32601, no <hidden>"),
    ],
    ids=["no answer", "refused", "gateway", "specification", "server"],
)
def test_no_message_holds_the_url(answer, words):
    client, _, _ = node(answer)
    with pytest.raises(SubmissionError) as caught:
        client.send("chainId", [])
    assert str(caught.value).startswith(words)
    assert caught.value.__context__ is None
    assert TOKEN not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
    assert TOKEN not in repr(client)


def test_long_answers_are_shortened_but_their_reason_is_found():
    trace = "0: Error in the called contract (0x1):\n" * 100
    text = (
        trace
        + "Execution failed. Failure reason:\n(0x6e6f ('no such job'), 0x45 ('ENTRYPOINT_FAILED'))."
    )
    client, _, _ = node(error(41, "Transaction execution error", data={"execution_error": text}))
    with pytest.raises(NodeError) as caught:
        client.send("estimateFee", {})
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert revert_reason(caught.value.data) == "no such job"
    assert revert_reason("out of gas") == "out of gas"


def bare(*felts: str, wrap: str = "revert_error") -> str:
    """The detail of an error that lists felts, as starknet-devnet words it."""
    inner = {"contract_address": "0x4d795f", "class_hash": "0x1", "error": json.dumps(list(felts))}
    return json.dumps({wrap: inner})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bare("0x626164206d61676963"), "bad magic"),
        (bare("0x626164206d61676963", "0x454e545259504f494e545f4641494c4544"), "bad magic"),
        (bare("0x1", "0x6e6f"), "no"),
        (json.dumps({"execution_error": bare("0x6e6f2073756368206a6f62")}), "no such job"),
        ("Failure reason: [0x6e6f2073756368206a6f62].", "no such job"),
    ],
)
def test_reasons_that_are_bare_felts_are_decoded(data, reason):
    client, _, _ = node(error(40, "Contract error", data=json.loads(data) if "{" in data else data))
    with pytest.raises(NodeError) as caught:
        client.send("call", {})
    assert revert_reason(caught.value.data) == reason


@pytest.mark.parametrize("felts", [(), ("0x1",), ("0x41",), ("0xff6e6f",), ("0x" + "61" * 32,)])
def test_felts_that_are_no_words_are_shown_as_they_are(felts):
    text = bare(*felts)
    assert revert_reason(text) == text


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda n: n.chain_id(), {"result": "SN_MAIN"}),
        (lambda n: n.chain_id(), {"result": "-0x1"}),
        (lambda n: n.nonce(1), {"result": hex(1 << 252)}),
        (lambda n: n.call(1, 2, []), {"result": ["0x1", "2"]}),
        (lambda n: n.chain_id(), {"result": None}),
        (lambda n: n.block_number(), {"result": "0x1"}),
        (lambda n: n.receipt(1), {"result": {"finality_status": "ACCEPTED_ON_L2"}}),
        (lambda n: n.receipt(1), {"result": []}),
        (lambda n: n.estimate([{}]), {"result": []}),
        (lambda n: n.call(1, 2, []), {"result": {}}),
        (lambda n: n.broadcast("{}"), {"result": "0x1"}),
        (lambda n: n.events(1, []), {"result": {"events": [{}]}}),
        (lambda n: n.transactions_of_block(1), {"result": {}}),
    ],
)
def test_answers_of_another_shape_are_refused(call, answer):
    client, _, _ = node(answer)
    with pytest.raises(Unreachable, match=r"not one of specification 0\.10") as caught:
        call(client)
    assert not caught.value.retry


def test_events_are_read_to_the_last_page():
    def event(n: int) -> dict:
        return {"transaction_hash": hex(n), "from_address": "0x1", "keys": ["0x2"], "data": []}

    client, asked, _ = node(
        {"result": {"events": [event(5)], "continuation_token": "more"}},
        {"result": {"events": [event(6)]}},
    )
    assert [tx for tx, _ in client.events(1, [[2], [3]])] == [5, 6]
    assert asked[1]["params"]["filter"]["continuation_token"] == "more"


class History:
    """A node that knows the nonces of an account after every block."""

    def __init__(self, nonces: list[int], shown: bool = True, states: bool = True) -> None:
        self.nonces, self.shown, self.states = nonces, shown, states

    def block_number(self) -> int:
        return len(self.nonces) - 1

    def nonce(self, account: int, block: int | str = -1) -> int:
        if block != -1 and not self.states:
            raise Unreachable("getNonce: error -1, no state at this block", retry=False)
        block = int(block)
        if self.nonces[block] < 0:
            raise NodeError("getNonce", 20, "Contract not found")
        return self.nonces[block]

    def transactions_of_block(self, number: int) -> list[dict]:
        before = max(self.nonces[number - 1], 0) if number else 0
        return [
            {"sender_address": "0x9", "nonce": "0x0", "transaction_hash": "0x1"},
            *(
                {"sender_address": "0x5", "nonce": hex(n), "transaction_hash": hex(100 + n)}
                for n in range(before, self.nonces[number])
                if self.shown
            ),
        ]


@pytest.mark.parametrize(
    "nonces", [[0, 1], [-1, -1, 0, 0, 1, 1, 4, 4, 5], [3, 3, 4], [0, 7], [-1, 2, 2, 2, 9]]
)
@pytest.mark.parametrize("states", [True, False])
def test_who_took_a_nonce_is_found(nonces, states):
    for nonce in range(nonces[-1] + 2):
        client: Node = History(nonces, states=states)  # type: ignore[assignment]
        expected = 100 + nonce if nonce < nonces[-1] else None
        assert taker_of_nonce(client, 5, nonce) == expected


def test_a_nonce_that_nobody_shows_to_have_taken_is_no_proof():
    for states in (True, False):
        client: Node = History([0, 1, 1], False, states)  # type: ignore[assignment]
        with pytest.raises(SubmissionError, match="use a node that keeps old states"):
            taker_of_nonce(client, 5, 0)


def test_the_message_of_an_l1_contract_takes_no_nonce():
    client: Node = History([0, 1])  # type: ignore[assignment]
    true = client.transactions_of_block
    handler = {"type": "L1_HANDLER", "contract_address": "0x5", "nonce": "0x0"}
    client.transactions_of_block = (  # type: ignore[method-assign]
        lambda number: [handler | {"transaction_hash": "0xbad"}, *true(number)]
    )
    assert taker_of_nonce(client, 5, 0) == 100


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path, late for ``/late``."""

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Authorization"]))
        if self.path == "/late":
            time.sleep(0.5)
        status = int(self.path[1:]) if self.path[1:].isdecimal() else 200
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        with contextlib.suppress(OSError):  # a late answer has nobody to read it
            self.end_headers()
            self.wfile.write(b'{"result": "0x7"}')

    do_GET = do_POST

    def log_message(self, format: str, *args) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_request_is_never_sent_elsewhere(server, status):
    Handler.seen.clear()
    url = RpcUrl(f"{server}/{status}".replace("//", "//me:pa55@", 1))
    with pytest.raises(Unreachable, match=f"HTTP {status}") as caught:
        Node(url, tries=1).chain_id()
    assert Handler.seen == [(f"/{status}", "Basic bWU6cGE1NQ==")] and "pa55" not in str(
        caught.value
    )


def test_http(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a node on this machine needs none
    monkeypatch.delenv("no_proxy", raising=False)
    assert Node(RpcUrl(server + "/rpc")).chain_id() == 7
    post = http_transport(RpcUrl(server + "/500"))
    assert post(b"{}", 5.0)[0] == 500
    with pytest.raises(Unreachable, match="HTTP 401"):
        Node(RpcUrl(server + "/401")).chain_id()
    clock = Silent()
    with pytest.raises(Unreachable, match="timed out"):
        Node(RpcUrl(server + "/late"), timeout=0.1, tries=2, clock=clock).chain_id()
    with pytest.raises(Unreachable, match="refused"):
        Node(RpcUrl("http://127.0.0.1:9"), tries=1).chain_id()
