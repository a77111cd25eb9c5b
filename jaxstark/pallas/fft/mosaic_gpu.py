"""Passes of the circle FFT, each one kernel that reads and writes every word once.

A pass does a range of layers; layer t pairs words ``2^t`` apart, within blocks of ``2^(t+1)``
words that share one twiddle. Twiddles are in the heap layout of ``jaxstark.twiddles``.

* ``strided_pass``, distances of at least a tile: vectors of contiguous words, butterflies between
  vectors, twiddles that are uniform in a block of the grid. For more layers than a thread has words
  for, ``exchange.exchange_pass`` does the same.
* ``tile_pass``, distances within a tile of 2^12 words: butterflies between the words of a thread
  in one of three views of the tile, see ``tile_views``.

Where it saves a pass, an interpolation starts with ``rows.rows_pass`` instead, from row order.

Source: Circle STARK paper section 4, protocol section 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.fft import butterflies, tile_views
from jaxstark.pallas.fft.config import LAYER_CODE, TILE_LOG
from jaxstark.pallas.fft.tile_views import FIRST, LOWER, MIDDLE, SHAPE, UPPER, WORDS
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any


class Strided(NamedTuple):
    """A pass over the layers ``low..high-1``, and the words in its vectors."""

    low: int
    high: int
    lanes: int


def strided_pass(
    x: Array,
    table: Array,
    plan: Strided,
    *,
    log_size: int,
    inverse: bool,
    canonical: bool = False,
    halves: bool = False,
) -> Steps[Array]:
    """Layers ``plan.low..plan.high-1``, downwards or, of the inverse, upwards.

    Args:
      x: uint32 ``[c, 2^log_size]``, or ``[c, 2^high]``, to be repeated to that size.
      table: uint32 ``[2^log_size]``. Entry 0 scales the last layer of an inverse.
      plan: layers, and lanes that divide ``2^low``.
      log_size: log size of the transform.
      inverse: whether to interpolate.
      canonical: whether to reduce the words of ``x``, where p may stand for 0.
      halves: whether to put the left halves of all columns before the right ones, in a pass up to
        the last layer.

    Returns:
      uint32 ``[c, 2^log_size]``, or ``[2 c, 2^(log_size-1)]``.
    """
    columns, size = x.shape
    low, high, lanes = plan
    radix, blocks = 1 << (high - low), 1 << (log_size - high)
    repeat = size < 1 << log_size
    own = launch.stack(lanes, vector=lanes // LANES)

    def body(point: Any, source: Ref, factors: Ref, out: Ref) -> None:
        # Blocks that read the same words run at the same time.
        c, s, a = point if repeat else (point[0], point[2], point[1])
        here = pl.ds(s * lanes, lanes)
        words = launch.load_stack(source, own, c, 0 if repeat else a, slice(None), here)
        if canonical:
            words = butterflies.reduced(words)

        def twiddles(t: int) -> Array:
            count = 1 << (high - 1 - t)
            first = (blocks + a) * count
            return launch.spread_stack(factors, (lanes,), own, pl.ds(first, count))

        scale = None
        if inverse and high == log_size:
            scale = launch.spread_stack(factors, (lanes,), own, pl.ds(0, 1))
        words = butterflies.layers(words, twiddles, low, high, low, inverse, scale)
        if halves:
            for half in range(2):
                rows = words[half * radix // 2 : (half + 1) * radix // 2]
                launch.store_stack(out, rows, half, c, slice(None), here)
        else:
            launch.store_stack(out, words, c, a, slice(None), here)

    chunks = (1 << low) // lanes
    grid = (columns, chunks, blocks) if repeat else (columns, blocks, chunks)
    shape = (2, columns, radix // 2) if halves else (columns, blocks, radix)
    out = jax.ShapeDtypeStruct((*shape, 1 << low), np.uint32)
    source = x.reshape(columns, -1, radix, 1 << low)
    (words,) = yield Kernel(body, (out,), grid, (), (source, table), LAYER_CODE * (high - low))
    return words.reshape(2 * columns if halves else columns, -1)


class Tile(NamedTuple):
    """A pass over the layers ``0..layers-1``, at most ``TILE_LOG``.

    Attributes:
      layers: number of layers.
      column_log: log size of a column of the result. A tile holds several columns, or a column
        consists of several tiles.
      block_columns: tiles that a block does one after the other, of different columns.
    """

    layers: int
    column_log: int
    block_columns: int = 1


def tile_pass(
    x: Array,
    table: Array,
    plan: Tile,
    *,
    inverse: bool,
    canonical: bool = False,
    interpret: bool = False,
) -> Steps[Array]:
    """Layers ``0..plan.layers-1``, downwards or, of the inverse, upwards.

    Args:
      x: uint32 ``[c, 2^column_log]``, or columns of at most a tile to be repeated to that size; c
        columns fill whole tiles.
      table: uint32 ``[2^max(column_log, TILE_LOG)]``, see ``tile_table``. Entry 0 scales the last
        layer of an inverse.
      plan: see ``Tile``.
      inverse: whether to interpolate.
      canonical: whether to reduce the words of ``x``, where p may stand for 0.
      interpret: run on a CPU.

    Returns:
      uint32 ``[c, 2^column_log]``.
    """
    columns, size = x.shape
    log_size = max(plan.column_log, TILE_LOG)
    packed = 1 << (log_size - plan.column_log)
    rows, tiles = columns // packed, 1 << (log_size - TILE_LOG)
    repeat = size < 1 << plan.column_log
    scaled = inverse and plan.layers == plan.column_log
    views = (LOWER, MIDDLE, UPPER) if inverse else (UPPER, MIDDLE, LOWER)

    def body(point: Any, source: Ref, *refs: Ref) -> None:
        *tables, out, memory = refs
        tile, group = point
        ends = [min(end, plan.layers) for end in FIRST[1:]]

        def load_twiddles(view: int) -> tuple[dict[int, Array], Array | None]:
            low, end = FIRST[view], ends[view]
            order = range(low, end) if inverse else reversed(range(low, end))
            words = {t: tile_views.twiddles(tables, tiles + tile, view, t) for t in order}
            last = scaled and low < plan.layers == end
            return words, tile_views.scale(tables, view) if last else None

        def layers(words: Array, view: int, factors: tuple[dict[int, Array], Any]) -> Array:
            low, (table, scale) = FIRST[view], factors
            return butterflies.layers(words, table.get, low, ends[view], low, inverse, scale)

        def read(row: Array) -> Array:
            if not repeat:
                return tile_views.get(source, views[0], row * tiles + tile)
            here = pl.ds(row * packed, packed)
            whole = slice(None)
            words = launch.load_stack(source, tile_views.layout(UPPER), here, whole, whole, whole)
            # Each column over and over.
            words = lax.reshape(words, (packed, 1, *words.shape[1:]))
            words = lax.concatenate([words] * (WORDS // (packed * words.shape[2])), 1)
            return lax.reshape(words, (WORDS, *words.shape[3:]))

        def transform(row: Array) -> None:
            words = read(row)
            factors = load_twiddles(views[0])
            if canonical:
                words = butterflies.reduced(words)
            for view, following in zip(views[:-1], views[1:], strict=True):
                words = layers(words, view, factors)
                tile_views.put(memory, words, view)
                # Loads that the barrier would hold up.
                factors = load_twiddles(following)
                launch.sync(interpret)
                words = tile_views.get(memory, following)
            words = layers(words, views[-1], factors)
            tile_views.put(out, words, views[-1], row * tiles + tile)

        if plan.block_columns == 1:
            transform(group)
            return

        def step(i: Array, carry: Array) -> Array:
            transform(group * plan.block_columns + i)
            launch.sync(interpret)  # All have read before any writes.
            return carry

        count = jnp.minimum(rows - group * plan.block_columns, plan.block_columns)
        lax.fori_loop(np.int32(0), count, step, np.int32(0))

    out = jax.ShapeDtypeStruct((rows * tiles, *SHAPE), np.uint32)
    source = x.reshape((columns, -1, *SHAPE[2:]) if repeat else (-1, *SHAPE))
    grid = tiles, -(-rows // plan.block_columns)
    inputs = source, *tile_views.tables(table)
    code = LAYER_CODE * plan.layers
    (words,) = yield Kernel(body, (out,), grid, (tile_views.MEMORY,), inputs, code)
    return words.reshape(columns, -1)


def tile_table(table: Array, column_log: int) -> Array:
    """Twiddles of a tile that holds several columns: those of a column over and over."""
    copies = 1 << (TILE_LOG - column_log)
    if copies == 1:
        return table
    levels = [jnp.tile(table[1 << i : 2 << i], copies) for i in range(column_log)]
    return jnp.concatenate([table[:1], jnp.zeros(copies - 1, np.uint32), *levels])
