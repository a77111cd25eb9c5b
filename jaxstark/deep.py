"""DEEP quotients: one function on the largest domain that is low degree iff all samples are true.

Every sampled value v of a column f at a point p adds the quotient of ``f - (line through (p, v)
and its conjugate)`` by the line through p and its conjugate, weighted by a power of the batching
coefficient. The weighted samples of one point share the denominator, so the device computes one
numerator per distinct point: a dot product of columns with QM31 coefficients on each column's own
domain, lifted and added from small sizes to large ones, and divided once. Which samples meet at
which point follows from sizes and masks alone (`DeepPlan`); coefficients are data.
Source: protocol section 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark import circle
from jaxstark.circle import SecurePoint
from jaxstark.fields import cm31, m31, qm31
from jaxstark.fields.cm31 import CM31
from jaxstark.fields.m31 import LOG_ORDER
from jaxstark.fields.qm31 import QM31
from jaxstark.lifting import lift
from jaxstark.shape import size_groups

Layout = tuple[tuple[Any, ...], ...]

# Products of two words below 2^31 that a 64-bit accumulator takes before it is reduced.
_LAZY_PRODUCTS = 4
# Columns between barriers: XLA's loop over one fusion slows down when it reads more of them.
_FUSED_COLUMNS = 16


class Sample(NamedTuple):
    """One weighted sample; its position in `DeepPlan.samples` is its power of the coefficient."""

    tree: int
    column: int
    index: int  # of the value among the column's sampled values
    point: int  # index into DeepPlan.points


class Term(NamedTuple):
    """A column in the numerator of one point, and the samples that share the two."""

    tree: int
    group: int
    row: int  # of the column within its size group
    samples: tuple[int, ...]


@dataclass(frozen=True)
class DeepPlan:
    """Everything about the quotients that sizes and masks fix; compared by value.

    Attributes:
      log_domain: H, log2 of the size of the result.
      group_shapes: ``[tree][group]`` shape of the extended evaluations.
      points: point indices that, added to the out-of-domain point, give the distinct points.
      samples: all samples, in the order of the powers of the batching coefficient.
      terms: ``[point]`` pairs of a domain log size, ascending, and the terms of that size.
    """

    log_domain: int
    group_shapes: Layout
    points: tuple[int, ...]
    samples: tuple[Sample, ...]
    terms: tuple[tuple[tuple[int, tuple[Term, ...]], ...], ...]


@lru_cache(maxsize=64)
def make_plan(
    columns: Layout,
    offsets: Layout,
    log_size: int,
    log_blowup: int,
    groups: Layout | None = None,
) -> DeepPlan:
    """Find the distinct points and the terms of each.

    Args:
      columns: ``[tree][column]`` log sizes without blow-up.
      offsets: ``[tree][column]`` mask offsets in rows.
      log_size: L, log2 of the rows of the largest component.
      log_blowup: B.
      groups: ``[tree][group]`` log size and columns of each array of evaluations, as by
        ``size_groups``, which None takes.

    Raises ``ValueError`` if a sampled column is larger than ``2^L``.
    """
    groups = tuple(map(size_groups, columns)) if groups is None else groups
    log_domain = log_size + log_blowup
    shifts: list[int] = []
    samples: list[Sample] = []
    members: dict[tuple[int, int, int, int], list[int]] = {}
    places = [_places(tree) for tree in groups]
    for t, (logs, masks) in enumerate(zip(columns, offsets, strict=True)):
        for j, (k, mask) in enumerate(zip(logs, masks, strict=True)):
            if mask and k > log_size:
                raise ValueError(f"sampled column: expected log size at most {log_size}, got {k}")
            for index, shift in _column_samples(mask, k, log_size, log_blowup):
                if shift not in shifts:
                    shifts.append(shift)
                point = shifts.index(shift)
                members.setdefault((point, k + log_blowup, t, j), []).append(len(samples))
                samples.append(Sample(t, j, index, point))
    terms: list[dict[int, list[Term]]] = [{} for _ in shifts]
    for (point, log, t, j), shared in sorted(members.items()):
        terms[point].setdefault(log, []).append(Term(t, *places[t][j], tuple(shared)))
    return DeepPlan(
        log_domain=log_domain,
        group_shapes=tuple(
            tuple((len(c), 1 << (k + log_blowup)) for k, c in tree) for tree in groups
        ),
        points=tuple(shifts),
        samples=tuple(samples),
        terms=tuple(tuple((log, tuple(ts)) for log, ts in sizes.items()) for sizes in terms),
    )


def _places(groups: tuple[Any, ...]) -> dict[int, tuple[int, int]]:
    """Column index to (group, row)."""
    return {j: (g, row) for g, (_, members) in enumerate(groups) for row, j in enumerate(members)}


def _column_samples(
    mask: tuple[int, ...], log_column: int, log_size: int, log_blowup: int
) -> list[tuple[int, int]]:
    """(value index, point index added to z) of a column's samples, the extra one first."""
    step = circle.subgroup_generator(log_size)
    samples = [(i, offset * step % (1 << LOG_ORDER)) for i, offset in enumerate(mask)]
    if len(samples) == 2:
        # A point whose order is the number of repetitions of the column in its lift: the sample
        # forces the committed function to be a lift. For a column of full size it is neutral.
        order = circle.subgroup_generator(log_size + log_blowup) << (log_column + log_blowup)
        samples.insert(0, (1, (samples[1][1] + order) % (1 << LOG_ORDER)))
    return samples


