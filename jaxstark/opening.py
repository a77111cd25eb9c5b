"""Opening commitments: sampled values out of the domain, and rows at the queries.

Source: protocol sections 4 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxstark import circle, merkle, oods
from jaxstark.commit import Committed, gather_rows
from jaxstark.fields import qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.shape import ProofShape, size_groups


def sample(trees: Sequence[Committed], shape: ProofShape, point: circle.SecurePoint) -> Any:
    """Values of every column at its mask points: ``[tree][column][sample]``.

    A column of ``2^k`` rows is seen through its lift: at ``2^(L-k)`` times the point.
    """
    log_size, back = shape.log_size, circle.point(-circle.subgroup_generator(shape.log_size))
    here = oods.lifted_factors(point, log_size)
    there = oods.lifted_factors(circle.secure_add(point, back), log_size)
    rows, columns, factors = [], [], []
    for tree, sizes, offsets in zip(trees, shape.all_columns, shape.all_offsets, strict=True):
        groups = []
        for (k, members), polys in zip(size_groups(sizes), tree.coefficients, strict=True):
            pairs = tuple(row for row, c in enumerate(members) if len(offsets[c]) == 2)
            groups.append((members, pairs))
            columns.append(polys)
            factors.append((here[k], there[k]))
        rows.append(groups)
    chosen = tuple(pairs for groups in rows for _, pairs in groups)
    # Elsewhere a dispatch costs more than the columns of a small group: one program for all.
    run = _evaluate if all(map(merkle.on_cpu, columns)) else _evaluate_jit
    found = iter(jax.device_get(run(columns, factors, chosen)))
    return tuple(
        _collect([(*group, *next(found)) for group in groups], len(sizes))
        for groups, sizes in zip(rows, shape.all_columns, strict=True)
    )


def _evaluate(columns: Sequence[Any], factors: Sequence[Any], chosen: Any) -> list[Any]:
    """Per size group, values uint32 ``[4, c]`` at the point and ``[4, pairs]`` one row before."""
    out = []
    for polys, (here, there), pairs in zip(columns, factors, chosen, strict=True):
        values = oods.evaluate_at_factors(polys, here)[0]
        before = None
        if pairs:
            some = polys if len(pairs) == polys.shape[0] else polys[np.array(pairs)]
            before = oods.evaluate_at_factors(some, there)[0]
        out.append((values, before))
    return out


_evaluate_jit = partial(jax.jit, static_argnames=("chosen",))(_evaluate)


def _collect(groups: Any, n_columns: int) -> tuple[tuple[QM31, ...], ...]:
    samples: list[tuple[QM31, ...]] = [()] * n_columns
    for members, pairs, here, there in groups:
        for row, column in enumerate(members):
            samples[column] = (qm31.from_ints(here[:, row]),)
        for row, pair in enumerate(pairs):
            column = members[pair]
            samples[column] = (qm31.from_ints(there[:, row]), *samples[column])
    return tuple(samples)


def open_rows(
    trees: Sequence[Committed], shape: ProofShape, positions: np.ndarray, params: ProofParams
) -> tuple[tuple[np.ndarray, ...], tuple[tuple[bytes, ...], ...]]:
    """Opened rows ``[columns, positions]`` and Merkle witnesses of every tree.

    Positions are padded to the number of queries, so that every proof of a shape runs the same
    programs; tree 0 is empty or as tall as the others, so that all share them.
    """
    count, log_domain = len(positions), shape.log_size + params.log_blowup
    padded = np.pad(positions, (0, params.n_queries - count), mode="edge").astype(np.int32)
    opened = jax.device_get(gather_rows(trees, padded, log_domain))
    rows, witnesses = [], []
    for columns, result in zip(shape.all_columns, opened, strict=True):
        table = np.zeros((len(columns), count if columns else 0), np.uint32)
        if result is not None:
            groups, siblings = result
            for (_, members), values in zip(size_groups(columns), groups, strict=True):
                table[list(members)] = values[:, :count]
            witnesses.append(tuple(merkle.witness(siblings[..., :count], positions)))
        else:
            witnesses.append(())
        rows.append(table)
    return tuple(rows), tuple(witnesses)
