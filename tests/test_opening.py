"""Openings: one program for all size groups gives what a program for each gives."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark import circle, commit, merkle, oods, opening
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.shape import ProofShape

SIZES = (4, 6)
PARAMS = ProofParams(pow_bits=0, log_blowup=1, n_queries=5)
POINT = circle.secure_point(QM31(3, 141, 59, 26535))


@pytest.fixture(scope="module")
def trees():
    rng = np.random.default_rng(5)

    def group(count, k):
        return rng.integers(0, P, (count, 1 << k), dtype=np.uint32)

    empty = commit.Committed((), (), merkle.MerkleTree((np.zeros((8, 1), np.uint32),)))
    two = commit.commit_rows([group(2, 4), group(3, 6)], PARAMS.log_blowup)
    return [empty, two, commit.commit_coefficients([group(8, 6)], PARAMS.log_blowup)]


@pytest.fixture(scope="module")
def shape():
    columns = ((), (6, 4, 6, 4, 6))
    offsets = ((), ((0,), (-1, 0), (-1, 0), (-1, 0), (0,)))
    return ProofShape(SIZES, columns, offsets, 1, 0, 0)


@pytest.mark.parametrize("log_size", [1, 2, 5])
def test_lifted_factors_are_those_of_the_multiples(log_size):
    found = oods.lifted_factors(POINT, log_size)
    assert [f.shape for f in found] == [(1, k, 4) for k in range(log_size + 1)]
    for k in range(1, log_size + 1):
        multiple = circle.secure_double(POINT, log_size - k)
        assert (found[k] == oods.point_factors([multiple], k)).all()
    other = oods.lifted_factors(circle.secure_double(POINT), log_size)
    assert (found[log_size] != other[log_size]).any()


def both_ways(monkeypatch, call):
    """What a call gives with a program for each group, and with one for all."""
    used = []
    for module, name in ((opening, "_evaluate_jit"), (commit, "_gather_jit")):
        real = getattr(module, name)

        def noted(*arguments, real=real, name=name):
            used.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, noted)
    apart = call()
    assert not used
    monkeypatch.setattr(merkle, "on_cpu", lambda array: False)
    together = call()
    return apart, together, used


def test_one_program_samples_as_many_do(trees, shape, monkeypatch):
    apart, together, used = both_ways(monkeypatch, lambda: opening.sample(trees, shape, POINT))
    assert used == ["_evaluate_jit"]
    assert apart == together
    assert [[len(c) for c in tree] for tree in apart] == [[], [1, 2, 2, 2, 1], [1] * 8]
    # A lifted column is seen at a multiple of the point, a second sample one row before.
    columns = trees[1].coefficients[0]
    there = circle.secure_add(POINT, circle.point(-circle.subgroup_generator(6)))
    for sample, point in ((1, POINT), (0, there)):
        expected = oods.evaluate_columns(columns, circle.secure_double(point, 2))
        assert apart[1][1][sample] == tuple(int(w) for w in expected[:, 0])


def test_one_program_gathers_as_many_do(trees, shape, monkeypatch):
    positions = np.array([3, 64, 65, 127])
    apart, together, used = both_ways(
        monkeypatch, lambda: opening.open_rows(trees, shape, positions, PARAMS)
    )
    assert used == ["_gather_jit"]
    for one, other in zip(apart[0], together[0], strict=True):
        assert (one == other).all()
    assert apart[1] == together[1] and apart[1][0] == () and apart[1][1]
    assert (apart[0][1][0] == np.asarray(trees[1].evaluations[1])[0][positions]).all()
