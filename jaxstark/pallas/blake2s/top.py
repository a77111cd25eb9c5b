"""The top of a tree and the step of the channel after it, in one launch of one block.

Near the root there are not enough nodes to hide latency, and the channel has one hash after the
other: both take as long as their longest chain of hashes and as a launch. A mix of a root is the
hash of a node, whose children are the digest of the channel and the root; a draw hashes the digest
and a counter. So one loop over hashes serves levels and channel. Source: protocol sections 4, 5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import m31
from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import rounds
from jaxstark.pallas.blake2s.rounds import Rounds
from jaxstark.pallas.channel.mosaic_gpu import DRAW_BYTES, get, put, rejected
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
_PAIRS = LANES // 2
_SKEW = 16  # half of the banks

# What comes next: a level of the tree, a mix of its root, a draw. Later draws have larger numbers.
_LEVEL, _MIX, _DRAW = (np.int32(i) for i in range(3))


class Memory(NamedTuple):
    """Shared memory of a block, and the order of words in a round.

    Attributes:
      nodes: ``[16, pairs]``, a pair of nodes in every column, with word k of the left one in row
        ``2 k``, of the right one in row ``2 k + 1``, as in ``rounds.PAIRED``.
      digest: ``[8]``, that of the channel.
      drawn: ``[8 draws]``, their elements; not read by ``climb``, and may be in global memory.
      rounds: of ``rounds.PAIRED``, an input of the kernel.
    """

    nodes: Ref
    digest: Ref
    drawn: Ref
    rounds: Rounds


def node_pairs(count: int) -> Any:
    """Shared memory for ``nodes`` of ``Memory``. Left and right nodes go to different banks."""
    return launch.shared((BLOCK_WORDS, count + _SKEW))


def scratch(pairs: int) -> tuple[Any, ...]:
    """``nodes``, ``digest`` and ``drawn`` of ``Memory``, for one draw."""
    return (
        node_pairs(pairs),
        launch.shared((DIGEST_WORDS,)),
        launch.shared((DIGEST_WORDS,)),
    )


def put_nodes(nodes: Ref, k: Any, column: Any, words: Array) -> None:
    """Store word k of 128 nodes as that of the 64 pairs from ``column`` on."""
    rows = pl.ds(2 * k, 2)
    launch.store_transposed(nodes, words.reshape(_PAIRS, 2), rows, pl.ds(column, _PAIRS))


def climb(
    memory: Memory,
    out: Ref,
    pairs: Array,
    offset: Array,
    *,
    source: Any = 0,
    target: Any = 0,
    channel: bool,
    draws: int = 1,
    first_bytes: int = BLOCK_BYTES,
    interpret: bool,
) -> Array:
    """Hash pairs of nodes up to the root; then mix it, and draw.

    Every level is stored after the one below it, as are the digest and the words of draws: 128
    nodes at least, of which those beyond the level are overwritten by what follows.

    Args:
      memory: with the pairs from column ``source`` of ``nodes`` on; the levels above them use the
        columns from ``target`` on, which may be the same.
      out: ``[8, nodes]``.
      pairs: how many there are, a power of two, an int32 scalar.
      offset: where the first level goes in ``out``.
      source: as above.
      target: as above.
      channel: whether a mix and draws follow; else the loop ends at the root.
      draws: how many, those that are rejected not counted.
      first_bytes: length of the messages of the first level, whose other words are 0.
      interpret: whether the kernel runs on a CPU.

    Returns the offset behind the last hash. All threads may read ``memory.digest`` and
    ``memory.drawn`` after the next ``sync``.
    """
    end = _MIX + np.int32(draws) if channel else _LEVEL

    def going(state: tuple[Array, ...]) -> Array:
        return state[0] <= end

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        phase, pairs, at, column, n_draws = state
        is_draw = phase >= _DRAW
        bytes_ = lax.select(is_draw, np.uint32(DRAW_BYTES), np.uint32(BLOCK_BYTES))
        if first_bytes != BLOCK_BYTES:
            bytes_ = lax.select(at == jnp.int32(offset), np.uint32(first_bytes), bytes_)

        def tile(i: Any, carry: Array) -> Array:
            here = pl.ds(column + i * np.int32(LANES), LANES)
            words = rounds.compress(
                lambda j: launch.load(memory.nodes, j, here),
                memory.rounds,
                rounds.initial(),
                bytes_,
                jnp.bool_(True),
                interpret,
            )
            launch.sync(interpret)  # All have read before any writes.
            first = target + i * np.int32(_PAIRS)
            for k, word in enumerate(words):
                launch.store(out, word, k, pl.ds(at + i * np.int32(LANES), LANES))
                put_nodes(memory.nodes, k, first, word)
            return carry

        launch.sync(interpret)
        tiles = lax.max(np.int32(1), lax.shift_right_logical(pairs, np.int32(7)))
        lax.fori_loop(np.int32(0), tiles, tile, np.int32(0))
        launch.sync(interpret)
        single = pairs == np.int32(1)
        following = lax.select(single, phase + np.int32(1), phase)
        after = at + pairs
        if channel:
            words = tuple(memory.nodes[2 * k, target] for k in range(DIGEST_WORDS))
            again = is_draw & rejected(words)
            following = lax.select(again, phase, following)
            after = lax.select(again, at, after)

            @pl.when(single)
            def _() -> None:
                launch.sync(interpret)  # All have read before any writes.
                _prepare(memory, target, phase, words, n_draws, draws)

        return (
            following,
            lax.max(np.int32(1), lax.shift_right_logical(pairs, np.int32(1))),
            after,
            jnp.int32(target),
            n_draws + is_draw.astype(np.uint32),
        )

    start = (jnp.int32(0), jnp.int32(pairs), jnp.int32(offset), jnp.int32(source), jnp.uint32(0))
    return lax.while_loop(going, step, start)[2]


def _prepare(
    memory: Memory, column: Any, phase: Array, words: Any, n_draws: Array, draws: int
) -> None:
    """The next pair: digest and root for a mix, digest and counter for a draw.

    What was hashed is also stored as the elements of a draw; what was none, or was rejected, is
    written over.
    """
    mixed = phase == _MIX
    root = phase == _LEVEL
    place: Any = 0
    if draws > 1:
        place = lax.max(phase - _DRAW, np.int32(0)) * np.int32(DIGEST_WORDS)
    for k, word in enumerate(words):
        left = lax.select(mixed, word, memory.digest[k])
        counter = np.uint32(0)
        if k == 0:
            counter = lax.select(mixed, counter, n_draws + np.uint32(1))
        memory.digest[k] = left
        memory.drawn[place + k] = m31.canonical(word)
        memory.nodes[2 * k, column] = left
        memory.nodes[2 * k + 1, column] = lax.select(root, word, counter)


class Climbed(NamedTuple):
    """Arrays of ``climb_from``.

    Attributes:
      layers: the layers above the given one, lowest first, uint32 ``[8, n]``.
      digest: uint32 ``[8]`` after the mix of the root; None without a channel, as ``drawn``.
      drawn: uint32 ``[8 draws]``, canonical.
    """

    layers: tuple[Array, ...]
    digest: Array | None = None
    drawn: Array | None = None


def fill(source: Ref, nodes: Ref, count: int) -> None:
    """Load a layer, uint32 ``[8, count]``, in tiles of 128 nodes."""

    def tile(i: Any, carry: Array) -> Array:
        here = pl.ds(i * np.int32(LANES), LANES)
        words = [launch.load(source, k, here) for k in range(DIGEST_WORDS)]
        for k, word in enumerate(words):
            put_nodes(nodes, k, i * np.int32(_PAIRS), word)
        return carry

    repeat(max(1, count // LANES), tile)


def repeat(count: Any, step: Callable[[Any, Any], Any]) -> None:
    """``step`` for 0 .. count - 1, in a loop, so that its body is compiled once."""
    lax.fori_loop(np.int32(0), np.int32(count), step, np.int32(0))


# Traced and lowered once for all trees of a proof with the same top.
@partial(jax.jit, static_argnames=("draws", "first_bytes", "interpret"))
def climb_from(
    children: Array,
    digest: Array | None = None,
    *,
    draws: int = 1,
    first_bytes: int = BLOCK_BYTES,
    interpret: bool = False,
) -> Climbed:
    """All layers above ``children``, uint32 ``[8, n]``, and with a digest the step of the channel.

    n is a power of two, at least 2. ``draws`` and ``first_bytes`` as in ``climb``.
    """
    count = children.shape[1]
    if count < LANES:
        children = jnp.pad(children, ((0, 0), (0, LANES - count)))
    channel = digest is not None
    inputs = [rounds.PAIRED, children, *([digest] if channel else [])]
    # Behind the root: 128 nodes are stored at a time, also those of a mix and of draws.
    out = [jax.ShapeDtypeStruct((DIGEST_WORDS, count + LANES + 1 + draws), np.uint32)]
    if channel:
        out += [jax.ShapeDtypeStruct((DIGEST_WORDS * n,), np.uint32) for n in (1, draws)]

    def body(point: Any, places: Ref, source: Ref, *refs: Ref) -> None:
        del point
        outs = refs[1 if channel else 0 : -2]
        drawn = outs[2] if channel else None
        memory = Memory(refs[-2], refs[-1], drawn, Rounds.of(places, rounds.PAIRED))
        fill(source, memory.nodes, count)
        if channel:
            put(memory.digest, get(refs[0]))
        climb(
            memory,
            outs[0],
            jnp.int32(count // 2),
            jnp.int32(0),
            channel=channel,
            draws=draws,
            first_bytes=first_bytes,
            interpret=interpret,
        )
        if channel:
            launch.sync(interpret)
            put(outs[1], get(memory.digest))

    run = launch.launch(
        body,
        out,
        grid=(1,),
        scratch=(node_pairs(max(LANES, count // 2)), launch.shared((DIGEST_WORDS,))),
        barriers=False,
        interpret=interpret,
    )
    nodes, *step = run(*inputs)
    return Climbed(tuple(split_levels(nodes, count // 2)), *step)


def split_levels(nodes: Array, count: int, start: int = 0) -> list[Array]:
    """Levels of ``count`` nodes, of half as many and so on, one after the other in ``nodes``."""
    out = []
    while count:
        out.append(nodes[:, start : start + count])
        start, count = start + count, count // 2
    return out
