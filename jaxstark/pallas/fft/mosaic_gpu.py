"""Passes of the circle FFT, each one kernel that reads and writes every word once.

A pass does a range of layers; layer t pairs words ``2^t`` apart, within blocks of ``2^(t+1)``
words that share one twiddle. Twiddles are in the heap layout of ``jaxstark.twiddles``.

* ``strided_pass``, distances of at least a tile: vectors of contiguous words, butterflies between
  vectors, twiddles that are uniform in a block of the grid.
* ``tile_pass``, distances within a tile of 2^11 words: butterflies between the words of a thread
  in one of three views of the tile, see ``tile_views``.

Source: Circle STARK paper section 4, protocol section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import m31
from jaxstark.pallas import launch
from jaxstark.pallas.fft import tile_views
from jaxstark.pallas.fft.config import TILE_LOG
from jaxstark.pallas.fft.tile_views import WORDS
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
# (layer, block among the words of a thread) -> twice the twiddle
Twiddles = Callable[[int, int], Array]


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
    interpret: bool = False,
) -> Array:
    """Layers ``plan.low..plan.high-1``, downwards or, of the inverse, upwards.

    Args:
      x: uint32 ``[c, 2^log_size]``, or ``[c, 2^high]``, to be repeated to that size.
      table: uint32 ``[2^log_size]``. Entry 0 scales the last layer of an inverse.
      plan: layers, and lanes that divide ``2^low``.
      log_size: log size of the transform.
      inverse: whether to interpolate.
      canonical: whether to reduce the words of ``x``, where p may stand for 0.
      interpret: run on a CPU.

    Returns:
      uint32 ``[c, 2^log_size]``.
    """
    columns, size = x.shape
    low, high, lanes = plan
    radix, blocks = 1 << (high - low), 1 << (log_size - high)
    repeat = size < 1 << log_size

    def body(point: Any, source: Ref, factors: Ref, out: Ref) -> None:
        # Blocks that read the same words run at the same time.
        c, s, a = point if repeat else (point[0], point[2], point[1])
        here = pl.ds(s * lanes, lanes)
        words = [launch.load(source, c, 0 if repeat else a, i, here) for i in range(radix)]
        if canonical:
            words = _reduced(words)

        def twiddle(t: int, block: int) -> Array:
            index = ((blocks + a) << (high - 1 - t)) + block
            return tile_views.doubled(tile_views.uniform(factors, index, (lanes,)))

        scale = tile_views.uniform(factors, 0, (lanes,)) if inverse and high == log_size else None
        _layers(words, twiddle, low, high, low, inverse, scale)
        for i, word in enumerate(words):
            launch.store(out, word, c, a, i, here)

    chunks = (1 << low) // lanes
    grid = (columns, chunks, blocks) if repeat else (columns, blocks, chunks)
    out = jax.ShapeDtypeStruct((columns, blocks, radix, 1 << low), np.uint32)
    # Nothing is read back that was written: no barriers.
    run = launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)
    return run(x.reshape(columns, -1, radix, 1 << low), table).reshape(columns, -1)


class Tile(NamedTuple):
    """A pass over the layers ``0..layers-1``, at most ``TILE_LOG``.

    Attributes:
      layers: number of layers.
      column_log: log size of a column of the result. A tile holds several columns, or a column
        consists of several tiles.
      block_columns: tiles that a block does one after the other, of different columns.
      resident: whether a block keeps its twiddles in registers meanwhile.
    """

    layers: int
    column_log: int
    block_columns: int = 1
    resident: bool = True


def tile_pass(
    x: Array,
    table: Array,
    plan: Tile,
    *,
    inverse: bool,
    canonical: bool = False,
    interpret: bool = False,
) -> Array:
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

    def body(point: Any, source: Ref, *refs: Ref) -> None:
        *tables, out, upper, middle, lower = refs
        tile, group = point
        ranges = [(i, min(4 * i + 4, plan.layers)) for i in range(3)]
        views = [
            tile_views.Twiddles(tables, tiles + tile, i, end, plan.resident) for i, end in ranges
        ]

        def layers(words: list[Array], i: int) -> list[Array]:
            low, end, bit = 4 * i, ranges[i][1], (0, 4, 7)[i]
            last = scaled and low < plan.layers <= low + 4
            scale = tile_views.uniform(tables[0], 0, words[0].shape) if last else None
            _layers(words, views[i], low, end, bit, inverse, scale)
            return words

        def transform(row: Array) -> None:
            if repeat:
                parts = size // LANES
                columns = [row * packed + (i * LANES >> plan.column_log) for i in range(WORDS)]
                words = [launch.load(source, columns[i], i % parts) for i in range(WORDS)]
            else:
                words = [launch.load(source, row, tile * WORDS + i) for i in range(WORDS)]
            if canonical:
                words = _reduced(words)
            if inverse:
                tile_views.put_flat(lower, words)
                launch.sync()
                tile_views.put_lower(middle, layers(tile_views.get_lower_rows(lower), 0))
                launch.sync()
                tile_views.put_middle(upper, layers(tile_views.get_middle_padded(middle), 1))
                launch.sync()
                words = layers(tile_views.get_upper(upper), 2)
            else:
                tile_views.put_upper(upper, layers(words, 2))
                launch.sync()
                tile_views.put_middle_padded(middle, layers(tile_views.get_middle(upper), 1))
                launch.sync()
                tile_views.put_lower_rows(lower, layers(tile_views.get_lower(middle), 0))
                launch.sync()
                words = tile_views.get_flat(lower)
            for i, word in enumerate(words):
                launch.store(out, word, row, tile * WORDS + i)

        if plan.block_columns == 1:
            transform(group)
            return

        def step(i: Array, carry: Array) -> Array:
            # No barrier is missing: before a step writes to one of the three memories, all
            # threads passed a barrier behind their reads from it in the step before.
            transform(group * plan.block_columns + i)
            return carry

        count = jnp.minimum(rows - group * plan.block_columns, plan.block_columns)
        lax.fori_loop(np.int32(0), count, step, np.int32(0))

    out = jax.ShapeDtypeStruct((rows, (1 << log_size) // LANES, LANES), np.uint32)
    run = launch.launch(
        body,
        out,
        grid=(tiles, -(-rows // plan.block_columns)),
        scratch=tile_views.memories(),
        barriers=False,
        interpret=interpret,
    )
    source = x.reshape(columns if repeat else rows, -1, LANES)
    tables = [table.reshape(-1, 1 << i) if i else table for i in range(4)]
    return run(source, *tables).reshape(columns, -1)


def tile_table(table: Array, column_log: int) -> Array:
    """Twiddles of a tile that holds several columns: those of a column over and over."""
    copies = 1 << (TILE_LOG - column_log)
    if copies == 1:
        return table
    levels = [jnp.tile(table[1 << i : 2 << i], copies) for i in range(column_log)]
    return jnp.concatenate([table[:1], jnp.zeros(copies - 1, np.uint32), *levels])


def _layers(
    words: list[Array],
    twiddle: Twiddles,
    low: int,
    high: int,
    first_bit: int,
    inverse: bool,
    scale: Array | None,
) -> None:
    """The layers ``low..high-1`` between the words of a thread, in place.

    Bit 0 of the index among the words is bit ``first_bit`` of the position. The results of the
    last layer of an inverse are multiplied by ``scale``.
    """
    for t in range(low, high) if inverse else reversed(range(low, high)):
        distance = 1 << (t - first_bit)
        for block in range(len(words) // (2 * distance)):
            factor = twiddle(t, block)
            last = scale is not None and t == high - 1
            if last:
                factor = tile_views.doubled(m31.mul_doubled(factor, scale))
            for i in range(2 * distance * block, 2 * distance * block + distance):
                a, b = words[i], words[i + distance]
                if inverse:
                    total = m31.add(a, b)
                    words[i] = m31.mul_doubled(tile_views.doubled(scale), total) if last else total
                    words[i + distance] = m31.mul_doubled(factor, m31.sub(a, b))
                else:
                    product = m31.mul_doubled(factor, b)
                    words[i], words[i + distance] = m31.add(a, product), m31.sub(a, product)


def _reduced(words: list[Array]) -> list[Array]:
    """Canonical words, where p stood for 0."""
    return [m31.add(word, 0) for word in words]
