"""Channel kernels: one message in one launch, and draws after it.

A hash that follows another one has no lanes to fill. All threads of the only block compute the
same words as scalars, so that a step of the channel costs one launch and not the many small ones
of its form under XLA. One loop does all compressions of a step, each a loop over rounds, for such
a kernel takes as long as its code takes to arrive. Source: protocol section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.channel import POW_PREFIX
from jaxstark.fields import m31
from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch, together
from jaxstark.pallas.blake2s import rounds
from jaxstark.pallas.blake2s.rounds import Rounds
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel

Array = Any
Ref = Any

# The digest, the counter and a byte that separates draws from mixed words.
DRAW_BYTES = 4 * DIGEST_WORDS + 5
# Words 2p and 2p + 1 would make 0 and 1 more likely as base elements: the draw is repeated.
REJECTED_FROM = 2 * m31.P
# Longer messages stay in global memory. Shared memory has room for more, but not on all devices.
MAX_SHARED_WORDS = 1 << 13
_GROUP = 8


class _After(NamedTuple):
    """The message of one block that follows a mix.

    Attributes:
      n_bytes: its length.
      digest_at: where the digest goes in it.
      words: other words that are not zero, as (place, word).
      draws: how many draws of base elements it is, whose counter follows the digest; 0 for none.
    """

    n_bytes: int
    digest_at: int = 0
    words: tuple[tuple[int, int], ...] = ()
    draws: int = 0


def hash_words(arrays: Sequence[Array], n_bytes: int, *, interpret: bool = False) -> Array:
    """BLAKE2s-256 of the words of some arrays; see ``api.hash_words``."""
    return together.run(hash_kernel(arrays, n_bytes, interpret=interpret), interpret=interpret)[0]


def hash_kernel(arrays: Sequence[Array], n_bytes: int, *, interpret: bool = False) -> Kernel:
    """What ``hash_words`` launches, one block."""
    return _step(arrays, n_bytes, None, interpret)


def mix_and_draw(
    digest: Array, arrays: Sequence[Array], count: int = 1, *, interpret: bool = False
) -> list[Array]:
    """``[digest, elements]`` of a mix and draws; see ``api.mix_and_draw``."""
    kernel = mix_and_draw_kernel(digest, arrays, count, interpret=interpret)
    return together.run(kernel, interpret=interpret)


def mix_and_draw_kernel(
    digest: Array, arrays: Sequence[Array], count: int = 1, *, interpret: bool = False
) -> Kernel:
    """What ``mix_and_draw`` launches, one block."""
    parts = (digest, *arrays)
    return _step(parts, _bytes(parts), _After(DRAW_BYTES, draws=count), interpret)


def mix_and_prefix(
    digest: Array, arrays: Sequence[Array], bits: int, *, interpret: bool = False
) -> list[Array]:
    """``[digest, prefix]`` of a mix and of proof of work; see ``api.mix_and_prefix``."""
    parts = (digest, *arrays)
    after = _After(4 * (DIGEST_WORDS + 5), 4, ((0, POW_PREFIX), (DIGEST_WORDS + 4, bits)))
    kernel = _step(parts, _bytes(parts), after, interpret)
    return together.run(kernel, interpret=interpret)


def _bytes(arrays: Sequence[Array]) -> int:
    return 4 * sum(a.shape[0] for a in arrays)


def _step(arrays: Sequence[Array], n_bytes: int, after: _After | None, interpret: bool) -> Kernel:
    """Hash ``n_bytes``, at least one, then what is ``after``.

    Outputs: the digest, and that of what is after, or the elements of all draws.
    """
    blocks = -(-n_bytes // BLOCK_BYTES)
    draws = after.draws if after else 0
    sizes = [DIGEST_WORDS] + [DIGEST_WORDS * max(draws, 1)] * (after is not None)
    total = sum(a.shape[0] for a in arrays)
    arrays = list(arrays)
    long = total > MAX_SHARED_WORDS
    if long:
        padding = jnp.zeros(blocks * BLOCK_WORDS - total, np.uint32)
        arrays = [jnp.concatenate([*_cut_last(arrays, n_bytes), padding])]

    def body(point: Any, places: Ref, *refs: Ref) -> None:
        del point
        sources, order = refs[: len(arrays)], Rounds.of(places, rounds.NATURAL)
        outs, memory = refs[-1 - len(sizes) : -1], refs[-1]
        after_at = 0 if long else blocks * BLOCK_WORDS
        digest_at = after_at + (after.digest_at if after else 0)
        if not long:
            _gather(sources, memory, n_bytes, interpret)
        if after:
            words = dict(after.words)
            for k in range(BLOCK_WORDS):
                if not 0 <= k - after.digest_at < DIGEST_WORDS:
                    memory[after_at + k] = jnp.uint32(words.get(k, 0))
        launch.sync(interpret)

        def compress(i: Array, chain: blake2s.Words) -> blake2s.Words:
            """Block i of the message, or what is after it, in one place for all draws."""
            first = lax.min(i, np.int32(blocks)) * np.int32(BLOCK_WORDS)
            end = (i + np.int32(1)).astype(np.uint32) * np.uint32(BLOCK_BYTES)
            counter = lax.min(end, np.uint32(n_bytes))
            is_after = i >= np.int32(blocks)
            counter = lax.select(is_after, np.uint32(after.n_bytes if after else 0), counter)
            fresh = (i == np.int32(0)) | is_after
            chain = tuple(
                lax.select(fresh, word, old)
                for word, old in zip(rounds.initial_scalars(), chain, strict=True)
            )

            def word(j: Array) -> Array:
                if not long:
                    return memory[first + j]
                source = sources[0][lax.min(first + j, np.int32(blocks * BLOCK_WORDS - 1))]
                return lax.select(is_after, memory[j], source) if after else source

            last = i >= np.int32(blocks - 1)
            return rounds.compress(word, order, chain, counter, last, interpret)

        if after is None:
            digest = lax.fori_loop(
                np.int32(0), np.int32(blocks), compress, rounds.initial_scalars()
            )
            put(outs[0], digest)
            return

        def going(state: tuple[Array, Array, blake2s.Words]) -> Array:
            return state[0] < np.int32(blocks + max(draws, 1))

        def step(state: tuple[Array, Array, blake2s.Words]) -> tuple[Any, Any, Any]:
            i, counter, words = state

            @pl.when(i >= np.int32(blocks))
            def _() -> None:
                launch.sync(interpret)  # All have read before any writes.
                if draws:
                    memory[after_at + DIGEST_WORDS] = counter
                    launch.sync(interpret)

            words = compress(i, words)

            @pl.when(i == np.int32(blocks - 1))
            def _() -> None:
                put(outs[0], words)
                put(memory, words, digest_at)

            if not draws:
                return i + np.int32(1), counter, words
            is_draw = i >= np.int32(blocks)
            again = is_draw & rejected(words)

            @pl.when(is_draw)  # what is rejected is written over
            def _() -> None:
                place = (i - np.int32(blocks)) * np.int32(DIGEST_WORDS)
                put(outs[1], tuple(m31.canonical(word) for word in words), place)

            i = lax.select(again, i, i + np.int32(1))
            return i, counter + is_draw.astype(np.uint32), words

        state = (jnp.int32(0), jnp.uint32(0), rounds.initial_scalars())
        _, _, words = lax.while_loop(going, step, state)
        if not draws:
            put(outs[1], words)

    out = tuple(jax.ShapeDtypeStruct((size,), np.uint32) for size in sizes)
    words = BLOCK_WORDS * (1 if long else blocks + (after is not None))
    return Kernel(body, out, (1,), ((words,),), (rounds.NATURAL, *arrays))


def _cut_last(arrays: list[Array], n_bytes: int) -> list[Array]:
    """The arrays without the bytes of the last word that are not hashed."""
    if n_bytes % 4 == 0:
        return arrays
    *before, last = arrays
    return [*before, last.at[-1].set(last[-1] & np.uint32((1 << (8 * (n_bytes % 4))) - 1))]


def _gather(sources: Sequence[Ref], memory: Ref, n_bytes: int, interpret: bool) -> None:
    """The words of all sources in shared memory, then zeros to the end of the last block."""
    at = 0
    for source in sources:
        size = source.shape[0]
        if size >= LANES:
            _copy(source, memory, at, 0, size // LANES, LANES)
            _copy(source, memory, at, size - LANES, 1, LANES)
        else:
            _copy(source, memory, at, 0, size, 1)
        at += size
    if n_bytes % 4:
        word = sources[-1][sources[-1].shape[0] - 1]
        if sources[-1].shape[0] >= LANES:
            launch.sync(interpret)  # Another thread wrote the whole word.
        memory[at - 1] = word & np.uint32((1 << (8 * (n_bytes % 4))) - 1)
    for k in range(at, -(-at // BLOCK_WORDS) * BLOCK_WORDS):
        memory[k] = jnp.uint32(0)


def _copy(source: Ref, memory: Ref, at: int, first: int, count: int, lanes: int) -> None:
    """``count`` times so many lanes, several of them under way at once."""

    def some(start: Any, n: int) -> None:
        places = [start + first + k * lanes for k in range(n)]
        if lanes == 1:
            words = [source[place] for place in places]
        else:
            words = [launch.load(source, pl.ds(place, lanes)) for place in places]
        for place, word in zip(places, words, strict=True):
            memory[at + place if lanes == 1 else pl.ds(at + place, lanes)] = word

    def group(i: Any, carry: Array) -> Array:
        some(i * np.int32(_GROUP * lanes), _GROUP)
        return carry

    groups = count // _GROUP
    if groups > 1:
        lax.fori_loop(np.int32(0), np.int32(groups), group, np.int32(0))
        some(groups * _GROUP * lanes, count - groups * _GROUP)
    else:
        some(0, count)


def mix_and_draw_blocks(
    digest: Array, arrays: Sequence[Array], count: int, *, interpret: bool = False
) -> Array:
    """A mix, then draws without rejection, one per lane; see ``api.mix_and_draw_blocks``.

    Every block of the grid mixes, for that takes as long as one block takes.
    """
    blocks = -(-count // LANES)
    parts = (digest, *arrays)
    n_bytes = _bytes(parts)

    def body(point: Any, places: Ref, *refs: Ref) -> None:
        *sources, out, memory = refs
        order = Rounds.of(places, rounds.NATURAL)
        counter = launch.lane_numbers() + point[0].astype(np.uint32) * np.uint32(LANES)
        _gather(sources, memory, n_bytes, interpret)
        launch.sync(interpret)
        mixed = rounds.compress(
            lambda j: memory[j],
            order,
            rounds.initial_scalars(),
            np.uint32(n_bytes),
            jnp.bool_(True),
            interpret,
        )
        launch.sync(interpret)  # All have read before any writes.
        put(memory, mixed)
        for k in range(DIGEST_WORDS, BLOCK_WORDS):
            memory[k] = jnp.uint32(0)
        launch.sync(interpret)

        def word(j: Array) -> Array:
            ours = launch.uniform((j == np.int32(DIGEST_WORDS)).astype(np.uint32))
            return launch.uniform(memory[j]) + ours * counter

        words = rounds.compress(
            word, order, rounds.initial(), np.uint32(DRAW_BYTES), jnp.bool_(True), interpret
        )
        for k, value in enumerate(words):
            launch.store(out, value, pl.ds(point[0] * LANES, LANES), k)

    out = jax.ShapeDtypeStruct((blocks * LANES, DIGEST_WORDS), np.uint32)
    run = launch.launch(
        body,
        out,
        grid=(blocks,),
        scratch=(launch.shared((BLOCK_WORDS,)),),
        barriers=False,
        interpret=interpret,
    )
    return run(rounds.NATURAL, *parts)[:count]


# Functions of scalars in a kernel.


def get(source: Ref) -> blake2s.Words:
    """The eight words of a digest in memory."""
    return tuple(source[k] for k in range(DIGEST_WORDS))


def put(out: Ref, words: blake2s.Words, start: int | Array = 0) -> None:
    """Store the eight words of a digest."""
    for k, word in enumerate(words):
        out[start + k] = word


def rejected(words: Sequence[Array]) -> Array:
    """Whether a draw of base elements has a word that is too large, a bool scalar."""
    largest = words[0]
    for word in words[1:]:
        largest = lax.max(largest, word)
    return largest >= np.uint32(REJECTED_FROM)
