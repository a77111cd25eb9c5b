"""Every fault of the fake node, seen from starknet-py, and what is on the chain afterwards."""

from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("starknet_py")
import aiohttp  # noqa: E402
from starknet_py.net.client_errors import ClientError  # noqa: E402
from starknet_py.net.full_node_client import FullNodeClient  # noqa: E402
from starknet_py.transaction_errors import TransactionRevertedError  # noqa: E402

from jaxstark.starknet.fake import (  # noqa: E402
    ACCEPTED,
    MANUAL,
    PRE_CONFIRMED,
    RECEIVED,
    FakeNode,
    Fault,
    RandomFaults,
    usual_faults,
)
from tests.starknet.fakes import ask, code_of, pay, post, send, sign  # noqa: E402

CODES = (52, 53, 54, 55, 59, 63, 64, 65, 69)


def broken(*faults: Fault, **options) -> FakeNode:
    options.setdefault("advance", MANUAL)
    return FakeNode(seed=2, faults=faults, **options)


def status(node: FakeNode, digest: int) -> str | None:
    """Finality of a transaction, or None if the node does not know it."""
    try:
        return ask(node, "get_transaction_status", digest).finality_status.value
    except ClientError as error:
        assert code_of(error) == 29
        return None


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("after", [False, True])
def test_an_error_with_or_without_acceptance(code, after):
    with broken(Fault.error(code, after=after)) as node:
        signed = sign(node, pay())
        with pytest.raises(ClientError) as caught:
            post(node, signed)
        assert code_of(caught.value) == code
        assert len(node.transactions()) == after
        if after:
            with pytest.raises(ClientError) as caught:
                post(node, signed)
            assert code_of(caught.value) == 59
        else:
            post(node, signed)
        node.mine()
        assert [t.status for t in node.transactions()] == [ACCEPTED]
        assert node.struck == [("addInvokeTransaction", caught_name(code, after))]


def caught_name(code: int, after: bool) -> str:
    return f"error {code} after" if after else f"error {code}"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_http_errors(code):
    with broken(Fault.http(code)) as node:
        signed = sign(node, pay())
        with pytest.raises(ClientError) as caught:
            post(node, signed)
        assert code_of(caught.value) == code and node.transactions() == []
        post(node, signed)


@pytest.mark.parametrize("after", [False, True])
def test_a_reset_connection_before_or_after_acceptance(after):
    with broken(Fault.reset(after=after)) as node:
        signed = sign(node, pay())
        with pytest.raises(aiohttp.ClientError):
            post(node, signed)
        digest = signed.calculate_hash(node.chain_id)
        assert [t.hash for t in node.transactions()] == [digest] * after


def test_a_time_out_after_acceptance():
    with broken(Fault.timeout(seconds=60)) as node:
        signed = sign(node, pay())

        async def impatient() -> None:
            timeout = aiohttp.ClientTimeout(total=0.3)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await FullNodeClient(node.url, session).send_transaction(signed)

        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(impatient())
        digest = signed.calculate_hash(node.chain_id)
        assert status(node, digest) == RECEIVED  # the node answers others meanwhile
        start = time.monotonic()
    assert time.monotonic() - start < 5, "a hanging answer must not keep the node from closing"


def test_a_revert_on_the_chain():
    with broken(Fault.revert("no luck"), advance="request") as node:
        digest = send(node, pay())
        with pytest.raises(TransactionRevertedError, match="no luck"):
            ask(node, "wait_for_tx", digest, check_interval=0.01)
        receipt = ask(node, "get_transaction_receipt", digest)
        assert receipt.execution_status.value == "REVERTED"
        assert [e.from_address for e in receipt.events] == [STRK], "the fee is all that moved"
        assert node.balance(7) == 0 and node.nonce(node.account.address) == 1


STRK = 0x04718F5A0FC34CC1AF16A1CDEE98FFB20C31F5CD61D6AB07201858F4287C938D


def test_slow_finality():
    with broken(Fault.slow(execution=2, block=3)) as node:
        digest = send(node, pay())
        seen = []
        for _ in range(8):
            node.tick()
            seen.append(status(node, digest))
        assert seen == [RECEIVED] * 2 + [PRE_CONFIRMED] * 4 + [ACCEPTED] * 2


def test_a_node_that_lags_behind():
    with broken(Fault.unseen(ticks=2)) as node:
        signed = sign(node, pay())
        digest = post(node, signed)
        seen = []
        for _ in range(4):
            seen.append(status(node, digest))
            node.tick()
        assert seen == [None, None, None, ACCEPTED]
        assert node.balance(7) == 5


def test_what_is_not_seen_is_still_a_duplicate():
    with broken(Fault.unseen(ticks=9)) as node:
        signed = sign(node, pay())
        post(node, signed)
        for code in (59, 59, 52):
            with pytest.raises(ClientError) as caught:
                post(node, signed)
            assert code_of(caught.value) == code
            node.tick()


