"""A pass over more layers than a thread has words for: threads exchange them in between.

A block has all ``2^n`` vectors of ``width`` contiguous words that n layers connect; ``rows`` below.
With ``q = log2(128 / width)``, a thread sees them in one of two views: the *upper* view holds the
n - q high bits of the row number in words of a thread and the q low bits in lanes, the *lower* view
the n - q low bits in words and the q high bits in lanes. Both put vectors into neighbouring lanes.

Both views meet in one shared memory. It is padded by a vector behind the rows of every value of the
q high bits, so that no two threads of a warp meet in a bank.

Source: Circle STARK paper section 4, protocol section 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.fft import butterflies
from jaxstark.pallas.fft.config import LAYER_CODE, UPWARDS_CODE
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any

_WARPS = 4


class Exchanged(NamedTuple):
    """A pass over the layers ``low..high-1``.

    Attributes:
      low: lowest layer.
      high: end of the layers.
      width: words of a vector, 8, 16 or 32. At least ``2 log2(128 / width)`` layers.
    """

    low: int
    high: int
    width: int


def exchange_pass(
    x: Array,
    table: Array,
    plan: Exchanged,
    *,
    log_size: int,
    inverse: bool,
    canonical: bool = False,
    halves: bool = False,
    interpret: bool = False,
) -> Steps[Array]:
    """Layers ``plan.low..plan.high-1``, downwards or, of the inverse, upwards.

    Arguments and result are those of ``mosaic_gpu.strided_pass``.
    """
    columns, size = x.shape
    low, high, width = plan
    rows, blocks = 1 << (high - low), 1 << (log_size - high)
    repeat = size < 1 << log_size
    views = Views(rows, width)
    ends = {_UPPER: (low + views.log_lanes, high), _LOWER: (low, low + views.log_lanes)}
    order = (_LOWER, _UPPER) if inverse else (_UPPER, _LOWER)

    def body(point: Any, source: Ref, *refs: Ref) -> None:
        *tables, out, memory = refs
        # Blocks that read the same words run at the same time.
        c, s, a = point if repeat else (point[0], point[2], point[1])
        here = pl.ds(s * width, width)

        def load_twiddles(view: int) -> tuple[dict[int, Array], Array | None]:
            first, end = ends[view]
            layers = range(first, end) if inverse else reversed(range(first, end))
            words = {t: views.twiddles(tables, blocks + a, view, t - low) for t in layers}
            scaled = inverse and end == log_size
            return words, views.spread(tables[0], pl.ds(0, 1), view) if scaled else None

        def layers(words: Array, view: int, factors: tuple[dict[int, Array], Any]) -> Array:
            first, end = ends[view]
            return butterflies.layers(
                words, factors[0].__getitem__, first, end, first, inverse, factors[1]
            )

        before, after = order
        words = views.load(source, before, c, 0 if repeat else a, here)
        factors = load_twiddles(before)
        if canonical:
            words = butterflies.reduced(words)
        words = layers(words, before, factors)
        views.put(memory, words, before)
        # Loads that the barrier would hold up.
        factors = load_twiddles(after)
        launch.sync(interpret)
        words = layers(views.get(memory, after), after, factors)
        if halves:
            for half in range(2):
                part = words[half * views.words // 2 : (half + 1) * views.words // 2]
                views.store(out, part, after, half, c, here)
        else:
            views.store(out, words, after, c, a, here)

    chunks = (1 << low) // width
    grid = (columns, chunks, blocks) if repeat else (columns, blocks, chunks)
    shape = columns, blocks, *views.shape(order[1])
    if halves:  # the highest bit is one of the words of a thread
        shape = 2, columns, views.words // 2, views.lanes
    out = jax.ShapeDtypeStruct((*shape, 1 << low), np.uint32)
    source = x.reshape(columns, -1, *views.shape(order[0]), 1 << low)
    inputs = source, *views.tables(table)
    code = (UPWARDS_CODE if inverse else LAYER_CODE) * (high - low)
    (words,) = yield Kernel(body, (out,), grid, (views.memory,), inputs, code)
    return words.reshape(2 * columns if halves else columns, -1)


_UPPER, _LOWER = 0, 1


class Views(NamedTuple):
    """Where the words of a block are."""

    rows: int
    width: int

    @property
    def lanes(self) -> int:
        """Vectors in the lanes."""
        return LANES // self.width

    @property
    def log_lanes(self) -> int:
        """Bits of a vector's number in the lanes, q above."""
        return self.lanes.bit_length() - 1

    @property
    def words(self) -> int:
        """Words of a thread."""
        return self.rows // self.lanes

    @property
    def _high(self) -> tuple[int, ...]:
        """The q high bits in the lower view: warps, and lanes of a warp."""
        # A layout has no axes of size 1.
        return (_WARPS, self.lanes // _WARPS) if self.lanes > _WARPS else (_WARPS,)

    def shape(self, view: int) -> tuple[int, ...]:
        """The rows of a block in global memory: high bits, then low bits."""
        return (self.words, self.lanes) if view == _UPPER else (*self._high, self.words)

    def _of_lanes(self, view: int) -> tuple[int, ...]:
        return (self.lanes, self.width) if view == _UPPER else (*self._high, self.width)

    def _layout(self, view: int) -> Any:
        return launch.stack(*self._of_lanes(view))

    def _axes(self, view: int, count: int) -> tuple[int, ...]:
        """The order in which the words of a thread are the first of so many axes."""
        high = 0 if view == _UPPER else len(self._high)
        return (high, *(axis for axis in range(count) if axis != high))

    def load(self, source: Ref, view: int, c: Array, a: Any, here: Any) -> Array:
        """``[words, *lanes]`` of column c and block a in global memory; ``here``: words of rows."""
        shape = self.shape(view)
        index = c, a, *[slice(None)] * len(shape), here
        return launch.load_stack(
            source, self._layout(view), *index, axes=self._axes(view, len(shape) + 1)
        )

    def store(self, out: Ref, words: Array, view: int, c: Any, a: Any, here: Any) -> None:
        """The inverse of ``load``."""
        shape = self.shape(view)
        index = c, a, *[slice(None)] * len(shape), here
        launch.store_stack(out, words, *index, axes=self._axes(view, len(shape) + 1))

    @property
    def memory(self) -> tuple[int, ...]:
        """The shape of the shared memory of a block."""
        return (*self._high, self.words + 1, self.width)

    def get(self, memory: Ref, view: int) -> Array:
        """``[words, *lanes]`` from shared memory."""
        high, lanes = [slice(None)] * len(self._high), self._of_lanes(view)
        if view == _LOWER:
            index = *high, pl.ds(0, self.words), slice(None)
            axes = self._axes(view, len(index))
            return launch.load_stack(memory, self._layout(view), *index, axes=axes)
        parts = [
            launch.load_stack(memory, self._layout(view), *high, here, slice(None))
            for here in self._middles()
        ]
        parts = [lax.reshape(part, (self.lanes, 1, *lanes)) for part in parts]
        return lax.reshape(lax.concatenate(parts, 1), (self.words, *lanes))

    def put(self, memory: Ref, words: Array, view: int) -> None:
        """The inverse of ``get``."""
        high, lanes = [slice(None)] * len(self._high), self._of_lanes(view)
        if view == _LOWER:
            index = *high, pl.ds(0, self.words), slice(None)
            launch.store_stack(memory, words, *index, axes=self._axes(view, len(index)))
            return
        middles = self._middles()
        words = lax.reshape(words, (self.lanes, len(middles), *lanes))
        for i, here in enumerate(middles):
            part = butterflies.part(words, 1, i, 1, (*self._high, *lanes))
            launch.store_stack(memory, part, *high, here, slice(None))

    def _middles(self) -> list[Any]:
        """Rows of each value of the bits that are words of a thread in both views."""
        return [pl.ds(i * self.lanes, self.lanes) for i in range(self.words // self.lanes)]

    def tables(self, table: Array) -> list[Array]:
        """A table of twiddles, and as the lower view reads it for each of its layers."""
        counts = [self.words >> (1 + j) for j in range(self.log_lanes)]
        return [table, *(table.reshape(-1, *self._high, count) for count in counts)]

    def twiddles(self, tables: Any, node: Array, view: int, j: int) -> Array:
        """Twiddles of layer ``low + j``, ``[blocks, *lanes]`` for the blocks of a thread's words.

        ``node``: the entry of the heap above which the layers of the block lie.
        """
        if view == _UPPER:
            count = self.rows >> (1 + j)
            return self.spread(tables[0], pl.ds(node * count, count), view)
        whole = [slice(None)] * (len(self._high) + 1)
        return launch.spread_stack(
            tables[1 + j],
            self._of_lanes(view),
            self._layout(view),
            *(node, *whole),
            axes=self._axes(view, len(whole)),
        )

    def spread(self, table: Ref, here: Any, view: int) -> Array:
        """Entries of a table, each the same in all lanes."""
        return launch.spread_stack(table, self._of_lanes(view), self._layout(view), here)
