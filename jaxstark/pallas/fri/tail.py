"""The last FRI layers in one launch of one block: trees, channel and folds.

Layers that one block commits to as fast as many blocks are not worth launches of their own. Values
lie in shared memory four to a column, which is a leaf of 16 words: in the layout of the pairs of
nodes in ``blake2s.top``, where the leaf hash is one more level. A fold is a level, too: it makes
two values of the four in a column, the place of a node. Source: protocol sections 4, 5, 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import lazy, qm31
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import rounds, top
from jaxstark.pallas.blake2s.rounds import Rounds
from jaxstark.pallas.channel.mosaic_gpu import get, put
from jaxstark.pallas.fri.mosaic_gpu import halve
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

_PACK = BLOCK_WORDS // DEGREE  # values in a leaf
_PAIRS = LANES // 2


class Tail(NamedTuple):
    """The commit phase from some layer on.

    Attributes:
      values: per layer uint32 ``[4, N]``, then those of the last layer, which has no tree.
      levels: per layer the levels of its tree, root first.
      digest: of the channel after the last draw, uint32 ``[8]``.
    """

    values: tuple[Array, ...]
    levels: tuple[tuple[Array, ...], ...]
    digest: Array


def shared_bytes(size: int) -> int:
    """Shared memory for a first layer of so many values."""
    return 4 * BLOCK_WORDS * sum(_columns(size))


def _columns(size: int) -> tuple[int, int]:
    """Columns of the two halves of the memory: of values, and of nodes or folded values."""
    return max(LANES, size // _PACK), max(LANES, size // (2 * _PACK))


def tail(
    values: Array, table: Array, digest: Array, steps: Sequence[int], *, interpret: bool = False
) -> Tail:
    """All layers from ``values`` on, folded by ``steps``; see ``api.tail``."""
    size = values.shape[1]
    first, _ = _columns(size)
    sizes = [size >> sum(steps[:i]) for i in range(len(steps) + 1)]
    starts = np.cumsum([0, *(s // _PACK for s in sizes[1:-1])]).tolist()
    if size < _PACK * LANES:
        values = jnp.pad(values, ((0, 0), (0, _PACK * LANES - size)))
    if table.shape[0] < _PACK * LANES:
        table = jnp.pad(table, (0, _PACK * LANES - table.shape[0]))

    def body(point: Any, places: Ref, source: Ref, twiddles: Ref, state: Ref, *refs: Ref) -> None:
        del point
        nodes_out, values_out, digest_out, nodes, channel, drawn = refs
        memory = top.Memory(nodes, channel, drawn, Rounds.of(places, rounds.PAIRED))
        _load(source, nodes, max(1, size // (_PACK * LANES)))
        put(memory.digest, get(state))

        def layer(i: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            size, base, node, column = carry
            leaves = lax.shift_right_logical(size, np.int32(2))
            after = top.climb(
                memory,
                nodes_out,
                leaves,
                node,
                source=base,
                target=np.int32(first) - base,
                channel=True,
                interpret=interpret,
            )
            launch.sync(interpret)
            challenge = QM31(*(launch.uniform(memory.drawn[k]) for k in range(DEGREE)))
            step = _choose(i, steps)

            def fold(r: Array, carry: tuple[Array, Array, QM31]) -> tuple[Array, Array, QM31]:
                del r
                size, base, alpha = carry
                _fold(memory.nodes, twiddles, size, base, np.int32(first) - base, alpha)
                launch.sync(interpret)
                alpha = qm31.sq(alpha)
                return lax.shift_right_logical(size, np.int32(1)), np.int32(first) - base, alpha

            size, base, _ = lax.fori_loop(np.int32(0), step, fold, (size, base, challenge))
            _store(memory.nodes, base, values_out, column, size)
            columns = lax.max(np.int32(1), lax.shift_right_logical(size, np.int32(2)))
            return size, base, after, column + columns

        zero = jnp.int32(0)
        begin = (jnp.int32(size), zero, zero, zero)
        lax.fori_loop(np.int32(0), np.int32(len(steps)), layer, begin)
        launch.sync(interpret)
        put(digest_out, get(memory.digest))

    # Of a layer: all nodes, the mix and the draw.
    hashes = [2 * (s // _PACK) - 1 + 2 for s in sizes[:-1]]
    out = [
        jax.ShapeDtypeStruct((DIGEST_WORDS, sum(hashes) + LANES), np.uint32),
        jax.ShapeDtypeStruct(
            (DEGREE, starts[-1] + max(1, sizes[-1] // _PACK) + LANES, _PACK), np.uint32
        ),
        jax.ShapeDtypeStruct((DIGEST_WORDS,), np.uint32),
    ]
    scratch = top.scratch(sum(_columns(size)))
    run = launch.launch(body, out, grid=(1,), scratch=scratch, barriers=False, interpret=interpret)
    inputs = values.reshape(DEGREE, -1, _PACK), table.reshape(-1, 2), digest
    nodes, folded, digest = run(rounds.PAIRED, *inputs)
    flat = folded.reshape(DEGREE, -1)
    at = [_PACK * start for start in starts]
    parts = [flat[:, a : a + s] for a, s in zip(at, sizes[1:], strict=True)]
    levels, start = [], 0
    for size_, count in zip(sizes[:-1], hashes, strict=True):
        levels.append(tuple(top.split_levels(nodes, size_ // _PACK, start)[::-1]))
        start += count
    return Tail((values[:, :size], *parts), tuple(levels), digest)


def _choose(i: Array, numbers: Sequence[int]) -> Array:
    """``numbers[i]`` as an int32 scalar."""
    out = jnp.int32(numbers[0])
    for k, number in enumerate(numbers):
        if number != numbers[0]:
            out = lax.select(i == np.int32(k), np.int32(number), out)
    return out


def _row(j: Any) -> Any:
    """The row of word j of a leaf."""
    return 2 * (j & 7) + (j >> 3)


def _load(source: Ref, nodes: Ref, tiles: int) -> None:
    """Values ``[4, columns, 4]`` into columns."""

    def tile(i: Any, carry: Array) -> Array:
        here = pl.ds(i * np.int32(LANES), LANES)
        words = [launch.load(source, j % DEGREE, here, j // DEGREE) for j in range(BLOCK_WORDS)]
        for j, word in enumerate(words):
            launch.store(nodes, word, _row(j), here)
        return carry

    top.repeat(tiles, tile)


def _store(nodes: Ref, base: Array, out: Ref, column: Array, size: Array) -> None:
    """Columns of values to ``out``, from ``column`` on; 128 at least, the last ones of no use."""

    def tile(i: Any, carry: Array) -> Array:
        shift = i * np.int32(LANES)

        def word(j: Any, carry: Array) -> Array:
            value = launch.load(nodes, _row(j), pl.ds(base + shift, LANES))
            launch.store(out, value, j & 3, pl.ds(column + shift, LANES), j >> 2)
            return carry

        lax.fori_loop(np.int32(0), np.int32(BLOCK_WORDS), word, np.int32(0))
        return carry

    tiles = lax.max(np.int32(1), lax.shift_right_logical(size, np.int32(9)))
    lax.fori_loop(np.int32(0), tiles, tile, np.int32(0))


def _fold(nodes: Ref, table: Ref, size: Array, base: Array, target: Array, alpha: QM31) -> None:
    """Halve ``size`` values, at least 4, in the columns from ``base`` on."""
    rows = lazy.factor(alpha)
    # Of entry size / 2 + 2 i + side for the pair of values 2 side and 2 side + 1 in column i.
    entry = lax.shift_right_logical(size, np.int32(2))

    def half(step: Any, carry: Array) -> Array:
        tile, side = step >> 1, step & 1
        here = pl.ds(base + tile * np.int32(LANES), LANES)
        left, right = (
            QM31(*(launch.load(nodes, 2 * (first + k) + side, here) for k in range(DEGREE)))
            for first in (0, DEGREE)
        )
        inverse = launch.load(table, pl.ds(entry + tile * np.int32(LANES), LANES), side)
        for k, word in enumerate(halve(left, right, inverse, rows)):
            top.put_nodes(nodes, DEGREE * side + k, target + tile * np.int32(_PAIRS), word)
        return carry

    tiles = lax.max(np.int32(1), lax.shift_right_logical(size, np.int32(9)))
    lax.fori_loop(np.int32(0), 2 * tiles, half, np.int32(0))
