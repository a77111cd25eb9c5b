"""Grinding kernel: the lowest nonce by hashlib, whatever the chunks, and CUDA accepts it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark.pallas.grind import api, mosaic_gpu  # noqa: E402
from jaxstark.pallas.grind.config import GrindConfig  # noqa: E402

pytestmark = pytest.mark.floor


def random(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, size, np.uint32)


def digest(prefix: np.ndarray, nonce: int) -> np.ndarray:
    data = prefix.astype("<u4").tobytes() + nonce.to_bytes(8, "little")
    return np.frombuffer(hashlib.blake2s(data).digest(), "<u4")


def passes(prefix: np.ndarray, masks: np.ndarray, nonce: int) -> bool:
    return not (digest(prefix, nonce)[:2] & masks).any()


def lowest(prefix: np.ndarray, masks: np.ndarray, start: int = 0) -> int:
    return next(n for n in range(start, start + (1 << 20)) if passes(prefix, masks, n))


# The bits of the second word too; about one nonce of 2^9 passes.
MASKS = np.array([0b1111111, 0b11], np.uint32)
CONFIG = GrindConfig(chunk_log=9, blocks_log=1, unroll=1)


def test_the_lowest_nonce_is_found_in_every_chunk():
    """Prefixes whose nonces lie in the first chunk, the second one and later."""
    chunks = set()
    for seed in range(6):
        prefix = random(8, seed)
        want = lowest(prefix, MASKS)
        got = np.asarray(api.grind(prefix, MASKS, config=CONFIG, interpret=True))
        assert got.tolist() == [want, 0]
        chunks.add(min(want >> CONFIG.chunk_log, 2))
    assert chunks == {0, 1, 2}


def test_no_bits_give_nonce_0():
    got = api.grind(random(8), np.zeros(2, np.uint32), config=CONFIG, interpret=True)
    assert np.asarray(got).tolist() == [0, 0]


@pytest.mark.parametrize("unroll", [1, 2])
def test_blocks_share_a_chunk(unroll):
    """Every nonce of a chunk belongs to one block, which keeps its lowest; high words count."""
    config = GrindConfig(chunk_log=10, blocks_log=1, unroll=unroll)
    masks, start = np.array([0b111111, 0], np.uint32), np.array([5 << 10, 3], np.uint32)
    prefix = random(8, 7)
    run = jax.jit(lambda *a: mosaic_gpu.search(*a, config=config, interpret=True))
    searching, over = (np.array([word], np.uint32) for word in (mosaic_gpu.NONE, 5))
    got = np.asarray(run(prefix, masks, start, searching)).tolist()
    first = (3 << 32) + (5 << 10)
    hits = [i for i in range(1 << 10) if passes(prefix, masks, first + i)]
    assert got == [min(i for i in hits if i >> 7 & 1 == block) for block in range(2)]
    none = np.array([2**32 - 1] * 2, np.uint32)
    assert np.asarray(run(prefix, none, start, searching)).tolist() == [mosaic_gpu.NONE] * 2
    # A search that is over, in a batch with others, does nothing.
    assert np.asarray(run(prefix, masks, start, over)).tolist() == [mosaic_gpu.NONE] * 2


def test_the_high_word_takes_the_carry():
    step = jax.jit(lambda start: api._next(start, np.uint32(1 << 22)))
    for before, after in (
        ([2**32 - (1 << 22), 2**32 - 1], [0, 0]),
        ([2**32 - (1 << 22), 7], [0, 8]),
        ([1 << 22, 7], [2 << 22, 7]),
    ):
        assert np.asarray(step(np.array(before, np.uint32))).tolist() == after


@pytest.mark.parametrize(
    "config",
    [GrindConfig(), GrindConfig(unroll=2), *map(GrindConfig.for_bits, (10, 20, 26)), CONFIG],
)
def test_lowers_for_cuda_as_one_kernel(config):
    shapes = [jax.ShapeDtypeStruct((n,), np.uint32) for n in (8, 2)]
    traced = jax.jit(lambda p, m: api.grind(p, m, config=config)).trace(*shapes)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


def test_the_difficulty_chooses_sizes_alone(monkeypatch):
    chosen = []
    monkeypatch.setattr(GrindConfig, "for_bits", lambda bits: chosen.append(bits) or CONFIG)
    got = api.grind(random(8, 3), MASKS, bits=9, interpret=True)
    assert chosen == [9]
    assert np.asarray(got).tolist() == [lowest(random(8, 3), MASKS), 0]


def test_chunks_hold_a_nonce_on_average_up_to_a_size():
    assert [GrindConfig.for_bits(bits).chunk_log for bits in (10, 20, 26)] == [18, 20, 24]


@pytest.mark.parametrize("chunk_log", [7, 9, 22, 31])
@pytest.mark.parametrize("blocks_log", [0, 10, 20])
@pytest.mark.parametrize("unroll", [1, 4])
def test_shapes_cover_a_chunk(chunk_log, blocks_log, unroll):
    blocks, steps, nonces = GrindConfig(chunk_log, blocks_log, unroll).shape()
    assert blocks * steps * nonces * 128 == 1 << chunk_log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((random(7), MASKS), "prefix: expected uint32 \\[8\\]"),
        ((random(8), random(3)), "masks: expected uint32 \\[2\\]"),
        ((random(8).astype(np.int64), MASKS), "prefix: expected uint32"),
        ((random(8), MASKS, GrindConfig(6)), "chunk_log: expected 7..31, got 6"),
        ((random(8), MASKS, GrindConfig(32)), "chunk_log: expected 7..31, got 32"),
        ((random(8), MASKS, GrindConfig(22, -1)), "blocks_log and unroll"),
        ((random(8), MASKS, GrindConfig(unroll=3)), "blocks_log and unroll"),
    ],
)
def test_misuse_is_refused(arguments, message):
    prefix, masks, *config = arguments
    with pytest.raises(ValueError, match=message):
        api.grind(prefix, masks, **({"config": config[0]} if config else {}))
