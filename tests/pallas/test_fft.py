"""Circle FFT kernels: the reference's words in the interpreter, and CUDA accepts every shape."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import circle, fft_reference, twiddles  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.pallas.fft import api, exchange, mosaic_gpu, rows, tile_views  # noqa: E402
from jaxstark.pallas.fft.config import TILE_LOG, FftConfig, StorageConfig  # noqa: E402
from jaxstark.pallas.fft.exchange import Exchanged, Views  # noqa: E402
from jaxstark.pallas.fft.mosaic_gpu import Strided, Tile  # noqa: E402
from jaxstark.pallas.fft.rows import Rows  # noqa: E402
from jaxstark.pallas.launch import LANES  # noqa: E402
from jaxstark.pallas.together import alone, run_steps  # noqa: E402

pytestmark = pytest.mark.floor


def columns(count: int, log_size: int, seed: int = 0) -> np.ndarray:
    """Words where p may stand for 0: at random, at the edges of the field, a column of it."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, m31.P + 1, (count, 1 << log_size), np.uint32)
    words[:, ::3] = rng.choice(np.array([0, 1, m31.P - 1, m31.P], np.uint32), words[:, ::3].shape)
    if count > 1:  # sums of other words hardly ever show a p that was not reduced
        words[-1] = m31.P
    return words


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def strided_pass(*arguments, interpret: bool = False, **options):
    return run_steps(mosaic_gpu.strided_pass(*arguments, **options), interpret=interpret)


tile_pass, exchange_pass = alone(mosaic_gpu.tile_pass), alone(exchange.exchange_pass)
rows_pass = alone(rows.rows_pass)


def lowered(function, *shapes) -> str:
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


def kernels(function, *shapes) -> int:
    return lowered(function, *shapes).count("stablehlo.custom_call @mosaic_gpu")


# Values. Each shape costs seconds to compile for a CPU: few of them.


@pytest.mark.parametrize(
    ("count", "log_size", "config"),
    [
        (3, 8, FftConfig()),  # sixteen columns in a tile, thirteen of them padding
        (3, 12, FftConfig(tile_columns=2)),
        (1, 14, FftConfig(layers=1)),
    ],
)
def test_interpolation_equals_the_reference(count, log_size, config):
    values = columns(count, log_size)
    table = twiddles.inverse_table(log_size)
    got = api.interpolate(values, table, config=config, interpret=True)
    want = fft_reference.interpolate(m31.canonical(values))
    assert np.array_equal(np.asarray(got), want)


@pytest.mark.parametrize(
    ("count", "log_columns", "log_size", "config"),
    [
        (3, 7, 9, FftConfig()),  # copies and columns in one tile
        (3, 9, 13, FftConfig(tile_columns=2)),  # copies in two tiles
        (2, 13, 14, FftConfig(layers=1)),  # copies in a strided pass
    ],
)
def test_evaluation_equals_the_reference(count, log_columns, log_size, config):
    coefficients = columns(count, log_columns, 1)
    table = twiddles.forward_table(log_size)
    got = api.evaluate(coefficients, log_size, table, config=config, interpret=True)
    want = fft_reference.evaluate(m31.canonical(coefficients), log_size)
    assert np.array_equal(np.asarray(got), want)


def some_layers(values, table, low: int, high: int, inverse: bool) -> np.ndarray:
    """The layers ``low..high-1`` by the reference's arithmetic."""
    v = values
    count, size = v.shape
    for t in range(low, high) if inverse else reversed(range(low, high)):
        blocks = size >> (t + 1)
        pairs = v.reshape(count, blocks, 2, -1)
        factors = table[blocks : 2 * blocks, None]
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        if inverse:
            a, b = m31.add(a, b), m31.mul(m31.sub(a, b), factors)
        else:
            b = m31.mul(b, factors)
            a, b = m31.add(a, b), m31.sub(a, b)
        v = np.stack([a, b], axis=2).reshape(count, -1)
    return m31.mul(v, table[:1]) if inverse and 1 << high == size else v


