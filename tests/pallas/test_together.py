"""Kernels that share launches: each makes what it makes alone; computations keep their order."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
from jax.experimental import pallas as pl  # noqa: E402

from jaxstark.pallas import launch, together  # noqa: E402
from jaxstark.pallas.together import Kernel  # noqa: E402

pytestmark = pytest.mark.floor
MOST = together.MAX_CODE


def scaled(factor: int, source: np.ndarray, *scratch: tuple[int, ...], interpret: bool) -> Kernel:
    """Every block multiplies its vector, if it can in shared memory, and tells its point."""
    grid = source.shape[:-1]

    def body(point, source, target, last, *memory):
        value = launch.load(source, *point, slice(None))
        assert len(memory) == len(scratch)
        if memory:
            here = *[1] * (len(scratch[-1]) - 1), pl.ds(0, 128)
            launch.store(memory[-1], value, *here)
            launch.sync(interpret)
            value = launch.load(memory[-1], *here)
        target[(*point, slice(None))] = value * np.uint32(factor)
        last[point] = point[-1]

    out = jax.ShapeDtypeStruct(source.shape, np.uint32), jax.ShapeDtypeStruct(grid, np.int32)
    return Kernel(body, out, grid, scratch, (source,))


def words(*grid: int) -> np.ndarray:
    return np.arange(math.prod(grid) * 128, dtype=np.uint32).reshape(*grid, 128)


def four(interpret: bool) -> list[Kernel]:
    """Kernels of other grids and shared memory."""
    return [
        scaled(3, words(2, 3), interpret=interpret),
        scaled(5, words(1), (7,), (128,), interpret=interpret),
        scaled(7, words(4), (300,), interpret=interpret),
        scaled(11, words(5), (3, 130), interpret=interpret),
    ]


def lowered(run) -> str:
    return jax.jit(run).trace().lower(lowering_platforms=("cuda",)).as_text()


def call_sites(run) -> int:
    return lowered(run).count("stablehlo.custom_call @mosaic_gpu")


def test_kernels_in_one_launch_make_what_each_makes():
    made = jax.jit(lambda: together.run_together(four(True), interpret=True))()
    for kernel, got, factor in zip(four(True), made, (3, 5, 7, 11), strict=True):
        alone = together.run(kernel, interpret=True)
        points = np.broadcast_to(np.arange(kernel.grid[-1]), kernel.grid)
        for one, other, want in zip(got, alone, (kernel.inputs[0] * factor, points), strict=True):
            assert np.array_equal(one, want) and np.array_equal(other, want)


def test_kernels_in_one_launch_lower_for_cuda():
    """Each kind once in the name; memory of other shapes lies in the same place."""

    def another(point, source, target):
        target[point[0], :] = launch.load(source, point[0], slice(None))

    source = words(2)
    out = jax.ShapeDtypeStruct(source.shape, np.uint32)
    kernels = [*four(False), Kernel(another, (out,), (2,), (), (source,))]
    text = lowered(lambda: together.run_together(kernels, interpret=False))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1
    assert "pallas_scaled_and_pallas_test_kernels" in text


def chain(source: np.ndarray, factors: tuple[int, ...], interpret: bool) -> together.Steps:
    """Kernels that follow each other, after which a product is left."""
    for factor in factors:
        source, _ = yield scaled(factor, source, interpret=interpret)
    return source


def chains(interpret: bool) -> list[together.Steps]:
    """Of several lengths, one without any kernel."""
    return [
        chain(words(2), (3, 5), interpret),
        chain(words(3), (), interpret),
        chain(words(1), (7, 11, 13), interpret),
    ]


def test_computations_side_by_side_make_what_each_makes():
    got = jax.jit(lambda: together.side_by_side(chains(True), interpret=True))()
    for steps, one, product in zip(chains(True), got, (15, 1, 1001), strict=True):
        alone = together.run_steps(steps, interpret=True)
        source = words(len(one))
        assert np.array_equal(one, source * np.uint32(product)) and np.array_equal(alone, one)


def test_computations_side_by_side_take_as_many_launches_as_the_longest():
    assert call_sites(lambda: together.side_by_side(chains(False), interpret=False)) == 3
    in_turn = together.in_turn
    assert call_sites(lambda: together.run_steps(in_turn(chains(False)), interpret=False)) == 5


def weighed(*codes: int, interpret: bool = False) -> together.Steps:
    """Kernels that follow each other, with so much code."""
    source = words(1)
    for code in codes:
        source, _ = yield scaled(3, source, interpret=interpret)._replace(code=code)
    return source


def recorded(run, monkeypatch) -> list[list[Kernel]]:
    """Kernels of each launch, none of which runs."""
    seen = []

    def record(kernels, *, interpret):
        del interpret
        seen.append(kernels)
        return [list(kernel.out) for kernel in kernels]

    with monkeypatch.context() as patch:
        patch.setattr(together, "run_together", record)
        run()
    return seen


def test_computations_that_start_late_make_the_same_and_end_together(monkeypatch):
    """One with a delay beyond the rounds of the others, too."""

    def run(*delays: int):
        return together.side_by_side(chains(True), interpret=True, delays=delays)

    for delays, expected in (
        ((), [[1, 2], [1, 2], [1]]),
        ((1, 0, 0), [[1], [1, 2], [1, 2]]),
        ((3, 6, 1), [[1], [1], [1, 2], [2]]),
    ):
        seen = recorded(lambda delays=delays: run(*delays), monkeypatch)
        assert [[kernel.grid[0] for kernel in some] for some in seen] == expected
    for one, other in zip(jax.jit(lambda: run(1, 0, 0))(), jax.jit(run)(), strict=True):
        assert np.array_equal(one, other)


def test_launches_of_what_starts_late_are_cut_by_their_code(monkeypatch):
    """The second round has room for a chain of one kernel, unless it is too long."""

    def codes(short: int, *delays: int):
        each = [weighed(short), weighed(MOST - 2, 9)]
        seen = recorded(
            lambda: together.side_by_side(each, interpret=False, delays=delays), monkeypatch
        )
        return [sorted(kernel.code for kernel in some) for some in seen]

    assert codes(MOST - 9) == [[MOST - 2], [MOST - 9], [9]]
    assert codes(MOST - 9, 1, 0) == [[MOST - 2], [9, MOST - 9]]
    assert codes(MOST - 8, 1, 0) == [[MOST - 2], [MOST - 8], [9]]


def test_kernels_of_a_computation_are_weighed_and_not_run(monkeypatch):
    found = []

    def run():
        found.extend(together.codes(partial(weighed, *codes)) for codes in ((), (3, 5, 7)))

    assert recorded(run, monkeypatch) == []
    assert found == [[], [3, 5, 7]]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], []),
        ([[], []], [0, 0]),
        ([[1], [1, 1, 1], [], [1, 1]], [2, 0, 3, 1]),  # all end together
        ([[5], [MOST - 9, MOST - 4, MOST - 4]], [0, 0]),  # room in the first round alone
        ([[4], [9], [MOST - 9, MOST]], [2, 0, 0]),  # the longer one chooses first
        ([[9, 5], [MOST, MOST - 9]], [1, 0]),  # one launch more, and room after it
        ([[5, 5], [MOST, 9, MOST]], [1, 0]),  # one launch more wherever it is
    ],
)
def test_short_computations_start_where_launches_have_room(codes, expected):
    assert together.starts(codes) == expected


def test_computations_that_start_where_there_is_room_make_the_same(monkeypatch):
    makes = [partial(weighed, 5, interpret=True), partial(weighed, MOST - 5, MOST, interpret=True)]
    run = partial(together.in_few_launches, makes, interpret=True)
    seen = recorded(run, monkeypatch)
    assert [sorted(kernel.code for kernel in some) for some in seen] == [[5, MOST - 5], [MOST]]
    alone = [together.run_steps(make(), interpret=True) for make in makes]
    for one, other in zip(jax.jit(run)(), alone, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], []),
        ([MOST], [[0]]),
        ([1] * 9, [[*range(9)]]),
        ([1, MOST - 1, 1], [[1], [0, 2]]),
        ([2, MOST - 9, MOST - 5, 7], [[0, 2], [1, 3]]),
        ([60, 40, MOST - 60, 30], [[2], [0, 1, 3]]),  # not 60 beside the first, which has room
        ([3, MOST + 5, 7, MOST - 9], [[1], [3], [0, 2]]),  # a longer one has its own
    ],
)
def test_code_is_dealt_out_to_few_launches(codes, expected):
    got = together.bundles(codes)
    assert got == expected
    assert all(len(some) == 1 or sum(codes[i] for i in some) <= MOST for some in got)


def test_launches_are_cut_by_their_code():
    def run(*codes: int):
        return together.side_by_side([weighed(code) for code in codes], interpret=False)

    assert call_sites(lambda: run(MOST, 1, 2)) == 2
    assert call_sites(lambda: run(MOST - 3, 1, 2)) == 1


def test_chains_come_first_and_small_kernels_last(monkeypatch):
    each = [chain(words(n), (3,), True) for n in (2, 9, 1, 4)]
    seen = recorded(lambda: together.side_by_side(each, interpret=True), monkeypatch)
    assert [[kernel.grid for kernel in some] for some in seen] == [[(1,), (9,), (4,), (2,)]]
