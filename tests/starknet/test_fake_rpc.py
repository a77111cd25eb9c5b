"""Reading from the fake node: blocks, calls, events, errors."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

pytest.importorskip("starknet_py")
from starknet_py.net.http_client import IncompatibleRPCVersionWarning  # noqa: E402

from jaxstark.starknet.fake import (  # noqa: E402
    INSTANT,
    MANUAL,
    STRK_ADDRESS,
    FakeNode,
    Fault,
    Step,
)
from jaxstark.starknet.fake.machine import selector  # noqa: E402
from tests.starknet.fakes import account, ask, call, code_of, fails, pay, send  # noqa: E402

STEP = Step("Gone", once="gone", exists="done twice")


@pytest.fixture
def node():
    with FakeNode(seed=5, advance=INSTANT) as running:
        yield running


def test_identity(node):
    assert ask(node, "get_chain_id") == hex(int.from_bytes(b"SN_SEPOLIA", "big"))
    assert ask(node, "spec_version") == "0.10.2"
    assert ask(node, "get_syncing_status") is False
    with FakeNode(chain_id="SN_MAIN") as main:
        assert ask(main, "get_chain_id") == hex(int.from_bytes(b"SN_MAIN", "big"))


def test_another_specification_is_told():
    with (
        FakeNode(spec_version="0.8.1") as old,
        pytest.warns(IncompatibleRPCVersionWarning, match="0.8.1"),
    ):
        ask(old, "get_block_number")


def test_a_price_change_is_seen_in_the_next_block(node):
    node.set_prices(l2_gas=9_000_000_000)
    assert (
        ask(node, "get_block", block_number="pre_confirmed").l2_gas_price.price_in_fri == 9 * 10**9
    )
    assert ask(node, "get_block", block_number="latest").l2_gas_price.price_in_fri == 8 * 10**9
    node.mine()
    assert ask(node, "get_block", block_number="latest").l2_gas_price.price_in_fri == 9 * 10**9


def test_blocks_are_linked(node):
    digests = [send(node, pay(n)) for n in (1, 2)]
    node.mine()
    assert ask(node, "get_block_number") == node.block_number == 3
    blocks = [ask(node, "get_block_with_tx_hashes", block_number=n) for n in range(4)]
    assert [b.transactions for b in blocks] == [[], [digests[0]], [digests[1]], []]
    assert [b.parent_hash for b in blocks[1:]] == [b.block_hash for b in blocks[:-1]]
    assert ask(node, "get_block_with_txs", block_hash=blocks[1].block_hash).block_number == 1
    with_receipts = ask(node, "get_block_with_receipts", block_number=2)
    assert with_receipts.transactions[0].receipt.transaction_hash == digests[1]
    assert ask(node, "get_block_transaction_count", block_number=2) == 1
    assert code_of(fails(node, "get_block", block_number=9)) == 24
    assert code_of(fails(node, "get_block", block_hash=5)) == 24
    assert code_of(fails(node, "get_transaction_by_block_id", 7, block_number=2)) == 27


def test_balances_by_block(node):
    for amount in (1, 10):
        send(node, pay(amount))
    query = call(STRK_ADDRESS, "balance_of", [7])
    assert [ask(node, "call_contract", query, block_number=n)[0] for n in range(3)] == [0, 1, 11]
    assert asyncio.run(account(node).get_balance()) == node.balance(node.account.address)


def test_calls_that_fail(node):
    assert code_of(fails(node, "call_contract", call(5, "x"))) == 20
    assert code_of(fails(node, "call_contract", call(STRK_ADDRESS, "x"))) == 21
    error = fails(node, "call_contract", call(STRK_ADDRESS, "balance_of"))
    assert code_of(error) == 40 and "deserialize" in str(error.data)
    assert code_of(fails(node, "get_contract_nonce", 5)) == 20
    assert code_of(fails(node, "get_transaction_status", 5)) == 29
    assert code_of(fails(node, "get_class_by_hash", 5)) == 28


def test_a_call_changes_nothing(node):
    log = node.deploy_log({"go": STEP})
    ask(node, "call_contract", call(log, "go", [1]))
    assert ask(node, "call_contract", call(log, "has_gone", [1])) == [0]
    send(node, call(log, "go", [1]))
    assert ask(node, "call_contract", call(log, "has_gone", [1])) == [1]


def test_events_page_by_page_and_by_key(node):
    log = node.deploy_log({"go": Step("Gone", keys=2), "come": Step("Came")})
    for i in range(5):
        send(node, call(log, "go", [i % 2, i, 40 + i]), call(log, "come", [i]))
    gone = hex(selector("Gone"))
    every = ask(node, "get_events", log, chunk_size=3, follow_continuation_token=True).events
    assert len(every) == 10 and [e.event_index for e in every[:2]] == [0, 1]
    page = ask(node, "get_events", log, chunk_size=3)
    assert page.continuation_token and page.events == every[:3]
    rest = ask(node, "get_events", log, chunk_size=100, continuation_token=page.continuation_token)
    assert rest.events == every[3:] and rest.continuation_token is None

    def data(keys, **where) -> list[list[int]]:
        return [
            e.data for e in ask(node, "get_events", log, keys=keys, chunk_size=9, **where).events
        ]

    assert data([[gone]]) == [[40 + i] for i in range(5)]
    assert data([[gone], [], ["0x1"]]) == [[41], [43]]
    assert data([[], [], ["0x1"], ["0x3", "0x4"]]) == [[43]]
    assert data([[gone]], from_block_number=2, to_block_number=3) == [[41], [42]]
    addresses = [log, STRK_ADDRESS]
    assert len(ask(node, "get_events", addresses, chunk_size=100).events) == 15
    assert code_of(fails(node, "get_events", log, chunk_size=2_000)) == 31
    assert code_of(fails(node, "get_events", log, chunk_size=1, continuation_token="x")) == 33


def test_events_of_the_pre_confirmed_block():
    with FakeNode(advance=MANUAL) as node:
        log = node.deploy_log({"go": STEP})
        send(node, call(log, "go", [1]))
        node.tick()
        (event,) = ask(node, "get_events", log, chunk_size=5).events
        assert event.block_hash is None and event.block_number == 1
        latest = ask(node, "get_events", log, to_block_number="latest", chunk_size=5)
        assert latest.events == [] and node.events(log) == []


def test_requests_that_are_none(node):
    def ask_raw(body: bytes) -> dict:
        request = urllib.request.Request(node.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def code(body: object) -> int:
        return ask_raw(json.dumps(body).encode())["error"]["code"]

    assert ask_raw(b"{")["error"]["code"] == -32600
    assert code(5) == code({"method": 5}) == -32600
    assert code({"id": 1, "method": "starknet_getStorageProof", "params": {}}) == -32601
    assert code({"id": 1, "method": "starknet_getNonce", "params": [1]}) == -32602
    assert code({"id": 1, "method": "starknet_getNonce", "params": {}}) == -32602
    send_nothing = {"method": "starknet_addInvokeTransaction", "params": {}}
    assert code(send_nothing) == code({**send_nothing, "params": {"invoke_transaction": {}}})
    batch = [{"id": i, "method": "starknet_blockNumber", "params": []} for i in (1, 2)]
    answers = ask_raw(json.dumps(batch).encode())
    assert [(a["id"], a["result"]) for a in answers] == [(1, 0), (2, 0)]
    node.inject(Fault.reset())
    with pytest.raises(OSError, match="without response|reset"):
        ask_raw(json.dumps([*batch, send_nothing]).encode())
