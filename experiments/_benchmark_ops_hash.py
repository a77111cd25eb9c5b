"""Operations of ``bench_op.py`` that hash: leaves, trees, proof of work, channel."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from _benchmark_op import DIGEST, PACK_LOG, SECURE, WORD, Prepared, Size, words

from jaxstark import grind as grind_reference
from jaxstark import merkle
from jaxstark.channel import Blake2sChannel
from jaxstark.hash.blake2s import BLOCK_WORDS
from jaxstark.pallas.blake2s import api as blake2s
from jaxstark.pallas.channel import api as channel_kernels
from jaxstark.pallas.grind import api as grind_kernels
from jaxstark.pallas.grind.config import GrindConfig

GRIND_PREFIXES = 8  # searches of one call: how long one takes is luck


def leaves(size: Size) -> Prepared:
    n, c = 1 << size.log_size, size.columns
    return Prepared(
        lambda columns: blake2s.leaves((columns,), interpret=size.interpret),
        (words(c, n),),
        lambda columns: merkle.commit([columns]).levels[-1],
        c * WORD * n + DIGEST * n,
        -(-c // BLOCK_WORDS) * n,
    )


def levels(size: Size) -> Prepared:
    n = 1 << size.log_size
    # Words of 31 bits do for digests. The reference has no tree over given leaves: its layers are
    # hashed again, pair by pair, as leaves of 16 words.
    return Prepared(
        lambda digests: blake2s.levels(digests, interpret=size.interpret)[:-1],
        (words(8, n),),
        _levels_reference,
        2 * DIGEST * n,
        n - 1,
    )


def _levels_reference(digests: Any) -> tuple[Any, ...]:
    layers, below = [], jnp.asarray(digests)
    while below.shape[1] > 1:
        pairs = jnp.concatenate([below[:, ::2], below[:, 1::2]])
        below = jnp.asarray(merkle.commit([pairs]).levels[-1])
        layers.insert(0, below)
    return tuple(layers)


def commit(size: Size) -> Prepared:
    n, c = 1 << size.log_size, size.columns
    return Prepared(
        lambda columns: blake2s.commit((columns,), interpret=size.interpret),
        (words(c, n),),
        lambda columns: merkle.commit([columns]).levels,
        c * WORD * n + DIGEST * (2 * n - 1),
        -(-c // BLOCK_WORDS) * n + n - 1,
    )


def commit_layer(size: Size) -> Prepared:
    n, leaves = 1 << size.log_size, 1 << (size.log_size - PACK_LOG)
    return Prepared(
        lambda values: blake2s.commit_values(values, PACK_LOG, interpret=size.interpret),
        (words(4, n),),
        lambda values: merkle.commit_values(values, PACK_LOG).levels,
        SECURE * n + DIGEST * (2 * leaves - 1),
        2 * leaves - 1,
    )


def grind(size: Size) -> Prepared:
    prefixes = [
        Blake2sChannel().mix_u64(salt).pow_prefix(size.bits) for salt in range(GRIND_PREFIXES)
    ]
    # The interpreter takes minutes for a chunk of the size that suits a GPU.
    config = GrindConfig(chunk_log=9) if size.interpret else GrindConfig.for_bits(size.bits)
    masks = grind_reference.masks_of(size.bits)

    def run(starts: Any, masks: Any) -> Any:
        search = partial(grind_kernels.grind, config=config, interpret=size.interpret)
        return jnp.stack([search(starts[i], masks) for i in range(len(prefixes))])

    def reference(starts: Any, masks: Any) -> np.ndarray:
        nonces = [grind_reference.grind(prefix, size.bits) for prefix in prefixes]
        return np.array([(nonce & 0xFFFFFFFF, nonce >> 32) for nonce in nonces], np.uint32)

    def tried(nonces: Any) -> int:
        return sum(int(low) + (int(high) << 32) + 1 for low, high in np.asarray(nonces))

    starts = np.stack([np.frombuffer(p, "<u4").astype(np.uint32) for p in prefixes])
    return Prepared(run, (starts, np.asarray(masks)), reference, 0, tried)


def channel(size: Size) -> Prepared:
    """Latency only: two compressions, one after the other."""
    state = Blake2sChannel().mix_u64(1)
    digest = np.frombuffer(state.digest, "<u4").astype(np.uint32)

    def reference(digest: Any, message: Any) -> tuple[Any, ...]:
        del digest
        mixed = state.mix_u32s([int(word) for word in np.asarray(message)])
        values, _ = mixed.draw_felts(2)
        drawn = np.array([word for value in values for word in value], np.uint32)
        after_mix = np.frombuffer(mixed.digest, "<u4").astype(np.uint32)
        return after_mix, drawn

    return Prepared(
        lambda digest, message: channel_kernels.mix_and_draw(
            digest, (message,), interpret=size.interpret
        ),
        (digest, words(8)),
        reference,
        0,
        2,
    )
