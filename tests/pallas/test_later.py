"""Arrays that are made where they are read: the same results, and one after the other."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import deep  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.deep import api as deep_kernels  # noqa: E402
from jaxstark.pallas.deep.config import DeepConfig  # noqa: E402
from jaxstark.pallas.deep.schedule import steps  # noqa: E402
from jaxstark.pallas.later import Later, read  # noqa: E402
from tests.pallas.test_deep import ONE, TWO, arguments, one_size, plan_of, several  # noqa: E402

pytestmark = pytest.mark.floor


def words(rows: int, lanes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, P + 1, (rows, lanes), np.uint32)


def later(array: Any) -> Later:
    """An array that is made of its words with all bits turned over."""
    return Later(tuple(array.shape), ~array, lambda source: ~source)


def names(function: Any, *arrays: Any) -> list[str]:
    """The operations of a function in order, those that are not words of a kernel."""
    return [eqn.primitive.name for eqn in jax.make_jaxpr(function)(*arrays).eqns]


def test_what_is_made_waits_for_what_was_read_before() -> None:
    def both(a: Any, b: Any) -> Any:
        first, done = read(later(a), None)
        return read(later(b), (done, first.sum(dtype=np.uint32)))

    barrier = "optimization_barrier"
    last = jax.make_jaxpr(both)(words(2, 4), words(3, 4)).jaxpr
    barriers = [eqn for eqn in last.eqns if eqn.primitive.name == barrier]
    assert set(last.outvars[1:]) <= set(barriers[-1].outvars)  # XLA drops what no one reads
    order = [n for n in names(both, words(2, 4), words(3, 4)) if n in (barrier, "reduce_sum")]
    assert order == [barrier, "reduce_sum", barrier]
    a, b = words(2, 4), words(3, 4, 1)
    second, (_, total) = both(a, b)
    assert np.array_equal(second, b) and total == np.sum(a, dtype=np.uint32)
    array, done = read(a, "as it is")
    assert array is a and done == "as it is"


@pytest.mark.parametrize(
    "counts",
    [
        [(8, 8), (8, 8), (8, 8), (8, 2)],
        [(8, 16), (8, 16)],
        # Whole blocks and words that are left over of smaller sizes, one of them below a vector.
        [(5, 3), (7, 16), (7, 3), (8, 2), (8, 8), (8, 8)],
        [(8, 5), (9, 40), (10, 9), (10, 8)],
        [(3, 2), (5, 17), (5, 1)],
    ],
)
def test_leaves_of_groups_that_come_later_are_those_of_whole_ones(counts) -> None:
    groups = [words(rows, 1 << k, i) for i, (k, rows) in enumerate(counts)]

    def leaves(groups: list[Any]) -> Any:
        return blake2s.leaves([later(group) for group in groups], interpret=True)

    want = jax.jit(partial(blake2s.leaves, interpret=True))(groups)
    assert np.array_equal(jax.jit(leaves)(groups), want)


@pytest.mark.parametrize(
    ("plan", "launches"),
    [
        (one_size(7, lookups=True), [8, 8, 8]),
        (several(8), [7] * 5 + [9] * 3),
        # The largest size starts from the sums of two smaller ones.
        (plan_of(9, 1, [[(7, ONE)] * 2, [(7, TWO)] * 3 + [(8, ONE)], [(9, ONE)] * 2]), [8, 9, 10]),
    ],
)
def test_quotients_of_columns_that_come_later_are_those_of_the_reference(plan, launches) -> None:
    """Tree 0 is kept."""
    places = {(t, g) for t, tree in enumerate(plan.group_shapes) for g in range(len(tree)) if t}
    assert [s.log for s in steps(plan, DeepConfig(), frozenset(places))] == launches
    evaluations, *rest = arguments(plan)

    @jax.jit
    def quotients(evaluations: Any, *rest: Any) -> Any:
        kept, *others = evaluations
        made = [kept, *([later(group) for group in tree] for tree in others)]
        return deep_kernels.quotients_from(plan, made, *rest, interpret=True)

    want = deep.quotients_from(plan, evaluations, *rest)
    assert np.array_equal(quotients(evaluations, *rest), want)


def test_kernels_of_one_size_follow_each_other_and_read_one_array_that_comes_later() -> None:
    plan = several(8)
    places = frozenset((t, g) for t, tree in enumerate(plan.group_shapes) for g in range(len(tree)))
    found = steps(plan, DeepConfig(), places)
    for step in found:
        assert len({(run.tree, run.group) for run in step.runs}) == 1
    assert all(a.points == b.points for a in found for b in found if a.log == b.log)
    assert found[-1].points == tuple(range(len(plan.points)))
    read_once = [
        (r.tree, r.group, r.row + i) for s in found for r in s.runs for i in range(r.count)
    ]
    assert len(read_once) == len(set(read_once))
