"""Row order to storage order, coalesced on both sides.

With pairs of rows numbered i, storage puts row ``2 i`` into slot ``2 u`` and row ``2 i + 1`` into
slot ``2 v + 1``, where u is i with its k - 1 bits reversed and v the complement of u. A block
takes 4 columns and all i with one middle part: vectors along the low 5 bits of i come in, and
vectors along the low bits of u, which are the high 5 bits of i, go out. The complement swaps a
vector end to end, which no layout does; but it only renames vectors as long as the other 5 bits
number them, so even and odd rows stay apart until the last of two exchanges in shared memory.

Source: protocol section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from jaxstark.circle import bit_reverse
from jaxstark.pallas import launch
from jaxstark.pallas.fft.config import STORAGE_CODE, StorageConfig
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any

_PART_LOG = 5
_PART = 1 << _PART_LOG
COLUMNS = LANES // _PART
# Parity, high bits, low bits.
STORAGE_MIN_LOG = 1 + 2 * _PART_LOG


class Piece(NamedTuple):
    """Columns of the input.

    Attributes:
      rows: uint32 ``[c, 2^k]``, c at least 4, k at least 11.
      start: where its columns stand in the output.
    """

    rows: Array
    start: int


def to_storage(
    pieces: Sequence[Piece], columns: int, *, config: StorageConfig, interpret: bool = False
) -> Steps[Array]:
    """Pieces in storage order, ``rows[:, slot_to_row]``, as one array ``[columns, 2^k]``.

    Columns that several pieces have must be equal.
    """
    size = pieces[0].rows.shape[1]
    ends = list(accumulate(-(-len(piece.rows) // COLUMNS) for piece in pieces))
    middle_log = size.bit_length() - 1 - STORAGE_MIN_LOG
    middles = 1 << middle_log
    group = config.group

    def body(point: Any, *refs: Ref) -> None:
        sources, (out, apart, *together) = refs[: len(pieces)], refs[len(pieces) :]
        # A part and its complement read the two halves of the same words: neighbours in the grid.
        half = point[1] >> 1
        middle = jnp.where((point[1] & 1) == 0, half, middles - 1 - half)
        target = reverse(middle, middle_log)

        def read(source: Ref, first: Array) -> None:
            for parity in range(2):
                part = middles - 1 - middle if parity else middle
                for high in range(_PART):
                    where = pl.ds(first, COLUMNS)
                    word = launch.load(source, where, high, part, slice(None), parity)
                    place = bit_reverse(_flip(high, parity), _PART_LOG)
                    apart[parity, :, place, pl.ds(0, _PART)] = word

        written = point[0]
        for source, piece, begin, end in zip(sources, pieces, [0, *ends], ends, strict=False):
            # The last block may share columns, and what it writes, with the one before.
            first = jnp.minimum((point[0] - begin) * COLUMNS, len(piece.rows) - COLUMNS)
            if len(pieces) == 1:
                read(source, first)
                written = first
                continue
            mine = (point[0] >= begin) & (point[0] < end)
            pl.when(mine)(partial(read, source, first))
            written = jnp.where(mine, first + piece.start, written)
        here = pl.ds(written, COLUMNS)
        launch.sync(interpret)
        for first in range(0, _PART, group):
            lows = range(first, first + group)
            words = [
                [launch.load(apart, p, slice(None), slice(None), _flip(low, p)) for p in range(2)]
                for low in lows
            ]
            places = [bit_reverse(low, _PART_LOG) for low in lows]
            if not config.interleave:
                for place, pair in zip(places, words, strict=True):
                    for parity, word in enumerate(pair):
                        out[here, place, target, :, parity] = word
                continue
            (memory,) = together
            if first:
                launch.sync(interpret)  # All have read before any writes.
            for i, pair in enumerate(words):
                for parity, word in enumerate(pair):
                    memory[i, :, :, parity] = word
            launch.sync(interpret)
            for i, place in enumerate(places):
                word = launch.load(memory, i, slice(None), slice(None), slice(None))
                out[here, place, target, :, :] = word

    out = jax.ShapeDtypeStruct((columns, _PART, middles, _PART, 2), np.uint32)
    scratch: tuple[tuple[int, ...], ...] = ((2, COLUMNS, _PART, _PART + 1),)
    if config.interleave:
        scratch += ((group, COLUMNS, _PART, 2),)
    cut = tuple(p.rows.reshape(len(p.rows), _PART, middles, _PART, 2) for p in pieces)
    (words,) = yield Kernel(body, (out,), (ends[-1], middles), scratch, cut, STORAGE_CODE)
    return words.reshape(columns, size)


def _flip(index: int, parity: int) -> int:
    """The complement of 5 bits, for odd rows."""
    return _PART - 1 - index if parity else index


def reverse(index: Array, bits: int) -> Array:
    """``bits`` bits of an int32 scalar in reverse."""
    out = index & 0
    for i in range(bits):
        out = out | ((index >> i) & 1) << (bits - 1 - i)
    return out
