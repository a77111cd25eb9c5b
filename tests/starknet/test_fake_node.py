"""The fake node itself: time, determinism, threads, and its life."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
import warnings

import pytest

pytest.importorskip("starknet_py")
from starknet_py.net.client_utils import _create_broadcasted_txn  # noqa: E402

from jaxstark.starknet.fake import (  # noqa: E402
    ACCEPTED,
    INSTANT,
    PRE_CONFIRMED,
    RECEIVED,
    REQUEST,
    FakeNode,
    Step,
)
from jaxstark.starknet.fake.node import STRK  # noqa: E402
from tests.starknet.fakes import account, ask, call, pay, send, sign  # noqa: E402

STEP = Step("Gone", once="gone", exists="done twice")


def test_time_passes_with_every_reading_request():
    with FakeNode(advance=REQUEST) as node:
        digest = send(node, pay())
        receipt = ask(node, "wait_for_tx", digest, check_interval=0.001, retries=3)
        assert receipt.finality_status.value == ACCEPTED


def test_sending_takes_no_time():
    with FakeNode(advance=REQUEST) as node:
        signed = [sign(node, pay(), nonce=nonce) for nonce in (0, 1)]
    for transaction in signed:
        params = {"invoke_transaction": _create_broadcasted_txn(transaction)}
        reply, _ = node.answer({"method": "starknet_addInvokeTransaction", "params": params})
        assert "result" in reply
    assert [t.status for t in node.transactions()] == [RECEIVED] * 2
    node.answer({"method": "starknet_blockNumber"})
    assert [t.status for t in node.transactions()] == [PRE_CONFIRMED] * 2


def test_a_node_repeats_itself():
    def story(seed: int) -> list:
        with FakeNode(seed, advance=INSTANT) as node:
            log = node.deploy_log({"go": STEP})
            send(node, call(log, "go", [1]), pay())
            head = ask(node, "get_block_hash_and_number").block_hash
            return [node.account, log, node.registry, node.transactions(), head]

    assert story(1) == story(1)
    assert not any(a == b for a, b in zip(story(1), story(2), strict=True))


def test_two_nodes_at_a_time_do_not_meet():
    with FakeNode(1) as one, FakeNode(1) as two:
        assert one.url != two.url
        send(one, pay())
        assert len(one.transactions()) == 1 and two.transactions() == []


def test_many_clients_at_a_time():
    with FakeNode(advance=INSTANT) as node:
        owners = [node.new_account(funds=STRK) for _ in range(6)]

        def work(owner) -> None:
            for amount in (1, 2):
                send(node, pay(amount), sender=account(node, owner))

        threads = [threading.Thread(target=work, args=(owner,)) for owner in owners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert node.balance(7) == 18
        assert all(node.nonce(owner.address) == 2 for owner in owners)


def test_a_node_closes_and_can_be_audited():
    node = FakeNode(advance=INSTANT)
    with pytest.raises(ValueError, match="started"):
        _ = node.url
    with node, pytest.raises(ValueError, match="not started"):
        node.start()
    assert node.block_number == 0
    before = threading.active_count()
    with node:
        url = node.url
        send(node, pay())
    assert threading.active_count() == before
    assert len(node.transactions()) == 1
    node.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, b"{}", timeout=5)


def test_keys_are_not_shown():
    node = FakeNode(seed=9)
    secret = node.account.private_key
    text = f"{node.account!r} {node!r} {vars(node)!r} {vars(node._chain)!r}"
    assert str(secret) not in text and f"{secret:x}" not in text


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match="advance"):
        FakeNode(advance="never")


def test_nothing_of_it_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with FakeNode(advance=INSTANT) as node:
            send(node, pay())


def test_importing_it_needs_no_extra():
    code = (
        "import sys, jaxstark.starknet.fake as fake\n"
        "fake.RandomFaults(1), fake.job_steps()\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('starknet_py', 'aiohttp', 'jax')]\n"
        "sys.exit(f'imported: {bad[:3]}' if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
