"""Butterflies between the words of a thread, all of a layer at once.

Words are arrays ``[w, *lanes]`` in a layout of ``launch.stack``: the first axis numbers the words
of a thread. A kernel of one operation per layer, not per butterfly, is the same machine code, and
takes a third of the time to trace and lower.

Source: Circle STARK paper section 4, protocol section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from jaxstark.fields import m31

Array = Any
# Words of a thread, among the operands a, that one operation stands for. ptxas merges additions
# with the minima behind them as long as they are near.
_GROUP = 8
# layer -> twiddles [blocks, *lanes] of the blocks that the words of a thread lie in
Twiddles = Callable[[int], Array]


def layers(
    words: Array,
    twiddles: Twiddles,
    low: int,
    high: int,
    first_bit: int,
    inverse: bool,
    scale: Array | None = None,
) -> Array:
    """The layers ``low..high-1``, downwards or, of the inverse, upwards.

    Args:
      words: ``[w, *lanes]``; bit 0 of the index is bit ``first_bit`` of the position.
      twiddles: of a layer.
      low: lowest layer.
      high: end of the layers.
      first_bit: see ``words``.
      inverse: whether to interpolate.
      scale: ``[1, *lanes]``, multiplies the results of layer ``high - 1`` of an inverse.
    """
    for t in range(low, high) if inverse else reversed(range(low, high)):
        factors = twiddles(t)
        last = scale if t == high - 1 else None
        words = _layer(words, factors, 1 << (t - first_bit), inverse, last)
    return words


def _layer(
    words: Array, factors: Array, distance: int, inverse: bool, scale: Array | None
) -> Array:
    count, *lanes = words.shape
    blocks = count // (2 * distance)
    pairs = lax.reshape(words, (blocks, 2, distance, *lanes))
    a, b = (part(pairs, 1, i, 1, (count // 2, *lanes)) for i in range(2))
    if scale is not None:
        factors = m31.mul_doubled(doubled(factors), repeat(scale, blocks))
    factors = doubled(factors)
    if distance > 1:
        factors = lax.reshape(factors, (blocks, 1, *lanes))
        factors = lax.concatenate([factors] * distance, 1)
        factors = lax.reshape(factors, a.shape)
    done = []
    size = max(min(_GROUP * 128 // math.prod(lanes), count // 2), 1)
    for first in range(0, count // 2, size):
        x, y, factor = (part(v, 0, first, size, (size, *lanes)) for v in (a, b, factors))
        if inverse:
            x, y = m31.add(x, y), m31.mul_doubled(factor, m31.sub(x, y))
            if scale is not None:
                x = m31.mul_doubled(repeat(doubled(scale), size), x)
        else:
            product = m31.mul_doubled(factor, y)
            x, y = m31.add(x, product), m31.sub(x, product)
        done.append((x, y))
    sides: list[list[Any]] = [[pair[i] for pair in done] for i in range(2)]
    halves = [lax.concatenate(v, 0) if len(v) > 1 else v[0] for v in sides]
    halves = [lax.reshape(v, (blocks, 1, distance, *lanes)) for v in halves]
    return lax.reshape(lax.concatenate(halves, 1), words.shape)


def part(words: Array, axis: int, first: int, size: int, shape: tuple[int, ...]) -> Array:
    """``size`` words from ``first`` along an axis, in a shape."""
    if words.shape[axis] != size:
        start = [0] * words.ndim
        end = list(words.shape)
        start[axis], end[axis] = first, first + size
        words = lax.slice(words, start, end)
    return lax.reshape(words, shape) if words.shape != shape else words


def repeat(words: Array, count: int) -> Array:
    """``[1, *lanes]`` to ``[count, *lanes]``."""
    return lax.concatenate([words] * count, 0) if count > 1 else words


def doubled(word: Array) -> Array:
    """Twice a twiddle, for ``m31.mul_doubled``."""
    return lax.add(word, word)


def reduced(words: Array) -> Array:
    """Canonical words, where p stood for 0."""
    return lax.min(words, lax.sub(words, np.uint32(m31.P)))
