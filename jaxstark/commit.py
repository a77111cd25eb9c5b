"""Commit to columns: interpolate, extend, hash. Source: protocol section 7.2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle, fft, merkle


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


def log_size(group: Any) -> int:
    """Log size k of a group ``[c, 2^k]``."""
    return group.shape[-1].bit_length() - 1


def to_storage(group: Any) -> Any:
    """Row order to storage order along the last axis."""
    return _take(group, circle.slot_to_row(log_size(group)))


@jax.jit
def _take(group: Any, order: Any) -> Any:
    return jnp.take(group, order, axis=-1, unique_indices=True, mode="clip")


def gather_rows(committed: Committed, positions: np.ndarray, log_domain: int) -> Any:
    """Opened values of every group at leaf positions, with the sibling hashes of their paths.

    ``positions``: int32 ``[q]`` with q fixed by the parameters, so that nothing is compiled again.
    Returns ``([uint32 [c, q] per group], uint32 [height, 8, q])``, still on the device.
    """
    values = [
        _gather(g, circle.lift_slot(positions, log_size(g), log_domain).astype(np.int32))
        for g in committed.evaluations
    ]
    return values, merkle.gather_siblings(committed.tree, positions)


@partial(jax.jit)
def _gather(group: Any, slots: Any) -> Any:
    return jnp.take(group, slots, axis=-1, mode="clip")
