"""Tables of points and twiddles, made on the device: the same words as the host's tables.

Every entry is a coordinate of a multiple of the circle's generator, and the multiple follows from
the place of the entry. A multiple n is the sum of those of the low 16 bits and of the rest of n,
which two small tables hold, so that a table of any size is one elementwise function. The functions
here are to be called under ``jax.jit``.
Source: protocol section 2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark import circle
from jaxstark.circle import Coset, Point
from jaxstark.fields import m31
from jaxstark.fields.m31 import LOG_ORDER

Array = Any

_LOW_LOG = 16
# Distances at which bits are swapped to reverse a word, and the lower bit of each pair.
_SWAPS = ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF), (16, 0x0000FFFF))


@lru_cache(maxsize=1)
def multiples() -> tuple[Point, Point]:
    """Multiples 0.. of the generator, and of ``2^16`` times it: uint32 ``[2^16]``, ``[2^15]``."""
    low = Point(np.ones(1, np.uint32), np.zeros(1, np.uint32))
    for t in range(_LOW_LOG):
        moved = circle.add(low, circle.point(1 << t))
        low = Point(*(np.concatenate(pair) for pair in zip(low, moved, strict=True)))
    return low, Coset(0, LOG_ORDER - _LOW_LOG).points()


def forward_table(log_size: int, small: tuple[Point, Point]) -> Array:
    """``twiddles.forward_table``; ``small`` is ``multiples()``."""
    return _twiddles(log_size, small)


def inverse_table(log_size: int, small: tuple[Point, Point]) -> Array:
    """``twiddles.inverse_table``."""
    return m31.inv(lax.optimization_barrier(_twiddles(log_size, small)))


def _twiddles(log_size: int, small: tuple[Point, Point]) -> Array:
    entry = jnp.arange(1 << log_size, dtype=np.uint32)
    # Entry 2^m + h belongs to slot h of a half coset of 2^m points: x of points of order
    # 2^(m + 3), or y of points of order 2^(m + 2) in the last layer, the circle's own.
    m = np.uint32(31) - lax.clz(entry)
    slot = entry ^ (np.uint32(1) << m)
    turn = np.uint32(1) + np.uint32(4) * _reversed(slot, m)
    last = m == np.uint32(log_size - 1)
    shift = jnp.where(last, np.uint32(LOG_ORDER - 2), np.uint32(LOG_ORDER - 3)) - m
    x, y = _points(turn << shift, small)
    return jnp.where(entry == 0, np.uint32(1 << log_size), jnp.where(last, y, x))


def domain(log_size: int, small: tuple[Point, Point]) -> Point:
    """``circle.domain_points``."""
    slot = jnp.arange(1 << log_size, dtype=np.uint32)
    half = _reversed(slot >> 1, log_size - 1)
    turn = (np.uint32(1) + np.uint32(4) * half) << np.uint32(LOG_ORDER - 1 - log_size)
    x, y = _points(turn, small)
    return Point(x, jnp.where(slot & np.uint32(1) == 0, y, m31.neg(y)))


def slots_back(log_trace: int) -> Array:
    """``circle.shifted_slots(log_trace, log_trace + 1, -1)``."""
    slot = jnp.arange(2 << log_trace, dtype=np.uint32)
    # On the domain one size up, a row is one step of either half coset.
    step = jnp.where(slot & np.uint32(1) == 0, np.uint32((1 << log_trace) - 1), np.uint32(1))
    moved = (_reversed(slot >> 1, log_trace) + step) & np.uint32((1 << log_trace) - 1)
    return ((_reversed(moved, log_trace) << 1) | (slot & np.uint32(1))).astype(np.int32)


def _points(index: Array, small: tuple[Point, Point]) -> Point:
    low, high = index & np.uint32((1 << _LOW_LOG) - 1), index >> np.uint32(_LOW_LOG)
    pairs = zip(small, (low, high), strict=True)
    parts = [Point(*(jnp.take(c, i, mode="clip") for c in table)) for table, i in pairs]
    return circle.add(*parts)


def _reversed(word: Array, bits: Any) -> Array:
    """The ``bits`` lowest bits of words that have no others, in reverse."""
    for distance, mask in _SWAPS:
        low = (word & np.uint32(mask)) << np.uint32(distance)
        word = ((word >> np.uint32(distance)) & np.uint32(mask)) | low
    count = jnp.asarray(bits, np.uint32)
    # The same as a shift by 32 - bits, which is none of 32 bits.
    return (word >> np.uint32(1)) >> (np.uint32(31) - count)
