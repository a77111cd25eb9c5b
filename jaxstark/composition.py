"""The composition polynomial: constraints over domains, quotients, lifting, splitting.

Source: Circle STARK paper section on the quotient, protocol section 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle, fft
from jaxstark.air.definition import Air
from jaxstark.air.evaluate import run
from jaxstark.air.felt import Felt
from jaxstark.commit import Committed, log_size
from jaxstark.fields import m31, qm31, sums
from jaxstark.fields.qm31 import QM31
from jaxstark.lifting import lift
from jaxstark.logup import batch_fractions, decode_public
from jaxstark.shape import ProofShape, size_groups

# The vanishing polynomial is +-2^15 on the two halves of the domain one size up.
_ZEROFIER_INVERSE = 1 << 16
_RULES_PER_GROUP = 4


class Columns(NamedTuple):
    """Where a component's columns are: rows of the size group of its own log size."""

    fixed: tuple[int, ...]
    trace: tuple[int, ...]
    interaction: tuple[int, ...]


@lru_cache(maxsize=256)
def locate(air: Air, shape: ProofShape) -> tuple[Columns, ...]:
    """Where the columns of every component are."""
    rows = []  # [tree][column] -> row in its size group
    for columns in shape.columns:
        place = {c: i for _, group in size_groups(columns) for i, c in enumerate(group)}
        rows.append([place[c] for c in range(len(columns))])
    fixed_index = {name: i for i, (name, _) in enumerate(air.preprocessed)}
    out, trace, inter = [], 0, 0
    for comp, info in zip(air.components, air.info.components, strict=True):
        n_trace, n_inter = len(comp.columns), 4 * info.n_batches
        out.append(
            Columns(
                tuple(rows[0][fixed_index[name]] for name in comp.preprocessed_names),
                tuple(rows[1][trace : trace + n_trace]),
                tuple(rows[2][inter : inter + n_inter]) if n_inter else (),
            )
        )
        trace, inter = trace + n_trace, inter + n_inter
    return tuple(out)


def composition_coefficients(
    air: Air,
    shape: ProofShape,
    log_blowup: int,
    trees: Sequence[Committed],
    coefficient: QM31,
    public: Any,
    elements: Any,
    claimed_sums: Sequence[QM31],
) -> Any:
    """Coefficients of the split composition polynomial: uint32 ``[8, 2^L]``.

    ``trees`` are the committed trees; ``public`` and ``elements`` are encoded for tracing (see
    ``jaxstark.logup``). Left halves of the four coordinates come first, then right halves.
    """
    powers = np.array(qm31.powers(coefficient, shape.n_constraints)[::-1], np.uint32)
    domains = [_on_quotient_domain(tree, log_blowup) for tree in trees]
    claims, by_size, start = iter(claimed_sums), {}, 0
    for index, k in enumerate(shape.log_sizes):
        info, where = air.info.components[index], locate(air, shape)[index]
        count = len(info.constraints)
        claimed = next(claims) if info.n_entries else qm31.ZERO
        share = qm31.mul_base(claimed, pow(1 << k, -1, m31.P))
        quotient = component_quotient(
            air,
            index,
            where,
            tuple(domain.get(k) for domain in domains),
            circle.shifted_slots(k, k + 1, -1),
            powers[start : start + count],
            np.array(share, np.uint32),
            public,
            elements,
        )
        by_size[k] = _add(by_size[k], quotient) if k in by_size else quotient
        start += count
    return fft.split(fft.interpolate(lift_and_add(by_size)))


def lift_and_add(by_size: Mapping[int, Any]) -> Any:
    """The sum of quotients by log size of their component, ``[4, 2^(k+1)]``, on the largest."""
    smallest, *larger = sorted(by_size)
    total = by_size[smallest]
    for k in larger:
        total = _lift_add(total, by_size[k])
    return total


def _on_quotient_domain(tree: Committed, log_blowup: int) -> dict[int, Any]:
    """Evaluations of every size group on the domain one size up, by log size.

    With blow-up 2 they are the committed ones; larger canonic domains do not contain them.
    """
    if log_blowup == 1:
        return {log_size(c): e for c, e in zip(tree.coefficients, tree.evaluations, strict=True)}
    return {log_size(c): fft.evaluate(c, log_size(c) + 1) for c in tree.coefficients}


