"""The secure field QM31 = CM31[u] / (u^2 - 2 - i), of order p^4 (about 2^124).

An element is the ordered tuple ``(a, b, c, d)`` for ``(a + b i) + (c + d i) u``; each coordinate
is an int or an array as in ``m31``. A batch is thus a tuple of four arrays of one shape
(structure of arrays, a JAX pytree). Source: protocol section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jaxstark.fields import cm31, m31
from jaxstark.fields.cm31 import CM31
from jaxstark.fields.m31 import M31, P


class QM31(NamedTuple):
    """``(a + b i) + (c + d i) u``."""

    a: M31
    b: M31
    c: M31
    d: M31

    @property
    def first(self) -> CM31:
        """The CM31 part without u."""
        return CM31(self.a, self.b)

    @property
    def second(self) -> CM31:
        """The CM31 coefficient of u."""
        return CM31(self.c, self.d)


ZERO = QM31(0, 0, 0, 0)
ONE = QM31(1, 0, 0, 0)
DEGREE = 4


def from_base(x: M31) -> QM31:
    """The embedding of M31; zero coordinates are the int 0."""
    return QM31(x, 0, 0, 0)


def from_parts(x: CM31, y: CM31) -> QM31:
    """``x + y u``."""
    return QM31(x.re, x.im, y.re, y.im)


def _ints(x: QM31, y: QM31) -> bool:
    """Whether both are host scalars.

    Those take their own way below: Python's integers need no reduction until the end, and the
    checks of prover and verifier are thousands of operations.
    """
    a, b, c, d = x
    e, f, g, h = y
    # One chain, which is several times faster than a loop.
    first = type(a) is type(b) is type(c) is type(d) is int
    return first and type(e) is type(f) is type(g) is type(h) is int


def add(x: QM31, y: QM31) -> QM31:
    """``x + y``."""
    if _ints(x, y):
        a, b, c, d = x
        e, f, g, h = y
        return QM31((a + e) % P, (b + f) % P, (c + g) % P, (d + h) % P)
    return QM31(*(m31.add(p, q) for p, q in zip(x, y, strict=True)))


def sub(x: QM31, y: QM31) -> QM31:
    """``x - y``."""
    return QM31(*(m31.sub(p, q) for p, q in zip(x, y, strict=True)))


def neg(x: QM31) -> QM31:
    """``-x``."""
    return QM31(*(m31.neg(p) for p in x))


def _mul_r(x: CM31) -> CM31:
    """``(2 + i) x``, the product by u^2."""
    return CM31(
        m31.sub(m31.double(x.re), x.im),
        m31.add(m31.double(x.im), x.re),
    )


def mul(x: QM31, y: QM31) -> QM31:
    """``x y``, with nine base products (Karatsuba over CM31)."""
    if _ints(x, y):
        return _mul_ints(*x, *y)
    x0, x1, y0, y1 = x.first, x.second, y.first, y.second
    low = cm31.mul(x0, y0)
    high = cm31.mul(x1, y1)
    cross = cm31.mul(cm31.add(x0, x1), cm31.add(y0, y1))
    return from_parts(
        cm31.add(low, _mul_r(high)),
        cm31.sub(cm31.sub(cross, low), high),
    )


def _mul_ints(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> QM31:
    real, imaginary = c * g - d * h, c * h + d * g
    return QM31(
        (a * e - b * f + 2 * real - imaginary) % P,
        (a * f + b * e + 2 * imaginary + real) % P,
        (a * g - b * h + c * e - d * f) % P,
        (a * h + b * g + c * f + d * e) % P,
    )


def sq(x: QM31) -> QM31:
    """``x^2``."""
    return mul(x, x)


def mul_base(x: QM31, b: M31) -> QM31:
    """``x b`` for b in M31."""
    return QM31(*(m31.mul(p, b) for p in x))


def mul_cm31(x: QM31, y: CM31) -> QM31:
    """``x y`` for y in CM31."""
    return from_parts(cm31.mul(x.first, y), cm31.mul(x.second, y))


def conj(x: QM31) -> QM31:
    """The conjugate over CM31: u goes to -u."""
    return QM31(x.a, x.b, m31.neg(x.c), m31.neg(x.d))


def _norm(x: QM31) -> CM31:
    """``x conj(x) = x0^2 - (2 + i) x1^2`` in CM31."""
    return cm31.sub(cm31.mul(x.first, x.first), _mul_r(cm31.mul(x.second, x.second)))


def inv(x: QM31) -> QM31:
    """``1 / x``; 0 as in ``m31.inv``."""
    if _ints(x, x):
        return inv_wide(x, m31.inv)
    return mul_cm31(conj(x), cm31.inv(_norm(x)))


def inv_wide(x: QM31, inverse: Callable[[Any], Any]) -> QM31:
    """``1 / x`` from the inverse of words.

    For Python's integers, and for words in int64 arrays, in which two products have room.
    """
    a, b, c, d = x
    # The norm over CM31, (a + b i)^2 - (2 + i)(c + d i)^2, then the one of that over M31.
    real, half = (c * c - d * d) % P, c * d % P
    re = (a * a - b * b - 2 * real + 2 * half) % P
    im = (2 * (a * b % P) - 4 * half - real) % P
    scale = inverse((re * re + im * im) % P)
    re, im = re * scale % P, -im * scale % P
    return QM31(
        (a * re - b * im) % P,
        (a * im + b * re) % P,
        (d * im - c * re) % P,
        -(c * im + d * re) % P,
    )


def from_coordinates(values: Sequence[QM31]) -> QM31:
    """``v0 + v1 i + v2 u + v3 i u`` for four QM31 values.

    The value of a secure column from the values of its four coordinate columns at a point.
    """
    basis = (QM31(1, 0, 0, 0), QM31(0, 1, 0, 0), QM31(0, 0, 1, 0), QM31(0, 0, 0, 1))
    total = values[0]
    for value, unit in zip(values[1:], basis[1:], strict=True):
        total = add(total, mul(value, unit))
    return total


def powers(x: QM31, count: int) -> list[QM31]:
    """``[1, x, ..., x^(count-1)]``."""
    out = [ONE, x]
    while len(out) < count:
        out.append(mul(out[-1], x))
    return out[:count]


def from_ints(values: Iterable[int]) -> QM31:
    """A host scalar from four canonical ints; ``ValueError`` otherwise."""
    words = [int(v) for v in values]
    if len(words) != DEGREE or any(not 0 <= w < P for w in words):
        raise ValueError(f"QM31: expected 4 words below 2^31 - 1, got {words}")
    return QM31(*words)


def to_array(x: QM31) -> Any:
    """The four coordinates stacked on a new leading axis: uint32 ``[4, ...]``."""
    import numpy as np

    if all(isinstance(w, int) for w in x):
        return np.array(x, dtype=np.uint32)
    if all(isinstance(w, np.ndarray | int) for w in x):
        return np.stack(np.broadcast_arrays(*(np.asarray(w, np.uint32) for w in x)))
    import jax.numpy as jnp

    arrays = [jnp.asarray(w, jnp.uint32) for w in x]
    return jnp.stack(jnp.broadcast_arrays(*arrays))


def from_array(x: Any) -> QM31:
    """The inverse of ``to_array``: four coordinate arrays from the leading axis."""
    return QM31(x[0], x[1], x[2], x[3])
