"""Merkle openings: published ones, and every way to get one wrong."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.hash.suite import BLAKE2S, POSEIDON252, Suite
from jaxstark.merkle_verify import verify_opening, witness_count
from tests.vectors import digest, load

SUITES = pytest.mark.parametrize("suite", [BLAKE2S, POSEIDON252], ids=lambda s: s.name)
HEIGHT = 4


class Tree:
    """A whole tree over random rows."""

    def __init__(self, suite: Suite, height: int = HEIGHT, width: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.suite, self.height = suite, height
        self.rows: np.ndarray = rng.integers(0, 2**31 - 1, (1 << height, width), np.uint32)
        self.layers = [suite.leaves(self.rows)]
        while len(self.layers[-1]) > 1:
            last = self.layers[-1]
            self.layers.append([suite.node(last[i], last[i + 1]) for i in range(0, len(last), 2)])
        self.root = self.layers[-1][0]

    def witness(self, positions) -> list:
        out, current = [], sorted(set(positions))
        for layer in self.layers[:-1]:
            out += [layer[p ^ 1] for p in current if p ^ 1 not in current]
            current = sorted({p >> 1 for p in current})
        return out

    def check(self, positions, rows=None, witness=None, root=None, height=None) -> None:
        verify_opening(
            self.suite,
            self.root if root is None else root,
            self.height if height is None else height,
            positions,
            self.rows[list(positions)] if rows is None else rows,
            self.witness(positions) if witness is None else witness,
        )


def test_published_openings(vectors):
    for case in load(vectors, "stwo_cairo_unit_vectors.json")["merkle"]:
        rows = np.array(case["rows"], np.uint32)
        witness = [digest(w) for w in case["hash_witness"]]

        def check(rows=rows, witness=witness, root=case["root"], case=case):
            root, positions = digest(root), case["positions"]
            verify_opening(BLAKE2S, root, case["height"], positions, rows, witness)

        check()
        with pytest.raises(VerificationError, match="merkle"):
            check(rows=rows ^ np.uint32(1))
        with pytest.raises(VerificationError, match="merkle"):
            check(root=[*case["root"][:7], 0])
        with pytest.raises(ProofShapeError):
            check(witness=witness[:-1])
        with pytest.raises(ProofShapeError):
            check(witness=[*witness, witness[0]])


@SUITES
def test_openings_of_any_positions(suite):
    tree = Tree(suite)
    for positions in ([0], [15], [2, 3], [0, 5, 6, 7, 15], range(16), [9, 9, 2], [7, 1, 4, 7]):
        positions = list(positions)
        tree.check(positions)
        assert len(tree.witness(positions)) == witness_count(positions, HEIGHT)
    single = Tree(suite, height=0)
    single.check([0])
    with pytest.raises(VerificationError):
        single.check([0], rows=single.rows ^ np.uint32(1))


@SUITES
def test_t9_every_change_of_an_opening_is_rejected(suite):
    tree, positions = Tree(suite), [1, 4, 5, 11]
    witness, rows = tree.witness(positions), tree.rows[positions]
    tree.check(positions)
    for wrong in (witness[:-1], [], [*witness, witness[0]], [witness[0], *witness]):
        with pytest.raises(ProofShapeError, match=f"expected {len(witness)} digests"):
            tree.check(positions, witness=wrong)
    swapped = [witness[1], witness[0], *witness[2:]]
    doubled = [witness[0], witness[0], *witness[2:]]
    for wrong in (swapped, doubled, witness[::-1]):
        with pytest.raises(VerificationError, match="merkle: tree"):
            tree.check(positions, witness=wrong)
    for i in range(len(witness)):
        other = suite.node(witness[i], witness[i])
        with pytest.raises(VerificationError):
            tree.check(positions, witness=[*witness[:i], other, *witness[i + 1 :]])
    for i in np.ndindex(rows.shape):
        wrong = rows.copy()
        wrong[i] ^= 1
        with pytest.raises(VerificationError):
            tree.check(positions, rows=wrong)
    with pytest.raises(VerificationError):
        tree.check(positions, rows=rows[[1, 0, 2, 3]])
    with pytest.raises(VerificationError):
        tree.check(positions, rows=rows[:, [1, 0, 2]])
    with pytest.raises(VerificationError):
        tree.check([1, 4, 5, 10], rows=rows, witness=witness)
    with pytest.raises(VerificationError):
        tree.check(positions, root=tree.layers[-2][0])


def test_duplicates_must_agree():
    tree, positions = Tree(BLAKE2S), [7, 1, 7]
    tree.check(positions)
    rows = tree.rows[positions]
    rows[2, 0] ^= 1
    with pytest.raises(VerificationError, match="two rows for one leaf"):
        tree.check(positions, rows=rows)
    # Which of the two comes first makes no difference.
    with pytest.raises(VerificationError, match="two rows for one leaf"):
        tree.check(positions, rows=rows[::-1])


def test_t25_witness_entries_must_be_digests():
    for suite, bad in (
        (BLAKE2S, [b"short", bytes(33), bytearray(32), 5, None, "x" * 32]),
        (POSEIDON252, [-1, 2**252, 1.0, True, bytes(32), None]),
    ):
        tree, positions = Tree(suite), [3]
        witness = tree.witness(positions)
        for entry in bad:
            with pytest.raises(ProofShapeError, match="digest"):
                tree.check(positions, witness=[*witness[:-1], entry])


def test_t29_a_node_does_not_pass_as_a_leaf():
    # A leaf of 16 words hashes like a node over two digests: the format has no prefixes. Only the
    # height and the row width of the key tell them apart.
    tree = Tree(BLAKE2S)
    left, right = tree.layers[0][0], tree.layers[0][1]
    row = np.frombuffer(left + right, "<u4").astype(np.uint32)[None]
    assert BLAKE2S.leaves(row)[0] == tree.layers[1][0]
    witness = [tree.layers[level][1] for level in range(1, HEIGHT)]
    tree.check([0], rows=row, witness=witness, height=HEIGHT - 1)  # the ambiguity is real
    with pytest.raises(ProofShapeError, match="expected 4 digests, got 3"):
        tree.check([0], rows=row, witness=witness)
    with pytest.raises(VerificationError):
        tree.check([0], rows=row, witness=[right, *witness])


def test_positions_outside_the_tree_are_misuse():
    tree = Tree(BLAKE2S)
    for positions in ([16], [-1], []):
        with pytest.raises(ValueError, match="positions"):
            tree.check(positions, rows=tree.rows[[0] * len(positions)], witness=[])
