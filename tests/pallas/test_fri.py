"""FRI kernels: the folds and leaves of the reference in the interpreter, and CUDA accepts them."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import fri, merkle  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.fri import api  # noqa: E402
from jaxstark.pallas.fri.config import FoldConfig  # noqa: E402

pytestmark = pytest.mark.floor


def random(*dims: int, seed: int = 0) -> np.ndarray:
    """Canonical words, with 0, p - 1 and p in many places."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, P, dims, np.uint32)
    edges = np.array([0, P - 1, P], np.uint32)[rng.integers(0, 3, dims)]
    return np.where(rng.integers(0, 4, dims) == 0, edges, words)


def layer(log: int, *, table_log: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = random(4, 1 << log)
    values[:, :16] = P  # A whole coset of redundant words.
    return values, random(1 << max(log, table_log), seed=1), random(4, seed=2) % np.uint32(P)


def expected(values, table, alpha, step: int) -> np.ndarray:
    multipliers = fri.multipliers(QM31(*map(int, alpha)), step)
    return np.asarray(fri.fold(values, table[: values.shape[1]], multipliers))


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def lower(function, log: int) -> str:
    shapes = shape(4, 1 << log), shape(1 << log), shape(4)
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize(
    ("log", "step", "config"),
    [
        (9, 1, FoldConfig()),
        (9, 2, FoldConfig(cosets_log=3)),  # no more than one coset per thread here
        (10, 2, FoldConfig(cosets_log=1, unrolled=1)),
        (11, 4, FoldConfig()),
        (10, 3, FoldConfig(max_step=2)),  # two launches
        (6, 3, FoldConfig()),  # 8 cosets, repeated
    ],
)
def test_folds_are_those_of_the_reference(log, step, config):
    values, table, alpha = layer(log)
    got = np.asarray(api.fold(values, table, alpha, step, config=config, interpret=True))
    assert np.array_equal(got, expected(values, table, alpha, step))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "step", "config"),
    [(11, 4, FoldConfig(unrolled=4)), (4, 4, FoldConfig()), (9, 5, FoldConfig())],
)
def test_more_folds_are_those_of_the_reference(log, step, config):
    test_folds_are_those_of_the_reference(log, step, config)


def test_a_table_may_be_longer_than_the_layer():
    values, table, alpha = layer(8, table_log=10)
    got = np.asarray(api.fold(values, table, alpha, 1, interpret=True))
    assert np.array_equal(got, expected(values, table, alpha, 1))


def test_fold_and_hash_gives_values_and_leaves():
    """Four values to a leaf."""
    values, table, alpha = layer(11)
    assert api.fits_fold_and_hash(1 << 11, 2, 2)
    got, digests = api.fold_and_hash(values, table, alpha, 2, 2, interpret=True)
    want = expected(values, table, alpha, 2)
    assert np.array_equal(np.asarray(got), want)
    assert np.array_equal(np.asarray(digests), merkle.commit_values(want, 2).levels[-1])


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("log", [5, 13, 21, 28])
def test_a_fold_lowers_for_cuda_as_one_launch(log, step):
    text = lower(lambda v, t, a: api.fold(v, t, a, step), log)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("config", [FoldConfig(cosets_log=2), FoldConfig(unrolled=4)])
def test_configurations_lower_for_cuda(config):
    assert "mosaic_gpu" in lower(lambda v, t, a: api.fold(v, t, a, 4, config=config), 21)


def test_fold_and_hash_lowers_for_cuda_as_one_launch():
    text = lower(lambda v, t, a: api.fold_and_hash(v, t, a, 4, 2), 21)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": random(3, 256)}, "values: expected uint32 \\[4, 2\\^k\\]"),
        ({"values": random(4, 384)}, "values: expected uint32"),
        ({"values": random(4, 256).astype(np.int32)}, "values: expected uint32"),
        ({"step": 0}, "step: expected 1..8 for 256 values, got 0"),
        ({"step": 9}, "step: expected 1..8"),
        ({"table": random(128)}, "table: expected uint32 \\[2\\^k\\] with at least 256 entries"),
        ({"table": random(300)}, "table: expected uint32"),
        ({"alpha": random(5)}, "alpha: expected uint32 \\[4\\]"),
    ],
)
def test_misuse_is_refused(change, message):
    values, table, alpha = layer(8)
    arguments = {"values": values, "table": table, "alpha": alpha, "step": 1} | change
    with pytest.raises(ValueError, match=message):
        api.fold(**arguments)


@pytest.mark.parametrize("pack_log", [-1, 3, 6])
def test_leaves_that_do_not_fill_a_block_are_refused(pack_log):
    values, table, alpha = layer(10)
    with pytest.raises(ValueError, match="leaves: expected at least 128 of 1 to 32 values"):
        api.fold_and_hash(values, table, alpha, 2, pack_log)
