"""LogUp over whole columns: the fractions of all lookups of a component at once.

Entries are stacked by relation, so that a program has one product, one sum and one inverse for all
of them and not one for each: it compiles many times faster. Source: protocol section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.air.definition import Air
from jaxstark.air.evaluate import Entry, RelationElements
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31, sums
from jaxstark.fields.qm31 import QM31


def elements_shape(air: Air) -> tuple[int, int, int]:
    """Shape of the encoded elements of an AIR that has relations."""
    return len(air.relations), 1 + max(r.arity for r in air.relations), qm31.DEGREE


def encode_elements(air: Air, elements: Mapping[Any, RelationElements]) -> Any:
    """Relation elements ``z, 1, alpha, ..`` as a traced argument, for an AIR that has relations.

    Returns uint32 ``[relations, 1 + largest arity, 4]``; rows past the arity of a relation are 0.
    """
    out = np.zeros(elements_shape(air), np.uint32)
    for words, relation in zip(out, air.relations, strict=True):
        element = elements[relation]
        words[: 1 + relation.arity] = [element.z, *element.alpha_powers]
    return out


def decode_public(air: Air, arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Inside a traced function: public values as scalars of uint32 vectors."""
    return {name: [arrays[name][i] for i in range(arrays[name].shape[0])] for name in arrays}


def batch_fractions(
    air: Air, entries: Sequence[Entry], elements: Any, rows: int
) -> tuple[QM31, QM31]:
    """Numerators and denominators of all pairs of entries, QM31 of uint32 ``[batches, rows]``.

    ``elements`` as encoded; an odd last entry is a batch of its own.
    """
    denominators: list[Any] = [None] * len(entries)
    for relation, element in zip(air.relations, elements, strict=True):
        mine = [i for i, entry in enumerate(entries) if entry.relation == relation]
        if mine:
            combined = _combine([entries[i].values for i in mine], element, rows)
            for place, i in enumerate(mine):
                denominators[i] = [coordinate[place] for coordinate in combined]
    weights = [_column(entry.multiplicity, rows) for entry in entries]
    if len(entries) % 2:
        denominators.append([_column(word, rows) for word in qm31.ONE])
        weights.append(_column(0, rows))
    pairs = [QM31(*map(jnp.stack, zip(*denominators[i::2], strict=True))) for i in (0, 1)]
    first, second = jax.lax.optimization_barrier(pairs)
    num = qm31.add(
        qm31.mul_base(second, jnp.stack(weights[0::2])),
        qm31.mul_base(first, jnp.stack(weights[1::2])),
    )
    return num, qm31.mul(first, second)


def _combine(tuples: Sequence[Sequence[Any]], element: Any, rows: int) -> list[Any]:
    """``sum_i alpha^i v_i - z`` for tuples of one relation: four of uint32 ``[tuples, rows]``."""
    table = jnp.stack([jnp.stack([_column(v, rows) for v in values]) for values in tuples])
    out = []
    for c in range(qm31.DEGREE):
        # alpha^0 is 1: the first values need no product.
        terms = [table[:, 0]] if c == 0 else []
        if arity := table.shape[1] - 1:
            powers = (element[i, c] for i in range(2, arity + 2))
            pairs = [(table[:, i], p) for i, p in enumerate(powers, 1)]
            terms.append(sums.dot([(x, jnp.broadcast_to(p, x.shape)) for x, p in pairs]))
        total = sums.total(terms) if terms else jnp.zeros_like(table[:, 0])
        out.append(m31.sub(total, jnp.broadcast_to(element[0, c], total.shape)))
    return out


def _column(value: Any, rows: int) -> Any:
    word = value.value if isinstance(value, Felt) else value % m31.P
    return jnp.broadcast_to(jnp.asarray(word, jnp.uint32), (rows,))
