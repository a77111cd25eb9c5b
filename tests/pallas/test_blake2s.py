"""BLAKE2s kernels: hashlib's digests in the interpreter, and CUDA accepts every shipped shape."""

from __future__ import annotations

import hashlib
import inspect

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import merkle  # noqa: E402
from jaxstark.channel import Blake2sChannel  # noqa: E402
from jaxstark.pallas.blake2s import api, mosaic_gpu, top  # noqa: E402
from jaxstark.pallas.blake2s.config import Launch, LeafConfig, TreeConfig  # noqa: E402
from jaxstark.pallas.blake2s.message import Words, values  # noqa: E402
from jaxstark.pallas.channel import mosaic_gpu as channel_kernels  # noqa: E402

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
    ("leaves", "plan"),
    [
        (256, Launch(1, 8)),
        (512, Launch(1, 3)),
        (256, Launch(1, 2, rolled=True)),
        (1024, Launch(4, 3)),
        (1024, Launch(4, 4, rolled=True)),  # wide layers, then a narrow one
        pytest.param(512, Launch(2, 9), marks=pytest.mark.slow),  # wide layers, then narrow ones
    ],
)
def test_t32_levels_of_a_launch_are_hashlib_digests(leaves, plan):
    layer = words(8, leaves, 2)
    run = jax.jit(lambda x: mosaic_gpu.tree_levels(x, plan, interpret=True))
    layers = run(layer)
    assert len(layers) == plan.levels
    for got in layers:
        layer = parents(layer)
        assert np.array_equal(np.asarray(got), layer)


@pytest.mark.parametrize("leaves", [1, 8])
def test_levels_of_small_trees_are_hashlib_digests(leaves):
    layer = words(8, leaves, 4)
    layers = api.levels(layer, interpret=True)
    assert [x.shape for x in layers] == [(8, 1 << k) for k in range(leaves.bit_length())]
    assert np.array_equal(layers[-1], layer)
    for got in layers[-2::-1]:
        layer = parents(layer)
        assert np.array_equal(np.asarray(got), layer)


@pytest.mark.parametrize(("pack_log", "size"), [(2, 1 << 9), (3, 1 << 4), (0, 1)])
def test_value_leaves_equal_the_reference(pack_log, size):
    """Leaves of one block, of two, and of part of a block; the last two with too few lanes."""
    layer = words(4, size, 5)
    got = np.asarray(api.value_leaves(layer, pack_log, interpret=True))
    assert np.array_equal(got, merkle.commit_values(layer, pack_log).levels[-1])


@pytest.mark.parametrize("plan", [Launch(1, 2, leaves=True), Launch(2, 3, leaves=True)])
def test_leaves_and_levels_of_a_launch_are_hashlib_digests(plan):
    layer = words(4, 1 << 11, 6)
    run = jax.jit(
        lambda x: mosaic_gpu.leaves_and_levels(values(x, 2), plan, nodes=512, interpret=True)
    )
    want = merkle.commit_values(layer, 2).levels[::-1]
    got = run(layer)
    assert len(got) == plan.levels + 1
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(got, want, strict=False))


@pytest.mark.parametrize("log", [0, 5, pytest.param(9, marks=pytest.mark.slow)])
def test_commit_of_values_equals_the_reference(log):
    """One leaf, trees within a block, and the tree of one launch."""
    layer, pack_log = words(4, 1 << log, 7), min(log, 2)
    got = api.commit_values(layer, pack_log, interpret=True)
    want = merkle.commit_values(layer, pack_log).levels
    assert len(got) == len(want)
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("spec", [[(3, 0)], [(3, 1), (17, 3)]])
def test_commit_of_few_rows_equals_the_reference(spec):
    test_t32_commit_equals_the_reference(spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [[(26, 9)], [(3, 1), (17, 3), (5, 7), (13, 8), (30, 9)]])
def test_t32_commit_equals_the_reference(spec):
    rng = np.random.default_rng(3)
    groups = [rng.integers(0, 2**31 - 1, (c, 1 << k), np.uint32) for c, k in spec]
    got = api.commit(groups, interpret=True)
    want = merkle.commit(groups).levels
    assert len(got) == len(want)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("columns", [17, 40])
def test_leaves_apart_from_their_tree_are_the_same(columns):
    group = words(columns, 1 << 7, 8)
    got = api.commit([group], config=TreeConfig(apart_log=7), interpret=True)
    want = merkle.commit([group]).levels
    assert len(got) == len(want)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize(("nodes", "draws"), [(2, 1), (8, 2), (2, 7), (512, 7), (512, 1), (4, 0)])
