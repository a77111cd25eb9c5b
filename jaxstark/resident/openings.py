"""Openings: rows, cosets and hash paths at positions that were drawn on the device.

Source: protocol sections 6 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle, commit
from jaxstark.commit import Committed, log_size
from jaxstark.merkle import siblings
from jaxstark.params import fri_packing
from jaxstark.resident.program import Program

Array = Any


@partial(jax.jit, static_argnums=0)
def open_queries(
    p: Program, trees: Sequence[Committed], layers: Sequence[Any], positions: Array
) -> tuple[Any, Any]:
    """Rows and paths of every tree and FRI layer at the drawn positions, uint32 ``[q]``.

    Returns per tree ``(values [c, q] per array, siblings [height, 8, q])``, or None, and per
    layer ``(values [4, q, 2^step], siblings [levels, 8, q])`` from the top of the coset upward.
    """
    positions = positions.astype(np.int32)
    rows = []
    for tree in trees:
        if not tree.evaluations:
            rows.append(None)
            continue
        values = [
            commit.pick(g, circle.lift_slot(positions, log_size(g), p.log_domain))
            for g in tree.evaluations
        ]
        rows.append((values, siblings(jnp, tree.tree.levels, positions)))
    opened = []
    for (values, tree), step in zip(layers, p.params.fri_steps(p.log_size), strict=True):
        packing = fri_packing(values.shape[1].bit_length() - 1, step)
        positions = positions >> step
        cosets = jnp.take(values.reshape(4, -1, 1 << step), positions, axis=1, mode="clip")
        levels = tree.levels[: len(tree.levels) - (step - packing)]
        opened.append((cosets, siblings(jnp, levels, positions)))
    return rows, opened
