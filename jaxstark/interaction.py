"""LogUp columns: fractions, their batches and the running sum. Source: protocol section 8."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxstark.air.definition import Air
from jaxstark.air.evaluate import run
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.logup import batch_fractions, decode_public


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
    _, entries = run(air, comp, current, previous, decode_public(air, public))
    rows = columns.shape[1]
    num, den = jax.lax.optimization_barrier(batch_fractions(air, entries, elements, rows))
    # A fraction is inverted where it stands: 40 products each beat a product tree's passes.
    values = jax.lax.optimization_barrier(qm31.mul(qm31.inv(den), num))
    sums = [QM31(*(coordinate[0] for coordinate in values))]
    for i in range(1, values.a.shape[0]):
        total = qm31.add(sums[-1], QM31(*(coordinate[i] for coordinate in values)))
        sums.append(jax.lax.optimization_barrier(total))
    prefix = QM31(*map(_prefix_sum, sums[-1]))
    claimed = QM31(*(x[-1] for x in prefix))
    # Subtracting an equal share at every row makes the last entry 0 and the sum cyclic.
    share = qm31.mul_base(claimed, pow(rows, -1, m31.P))
    steps = jnp.arange(1, rows + 1, dtype=jnp.uint32)
    sums[-1] = qm31.sub(prefix, qm31.mul_base(share, steps))
    return jnp.concatenate([jnp.stack(s) for s in sums]), jnp.stack(claimed)


def _prefix_sum(x: Any) -> Any:
    # Fewer than 2^33 words below 2^31: 64-bit sums are exact and are reduced once.
    with jax.enable_x64(True):
        total = jnp.cumsum(x.astype(jnp.uint64))
        return m31.from_wide(total)
