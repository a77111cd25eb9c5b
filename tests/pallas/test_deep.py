"""DEEP kernels: the quotients of ``jaxstark.deep``, and CUDA accepts every shipped shape."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import circle, deep  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.deep import api  # noqa: E402
from jaxstark.pallas.deep.config import DeepConfig  # noqa: E402
from jaxstark.pallas.deep.schedule import Run, steps  # noqa: E402

pytestmark = pytest.mark.floor

ONE, TWO = (0,), (-1, 0)


def plan_of(log_size: int, log_blowup: int, trees) -> deep.DeepPlan:
    """The plan for ``[tree][column]`` of (log size, mask offsets)."""
    columns = tuple(tuple(k for k, _ in tree) for tree in trees)
    offsets = tuple(tuple(mask for _, mask in tree) for tree in trees)
    return deep.make_plan(columns, offsets, log_size, log_blowup)


def one_size(log_size: int, lookups: bool = False) -> deep.DeepPlan:
    trees = [[], [(log_size, ONE)] * 26, [(log_size, ONE)] * 8]
    if lookups:
        trees[0] = [(log_size, ONE), (log_size, ())]
        trees.insert(2, [(log_size, ONE)] * 4 + [(log_size, TWO)] * 4)
    return plan_of(log_size, 1, trees)


def several(log_size: int) -> deep.DeepPlan:
    """Sizes below and above a vector, columns without samples, one point per lookup size."""
    k, m = log_size, log_size - 2
    return plan_of(
        k,
        1,
        [
            [(k, ONE), (2, ()), (3, ONE)],
            [(2, ONE)] * 2 + [(k, ONE), (k, ()), (k, ONE)] + [(m, ONE)] * 10,
            [(4, TWO)] * 2 + [(1, TWO)] + [(k, TWO)] * 2 + [(m, TWO)],
            [(k, ONE)] * 8,
        ],
    )


def arguments(plan: deep.DeepPlan, seed: int = 0):
    rng = np.random.default_rng(seed)

    def words(*dims: int) -> np.ndarray:
        out = rng.integers(0, P, dims, np.uint32)
        out.reshape(-1)[::7] = P  # the redundant word
        return out

    n_terms = sum(len(terms) for sizes in plan.terms for _, terms in sizes)
    n_points = len(plan.points)
    evaluations = tuple(tuple(words(*group) for group in tree) for tree in plan.group_shapes)
    shapes = ((n_terms, 4), (n_points, 4), (n_points, 4), (n_points, 3, 2))
    data = deep.Coefficients(*(words(*dims) for dims in shapes))
    return evaluations, data, *circle.domain_points(plan.log_domain)


def shapes_of(plan: deep.DeepPlan):
    n_terms = sum(len(terms) for sizes in plan.terms for _, terms in sizes)
    n_points = len(plan.points)
    evaluations = tuple(tuple(shape(*group) for group in tree) for tree in plan.group_shapes)
    rows = shape(1 << plan.log_domain)
    points = shape(n_points, 4)
    data = deep.Coefficients(shape(n_terms, 4), points, points, shape(n_points, 3, 2))
    return evaluations, data, rows, rows


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def lower(function, *shapes) -> str:
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


# Values.


@pytest.mark.parametrize(
    ("plan", "config", "launches"),
    [
        (one_size(8), DeepConfig(), [9]),
        (one_size(8), DeepConfig(words_log=2, vectors_log=0, unroll=4), [9]),
        (one_size(7, lookups=True), DeepConfig(), [8]),
        # Lifted by XLA between launches.
        (several(8), DeepConfig(), [7, 9]),
        # Lifted in the kernel, several pairs to a load.
        (several(8), DeepConfig(words_log=0), [7, 9]),
        (
            plan_of(12, 1, [[(7, ONE)] * 9, [(8, TWO)] * 9, [(12, ONE)] * 2]),
            DeepConfig(words_log=0),
            [8, 9, 13],
        ),
        # Lifted in the kernel: small columns; the numerators of a launch.
        (plan_of(12, 1, [[(1, ONE)], [(2, TWO)] * 2, [(12, ONE)] * 2]), DeepConfig(), [13]),
        (
            plan_of(12, 1, [[(1, ONE)], [(2, TWO)] * 2, [(12, ONE)] * 2]),
            DeepConfig(merged_columns=0, words_log=0),
            [7, 13],
        ),
    ],
)
def test_t33_quotients_are_those_of_the_reference(plan, config, launches):
    assert [step.log for step in steps(plan, config)] == launches
    got = api.quotients_from(plan, *arguments(plan), config=config, interpret=True)
    want = np.asarray(deep.quotients_from(plan, *arguments(plan)))
    assert np.array_equal(np.asarray(got), want)


def test_a_column_is_read_once_for_all_its_points():
    plan = one_size(7, lookups=True)
    (step,) = steps(plan, DeepConfig())
    assert step.points == (0, 1)
    assert [(r.tree, r.row, r.count, len(r.terms)) for r in step.runs] == [
        (0, 0, 1, 1),  # the second column has no sample
        (1, 0, 26, 1),
        (2, 0, 4, 1),
        (2, 4, 4, 2),
        (3, 0, 8, 1),
    ]
    assert step.runs[3] == Run(2, 0, 8, 4, 4, ((0, 31), (1, 43)))


def test_every_term_is_added_once():
    for config in (DeepConfig(), DeepConfig(merged_columns=0)):
        plan = several(20)
        todo = steps(plan, config)
        added = [f + i for s in todo for r in s.runs for _, f in r.terms for i in range(r.count)]
        assert sorted(added) == list(range(sum(len(t) for s in plan.terms for _, t in s)))
        assert todo[-1].log == plan.log_domain and len(todo[-1].points) == len(plan.points)


@pytest.mark.parametrize(
    ("case", "samples"),
    [
        (several(6), 1),
        (one_size(3), 1),
        # Three vectors of samples.
        (plan_of(4, 1, [[(4, ONE)] * 250, [(3, TWO)] * 4, [(4, ONE)] * 8]), 1),
    ],
)
def test_coefficients_are_those_of_the_host(case, samples):
    rng = np.random.default_rng(samples)

    def felt() -> QM31:
        return QM31(*rng.integers(0, P, 4).tolist())

    z, batching = circle.secure_point(felt()), felt()
    places = sorted({(s.tree, s.column, s.index) for s in case.samples})
    values = {place: felt() for place in places}
    sampled = [
        [
            [values[place] for place in places if place[:2] == (t, c)]
            for c in range(sum(group[0] for group in tree))
        ]
        for t, tree in enumerate(case.group_shapes)
    ]
    want = deep.coefficients(case, sampled, z, batching)
    words = (np.array(x, np.uint32) for x in (list(values.values()), z, batching))
    got = api.coefficients(case, *words, interpret=True)
    for name, a, b in zip(deep.Coefficients._fields, got, want, strict=True):
        assert np.array_equal(np.asarray(a), b), name


# Lowering for CUDA, which refuses forms that the interpreter takes.


@pytest.mark.parametrize(
    ("plan", "launches"),
    [
        (one_size(20), 1),
        (one_size(20, lookups=True), 1),
        (one_size(26), 1),
        (several(20), 2),
        (one_size(6), 1),
    ],
)
def test_quotients_lower_for_cuda(plan, launches):
    text = lower(partial(api.quotients_from, plan), *shapes_of(plan))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == launches


@pytest.mark.parametrize(
    "config", [DeepConfig(2, 0), DeepConfig(0, 2), DeepConfig(0, 0), DeepConfig(unroll=4)]
)
def test_other_sizes_lower_for_cuda(config):
    plan = one_size(20)
    text = lower(partial(api.quotients_from, plan, config=config), *shapes_of(plan))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


def test_coefficients_lower_for_cuda():
    plan = several(20)
    n_values = len({(s.tree, s.column, s.index) for s in plan.samples})
    text = lower(partial(api.coefficients, plan), shape(n_values, 4), shape(2, 4), shape(4))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


# What is refused.


def test_misuse_is_refused():
    small, plan = one_size(5), one_size(6)
    assert api.fits(plan) and not api.fits(small)
    with pytest.raises(ValueError, match="log domain: expected at least 7, got 6"):
        api.quotients_from(small, *arguments(small))
    evaluations, data, x, y = arguments(plan)
    with pytest.raises(ValueError, match="evaluations: expected shapes"):
        api.quotients_from(plan, evaluations[:-1], data, x, y)
    with pytest.raises(ValueError, match="slopes: expected uint32 \\[1, 4\\]"):
        api.quotients_from(plan, evaluations, data._replace(slopes=data.columns), x, y)
    with pytest.raises(ValueError, match="y: expected uint32 \\[128\\], got int32"):
        api.quotients_from(plan, evaluations, data, x, y.astype(np.int32))
    with pytest.raises(ValueError, match="values: expected uint32 \\[34, 4\\]"):
        api.coefficients(plan, data.slopes, np.zeros((2, 4), np.uint32), data.slopes[0])
