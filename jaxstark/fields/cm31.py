"""The complex extension CM31 = M31[i] / (i^2 + 1).

An element is the pair ``(re, im)`` of M31 elements, each an int or array as in ``m31``; all
functions are elementwise over arrays. Source: protocol section 1.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.fields import m31
from jaxstark.fields.m31 import M31


class CM31(NamedTuple):
    """``re + im i``."""

    re: M31
    im: M31


ZERO = CM31(0, 0)
ONE = CM31(1, 0)


def add(x: CM31, y: CM31) -> CM31:
    """``x + y``."""
    return CM31(m31.add(x.re, y.re), m31.add(x.im, y.im))


def sub(x: CM31, y: CM31) -> CM31:
    """``x - y``."""
    return CM31(m31.sub(x.re, y.re), m31.sub(x.im, y.im))


def neg(x: CM31) -> CM31:
    """``-x``."""
    return CM31(m31.neg(x.re), m31.neg(x.im))


def mul(x: CM31, y: CM31) -> CM31:
    """``x y``, with three base products (Karatsuba)."""
    rr = m31.mul(x.re, y.re)
    ii = m31.mul(x.im, y.im)
    cross = m31.mul(m31.add(x.re, x.im), m31.add(y.re, y.im))
    return CM31(m31.sub(rr, ii), m31.sub(m31.sub(cross, rr), ii))


def mul_base(x: CM31, b: M31) -> CM31:
    """``x b`` for b in M31."""
    return CM31(m31.mul(x.re, b), m31.mul(x.im, b))


def conj(x: CM31) -> CM31:
    """``re - im i``."""
    return CM31(x.re, m31.neg(x.im))


def inv(x: CM31) -> CM31:
    """``1 / x``; 0 as in ``m31.inv``."""
    norm = m31.add(m31.sq(x.re), m31.sq(x.im))
    return mul_base(conj(x), m31.inv(norm))