@pytest.mark.parametrize("inverse", [False, True])
def test_strided_layers_equal_the_reference(inverse):
    """Three layers at once, in the middle, and with vectors of two words per thread."""
    log_size, low, high = 13, 9, 12
    values = m31.canonical(columns(1, log_size, 2))
    tables = twiddles.inverse_table if inverse else twiddles.forward_table
    table = tables(log_size)
    got = jax.jit(
        lambda x, t: strided_pass(
            x, t, Strided(low, high, 256), log_size=log_size, inverse=inverse, interpret=True
        )
    )(values, table)
    assert np.array_equal(np.asarray(got), some_layers(values, table, low, high, inverse))


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(
    ("width", "low", "high", "log_size"),
    [
        (32, 5, 12, 13),  # several blocks and vectors, and all kinds of lanes
        (16, 5, 12, 12),
        (8, 3, 11, 12),
    ],
)
def test_layers_with_an_exchange_equal_the_reference(width, low, high, log_size, inverse):
    values = m31.canonical(columns(2, log_size, 2))
    tables = twiddles.inverse_table if inverse else twiddles.forward_table
    table, plan = tables(log_size), Exchanged(low, high, width)
    run = jax.jit(
        lambda x, t: exchange_pass(x, t, plan, log_size=log_size, inverse=inverse, interpret=True)
    )
    want = some_layers(values, table, low, high, inverse)
    assert np.array_equal(np.asarray(run(values, table)), want)


def halves_first(v: np.ndarray) -> np.ndarray:
    """The left halves of all columns, then the right ones."""
    return np.concatenate(np.split(v, 2, axis=1))


@pytest.mark.parametrize(("count", "log_size"), [(3, 8), (1, 12), (2, 13)])
def test_halves_of_an_interpolation_are_put_apart(count, log_size):
    """Of columns in a tile, of a tile, and in the pass above the tile."""
    values, table = columns(count, log_size, 3), twiddles.inverse_table(log_size)
    got = api.interpolate(values, table, halves=True, interpret=True)
    want = halves_first(fft_reference.interpolate(m31.canonical(values)))
    assert np.array_equal(np.asarray(got), want)


@pytest.mark.parametrize(("width", "low", "high"), [(16, 5, 12), (8, 3, 11)])
def test_halves_are_put_apart_by_an_exchange(width, low, high):
    values, table = m31.canonical(columns(2, high, 2)), twiddles.inverse_table(high)
    plan = Exchanged(low, high, width)
    run = jax.jit(
        lambda x, t: exchange_pass(
            x, t, plan, log_size=high, inverse=True, halves=True, interpret=True
        )
    )
    want = halves_first(some_layers(values, table, low, high, True))
    assert np.array_equal(np.asarray(run(values, table)), want)


def test_an_exchange_reads_a_shorter_column_for_each_copy():
    """Also words p, where the result is canonical."""
    coefficients, table = columns(2, 10, 4), twiddles.forward_table(12)
    run = jax.jit(
        lambda x, t: exchange_pass(
            x,
            t,
            Exchanged(4, 10, 16),
            log_size=12,
            inverse=False,
            canonical=True,
            interpret=True,
        )
    )
    copies = m31.canonical(np.tile(coefficients, 4))
    want = some_layers(copies, table, 4, 10, False)
    assert np.array_equal(np.asarray(run(coefficients, table)), want)


@pytest.mark.parametrize(
    ("count", "log_size", "config"),
    [
        (2, 11, StorageConfig()),
        (5, 12, StorageConfig(16)),
        (4, 11, StorageConfig(interleave=False)),
    ],
)
def test_storage_order_equals_the_table(count, log_size, config):
    rows = columns(count, log_size, 3)
    got = api.to_storage(rows, config=config, interpret=True)
    assert np.array_equal(np.asarray(got), rows[:, circle.slot_to_row(log_size)])


@pytest.mark.parametrize(
    "counts", [(5, 4), (4, 1), (1, 6), (1, 1), (1, 1, 1, 5), (5, 2, 1, 9)], ids=str
)
def test_several_arrays_are_put_together_in_storage_order(counts):
    """Also those that do not fill a block, at either end and between others."""
    rows = [columns(count, 11, seed) for seed, count in enumerate(counts)]
    got = api.to_storage(rows, interpret=True)
    want = np.concatenate(rows)[:, circle.slot_to_row(11)]
    assert got.shape == want.shape and np.array_equal(np.asarray(got), want)


def test_several_arrays_lower_for_cuda_as_one_launch():
    arrays = [shape(count, 1 << 20) for count in (46, 1, 7)]
    assert kernels(lambda *x: api.to_storage(x), *arrays) == 1


