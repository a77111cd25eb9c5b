"""Races between blocks: none in kernels that share launches or memory; planted ones are found.

The interpreter runs the blocks of a grid one after the other in one thread, and starts its clock
again for each: two of them race only if they come to a word after equally many accesses. Blocks of
a cluster have a thread and a clock each, and nothing orders them but barriers of the cluster, which
no kernel has. So here the blocks of a launch are one cluster.

Nothing is seen inside a block: its 128 threads are one thread of the interpreter, and a ``sync``
that is missing makes no difference.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
from jax._src.pallas.mosaic_gpu.interpret import interpret_pallas_call  # noqa: E402
from jax.experimental import pallas as pl  # noqa: E402
from jax.experimental.pallas import mosaic_gpu as plgpu  # noqa: E402

from jaxstark import circle, fft_reference, merkle, twiddles  # noqa: E402
from jaxstark.air.range_sum import range_sum  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.interaction import interaction_columns  # noqa: E402
from jaxstark.pallas import launch, together  # noqa: E402
from jaxstark.pallas.blake2s import mosaic_gpu as trees  # noqa: E402
from jaxstark.pallas.blake2s.config import Launch  # noqa: E402
from jaxstark.pallas.constraints import api as constraints  # noqa: E402
from jaxstark.pallas.fft import api as fft  # noqa: E402
from jaxstark.pallas.fft.config import FftConfig  # noqa: E402
from jaxstark.pallas.fft.exchange import Exchanged  # noqa: E402
from jaxstark.pallas.fft.storage import COLUMNS  # noqa: E402
from jaxstark.pallas.fri import mosaic_gpu as folds  # noqa: E402
from jaxstark.pallas.fri.config import FoldConfig  # noqa: E402
from tests.pallas import test_blake2s, test_fft, test_fri  # noqa: E402
from tests.pallas.test_constraints import interaction_case  # noqa: E402
from tests.pallas.test_together import scaled, words  # noqa: E402

pytestmark = pytest.mark.floor


@pytest.fixture(autouse=True)
def fresh():
    """Nothing that another test has traced is run here, nor the other way round."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@contextmanager
def races_fail() -> Iterator[None]:
    """``AssertionError`` if blocks race, or if no launch inside is traced with more than one.

    What is jitted must be jitted inside: a launch traced before has the plain interpreter.
    """
    # JAX 0.11 prints a race and goes on. Later ones log it, if they are told to go on.
    later: dict[str, Any] = {}
    if hasattr(plgpu.InterpretGPUParams, "on_race"):
        later["on_race"] = "warn"
    watched = plgpu.InterpretGPUParams(detect_races=True, **later)
    sizes, reports = [], io.StringIO()

    def schedule(blocks: int, interpret: bool) -> dict[str, Any]:
        assert interpret
        sizes.append(blocks)
        return {"cluster": (blocks,), "cluster_names": ("block",), "interpret": watched}

    original, launch.schedule = launch.schedule, schedule
    handler = logging.StreamHandler(reports)
    logging.getLogger().addHandler(handler)
    try:
        with redirect_stdout(reports):
            yield
            jax.effects_barrier()
    except BaseException:
        # The interpreter may be left in the middle of a kernel.
        interpret_pallas_call.reset_gpu_interpret_mode_state()
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        launch.schedule = original
    assert "RACE DETECTED" not in reports.getvalue(), reports.getvalue()
    assert max(sizes, default=0) > 1, f"no launch of several blocks was watched: {sizes}"


# Kernels whose blocks exchange words in shared memory, or share a launch with others.


def test_blocks_of_a_tree_do_not_race():
    """Three levels of a launch, each made from the one below it in shared memory."""
    layer = test_blake2s.words(8, 512, 2)
    with races_fail():
        run = jax.jit(lambda x: trees.tree_levels(x, Launch(1, 3), interpret=True))
        got = jax.tree.map(np.asarray, run(layer))
    assert len(got) == 3
    for made in got:
        layer = test_blake2s.parents(layer)
        assert np.array_equal(made, layer)


def test_blocks_of_a_transform_do_not_race():
    """The second block has one column and the first one two, one after the other."""
    values, table = test_fft.columns(3, 12), twiddles.inverse_table(12)
    config = FftConfig(tile_columns=2)
    with races_fail():
        run = jax.jit(lambda x, t: fft.interpolate(x, t, config=config, interpret=True))
        got = np.asarray(run(values, table))
    assert np.array_equal(got, fft_reference.interpolate(m31.canonical(values)))


def test_blocks_of_layers_with_an_exchange_do_not_race():
    """A block's words lie far apart, between those of other blocks."""
    values, table = m31.canonical(test_fft.columns(1, 12, 2)), twiddles.inverse_table(12)
    options = {"log_size": 12, "inverse": True, "interpret": True}
    with races_fail():
        run = jax.jit(lambda x, t: test_fft.exchange_pass(x, t, Exchanged(3, 11, 8), **options))
        got = np.asarray(run(values, table))
    assert np.array_equal(got, test_fft.some_layers(values, table, 3, 11, True))


def test_blocks_of_a_fold_with_leaves_do_not_race():
    """Values of a leaf are made by one thread each, and meet in shared memory."""
    values, table, alpha = test_fri.layer(10)
    with races_fail():
        source = folds.wide_source(values, table, 1)
        options = {"config": FoldConfig(), "interpret": True}
        run = jax.jit(lambda x: folds.fold_and_hash(source, x, 1, 1, **options))
        got, digests = map(np.asarray, run(alpha))
    want = test_fri.expected(values, table, alpha, 1)
    assert np.array_equal(got, want)
    assert np.array_equal(digests, merkle.commit_values(want, 1).levels[-1])


