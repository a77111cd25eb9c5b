"""Masks one row back, which lanes of a kernel cannot gather: XLA does, for many components at once.

A kernel moves most slots itself, by whole blocks (``quotient``). Left are those whose order in a
block changes, in the first and in the last block. They are few, so that time is launches: what
all components read becomes one array for each width of rows. Source: protocol section 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxstark.air.definition import Air
from jaxstark.fields import qm31
from jaxstark.pallas.constraints.config import QuotientConfig
from jaxstark.pallas.constraints.reads import reads
from jaxstark.pallas.launch import LANES
from jaxstark.shape import INTERACTION, TRACE

Array = Any


class Component(NamedTuple):
    """A component of ``2^k`` rows whose masks one row back are wanted.

    Attributes:
      index: in the AIR.
      where: rows of its columns in the groups, from ``jaxstark.composition.locate``.
      groups: per tree, the arrays of the size group of k, uint32 ``[columns, 2^(k+1)]`` in storage
        order, rows numbered through them. Components of one size have the same.
      back: slots one row back, int32 ``[2^(k+1)]``: ``circle.shifted_slots(k, k + 1, -1)``.
    """

    index: int
    where: Any
    groups: Sequence[Sequence[Array]]
    back: Array


def columns_back(air: Air, index: int, where: Any) -> list[tuple[int, int]]:
    """Tree and row of what the constraints of a component read one row back.

    The trace columns in the order of declaration, then the last secure column of its lookups.
    """
    comp, info = air.components[index], air.info.components[index]
    previous = reads(air, index, rules=True).previous
    rows = zip(comp.columns, where.trace, strict=True)
    found = [(TRACE, row) for name, row in rows if name in previous]
    if info.n_entries:
        found += [(INTERACTION, row) for row in where.interaction[-qm31.DEGREE :]]
    return found


def one_row_back(
    air: Air,
    components: Sequence[Component],
    *,
    config: QuotientConfig = QuotientConfig(),  # noqa: B008
) -> dict[int, tuple[Array, tuple[int, ...]]]:
    """What ``api.component_quotient`` takes as ``moved`` and ``places``, by index of a component.

    Components that read nothing one row back are left out. An array is uint32 ``[rows, 2 lanes]``:
    the first and the last ``config.lanes`` slots; with ``config.gather`` all slots of the domain,
    and of a small one those of ``spread``. Components for which it has the same width share it.
    """
    # By size and tree, whose arrays and order they share.
    rows: dict[tuple[int, int], set[int]] = {}
    of_size = {one.back.shape[0]: one for one in components}
    for one in components:
        for tree, row in columns_back(air, one.index, one.where):
            rows.setdefault((one.back.shape[0], tree), set()).add(row)
    pieces: dict[int, list[Array]] = {}
    places: dict[tuple[int, int, int], int] = {}
    width_of: dict[int, int] = {}
    for (size, tree), wanted in rows.items():
        order = _moved_slots(of_size[size].back, config)
        width_of[size] = order.shape[0]
        of_width = pieces.setdefault(order.shape[0], [])
        start = 0
        for part in of_size[size].groups[tree]:
            mine = [row for row in sorted(wanted) if start <= row < start + part.shape[0]]
            if mine:
                first = sum(piece.shape[0] for piece in of_width)
                places |= {(size, tree, row): first + i for i, row in enumerate(mine)}
                inside = np.array(mine, np.int32)[:, None] - np.int32(start)
                # One gather for all rows: a slice for each would be a fusion for each.
                of_width.append(part.at[inside, order].get(mode="clip"))
            start += part.shape[0]
    tables = {width: jnp.concatenate(some) for width, some in pieces.items()}
    out = {}
    for one in components:
        size = one.back.shape[0]
        own = tuple(places[size, *found] for found in columns_back(air, one.index, one.where))
        if own:
            out[one.index] = tables[width_of[size]], own
    return out


def spread(words: Array) -> Array:
    """Each half of a domain, on the last axis, repeated until it fills the lanes of a block.

    What is one row back of a slot lies in the other half, at the same place in it, or is moved: so
    the order of the slots in their half may be repeated.
    """
    *shape, size = words.shape
    repeat = 2 * LANES // size
    if repeat <= 1:
        return words
    halves = words.reshape(*shape, 2, 1, size // 2)
    return jnp.tile(halves, (repeat, 1)).reshape(*shape, 2 * LANES)


def gathered(words: Array, size: int) -> Array:
    """The ``size`` words on the last axis that ``spread`` made these of."""
    *shape, width = words.shape
    if size == width:
        return words
    return words.reshape(*shape, 2, -1, size // 2)[..., 0, :].reshape(*shape, size)


def _moved_slots(back: Array, config: QuotientConfig) -> Array:
    """Where the slots of the kernel's ``moved`` lie."""
    if config.gather or back.shape[0] < 2 * LANES:
        return spread(back)
    lanes = config.lanes(back.shape[0])
    return jnp.concatenate([back[:lanes], back[-lanes:]])
