"""Kernels out of domain: the values of ``jaxstark.oods``, and CUDA accepts every shipped shape."""

from __future__ import annotations

from itertools import product

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


def factors_of(seen: api.Seen, log_size: int) -> np.ndarray:
    """The basis factors of columns that are seen at a point of the largest size."""
    which, k = seen
    return oods.lifted_factors((POINT, back(log_size))[which], log_size)[k]


def back(log_size: int) -> circle.SecurePoint:
    """The point of the row before."""
    return circle.secure_add(POINT, circle.point(-circle.subgroup_generator(log_size)))


def bases(log_size: int, seen: tuple[api.Seen, ...], config=EvaluateConfig()):  # noqa: B008
    return api.drawn_bases(array(FELT), log_size, seen, config=config, interpret=True)[1]


@pytest.mark.parametrize(
    ("log_size", "config"),
    [
        (7, EvaluateConfig()),
        # Four words a thread; chunks of several passes.
        (12, EvaluateConfig(min_blocks=1)),
        # Arrays that share a weight; several chunks.
        (12, EvaluateConfig(words_log=1, vectors_log=1, max_chunk_log=2)),
        (11, EvaluateConfig(words_log=0, vectors_log=1, min_blocks=1)),
    ],
)
def test_t33_values_are_those_of_the_reference(log_size, config):
    seen, coefficients = (0, log_size), columns(2, log_size)
    got = api.evaluate_columns(
        [coefficients], bases(log_size, (seen,), config), seen, interpret=True
    )
    want = np.asarray(oods.evaluate_columns(coefficients, POINT))
    assert np.array_equal(np.asarray(got), want)


def test_columns_of_every_size_at_both_points_from_one_launch():
    """As many high parts as low ones, or so few that they are filled up; the largest are last."""
    seen = ((1, 9), (0, 7), (1, 12), (0, 8), (0, 1), (0, 11), (1, 4), (1, 7), (0, 6), (0, 12))
    made = bases(12, seen)
    for one in seen:
        coefficients = columns(2, one[1])
        got = api.evaluate_columns([coefficients], made, one, interpret=True)
        want = np.asarray(oods.evaluate_at_factors(coefficients, factors_of(one, 12)))[0]
        assert np.array_equal(np.asarray(got), want)