@pytest.mark.parametrize(
    ("plan", "counts"),
    [
        (Rows(14, 7, 32), (2,)),  # four middle parts
        (Rows(13, 8, 16), (1, 2)),
        (Rows(13, 9, 16), (1,)),  # no middle part
        (Rows(14, 10, 8), (0, 1, 1)),
    ],
    ids=str,
)
def test_first_layers_of_rows_are_those_of_storage_order(plan, counts):
    """Of one array and of several; the view of rows with 32 and with 64 words of a thread."""
    rows = [columns(count, plan.log_size, i) for i, count in enumerate(counts)]
    table = twiddles.inverse_table(plan.log_size)
    run = jax.jit(lambda x, t: rows_pass(x, t, plan, interpret=True))
    stored = m31.canonical(np.concatenate(rows)[:, circle.slot_to_row(plan.log_size)])
    want = some_layers(stored, table, 0, plan.layers, True)
    assert np.array_equal(m31.canonical(np.asarray(run(rows, table))), want)


@pytest.mark.parametrize(("counts", "log_size"), [((2,), 13), ((1, 2), 14), ((1, 1), 11)])
def test_interpolation_of_rows_equals_that_of_storage_order(counts, log_size):
    """Also where nothing is saved, and rows are put into order first."""
    rows, table = [columns(c, log_size, c) for c in counts], twiddles.inverse_table(log_size)
    got = api.interpolate_rows(rows if len(rows) > 1 else rows[0], table, interpret=True)
    stored = m31.canonical(np.concatenate(rows))[:, circle.slot_to_row(log_size)]
    assert np.array_equal(np.asarray(got), fft_reference.interpolate(stored))


def test_a_batch_of_rows_is_interpolated():
    rows, table = columns(2, 13, 5).reshape(2, 1, -1), twiddles.inverse_table(13)
    run = jax.vmap(lambda x: api.interpolate_rows(x, table, interpret=True))
    stored = m31.canonical(rows[:, 0, circle.slot_to_row(13)])
    assert np.array_equal(np.asarray(run(rows))[:, 0], fft_reference.interpolate(stored))


# Order in shared memory, which the interpreter does not check within a block.


def accesses(jaxpr):
    """What a kernel does to shared memory, in order, and where; the body of a loop twice."""
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name in ("load", "get", "swap", "store") and "smem" in str(eqn.invars[0].aval):
            kind = "write" if name in ("swap", "store") else "read"
            yield kind, str(eqn.invars[0].aval), str(eqn.params["tree"])
        elif name.startswith(("commit_smem", "inline_mgpu")) and not eqn.outvars:
            yield "sync", "", ""
        for value in eqn.params.values():
            for part in value if isinstance(value, (tuple, list)) else [value]:
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    for _ in range(2 if name in ("while", "scan") else 1):
                        yield from accesses(inner)


def exchanged(inverse: bool):
    plan = Exchanged(5, 12, 16)
    return lambda x, t: exchange_pass(x, t, plan, log_size=12, inverse=inverse)


@pytest.mark.parametrize(
    ("run", "count"),
    [
        (lambda x, t: tile_pass(x, t, Tile(12, 12, 2), inverse=False), 4),
        (lambda x, t: tile_pass(x, t, Tile(12, 12, 2), inverse=True), 4),
        (exchanged(False), 1),
        (exchanged(True), 1),
        (lambda x, t: rows_pass([x], t, Rows(12, 8, 16)), 1),
        (lambda x, t: rows_pass([x, x], t, Rows(12, 8, 16)), 2),
        (lambda x, t: api.to_storage(x, config=StorageConfig(8)), 64),
        (lambda x, t: api.to_storage([x, x], config=StorageConfig(8)), 64),
    ],
)
def test_a_barrier_separates_reads_and_writes_of_a_memory(run, count):
    """Between a write and a read, and between a read and a write unless of a thread's own words."""
    last: dict[str, tuple[str, str]] = {}
    seen = []
    for kind, memory, view in accesses(
        jax.make_jaxpr(run)(shape(5, 1 << 12), shape(1 << 12)).jaxpr
    ):
        if kind == "sync":
            last.clear()
            continue
        before, where = last.get(memory, (kind, view))
        own = (before, kind) == ("read", "write") and where == view
        assert before == kind or own, f"{kind} of {memory} without a barrier"
        last[memory] = kind, view
        seen.append(kind)
    assert seen.count("write") >= count
    assert seen.count("read") >= count


