"""Grinding finds the smallest nonce, always the same one (T35)."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import grind as grind_module  # noqa: E402
from jaxstark.channel import Blake2sChannel  # noqa: E402
from jaxstark.grind import grind  # noqa: E402
from jaxstark.hash import blake2s  # noqa: E402

PREFIXES = [bytes(32), bytes(range(32)), bytes(range(200, 232))]


def passes(prefix: bytes, nonce: int, bits: int) -> bool:
    digest = hashlib.blake2s(prefix + nonce.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:16], "little") % (1 << bits) == 0


def smallest(prefix: bytes, bits: int) -> int:
    return next(n for n in itertools.count() if passes(prefix, n, bits))


@pytest.mark.parametrize("prefix", PREFIXES, ids=lambda p: p[:2].hex())
@pytest.mark.parametrize("bits", [1, 4, 11, 14])
def test_t35_the_smallest_nonce_is_found(prefix, bits):
    nonce = smallest(prefix, bits)
    assert grind(prefix, bits, lanes=blake2s.NARROW) == nonce
    assert grind(prefix, bits, lanes=blake2s.NARROW) == nonce
    assert not any(passes(prefix, n, bits) for n in range(nonce))


def test_t35_chunk_width_does_not_matter():
    nonces = {grind(PREFIXES[1], 15, lanes=n) for n in (blake2s.NARROW, blake2s.WIDE)}
    assert nonces == {smallest(PREFIXES[1], 15)}


def test_t35_many_hits_in_one_batch_give_the_first(monkeypatch):
    monkeypatch.setattr(blake2s, "n_workers", lambda: 7)
    for bits in (2, 9, 12):
        assert grind(PREFIXES[2], bits, lanes=blake2s.NARROW) == smallest(PREFIXES[2], bits)


def test_search_continues_after_a_batch(monkeypatch):
    monkeypatch.setattr(grind_module, "_CPU_BATCH", 2)
    tried: list[int] = []
    bits, lanes = 14, blake2s.NARROW
    nonce = grind(PREFIXES[0], bits, lanes=lanes, progress=tried.append)
    assert nonce == smallest(PREFIXES[0], bits)
    assert tried == list(range(2 * lanes, nonce + 1, 2 * lanes))
    assert tried


def test_nonces_beyond_32_bits():
    """The search from 2^32 - 2^10 on crosses into the upper word of the nonce."""
    words = np.frombuffer(PREFIXES[2], "<u4").astype(np.uint32)
    lanes, base = blake2s.NARROW, 2**32 - blake2s.NARROW
    bits = 13
    want = next(n for n in itertools.count(base) if passes(PREFIXES[2], n, bits))
    assert want >= 2**32
    masks = np.array([(1 << bits) - 1, 0], np.uint32)
    assert grind_module._search_cpu(words, masks, lanes, base) == want


def test_masks_beyond_32_bits():
    words, lanes = np.frombuffer(PREFIXES[1], "<u4").astype(np.uint32), blake2s.NARROW
    masks = np.array([1, 7], np.uint32)

    def hit(nonce: int) -> bool:
        digest = hashlib.blake2s(PREFIXES[1] + nonce.to_bytes(8, "little")).digest()
        return not digest[0] & 1 and not digest[4] & 7

    want = next(n for n in itertools.count() if hit(n))
    assert grind_module._search_cpu(words, masks, lanes, 0) == want


@pytest.mark.parametrize("bits, chunks", [(3, 4), (6, 4), (12, 2)])
def test_device_loop_finds_the_same(bits, chunks):
    words = np.frombuffer(PREFIXES[0], "<u4").astype(np.uint32)
    masks = np.array([(1 << bits) - 1, 0], np.uint32)
    with jax.disable_jit():  # XLA for CPUs takes long to compile this loop
        chunk, lane = grind_module._search_loop(
            words, masks, np.uint32(0), np.uint32(0), lanes=32, chunks=chunks
        )
    want = smallest(PREFIXES[0], bits)
    if want < 32 * chunks:
        assert 32 * int(chunk) + int(lane) == want
    else:
        assert int(lane) == 32


def test_no_bits_no_work(monkeypatch):
    monkeypatch.setattr(grind_module, "_search_cpu", None)
    assert grind(PREFIXES[0], 0) == 0


def test_channel_accepts_the_nonce():
    channel = Blake2sChannel().mix_u64(7)
    nonce = grind(channel.pow_prefix(10), 10, lanes=blake2s.NARROW)
    assert channel.pow_ok(10, nonce)
    assert not any(channel.pow_ok(10, n) for n in range(nonce))


@pytest.mark.parametrize("bits", [-1, 65, 1.0, True, None])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError, match="bits"):
        grind(PREFIXES[0], bits)


@pytest.mark.parametrize("prefix", [b"", bytes(31), "0" * 32, bytearray(32)])
def test_prefix_must_be_a_digest(prefix):
    with pytest.raises(ValueError, match="prefix"):
        grind(prefix, 1)


@pytest.mark.parametrize("lanes", [0, 3, 1 << 21])
def test_lanes_must_be_a_power_of_two(lanes):
    with pytest.raises(ValueError, match="lanes"):
        grind(PREFIXES[0], 1, lanes=lanes)
