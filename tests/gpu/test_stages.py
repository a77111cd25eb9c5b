"""T32, T33: the stages after the commitments, for n = 3..12 and every blow-up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import circle, deep, fft_reference, fri, merkle  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.deep import api as deep_kernels  # noqa: E402
from jaxstark.pallas.fri import api as fri_kernels  # noqa: E402
from jaxstark.pallas.oods import api as oods_kernels  # noqa: E402
from jaxstark.params import fri_packing  # noqa: E402
from tests.gpu._reference import assert_equal, canonical, cpu, words  # noqa: E402

pytestmark = pytest.mark.gpu
ONE, TWO = (0,), (-1, 0)
# Every size once and every blow-up twice; the other pairs are slow.
PAIRS = [(3, 5), (4, 4), (5, 3), (6, 2), (7, 1), (8, 5), (9, 4), (10, 3), (11, 2), (12, 1)]
OTHERS = [pair for pair in product(range(3, 13), range(1, 6)) if pair not in PAIRS]
SIZES = [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in OTHERS)]
sizes = pytest.mark.parametrize(("log_size", "log_blowup"), SIZES)


def felt(rng) -> QM31:
    return QM31(*canonical(rng, 4).tolist())


def array(value) -> np.ndarray:
    return np.array(value, np.uint32)


def plan_of(log_size: int, log_blowup: int) -> deep.DeepPlan:
    """Two sizes, a preprocessed column, columns with two samples, one without."""
    k, m = log_size, log_size - 2
    trees = [
        [(k, ONE), (m, ())],
        [(k, ONE)] * 5 + [(m, ONE)] * 3,
        [(k, TWO)] * 4 + [(m, TWO)] * 4,
        [(k, ONE)] * 8,
    ]
    columns = tuple(tuple(log for log, _ in tree) for tree in trees)
    offsets = tuple(tuple(mask for _, mask in tree) for tree in trees)
    return deep.make_plan(columns, offsets, log_size, log_blowup)


@sizes
def test_t32_deep_coefficients_and_quotients(log_size, log_blowup):
    rng = np.random.default_rng((log_size, log_blowup))
    plan = plan_of(log_size, log_blowup)
    point, batching = circle.secure_point(felt(rng)), felt(rng)
    places = sorted({(s.tree, s.column, s.index) for s in plan.samples})
    values = {place: felt(rng) for place in places}
    sampled = [
        [
            [values[place] for place in places if place[:2] == (t, c)]
            for c in range(sum(group[0] for group in tree))
        ]
        for t, tree in enumerate(plan.group_shapes)
    ]
    want = deep.coefficients(plan, sampled, point, batching)
    given = (jnp.asarray(array(x)) for x in (list(values.values()), point, batching))
    data = deep_kernels.coefficients(plan, *given)
    for got, expected in zip(data, want, strict=True):
        assert_equal(got, expected)
    if not deep_kernels.fits(plan):
        return
    evaluations = tuple(tuple(words(rng, *group) for group in t) for t in plan.group_shapes)
    x, y = circle.domain_points(plan.log_domain)
    with cpu():
        expected = np.asarray(deep.quotients_from(plan, evaluations, want, x, y))
    on_device = jax.tree.map(jnp.asarray, (evaluations, data, x, y))
    assert_equal(deep_kernels.quotients_from(plan, *on_device), expected)


@sizes
def test_t32_fri_folds_and_trees(log_size, log_blowup):
    """All layers from the domain down, with folds of one to four."""
    rng = np.random.default_rng((log_size, log_blowup))
    log_layer, step = log_size + log_blowup, 1 + (log_size + log_blowup) % 4
    values, table = words(rng, 4, 1 << log_layer), words(rng, 1 << log_layer)
    while log_layer > log_blowup:
        step = min(step, log_layer - log_blowup)
        alpha = felt(rng)
        with cpu():
            multipliers = fri.multipliers(alpha, step)
            want = np.array(fri.fold(values, table[: 1 << log_layer], multipliers))
        given = (jnp.asarray(a) for a in (values, table, array(alpha)))
        assert_equal(fri_kernels.fold(*given, step), want)
        packing = fri_packing(log_layer, step)
        layer = values % np.uint32(P)
        tree = merkle.commit_values(layer, packing)
        levels = blake2s.commit_values(jnp.asarray(layer), packing)
        assert len(levels) == len(tree.levels)
        for got, level in zip(levels, tree.levels, strict=True):
            assert_equal(got, level)
        values, log_layer = want, log_layer - step
        if log_blowup + 1 < log_layer < 7:
            values[:, ::5] = P  # few values: once more with redundant words


@sizes
def test_t32_values_out_of_domain(log_size, log_blowup):
    rng = np.random.default_rng((log_size, log_blowup))
    drawn = felt(rng)
    point = circle.secure_point(drawn)
    seen = tuple((0, k) for k in (1, 4, *range(6, log_size + 1)) if k <= log_size)
    multiples, bases = oods_kernels.drawn_bases(jnp.asarray(array(drawn)), log_size, seen)
    back = circle.secure_add(point, circle.point(-circle.subgroup_generator(log_size)))
    for row, start in zip(np.asarray(multiples), (point, back), strict=True):
        want = [circle.secure_double(start, i) for i in range(log_size)]
        assert_equal(row, array(want))
    for which, k in seen:
        coefficients = words(rng, 5, 1 << k)
        groups = [jnp.asarray(coefficients), jnp.asarray(coefficients[::-1])]
        got = oods_kernels.evaluate_columns(groups, bases, (which, k), rows=((1, 2, 4), (0, 1)))
        chosen = coefficients[[1, 2, 4, 4, 3]] % np.uint32(P)
        at = circle.secure_double(point, log_size - k)
        assert_equal(got, fft_reference.evaluate_at(chosen, at))


@pytest.mark.parametrize(("count", "log_size"), [(26, 16), (4, 20)])
def test_t32_values_of_large_columns(count, log_size):
    """Several blocks share a column."""
    rng = np.random.default_rng(log_size)
    coefficients, drawn, seen = words(rng, count, 1 << log_size), felt(rng), (1, log_size)
    _, bases = oods_kernels.drawn_bases(jnp.asarray(array(drawn)), log_size, (seen,))
    got = oods_kernels.evaluate_columns([jnp.asarray(coefficients)], bases, seen)
    before = circle.point(-circle.subgroup_generator(log_size))
    point = circle.secure_add(circle.secure_point(drawn), before)
    chosen = [0, count // 2, count - 1]
    want = fft_reference.evaluate_at(coefficients[chosen] % np.uint32(P), point)
    assert_equal(got[:, np.array(chosen)], want)
