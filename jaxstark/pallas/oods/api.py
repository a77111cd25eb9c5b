"""Values out of domain on the GPU, bit for bit those of ``jaxstark.oods``.

Points are device arrays, so that a point drawn on the device never visits the host. The functions
run the kernels or raise; ``fits`` tells which columns the kernels take, and a caller with smaller
ones uses ``jaxstark.oods``. ``interpret=True`` runs on a CPU, slowly, for tests.
Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle
from jaxstark.fields import wide
from jaxstark.fields.qm31 import DEGREE
from jaxstark.pallas.oods import mosaic_gpu
from jaxstark.pallas.oods.config import LOG_LANES, EvaluateConfig

Array = Any


class Basis(NamedTuple):
    """Products of basis factors for both parts of an index ``m = 2^l high + low``.

    Attributes:
      low: uint32 ``[n_points, 4, 2^l]``.
      high: uint32 ``[n_points, 4, 2^(k-l)]``, padded to at least 128 on the last axis.
    """

    low: Array
    high: Array


def fits(log_size: int) -> bool:
    """Whether columns of ``2^log_size`` fill the 128 lanes of a block."""
    return log_size >= LOG_LANES


@partial(jax.jit, static_argnames=("count", "interpret"))
def multiples(points: Array, count: int, *, interpret: bool = False) -> Array:
    """Every point doubled 0, 1, .. count - 1 times: uint32 ``[n_points, count, 2, 4]``.

    ``points`` is uint32 ``[n_points, 2, 4]``, the words of x and y. Raises ``ValueError`` for
    another shape or no point.
    """
    _check("points", points, (None, 2, DEGREE))
    if not len(points) or count < 1:
        raise ValueError(f"multiples: expected at least one, got {len(points)} times {count}")
    return mosaic_gpu.multiples(points, count, interpret=interpret)


@partial(jax.jit, static_argnames=("log_size", "interpret"))
def drawn_multiples(felt: Array, log_size: int, *, interpret: bool = False) -> Array:
    """The multiples of an out-of-domain point and of that one row before, from the drawn felt.

    Args:
      felt: uint32 ``[4]``.
      log_size: L, log2 of the rows of the largest component, from 1.
      interpret: run on a CPU.

    Returns uint32 ``[2, L, 2, 4]`` as ``multiples``: ``[0, 0]`` is ``circle.secure_point`` of the
    felt. One launch. Raises ``ValueError`` for another shape or size.
    """
    back = _row_before(felt, log_size)
    return mosaic_gpu.drawn_multiples(felt, log_size, back, interpret=interpret)


@partial(jax.jit, static_argnames=("log_size", "config", "interpret"))
def drawn_basis(
    felt: Array,
    log_size: int,
    *,
    config: EvaluateConfig = EvaluateConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, Basis]:
    """``drawn_multiples``, and the basis of the largest columns at the drawn point, in one launch.

    Args:
      felt: uint32 ``[4]``.
      log_size: L, at least 7.
      config: that of the evaluation.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or size.
    """
    back = _row_before(felt, log_size)
    if not fits(log_size):
        raise ValueError(f"log size: expected at least {LOG_LANES}, got {log_size}")
    low_log = config.low_log(log_size, 1)
    table = mosaic_gpu.drawn_basis(felt, log_size, back, low_log, interpret=interpret)
    return table[0], Basis(*table[1:])


def _row_before(felt: Array, log_size: int) -> circle.Point:
    """What leads from a point to the one of the row before."""
    _check("felt", felt, (DEGREE,))
    if not 1 <= log_size <= circle.MAX_LOG_SIZE:
        raise ValueError(f"log size: expected 1 to {circle.MAX_LOG_SIZE}, got {log_size}")
    return circle.point(-circle.subgroup_generator(log_size))


def column_factors(multiples: Array, log_column: int) -> Array:
    """Basis factors of columns of ``2^log_column`` rows, seen through their lift.

    Args:
      multiples: of the points at the largest size ``2^L``, uint32 ``[n_points, L, 2, 4]``.
      log_column: k, 1 to L.

    Returns uint32 ``[n_points, k, 4]``, as ``jaxstark.oods.lifted_factors``: y of the point
    doubled ``L - k`` times, then x of it and of its multiples. Raises ``ValueError`` for another k.
    """
    log_size = multiples.shape[1]
    if not 1 <= log_column <= log_size:
        raise ValueError(f"log size of columns: expected 1 to {log_size}, got {log_column}")
    first = log_size - log_column
    y, x = multiples[:, first : first + 1, 1], multiples[:, first : log_size - 1, 0]
    return jnp.concatenate([y, x], axis=1)


@partial(jax.jit, static_argnames=("count", "interpret"))
def powers(base: Array, count: int, *, interpret: bool = False) -> Array:
    """``base^0 .. base^(count - 1)``, uint32 ``[count, 4]``, for a QM31 element uint32 ``[4]``.

    Raises ``ValueError`` for another shape or no power.
    """
    _check("base", base, (DEGREE,))
    if count < 1:
        raise ValueError(f"powers: expected at least one, got {count}")
    return mosaic_gpu.powers(base, count, interpret=interpret)[:, :count].T


@partial(jax.jit, static_argnames=("low_log", "interpret"))
def basis(factors: Array, *, low_log: int = LOG_LANES, interpret: bool = False) -> Basis:
    """Products of basis factors, uint32 ``[n_points, k, 4]``, for low and high parts of an index.

    ``low_log`` is l, 7 to k. Raises ``ValueError`` for other sizes.
    """
    _check("factors", factors, (None, None, DEGREE))
    n_points, log_size, _ = factors.shape
    if not n_points or not LOG_LANES <= low_log <= log_size:
        raise ValueError(
            f"basis: expected a point and {LOG_LANES} <= l <= k, "
            f"got {n_points} points, l = {low_log}, k = {log_size}"
        )
    return Basis(*mosaic_gpu.basis(factors, low_log, interpret=interpret))


@partial(jax.jit, static_argnames=("rows", "config", "interpret"))
def evaluate_at(
    groups: Sequence[Array],
    factors: Array,
    *,
    rows: tuple[tuple[int, ...], ...] | None = None,
    config: EvaluateConfig = EvaluateConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """The value of every column at every point: uint32 ``[n_points, 4, c]``, canonical.

    Args:
      groups: coefficients of columns of one size, uint32 ``[c_i, 2^k]`` each, in index order,
        k >= 7; words at most p.
      factors: basis factors, uint32 ``[n_points, k, 4]``.
      rows: which columns of each group, all if None; consecutive ones are not copied.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Two launches and one sum. Raises ``ValueError`` for other shapes.
    """
    _check("factors", factors, (None, None, DEGREE))
    n_points, log_size, _ = factors.shape
    _check_groups(groups, log_size)
    table = basis(factors, low_log=config.low_log(log_size, n_points), interpret=interpret)
    return evaluate_with(groups, table, rows=rows, config=config, interpret=interpret)


@partial(jax.jit, static_argnames=("rows", "config", "interpret"))
def evaluate_with(
    groups: Sequence[Array],
    table: Basis,
    *,
    rows: tuple[tuple[int, ...], ...] | None = None,
    config: EvaluateConfig = EvaluateConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """As ``evaluate_at`` with the basis at hand, made with ``low_log`` of the same ``config``.

    Raises ``ValueError`` for other sizes.
    """
    n_points, log_size = len(table.low), groups[0].shape[-1].bit_length() - 1
    _check_groups(groups, log_size)
    if rows is None:
        rows = tuple(tuple(range(len(group))) for group in groups)
    chosen = [
        _consecutive(group, some) for group, some in zip(groups, rows, strict=True) if len(some)
    ]
    n_columns = sum(group.count for group in chosen)
    if not n_columns:
        raise ValueError("rows: expected some, got none")
    tile = config.tile(n_columns, log_size, n_points)
    weights = max((1 << log_size) // tile.low, 1 << LOG_LANES)
    _check("low products", table.low, (n_points, DEGREE, tile.low))
    _check("high products", table.high, (n_points, DEGREE, weights))
    parts = mosaic_gpu.partial_sums(chosen, *table, tile, interpret=interpret)
    return wide.row_sums(parts.reshape(n_points, DEGREE, n_columns, -1))


def _consecutive(group: Array, rows: tuple[int, ...]) -> mosaic_gpu.Group:
    """Some rows, copied if they are apart."""
    if not all(0 <= row < len(group) for row in rows):
        raise ValueError(f"rows: expected some of {len(group)}, got {list(rows)}")
    first, count = rows[0], len(rows)
    if rows != tuple(range(first, first + count)):
        return mosaic_gpu.Group(group[np.array(rows)], 0, count)
    return mosaic_gpu.Group(group, first, count)


def _check_groups(groups: Sequence[Array], log_size: int) -> None:
    for group in groups:
        _check("coefficients", group, (None, None))
        size = group.shape[1]
        if size != 1 << log_size or not fits(log_size):
            raise ValueError(
                f"coefficients: expected 2^k of them for k factors, k >= {LOG_LANES}, "
                f"got {size} for {log_size}"
            )


def _check(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    got = tuple(array.shape)
    good = len(got) == len(shape) and all(s in (None, g) for s, g in zip(shape, got, strict=True))
    if not good or array.dtype != np.uint32:
        expected = ", ".join("any" if s is None else str(s) for s in shape)
        raise ValueError(f"{name}: expected uint32 [{expected}], got {array.dtype} {list(got)}")