def test_rows_of_the_tile_do_not_meet_in_a_bank():
    """Of 32 banks of 4 bytes, for the words that a warp moves at a time."""
    high, low, rows, words = tile_views.MEMORY
    pitch = words * rows
    # Matrix instructions move eight rows of 16 bytes at a time: neighbours in the upper view, of
    # neighbouring bits 7-9 in the middle one. The lower view moves 16 bytes of eight lanes.
    starts = [[4 * i for i in range(low)], [pitch * i for i in range(low)]]
    for start in starts:
        assert sorted((s + i) % 32 for s in start for i in range(4)) == list(range(32))
        assert all(s % 4 == 0 for s in start)
    assert high * low * LANES == 1 << TILE_LOG


@pytest.mark.parametrize("width", [8, 16, 32])
def test_vectors_of_an_exchange_do_not_meet_in_a_bank(width):
    """Those that a warp moves at a time: neighbours in the upper view, high bits in the lower."""
    *high, rows, words = Views(1 << 8, width).memory
    assert words == width and rows > Views(1 << 8, width).words
    count = 32 // width
    upper = [width * i for i in range(count)]
    lower = [width * rows * i for i in range(count)]
    assert count in (1, high[-1])
    for starts in (upper, lower):
        assert sorted((s + i) % 32 for s in starts for i in range(width)) == list(range(32))


@pytest.mark.parametrize("layers", [7, 8, 9, 10])
def test_words_of_a_first_pass_do_not_meet_in_a_bank(layers):
    """Lanes write with the pitch of a row, and read along it: at any word, so no matrix rows."""
    plan = Rows(24, layers, FftConfig().width(layers))
    seen = {
        view
        for kind, view, _ in accesses(
            jax.make_jaxpr(lambda x, t: rows_pass([x], t, plan))(
                shape(1, 1 << 24), shape(1 << 24)
            ).jaxpr
        )
        if kind == "write"
    }
    pitches = {int(view.split("[")[1].split("]")[0].split(",")[-1]) for view in seen}
    assert pitches == {(1 << plan.log_words) + 1}
    assert all(pitch % 2 == 1 for pitch in pitches)
    x, table = shape(1, 1 << 24), shape(1 << 24)
    text = lowered(lambda x, t: rows_pass([x], t, plan), x, table)
    assert "ldmatrix" not in text and "stmatrix" not in text
    assert "ldmatrix" in lowered(exchanged(True), shape(1, 1 << 12), shape(1 << 12))


# Lowering for CUDA, which refuses forms that the interpreter takes.


@pytest.mark.parametrize(
    ("count", "log_size", "calls"),
    [(1, 7, 1), (416, 16, 2), (26, 20, 2), (8, 21, 2), (26, 22, 2), (26, 24, 3), (15, 27, 3)],
)
def test_interpolation_lowers_for_cuda(count, log_size, calls):
    x, table = shape(count, 1 << log_size), shape(1 << log_size)
    assert kernels(api.interpolate, x, table) == calls
    assert kernels(lambda x, t: api.interpolate(x, t, halves=True), x, table) == calls


@pytest.mark.parametrize(
    ("counts", "log_size", "calls"),
    [
        ((26,), 12, 2),
        ((26,), 13, 2),
        ((416,), 16, 2),
        ((26,), 20, 2),
        ((46, 1, 7), 20, 2),
        ((26,), 21, 3),
        ((26,), 24, 3),
        ((7,), 28, 3),
    ],
    ids=str,
)
def test_interpolation_of_rows_lowers_for_cuda(counts, log_size, calls):
    arrays, table = [shape(count, 1 << log_size) for count in counts], shape(1 << log_size)
    assert kernels(lambda t, *x: api.interpolate_rows(x, t), table, *arrays) == calls


@pytest.mark.parametrize(
    ("count", "log_columns", "log_size", "calls"),
    [(3, 7, 8, 1), (26, 20, 21, 2), (26, 22, 26, 2), (7, 26, 27, 3)],
)
def test_evaluation_lowers_for_cuda(count, log_columns, log_size, calls):
    x, table = shape(count, 1 << log_columns), shape(1 << log_size)
    assert kernels(lambda x, t: api.evaluate(x, log_size, t), x, table) == calls


@pytest.mark.parametrize(("count", "log_size"), [(1, 11), (26, 20), (15, 27)])
@pytest.mark.parametrize("interleave", [True, False])
def test_storage_order_lowers_for_cuda(count, log_size, interleave):
    config = StorageConfig(interleave=interleave)
    x = shape(count, 1 << log_size)
    assert kernels(lambda x: api.to_storage(x, config=config), x) == 1


