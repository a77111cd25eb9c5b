"""The registry model: it records what ``envelope.accept`` accepts, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("starknet_py")
from starknet_py.net.client_errors import ClientError  # noqa: E402

from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.starknet import registry  # noqa: E402
from jaxstark.starknet.envelope import split, statement_hash  # noqa: E402
from jaxstark.starknet.fake import INSTANT, FakeNode  # noqa: E402
from jaxstark.starknet.felts import poseidon_hash_many  # noqa: E402
from jaxstark.starknet.header import ALREADY_RECORDED, Header, params_word, sizes_word  # noqa: E402
from tests.starknet.fakes import ask, bounds, call, code_of, send  # noqa: E402

PARAMS = ProofParams(pow_bits=5, log_blowup=2, n_queries=9)
SIZES = (7, 9)


def a_message(felts: int = 20, values: tuple[int, ...] = (2, 5, 6)) -> list[int]:
    """A well-formed message; what follows the statement is no proof, and no registry looks."""
    payload = [len(values), *values, *range(1, felts - len(values))]
    word, sizes = params_word(PARAMS, "blake2s"), sizes_word(SIZES)
    header = Header(
        encoding="limb248",
        air_id=77,
        params=PARAMS,
        suite="blake2s",
        log_sizes=SIZES,
        statement=statement_hash(77, word, sizes, values),
        digest=poseidon_hash_many(payload),
        felts=len(payload),
    )
    return [*header.encode(), *payload]


MESSAGE = a_message()
HEADER = Header.decode(MESSAGE)
CHUNKS = split(MESSAGE, 16)


@pytest.fixture
def node():
    with FakeNode(seed=4, advance=INSTANT) as running:
        yield running


def record(node: FakeNode, *messages: list[int]) -> str | None:
    """Record messages in one transaction; the reason of its revert, if any."""
    calls = [call(node.registry, "record", [len(m), *m]) for m in messages]
    digest = send(node, *calls, resource_bounds=bounds(l2_gas=100_000_000))
    return next(t.reverted for t in node.transactions() if t.hash == digest)


def key(node: FakeNode) -> list[int]:
    return [node.account.address, HEADER.statement, HEADER.digest]


def record_of(node: FakeNode) -> registry.Record:
    answer = ask(node, "call_contract", call(node.registry, "record_of", key(node)))
    return registry.Record.decode(answer)


def chunks_received(node: FakeNode) -> list[int]:
    return ask(node, "call_contract", call(node.registry, "chunks_received", key(node)))


def test_a_record_is_stored_and_told_by_its_event(node):
    assert record_of(node).status == registry.Status.ABSENT and chunks_received(node) == [0]
    assert record(node, MESSAGE) is None
    found = record_of(node)
    assert found == registry.Record(registry.Status.RECORDED, HEADER.felts, 1, 1)
    assert chunks_received(node) == [1]
    (event,) = node.events(node.registry)
    wanted = registry.Recorded.expected(MESSAGE, node.account.address)
    assert registry.Recorded.decode(event.keys, event.data) == wanted
    keys, data = wanted.encode()
    shown = ask(node, "get_events", node.registry, keys=[[k] for k in keys], chunk_size=5)
    assert [(e.keys, e.data, e.block_number) for e in shown.events] == [(keys, data, 1)]


def test_the_models_selectors_are_those_of_the_contract():
    from jaxstark.starknet.fake import RegistryModel
    from jaxstark.starknet.fake.machine import selector

    names = ("record", "abandon", "record_of", "chunks_received")
    assert set(RegistryModel().entry_points) == set(map(selector, names))
    assert selector("Recorded") == registry.RECORDED_SELECTOR


def test_chunks_one_transaction_each(node):
    assert len(CHUNKS) > 2
    for i, chunk in enumerate(CHUNKS):
        assert node.events(node.registry) == []
        assert chunks_received(node) == [i]
        assert record(node, chunk) is None
        done = i == len(CHUNKS) - 1
        found = record_of(node)
        assert found.status == (registry.Status.RECORDED if done else registry.Status.OPEN)
        assert (found.chunks, found.block) == (i + 1, node.block_number if done else 0)
    assert record_of(node).felts == HEADER.felts
    (event,) = node.events(node.registry)
    assert event.data[-1] == len(CHUNKS)


def test_chunks_in_one_transaction_or_none(node):
    assert "'wrong chunk'" in str(record(node, CHUNKS[0], CHUNKS[1], CHUNKS[1]))
    assert chunks_received(node) == [0]
    assert record(node, *CHUNKS) is None
    assert record_of(node).status == registry.Status.RECORDED


def edited(message: list[int], place: int, value: int) -> list[int]:
    return [*message[:place], value, *message[place + 1 :]]


OTHER = a_message(values=(2, 5, 7))
WRONG = {
    "bad magic": edited(MESSAGE, 0, 5),
    "bad version": edited(MESSAGE, 0, MESSAGE[0] + (1 << 16)),
    "bad header": edited(MESSAGE, 2, 0),
    "bad statement": edited(MESSAGE, 10, 99),
    "bad chunk": MESSAGE[:8],
    "wrong chunk": CHUNKS[1],
    "bad length": MESSAGE[:-1],
    "bad digest": edited(MESSAGE, len(MESSAGE) - 1, 99),
}


@pytest.mark.parametrize("reason", WRONG)
def test_malformed_messages_are_reverted_with_their_reason(node, reason):
    assert f"'{reason}'" in str(record(node, WRONG[reason]))
    assert node.events(node.registry) == [] and record_of(node).status == registry.Status.ABSENT


def test_chunks_of_two_proofs_do_not_mix(node):
    assert record(node, CHUNKS[0]) is None
    head = replace(Header.decode(CHUNKS[1]), air_id=78)
    assert "'chunk mismatch'" in str(record(node, [*head.encode(), *CHUNKS[1][8:]]))
    assert chunks_received(node) == [1]


def test_a_second_record_of_the_same_key_is_reverted(node):
    assert record(node, MESSAGE) is None
    assert f"'{ALREADY_RECORDED}'" in str(record(node, MESSAGE))
    assert f"'{ALREADY_RECORDED}'" in str(record(node, CHUNKS[0]))
    assert record(node, OTHER) is None
    assert len(node.events(node.registry)) == 2


def test_nobody_takes_anothers_record(node):
    from tests.starknet.fakes import account

    thief = node.new_account(funds=10**21)
    wrapped = call(node.registry, "record", [len(MESSAGE), *MESSAGE])
    send(node, wrapped, sender=account(node, thief), resource_bounds=bounds(l2_gas=10**8))
    assert record(node, MESSAGE) is None
    assert [e.keys[1] for e in node.events(node.registry)] == [thief.address, node.account.address]


def test_an_open_record_can_be_abandoned_and_started_again(node):
    def abandon() -> str | None:
        digest = send(node, call(node.registry, "abandon", key(node)[1:]))
        return next(t.reverted for t in node.transactions() if t.hash == digest)

    assert f"'{registry.NOTHING_TO_ABANDON}'" in str(abandon())
    assert record(node, CHUNKS[0]) is None and abandon() is None
    assert chunks_received(node) == [0]
    assert record(node, MESSAGE) is None
    assert f"'{registry.NOTHING_TO_ABANDON}'" in str(abandon())


@pytest.mark.parametrize("arguments", [[], [5, 1], [1, 1, 1]])
def test_calldata_that_is_no_array_is_reverted(node, arguments):
    digest = send(node, call(node.registry, "record", arguments))
    assert "deserialize" in str(node.transactions()[-1].reverted)
    assert node.transactions()[-1].hash == digest


@pytest.mark.parametrize("view", ["record_of", "chunks_received"])
def test_views_want_three_felts(node, view):
    with pytest.raises(ClientError) as caught:
        ask(node, "call_contract", call(node.registry, view, [1, 2]))
    assert code_of(caught.value) == 40