class Coefficients(NamedTuple):
    """The traced part of a plan: uint32, canonical.

    The numerator of a point is ``sum columns * f + slope * y + constant`` and its denominator
    ``line[0] + line[1] x + line[2] y``.
    """

    columns: Any  # [terms, 4], terms in the order of DeepPlan.terms
    slopes: Any  # [points, 4]
    constants: Any  # [points, 4]
    lines: Any  # [points, 3, 2]


def coefficients(
    plan: DeepPlan,
    sampled_values: Sequence[Sequence[Sequence[QM31]]],
    z: SecurePoint,
    deep: QM31,
) -> Coefficients:
    """Host part: the coefficients of all columns and lines, as NumPy arrays.

    Args:
      plan: the plan of the proof shape.
      sampled_values: ``[tree][column][sample]`` host scalars.
      z: the out-of-domain point, host scalars.
      deep: the batching coefficient, a host scalar.
    """
    flat = [sampled_values[s.tree][s.column][s.index] for s in plan.samples]
    points = [circle.secure_add(z, circle.point(shift)) for shift in plan.points]
    slopes = [qm31.sub(qm31.conj(p.y), p.y) for p in points]  # c of the protocol
    value = _columns(flat)
    weight = _columns(qm31.powers(deep, len(flat)))
    slope = _columns([slopes[s.point] for s in plan.samples])
    column = np.stack(qm31.mul(weight, slope), axis=-1)
    value_sum = _totals(plan, qm31.mul(weight, value))
    conj_sum = _totals(plan, qm31.mul(weight, qm31.conj(value)))
    # Per sample a = conj(v) - v and b = v c - a p.y; here summed with weights, and negated.
    line_slopes = [qm31.sub(v, w) for v, w in zip(value_sum, conj_sum, strict=True)]
    constants = [
        qm31.neg(qm31.add(qm31.mul(v, c), qm31.mul(a, p.y)))
        for v, c, a, p in zip(value_sum, slopes, line_slopes, points, strict=True)
    ]
    lines = [_line(p) for p in points]
    return Coefficients(
        columns=_merge(plan, column),
        slopes=np.array(line_slopes, np.uint32),
        constants=np.array(constants, np.uint32),
        lines=np.array(lines, np.uint32),
    )


def _columns(values: Sequence[QM31]) -> QM31:
    """Host scalars as one batch of uint32 arrays ``[n]``."""
    return qm31.from_array(np.array(values, np.uint32).T)


def _totals(plan: DeepPlan, weighted: QM31) -> list[QM31]:
    """Sums over the samples of each point, as host scalars."""
    sums = np.zeros((len(plan.points), qm31.DEGREE), np.uint64)
    np.add.at(sums, [s.point for s in plan.samples], np.stack(weighted, -1).astype(np.uint64))
    return [QM31(*map(m31.canonical, total)) for total in sums.tolist()]


def _line(p: SecurePoint) -> tuple[CM31, CM31, CM31]:
    """The line through a point and its conjugate: constant, x and y coefficients."""
    (rx, ix), (ry, iy) = (p.x.first, p.x.second), (p.y.first, p.y.second)
    return cm31.sub(cm31.mul(rx, iy), cm31.mul(ry, ix)), cm31.neg(iy), ix


