"""DEEP quotients against the formula of the protocol, sample by sample, and through FRI."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxstark import circle, deep, fri
from jaxstark.channel import Blake2sChannel
from jaxstark.circle import SecurePoint
from jaxstark.errors import ProvingError
from jaxstark.fields import cm31, m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.shape import size_groups

ONE, TWO = (0,), (-1, 0)

# [tree][column] of (log size, mask offsets), with the largest log size and the blow-up
CASES = {
    "one size": (4, 1, [[(4, ONE)], [(4, ONE)] * 3, [(4, TWO)] * 2, [(4, ONE)] * 8]),
    "no interaction": (3, 2, [[], [(3, ONE), (2, ONE)], [(3, ONE)] * 8]),
    "mixed": (
        6,
        1,
        [
            [(6, ONE), (2, ()), (3, ONE)],
            [(2, ONE), (6, ONE), (4, TWO), (2, ONE), (6, ())],
            [(4, TWO), (2, TWO), (6, TWO), (2, TWO)],
            [(6, ONE)] * 8,
        ],
    ),
    "blow-up 8": (5, 3, [[(5, ONE)], [(3, ONE), (5, TWO)], [(3, TWO), (4, TWO)], [(5, ONE)] * 8]),
    # The points of the mask and of the periodicity check coincide.
    "coinciding points": (1, 2, [[(1, ())], [(1, TWO)], [(1, ONE)] * 8]),
    "more columns than one fusion": (2, 1, [[(2, ONE)], [(2, ONE)] * 37, [(2, ONE)] * 8]),
}


class Case:
    """Random evaluations and samples of one case."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.log_size, self.log_blowup, trees = CASES[name]
        self.columns = tuple(tuple(k for k, _ in tree) for tree in trees)
        self.offsets = tuple(tuple(mask for _, mask in tree) for tree in trees)
        self.rng = np.random.default_rng(seed)
        self.flat = [
            [self.words(1 << (k + self.log_blowup)) for k in tree] for tree in self.columns
        ]
        self.sampled = [[[self.felt() for _ in mask] for mask in tree] for tree in self.offsets]
        self.z = circle.secure_point(self.felt())
        self.deep = self.felt()

    def words(self, size: int) -> np.ndarray:
        return self.rng.integers(0, P, size, dtype=np.uint32)

    def felt(self) -> QM31:
        return QM31(*self.words(4).tolist())

    def quotients(self, flat=None, sampled=None):
        flat = self.flat if flat is None else flat
        groups = [
            [jnp.asarray(np.stack([values[j] for j in g])) for _, g in size_groups(tree)]
            for values, tree in zip(flat, self.columns, strict=True)
        ]
        return deep.quotients(
            groups,
            self.columns,
            self.offsets,
            self.sampled if sampled is None else sampled,
            self.z,
            self.deep,
            self.log_size,
            self.log_blowup,
        )

    def samples(self):
        """Per sample: tree, column, point, value; in the order of powers."""
        back = circle.point(-circle.subgroup_generator(self.log_size))
        points = {0: self.z, -1: circle.secure_add(self.z, back)}
        domain_step = circle.subgroup_generator(self.log_size + self.log_blowup)
        for t, tree in enumerate(self.columns):
            for j, k in enumerate(tree):
                mask, values = self.offsets[t][j], self.sampled[t][j]
                if len(mask) == 2:
                    period = circle.point(domain_step << (k + self.log_blowup))
                    yield t, j, circle.secure_add(points[mask[1]], period), values[1]
                for offset, value in zip(mask, values, strict=True):
                    yield t, j, points[offset], value

    def at(self, slot: int) -> QM31:
        """The sum of quotients at one slot, from the definition."""
        log_domain = self.log_size + self.log_blowup
        d = circle.point(circle.domain_index(log_domain, slot))
        total, weight = qm31.ZERO, qm31.ONE
        for t, j, p, v in self.samples():
            source = circle.lift_slot(slot, self.columns[t][j] + self.log_blowup, log_domain)
            f = int(self.flat[t][j][source])
            a, c = qm31.sub(qm31.conj(v), v), qm31.sub(qm31.conj(p.y), p.y)
            b = qm31.sub(qm31.mul(v, c), qm31.mul(a, p.y))
            line = qm31.add(qm31.mul_base(a, d.y), b)
            numerator = qm31.sub(qm31.mul_base(c, f), line)
            re_x = cm31.sub(p.x.first, cm31.CM31(d.x, 0))
            re_y = cm31.sub(p.y.first, cm31.CM31(d.y, 0))
            den = cm31.sub(cm31.mul(re_x, p.y.second), cm31.mul(re_y, p.x.second))
            quotient = qm31.mul_cm31(numerator, cm31.inv(den))
            total = qm31.add(total, qm31.mul(weight, quotient))
            weight = qm31.mul(weight, self.deep)
        return total


