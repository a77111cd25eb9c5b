"""A tile of the circle FFT in its three views: words in shared memory, and twiddles.

A thread holds 16 words of the tile's 2^11, told apart by bits 7-10 of the position in the upper
view, 4-7 in the middle view, 0-3 in the lower view; the other 7 bits number the lanes. Three
memories stand between these views and global memory, each with rows padded such that no two
threads of a warp meet in a bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.fft.config import TILE_LOG
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

WORDS = 16  # of a thread
_ROWS = LANES // WORDS


def memories() -> tuple[Any, ...]:
    """Shared memory next to the upper view, to the lower view, and to global memory."""
    return (
        launch.shared((_ROWS, WORDS + 1, WORDS)),
        launch.shared((_ROWS, WORDS, WORDS + 1)),
        launch.shared((WORDS, LANES + 2)),
    )


class Twiddles:
    """Doubled twiddles of one view of a tile: uniform in the upper view, by row, or by lane.

    ``node`` is the entry of the heap above which all layers of the tile lie.
    """

    def __init__(self, tables: Sequence[Ref], node: Array, view: int, end: int, early: bool):
        self._tables, self._node, self._view = tables, node, view
        low, blocks = 4 * view, (8, 8, 4)[view]
        self._words = {
            (t, block): doubled(self._load(t, block))
            for t in range(low, end if early else low)
            for block in range(blocks >> (t - low))
        }

    def __call__(self, t: int, block: int) -> Array:
        """Of layer t, in one of the blocks that the words of a thread lie in."""
        key = t, block
        return self._words[key] if key in self._words else doubled(self._load(*key))

    def _load(self, t: int, block: int) -> Array:
        if self._view == 2:
            index = (self._node << (TILE_LOG - 1 - t)) + block
            return uniform(self._tables[0], index, (LANES,))
        # The blocks of a thread are neighbours in the heap.
        width = 4 * self._view + 3 - t
        column = (block,) if width else ()
        if self._view == 1:
            here = pl.ds(self._node * _ROWS, _ROWS)
            return launch.spread_rows(self._tables[width], here, *column)
        return launch.load(self._tables[width], pl.ds(self._node * LANES, LANES), *column)


def put_upper(memory: Ref, words: list[Array]) -> None:
    """Words of the upper view into its memory, [bits 8-10, bits 4-7, bits 0-3]."""
    for i, word in enumerate(words):
        memory[i >> 1, pl.ds(_ROWS * (i & 1), _ROWS), :] = word.reshape(_ROWS, WORDS)


def get_upper(memory: Ref) -> list[Array]:
    """Words of the upper view from its memory."""
    rows = [(i >> 1, pl.ds(_ROWS * (i & 1), _ROWS), slice(None)) for i in range(WORDS)]
    return [launch.load(memory, *row).reshape(LANES) for row in rows]


def put_middle(memory: Ref, words: list[Array]) -> None:
    """Words of the middle view into the memory of the upper one."""
    for i, word in enumerate(words):
        memory[:, i, :] = word


def get_middle(memory: Ref) -> list[Array]:
    """Words of the middle view from the memory of the upper one."""
    return [launch.load_rows(memory, slice(None), i, slice(None)) for i in range(WORDS)]


def put_middle_padded(memory: Ref, words: list[Array]) -> None:
    """Words of the middle view into the memory of the lower one."""
    for i, word in enumerate(words):
        memory[:, i, pl.ds(0, WORDS)] = word


def get_middle_padded(memory: Ref) -> list[Array]:
    """Words of the middle view from the memory of the lower one."""
    return [launch.load_rows(memory, slice(None), i, pl.ds(0, WORDS)) for i in range(WORDS)]


def put_lower(memory: Ref, words: list[Array]) -> None:
    """Words of the lower view into its memory, with the axes of the upper one."""
    for i, word in enumerate(words):
        memory[:, :, i] = word.reshape(_ROWS, WORDS)


def get_lower(memory: Ref) -> list[Array]:
    """Words of the lower view from its memory."""
    all_ = slice(None)
    return [launch.load(memory, all_, all_, i).reshape(LANES) for i in range(WORDS)]


def put_lower_rows(memory: Ref, words: list[Array]) -> None:
    """Words of the lower view into the last memory, [bits 0-3, bits 4-10]."""
    for i, word in enumerate(words):
        memory[i, pl.ds(0, LANES)] = word


def get_lower_rows(memory: Ref) -> list[Array]:
    """Words of the lower view from the last memory."""
    return [launch.load(memory, i, pl.ds(0, LANES)) for i in range(WORDS)]


def put_flat(memory: Ref, words: list[Array]) -> None:
    """Words as in global memory into the last memory."""
    for i, word in enumerate(words):
        rows = word.reshape(_ROWS, WORDS)
        launch.store_transposed(memory, rows, slice(None), pl.ds(_ROWS * i, _ROWS))


def get_flat(memory: Ref) -> list[Array]:
    """Words as in global memory from the last memory."""
    parts = [pl.ds(_ROWS * i, _ROWS) for i in range(WORDS)]
    return [launch.load_transposed(memory, slice(None), part).reshape(LANES) for part in parts]


def uniform(table: Ref, index: Any, shape: tuple[int, ...]) -> Array:
    """One word for all lanes."""
    return jnp.broadcast_to(table[index], shape)


def doubled(word: Array) -> Array:
    """Twice a twiddle, for ``m31.mul_doubled``."""
    return word + word
