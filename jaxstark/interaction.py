"""LogUp columns: fractions, their batches and the running sum. Source: protocol section 11."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.air.definition import Air
from jaxstark.air.evaluate import RelationElements, batches, run
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31


def encode_elements(air: Air, elements: Mapping[Any, RelationElements]) -> Any:
    """Relation elements as a traced argument: uint32 ``[1 + arity, 4]`` per relation."""
    return tuple(
        np.array([elements[r].z, *elements[r].alpha_powers], np.uint32) for r in air.relations
    )


def decode_elements(air: Air, arrays: Any) -> dict[Any, RelationElements]:
    """Inside a traced function: elements whose coordinates are scalars of the arrays."""
    out = {}
    for relation, array in zip(air.relations, arrays, strict=True):
        rows = [QM31(*(row[i] for i in range(4))) for row in array]
        # alpha^0 is 1: as a constant it costs no product.
        out[relation] = RelationElements(rows[0], (qm31.ONE, *rows[2:]))
    return out


def decode_public(air: Air, arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Inside a traced function: public values as scalars of uint32 vectors."""
    return {name: [arrays[name][i] for i in range(arrays[name].shape[0])] for name in arrays}


@partial(jax.jit, static_argnames=("air", "index"))
def interaction_columns(
    air: Air, index: int, columns: Any, fixed: Any, public: Any, elements: Any
) -> tuple[Any, Any]:
    """Interaction columns of one component, and its claimed sum.

    ``columns``: uint32 ``[n, 2^k]`` trace columns, ``fixed``: the preprocessed columns it reads, in
    row order; ``elements`` and ``public`` as encoded for tracing. Returns uint32
    ``[4 batches, 2^k]`` in row order and uint32 ``[4]``.
    """
    comp = air.components[index]
    current = {name: Felt(columns[i]) for i, name in enumerate(comp.columns)}
    current |= {name: Felt(fixed[i]) for i, name in enumerate(comp.preprocessed_names)}
    previous = {name: Felt(jnp.roll(columns[i], 1)) for i, name in enumerate(comp.columns)}
    relation = decode_elements(air, elements)
    _, fractions = run(air, comp, current, previous, decode_public(air, public), relation)
    rows = columns.shape[1]
    sums: list[Any] = []
    for num, den in batches(fractions):
        # A fraction is inverted where it stands: 40 products each beat a product tree's passes.
        inverse = jax.lax.optimization_barrier(qm31.inv(_full(den.secure, rows)))
        value = _full(qm31.mul(inverse, num.secure), rows)
        total = qm31.add(sums[-1], value) if sums else value
        sums.append(jax.lax.optimization_barrier(total))
    prefix = QM31(*map(_prefix_sum, sums[-1]))
    claimed = QM31(*(x[-1] for x in prefix))
    # Subtracting an equal share at every row makes the last entry 0 and the sum cyclic.
    share = qm31.mul_base(claimed, pow(rows, -1, m31.P))
    steps = jnp.arange(1, rows + 1, dtype=jnp.uint32)
    sums[-1] = qm31.sub(prefix, qm31.mul_base(share, steps))
    return jnp.concatenate([jnp.stack(s) for s in sums]), jnp.stack(claimed)


def _full(x: QM31, rows: int) -> QM31:
    return QM31(*(jnp.broadcast_to(jnp.asarray(w, jnp.uint32), (rows,)) for w in x))


def _prefix_sum(x: Any) -> Any:
    # Fewer than 2^33 words below 2^31: 64-bit sums are exact and are reduced once.
    with jax.enable_x64(True):
        total = jnp.cumsum(x.astype(jnp.uint64))
        return m31.from_wide(total)
