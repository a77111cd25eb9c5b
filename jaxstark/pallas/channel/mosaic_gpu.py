"""Channel kernels: one message in one launch, and draws.

A hash that follows another one has no lanes to fill. All threads of the only block compute the
same words as scalars, so that a step of the channel costs one launch and not the many small ones
of its form under XLA. The functions of scalars serve other kernels too, which carry a channel
along. Source: protocol section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import m31
from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s.message import Loop, Words, steps
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
Barrier = Callable[[Any], Any]

# The digest, the counter and a byte that separates draws from mixed words.
DRAW_BYTES = 4 * DIGEST_WORDS + 5
# Words 2p and 2p + 1 would make 0 and 1 more likely as base elements: the draw is repeated.
REJECTED_FROM = 2 * m31.P


def hash_words(arrays: Sequence[Array], n_bytes: int, *, interpret: bool = False) -> Array:
    """BLAKE2s-256 of the words of some arrays; see ``api.hash_words``."""

    def body(point: Any, *refs: Ref) -> None:
        del point
        *sources, out = refs
        put(out, message_hash(sources, n_bytes, launch.half_round_barrier(interpret)))

    return _run(body, [DIGEST_WORDS], arrays, interpret)[0]


def draw(digest: Array, n_draws: Array, *, interpret: bool = False) -> list[Array]:
    """``[words, counter]`` of a draw of base elements; see ``api.draw``."""

    def body(point: Any, source: Ref, counter: Ref, out: Ref, after: Ref) -> None:
        del point
        barrier = launch.half_round_barrier(interpret)
        words, after[0] = draw_base(get(source), counter[0], barrier)
        put(out, words)

    return _run(body, [DIGEST_WORDS, 1], [digest, n_draws], interpret)


def mix_and_draw(digest: Array, arrays: Sequence[Array], *, interpret: bool = False) -> list[Array]:
    """``[digest, words, counter]`` of a mix and the first draw; see ``api.mix_and_draw``."""
    n_bytes = 4 * sum(a.shape[0] for a in (digest, *arrays))

    def body(point: Any, *refs: Ref) -> None:
        del point
        *sources, mixed, out, after = refs
        barrier = launch.half_round_barrier(interpret)
        state = message_hash(sources, n_bytes, barrier)
        put(mixed, state)
        words, after[0] = draw_base(state, jnp.uint32(0), barrier)
        put(out, words)

    return _run(body, [DIGEST_WORDS, DIGEST_WORDS, 1], [digest, *arrays], interpret)


def draw_blocks(digest: Array, first: Array, count: int, *, interpret: bool = False) -> Array:
    """Successive draws without rejection, one per lane; see ``api.draw_blocks``."""
    blocks = -(-count // LANES)

    def body(point: Any, source: Ref, start: Ref, out: Ref) -> None:
        counter = launch.lane_numbers() + point[0].astype(np.uint32) * np.uint32(LANES) + start[0]
        head = tuple(jnp.broadcast_to(word, (LANES,)) for word in get(source))
        initial = tuple(launch.constant(word) for word in blake2s.INITIAL)
        barrier = launch.half_round_barrier(interpret)
        words = _draw_words(initial, head, counter, launch.constant(0), barrier)
        for k, word in enumerate(words):
            launch.store(out, word, pl.ds(point[0] * LANES, LANES), k)

    out = jax.ShapeDtypeStruct((blocks * LANES, DIGEST_WORDS), np.uint32)
    run = launch.launch(body, out, grid=(blocks,), barriers=False, interpret=interpret)
    return run(digest, first)[:count]


def _run(body: Any, sizes: list[int], arrays: Sequence[Array], interpret: bool) -> list[Array]:
    out = [jax.ShapeDtypeStruct((size,), np.uint32) for size in sizes]
    # Nothing is read back that was written: no barriers.
    return launch.launch(body, out, grid=(1,), barriers=False, interpret=interpret)(*arrays)


# Functions of scalars in a kernel.


def get(source: Ref) -> blake2s.Words:
    """The eight words of a digest in memory."""
    return tuple(source[k] for k in range(DIGEST_WORDS))


def put(out: Ref, words: blake2s.Words) -> None:
    """Store the eight words of a digest."""
    for k, word in enumerate(words):
        out[k] = word


def message_hash(sources: Sequence[Ref], n_bytes: int, barrier: Barrier) -> blake2s.Words:
    """BLAKE2s-256 of the first ``n_bytes`` bytes of some references ``[w]``, all words used."""
    plan = steps([Words(i, 0, ref.shape[0]) for i, ref in enumerate(sources)], True)
    chain = _initial()
    end = 0
    for i, step in enumerate(plan):
        if isinstance(step, Loop):
            chain = _hash_loop(sources[step.source], step, chain, end, barrier)
            end += BLOCK_BYTES * step.count
            continue
        message = [sources[a][row] for a, row in step.words]
        last = i == len(plan) - 1
        if last and n_bytes % 4:
            message[-1] = message[-1] & np.uint32((1 << (8 * (n_bytes % 4))) - 1)
        message += [jnp.uint32(0)] * (BLOCK_WORDS - len(message))
        end = n_bytes if last else end + BLOCK_BYTES
        chain = blake2s.compress(chain, tuple(message), end, last, barrier)
    return chain


def _hash_loop(
    source: Ref, step: Loop, chain: blake2s.Words, end: int, barrier: Barrier
) -> blake2s.Words:
    def block(i: Array, chain: blake2s.Words) -> blake2s.Words:
        row = step.row + i * BLOCK_WORDS
        message = tuple(source[row + k] for k in range(BLOCK_WORDS))
        counter = np.uint32(end) + (i + 1).astype(np.uint32) * np.uint32(BLOCK_BYTES)
        return blake2s.compress(chain, message, counter, False, barrier)

    return lax.fori_loop(np.int32(0), np.int32(step.count), block, chain)


def draw_base(
    digest: blake2s.Words, counter: Array, barrier: Barrier
) -> tuple[blake2s.Words, Array]:
    """Eight canonical base elements and the next counter; draws are repeated until one fits."""

    def rejected(state: tuple[Array, Array, blake2s.Words]) -> Array:
        return state[0]

    def step(state: tuple[Array, Array, blake2s.Words]) -> tuple[Array, Array, blake2s.Words]:
        _, counter, _ = state
        words = _draw_words(_initial(), digest, counter, jnp.uint32(0), barrier)
        largest = words[0]
        for word in words[1:]:
            largest = lax.max(largest, word)
        return largest >= np.uint32(REJECTED_FROM), counter + np.uint32(1), words

    zeros = (jnp.uint32(0),) * DIGEST_WORDS
    _, counter, words = lax.while_loop(rejected, step, (jnp.bool_(True), counter, zeros))
    return tuple(m31.canonical(word) for word in words), counter


def _draw_words(
    initial: blake2s.Words, digest: blake2s.Words, counter: Array, zero: Array, barrier: Barrier
) -> blake2s.Words:
    message = (*digest, counter, *[zero] * (BLOCK_WORDS - DIGEST_WORDS - 1))
    return blake2s.compress(initial, message, DRAW_BYTES, True, barrier)


def _initial() -> blake2s.Words:
    return tuple(jnp.uint32(word) for word in blake2s.INITIAL)
