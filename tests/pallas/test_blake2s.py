"""BLAKE2s kernels: hashlib's digests in the interpreter, and CUDA accepts every shipped shape."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import merkle  # noqa: E402
from jaxstark.pallas.blake2s import api, mosaic_gpu  # noqa: E402
from jaxstark.pallas.blake2s.config import Launch, LeafConfig, TreeConfig  # noqa: E402
from jaxstark.pallas.blake2s.mosaic_gpu import Words  # noqa: E402

pytestmark = pytest.mark.floor


def words(rows: int, lanes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (rows, lanes), np.uint32)


def digests(columns: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(columns.T, "<u4")
    data = b"".join(hashlib.blake2s(row.tobytes()).digest() for row in rows)
    return np.frombuffer(data, "<u4").reshape(-1, 8).T


def parents(children: np.ndarray) -> np.ndarray:
    return digests(np.concatenate([children[:, ::2], children[:, 1::2]]))


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def lower(function, *shapes) -> str:
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


# Values. Each shape costs seconds to compile for a CPU: few of them.


def test_t32_leaves_are_hashlib_digests():
    """Two whole blocks in a loop and a part of one; a wrong word changes its lane and no other."""
    columns = words(37, 256)
    got = np.asarray(api.absorb((columns,), interpret=True))
    assert np.array_equal(got, digests(columns))
    changed = columns.copy()
    changed[36, 200] ^= 1
    other = np.asarray(api.absorb((changed,), interpret=True))
    assert np.flatnonzero((got != other).any(axis=0)).tolist() == [200]


def test_t32_state_and_row_ranges_continue_a_message():
    """16 words, then a block of rows from two arrays, two hashes per thread."""
    columns = words(26, 256, 1)
    state = api.absorb((columns,), words=(Words(0, 0, 16),), final=False, interpret=True)
    got = api.absorb(
        (columns[20:], columns),
        state,
        words=(Words(1, 16, 20), Words(0, 0, 6)),
        offset=64,
        config=LeafConfig(2),
        interpret=True,
    )
    assert np.array_equal(np.asarray(got), digests(columns))


@pytest.mark.parametrize(
    ("leaves", "plan"), [(256, Launch(1, 8)), (512, Launch(1, 3)), (1024, Launch(4, 3))]
)
def test_t32_levels_of_a_launch_are_hashlib_digests(leaves, plan):
    layer = words(8, leaves, 2)
    run = jax.jit(lambda x: mosaic_gpu.tree_levels(x, plan, interpret=True))
    layers = run(layer)
    assert len(layers) == plan.levels
    for got in layers:
        layer = parents(layer)
        assert np.array_equal(np.asarray(got), layer)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [[(26, 9)], [(3, 1), (17, 3), (5, 7), (13, 8), (30, 9)]])
def test_t32_commit_equals_the_reference(spec):
    rng = np.random.default_rng(3)
    groups = [rng.integers(0, 2**31 - 1, (c, 1 << k), np.uint32) for c, k in spec]
    got = api.commit(groups, interpret=True)
    want = merkle.commit(groups).levels
    assert len(got) == len(want)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


# Lowering for CUDA, which refuses forms that the interpreter takes.


@pytest.mark.parametrize("count", [16, 26, 100])
@pytest.mark.parametrize("per_thread", [1, 2])
def test_leaves_lower_for_cuda(count, per_thread):
    config = LeafConfig(per_thread)
    text = lower(lambda x: api.absorb((x,), config=config), shape(count, 1 << 21))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


def test_leaves_of_several_sizes_lower_for_cuda():
    # Blocks: one at size 2^7, where 4 words are left, which the 5 columns of 2^20 do not fill.
    groups = [shape(3, 2), shape(17, 1 << 6), shape(5, 1 << 20), shape(100, 1 << 21)]
    text = lower(lambda *g: api.leaves(g), *groups)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 2


def test_more_than_2_31_words_lower_for_cuda():
    assert "mosaic_gpu" in lower(lambda x: api.absorb((x,)), shape(52, 1 << 26))


@pytest.mark.parametrize("log_leaves", [8, 13, 21])
def test_trees_lower_for_cuda_in_few_launches(log_leaves):
    text = lower(api.levels, shape(8, 1 << log_leaves))
    launches = TreeConfig().launches(log_leaves)
    assert text.count("stablehlo.custom_call @mosaic_gpu") <= len(launches) <= 4


@pytest.mark.parametrize("tiles_log", [0, 1, 2])
@pytest.mark.parametrize("subtree_log", [8, 12, 16])
def test_launches_reach_the_root(tiles_log, subtree_log):
    for log_leaves in range(8, 28):
        left = log_leaves
        for plan in TreeConfig(tiles_log, subtree_log).launches(log_leaves):
            assert (1 << left) % (256 * plan.tiles) == 0
            left -= plan.levels
        assert left == 0


# What is refused.


def test_small_trees_are_refused_not_passed_on():
    assert not api.fits(128)
    assert not api.fits(384)
    assert api.fits(256)
    with pytest.raises(ValueError, match="leaves: expected a power of two from 256, got 128"):
        api.levels(words(8, 128))
    with pytest.raises(ValueError, match="leaves: expected at least 256, got 128"):
        api.commit([words(3, 128)])
    with pytest.raises(ValueError, match="lanes: expected a multiple of 128, got 64"):
        api.absorb((words(16, 64),))
    with pytest.raises(ValueError, match="log sizes of groups: .* got \\[6\\]"):
        api.leaves([words(3, 64)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arrays": ()}, "arrays: expected at least one"),
        ({"arrays": (words(3, 128),), "final": False}, "number of words: expected a multiple"),
        ({"arrays": (words(3, 128),), "words": ()}, "number of words: expected at least one"),
        ({"arrays": (words(0, 128),)}, "words: expected rows"),
        ({"arrays": (words(3, 128), words(3, 256))}, "array: expected uint32"),
        ({"arrays": (words(3, 128).astype(np.int32),)}, "array: expected uint32"),
        ({"arrays": (words(3, 128),), "offset": 64}, "offset: expected"),
        ({"arrays": (words(3, 128),), "state": words(8, 128)}, "offset: expected"),
        (
            {"arrays": (words(3, 128),), "state": words(7, 128), "offset": 64},
            "state: expected uint32",
        ),
        ({"arrays": (words(3, 128),), "words": (Words(0, 2, 4),)}, "words: expected rows"),
        ({"arrays": (words(3, 128),), "words": (Words(1, 0, 1),)}, "words: expected rows"),
    ],
)
def test_misuse_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        api.absorb(**arguments)


@pytest.mark.parametrize("logs", [[9, 8], [8, 8], [0, 8], []])
def test_groups_out_of_order_are_refused(logs):
    with pytest.raises(ValueError, match="log sizes of groups: expected ascending"):
        api.leaves([words(2, 1 << log) for log in logs])
