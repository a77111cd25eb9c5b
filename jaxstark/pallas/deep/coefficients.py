"""The coefficients of the quotients from sampled values, in one launch with a block per point.

XLA would spend tens of small kernels on them. The formulas are those of
``jaxstark.deep.coefficients``. Source: protocol section 11.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.circle import Point, SecurePoint, secure_add
from jaxstark.deep import Coefficients, DeepPlan
from jaxstark.deep_coefficients import indices
from jaxstark.fields import cm31, m31, qm31, wide
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.pallas import launch
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

_LOG_LANES = LANES.bit_length() - 1


def coefficients(
    plan: DeepPlan, values: Array, z: Array, deep: Array, *, interpret: bool = False
) -> Coefficients:
    """See ``api.coefficients``."""
    index = indices(plan)
    n_samples, n_points = len(plan.samples), len(plan.points)
    padding = -n_samples % LANES
    owners = np.pad(index.points.astype(np.uint32), (0, padding), constant_values=n_points)
    in_order = values[np.pad(index.values, (0, padding))].T
    shifts = np.stack(index.shifts, axis=-1)
    columns, slopes, constants, lines = _launch(in_order, owners, shifts, z, deep, interpret)
    merged: Any = None
    for samples in index.terms.T:  # padded with the number of samples, which stands for nothing
        there = samples < n_samples
        samples = np.where(there, samples, 0)
        part = columns[index.points[samples], :, samples]
        merged = (
            part if merged is None else m31.add(merged, part * there[:, None].astype(np.uint32))
        )
    return Coefficients(merged, slopes, constants, lines)


def _launch(
    values: Array, owners: Any, shifts: Any, z: Array, deep: Array, interpret: bool
) -> list[Array]:
    size, n_points = values.shape[1], len(shifts)
    barrier = launch.half_round_barrier(interpret)

    def body(point: Any, *refs: Ref) -> None:
        values, owners, shifts, z, deep, columns, slopes, constants, lines = refs
        here = point[0]
        p = secure_add(
            SecurePoint(*(QM31(*(z[c, w] for w in range(DEGREE))) for c in range(2))),
            Point(shifts[here, 0], shifts[here, 1]),
        )
        slope = qm31.sub(qm31.conj(p.y), p.y)
        weight, step = _first_powers(QM31(*(deep[w] for w in range(DEGREE))), barrier)

        def visit(v: Array, carry: Any) -> Any:
            weight, first, second = carry
            lanes = pl.ds(v * np.int32(LANES), LANES)
            value = QM31(*(launch.load(values, w, lanes) for w in range(DEGREE)))
            mine = launch.load(owners, lanes) == here.astype(np.uint32)
            left = qm31.mul_cm31(weight, value.first)
            right = qm31.sub(qm31.mul(weight, value), left)
            for w, word in enumerate(barrier(qm31.mul(weight, _broadcast(slope)))):
                launch.store(columns, word, here, w, lanes)
            zero = launch.constant(0)
            left, right = (QM31(*(jnp.where(mine, w, zero) for w in x)) for x in (left, right))
            weight = qm31.mul(weight, _broadcast(step))
            return barrier((weight, qm31.add(first, left), qm31.add(second, right)))

        zeros = QM31(*(launch.constant(0) for _ in range(DEGREE)))
        _, first, second = lax.fori_loop(
            np.int32(0), np.int32(size // LANES), visit, (weight, zeros, zeros)
        )
        first, second = (QM31(*map(wide.row_sums, part)) for part in (first, second))
        value_sum, line_slope = qm31.add(first, second), qm31.add(second, second)
        constant = qm31.neg(qm31.add(qm31.mul(value_sum, slope), qm31.mul(line_slope, p.y)))
        for out, element in ((slopes, line_slope), (constants, constant)):
            for w, word in enumerate(element):
                out[here, w] = word
        (rx, ix), (ry, iy) = (p.x.first, p.x.second), (p.y.first, p.y.second)
        line = (cm31.sub(cm31.mul(rx, iy), cm31.mul(ry, ix)), cm31.neg(iy), ix)
        for i, part in enumerate(line):
            for c, word in enumerate(part):
                lines[here, i, c] = word

    shapes = ((n_points, DEGREE, size), (n_points, DEGREE), (n_points, DEGREE), (n_points, 3, 2))
    out = [jax.ShapeDtypeStruct(shape, np.uint32) for shape in shapes]
    run = launch.launch(body, out, grid=(n_points,), barriers=True, interpret=interpret)
    return run(values, owners, shifts, z, deep)


def _first_powers(base: QM31, barrier: Any) -> tuple[QM31, QM31]:
    """``base^0 .. base^127`` in the lanes, and ``base^128`` as scalars."""
    index = launch.lane_numbers()

    def step(t: Array, carry: tuple[QM31, QM31]) -> Any:
        total, square = carry
        chosen = (index >> t.astype(np.uint32)) & np.uint32(1) == np.uint32(1)
        product = qm31.mul(total, _broadcast(square))
        total = QM31(*(jnp.where(chosen, p, t) for p, t in zip(product, total, strict=True)))
        return barrier((total, qm31.sq(square)))

    ones = QM31(*(launch.constant(word) for word in qm31.ONE))
    return lax.fori_loop(np.int32(0), np.int32(_LOG_LANES), step, (ones, base))


def _broadcast(x: QM31) -> QM31:
    return QM31(*(jnp.broadcast_to(word, (LANES,)) for word in x))
