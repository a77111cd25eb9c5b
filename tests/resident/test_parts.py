"""Size groups that are cut into several arrays: the same words as in one array."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from jaxstark import circle, commit, composition, deep, merkle, oods  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci  # noqa: E402
from jaxstark.circle import SecurePoint  # noqa: E402
from jaxstark.commit import Committed  # noqa: E402
from jaxstark.fields import qm31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.logup import elements_shape  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.constraints import api as constraints  # noqa: E402
from jaxstark.params import PRESETS, ProofParams, fri_packing  # noqa: E402
from jaxstark.resident import low_degree, openings, stages  # noqa: E402
from jaxstark.resident.program import Program, abstract_tables, tables  # noqa: E402
from jaxstark.resident.protocol import abstract_inputs  # noqa: E402
from jaxstark.shape import MAX_WORDS, chunks, parts, size_groups  # noqa: E402

EMPTY = Committed((), (), merkle.MerkleTree((jnp.zeros((8, 1), np.uint32),)))


def words(rows: int, lanes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, P + 1, (rows, lanes), np.uint32)


def test_groups_beyond_the_limit_are_cut_evenly() -> None:
    columns = (5, 4, 5, 5, 4, 5, 5)
    assert parts(columns, 1, MAX_WORDS) == size_groups(columns)
    assert parts(columns, 1, 5 << 6) == size_groups(columns)
    assert parts(columns, 1, (5 << 6) - 1) == ((4, (1, 4)), (5, (0, 2)), (5, (3, 5, 6)))
    assert parts(columns, 2, 1 << 7) == ((4, (1, 4)), *((5, (c,)) for c in (0, 2, 3, 5, 6)))
    with pytest.raises(ValueError, match=r"column: expected at most 127 words, got 2\^7"):
        parts(columns, 2, 127)


def test_chunks_end_where_blocks_of_hashes_do() -> None:
    """Of the largest size; smaller ones have as many words at most."""
    columns = (5,) * 26
    assert [len(m) for _, m in chunks(columns, 5, 4)] == [8, 8, 8, 2]
    assert [len(m) for _, m in chunks(columns, 6, 4)] == [16, 10]
    mixed = (5, 4, 5, 5) * 5 + (3,) * 40
    made = chunks(mixed, 5, 1)
    assert [(k, len(m)) for k, m in made] == [(3, 32), (3, 8), (4, 5), *((5, n) for n in (3, 8, 4))]
    assert [m for _, m in made if len(m) == 3] == [(0, 2, 3)]
    for k, group in size_groups(mixed):
        assert tuple(c for log, members in made if log == k for c in members) == group
    assert chunks((), 5, 1) == ()


def test_tables_are_cut_and_joined_by_size() -> None:
    tables = [words(3, 8, 1), words(2, 4, 2), words(0, 8), words(4, 8, 3)]
    columns = (3, 3, 3, 2, 2, 3, 3, 3, 3)
    joined = np.concatenate([tables[0], tables[3]])
    whole = commit.by_size(tables, columns)
    assert np.array_equal(whole[0], tables[1]) and np.array_equal(whole[1], joined)
    for most in (2, 3, 4, 6):
        groups = parts(columns, 0, most * 8)
        cut = commit.by_size(tables, columns, groups)
        assert [len(c) for c in cut] == [len(members) for _, members in groups]
        assert np.array_equal(cut[0], tables[1])
        assert np.array_equal(np.concatenate(cut[1:]), joined)


@pytest.mark.parametrize("counts", [[(8, 3), (8, 30), (9, 1), (9, 8)], [(8, 9), (8, 9), (9, 16)]])
def test_leaves_take_several_arrays_of_one_size(counts) -> None:
    groups = [words(rows, 1 << k, rows) for k, rows in counts]
    sizes = sorted({k for k, _ in counts})
    whole = [np.concatenate([g for g in groups if g.shape[1] == 1 << k]) for k in sizes]
    got = jax.jit(partial(blake2s.leaves, interpret=True))(groups)
    assert np.array_equal(got, merkle.commit([jnp.asarray(g) for g in whole]).levels[-1])


def test_constraints_read_rows_through_all_arrays() -> None:
    air, k = state_machine(), 7
    shape = air.shape((k, k), {"initial": [0, 0], "final": [0, 0]})
    rng = np.random.default_rng(0)
    where = composition.locate(air, shape)[1]
    trace, interaction = words(4, 2 << k, 1), words(8, 2 << k, 2)
    n = len(air.info.components[1].constraints)
    elements = rng.integers(0, P, elements_shape(air), np.uint32)
    elements[:, 1] = (1, 0, 0, 0)
    rest = (
        circle.shifted_slots(k, k + 1, -1),
        rng.integers(0, P, (n, 4), np.uint32),
        rng.integers(0, P, 4, np.uint32),
        {name: np.zeros(2, np.uint32) for name in ("initial", "final")},
        elements,
    )
    cut = (None, (trace[:3], trace[3:]), (interaction[:5], interaction[5:7], interaction[7:]))
    got = constraints.component_quotient(air, 1, where, cut, *rest, interpret=True)
    expected = composition.component_quotient(air, 1, where, (None, trace, interaction), *rest)
    assert np.array_equal(got, expected)


def test_stages_with_cut_groups_equal_whole_ones() -> None:
    """Trace of 16 columns in two arrays, on a domain whose digests just fit the limit."""
    air, params = wide_fibonacci(16), ProofParams(0, 1, 5, 2)
    shape = air.shape((7,))
    p = Program(air.structure, shape, params, interpret=True, max_words=8 << 8)
    assert [len(groups) for groups in p.groups] == [0, 2, 1]
    t, rows, rng = tables(p), words(16, 1 << 7), np.random.default_rng(1)
    coefficient, drawn, batching = rng.integers(0, P, (3, 4), np.uint32)

    tree = stages.commit_trace(p, t, [jnp.asarray(rows)]).tree
    whole = commit.commit_rows([jnp.asarray(rows)], 1)
    assert np.array_equal(np.concatenate(tree.evaluations), whole.evaluations[0])
    assert len(tree.evaluations) == 2
    for got, expected in zip(tree.tree.levels, whole.tree.levels, strict=True):
        assert np.array_equal(got, expected)

    no_claims = np.zeros((0, 4), np.uint32)
    last = stages.commit_composition(p, t, [EMPTY, tree], coefficient, {}, (), no_claims).tree
    halves = composition.composition_coefficients(
        air.structure, shape, 1, [EMPTY, whole], qm31.from_ints(coefficient), {}, (), []
    )
    assert np.array_equal(last.coefficients[0], halves)

    trees, samples_of = [EMPTY, tree, last], [whole.coefficients[0], halves]
    samples, multiples = stages.sample(p, t, trees, drawn)
    point = _point(multiples[0])
    expected = [np.asarray(oods.evaluate_columns(c, point)).T for c in samples_of]
    assert np.array_equal(samples, np.concatenate(expected))

    quotients = low_degree.quotients(p, t, trees, samples, multiples, batching)
    plain = deep.quotients(
        [(), whole.evaluations, last.evaluations],
        shape.all_columns,
        shape.all_offsets,
        [[], *_nested(samples, 16)],
        point,
        qm31.from_ints(batching),
        7,
        1,
    )
    assert np.array_equal(quotients, plain)

    positions = np.array([0, 3, 255, 3, 100], np.uint32)
    opened = openings.open_queries(p, trees, _no_layers(p), positions)[0]
    assert np.array_equal(np.concatenate(opened[1][0]), whole.evaluations[0][:, positions])


def _no_layers(p: Program) -> list:
    """FRI layers of zeros."""
    layers, log = [], p.log_domain
    for step in p.params.fri_steps(p.log_size):
        levels = [
            jnp.zeros((8, 1 << j), np.uint32) for j in range(log - fri_packing(log, step) + 1)
        ]
        layers.append((jnp.zeros((4, 1 << log), np.uint32), merkle.MerkleTree(tuple(levels))))
        log -= step
    return layers


def _point(words) -> SecurePoint:
    return SecurePoint(*(qm31.from_ints(np.asarray(c)) for c in words))


def _nested(samples, first: int) -> list:
    values = [(qm31.from_ints(np.asarray(s)),) for s in samples]
    return [values[:first], values[first:]]


def test_arrays_beyond_two_to_the_31_words_are_cut() -> None:
    """2^26 x 26: every stage that sees columns accepts their shapes."""
    p = Program(legacy26().structure, legacy26().shape((26,)), PRESETS["stwo-96"])
    assert [[len(m) for _, m in groups] for groups in p.groups] == [[], [13, 13], [8]]

    def columns(tables, inputs, felt, positions):
        trees = [inputs.fixed, stages.commit_trace(p, tables, inputs.rows).tree]
        claims = jnp.zeros((0, 4), np.uint32)
        trees.append(stages.commit_composition(p, tables, trees, felt, {}, (), claims).tree)
        samples, multiples = stages.sample(p, tables, trees, felt)
        values = low_degree.quotients(p, tables, trees, samples, multiples, felt)
        return trees, values, openings.open_queries(p, trees, _no_layers(p), positions)[0]

    felt, positions = (jax.ShapeDtypeStruct((n,), np.uint32) for n in (4, 70))
    trees, values, opened = jax.eval_shape(
        columns, abstract_tables(p), abstract_inputs(p), felt, positions
    )
    assert [e.shape for e in trees[1].evaluations] == [(13, 1 << 27)] * 2
    assert values.shape == (4, 1 << 27)
    assert [v.shape for v in opened[1][0]] == [(13, 70), (13, 70)]
    assert opened[1][1].shape == (27, 8, 70)


def test_domains_beyond_the_limit_are_refused() -> None:
    air = legacy26()
    Program(air.structure, air.shape((23,)), ProofParams(26, 4, 18, 4))
    with pytest.raises(ValueError, match=r"at most 2\^27 with .*'mosaic_gpu', got 2\^28"):
        Program(air.structure, air.shape((24,)), ProofParams(26, 4, 18, 4))
