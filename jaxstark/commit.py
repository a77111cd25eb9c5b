"""Commit to columns: interpolate, extend, hash. Source: protocol section 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle, fft, merkle
from jaxstark.shape import size_groups


class Committed(NamedTuple):
    """The prover's data of one tree; a pytree. Groups are in ascending size.

    Attributes:
      coefficients: per size group, uint32 ``[c, 2^k]``.
      evaluations: per size group, uint32 ``[c, 2^(k+B)]`` in storage order.
      tree: the Merkle tree over the evaluations.
    """

    coefficients: tuple[Any, ...]
    evaluations: tuple[Any, ...]
    tree: merkle.MerkleTree


def commit_rows(groups: Sequence[Any], log_blowup: int) -> Committed:
    """Commit to size groups of columns ``[c, 2^k]`` in row order."""
    return commit_coefficients([fft.interpolate(to_storage(g)) for g in groups], log_blowup)


def commit_coefficients(groups: Sequence[Any], log_blowup: int) -> Committed:
    """Commit to size groups of polynomials ``[c, 2^k]`` by their coefficients."""
    extended = tuple(fft.evaluate(g, log_size(g) + log_blowup) for g in groups)
    return Committed(tuple(groups), extended, merkle.commit(extended))


def by_size(
    tables: Sequence[Any],
    columns: tuple[int, ...],
    groups: Sequence[tuple[int, tuple[int, ...]]] | None = None,
) -> list[Any]:
    """Tables ``[columns, 2^k]`` in component order to size groups, in ascending size.

    ``groups``: log size and columns of each result, if not those of ``size_groups(columns)``.
    """
    pieces = pieces_by_size(tables, columns, groups)
    return [found[0] if len(found) == 1 else jnp.concatenate(found) for found in pieces]


def pieces_by_size(
    tables: Sequence[Any],
    columns: tuple[int, ...],
    groups: Sequence[tuple[int, tuple[int, ...]]] | None = None,
) -> list[list[Any]]:
    """``by_size`` without putting the tables of a group together."""
    out, taken = [], dict.fromkeys(columns, 0)
    for k, members in size_groups(columns) if groups is None else groups:
        start, found = taken[k], []
        taken[k] = stop = start + len(members)
        for table in tables:
            rows = table.shape[0] if table.shape[1] == 1 << k else 0
            if max(start, 0) < min(stop, rows):
                whole = start <= 0 and rows <= stop
                found.append(table if whole else table[max(start, 0) : min(stop, rows)])
            start, stop = start - rows, stop - rows
        out.append(found)
    return out


def log_size(group: Any) -> int:
    """Log size k of a group ``[c, 2^k]``."""
    return group.shape[-1].bit_length() - 1


def to_storage(group: Any) -> Any:
    """Row order to storage order along the last axis."""
    return take_rows(group, circle.slot_to_row(log_size(group)))


@jax.jit
def take_rows(group: Any, order: Any) -> Any:
    """Columns ``[c, n]`` in the order of a permutation, int32 ``[n]``."""
    return jnp.take(group, order, axis=-1, unique_indices=True, mode="clip")


def gather_rows(trees: Sequence[Committed], positions: np.ndarray, log_domain: int) -> list[Any]:
    """Opened values of every tree at leaf positions, with the sibling hashes of their paths.

    ``positions``: int32 ``[q]`` with q fixed by the parameters, so that nothing is compiled again.
    Returns per tree ``([uint32 [c, q] per group], uint32 [height, 8, q])``, still on the device;
    None for an empty tree.
    """
    slots = [
        [
            circle.lift_slot(positions, log_size(g), log_domain).astype(np.int32)
            for g in tree.evaluations
        ]
        for tree in trees
    ]
    groups = [group for tree in trees for group in tree.evaluations]
    if all(map(merkle.on_cpu, groups)):
        return _gather(trees, slots, positions)
    # Elsewhere a dispatch costs more than the rows: one program for all.
    return _gather_jit(trees, slots, positions)


@jax.jit
def pick(group: Any, slots: Any) -> Any:
    """Columns ``[c, n]`` at slots ``[q]``."""
    return jnp.take(group, slots, axis=-1, mode="clip")


def _gather(trees: Sequence[Committed], slots: Any, positions: Any) -> list[Any]:
    out = []
    for tree, places in zip(trees, slots, strict=True):
        if not tree.evaluations:
            out.append(None)
            continue
        values = [pick(g, s) for g, s in zip(tree.evaluations, places, strict=True)]
        out.append((values, merkle.gather_siblings(tree.tree, positions)))
    return out


_gather_jit = jax.jit(_gather)