def test_eviction_from_the_mempool():
    with broken(Fault.evict()) as node:
        signed = sign(node, pay())
        digest = post(node, signed)
        assert status(node, digest) == RECEIVED
        node.tick()
        assert status(node, digest) is None and node.nonce(node.account.address) == 0
        assert post(node, signed) == digest, "the same bytes are good again"
        node.mine()
        assert status(node, digest) == ACCEPTED and node.balance(7) == 5


@pytest.mark.parametrize("stage", [PRE_CONFIRMED, ACCEPTED])
def test_a_reorganisation(stage):
    with broken(Fault.reorg(stage, skip=1)) as node:
        others = [send(node, pay(1), nonce=0)]
        signed = sign(node, pay(10), nonce=1)
        digest = post(node, signed)
        others.append(send(node, pay(100), nonce=2))
        for _ in range(4):
            node.tick()
            if status(node, digest) == stage:
                break
        assert status(node, digest) == stage and node.balance(7) == 111
        hash_before = ask(node, "get_block_hash_and_number").block_hash
        node.tick()
        assert status(node, digest) is None
        node.mine()
        assert status(node, others[0]) == ACCEPTED, "what came before it is included again"
        assert status(node, others[1]) == RECEIVED, "what came after it waits for its nonce"
        assert node.balance(7) == 1 and node.nonce(node.account.address) == 1
        assert ask(node, "get_block_hash_and_number").block_hash != hash_before
        post(node, signed)
        node.mine()
        assert [t.status for t in node.transactions()] == [ACCEPTED] * 3
        assert node.balance(7) == 111


def test_a_reorganisation_on_demand():
    with broken() as node:
        first = send(node, pay(1))
        node.mine()
        funds = node.balance(node.account.address)
        send(node, pay(10), nonce=1)
        node.mine()
        assert node.block_number == 2
        node.reorg(first)
        assert node.block_number == 0 and node.balance(7) == 0
        node.mine()
        assert [t.status for t in node.transactions()] == [RECEIVED]
        assert node.balance(node.account.address) > funds
        with pytest.raises(ValueError, match="transaction"):
            node.reorg(node.transactions()[0].hash)


def test_a_block_that_is_built_again_is_another_block():
    with broken() as node:
        signed, hashes = sign(node, pay()), []
        for _ in range(2):
            digest = post(node, signed)
            node.mine()
            block = ask(node, "get_block_with_tx_hashes", block_number=1)
            assert block.transactions == [digest]
            hashes.append(block.block_hash)
            node.reorg(digest)
        assert hashes[0] != hashes[1]


def test_faults_count_calls_of_their_method():
    with broken(
        Fault.http(500, method="chainId", skip=1, times=2), Fault.reset(method="", skip=6)
    ) as node:
        answers = []
        for _ in range(5):  # each asks for the version first
            try:
                answers.append(ask(node, "get_chain_id"))
            except ClientError as error:
                answers.append(code_of(error))
            except aiohttp.ClientError:
                answers.append("reset")
        assert answers == ["0x534e5f5345504f4c4941", 500, 500, "reset", "0x534e5f5345504f4c4941"]
        assert node.struck == [("chainId", "http 500")] * 2 + [("specVersion", "reset before")]
        assert node.requests == {"specVersion": 5, "chainId": 4}


def test_faults_can_be_added_while_it_runs():
    with broken() as node:
        send(node, pay())
        node.inject(Fault.error(64))
        with pytest.raises(ClientError) as caught:
            send(node, pay(), nonce=1)
        assert code_of(caught.value) == 64


def test_a_refused_transaction_has_no_fate():
    with broken(Fault.reset(after=True), Fault.error(63, after=True, skip=1)) as node:
        bad = sign(node, pay(), nonce=999)
        with pytest.raises(aiohttp.ClientError):
            post(node, bad)
        with pytest.raises(ClientError) as caught:
            post(node, bad)
        assert code_of(caught.value) == 52 and node.transactions() == []


def test_random_faults_follow_from_their_seed():
    def struck(seed: int, rate: float) -> list[tuple[str, str]]:
        node = FakeNode(seed=3, random_faults=RandomFaults(seed, rate, read_rate=0.1))
        for i in range(200):
            node.answer({"method": f"starknet_{('chainId', 'addInvokeTransaction')[i % 2]}"})
        return node.struck

    assert struck(1, 0.5) == struck(1, 0.5) != struck(2, 0.5)
    names = {name for _, name in struck(1, 0.9)}
    assert names >= {fault.name for fault in usual_faults()}
    assert {method for method, _ in struck(1, 0.0)} == {"chainId"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fault("x", answer="maybe"),
        lambda: Fault.error(1_000),
        lambda: Fault.http(200),
        lambda: Fault.reset(times=0),
        lambda: Fault.reset(skip=-1),
        lambda: Fault.timeout(-1.0),
        lambda: Fault.reorg("RECEIVED"),
        lambda: RandomFaults(1, rate=1.5),
        lambda: RandomFaults(1, faults=()),
    ],
)
def test_faults_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="expected"):
        wrong()
