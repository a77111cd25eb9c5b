"""Small columns at the points of a larger domain: read where they are, not copied to that size.

The lift of a column repeats its pairs (``jaxstark.lifting``). If 128 points show at least four of
them, every warp sees pairs of its own, and a lane reads the word that it sees. Fewer are chosen
from.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

_WARPS = 4


def cut(columns: Array, copies_log: int) -> Array:
    """Columns ``[c, n]`` as an input of a kernel that sees ``2^copies_log`` copies of each pair."""
    pairs = _pairs(copies_log)
    if copies_log == 0 or pairs < _WARPS:
        return columns
    return columns.reshape(len(columns), -1, *_lanes(pairs), 2)


def load(ref: Ref, row: Any, block: Any, copies_log: int, *, interpret: bool) -> Array:
    """A row of ``cut`` at points ``128 block`` and the 127 behind it."""
    if copies_log == 0:
        return launch.load(ref, row, pl.ds(block * np.int32(LANES), LANES))
    pairs = _pairs(copies_log)
    if pairs >= _WARPS:
        before = _lanes(pairs)
        lanes = (*before, 1 << copies_log, 2)
        index = pl.ds(row, 1), block
        return launch.load_repeated(ref, lanes, len(before), *index, interpret=interpret)
    lane = launch.lane_numbers()
    is_odd = lane & np.uint32(1) == np.uint32(1)
    first = lax.shift_right_logical(block * np.int32(LANES), np.int32(copies_log + 1)) * 2
    words = [jnp.broadcast_to(ref[row, first + i], (LANES,)) for i in range(2 * max(pairs, 1))]
    shown = [jnp.where(is_odd, words[i + 1], words[i]) for i in range(0, len(words), 2)]
    return shown[0] if pairs < 2 else jnp.where(lane < np.uint32(LANES // 2), *shown)


def _pairs(copies_log: int) -> int:
    """Whole pairs that 128 points show."""
    return LANES >> (copies_log + 1)


def _lanes(pairs: int) -> tuple[int, ...]:
    """Pairs by warp, and of a warp if it has several."""
    return (_WARPS,) if pairs == _WARPS else (_WARPS, pairs // _WARPS)
