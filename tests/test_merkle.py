"""The prover's trees equal a tree built leaf by leaf with hashlib, whatever the sizes."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from jaxstark.errors import VerificationError
from jaxstark.hash.suite import BLAKE2S
from jaxstark.merkle_verify import verify_opening

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import merkle  # noqa: E402
from jaxstark.hash import blake2s  # noqa: E402

# (columns, log size) of each group
SPECS = [
    [(1, 0)],
    [(5, 1)],
    [(16, 3)],
    [(1, 2), (1, 3), (1, 4)],
    [(3, 1), (17, 2), (26, 5)],
    [(100, 3), (152, 8)],
    [(16, 9)],
    [(17, 3), (20, 9)],
    [(1, 1), (15, 10), (16, 11)],
    [(3, 1), (40, 2), (5, 10), (9, 11)],
    [(2, 1), (14, 14)],
    [(9, 13), (9, 14)],
    [(20, 12), (4, 14)],
]


def columns_of(spec, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2**31 - 1, (c, 1 << k), np.uint32) for c, k in spec]


def rows_of(groups: list[np.ndarray]) -> np.ndarray:
    """The row of every leaf, by the definition of the lift."""
    height = groups[-1].shape[1].bit_length() - 1
    slots = np.arange(1 << height)
    rows = []
    for group in groups:
        up = height - (group.shape[1].bit_length() - 1)
        rows += list(group[:, (slots >> (up + 1) << 1) | (slots & 1)] if up else group)
    return np.stack(rows).T


def reference(rows: np.ndarray) -> list[list[bytes]]:
    """Digests of all levels, root first."""
    levels = [[hashlib.blake2s(row.astype("<u4").tobytes()).digest() for row in rows]]
    while len(levels[0]) > 1:
        pairs = zip(levels[0][::2], levels[0][1::2], strict=True)
        levels.insert(0, [hashlib.blake2s(a + b).digest() for a, b in pairs])
    return levels


def check_tree(tree: merkle.MerkleTree, want: list[list[bytes]]) -> None:
    assert tree.height == len(want) - 1
    for level, digests in zip(tree.levels, want, strict=True):
        assert level.dtype == np.uint32
        assert np.ascontiguousarray(np.asarray(level).T, "<u4").tobytes() == b"".join(digests)
    assert merkle.root_bytes(tree) == want[0][0]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_commit_equals_reference(spec):
    groups = columns_of(spec)
    tree = merkle.commit([jnp.asarray(g) for g in groups])
    check_tree(tree, reference(rows_of(groups)))
    groups[0][0, -1] ^= 1
    assert merkle.root_bytes(merkle.commit(groups)) != merkle.root_bytes(tree)


@pytest.mark.parametrize("spec", [[(2, 1), (15, 3)], [(20, 2), (13, 5)]], ids=str)
def test_pure_form_equals_reference(spec, monkeypatch):
    """The form for other devices, with steps so small that every loop turns several times."""
    monkeypatch.setattr(merkle, "_STEP_LANES", (16, 8, 4))
    groups = columns_of(spec)
    with jax.disable_jit():  # XLA for CPUs takes a minute to compile these loops
        tree = merkle._commit_pure(tuple(map(jnp.asarray, groups)))
    check_tree(tree, reference(rows_of(groups)))


def test_commit_is_traceable():
    shapes = [jax.ShapeDtypeStruct((c, 1 << k), np.uint32) for c, k in [(3, 4), (26, 18)]]
    tree = jax.eval_shape(merkle.commit, shapes)
    assert [level.shape for level in tree.levels] == [(8, 1 << j) for j in range(19)]
    tree = jax.eval_shape(lambda v: merkle.commit_values(v, 2), jnp.zeros((4, 64), np.uint32))
    assert tree.height == 4


@pytest.mark.parametrize("log_size, pack_log", [(0, 0), (1, 0), (2, 2), (10, 0), (12, 2)])
def test_commit_values_packs_value_by_value(log_size, pack_log):
    (values,) = columns_of([(4, log_size)])
    rows = values.T.reshape(1 << (log_size - pack_log), 4 << pack_log)
    want = reference(rows)
    check_tree(merkle.commit_values(jnp.asarray(values), pack_log), want)
    if log_size > 2:
        other = merkle.commit_values(values, 2 - pack_log)
        assert merkle.root_bytes(other) != want[0][0]


def test_empty_tree():
    tree = merkle.commit([])
    assert tree.height == 0
    assert merkle.root_bytes(tree) == BLAKE2S.empty_root
    siblings = merkle.gather_siblings(tree, np.zeros(0, np.int32))
    assert siblings.shape == (0, 8, 0) and merkle.witness(siblings, np.zeros(0, np.int32)) == []


def reference_witness(levels: list[list[bytes]], positions) -> list[bytes]:
    out, known = [], set(positions)
    for level in reversed(levels[1:]):
        out += [level[p ^ 1] for p in sorted(known) if p ^ 1 not in known]
        known = {p >> 1 for p in known}
    return out


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(
    "positions", [[0], [255], [6, 7, 5], [9, 9, 200, 8, 9], list(range(256)), [1, 3, 128, 255]]
)
def test_openings_verify_and_are_minimal(positions, on_device):
    groups = columns_of([(3, 4), (20, 8)])
    rows, tree = rows_of(groups), merkle.commit(groups)
    at = np.array(positions, np.int32)
    if on_device:
        tree, at = jax.tree.map(jnp.asarray, (tree, at))
    siblings = np.asarray(merkle.gather_siblings(tree, at))
    assert siblings.shape == (8, 8, len(positions)) and siblings.dtype == np.uint32
    witness = merkle.witness(siblings, np.asarray(at))
    assert witness == reference_witness(reference(rows), positions)
    opened, root = rows[np.array(positions)], merkle.root_bytes(tree)
    verify_opening(BLAKE2S, root, 8, positions, opened, witness)
    with pytest.raises(VerificationError, match="root"):
        verify_opening(BLAKE2S, root, 8, positions, opened ^ np.uint32(1), witness)


def test_a_position_behind_the_leaves_is_refused():
    """Its sibling is not that of the last leaf."""
    tree = merkle.commit(columns_of([(3, 4)]))
    host = tree._replace(levels=tuple(np.asarray(level) for level in tree.levels))
    with pytest.raises(IndexError):
        merkle.gather_siblings(host, np.array([16], np.int32))


@pytest.mark.parametrize("height", [0, 1, 2, 5, 9, 20])
@pytest.mark.parametrize("count", [1, 2, 30, 400])
def test_missing_siblings_are_those_of_sets_of_known_nodes(height, count):
    """Random leaves in every density: of each level, the unknown siblings of known nodes."""
    rng = np.random.default_rng(count)
    for _ in range(20):
        positions = np.unique(rng.integers(0, 1 << height, count))
        want, known = [], set(positions.tolist())
        for level in range(height):
            want += [(level, node ^ 1) for node in sorted(known) if node ^ 1 not in known]
            known = {node >> 1 for node in known}
        levels, owners = merkle.missing_siblings(positions, height)
        got = [
            (level, int(positions[i]) >> level ^ 1)
            for level, i in zip(levels.tolist(), owners.tolist(), strict=True)
        ]
        assert got == want


def test_siblings_are_the_neighbours_on_the_path():
    tree = merkle.commit(columns_of([(2, 4)]))
    siblings = merkle.gather_siblings(tree, np.array([11], np.int32))
    for up, neighbour in enumerate([10, 4, 3, 0]):
        assert (siblings[up, :, 0] == tree.levels[4 - up][:, neighbour]).all()


@pytest.mark.parametrize(
    "groups",
    [
        [np.zeros((1, 3), np.uint32)],
        [np.zeros((0, 4), np.uint32)],
        [np.zeros(4, np.uint32)],
        [np.zeros((1, 4), np.int32)],
        [np.zeros((1, 4), np.uint32), np.zeros((1, 4), np.uint32)],
        [np.zeros((1, 4), np.uint32), np.zeros((1, 2), np.uint32)],
        [np.zeros((1, 1), np.uint32), np.zeros((1, 2), np.uint32)],
    ],
)
def test_misuse_is_a_value_error(groups):
    with pytest.raises(ValueError, match="group"):
        merkle.commit(groups)


@pytest.mark.parametrize("shape, pack_log", [((4, 2), 2), ((3, 4), 0), ((4, 4), -1)])
def test_values_must_fill_a_leaf(shape, pack_log):
    with pytest.raises(ValueError, match="values"):
        merkle.commit_values(np.zeros(shape, np.uint32), pack_log)


def test_a_new_size_compiles_nothing(caplog):
    for lanes in (blake2s.WIDE, blake2s.NARROW):
        blake2s.cpu_compressor(lanes)
    with jax.log_compiles():
        for spec in ([(7, 12)], [(2, 3), (21, 13)]):
            merkle.commit(columns_of(spec))
        merkle.commit_values(columns_of([(4, 11)])[0], 2)
        assert not [r for r in caplog.records if "ompil" in r.getMessage()]
        jax.jit(lambda x: x + np.uint32(12345))(np.zeros(3, np.uint32))
        assert [r for r in caplog.records if "ompil" in r.getMessage()]


def test_stwo_lifted_merkle_root(vectors):
    case = json.loads((vectors / "stwo_cairo_unit_vectors.json").read_text())["lifted_merkle_root"]
    groups = [np.array([column], np.uint32) for column in case["columns"]]
    root = np.array(case["root_u32le"], "<u4").tobytes()
    assert merkle.root_bytes(merkle.commit(groups)) == root


def test_stwo_openings(vectors):
    cases = json.loads((vectors / "stwo_cairo_unit_vectors.json").read_text())
    groups = [np.array([column], np.uint32) for column in cases["lifted_merkle_root"]["columns"]]
    tree = merkle.commit(groups)
    same = [c for c in cases["merkle"] if c["root"] == cases["lifted_merkle_root"]["root_u32le"]]
    assert same
    for case in same:
        at = np.array(case["positions"], np.int32)
        want = [np.array(h, "<u4").tobytes() for h in case["hash_witness"]]
        assert merkle.witness(merkle.gather_siblings(tree, at), at) == want
