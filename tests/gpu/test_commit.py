"""T32: commitments on the GPU, kernel by kernel, over a pairwise cover of shapes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import circle, fft_reference, merkle, twiddles  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.fft import api as fft  # noqa: E402
from tests.gpu._cover import Shape, cover, feasible  # noqa: E402
from tests.gpu._reference import assert_equal, assert_linear, canonical, words  # noqa: E402

pytestmark = pytest.mark.gpu
COVER = cover()


def title(shape: Shape) -> str:
    return f"n{shape.log_size}-b{shape.log_blowup}-c{shape.columns}"


def check(shape: Shape) -> None:
    rng = np.random.default_rng(shape)
    k, e = shape.log_size, shape.log_domain
    rows = words(rng, shape.columns, 1 << k)
    storage = rows[:, circle.slot_to_row(k)]
    if fft.to_storage_fits(k):
        assert_equal(fft.to_storage(jnp.asarray(rows)), storage)
    if fft.fits(k):
        made = fft.interpolate(jnp.asarray(storage), jnp.asarray(twiddles.inverse_table(k)))
        coefficients = np.asarray(made)
        if fft.to_storage_fits(k):
            of_rows = partial(fft.interpolate_rows, table=jnp.asarray(twiddles.inverse_table(k)))
            assert_equal(of_rows(jnp.asarray(rows)), coefficients)
            pieces = [jnp.asarray(rows[:1]), jnp.asarray(rows[1:])]
            assert_equal(of_rows(pieces), coefficients)
        halves = fft.interpolate(
            jnp.asarray(storage), jnp.asarray(twiddles.inverse_table(k)), halves=True
        )
        assert_equal(halves, np.concatenate(np.split(coefficients, 2, axis=1)))
        assert_linear(coefficients, storage, fft_reference.interpolate, rng)
        # What an interpolation returns is canonical: redundant words once more.
        given = np.where(coefficients % 5 == 0, words(rng, *coefficients.shape), coefficients)
        table = jnp.asarray(twiddles.forward_table(e))
        values = np.asarray(fft.evaluate(jnp.asarray(given), e, table))
        assert_linear(values, given, lambda c: fft_reference.evaluate(c, e), rng)
    else:  # too short for a block: XLA's, at the same sizes on every device
        values = fft_reference.evaluate(fft_reference.interpolate(m31.canonical(storage)), e)
    check_tree(blake2s.commit([jnp.asarray(values)]), merkle.commit([values]))


def check_tree(levels, want: merkle.MerkleTree) -> None:
    assert len(levels) == len(want.levels)
    for got, level in zip(levels, want.levels, strict=True):
        assert_equal(got, level)


@pytest.mark.parametrize("shape", COVER, ids=title)
def test_t32_a_commitment_is_that_of_the_reference(shape):
    check(shape)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [s for s in feasible() if s not in COVER], ids=title)
def test_t32_every_commitment_is_that_of_the_reference(shape):
    check(shape)


@pytest.mark.parametrize(
    "spec",
    [
        [(3, 1), (17, 2), (26, 5)],
        [(40, 2), (5, 10), (9, 11)],
        [(1, 8), (15, 12), (16, 14)],
        [(20, 12), (4, 16), (33, 17)],
        [(20, 8), (20, 13), (33, 17)],
        [(20, 11), (33, 17)],
    ],
    ids=str,
)
def test_t32_trees_over_several_sizes_are_those_of_the_reference(spec):
    rng = np.random.default_rng(len(spec))
    groups = [canonical(rng, count, 1 << k) for count, k in spec]
    check_tree(blake2s.commit([jnp.asarray(g) for g in groups]), merkle.commit(groups))


def test_t32_columns_of_one_size_may_be_several_arrays():
    rng = np.random.default_rng(0)
    groups = [canonical(rng, count, 1 << 12) for count in (5, 20, 9)]
    levels = blake2s.commit([jnp.asarray(g) for g in groups])
    check_tree(levels, merkle.commit([np.concatenate(groups)]))


def test_no_column_and_no_row_is_left_out():
    """A leaf kernel that stopped after 16 words would commit to fewer columns."""
    rng = np.random.default_rng(0)
    values = canonical(rng, 33, 1 << 12)
    commit = jax.jit(lambda v: blake2s.commit([v])[0])
    roots = {np.asarray(commit(jnp.asarray(values))).tobytes()}
    for column in range(33):
        changed = values.copy()
        changed[column, rng.integers(0, 1 << 12)] ^= 1
        roots.add(np.asarray(commit(jnp.asarray(changed))).tobytes())
    assert len(roots) == 34