@pytest.mark.parametrize("layers", [1, 4, 6, 8, 10])
def test_passes_cover_all_layers_in_few_launches(layers):
    config = FftConfig(layers=layers)
    for log_size in filter(api.fits, range(40)):
        passes = config.strided(log_size)
        assert len(passes) == -(-max(log_size - TILE_LOG, 0) // layers)
        covered = [t for low, high in passes for t in range(low, high)]
        assert covered == list(range(TILE_LOG, log_size))
        for low, high in passes:
            count = high - low
            if count <= config.direct:
                assert all((1 << low) % config.lanes(count, i) == 0 for i in (False, True))
                continue
            # Words of a thread between the layers of either view and the registers that there are.
            views = Views(1 << count, config.width(count))
            assert views.width in (8, 16, 32) and views.words in (32, 64)
            assert 2 * views.log_lanes <= count


def test_rows_are_read_by_a_first_pass_where_that_saves_one():
    """Up to 2^20 rows and from 2^23; the sizes fit what the pass takes."""
    config, used = FftConfig(), []
    for log_size in filter(api.fits, range(40)):
        if not (layers := config.of_rows(log_size)):
            continue
        used.append(log_size)
        plan = Rows(log_size, layers, config.width(layers))
        assert plan.log_middles >= 0 and plan.log_words in (5, 6)
        assert plan.log_lanes >= 2 and plan.log_width >= 3
        passes = config.strided(log_size, layers)
        assert [t for low, high in passes for t in range(low, high)] == [*range(layers, log_size)]
        assert 1 + len(passes) == 1 + len(config.strided(log_size))
        for low, high in passes:
            if high - low > config.direct:
                assert (1 << low) % config.width(high - low) == 0
            else:
                assert (1 << low) % config.lanes(high - low, True) == 0
    assert used == [*range(13, 21), *range(23, 30)]


# What is refused.


def test_sizes_outside_fits_are_refused():
    assert [k for k in range(40) if api.fits(k)] == list(range(7, 30))
    assert [k for k in range(40) if api.to_storage_fits(k)] == list(range(11, 30))
    with pytest.raises(ValueError, match="log sizes of columns: expected 7..29, got 6 and 6"):
        api.interpolate(columns(1, 6), twiddles.inverse_table(6))
    with pytest.raises(ValueError, match="log sizes of columns: expected 7..29, got 6 and 8"):
        api.evaluate(columns(1, 6), 8, twiddles.forward_table(8))
    with pytest.raises(ValueError, match="log size of columns: expected 11..29, got 10"):
        api.to_storage(columns(1, 10))
    with pytest.raises(
        ValueError, match=r"rows: expected columns of one size, got 2\^11 and 2\^12"
    ):
        api.to_storage([columns(4, 11), columns(4, 12)])


def test_misuse_is_refused():
    x, table = columns(2, 8), twiddles.inverse_table(8)
    with pytest.raises(ValueError, match="columns: expected uint32 .* got int32"):
        api.interpolate(x.astype(np.int32), table)
    with pytest.raises(ValueError, match="columns: expected uint32"):
        api.interpolate(x[:, :200], table)
    with pytest.raises(ValueError, match="words: expected at least one column"):
        api.interpolate(x[:0], table)
    with pytest.raises(ValueError, match=r"twiddles: expected uint32 \[2\^8\], got uint32 \[128\]"):
        api.interpolate(x, table[:128])
    with pytest.raises(ValueError, match="log size: expected at least 8, got 7"):
        api.evaluate(x, 7, table)
    with pytest.raises(ValueError, match=r"twiddles: expected uint32 \[2\^13\]"):
        api.interpolate_rows(columns(1, 13), table)
    with pytest.raises(ValueError, match=r"columns of one size, got 2\^13 and 2\^8"):
        api.interpolate_rows([columns(1, 13), x], twiddles.inverse_table(13))


def test_2_31_words_are_refused():
    with pytest.raises(ValueError, match="fewer than 2\\^31 words, got 16 x 2\\^27"):
        jax.eval_shape(api.interpolate, shape(16, 1 << 27), shape(1 << 27))
    with pytest.raises(ValueError, match="fewer than 2\\^31 words, got 16 x 2\\^27"):
        jax.eval_shape(lambda x: api.evaluate(x, 27, x[0]), shape(16, 1 << 26))
    with pytest.raises(ValueError, match="fewer than 2\\^31 words, got 16 x 2\\^27"):
        jax.eval_shape(api.to_storage, shape(16, 1 << 27))
    with pytest.raises(ValueError, match="fewer than 2\\^31 words, got 16 x 2\\^27"):
        jax.eval_shape(api.interpolate_rows, shape(16, 1 << 27), shape(1 << 27))
