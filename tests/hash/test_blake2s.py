"""BLAKE2s over lanes equals hashlib and the RFC, in every form of the one body."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jaxstark.hash import blake2s

LENGTHS = (0, 1, 63, 64, 65, 127, 128, 192, 300)
LANES = 3


def messages(n_bytes: int, seed: int = 0) -> tuple[np.ndarray, list[bytes]]:
    """Word columns of random inputs, with junk after their end, and the digests by hashlib."""
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (LANES, -(-n_bytes // 4) * 4), np.uint8)
    columns = np.ascontiguousarray(data.view("<u4").T, np.uint32)
    return columns, [hashlib.blake2s(row[:n_bytes].tobytes()).digest() for row in data]


def digests(words: np.ndarray) -> list[bytes]:
    assert words.dtype == np.uint32 and words.shape[0] == blake2s.DIGEST_WORDS
    return [column.astype("<u4").tobytes() for column in np.asarray(words).T]


def test_t28_rfc_7693_vector():
    abc = np.array([[0x00636261]], np.uint32)
    want = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
    assert digests(blake2s.hash_words(abc, 3))[0].hex() == want
    assert digests(blake2s.hash_words(abc))[0].hex() != want  # 4 bytes: another length


@pytest.mark.parametrize("n_bytes", LENGTHS)
def test_t28_equals_hashlib_at_padding_edges(n_bytes):
    columns, want = messages(n_bytes)
    assert digests(blake2s.hash_words(columns, n_bytes)) == want


@pytest.mark.parametrize("n_bytes", [60, 64, 68])
def test_t28_zero_fill_is_no_input(n_bytes):
    columns, _ = messages(n_bytes)
    longer = np.concatenate([columns, np.zeros((1, LANES), np.uint32)])
    assert digests(blake2s.hash_words(columns)) != digests(blake2s.hash_words(longer))


def test_t28_traced_body_equals_hashlib():
    jax = pytest.importorskip("jax")
    columns, want = messages(65)
    run = jax.jit(blake2s.hash_words, static_argnums=1)
    assert digests(run(columns, 65)) == want


def test_t28_shared_cpu_program_equals_hashlib():
    pytest.importorskip("jax")
    lanes = blake2s.NARROW
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, (24, lanes), np.uint32)
    compress, message = blake2s.cpu_compressor(lanes), blake2s.message_buffer(lanes)
    message[:] = words[:16]
    state = compress(None, message, 64, False).block_until_ready()
    message[:8], message[8:] = words[16:], 0
    out = np.asarray(compress(state, message, 96, True))
    for lane in (0, 1, lanes - 1):
        data = words[:, lane].astype("<u4").tobytes()
        assert out[:, lane].astype("<u4").tobytes() == hashlib.blake2s(data).digest()
    assert (out != np.asarray(compress(state, message, 96, False))).any(axis=0).all()


def test_counter_has_two_words():
    state = blake2s.initial_state(np.zeros(1, np.uint32))
    message = (np.zeros(1, np.uint32),) * blake2s.BLOCK_WORDS
    low, high = (np.stack(blake2s.compress(state, message, c, True)) for c in (5, 5 + 2**32))
    assert (low != high).all()
    array = blake2s.compress(state, message, np.full(1, 5, np.uint32), True)
    assert (np.stack(array) == low).all()


def test_final_flag_may_be_data():
    state = blake2s.initial_state(np.zeros(2, np.uint32))
    message = (np.arange(2, dtype=np.uint32),) * blake2s.BLOCK_WORDS
    both = np.stack(blake2s.compress(state, message, 64, np.array([0, 2**32 - 1], np.uint32)))
    for lane, final in enumerate((False, True)):
        assert (both == np.stack(blake2s.compress(state, message, 64, final)))[:, lane].all()


@pytest.mark.parametrize("n_bytes", [-1, 0, 4, 9])
def test_length_must_fit_the_words(n_bytes):
    with pytest.raises(ValueError, match="n_bytes"):
        blake2s.hash_words(np.zeros((2, 1), np.uint32), n_bytes)


def test_message_buffers_can_be_read_in_place():
    buffer = blake2s.message_buffer(64)
    assert buffer.shape == (16, 64) and buffer.ctypes.data % 64 == 0
    assert blake2s.message_buffer(64) is buffer
