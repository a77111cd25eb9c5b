"""Words of small columns in a kernel are those of their lift, on both sides of each layout."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import merkle  # noqa: E402
from jaxstark.lifting import lift  # noqa: E402
from jaxstark.pallas import launch, lifted  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.launch import LANES  # noqa: E402


def copy(columns, log_size: int, interpret: bool):
    """Columns ``[c, n]`` on ``2^log_size`` points, by one load for each 128 of them."""
    count, size = columns.shape
    copies_log = log_size - (size.bit_length() - 1)

    def body(point, source, out):
        c, block = point
        word = lifted.load(source, c, block, copies_log, interpret=interpret)
        launch.store(out, word, c, jax.experimental.pallas.ds(block * LANES, LANES))

    out = jax.ShapeDtypeStruct((count, 1 << log_size), np.uint32)
    grid = (count, (1 << log_size) // LANES)
    run = launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)
    return run(lifted.cut(columns, copies_log))


@pytest.mark.floor
@pytest.mark.parametrize("copies_log", range(9))
def test_a_load_shows_the_lift(copies_log):
    """Several pairs for each warp, one, two for all warps, one."""
    log_size = 9
    columns = np.arange(3 << (log_size - copies_log), dtype=np.uint32).reshape(3, -1)
    got = copy(columns, log_size, interpret=True)
    np.testing.assert_array_equal(got, lift(columns, log_size))


@pytest.mark.floor
@pytest.mark.parametrize("copies_log", [*range(9), 18])
def test_loads_lower_for_cuda(copies_log):
    columns = jax.ShapeDtypeStruct((3, 1 << (20 - copies_log)), np.uint32)
    run = jax.jit(partial(copy, log_size=20, interpret=False))
    text = run.trace(columns).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("sizes", [(7, 9, 10), (4, 10), (5, 6, 9), (8, 9)])
def test_leaves_hash_the_lift_of_smaller_columns(sizes):
    """A full block of the smallest columns, so that a state is lifted, and words of the next."""
    rng = np.random.default_rng(len(sizes))
    counts = (19, 3, 2)
    groups = [
        rng.integers(0, 1 << 31, (count, 1 << k), np.uint32)
        for count, k in zip(counts, sizes, strict=False)
    ]
    got = blake2s.commit(groups, interpret=True)
    want = merkle.commit(groups).levels
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
