"""Sums of products that stay 64 bits wide and are reduced once, over M31 and QM31; JAX only.

A product of two words is below 2^62: four of them fit in a 64-bit word, and a fold of a few
instructions makes room for four more. Beside ``m31.mul`` and ``m31.add`` for every term this saves
most of the reductions, which are most of the instructions. The same bodies run under XLA and in
Pallas kernels, in 32-bit mode too. All arrays of a call have one shape; factors and terms are
words 0..p, results are canonical. Source: protocol section 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxstark.fields import m31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

_WIDE = 1 << 64
_WORD = 1 << 32


class Wide(NamedTuple):
    """A sum under way: a uint64 word that stands for its residue.

    Attributes:
      words: uint64 array; None for the empty sum.
      bound: the largest value of a word.
    """

    words: Any = None
    bound: int = 0


EMPTY = Wide()


def widen(x: Any) -> Any:
    """``x`` as uint64, for factors that are used several times."""
    import jax
    from jax import lax

    if x.dtype == np.uint64:
        return x
    with jax.enable_x64(True):
        return lax.convert_element_type(x, np.uint64)


def complement(x: Any) -> Any:
    """``-x`` as a word 0..p, which is p for 0: one instruction where ``m31.neg`` takes three."""
    from jax import lax

    return lax.sub(np.uint32(P), x)


def complement_if(flag: Any, words: Iterable[Any]) -> list[Any]:
    """Words 0..p, or their ``complement`` where ``flag``, a uint32 word 0 or 1, is 1."""
    from jax import lax

    # p - x = p xor x, as no bit of p is 0.
    mask = lax.mul(flag, np.uint32(P))
    return [lax.bitwise_xor(x, mask) for x in words]


def add_product(total: Wide, x: Any, y: Any) -> Wide:
    """``total + x y`` for uint32 words or words from ``widen``."""
    import jax
    from jax import lax

    with jax.enable_x64(True):
        return _plus(total, lax.mul(widen(x), widen(y)), P * P)


def add_word(total: Wide, x: Any) -> Wide:
    """``total + x`` for uint32 words or words from ``widen``."""
    return _plus(total, widen(x), P)


def reduce(total: Wide) -> Any:
    """Canonical uint32 words; ``ValueError`` for the empty sum, which has no shape."""
    import jax
    from jax import lax

    if total.words is None:
        raise ValueError("sum: expected at least one term, got none")
    while total.bound >= 2 * P:
        total = _fold(total)
    with jax.enable_x64(True):
        word = lax.convert_element_type(total.words, np.uint32)
    return m31._reduce(word) if total.bound >= P else word


def dot(pairs: Iterable[tuple[Any, Any]], words: Iterable[Any] = ()) -> Any:
    """The canonical sum of the products of ``pairs`` and of ``words``."""
    total = EMPTY
    for x, y in pairs:
        total = add_product(total, x, y)
    for word in words:
        total = add_word(total, word)
    return reduce(total)


def factor(y: QM31) -> tuple[tuple[Any, ...], ...]:
    """The matrix m of the product by ``y``, widened: ``(x y)_c = sum_j x_j m[c][j]``."""
    e, f, g, h = y
    # (2 + i) (g + h i), the product by u^2.
    re, im = m31.sub(m31.double(g), h), m31.add(m31.double(h), g)
    minus_f, minus_h, minus_im = (complement(word) for word in (f, h, im))
    e, f, g, h, re, im, minus_f, minus_h, minus_im = map(
        widen, (e, f, g, h, re, im, minus_f, minus_h, minus_im)
    )
    return (
        (e, minus_f, re, minus_im),
        (f, e, im, re),
        (g, minus_h, e, minus_f),
        (h, g, f, e),
    )


def secure_products(totals: Sequence[Wide], x: QM31, rows: Any) -> list[Wide]:
    """``totals + x y`` by coordinate, where ``rows = factor(y)``."""
    x = QM31(*map(widen, x))
    out = []
    for total, row in zip(totals, rows, strict=True):
        for a, b in zip(x, row, strict=True):
            total = add_product(total, a, b)
        out.append(total)
    return out


def secure_mul(x: QM31, rows: Any) -> QM31:
    """``x y`` with 16 products and four reductions, where ``rows = factor(y)``."""
    return QM31(*map(reduce, secure_products([EMPTY] * 4, x, rows)))


def norm(x: QM31) -> tuple[Any, Any, Any]:
    """``(re, im, n)``: the norm ``x conj(x) = re + im i`` in CM31, and its norm n in M31.

    n is 0 for x = 0 only.
    """
    a, b, c, d = x
    # x0^2 - (2 + i) x1^2
    twice = m31.double(d)
    re = dot(
        [
            (a, a),
            (b, complement(b)),
            (c, m31.double(m31.sub(d, c))),
            (d, twice),
        ]
    )
    im = dot([(m31.double(a), b), (c, complement(m31.add(m31.double(twice), c))), (d, d)])
    return re, im, dot([(re, re), (im, im)])


def reciprocal(x: QM31, re: Any, im: Any, inverse: Any) -> QM31:
    """``1 / x`` from ``re, im, n = norm(x)`` and ``inverse = 1/n``; 0 for x = 0."""
    # conj(x) (re - im i) / n
    u, v = m31.mul(re, inverse), m31.mul(complement(im), inverse)
    minus_v = widen(complement(v))
    u, v = widen(u), widen(v)
    a, b, c, d = map(widen, (x.a, x.b, complement(x.c), complement(x.d)))
    return QM31(
        dot([(a, u), (b, minus_v)]),
        dot([(a, v), (b, u)]),
        dot([(c, u), (d, minus_v)]),
        dot([(c, v), (d, u)]),
    )


def _plus(total: Wide, words: Any, bound: int) -> Wide:
    import jax
    from jax import lax

    if total.words is None:
        return Wide(words, bound)
    if total.bound + bound >= _WIDE:
        total = _fold(total)
    with jax.enable_x64(True):
        return Wide(lax.add(total.words, words), total.bound + bound)


def _fold(total: Wide) -> Wide:
    import jax

    bound = min(total.bound, P) + (total.bound >> m31.LOG_ORDER)
    with jax.enable_x64(True):
        return Wide(m31.fold_wide(total.words), bound)
