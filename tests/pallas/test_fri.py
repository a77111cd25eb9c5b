"""FRI kernels: the folds and leaves of the reference in the interpreter, and CUDA accepts them."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import fri, merkle  # noqa: E402
from jaxstark.channel import Blake2sChannel  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.channel import mosaic_gpu as channel_kernels  # noqa: E402
from jaxstark.pallas.fri import api  # noqa: E402
from jaxstark.pallas.fri import tail as fri_tail  # noqa: E402
from jaxstark.pallas.fri.config import FoldConfig  # noqa: E402
from jaxstark.pallas.fri.tail import shared_bytes  # noqa: E402

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


@pytest.mark.parametrize(("log", "steps"), [(5, (2, 2)), (10, (3, 4, 2))])
def test_a_tail_is_layer_after_layer(log, steps):
    """Fewer values than lanes, and several tiles with odd and even numbers of folds."""
    values, table, _ = layer(log, table_log=6)
    values %= np.uint32(P)
    digest = np.random.default_rng(3).integers(0, 2**32, 8, np.uint32)
    got = api.tail(values, table, digest, steps, interpret=True)
    channel = Blake2sChannel(digest.tobytes())
    for index, step in enumerate(steps):
        tree = merkle.commit_values(values, 2)
        assert np.array_equal(got.values[index], values)
        assert all(map(np.array_equal, got.levels[index], tree.levels))
        assert len(got.levels[index]) == len(tree.levels)
        alpha, channel = channel.mix_root(merkle.root_bytes(tree)).draw_felt()
        values = expected(values, table, np.array(alpha, np.uint32), step)
    assert np.array_equal(got.values[-1], values)
    assert np.asarray(got.digest).tobytes() == channel.digest


def test_repeated_draws_of_a_tail_leave_no_gap(monkeypatch):
    """With the bound of the protocol this never happens: a bound that refuses most draws."""
    bound = 7 << 29
    monkeypatch.setattr(channel_kernels, "REJECTED_FROM", bound)
    values, table, _ = layer(4, table_log=6)
    values %= np.uint32(P)
    run = jax.jit(lambda v, t, d: fri_tail.tail(v, t, d, (1, 1, 1), interpret=True))
    digest = np.random.default_rng(4).integers(0, 2**32, 8, np.uint32)
    got = run(values, table, digest)
    channel, repeats = Blake2sChannel(digest.tobytes()), 0
    for index in range(3):
        tree = merkle.commit_values(values, 2)
        assert all(map(np.array_equal, got.levels[index], tree.levels))
        drawn, channel = channel.mix_root(merkle.root_bytes(tree)).draw_u32s()
        while max(drawn) >= bound:
            repeats += 1
            drawn, channel = channel.draw_u32s()
        values = expected(values, table, np.array(drawn[:4], np.uint64) % P, 1)
    assert np.array_equal(got.values[-1], values)
    assert np.asarray(got.digest).tobytes() == channel.digest
    assert repeats > 1


@pytest.mark.parametrize(("log", "steps"), [(4, (3,)), (11, (4, 4, 2)), (13, (4, 4, 4))])
def test_a_tail_lowers_for_cuda_as_one_launch(log, steps):
    shapes = shape(4, 1 << log), shape(1 << max(log, 21)), shape(8)
    run = jax.jit(lambda v, t, d: api.tail(v, t, d, steps))
    text = run.trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1
    assert shared_bytes(1 << log) < 220 << 10


def test_tails_that_do_not_fit_are_refused():
    assert api.fits_tail(1 << 13, (4, 4, 4), (2, 2, 2))
    assert not api.fits_tail(1 << 13, (4, 4, 1), (2, 2, 0))  # other leaves
    assert not api.fits_tail(1 << 5, (4, 1), (2, 2))  # one value left
    assert not api.fits_tail(1 << 13, (), ())
    table, digest = random(1 << 14), random(8)
    for values, steps, message in (
        (random(4, 1 << 14), (4,), "values: expected at most 8192"),
        (random(4, 1 << 5), (4, 1), "of which at least 2 are left"),
        (random(4, 1 << 5), (4, 0), "step: expected"),
        (random(4, 1 << 5), (), "step: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            api.tail(values, table, digest, steps)
    with pytest.raises(ValueError, match="digest: expected uint32"):
        api.tail(random(4, 32), table, random(7), (4,))


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