@pytest.mark.parametrize("log_size", [7, 12])
def test_a_basis_has_the_products_of_the_factors(log_size):
    for seen in ((0, log_size), (1, 7)):
        made = bases(log_size, ((1, log_size), seen))
        start, low_log = made.start(seen), made.config.low_log(seen[1])
        table = np.asarray(made.table)[:, start:] % np.uint32(P)
        factors = [QM31(*map(int, f)) for f in factors_of(seen, log_size)[0]]
        for parts, first in ((factors[:low_log], 0), (factors[low_log:], 1 << low_log)):
            last = (1 << len(parts)) - 1
            for index in {0, min(1, last), last // 3, last}:
                want = qm31.ONE
                for bit, factor in enumerate(parts):
                    want = qm31.mul(want, factor) if index >> bit & 1 else want
                assert table[:, first + index].tolist() == list(want)


def test_rows_may_follow_each_other_or_not():
    coefficients, made = columns(4, 8), bases(8, ((0, 8),))
    want = np.asarray(oods.evaluate_columns(coefficients, POINT))
    for rows in ((2, 3), (0, 3)):
        got = api.evaluate_columns([coefficients], made, (0, 8), rows=(rows,), interpret=True)
        assert np.array_equal(np.asarray(got), want[:, list(rows)])


def test_groups_of_one_size_share_a_launch():
    """Every column from the array that it lies in; of one array no column at all."""
    made = bases(9, ((0, 9),))
    groups = [columns(3, 9), columns(2, 9)[::-1], columns(2, 9) ^ np.uint32(1)]
    rows = ((0, 2), (), (1,))
    got = api.evaluate_columns(groups, made, (0, 9), rows=rows, interpret=True)
    chosen = np.concatenate([group[list(some)] for group, some in zip(groups, rows, strict=True)])
    assert np.array_equal(np.asarray(got), np.asarray(oods.evaluate_columns(chosen, POINT)))
    got = api.evaluate_columns(groups, made, (0, 9), interpret=True)
    whole = np.concatenate(groups)
    assert np.array_equal(np.asarray(got), np.asarray(oods.evaluate_columns(whole, POINT)))


def test_multiples_are_those_of_both_points():
    log_size = 9
    got, _ = api.drawn_bases(array(FELT), log_size, interpret=True)
    for row, point in zip(np.asarray(got), (POINT, back(log_size)), strict=True):
        for k in range(log_size):
            assert np.array_equal(row[k], array(circle.secure_double(point, k)))


@pytest.mark.parametrize(("log_size", "seen"), [(20, ()), (7, ((0, 7),))])
def test_multiples_of_a_drawn_point_and_of_the_row_before(log_size, seen):
    got, made = api.drawn_bases(array(FELT), log_size, seen, interpret=True)
    assert got.shape == (2, log_size, 2, 4) and made.table.shape == (4, 256 * len(seen))
    for row, point in zip(np.asarray(got), (POINT, back(log_size)), strict=True):
        assert np.array_equal(row[0], array(point))
        assert np.array_equal(row[-1], array(circle.secure_double(point, log_size - 1)))


# Lowering for CUDA, which refuses forms that the interpreter takes.


def lower_evaluation(counts, log_size, config=EvaluateConfig()) -> str:  # noqa: B008
    seen, words = (0, log_size), sum(config.products(log_size))

    def run(table, *groups):
        return api.evaluate_columns(groups, api.Bases(table, (seen,), config), seen)

    return lower(run, shape(4, words), *(shape(n, 1 << log_size) for n in counts))


@pytest.mark.parametrize(("count", "log_size"), [(26, 20), (52, 26), (8, 7), (3, 9), (5, 2)])
def test_evaluation_lowers_for_cuda(count, log_size):
    for others in ([], [8], [8, 4]):
        text = lower_evaluation([count, *others], log_size)
        assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("config", [EvaluateConfig(0, 2), EvaluateConfig(1, 1), EvaluateConfig(0)])
def test_other_sizes_lower_for_cuda(config):
    text = lower_evaluation([26], 20, config)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize(
    ("log_size", "seen"),
    [
        (3, ()),
        (4, ((0, 4), (1, 1))),
        (7, ((0, 7),)),
        (26, ((0, 26),)),
        (20, tuple((which, k) for k in (7, 8, 12, 20) for which in (0, 1))),
    ],
)
def test_points_and_bases_lower_for_cuda_as_one_launch(log_size, seen):
    text = lower(lambda t: api.drawn_bases(t, log_size, seen), shape(4))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("log_size", range(7, 28))
def test_tiles_cover_a_column(log_size):
    for config in (EvaluateConfig(), EvaluateConfig(2, 0), EvaluateConfig(1, 1)):
        for count, arrays in product((1, 26, 1000), (1, 2)):
            tile = config.tile(count, log_size, arrays)
            assert arrays == 1 or tile.vectors == 1  # one choice of an array a load
            assert tile.low == 1 << config.low_log(log_size) == config.products(log_size)[0]
            assert tile.low * tile.chunk * tile.chunks == 1 << log_size
            assert tile.chunk % tile.unroll == 0


# What is refused.


def test_misuse_is_refused():
    seen = (0, 7)
    made = api.Bases(np.zeros((4, 256), np.uint32), (seen,), EvaluateConfig())
    with pytest.raises(ValueError, match="coefficients: expected uint32 \\[any, 128\\], got .*256"):
        api.evaluate_columns([columns(2, 8)], made, seen)
    with pytest.raises(ValueError, match="coefficients: expected uint32 .* got int32"):
        api.evaluate_columns([columns(2, 7).astype(np.int32)], made, seen)
    with pytest.raises(ValueError, match="rows: expected some of 2, got \\[2\\]"):
        api.evaluate_columns([columns(2, 7)], made, seen, rows=((2,),))
    with pytest.raises(ValueError, match="rows: expected some, got none"):
        api.evaluate_columns([columns(2, 7)], made, seen, rows=((),))
    with pytest.raises(ValueError, match="basis: expected one of \\[\\(0, 7\\)\\], got \\(1, 7\\)"):
        api.evaluate_columns([columns(2, 7)], made, (1, 7))
    short = api.Bases(np.zeros((4, 128), np.uint32), (seen,), EvaluateConfig())
    with pytest.raises(ValueError, match="products: expected uint32 \\[4, 256\\]"):
        api.evaluate_columns([columns(2, 7)], short, seen)
    for other in ((0, 0), (0, 9), (2, 7)):
        with pytest.raises(ValueError, match="columns: expected 0 or 1, and 1 to 8"):
            api.drawn_bases(array(FELT), 8, (other,))
    with pytest.raises(ValueError, match="log size: expected 1 to 30, got 0"):
        api.drawn_bases(array(FELT), 0)
    with pytest.raises(ValueError, match="felt: expected uint32 \\[4\\]"):
        api.drawn_bases(array([FELT]), 8)
