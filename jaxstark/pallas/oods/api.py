"""Values out of domain on the GPU, bit for bit those of ``jaxstark.oods``.

Points are device arrays, so that a point drawn on the device never visits the host. The functions
run the kernels or raise. ``interpret=True`` runs on a CPU, slowly, for tests.
Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle
from jaxstark.fields import wide
from jaxstark.fields.qm31 import DEGREE
from jaxstark.pallas import launch
from jaxstark.pallas.oods import mosaic_gpu
from jaxstark.pallas.oods.config import LOG_LANES, EvaluateConfig
from jaxstark.pallas.oods.mosaic_gpu import Products
from jaxstark.pallas.together import Steps, alone

Array = Any
# Columns of one size: 0 at the drawn point or 1 at that of the row before, and log2 of the size.
Seen = tuple[int, int]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bases:
    """Products of basis factors for both parts of an index ``m = 2^l high + low``; a pytree.

    Attributes:
      table: uint32 ``[4, words]``: one basis after the other, of each the products of all low
        parts, then those of the high ones, filled up to 128 of them.
      columns: whose bases these are, in order.
      config: sizes of the evaluation, with the split l.
    """

    table: Array
    columns: tuple[Seen, ...] = field(metadata={"static": True})
    config: EvaluateConfig = field(metadata={"static": True})

    def start(self, seen: Seen) -> int:
        """Where the basis of some columns begins; ``ValueError`` if it is not there."""
        if seen not in self.columns:
            raise ValueError(f"basis: expected one of {list(self.columns)}, got {seen}")
        before = self.columns[: self.columns.index(seen)]
        return sum(sum(self.config.products(k)) for _, k in before)


@partial(jax.jit, static_argnames=("log_size", "columns", "config", "interpret"))
def drawn_bases(
    felt: Array,
    log_size: int,
    columns: tuple[Seen, ...] = (),
    *,
    config: EvaluateConfig = EvaluateConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, Bases]:
    """The multiples of an out-of-domain point and of the row before, and bases at them.

    Args:
      felt: uint32 ``[4]``, as drawn.
      log_size: L, log2 of the rows of the largest component, from 1.
      columns: which bases; sizes ``2^k``, k from 1 to L, are seen through their lift.
      config: that of the evaluation.
      interpret: run on a CPU.

    Multiples are uint32 ``[2, L, 2, 4]``, the words of x and y of each point doubled 0 .. L - 1
    times: ``[0, 0]`` is ``circle.secure_point`` of the felt. One launch for all. Raises
    ``ValueError`` for another shape or size.
    """
    _check("felt", felt, (DEGREE,))
    if not 1 <= log_size <= circle.MAX_LOG_SIZE:
        raise ValueError(f"log size: expected 1 to {circle.MAX_LOG_SIZE}, got {log_size}")
    products = []
    for which, k in columns:
        if which not in (0, 1) or not 1 <= k <= log_size:
            expected = f"0 or 1, and 1 to {log_size}"
            raise ValueError(f"columns: expected {expected}, got {which}, {k}")
        parts = zip((0, config.low_log(k)), config.products(k), strict=True)
        products += [
            Products(which, log_size - k, shift, first)
            for shift, size in parts
            for first in range(0, size, 1 << LOG_LANES)
        ]
    back = circle.point(-circle.subgroup_generator(log_size))
    made = mosaic_gpu.drawn_bases(felt, log_size, back, products, interpret=interpret)
    table = made[1] if products else jnp.zeros((DEGREE, 0), np.uint32)
    return made[0], Bases(table, columns, config)


def column_values(
    groups: Sequence[Array],
    bases: Bases,
    seen: Seen,
    *,
    rows: tuple[tuple[int, ...], ...] | None = None,
    interpret: bool = False,
) -> Steps[Array]:
    """The value of every column of one size at one point: uint32 ``[4, c]``, canonical.

    A computation of kernels, which may share their launches; ``evaluate_columns`` is that alone.

    Args:
      groups: coefficients of the columns, uint32 ``[c_i, 2^k]`` each, in index order; words
        at most p.
      bases: of ``drawn_bases``, with theirs.
      seen: 0 for the drawn point or 1 for the one of the row before, and k.
      rows: which columns of each group, all if None.
      interpret: run on a CPU.

    One launch and one sum. Raises ``ValueError`` for other shapes, or without such a basis.
    """
    start, log_size = bases.start(seen), seen[1]
    words = sum(sum(bases.config.products(k)) for _, k in bases.columns)
    _check("products", bases.table, (DEGREE, words))
    for group in groups:
        _check("coefficients", group, (None, 1 << log_size))
    if rows is None:
        rows = tuple(tuple(range(len(group))) for group in groups)
    chosen = [_some(group, some) for group, some in zip(groups, rows, strict=True) if len(some)]
    n_columns = sum(len(group.rows) for group in chosen)
    if not n_columns:
        raise ValueError("rows: expected some, got none")
    tile = bases.config.tile(n_columns, log_size, len(chosen))
    parts = yield from mosaic_gpu.partial_sums(
        chosen, bases.table, start, tile, interpret=interpret
    )
    return wide.row_sums(parts.reshape(DEGREE, n_columns, -1))


evaluate_columns = jax.jit(alone(column_values), static_argnames=("seen", "rows", "interpret"))


def _some(group: Array, rows: tuple[int, ...]) -> mosaic_gpu.Group:
    if not all(0 <= row < len(group) for row in rows):
        raise ValueError(f"rows: expected some of {len(group)}, got {list(rows)}")
    missing = (1 << LOG_LANES) - group.shape[1]
    if missing > 0:  # coefficients that are 0, for as many lanes as a block has
        group = jnp.pad(group, ((0, 0), (0, missing)))
    return mosaic_gpu.Group(group, rows)


def _check(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    if not launch.is_words(array, shape):
        expected, got = ", ".join("any" if s is None else str(s) for s in shape), list(array.shape)
        raise ValueError(f"{name}: expected uint32 [{expected}], got {array.dtype} {got}")
