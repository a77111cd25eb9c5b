"""Verification of Merkle openings (host, no JAX).

A tree has a fixed height and one row of words under every leaf; there are no leaf or node
prefixes, so height and row width must come from the verifying key. Source: protocol section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.hash.suite import Suite
from jaxstark.wire import digest_codec


def witness_count(positions: Sequence[int], height: int) -> int:
    """Number of sibling hashes that complete an opening of some leaf positions."""
    count, layer = 0, set(positions)
    for _ in range(height):
        count += sum(p ^ 1 not in layer for p in layer)
        layer = {p >> 1 for p in layer}
    return count


def verify_opening(
    suite: Suite,
    root: Any,
    height: int,
    positions: Sequence[int] | np.ndarray,
    rows: np.ndarray,
    witness: Sequence[Any],
    what: str = "tree",
) -> None:
    """Verify that ``rows`` lie at leaf ``positions`` of the tree with a root.

    Args:
      suite: the hash suite.
      root: the trusted root.
      height: log2 of the number of leaves.
      positions: ints in ``0..2^height-1`` in any order; at least one. Duplicates must agree.
      rows: uint32 ``[len(positions), width]``, canonical words in leaf order.
      witness: sibling hashes from the leaf layer upwards, by ascending position in a layer.
      what: name of the tree in error messages.

    Raises ``ProofShapeError`` for surplus or missing witness hashes and ``VerificationError``
    (section ``"merkle"``) for rows that disagree with one another or with the root.
    """
    digest_codec(suite.name).check_all(witness, f"{what} hash witness")
    distinct, first, back = np.unique(
        np.asarray(positions, np.int64), return_index=True, return_inverse=True
    )
    if not len(distinct) or distinct[0] < 0 or distinct[-1] >> height:
        raise ValueError(f"{what} positions: expected ints below 2^{height}, got {positions!r}")
    leaves = rows[first]
    if len(distinct) < len(rows) and not np.array_equal(leaves[back], rows):
        raise VerificationError("merkle", f"{what}: two rows for one leaf")
    known, hashes = distinct.tolist(), suite.leaves(leaves)
    node, unused = suite.node, iter(witness)
    try:
        for _ in range(height):
            known, hashes = _climb(node, known, hashes, unused)
    except StopIteration:
        needed = witness_count(distinct.tolist(), height)
        raise ProofShapeError(f"{what} hash witness", f"{needed} digests", len(witness)) from None
    surplus = sum(1 for _ in unused)
    if surplus:
        raise ProofShapeError(
            f"{what} hash witness", f"{len(witness) - surplus} digests", len(witness)
        )
    if hashes[0] != root:
        raise VerificationError("merkle", f"{what}: the opening does not lead to the root")


def _climb(node: Any, known: list[int], hashes: list[Any], unused: Any) -> tuple[list, list]:
    """The next layer: parents of the known positions and their hashes, ascending."""
    parents, out = [], []
    i, end = 0, len(known)
    while i < end:
        position, digest = known[i], hashes[i]
        i += 1
        if position & 1:
            # The left sibling would have come just before and taken this position along.
            digest = node(next(unused), digest)
        elif i < end and known[i] == position + 1:
            digest = node(digest, hashes[i])
            i += 1
        else:
            digest = node(digest, next(unused))
        parents.append(position >> 1)
        out.append(digest)
    return parents, out
