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
from jaxstark.pallas.later import read
from jaxstark.params import fri_packing
from jaxstark.resident import commitments
from jaxstark.resident.commitments import root_of
from jaxstark.resident.program import Program, Tables

Array = Any


@partial(jax.jit, static_argnums=0)
def open_queries(
    p: Program, trees: Sequence[Committed], layers: Sequence[Any], positions: Array
) -> tuple[Any, Any, tuple[Array, Array]]:
    """Rows and paths of every tree and FRI layer at the drawn positions, uint32 ``[q]``.

    Returns per tree ``(values [c, q] per array, siblings [height, 8, q])``, or None without
    columns, and per layer ``(values [4, q, 2^step], siblings [levels, 8, q])`` from the top of the
    coset upward. Of a tree whose evaluations were not kept there are no values, see
    ``open_columns``. Last the roots, ``[trees, 8]`` without tree 0 and ``[layers, 8]``.
    """
    positions = positions.astype(np.int32)
    rows = []
    for tree, columns in zip(trees, p.shape.all_columns, strict=True):
        if not columns:
            rows.append(None)
            continue
        values = [_pick(p, g, positions) for g in tree.evaluations]
        rows.append((values, siblings(jnp, tree.tree.levels, positions)))
    opened = []
    for (values, tree), step in zip(layers, p.params.fri_steps(p.log_size), strict=True):
        packing = fri_packing(values.shape[1].bit_length() - 1, step)
        positions = positions >> step
        cosets = jnp.take(values.reshape(4, -1, 1 << step), positions, axis=1, mode="clip")
        levels = tree.levels[: len(tree.levels) - (step - packing)]
        opened.append((cosets, siblings(jnp, levels, positions)))
    committed = jnp.stack([root_of(tree.tree) for tree in trees[1:]])
    return rows, opened, (committed, jnp.stack([root_of(tree) for _, tree in layers]))


@partial(jax.jit, static_argnums=0)
def open_columns(
    p: Program, t: Tables, coefficients: Sequence[Sequence[Array]], opened: Any, positions: Array
) -> tuple[Any, Any]:
    """``opened``, rows and cosets of ``open_queries``, with the values that they lack.

    ``coefficients``: per tree, those of its arrays, none where evaluations were kept. They are
    evaluated one after the other once all else is opened, which then makes room for them.
    """
    positions = positions.astype(np.int32)
    values: list[list[Array]] = [[] for _ in coefficients]
    for index, arrays in enumerate(coefficients):
        for array in arrays:
            evaluated, (opened, values) = read(commitments.later(p, t, array), (opened, values))
            values[index].append(_pick(p, evaluated, positions))
    rows, cosets = opened
    filled = [
        found and (found[0] or made, found[1]) for found, made in zip(rows, values, strict=True)
    ]
    return filled, cosets


def _pick(p: Program, group: Array, positions: Array) -> Array:
    """Columns of a size at positions in the largest domain."""
    return commit.pick(group, circle.lift_slot(positions, log_size(group), p.log_domain))