def _merge(plan: DeepPlan, column: np.ndarray) -> np.ndarray:
    """Add the coefficients ``[samples, 4]`` of samples that share a term: ``[terms, 4]``."""
    shared = [term.samples for sizes in plan.terms for _, ts in sizes for term in ts]
    merged = column[[s[0] for s in shared]]
    for rank in range(1, max(map(len, shared))):
        more = [i for i, s in enumerate(shared) if len(s) > rank]
        merged[more] = m31.add(merged[more], column[[shared[i][rank] for i in more]])
    return merged


def quotients(
    evaluations: Sequence[Sequence[Any]],
    columns: Layout,
    offsets: Layout,
    sampled_values: Sequence[Sequence[Sequence[QM31]]],
    z: SecurePoint,
    deep: QM31,
    log_size: int,
    log_blowup: int,
) -> Any:
    """The sum of all DEEP quotients on the circle domain of size ``2^H``.

    Args:
      evaluations: ``[tree][group]`` uint32 ``[c, 2^(k + B)]``, ascending sizes, storage order.
      columns: ``[tree][column]`` log sizes without blow-up.
      offsets: ``[tree][column]`` mask offsets in rows.
      sampled_values: ``[tree][column][sample]`` host scalars.
      z: the out-of-domain point, host scalars.
      deep: the batching coefficient, a host scalar.
      log_size: L, log2 of the rows of the largest component.
      log_blowup: B; ``H = L + B``.

    Returns uint32 ``[4, 2^H]`` in storage order, canonical. Raises ``ValueError`` if an
    evaluation has another shape than its group.
    """
    plan = make_plan(columns, offsets, log_size, log_blowup)
    got = tuple(tuple(tuple(group.shape) for group in tree) for tree in evaluations)
    if got != plan.group_shapes:
        raise ValueError(f"evaluations: expected shapes {plan.group_shapes}, got {got}")
    data = coefficients(plan, sampled_values, z, deep)
    groups = tuple(tuple(tree) for tree in evaluations)
    return quotients_from(plan, groups, data, *domain(plan.log_domain))


@lru_cache(maxsize=4)
def domain(log_domain: int) -> tuple[Any, Any]:
    """Coordinates of the points of the FRI domain in storage order, uint32 ``[2^H]`` each."""
    points = circle.domain_points(log_domain)
    with jax.ensure_compile_time_eval():  # arrays, also when first called inside a trace
        return jnp.asarray(points.x), jnp.asarray(points.y)


@partial(jax.jit, static_argnums=0)
def quotients_from(
    plan: DeepPlan, evaluations: Layout, data: Coefficients, x: Any, y: Any
) -> jax.Array:
    """Device part of `quotients`; ``x`` and ``y`` are the domain points, uint32 ``[2^H]``."""
    total: Any = None
    first = 0
    for point, sizes in enumerate(plan.terms):
        numerator: Any = None
        for log, terms in sizes:
            factors = [evaluations[t.tree][t.group][t.row] for t in terms]
            part = dot(data.columns[first : first + len(terms)], factors)
            first += len(terms)
            if numerator is not None:
                part = m31.add(part, lift(numerator, log))
            numerator = part
        numerator = lift(numerator, plan.log_domain)
        # XLA duplicates what a fusion reads twice: barriers keep every step computed once.
        line = dot(data.slopes[point][None, :], [y], data.constants[point])
        numerator = lax.optimization_barrier(m31.add(numerator, line))
        denominator = dot(data.lines[point, 1:], [x, y], data.lines[point, 0])
        inverse = cm31.inv(CM31(*lax.optimization_barrier(denominator)))
        quotient = qm31.mul_cm31(qm31.from_array(numerator), lax.optimization_barrier(inverse))
        total = quotient if total is None else qm31.add(total, quotient)
        total = QM31(*lax.optimization_barrier(total))
    return qm31.to_array(total)


def dot(weights: Any, columns: Sequence[Any], start: Any | None = None) -> Any:
    """``start + sum weights[i] columns[i]``: uint32 ``[c, N]``, canonical.

    ``weights`` is ``[n, c]``, every column ``[N]`` and ``start`` ``[c]``; words at most p. The
    products are summed in 64 bits and reduced once per four.
    """
    with jax.enable_x64(True):
        wide = weights.astype(np.uint64)[:, :, None]
        total = None if start is None else start.astype(np.uint64)[:, None]
        for i, column in enumerate(columns):
            term = wide[i] * column.astype(np.uint64)[None, :]
            total = term if total is None else total + term
            if (i + 1) % _LAZY_PRODUCTS == 0:
                total = m31.fold_wide(total)
            if (i + 1) % _FUSED_COLUMNS == 0:
                total = lax.optimization_barrier(total)
        return m31.from_wide(total)