@pytest.mark.parametrize("name", CASES)
def test_quotients_are_the_formula_sample_by_sample(name):
    case = Case(name)
    got = np.asarray(case.quotients())
    assert got.shape == (4, 1 << (case.log_size + case.log_blowup)) and m31.is_canonical(got)
    slots = range(0, got.shape[1], max(1, got.shape[1] // 16))
    for slot in (*slots, 1, got.shape[1] - 1):
        assert tuple(got[:, slot].tolist()) == case.at(slot)
    case.deep = qm31.add(case.deep, qm31.ONE)
    assert (np.asarray(case.quotients()) != got).any()


def test_distinct_points_are_found_from_sizes_and_masks():
    case = Case("mixed")
    plan = deep.make_plan(case.columns, case.offsets, case.log_size, case.log_blowup)
    # z, z one row before, and one periodicity point for each of the smaller sizes 2 and 4.
    assert len(plan.points) == 4 and 0 in plan.points
    assert len(plan.samples) == 2 + 3 + 3 + 4 * 3 + 8
    shared = [t.samples for sizes in plan.terms for _, ts in sizes for t in ts if t.samples[1:]]
    assert len(shared) == 1  # the two-sample column of full size, at z
    alike = Case("coinciding points")
    assert len(deep.make_plan(alike.columns, alike.offsets, 1, 2).points) == 2


def test_t33_the_word_p_stands_for_zero():
    case = Case("mixed")
    case.flat[1][1][::3] = 0
    case.flat[2][1][:] = 0
    expected = np.asarray(case.quotients())
    case.flat[1][1][::3] = P
    case.flat[2][1][:] = P
    assert np.array_equal(np.asarray(case.quotients()), expected)


def test_a_second_proof_of_a_shape_traces_nothing():
    counts = []
    for seed in (1, 2):
        Case("mixed", seed).quotients()
        counts.append(deep.quotients_from._cache_size())  # pyright: ignore
    assert counts[0] == counts[1]


def test_evaluations_of_another_shape_are_refused():
    case = Case("mixed")
    case.columns = (*case.columns[:-1], (5,) * 8)
    with pytest.raises(ValueError, match="evaluations: expected shapes"):
        case.quotients()


def test_a_sampled_column_above_the_largest_size_is_refused():
    with pytest.raises(ValueError, match="expected log size at most 3, got 4"):
        deep.make_plan(((4,), (3,)), ((ONE,), (ONE,)), 3, 1)
    deep.make_plan(((4,), (3,)), (((),), (ONE,)), 3, 1)


def factors(x, y, count: int, double):
    """y, x, pi(x), pi(pi(x)), ..."""
    out = [y]
    while len(out) < count:
        out.append(x)
        x = double(x)
    return out[:count]


def on_domain(coefficients: np.ndarray, log_domain: int) -> np.ndarray:
    points, total = circle.domain_points(log_domain), np.zeros(1 << log_domain, np.uint32)
    terms = factors(points.x, points.y, len(coefficients).bit_length() - 1, circle.double_x)
    for m, value in enumerate(coefficients.tolist()):
        basis = np.full_like(total, value)
        for t, factor in enumerate(terms):
            basis = m31.mul(basis, factor) if m >> t & 1 else basis
        total = m31.add(total, basis)
    return total


def at_point(coefficients: np.ndarray, p: SecurePoint) -> QM31:
    count = len(coefficients).bit_length() - 1
    terms, total = factors(p.x, p.y, count, circle.secure_double_x), qm31.ZERO
    for m, value in enumerate(coefficients.tolist()):
        basis = qm31.from_base(value)
        for t, factor in enumerate(terms):
            basis = qm31.mul(basis, factor) if m >> t & 1 else basis
        total = qm31.add(total, basis)
    return total


def honest() -> Case:
    """Polynomials on all columns, and their true samples."""
    case = Case("blow-up 8")
    polynomials = [[case.words(1 << k) for k in tree] for tree in case.columns]
    case.flat = [
        [on_domain(c, len(c).bit_length() - 1 + case.log_blowup) for c in tree]
        for tree in polynomials
    ]
    back = circle.point(-circle.subgroup_generator(case.log_size))
    points = {0: case.z, -1: circle.secure_add(case.z, back)}
    case.sampled = [
        [
            [at_point(c, circle.secure_double(points[o], case.log_size - k)) for o in mask]
            for c, k, mask in zip(polys, logs, masks, strict=True)
        ]
        for polys, logs, masks in zip(polynomials, case.columns, case.offsets, strict=True)
    ]
    return case


def test_t12_only_true_samples_give_a_function_of_low_degree():
    case, params = honest(), ProofParams(0, 3, 2, 3)

    def commit(sampled):
        values = case.quotients(sampled=sampled)
        return fri.commit(Blake2sChannel(), values, case.log_size, params)

    commit(case.sampled)
    for t, j, i in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 0, 1), (2, 1, 1), (3, 7, 0)):
        sampled = [[list(values) for values in tree] for tree in case.sampled]
        sampled[t][j][i] = qm31.add(sampled[t][j][i], qm31.ONE)
        with pytest.raises(ProvingError, match="not low degree"):
            commit(sampled)


@pytest.mark.parametrize(("tree", "column"), [(0, 0), (1, 0), (2, 0), (3, 7)])
def test_t8_one_changed_evaluation_is_not_of_low_degree(tree, column):
    case = honest()
    case.flat[tree][column][5] = (int(case.flat[tree][column][5]) + 1) % P
    with pytest.raises(ProvingError, match="not low degree"):
        fri.commit(Blake2sChannel(), case.quotients(), case.log_size, ProofParams(0, 3, 2, 3))
