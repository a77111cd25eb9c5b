"""A tile of the circle FFT in its three views: words in shared memory, and twiddles.

A thread holds 32 words of the tile's 2^12, told apart by bits 7-11 of the position in the upper
view, 2-6 in the middle view, and 0-1 and 7-9 in the lower view; the other 7 bits number the lanes.
The upper view loads and stores vectors of 128 words, the lower view four neighbours per thread:
both are whole cache lines.

All views meet in one shared memory, rows of 128 words by bits 7-11. Rows are padded by 4 words: no
two threads of a warp meet in a bank, and four neighbours stay aligned. In the middle view a thread
writes where it read, so that no barrier is needed in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.fft.config import TILE_LOG

Array = Any
Ref = Any

# Bits 10-11, 7-9, 2-6 and 0-1 of the position.
SHAPE = (4, 8, 32, 4)
WORDS = 32  # of a thread
UPPER, MIDDLE, LOWER = 2, 1, 0
# Lowest layer of each view, and of the one above.
FIRST = (0, 2, 7, TILE_LOG)

_LANES = {UPPER: (32, 4), MIDDLE: (4, 8, 4), LOWER: (4, 32)}
# Axes of SHAPE in the order of a view: those of a thread first.
_AXES = {UPPER: (0, 1, 2, 3), MIDDLE: (2, 0, 1, 3), LOWER: (1, 3, 0, 2)}
_TABLES = 6
# The shared memory of a tile.
MEMORY = (*SHAPE[:2], SHAPE[2] + 1, SHAPE[3])


def layout(view: int) -> Any:
    """Of ``[32, *lanes]``, the words in a view."""
    return launch.stack(*_LANES[view])


def get(memory: Ref, view: int, *index: Any) -> Array:
    """Words of a view from a memory of ``SHAPE``, shared or global."""
    words = launch.load_stack(memory, layout(view), *index, *_all(memory), axes=_AXES[view])
    return lax.reshape(words, (WORDS, *_LANES[view]))


def put(memory: Ref, words: Array, view: int, *index: Any) -> None:
    """Words of a view into a memory of ``SHAPE``, shared or global."""
    shape = tuple(SHAPE[axis] for axis in _AXES[view])
    launch.store_stack(memory, lax.reshape(words, shape), *index, *_all(memory), axes=_AXES[view])


def _all(memory: Ref) -> tuple[Any, ...]:
    whole = slice(None)
    return whole, whole, pl.ds(0, SHAPE[2]), whole


def tables(table: Array) -> list[Array]:
    """The views of a table of twiddles that ``twiddles`` reads."""
    rows = [table.reshape(-1, *SHAPE[:2], 1 << i) for i in range(_TABLES)]
    return [table, *rows, table.reshape(-1, *SHAPE[:3], 2)]


def twiddles(tables: Sequence[Ref], node: Array, view: int, t: int) -> Array:
    """Twiddles of layer t in a view, ``[blocks, *lanes]`` for the blocks of a thread's words.

    They are uniform in the upper view, by row in the middle one, and by lane in the lower one.

    Args:
      tables: references to ``tables``.
      node: the entry of the heap above which all layers of the tile lie.
      view: the view.
      t: a layer of the view.
    """
    lanes, own, whole = _LANES[view], layout(view), slice(None)
    if view == UPPER:
        blocks = 1 << (TILE_LOG - 1 - t)
        return launch.spread_stack(tables[0], lanes, own, pl.ds(node * blocks, blocks))
    if view == MIDDLE:
        index = node, whole, whole, whole
        return launch.spread_stack(tables[1 + 6 - t], lanes, own, *index, axes=(2, 0, 1))
    if t == 1:
        return launch.load_stack(tables[-2], own, node, whole, whole, whole, axes=(1, 0, 2))
    index = node, whole, whole, whole, whole
    words = launch.load_stack(tables[-1], own, *index, axes=(1, 3, 0, 2))
    return lax.reshape(words, (WORDS // 2, *lanes))


def scale(tables: Sequence[Ref], view: int) -> Array:
    """Entry 0 of the heap, ``[1, *lanes]``."""
    return launch.spread_stack(tables[0], _LANES[view], layout(view), pl.ds(0, 1))
