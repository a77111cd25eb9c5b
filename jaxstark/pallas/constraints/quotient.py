"""The kernel of composition quotients; one point of the domain in a lane.

Source: protocol section 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.air.definition import Air, Row
from jaxstark.fields import lazy, m31, qm31
from jaxstark.fields.lazy import EMPTY
from jaxstark.fields.qm31 import QM31
from jaxstark.pallas import launch
from jaxstark.pallas.constraints import evaluation
from jaxstark.pallas.constraints.config import QuotientConfig
from jaxstark.pallas.constraints.evaluation import Fraction, Masks, Scalars
from jaxstark.pallas.constraints.reads import Reads, locate
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any

# The vanishing polynomial is +-2^15 on the two halves of the domain one size up.
_ZEROFIER_INVERSE = 1 << 16


class Part(NamedTuple):
    """What the quotient of one component reads.

    Attributes:
      index: of the component.
      reads: what its constraints read.
      where: rows of its columns in the groups, from ``jaxstark.composition.locate``.
      arrays: ``fixed``, ``trace`` and ``interaction``, the arrays of each size group; ``moved``,
        what XLA moved one row back; ``powers``; ``shares``; the public vectors as
        ``("public", name)``; ``elements`` of all relations. Those that are not read may be missing.
      places: rows of ``moved``, in the order of ``moved.columns_back``.
      first: the power of its first constraint.
      claim: the row of ``shares`` that is its own.
    """

    index: int
    reads: Reads
    where: Any
    arrays: Mapping[Any, Any]
    places: Sequence[int]
    first: int
    claim: int


def code(air: Air, part: Part) -> int:
    """``Kernel.code`` of a component; fitted to those of the virtual machine."""
    info = air.info.components[part.index]
    return 10 + part.reads.n_columns + 2 * info.n_rules + 4 * info.n_entries


def quotient(
    air: Air, parts: Sequence[Part], size: int, *, config: QuotientConfig, interpret: bool
) -> Steps[Array]:
    """The sum of the composition quotients of components of one size, uint32 ``[4, size]``."""
    lanes = config.lanes(size)
    in_order = config.gather or not any(part.places for part in parts)
    inputs, structure = jax.tree.flatten([tuple(part.arrays.values()) for part in parts])

    def body(point: Any, *refs: Ref) -> None:
        *sources, out = refs
        place = _Place(point[0], size, lanes, in_order)
        totals = [EMPTY] * qm31.DEGREE
        for part, own in zip(parts, jax.tree.unflatten(structure, sources), strict=True):
            memory = dict(zip(part.arrays, own, strict=True))
            totals = _add_constraints(air, part, memory, place, totals, lanes, interpret)
        inverse = jnp.where(
            place.here.start < np.int32(size // 2),
            np.uint32(_ZEROFIER_INVERSE),
            np.uint32(m31.P - _ZEROFIER_INVERSE),
        )
        for c, total in enumerate(totals):
            scale = jnp.broadcast_to(inverse, (lanes,))
            launch.store(out, m31.mul(lazy.reduce(total), scale), c, place.here)

    out = jax.ShapeDtypeStruct((qm31.DEGREE, size), np.uint32)
    # Nothing is read back that was written: no barriers.
    length = sum(code(air, part) for part in parts)
    (made,) = yield Kernel(body, (out,), (size // lanes,), (), tuple(inputs), length)
    return made


def _add_constraints(
    air: Air,
    part: Part,
    memory: Mapping[Any, Any],
    place: _Place,
    totals: Sequence[Any],
    lanes: int,
    interpret: bool,
) -> list[Any]:
    """Totals with the constraints of a component added, each times its power."""
    comp, info, where = air.components[part.index], air.info.components[part.index], part.where
    last, here = info.n_batches - 1, place.here
    fractions, public = evaluation.scalars(air, part.reads, memory, lanes)
    powers = Scalars(memory["powers"], lanes)
    totals = list(totals)
    before: QM31 | None = None
    rules = batches = 0

    def settle() -> None:
        """Keep XLA from evaluating a constraint once for each coordinate."""
        nonlocal totals
        if interpret:
            totals = [
                t if t.words is None else t._replace(words=lax.optimization_barrier(t.words))
                for t in totals
            ]

    def on_rule(value: Any) -> None:
        nonlocal totals, rules
        if interpret:
            value = lax.optimization_barrier(evaluation.vector(value, lanes))
        word = lazy.widen(evaluation.vector(value, lanes))
        power = powers.secure(part.first + rules)
        totals = [lazy.add_product(t, word, p) for t, p in zip(totals, power, strict=True)]
        rules += 1
        settle()

    def on_batch(batch: Sequence[Fraction]) -> None:
        nonlocal totals, batches, before
        rows = where.interaction[4 * batches :][:4]
        now = QM31(*(_load(memory["interaction"], row, here) for row in rows))
        step = now if before is None else qm31.sub(now, before)
        if batches == last:
            # The running sum goes on from its own value one row back, less an equal share.
            share = Scalars(memory["shares"], lanes).secure(part.claim)
            back = QM31(
                *(
                    place.load_back(memory["interaction"], row, memory["moved"], i)
                    for row, i in zip(rows, part.places[-qm31.DEGREE :], strict=True)
                )
            )
            step = qm31.add(qm31.sub(step, back), share)
        value = _lookup_rule(step, batch, lanes, interpret)
        power = lazy.factor(powers.secure(part.first + info.n_rules + batches))
        totals = lazy.secure_products(totals, value, power)
        before = now
        batches += 1
        settle()

    row = _quotient_row(comp, part.reads, where, memory, part.places, place)
    comp.evaluate(row, evaluation.Evaluator(public, fractions, info.n_entries, on_rule, on_batch))
    return totals


def _quotient_row(
    comp: Any,
    reads: Reads,
    where: Any,
    memory: Mapping[Any, Ref],
    places: Sequence[int],
    place: _Place,
) -> Row:
    """Masks in the size groups."""
    current: dict[str, Any] = {}
    for group, columns, rows in (
        ("fixed", comp.preprocessed_names, where.fixed),
        ("trace", comp.columns, where.trace),
    ):
        for name, row in zip(columns, rows, strict=True):
            read = name in reads.current
            current[name] = partial(_load, memory[group], row, place.here) if read else None
    found = [
        (name, row)
        for name, row in zip(comp.columns, where.trace, strict=True)
        if name in reads.previous
    ]
    previous = {
        name: partial(place.load_back, memory["trace"], row, memory["moved"], i)
        for (name, row), i in zip(found, places[: len(found)], strict=True)
    }
    return Row(Masks(current), Masks(previous))


class _Place:
    """The slots of a block, and where their points one row back lie.

    Slots that differ in their ``log2(lanes)`` lowest bits only have natural indices that differ in
    their highest bits only; the rest of those indices is the number ``n`` of the block. One row
    back is index ``i - 1`` in even slots, where the highest bit is 0, and ``i + 1`` in odd ones:
    the same slots of blocks ``n - 1`` and ``n + 1``, unless this carries into the slots' bits.
    Blocks run in the order of n, so that their neighbours are in the cache.
    """

    def __init__(self, index: Any, size: int, lanes: int, in_order: bool) -> None:
        self._number, self._blocks, self._lanes = index, size // lanes, lanes
        self._in_order = in_order
        self.here = self._slots(index)
        if not in_order:
            count = np.int32(self._blocks)
            self._before = self._slots(lax.rem(index + (count - np.int32(1)), count))
            self._behind = self._slots(lax.rem(index + np.int32(1), count))

    def _slots(self, number: Any) -> Any:
        if not self._in_order:
            number = _reversed_bits(number, self._blocks.bit_length() - 1)
        return pl.ds(number * self._lanes, self._lanes)

    def load_back(self, group: Sequence[Ref], row: int, moved: Ref, i: int) -> Array:
        """Row ``row`` of a group one row back; row ``i`` of ``moved`` is what XLA moved of it."""
        if self._in_order:
            return launch.load(moved, i, self.here)
        first, last = (
            launch.load(moved, i, pl.ds(end * self._lanes, self._lanes)) for end in range(2)
        )
        even = _load(group, row, self._before)
        even = jnp.where(self._number == 0, first, even)
        odd = _load(group, row, self._behind)
        odd = jnp.where(self._number == np.int32(self._blocks - 1), last, odd)
        parity = launch.lane_numbers(self._lanes) & np.uint32(1)
        return jnp.where(parity == np.uint32(0), even, odd)


def _load(group: Sequence[Ref], row: int, here: Any) -> Array:
    """A vector of a row of a size group, whose rows are numbered through its arrays."""
    part, row = locate(group, row)
    return launch.load(part, row, here)


def _reversed_bits(number: Any, bits: int) -> Any:
    """The ``bits`` lowest bits of an int32 scalar, which has no others, in reverse."""
    word = number.astype(np.uint32)
    masks = (0x55555555, 0x33333333, 0x0F0F0F0F, 0x00FF00FF, 0x0000FFFF)
    for i, mask in enumerate(masks):
        low = (word & np.uint32(mask)) << np.uint32(1 << i)
        word = ((word >> np.uint32(1 << i)) & np.uint32(mask)) | low
    return (word >> np.uint32(32 - bits)).astype(np.int32)


def _lookup_rule(step: QM31, batch: Sequence[Fraction], lanes: int, interpret: bool) -> QM31:
    """``step den - num`` for the fraction that a batch adds up to.

    ``(step d - m) d' - m' d`` for two of them: no product of the denominators.
    """
    (weight, den), *second = batch
    totals = lazy.secure_products([EMPTY] * qm31.DEGREE, step, lazy.factor(den))
    minus = evaluation.vector(evaluation.minus(weight), lanes)
    totals[0] = lazy.add_word(totals[0], minus)
    for weight, other in second:
        value = evaluation.barrier(evaluation.reduced(totals), interpret)
        totals = lazy.secure_products([EMPTY] * qm31.DEGREE, value, lazy.factor(other))
        minus = evaluation.minus(weight)
        totals = [evaluation.add_weighted(t, minus, d) for t, d in zip(totals, den, strict=True)]
    return evaluation.barrier(evaluation.reduced(totals), interpret)