def test_the_top_of_a_tree_takes_the_step_of_the_channel(nodes, draws):
    layer, digest = words(8, nodes, 9), words(8, 1, 10)[:, 0]
    if draws:
        run = jax.jit(lambda x, d: top.climb_from(x, d, draws=draws, interpret=True))
    else:
        run = jax.jit(lambda x, d: top.climb_from(x, interpret=True))
    got = run(layer, digest)
    assert len(got.layers) == nodes.bit_length() - 1
    for found in got.layers:
        layer = parents(layer)
        assert np.array_equal(np.asarray(found), layer)
    if not draws:
        assert got.digest is None
        return
    assert_step(got, digest, layer[:, 0], draws)


def assert_step(got, digest: np.ndarray, root: np.ndarray, draws: int) -> None:
    """What follows the mix of a root is what the channel of the host draws."""
    channel = Blake2sChannel(digest.tobytes()).mix_root(root.tobytes())
    want, _ = channel.draw_felts(2 * draws)
    assert np.asarray(got.digest).tobytes() == channel.digest
    assert np.asarray(got.drawn).tolist() == [word for felt in want for word in felt]


@pytest.mark.parametrize("draws", [1, 3])
def test_a_draw_after_a_tree_is_repeated(monkeypatch, draws):
    """With the bound of the protocol this never happens: a bound that refuses most draws."""
    bound = 7 << 29
    monkeypatch.setattr(channel_kernels, "REJECTED_FROM", bound)
    # Not what was traced with the other bound before.
    climb_from = inspect.unwrap(top.climb_from)
    run = jax.jit(lambda x, d: climb_from(x, d, draws=draws, interpret=True))
    layer, repeats = words(8, 2, 11), np.zeros(draws, int)
    for seed in range(3):
        digest = words(8, 1, seed)[:, 0]
        got = run(layer, digest)
        assert np.array_equal(np.asarray(got.layers[0]), parents(layer))
        channel = Blake2sChannel(digest.tobytes()).mix_root(parents(layer)[:, 0].tobytes())
        assert np.asarray(got.digest).tobytes() == channel.digest
        for i, row in enumerate(np.asarray(got.drawn).reshape(draws, 8)):
            want, channel = channel.draw_u32s()
            while max(want) >= bound:
                repeats[i] += 1
                want, channel = channel.draw_u32s()
            assert row.tolist() == [w % (2**31 - 1) for w in want]
    assert repeats.min() > 0


@pytest.mark.parametrize(("log", "draws"), [(0, 3), (1, 3), (9, 7)])
def test_columns_with_a_step_of_the_channel(log, draws):
    """A root that is a leaf or hashed with the leaves, and one above them."""
    columns, digest = words(3, 1 << log, 14) >> np.uint32(1), words(8, 1, 15)[:, 0]
    levels, step = api.commit_and_draw([columns], digest, draws=draws, interpret=True)
    want = merkle.commit([columns])
    assert all(np.array_equal(a, b) for a, b in zip(levels, want.levels, strict=True))
    assert_step(step, digest, np.asarray(levels[0])[:, 0], draws)


def test_a_batch_of_tops_takes_the_steps_of_each():
    layers = np.stack([words(8, 4, 20 + i) for i in range(2)])
    digests = words(2, 8, 22)
    run = jax.jit(jax.vmap(lambda x, d: top.climb_from(x, d, draws=3, interpret=True)))
    got = run(layers, digests)
    for i in range(2):
        root = parents(parents(layers[i]))
        one = jax.tree.map(lambda x, i=i: x[i], got)
        assert np.array_equal(np.asarray(one.layers[-1]), root)
        assert_step(one, digests[i], root[:, 0], 3)


@pytest.mark.parametrize(("size", "pack_log"), [(1 << 4, 2), (8, 1), (2, 0), (1, 0)])
def test_values_with_a_step_of_the_channel(size, pack_log):
    """Whole blocks as leaves, half ones, quarters; a root that is a leaf."""
    layer, digest = words(4, size, 12) >> np.uint32(1), words(8, 1, 13)[:, 0]
    levels, step = api.commit_values_and_draw(layer, digest, pack_log, interpret=True)
    want = merkle.commit_values(layer, pack_log)
    assert all(np.array_equal(a, b) for a, b in zip(levels, want.levels, strict=True))
    assert_step(step, digest, np.asarray(levels[0])[:, 0], 1)


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


