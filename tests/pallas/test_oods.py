"""Kernels out of domain: the values of ``jaxstark.oods``, and CUDA accepts every shipped shape."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import circle, oods  # noqa: E402
from jaxstark.fields import qm31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.oods import api  # noqa: E402
from jaxstark.pallas.oods.config import EvaluateConfig  # noqa: E402

pytestmark = pytest.mark.floor

FELT = QM31(123456789, P - 1, 7, 1 << 30)
POINT = circle.secure_point(FELT)
OTHER = circle.secure_point(QM31(0, 0, 1, P - 2))


def columns(count: int, log_size: int) -> np.ndarray:
    words = np.random.default_rng(log_size).integers(0, P, (count, 1 << log_size), np.uint32)
    words[:, ::5] = P - 1
    words[:, 3::7] = P  # redundant words
    words[-1, :64] = P
    return words


def array(value) -> np.ndarray:
    return np.array(value, np.uint32)


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def lower(function, *shapes) -> str:
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


# Values.


@pytest.mark.parametrize(
    ("log_size", "points", "config"),
    [
        (7, (POINT,), EvaluateConfig()),
        (8, (POINT, OTHER), EvaluateConfig()),
        # Four words a thread; chunks of several passes.
        (12, (POINT,), EvaluateConfig(min_blocks=1)),
        # Arrays that share a weight; several chunks.
        (12, (POINT,), EvaluateConfig(words_log=1, vectors_log=1, max_chunk_log=2)),
        (11, (POINT, OTHER), EvaluateConfig(words_log=0, vectors_log=1, min_blocks=1)),
    ],
)
def test_t33_values_are_those_of_the_reference(log_size, points, config):
    coefficients = columns(2, log_size)
    factors = oods.point_factors(points, log_size)
    got = api.evaluate_at([coefficients], factors, config=config, interpret=True)
    want = np.asarray(oods.evaluate_at_factors(coefficients, factors))
    assert np.array_equal(np.asarray(got), want)


def test_rows_are_chosen_without_and_with_a_copy():
    coefficients, factors = columns(4, 8), oods.point_factors((POINT,), 8)
    want = np.asarray(oods.evaluate_at_factors(coefficients, factors))
    for rows in ((2, 3), (0, 3)):
        got = api.evaluate_at([coefficients], factors, rows=(rows,), interpret=True)
        assert np.array_equal(np.asarray(got), want[:, :, list(rows)])


def test_groups_of_one_size_share_a_launch():
    """Every column from the array that it lies in; of one array no column at all."""
    factors = oods.point_factors((POINT,), 9)
    groups = [columns(3, 9), columns(2, 9)[::-1], columns(2, 9) ^ np.uint32(1)]
    rows = ((0, 2), (), (1,))
    got = api.evaluate_at(groups, factors, rows=rows, interpret=True)
    chosen = np.concatenate([group[list(some)] for group, some in zip(groups, rows, strict=True)])
    assert np.array_equal(np.asarray(got), np.asarray(oods.evaluate_at_factors(chosen, factors)))
    got = api.evaluate_at(groups, factors, interpret=True)
    whole = np.concatenate(groups)
    assert np.array_equal(np.asarray(got), np.asarray(oods.evaluate_at_factors(whole, factors)))


def test_multiples_give_the_factors_of_every_column_size():
    log_size = 9
    got = api.multiples(array([POINT, OTHER]), log_size, interpret=True)
    for row, point in zip(np.asarray(got), (POINT, OTHER), strict=True):
        for k in range(log_size):
            assert np.array_equal(row[k], array(circle.secure_double(point, k)))
    want = oods.lifted_factors(POINT, log_size)
    for k in range(1, log_size + 1):
        factors = np.asarray(api.column_factors(got, k))
        assert np.array_equal(factors[:1], want[k])


@pytest.mark.parametrize("log_size", [20])
def test_multiples_of_a_drawn_point_and_of_the_row_before(log_size):
    got = np.asarray(api.drawn_multiples(array(FELT), log_size, interpret=True))
    back = circle.point(-circle.subgroup_generator(log_size))
    assert got.shape == (2, log_size, 2, 4)
    for row, point in zip(got, (POINT, circle.secure_add(POINT, back)), strict=True):
        assert np.array_equal(row[0], array(point))
        assert np.array_equal(row[-1], array(circle.secure_double(point, log_size - 1)))


@pytest.mark.parametrize("log_size", [7, 12])
def test_multiples_and_basis_of_a_drawn_point_in_one_launch(log_size):
    """More high parts than low ones, or so few that they are filled up."""
    felt = array(FELT)
    multiples, got = api.drawn_basis(felt, log_size, interpret=True)
    assert np.array_equal(multiples, api.drawn_multiples(felt, log_size, interpret=True))
    low_log = EvaluateConfig().low_log(log_size, 1)
    factors = api.column_factors(multiples[:1], log_size)
    want = api.basis(factors, low_log=low_log, interpret=True)
    highs = 1 << (log_size - low_log)
    assert np.array_equal(got.low, want.low)
    assert got.high.shape == want.high.shape
    assert np.array_equal(got.high[..., :highs], want.high[..., :highs])
    coefficients = columns(2, log_size)
    values = api.evaluate_with([coefficients], got, interpret=True)
    assert np.array_equal(values, np.asarray(oods.evaluate_at_factors(coefficients, factors)))


@pytest.mark.parametrize("count", [1, 2, 129])
def test_powers(count):
    got = np.asarray(api.powers(array(POINT.x), count, interpret=True))
    assert np.array_equal(got, array(qm31.powers(POINT.x, count)))


# Lowering for CUDA, which refuses forms that the interpreter takes.


@pytest.mark.parametrize(
    ("count", "log_size", "n_points"), [(26, 20, 1), (26, 20, 2), (52, 26, 1), (8, 7, 1), (3, 9, 4)]
)
def test_evaluation_lowers_for_cuda(count, log_size, n_points):
    factors = shape(n_points, log_size, 4)
    for others in ([], [8], [8, 4]):
        groups = [shape(n, 1 << log_size) for n in (count, *others)]
        text = lower(lambda f, *g: api.evaluate_at(g, f), factors, *groups)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 2


@pytest.mark.parametrize("config", [EvaluateConfig(0, 2), EvaluateConfig(1, 1), EvaluateConfig(0)])
def test_other_sizes_lower_for_cuda(config):
    text = lower(
        lambda c, f: api.evaluate_at([c], f, config=config), shape(26, 1 << 20), shape(1, 20, 4)
    )
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 2


def test_points_and_powers_lower_for_cuda():
    for text in (
        lower(lambda p: api.multiples(p, 20), shape(2, 2, 4)),
        lower(lambda t: api.drawn_multiples(t, 26), shape(4)),
        lower(lambda t: api.drawn_basis(t, 26), shape(4)),
        lower(lambda t: api.drawn_basis(t, 7), shape(4)),
        lower(lambda x: api.powers(x, 500), shape(4)),
    ):
        assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("log_size", range(7, 28))
@pytest.mark.parametrize("n_points", [1, 2, 3])
def test_tiles_cover_a_column(log_size, n_points):
    for config in (EvaluateConfig(), EvaluateConfig(0, 2), EvaluateConfig(1, 1)):
        for count in (1, 26, 1000):
            tile = config.tile(count, log_size, n_points)
            assert tile.low == 1 << config.low_log(log_size, n_points)
            assert tile.low * tile.chunk * tile.chunks == 1 << log_size
            assert tile.chunk % tile.unroll == 0


# What is refused.


def test_misuse_is_refused():
    assert api.fits(7) and not api.fits(6)
    factors = oods.point_factors((POINT,), 7)
    with pytest.raises(ValueError, match="coefficients: expected 2\\^k of them for k factors"):
        api.evaluate_at([columns(2, 8)], factors)
    with pytest.raises(ValueError, match="for k factors, k >= 7, got 64 for 6"):
        api.evaluate_at([columns(2, 6)], factors[:, :6])
    with pytest.raises(ValueError, match="coefficients: expected uint32 .* got int32"):
        api.evaluate_at([columns(2, 7).astype(np.int32)], factors)
    with pytest.raises(ValueError, match="rows: expected some of 2, got \\[2\\]"):
        api.evaluate_at([columns(2, 7)], factors, rows=((2,),))
    with pytest.raises(ValueError, match="basis: expected a point and 7 <= l <= k"):
        api.basis(factors, low_log=8)
    with pytest.raises(ValueError, match="rows: expected some, got none"):
        api.evaluate_at([columns(2, 7)], factors, rows=((),))
    table = api.Basis(np.zeros((1, 4, 256), np.uint32), np.zeros((1, 4, 128)))
    with pytest.raises(ValueError, match="low products: expected uint32 \\[1, 4, 128\\]"):
        api.evaluate_with([columns(2, 7)], table)
    with pytest.raises(ValueError, match="log size: expected at least 7, got 6"):
        api.drawn_basis(array(FELT), 6)
    with pytest.raises(ValueError, match="points: expected uint32 \\[any, 2, 4\\]"):
        api.multiples(factors, 3)
    with pytest.raises(ValueError, match="multiples: expected at least one, got 1 times 0"):
        api.multiples(array([POINT]), 0)
    with pytest.raises(ValueError, match="log size of columns: expected 1 to 3, got 4"):
        api.column_factors(np.zeros((1, 3, 2, 4), np.uint32), 4)
    with pytest.raises(ValueError, match="powers: expected at least one, got 0"):
        api.powers(array(FELT), 0)
    with pytest.raises(ValueError, match="log size: expected 1 to 30, got 0"):
        api.drawn_multiples(array(FELT), 0)
