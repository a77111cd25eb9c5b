"""Coefficients of the DEEP quotients from sampled values that are on the device.

`jaxstark.deep.coefficients` computes them on the host from Python ints; here everything that the
transcript decides is a traced array: sampled values, the out-of-domain point and the batching
coefficient. The arithmetic is a few vector operations over all samples at once.
Source: protocol section 11.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark import circle
from jaxstark.circle import Point, SecurePoint
from jaxstark.deep import Coefficients, DeepPlan
from jaxstark.fields import cm31, m31, qm31, wide
from jaxstark.fields.qm31 import DEGREE, QM31

Array = Any


class Indices(NamedTuple):
    """What a plan fixes, as NumPy arrays.

    Attributes:
      n_values: number of sampled values.
      values: position of every sample's value, int32 ``[samples]``.
      points: index of every sample's point, int32 ``[samples]``.
      shifts: the points that are added to the out-of-domain point, uint32 ``[points]`` each.
      terms: samples of every term, int32 ``[terms, most]``, padded with the number of samples.
    """

    n_values: int
    values: np.ndarray
    points: np.ndarray
    shifts: Point
    terms: np.ndarray


@lru_cache(maxsize=64)
def indices(plan: DeepPlan) -> Indices:
    """The index arrays of a plan."""
    order = sorted({(s.tree, s.column, s.index) for s in plan.samples})
    place = {key: i for i, key in enumerate(order)}
    shared = [term.samples for sizes in plan.terms for _, terms in sizes for term in terms]
    most, n_samples = max(map(len, shared)), len(plan.samples)
    shifts = [circle.point(shift) for shift in plan.points]
    return Indices(
        n_values=len(order),
        values=np.array([place[s.tree, s.column, s.index] for s in plan.samples], np.int32),
        points=np.array([s.point for s in plan.samples], np.int32),
        shifts=Point(*(np.array(words, np.uint32) for words in zip(*shifts, strict=True))),
        terms=np.array([(*s, *(n_samples,) * (most - len(s))) for s in shared], np.int32),
    )


def powers_traced(x: Array, count: int) -> Array:
    """``x^0 .. x^(count - 1)`` of a QM31 element uint32 ``[4]``: uint32 ``[count, 4]``, canonical.

    The known powers double in each of ``log2(count)`` steps. Raises ``ValueError`` for no power.
    """
    if count < 1:
        raise ValueError(f"powers: expected at least one, got {count}")
    known = QM31(*(jnp.full((1,), word, np.uint32) for word in qm31.ONE))
    top = QM31(*(x[w : w + 1] for w in range(DEGREE)))  # x to the number of known powers
    while known.a.shape[0] < count:
        size = known.a.shape[0]
        both = QM31(*(jnp.concatenate(pair) for pair in zip(known, top, strict=True)))
        factor = QM31(*(jnp.broadcast_to(word, both.a.shape) for word in top))
        more = QM31(*lax.optimization_barrier(qm31.mul(both, factor)))
        top = QM31(*(word[size:] for word in more))
        pairs = zip(known, more, strict=True)
        known = QM31(*(jnp.concatenate([old, new[:size]]) for old, new in pairs))
    return jnp.stack(known, axis=-1)[:count]


def coefficients_traced(
    plan: DeepPlan, values: Array, z: Array, deep: Array, powers: Array | None = None
) -> Coefficients:
    """What `jaxstark.deep.coefficients` returns, from traced arrays.

    Args:
      plan: the plan of the proof shape.
      values: all sampled values in the order [tree][column][sample], uint32 ``[n, 4]``.
      z: x and y of the out-of-domain point, uint32 ``[2, 4]``.
      deep: the batching coefficient, uint32 ``[4]``.
      powers: its powers, uint32 ``[samples, 4]``, if they are at hand.

    Words are canonical. Raises ``ValueError`` if arrays have other shapes.
    """
    check(plan, values, z, deep)
    index = indices(plan)
    n_samples, n_points = len(plan.samples), len(plan.points)
    weights: Array = powers_traced(deep, n_samples) if powers is None else powers
    _check_shape("powers", weights, (n_samples, DEGREE))
    base = (QM31(*(jnp.broadcast_to(word, (n_points,)) for word in row)) for row in z)
    points = circle.secure_add(SecurePoint(*base), Point(*map(jnp.asarray, index.shifts)))
    slopes = qm31.sub(qm31.conj(points.y), points.y)  # c of the protocol
    weight = qm31.from_array(weights.T)
    value = qm31.from_array(values[index.values].T)

    # With v = v0 + v1 u: the sums over each point of weight v0 and weight v1 u.
    first = qm31.mul_cm31(weight, value.first)
    second = qm31.sub(qm31.mul(weight, value), first)
    products = lax.optimization_barrier(jnp.stack([*first, *second]))
    mine = np.arange(n_points)[:, None] == index.points[None, :]
    masked = jnp.where(mine[:, None, :], products[None, :, :], np.uint32(0))
    totals = jnp.transpose(lax.optimization_barrier(wide.row_sums(masked)))
    first, second = qm31.from_array(totals[:DEGREE]), qm31.from_array(totals[DEGREE:])

    # Per sample a = conj(v) - v and b = v c - a p.y; here summed with weights, and negated.
    value_sum, line_slopes = qm31.add(first, second), qm31.add(second, second)
    constants = qm31.neg(qm31.add(qm31.mul(value_sum, slopes), qm31.mul(line_slopes, points.y)))
    by_sample = QM31(*(word[index.points] for word in slopes))
    column = lax.optimization_barrier(jnp.stack(qm31.mul(weight, by_sample), axis=-1))
    return Coefficients(
        columns=_merge(index, column),
        slopes=jnp.stack(line_slopes, axis=-1),
        constants=jnp.stack(constants, axis=-1),
        lines=_lines(points),
    )


def check(plan: DeepPlan, values: Array, z: Array, deep: Array) -> None:
    """Raise ``ValueError`` if arrays are not what `coefficients_traced` takes."""
    _check_shape("values", values, (indices(plan).n_values, DEGREE))
    _check_shape("z", z, (2, DEGREE))
    _check_shape("deep", deep, (DEGREE,))


def _check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if tuple(array.shape) != shape or array.dtype != np.uint32:
        raise ValueError(
            f"{name}: expected uint32 {list(shape)}, got {array.dtype} {list(array.shape)}"
        )


def _lines(p: SecurePoint) -> Array:
    """Lines through points and their conjugates, ``[points, 3, 2]``: constant, x, y parts."""
    (rx, ix), (ry, iy) = (p.x.first, p.x.second), (p.y.first, p.y.second)
    parts = (cm31.sub(cm31.mul(rx, iy), cm31.mul(ry, ix)), cm31.neg(iy), ix)
    return jnp.stack([jnp.stack(part, axis=-1) for part in parts], axis=1)


def _merge(index: Indices, column: Array) -> Array:
    """The coefficients ``[samples, 4]`` of samples that share a term, added: ``[terms, 4]``."""
    total = column[index.terms[:, 0]]
    if index.terms.shape[1] == 1:
        return total
    padded = jnp.concatenate([column, np.zeros((1, DEGREE), np.uint32)])
    for rank in range(1, index.terms.shape[1]):
        total = m31.add(total, padded[index.terms[:, rank]])
    return total
