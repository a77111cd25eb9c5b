"""Header and chunks: one spelling of everything, and the rule that contract and fake share."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.circle import MAX_LOG_SIZE
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.params import PRESETS, ProofParams
from jaxstark.starknet import envelope, header
from jaxstark.starknet.envelope import accept, join, split
from jaxstark.starknet.felts import PRIME, poseidon_hash_many
from jaxstark.starknet.header import Header, Refused

PARAMS = PRESETS["stwo-96"]
VALUES = [2, 5, 6]


def make(payload: list[int], **changes) -> list[int]:
    """A whole message of any payload; ``changes`` are header fields."""
    air, sizes = 77, (6, 5)
    words = (air, header.params_word(PARAMS, "blake2s"), header.sizes_word(sizes))
    values = payload[1 : 1 + payload[0]]
    head = Header(
        "limb248",
        air,
        PARAMS,
        "blake2s",
        sizes,
        header.statement_hash(*words, values),
        poseidon_hash_many(payload),
        len(payload),
    )
    return [*replace(head, **changes).encode(), *payload]


def payload_of(count: int) -> list[int]:
    """Statement values and ``count`` felts."""
    return [len(VALUES), *VALUES, *range(100, 100 + count)]


MESSAGE = make(payload_of(30))

sizes = st.lists(st.integers(1, MAX_LOG_SIZE), min_size=1, max_size=40).map(tuple)
params = st.builds(
    ProofParams,
    st.integers(0, 64),
    st.integers(1, 16),
    st.integers(1, 4096),
    st.integers(1, 30),
    st.integers(0, 10),
)
headers = st.integers(1, 0xFFFF).flatmap(
    lambda chunks: st.builds(
        Header,
        st.sampled_from(header.ENCODINGS),
        st.integers(0, (1 << 248) - 1),
        params,
        st.sampled_from(header.SUITES),
        sizes,
        st.integers(0, PRIME - 1),
        st.integers(0, PRIME - 1),
        st.integers(0, (1 << 32) - 1),
        st.integers(0, chunks - 1),
        st.just(chunks),
    )
)


@given(headers)
def test_headers_round_trip(head):
    felts = head.encode()
    assert len(felts) == 8
    assert all(0 <= felt < PRIME for felt in felts)
    assert Header.decode(felts) == head


@given(headers, st.integers(0, 7), st.integers(0, 250))
def test_a_header_has_one_spelling(head, index, bit):
    """A changed bit is refused or makes another header, never the same one."""
    felts = head.encode()
    felts[index] = (felts[index] ^ 1 << bit) % PRIME
    try:
        other = Header.decode(felts)
    except Refused:
        return
    assert other != head
    assert other.encode() == felts


def test_the_layout_of_a_header():
    felts = make(payload_of(5), chunk=2, chunks=3, encoding="serde")[:8]
    assert felts[0] == int.from_bytes(b"jaxstark\0\1\0\1", "big")
    assert felts[1] == 77
    assert felts[2] == 26 | 1 << 8 | 0 << 16 | 4 << 24 | 70 << 32
    assert felts[3] == 2 | 6 << 8 | 5 << 13
    assert felts[4] == poseidon_hash_many([77, felts[2], felts[3], *VALUES])
    assert felts[5] == poseidon_hash_many(payload_of(5))
    assert felts[6] == 9
    assert felts[7] == 2 | 3 << 16
    assert header.params_word(PARAMS, "poseidon252") == felts[2] | 1 << 64


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("encoding", "felts"),
        ("air_id", 1 << 248),
        ("air_id", -1),
        ("params", None),
        ("suite", "sha256"),
        ("log_sizes", ()),
        ("log_sizes", (0,)),
        ("log_sizes", (31,)),
        ("log_sizes", (3,) * 41),
        ("log_sizes", [3]),
        ("statement", PRIME),
        ("digest", PRIME),
        ("felts", 1 << 32),
        ("chunks", 0),
        ("chunks", 1 << 16),
        ("chunk", 1),
        ("chunk", -1),
    ],
)
def test_a_header_field_out_of_range_is_refused(field, bad):
    with pytest.raises(ProofShapeError, match="expected"):
        replace(Header.decode(MESSAGE), **{field: bad})


def test_forty_components_fit_and_no_more():
    assert header.read_sizes_word(header.sizes_word((30,) * 40)) == (30,) * 40
    assert header.sizes_word((30,) * 40) < PRIME
    with pytest.raises(ProofShapeError, match="at most 40 components, got 41"):
        header.sizes_word((30,) * 41)


def test_an_air_id_binds_name_profile_and_root():
    base = ("plonk/a", "stwo-2.2", bytes(32))
    others: list[tuple[str, str, Any]] = [
        ("plonk/b", "stwo-2.2", bytes(32)),
        ("plonk/a", "stwo-2.2", bytes(31) + b"\1"),
        ("plonk/a", "stwo-2.2-poseidon252", 0),
    ]
    ids = {header.air_id(*case) for case in (base, *others)}
    assert len(ids) == 4
    data = b"plonk/a\0stwo-2.2\0" + bytes(32)
    assert header.air_id(*base) == int.from_bytes(hashlib.blake2s(data).digest()[:31], "big")
    data = b"plonk/a\0stwo-2.2-poseidon252\0" + (5).to_bytes(32, "little")
    expected = int.from_bytes(hashlib.blake2s(data).digest()[:31], "big")
    assert header.air_id("plonk/a", "stwo-2.2-poseidon252", 5) == expected
    with pytest.raises(ProofShapeError, match="AIR id"):
        header.air_id("a\0b", "stwo-2.2", bytes(32))
    with pytest.raises(ProofShapeError, match="root of tree 0"):
        header.air_id("a", "stwo-2.2", bytes(31))


def test_statement_values_tell_vectors_apart():
    assert header.statement_values({"a": (1, 2), "b": ()}) == [2, 1, 2, 0]
    assert header.statement_values({"a": (1,), "b": (2,)}) == [1, 1, 1, 2]


@given(st.integers(0, 70), st.integers(14, 60))
def test_chunks_round_trip(count, max_felts):
    message = make(payload_of(count))
    chunks = split(message, max_felts)
    assert join(chunks) == message
    assert all(len(chunk) <= max_felts for chunk in chunks)
    assert all(len(chunk) % 2 == 0 for chunk in chunks[:-1])
    assert sum(len(chunk) - 8 for chunk in chunks) == len(message) - 8
    assert len(chunks) == 1 or len(message) > max_felts
    for i, chunk in enumerate(chunks):
        head = Header.decode(chunk)
        assert (head.chunk, head.chunks) == (i, len(chunks))
        assert chunk[:7] == message[:7]


def test_a_message_that_fits_is_not_cut():
    message = make(payload_of(envelope.DEFAULT_CHUNK - 12))
    assert len(message) == 4500
    assert split(message) == [message]
    longer = make(payload_of(envelope.DEFAULT_CHUNK - 11))
    assert [len(chunk) for chunk in split(longer)] == [4500, 9]
    longest = envelope.MAX_CALLDATA - envelope.CALL_FELTS
    assert [len(chunk) for chunk in split(longer, longest)] == [4501]


def test_statement_values_stay_in_the_first_chunk():
    many = list(range(40))
    message = make([len(many), *many, *range(30)])
    assert split(message, 8 + 42)[0][8:] == [40, *many, 0]
    with pytest.raises(ValueError, match="max_felts: expected room for 40 statement values"):
        split(message, 8 + 40)


@pytest.mark.parametrize("bad", [9, 4996, True, 20.0, "20"])
def test_a_chunk_size_out_of_range_is_misuse(bad):
    with pytest.raises(ValueError, match=r"max_felts: expected an int in 10\.\.4995"):
        split(MESSAGE, bad)


def test_what_the_registry_would_refuse_is_neither_cut_nor_joined():
    broken = [*MESSAGE[:-1], MESSAGE[-1] + 1]
    with pytest.raises(Refused, match="bad digest"):
        split(broken, 20)
    chunks = split(MESSAGE, 20)
    for bad, reason in (
        (chunks[:-1], "wrong chunk"),
        (chunks[1:], "wrong chunk"),
        ([chunks[1], chunks[0], *chunks[2:]], "wrong chunk"),
        ([*chunks, chunks[-1]], "already recorded"),
    ):
        with pytest.raises(Refused) as error:
            join(bad)
        assert error.value.reason == reason
    not_lists: list[Any] = [[], (), None, "x"]
    for bad in not_lists:
        with pytest.raises(ProofShapeError, match="chunks: expected a list"):
            join(bad)


def after(chunks: list[list[int]]) -> envelope.Progress | None:
    progress = None
    for chunk in chunks:
        progress = accept(progress, chunk)
    return progress


def test_progress_counts_chunks_and_felts():
    chunks = split(MESSAGE, 20)
    progress = after(chunks[:2])
    assert progress is not None
    assert (progress.chunks, progress.felts, progress.done) == (2, 24, False)
    assert progress.key == (MESSAGE[4], MESSAGE[5])
    assert progress == after(chunks[:2])  # values, not places
    done = after(chunks)
    assert done is not None
    assert (done.chunks, done.felts, done.done) == (3, 34, True)


def changed(message: list[int], index: int, value: int) -> list[int]:
    return [*message[:index], value, *message[index + 1 :]]


CHUNKS = split(MESSAGE, 20)
ONE_FELT_LESS = make(payload_of(30), felts=33)
REASONS = {
    "short": (0, MESSAGE[:7], "bad header"),
    "magic": (0, changed(MESSAGE, 0, MESSAGE[0] ^ 1 << 32), "bad magic"),
    "no magic": (0, changed(MESSAGE, 0, 0), "bad magic"),
    "long magic": (0, changed(MESSAGE, 0, MESSAGE[0] | 1 << 200), "bad magic"),
    "version": (0, changed(MESSAGE, 0, MESSAGE[0] + 0x10000), "bad version"),
    "version 0": (0, changed(MESSAGE, 0, MESSAGE[0] - 0x10000), "bad version"),
    "encoding": (0, changed(MESSAGE, 0, MESSAGE[0] + 2), "bad header"),
    "AIR id": (0, changed(MESSAGE, 1, 1 << 248), "bad header"),
    "another AIR": (0, changed(MESSAGE, 1, 78), "bad statement"),
    "parameters": (0, changed(MESSAGE, 2, MESSAGE[2] | 1 << 65), "bad header"),
    "pow bits": (0, changed(MESSAGE, 2, MESSAGE[2] + 39), "bad header"),
    "no queries": (0, changed(MESSAGE, 2, MESSAGE[2] - (70 << 32)), "bad header"),
    "another hash": (0, changed(MESSAGE, 2, MESSAGE[2] | 1 << 64), "bad statement"),
    "sizes": (0, changed(MESSAGE, 3, MESSAGE[3] | 1 << 18), "bad header"),
    "size 0": (0, changed(MESSAGE, 3, 2 | 6 << 8), "bad header"),
    "no size": (0, changed(MESSAGE, 3, 0), "bad header"),
    "size 31": (0, changed(MESSAGE, 3, 1 | 31 << 8), "bad header"),
    "length": (0, changed(MESSAGE, 6, 1 << 32), "bad header"),
    "chunks": (0, changed(MESSAGE, 7, 0), "bad chunk"),
    "index": (0, changed(MESSAGE, 7, 1 | 1 << 16), "bad chunk"),
    "many chunks": (0, changed(MESSAGE, 7, 1 << 32), "bad chunk"),
    "statement": (0, changed(MESSAGE, 4, 1), "bad statement"),
    "value": (0, changed(MESSAGE, 9, 3), "bad statement"),
    "values": (0, changed(MESSAGE, 8, 34), "bad statement"),
    "many values": (0, changed(MESSAGE, 8, PRIME - 1), "bad statement"),
    "digest": (0, changed(MESSAGE, 5, 1), "bad digest"),
    "payload": (0, changed(MESSAGE, 30, 1), "bad digest"),
    "empty": (0, MESSAGE[:8], "bad chunk"),
    "too short": (0, MESSAGE[:-1], "bad length"),
    "too long": (0, [*MESSAGE, 0], "bad length"),
    "odd": (0, CHUNKS[0][:-1], "bad chunk"),
    "second first": (0, CHUNKS[1], "wrong chunk"),
    "first again": (1, CHUNKS[0], "wrong chunk"),
    "third second": (1, CHUNKS[2], "wrong chunk"),
    "encoding changes": (1, changed(CHUNKS[1], 0, CHUNKS[1][0] + 1), "chunk mismatch"),
    "AIR changes": (1, changed(CHUNKS[1], 1, 78), "chunk mismatch"),
    "parameters change": (1, changed(CHUNKS[1], 2, CHUNKS[1][2] + 1), "chunk mismatch"),
    "sizes change": (1, changed(CHUNKS[1], 3, 2 | 6 << 8 | 6 << 13), "chunk mismatch"),
    "length changes": (1, changed(CHUNKS[1], 6, 35), "chunk mismatch"),
    "count changes": (1, changed(CHUNKS[1], 7, 1 | 4 << 16), "chunk mismatch"),
    "odd middle": (1, CHUNKS[1][:-1], "bad chunk"),
    "long middle": (1, [*CHUNKS[1], *range(12)], "bad length"),
    "short last": (2, CHUNKS[2][:-1], "bad length"),
    "wrong last": (2, changed(CHUNKS[2], 9, 0), "bad digest"),
    "again": (3, CHUNKS[0], "already recorded"),
    "last again": (3, CHUNKS[2], "already recorded"),
    "again, broken": (3, CHUNKS[2][:-1], "already recorded"),
    "no statement": (0, make([0]), None),
}


@pytest.mark.parametrize("case", REASONS)
def test_every_fault_has_its_reason(case):
    done, message, reason = REASONS[case]
    progress = after(CHUNKS[:done])
    if reason is None:
        assert accept(progress, message).done
        return
    with pytest.raises(Refused) as error:
        accept(progress, message)
    assert error.value.reason == reason
    assert isinstance(error.value, VerificationError)
    assert len(reason) <= 31
    assert str(error.value).count("\n") == 0


def test_progress_of_another_record_is_misuse():
    other = make(payload_of(31))
    with pytest.raises(ValueError, match="progress: expected that of this statement and digest"):
        accept(after(CHUNKS[:1]), other)


@pytest.mark.parametrize("bad", [None, "x", [PRIME] * 9, [-1] * 9, [True] * 9, [1.5] * 9])
def test_a_message_is_a_list_of_felts(bad):
    with pytest.raises(ProofShapeError, match="message"):
        accept(None, bad)
