"""Hash suites: everything of the protocol that depends on the hash function, on the host.

A suite names the channel and hashes Merkle leaves and nodes. A digest is ``bytes`` (32) in the
Blake2s suite and an int below the Starknet prime in Poseidon252. Imports no JAX. Source: protocol
section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstark.channel import Blake2sChannel, Channel, Poseidon252Channel
from jaxstark.hash import poseidon252


@dataclass(frozen=True)
class Suite:
    """A hash suite.

    Attributes:
      name: the name of the hash.
      new_channel: makes the initial channel.
      leaves: the leaf digests of rows, uint32 ``[n_rows, width]``.
      node: the digest of a left and a right child.
      empty_root: the root of a tree without columns.
    """

    name: str
    new_channel: Callable[[], Channel]
    leaves: Callable[[np.ndarray], list[Any]]
    node: Callable[[Any, Any], Any]
    empty_root: Any

    def leaf(self, row: Sequence[int] | np.ndarray) -> Any:
        """The leaf digest of one row of canonical words."""
        return self.leaves(np.asarray(row, np.uint32).reshape(1, -1))[0]


def _blake2s_leaves(rows: np.ndarray) -> list[bytes]:
    data, width = np.ascontiguousarray(rows, dtype="<u4").tobytes(), 4 * rows.shape[1]
    return [
        hashlib.blake2s(data[i * width : (i + 1) * width]).digest() for i in range(rows.shape[0])
    ]


def _blake2s_node(left: bytes, right: bytes) -> bytes:
    return hashlib.blake2s(left + right).digest()


def _poseidon_leaves(rows: np.ndarray) -> list[int]:
    return [poseidon252.hash_words(row) for row in rows.tolist()]


BLAKE2S = Suite(
    name="blake2s",
    new_channel=Blake2sChannel,
    leaves=_blake2s_leaves,
    node=_blake2s_node,
    empty_root=hashlib.blake2s(b"").digest(),
)

POSEIDON252 = Suite(
    name="poseidon252",
    new_channel=Poseidon252Channel,
    leaves=_poseidon_leaves,
    node=poseidon252.hash_pair,
    empty_root=poseidon252.hash_words([]),
)
