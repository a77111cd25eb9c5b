"""The first pass of an interpolation that reads rows, and leaves storage order behind.

With pairs of rows numbered i, storage puts row ``2 i`` into slot ``2 u`` and row ``2 i + 1`` into
slot ``2 v + 1``, where u is i with its k - 1 bits reversed and v the complement of u. Layers
``0..n-1`` connect slots that agree but for their low n bits: a parity, and the n - 1 high bits of
i. A block takes those for all of ``width`` low parts of i, contiguous in the rows, and one part in
between; of odd rows the complements of all.

With ``q = log2(128 / width)``, a thread sees the slots in one of two views:

* of rows: lanes hold the q lowest of the high bits of i, and its low part; words of a thread the
  others and the parity, which are the n - q low bits of the slot.
* of slots: lanes hold the 5 low bits of the slot, contiguous, and 2 bits of the low part.

Odd rows lie end to end in the lanes, see ``launch.load_mirrored``. Both views meet in one shared
memory, rows of the words of a thread by lane of the first view. Rows are padded by a word: no two
threads of a warp meet in a bank.

The twiddles of a thread are far apart in their heap: ``tables`` puts them into the order of lanes.
All columns share them.

Source: Circle STARK paper section 4, protocol section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.circle import bit_reverse
from jaxstark.fields import m31
from jaxstark.pallas import launch
from jaxstark.pallas.fft import butterflies
from jaxstark.pallas.fft.config import ROWS_CODE
from jaxstark.pallas.fft.storage import reverse
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any

_RUN_LOG = 5
_RUN = 1 << _RUN_LOG  # slots in the lanes
_SLOT_LANES = 2, 2, _RUN


class Rows(NamedTuple):
    """A pass over the layers ``0..layers-1`` of columns in row order.

    Attributes:
      log_size: log size of a column, at least layers + log2(width).
      layers: 7 to 10.
      width: low parts of a row number, 8, 16 or 32; ``log2(width) <= layers - 4`` and, with q as
        above, ``layers - q >= 5``.
    """

    log_size: int
    layers: int
    width: int

    @property
    def log_width(self) -> int:
        """Bits of the low part."""
        return self.width.bit_length() - 1

    @property
    def log_lanes(self) -> int:
        """High bits in the lanes, q above."""
        return LANES.bit_length() - 1 - self.log_width

    @property
    def log_words(self) -> int:
        """Layers in the view of rows."""
        return self.layers - self.log_lanes

    @property
    def log_middles(self) -> int:
        """Bits between the high ones and the low part."""
        return self.log_size - self.layers - self.log_width

    @property
    def high(self) -> tuple[int, ...]:
        """Lanes along high bits in the view of rows: warps, and others if there are."""
        return (4, 1 << (self.log_lanes - 2)) if self.log_lanes > 2 else (4,)

    @property
    def lanes(self) -> tuple[int, ...]:
        """Lanes in the view of rows; the two bits in the middle are warps in that of slots."""
        return (*self.high, 2, 2, self.width // 4)


def rows_pass(
    pieces: Sequence[Array], table: Array, plan: Rows, *, interpret: bool = False
) -> Steps[Array]:
    """Storage order, and the inverse layers ``0..plan.layers-1``.

    Args:
      pieces: uint32 ``[c, 2^k]`` in row order, p may stand for 0; columns of the arrays follow
        each other in the result.
      table: uint32 ``[2^k]``, ``fft.inverse_twiddles(k)``.
      plan: see ``Rows``.
      interpret: run on a CPU.

    Returns:
      uint32 ``[columns, 2^k]``.
    """
    pieces = [piece for piece in pieces if len(piece)]
    ends = list(accumulate(map(len, pieces)))
    columns, middles = ends[-1], 1 << plan.log_middles
    words, quarter = 1 << plan.log_words, plan.width // 4
    own, slots = launch.stack(*plan.lanes), launch.stack(*_SLOT_LANES)
    whole = slice(None)

    def own_words(memory: Ref) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """The words of a thread in the view of rows: index and axes."""
        rank = len(plan.lanes)
        return (*[whole] * rank, pl.ds(0, words)), (rank, *range(rank))

    def body(point: Any, *refs: Ref) -> None:
        sources, (first, second, out, memory) = refs[: len(pieces)], refs[len(pieces) :]
        column, half = point[0], point[1] >> 1
        # A part and its complement read the two halves of the same words: neighbours in the grid.
        middle = jnp.where((point[1] & 1) == 0, half, middles - 1 - half)
        target = reverse(middle, plan.log_middles)

        def read(source: Ref, c: Array) -> Array:
            def index(places: Sequence[Any], parity: int) -> tuple[Any, ...]:
                high, low = places[: len(plan.high)], places[len(plan.high) :]
                part = middles - 1 - middle if parity else middle
                return c, whole, *high, part, *low, parity

            even = launch.load_stack(source, own, *index([whole] * len(plan.lanes), 0))
            odd = launch.load_mirrored(
                source, plan.lanes, own, partial(index, parity=1), interpret=interpret
            )
            count = words // 2
            order = [bit_reverse(i, plan.log_words - 1) for i in range(count)]
            return _picked(
                [v for i in order for v in ((even, i), (odd, count - 1 - i))], plan.lanes
            )

        index, axes = own_words(memory)
        if len(pieces) == 1:
            v = read(sources[0], column)
        else:
            for source, begin, end in zip(sources, [0, *ends], ends, strict=False):

                def put(source: Ref = source, begin: int = begin) -> None:
                    v = read(source, column - begin)
                    launch.store_stack(memory, v, *index, axes=axes)

                pl.when((column >= begin) & (column < end))(put)
            launch.sync(interpret)
            v = launch.load_stack(memory, own, *index, axes=axes)
        v = _low_layers(v, launch.load_stack(first, own, target), plan)
        # A thread writes where it read.
        launch.store_stack(memory, v, *index, axes=axes)
        # Loads that the barrier would hold up.
        factors = launch.spread_stack(second, _SLOT_LANES, slots, target)
        launch.sync(interpret)
        v = _high_layers(_slots(memory, plan, slots), factors, plan)
        v = lax.reshape(v, (quarter, 1 << (plan.layers - _RUN_LOG), *_SLOT_LANES))
        where = column, whole, whole, whole, target, whole, whole
        launch.store_stack(out, v, *where, axes=(0, 3, 1, 2, 4))

    shape = columns, quarter, 2, 2, middles, 1 << (plan.layers - _RUN_LOG), _RUN
    out = jax.ShapeDtypeStruct(shape, np.uint32)
    cut = *plan.high, middles, 2, 2, quarter, 2
    sources = [piece.reshape(len(piece), -1, *cut) for piece in pieces]
    inputs = *sources, *tables(table, plan)
    grid, scratch = (columns, middles), ((*plan.lanes, words + 1),)
    code = ROWS_CODE * plan.layers
    (v,) = yield Kernel(body, (out,), grid, scratch, inputs, code)
    return v.reshape(columns, -1)


def tables(table: Array, plan: Rows) -> tuple[Array, Array]:
    """Twiddles of the two views, by the middle part of the slot.

    Returns uint32 ``[middles, n, *lanes]`` of the view of rows, from layer 1, and
    ``[middles, n, 2, 2]`` of that of slots; n words of a thread for all layers, in their order.
    """
    w, q, middles = plan.log_width, plan.log_lanes, 1 << plan.log_middles
    first, second = [], []
    for t in range(1, plan.layers):
        level = table[1 << (plan.log_size - 1 - t) : 1 << (plan.log_size - t)]
        if t < plan.log_words:
            bits = level.reshape(*[2] * w, middles, *[2] * q, -1)
            high, low = range(w + q, w, -1), range(w - 1, -1, -1)
            first.append(bits.transpose(w, w + q + 1, *high, *low).reshape(middles, -1, LANES))
        else:
            parts = level.reshape(plan.width // 4, 4, middles, -1)
            second.append(parts.transpose(2, 0, 3, 1).reshape(middles, -1, 4))
    return (
        jnp.concatenate(first, 1).reshape(middles, -1, *plan.lanes),
        jnp.concatenate(second, 1).reshape(middles, -1, 2, 2),
    )


def _low_layers(words: Array, table: Array, plan: Rows) -> Array:
    """The layers in the view of rows; the twiddles of layer 0 are those of layer 1, x and y."""

    def twiddles(t: int) -> Array:
        count = len(words) >> (max(t, 1) + 1)
        start = (len(words) >> 1) - 2 * count
        own = butterflies.part(table, 0, start, count, (count, *plan.lanes))
        return own if t else _circle_twiddles(own)

    return butterflies.layers(words, twiddles, 0, plan.log_words, 0, True)


def _circle_twiddles(line: Array) -> Array:
    """Twiddles of layer 0, ``[2 n, *lanes]``, from those of layer 1.

    Two neighbours x, y of layer 1 belong to points a quarter turn apart, so that y is also the
    other coordinate of the first one, up to its sign.
    """
    count, *lanes = line.shape
    pairs = lax.reshape(line, (count // 2, 2, *lanes))
    x, y = (butterflies.part(pairs, 1, i, 1, (count // 2, *lanes)) for i in range(2))
    minus = [lax.sub(np.uint32(m31.P), v) for v in (x, y)]
    four = [lax.reshape(v, (count // 2, 1, *lanes)) for v in (y, minus[1], minus[0], x)]
    return lax.reshape(lax.concatenate(four, 1), (2 * count, *lanes))


def _slots(memory: Ref, plan: Rows, layout: Any) -> Array:
    """Words in the view of slots: the 2 bits that are warps apart, low part, then slot."""
    whole, high, quarter = slice(None), len(plan.high), plan.width // 4
    rows = quarter << plan.log_lanes
    runs = []
    for start in range(0, 1 << plan.log_words, _RUN):
        index = *[whole] * len(plan.lanes), pl.ds(start, _RUN)
        axes = high + 2, *range(high), high + 1, high, high + 3
        run = launch.load_stack(memory, layout, *index, axes=axes)
        runs.append(lax.reshape(run, (rows, *_SLOT_LANES)))
    order = [
        bit_reverse(low, plan.log_width - 2) << plan.log_lanes | bit_reverse(i, plan.log_lanes)
        for low in range(quarter)
        for i in range(1 << plan.log_lanes)
    ]
    return _picked([(run, i) for i in order for run in runs], _SLOT_LANES)


def _high_layers(words: Array, table: Array, plan: Rows) -> Array:
    """The layers in the view of slots."""

    def twiddles(t: int) -> Array:
        per_layer = [plan.width // 4 << (plan.layers - 1 - i) for i in range(t + 1)]
        start = sum(per_layer[plan.log_words : t])
        return butterflies.part(table, 0, start, per_layer[t], (per_layer[t], *_SLOT_LANES))

    return butterflies.layers(words, twiddles, plan.log_words, plan.layers, _RUN_LOG, True)


def _picked(rows: Sequence[tuple[Array, int]], lanes: tuple[int, ...]) -> Array:
    """One word of a thread after the other, from arrays ``[n, *lanes]``."""
    return lax.concatenate([butterflies.part(v, 0, i, 1, (1, *lanes)) for v, i in rows], 0)