def test_blocks_of_lookups_that_share_launches_do_not_race():
    """Sums of the rows of a block, then of the blocks, of two components side by side."""
    cases = [interaction_case(range_sum(7), index, 8) for index in range(2)]
    with races_fail():
        each = [constraints.lookups(*case, interpret=True) for case in cases]
        got = jax.tree.map(np.asarray, together.side_by_side(each, interpret=True))
    for case, (pieces, claimed) in zip(cases, got, strict=True):
        columns, sums = interaction_columns(*case)
        assert np.array_equal(np.concatenate(pieces), np.asarray(columns))
        assert np.array_equal(claimed, sums)


@pytest.mark.parametrize("count", [5, 8])
def test_blocks_of_rows_put_in_storage_order_race_only_with_equal_words(count):
    """A last block of fewer than four columns stores some of the one before again, on purpose."""
    rows, made = test_fft.columns(count, 11, 3), []

    def check() -> None:
        with races_fail():
            made.append(jax.jit(lambda x: fft.to_storage(x, interpret=True))(rows))

    if count % COLUMNS:
        with pytest.raises(AssertionError, match="RACE DETECTED"):
            check()
    else:
        check()
    assert np.array_equal(np.asarray(made[0]), rows[:, circle.slot_to_row(11)])


def test_kernels_of_one_launch_do_not_race():
    with races_fail():
        kernels = [
            scaled(3, words(2), (128,), interpret=True),
            scaled(5, words(3), (128,), interpret=True),
        ]
        made = jax.jit(lambda: together.run_together(kernels, interpret=True))()
        (first, _), (second, _) = jax.tree.map(np.asarray, made)
    assert np.array_equal(first, words(2) * np.uint32(3))
    assert np.array_equal(second, words(3) * np.uint32(5))


# Planted races.


def place(point, out, words_apart: int) -> None:
    """Each block stores words of its own at its place."""
    own = launch.constant(7) + point[0].astype(np.uint32)
    launch.store(out, own, pl.ds(point[0] * words_apart, launch.LANES))


def store_every(words_apart: int) -> np.ndarray:
    """Two blocks store 128 words each, so many apart."""
    out = jax.ShapeDtypeStruct((launch.LANES + words_apart,), np.uint32)

    def body(point, out):
        place(point, out, words_apart)

    return np.asarray(jax.jit(launch.launch(body, out, grid=(2,), interpret=True))())


def test_stores_side_by_side_are_no_race():
    with races_fail():
        got = store_every(launch.LANES)
    assert np.array_equal(got, np.repeat(np.array([7, 8], np.uint32), launch.LANES))


@pytest.mark.parametrize("words_apart", [0, 1, 127])
def test_stores_to_one_place_are_a_race(words_apart):
    """Of all words, or only of the first or last ones."""
    with pytest.raises(AssertionError, match="RACE DETECTED"), races_fail():
        store_every(words_apart)


def load_after_store(neighbour: int) -> np.ndarray:
    """Each of two blocks stores words, and copies some that itself or the other one stored."""

    def body(point, out, copy):
        place(point, out, launch.LANES)
        source = point[0] ^ np.int32(neighbour)
        found = launch.load(out, pl.ds(source * launch.LANES, launch.LANES))
        launch.store(copy, found, point[0], slice(None))

    out = [jax.ShapeDtypeStruct(shape, np.uint32) for shape in ((256,), (2, 128))]
    _, copy = jax.jit(launch.launch(body, out, grid=(2,), interpret=True))()
    return np.asarray(copy)


def test_loads_of_what_a_block_stored_are_no_race():
    with races_fail():
        got = load_after_store(0)
    assert np.array_equal(got[:, 0], [7, 8])


def test_loads_of_what_another_block_stores_are_a_race():
    with pytest.raises(AssertionError, match="RACE DETECTED"), races_fail():
        load_after_store(1)


def test_kernels_of_one_launch_that_need_each_other_are_a_race():
    """The second kernel reads what the first one makes, as ``run_together`` forbids."""
    made = []

    def first(body):
        def run(point, source, target, *rest):
            made.append(target)
            body(point, source, target, *rest)

        return run

    def second(body):
        def run(point, source, *rest):
            del source
            body(point, made[0], *rest)

        return run

    def run():
        one, two = (scaled(factor, words(2), interpret=True) for factor in (3, 5))
        kernels = [one._replace(body=first(one.body)), two._replace(body=second(two.body))]
        return together.run_together(kernels, interpret=True)

    with pytest.raises(AssertionError, match="RACE DETECTED"), races_fail():
        jax.jit(run)()


def test_launches_that_were_not_watched_fail():
    """Made with the plain interpreter, or of one block."""
    with pytest.raises(AssertionError, match="no launch of several blocks"), races_fail():
        pass
    run = jax.jit(lambda: together.run(scaled(3, words(2), interpret=True), interpret=True))
    run()
    with pytest.raises(AssertionError, match="no launch of several blocks"), races_fail():
        run()
    with pytest.raises(AssertionError, match="no launch of several blocks"), races_fail():
        together.run(scaled(3, words(1), interpret=True), interpret=True)
