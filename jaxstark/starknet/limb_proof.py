"""A proof in the encoding ``limb248``: what the verifying key does not fix, and no lengths.

    words      claimed sums, sampled values [tree][column][sample], last layer
    nonce      one felt
    digests    roots of trees 1 and up, then of all FRI layers
    words      queried values [tree][position][column by size], FRI witness values [layer]
    digests    Merkle witness [tree], then of all FRI layers

The root of tree 0 is the key's. The first three parts have sizes that the key fixes; with them the
reader replays the transcript, and the query positions fix the sizes of the last two (``replay``).
A reader may go through the felts in order. Source: docs/starknet.md, section "Format".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxstark import wire
from jaxstark.air.definition import Air
from jaxstark.errors import ProofShapeError
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.key import VerifyingKey
from jaxstark.profile import get_profile
from jaxstark.proof import FriLayer, Proof, StarkProof
from jaxstark.shape import ProofShape, size_groups
from jaxstark.starknet import limbs, replay

NONCE_BITS = 64


def encode(proof: Proof, shape: ProofShape) -> list[int]:
    """The felts of a proof of this shape, which the verifier has accepted."""
    stark = proof.stark
    suite = get_profile(proof.profile).suite.name
    layers = stark.fri_layers
    samples = [v for tree in stark.sampled_values for column in tree for v in column]
    fixed = _words([*proof.claimed_sums, *samples, *stark.last_layer])
    roots = [*stark.commitments[1:], *(layer.commitment for layer in layers)]
    tables = [
        table[_leaf_order(columns)].T.reshape(-1)
        for table, columns in zip(stark.queried_values, shape.all_columns, strict=True)
    ]
    opened = np.concatenate([*tables, _words([v for x in layers for v in x.fri_witness])])
    hashes = [h for tree in stark.decommitments for h in tree]
    hashes += [h for layer in layers for h in layer.hash_witness]
    return [
        *limbs.pack_words(fixed),
        stark.proof_of_work,
        *limbs.pack_digests(suite, roots),
        *limbs.pack_words(opened),
        *limbs.pack_digests(suite, hashes),
    ]


def decode(
    felts: Sequence[int],
    key: VerifyingKey,
    air: Air,
    shape: ProofShape,
    public: Mapping[str, Sequence[int]],
) -> Proof:
    """The proof whose ``encode`` is these felts; whether it proves anything is not checked.

    ``ProofShapeError`` for felts that no proof of this key and statement encodes to.
    """
    suite, params = get_profile(key.profile).suite.name, key.params
    masks = [mask for tree in shape.all_offsets for mask in tree]
    n_trees, n_layers = len(shape.all_columns), len(params.fri_steps(shape.log_size))
    n_sums = sum(1 for info in air.info.components if info.n_entries)
    reader = _Reader(felts, suite)

    values = reader.qm31s(n_sums + sum(map(len, masks)) + (1 << params.log_last_layer), "values")
    nonce = wire.check_int(reader.take(1, "nonce")[0], 1 << NONCE_BITS, "nonce")
    roots = reader.digests(n_trees - 1 + n_layers, "roots")
    claimed_sums, values = values[:n_sums], values[n_sums:]
    sampled = []
    for tree in shape.all_offsets:
        columns = []
        for mask in tree:
            columns.append(values[: len(mask)])
            values = values[len(mask) :]
        sampled.append(tuple(columns))
    bare = StarkProof(
        params,
        (key.preprocessed_root, *roots[: n_trees - 1]),
        tuple(sampled),
        ((),) * n_trees,
        (np.zeros((0, 0), np.uint32),) * n_trees,
        nonce,
        tuple(FriLayer((), (), root) for root in roots[n_trees - 1 :]),
        values,
    )
    positions = replay.query_positions(key, air, public, claimed_sums, bare)
    sizes = replay.opening_sizes(shape, params, positions)

    counts = [len(tree) * sizes.positions for tree in shape.all_columns]
    opened = reader.words(sum(counts) + DEGREE * sum(sizes.fri_values), "queried values")
    hashes = reader.digests(sum(sizes.tree_hashes) + sum(sizes.fri_hashes), "Merkle witness")
    reader.end()
    tables = []
    for tree, count in zip(shape.all_columns, counts, strict=True):
        tables.append(_table(opened[:count], tree, sizes.positions))
        opened = opened[count:]
    witness = _qm31s(opened)
    values_of = _cut(witness, sizes.fri_values)
    hashes_of = _cut(hashes, (*sizes.tree_hashes, *sizes.fri_hashes))
    layers = tuple(
        FriLayer(layer_values, layer_hashes, layer.commitment)
        for layer_values, layer_hashes, layer in zip(
            values_of, hashes_of[n_trees:], bare.fri_layers, strict=True
        )
    )
    stark = replace(
        bare,
        decommitments=tuple(hashes_of[:n_trees]),
        queried_values=tuple(tables),
        fri_layers=layers,
    )
    return Proof(key.profile, key.air, key.log_sizes, claimed_sums, stark)


class _Reader:
    """Takes streams of known lengths from the felts, one after the other."""

    def __init__(self, felts: Sequence[int], suite: str) -> None:
        self._felts, self._suite, self._at = felts, suite, 0

    def take(self, count: int, what: str) -> Sequence[int]:
        left = len(self._felts) - self._at
        if count > left:
            raise ProofShapeError(what, f"{count} more felts", left)
        self._at += count
        return self._felts[self._at - count : self._at]

    def words(self, count: int, what: str) -> np.ndarray:
        return limbs.unpack_words(self.take(limbs.word_felts(count), what), count, what)

    def qm31s(self, count: int, what: str) -> tuple[QM31, ...]:
        return _qm31s(self.words(DEGREE * count, what))

    def digests(self, count: int, what: str) -> tuple[Any, ...]:
        felts = self.take(limbs.digest_felts(self._suite, count), what)
        return limbs.unpack_digests(self._suite, felts, count, what)

    def end(self) -> None:
        if self._at != len(self._felts):
            raise ProofShapeError("encoded proof", f"{self._at} felts", len(self._felts))


def _leaf_order(columns: Sequence[int]) -> list[int]:
    """Column indices in the order in which a Merkle leaf absorbs a row."""
    return [j for _, members in size_groups(tuple(columns)) for j in members]


def _table(words: np.ndarray, columns: Sequence[int], positions: int) -> np.ndarray:
    """Queried values of a tree, uint32 ``[columns, positions]``, from rows in leaf order."""
    table = np.zeros((len(columns), positions), np.uint32)
    table[_leaf_order(columns)] = words.reshape(positions, len(columns)).T
    return table


def _words(values: Sequence[QM31]) -> np.ndarray:
    return np.array(values, np.uint32).reshape(-1)


def _qm31s(words: np.ndarray) -> tuple[QM31, ...]:
    return tuple(QM31(*row) for row in words.reshape(-1, DEGREE).tolist())


def _cut(values: tuple[Any, ...], counts: Sequence[int]) -> list[tuple[Any, ...]]:
    """Consecutive slices of these lengths."""
    out, at = [], 0
    for count in counts:
        out.append(values[at : at + count])
        at += count
    return out
