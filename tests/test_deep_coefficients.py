"""Traced coefficients of the DEEP quotients are those that the host computes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxstark import circle, deep, deep_coefficients
from jaxstark.fields import qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

ONE, TWO = (0,), (-1, 0)

# [tree][column] of (log size, mask offsets), with the largest log size and the blow-up
CASES = {
    "one size": (4, 1, [[(4, ONE)], [(4, ONE)] * 3, [(4, TWO)] * 2, [(4, ONE)] * 8]),
    "several sizes": (
        6,
        1,
        [
            [(6, ONE), (2, ()), (3, ONE)],
            [(2, ONE), (6, ONE), (4, TWO), (6, ())],
            [(4, TWO), (2, TWO), (6, TWO)],
            [(6, ONE)] * 8,
        ],
    ),
    "coinciding points": (1, 2, [[(1, ())], [(1, TWO)], [(1, ONE)] * 8]),
}


class Case:
    def __init__(self, name: str) -> None:
        log_size, log_blowup, trees = CASES[name]
        rng = np.random.default_rng(0)

        def felt() -> QM31:
            return QM31(*rng.integers(0, P, 4).tolist())

        columns = tuple(tuple(k for k, _ in tree) for tree in trees)
        offsets = tuple(tuple(mask for _, mask in tree) for tree in trees)
        self.plan = deep.make_plan(columns, offsets, log_size, log_blowup)
        self.sampled = [[[felt() for _ in mask] for mask in tree] for tree in offsets]
        self.z, self.deep = circle.secure_point(felt()), felt()
        flat = [value for tree in self.sampled for column in tree for value in column]
        self.arrays = tuple(np.array(x, np.uint32) for x in (flat, self.z, self.deep))


traced = jax.jit(deep_coefficients.coefficients_traced, static_argnums=0)


@pytest.mark.parametrize("name", CASES)
def test_coefficients_are_those_of_the_host(name):
    case = Case(name)
    want = deep.coefficients(case.plan, case.sampled, case.z, case.deep)
    for field, a, b in zip(want._fields, traced(case.plan, *case.arrays), want, strict=True):
        assert np.array_equal(np.asarray(a), b), field


def test_powers_at_hand_are_taken():
    case = Case("one size")
    powers = np.array(qm31.powers(case.deep, len(case.plan.samples)), np.uint32)
    got = traced(case.plan, *case.arrays, powers)
    want = deep.coefficients(case.plan, case.sampled, case.z, case.deep)
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(got, want, strict=True))
    powers[1] = powers[0]
    assert not np.array_equal(np.asarray(traced(case.plan, *case.arrays, powers)[0]), want[0])


@pytest.mark.parametrize("count", [1, 2, 3, 37])
def test_powers_double(count):
    x = QM31(P - 1, 5, 0, 1 << 30)
    run = jax.jit(deep_coefficients.powers_traced, static_argnums=1)
    got = np.asarray(run(np.array(x, np.uint32), count))
    assert np.array_equal(got, np.array(qm31.powers(x, count), np.uint32))


def test_other_shapes_are_refused():
    case = Case("one size")
    values, z, batching = case.arrays
    with pytest.raises(ValueError, match="values: expected uint32 \\[16, 4\\], got uint32"):
        traced(case.plan, values[1:], z, batching)
    with pytest.raises(ValueError, match="z: expected uint32 \\[2, 4\\]"):
        traced(case.plan, values, z[0], batching)
    with pytest.raises(ValueError, match="deep: expected uint32 \\[4\\], got int32"):
        traced(case.plan, values, z, batching.astype(np.int32))
    with pytest.raises(ValueError, match="powers: expected uint32"):
        traced(case.plan, values, z, batching, values)
    with pytest.raises(ValueError, match="powers: expected at least one, got 0"):
        deep_coefficients.powers_traced(batching, 0)