@partial(jax.jit, static_argnames=("air", "index", "where"))
def component_quotient(
    air: Air,
    index: int,
    where: Columns,
    groups: tuple[Any, ...],
    back: Any,
    powers: Any,
    share: Any,
    public: Any,
    elements: Any,
) -> Any:
    """The quotient of one component's constraints on its domain: uint32 ``[4, 2^(k+1)]``.

    Args:
      air: the AIR (static).
      index: of the component (static).
      where: rows of its columns in the groups (static).
      groups: per tree, the evaluations of the size group of its log size k.
      back: slots one row back.
      powers: its powers of the composition coefficient, uint32 ``[constraints, 4]``.
      share: claimed sum divided by the number of rows, uint32 ``[4]``.
      public: as encoded for tracing.
      elements: as encoded for tracing.
    """
    comp, info = air.components[index], air.info.components[index]
    fixed, trace = groups[0], groups[1]
    current = {
        name: Felt(fixed[row])
        for name, row in zip(comp.preprocessed_names, where.fixed, strict=True)
    }
    previous = {}
    for name, row, offsets in zip(comp.columns, where.trace, info.offsets, strict=True):
        current[name] = Felt(trace[row])
        if len(offsets) == 2:
            previous[name] = Felt(_shift(trace[row], back))
    rules, entries = run(air, comp, current, previous, decode_public(air, public))
    size = trace.shape[1]
    total = QM31(*(jnp.zeros((size,), jnp.uint32) for _ in range(4)))
    # The barriers keep XLA from evaluating a rule once for each of the four coordinates.
    for start in range(0, len(rules), _RULES_PER_GROUP):
        values = [rule.value for rule in rules[start : start + _RULES_PER_GROUP]]
        values, total = jax.lax.optimization_barrier((values, total))
        for offset, value in enumerate(values):
            power = QM31(*powers[start + offset])
            if isinstance(value, QM31):
                total = qm31.add(total, qm31.mul(value, power))
            else:
                total = qm31.add(total, qm31.mul_base(power, value))
    if entries:
        columns = [groups[2][row] for row in where.interaction]
        lookups = _lookup_rules(air, entries, columns, back, share, elements)
        weights = QM31(*(w[len(rules) :, None] for w in powers.T))
        weighted = qm31.mul(lookups, QM31(*(_widened(w, size) for w in weights)))
        total = QM31(*(sums.total([t, *w]) for t, w in zip(total, weighted, strict=True)))
    half = size // 2
    parts = [
        jnp.concatenate(
            [m31.mul(x[:half], _ZEROFIER_INVERSE), m31.mul(x[half:], m31.P - _ZEROFIER_INVERSE)]
        )
        for x in jax.lax.optimization_barrier(total)
    ]
    return jnp.stack(parts)


def _lookup_rules(
    air: Air, entries: Any, columns: list[Any], back: Any, share: Any, elements: Any
) -> QM31:
    """The LogUp constraint of every batch: QM31 of uint32 ``[batches, size]``.

    Each batch adds its fractions to the batch before. The last one closes the running sum: it
    goes on from its own value one row back, less an equal share of the claimed sum.
    """
    size = columns[0].shape[0]
    num, den = jax.lax.optimization_barrier(batch_fractions(air, entries, elements, size))
    before = [jnp.zeros_like(columns[0])] * 4 + columns[:-4]
    for c in range(4):
        turn = m31.sub(_shift(columns[c - 4], back), jnp.broadcast_to(share[c], (size,)))
        before[c - 4] = m31.add(before[c - 4], turn)
    steps = [m31.sub(now, then) for now, then in zip(columns, before, strict=True)]
    step = jax.lax.optimization_barrier(QM31(*(jnp.stack(steps[c::4]) for c in range(4))))
    return jax.lax.optimization_barrier(qm31.sub(qm31.mul(step, den), num))


def _widened(column: Any, size: int) -> Any:
    return jnp.broadcast_to(column, (column.shape[0], size))


def _shift(column: Any, order: Any) -> Any:
    return jnp.take(column, order, unique_indices=True, mode="clip")


@jax.jit
def _add(a: Any, b: Any) -> Any:
    return m31.add(a, b)


@jax.jit
def _lift_add(small: Any, large: Any) -> Any:
    return m31.add(lift(small, log_size(large)), large)