@pytest.mark.parametrize("log_leaves", [3, 8, 13, 21])
def test_trees_lower_for_cuda_in_few_launches(log_leaves):
    text = lower(api.levels, shape(8, 1 << log_leaves))
    below = 0 if log_leaves <= 9 else 1
    assert len(TreeConfig().launches(log_leaves)) == below
    assert text.count("stablehlo.custom_call @mosaic_gpu") == below + 1


@pytest.mark.parametrize("log_leaves", [0, 7, 8, 15, 19])
def test_trees_of_values_lower_for_cuda_in_few_launches(log_leaves):
    text = lower(lambda x: api.commit_values(x, 2), shape(4, 4 << log_leaves))
    kernels = text.count("stablehlo.custom_call @mosaic_gpu")
    assert kernels == (1 if log_leaves <= 9 else 2)


@pytest.mark.parametrize(
    ("log_leaves", "columns", "launches"), [(17, 26, 2), (18, 16, 2), (18, 17, 3), (21, 26, 3)]
)
def test_trees_of_columns_lower_for_cuda_in_few_launches(log_leaves, columns, launches):
    """Many leaves of two blocks have a launch of their own, others are hashed in the first one."""
    text = lower(lambda x: api.commit([x]), shape(columns, 1 << log_leaves))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == launches


def test_a_tree_of_few_leaves_lowers_for_cuda_in_one_launch():
    text = lower(lambda *g: api.commit(g), shape(3, 2), shape(17, 1 << 6))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("draws", [1, 7])
@pytest.mark.parametrize("log_leaves", [1, 9, 12, 21])
def test_the_step_of_the_channel_costs_no_launch(log_leaves, draws):
    columns = shape(26, 1 << log_leaves)
    tree = lower(lambda x: api.commit([x]), columns)
    both = lower(lambda x, d: api.commit_and_draw([x], d, draws=draws), columns, shape(8))
    count = [t.count("stablehlo.custom_call @mosaic_gpu") for t in (tree, both)]
    assert count[0] <= 3
    assert count[1] - count[0] == (1 if log_leaves == 1 else 0)  # a root with its leaves


@pytest.mark.parametrize("tiles_log", [0, 1, 3])
@pytest.mark.parametrize("spare_log", [0, 1])
@pytest.mark.parametrize("top_log", [8, 10])
@pytest.mark.parametrize("leaves", [False, True])
def test_launches_reach_the_top(tiles_log, spare_log, top_log, leaves):
    for log_leaves in range(28):
        left = log_leaves
        plans = TreeConfig(tiles_log, tiles_log, top_log=top_log, spare_log=spare_log).launches(
            log_leaves, leaves=leaves
        )
        assert [p.leaves for p in plans] == [leaves, *[False] * len(plans)][: len(plans)]
        assert plans or not leaves
        for plan in plans:
            assert (1 << max(left, 8)) % (256 * plan.tiles) == 0
            assert plan.levels <= plan.tiles.bit_length() + 7
            left -= plan.levels
        assert left <= top_log + spare_log


# What is refused.


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="leaves: expected a power of two, got 384"):
        api.levels(words(8, 384))
    with pytest.raises(ValueError, match="group: expected uint32"):
        api.commit([words(3, 96)])
    with pytest.raises(ValueError, match="lanes: expected a multiple of 128, got 64"):
        api.absorb((words(16, 64),))
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        api.commit_and_draw([words(3, 128)], words(8, 1)[:, 0], draws=0)


@pytest.mark.parametrize(
    ("layer", "pack_log"),
    [
        (words(3, 64), 2),
        (words(4, 48), 2),
        (words(4, 2), 2),
        (words(4, 4), -1),
        (words(4, 4).astype(np.int32), 0),
    ],
)
def test_values_of_wrong_shape_are_refused(layer, pack_log):
    for function in (api.value_leaves, api.commit_values):
        with pytest.raises(ValueError, match="values: expected uint32"):
            function(layer, pack_log)


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


@pytest.mark.parametrize("logs", [[9, 8], [8, 9, 8], [0, 8], []])
def test_groups_out_of_order_are_refused(logs):
    with pytest.raises(ValueError, match="log sizes of groups: expected ascending"):
        api.leaves([words(2, 1 << log) for log in logs])
