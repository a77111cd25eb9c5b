"""Circle FFT of column batches on the GPU, bit for bit that of ``jaxstark.fft``.

These functions run the kernels or raise; they never fall back to XLA. ``fits`` tells beforehand:
columns that are shorter do not fill the lanes of a block, and belong to ``jaxstark.fft``.
``jaxstark.pallas.probe.supported`` tells whether the device can. A batch of proofs puts proof x
column on the axis of the columns.

``interpret=True`` runs the kernels on a CPU, slowly, for tests. Source: Circle STARK paper
section 4, protocol section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp

from jaxstark.fft import split
from jaxstark.fft_reference import log_length
from jaxstark.pallas import launch
from jaxstark.pallas.fft import mosaic_gpu, storage
from jaxstark.pallas.fft.config import MAX_LOG, MIN_LOG, TILE_LOG, FftConfig, StorageConfig
from jaxstark.pallas.fft.exchange import Exchanged, exchange_pass
from jaxstark.pallas.fft.mosaic_gpu import Strided, Tile
from jaxstark.pallas.fft.rows import Rows, rows_pass
from jaxstark.pallas.together import Steps, alone, run_steps

Array = Any
# Indices of words are int32.
_MAX_WORDS = 1 << 31


def fits(log_size: int) -> bool:
    """Whether columns of ``2^log_size`` words can be transformed."""
    return MIN_LOG <= log_size <= MAX_LOG


def interpolation(
    values: Array,
    table: Array,
    *,
    halves: bool = False,
    config: FftConfig = FftConfig(),  # noqa: B008
    interpret: bool = False,
) -> Steps[Array]:
    """Coefficients of the columns with the given values.

    A computation of kernels, which may share their launches; ``interpolate`` is that alone.

    Args:
      values: uint32 ``[c, 2^k]`` in storage order; p may stand for 0.
      table: ``fft.inverse_twiddles(k)``.
      halves: whether to put the left halves of all columns before the right ones.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Returns:
      uint32 ``[c, 2^k]`` in index order, canonical; or ``[2 c, 2^(k-1)]``.

    Raises ``ValueError`` for other shapes and types, and for 2^31 words or more.
    """
    log_size = log_length(values)
    _check(len(values), log_size, log_size, table)
    # No need to reduce p first: the last layer multiplies every word by the scale.
    v = yield from _tiles(values, table, log_size, log_size, config, True, False, interpret)
    for layers in config.strided(log_size):
        last = halves and layers[1] == log_size
        v = yield from _above(
            v, table, layers, log_size, config, True, False, interpret, halves=last
        )
    if halves and log_size <= TILE_LOG:
        v = split(v)
    return v


def interpolation_of_rows(
    rows: Array | Sequence[Array],
    table: Array,
    *,
    config: FftConfig = FftConfig(),  # noqa: B008
    interpret: bool = False,
) -> Steps[Array]:
    """Coefficients of the columns with the given rows: ``interpolate(to_storage(rows), table)``.

    A computation of kernels, which may share their launches; ``interpolate_rows`` is that alone.

    Where ``config.of_rows`` says so, the first layers read rows, and no pass puts them into order.

    Args:
      rows: as for ``to_storage``; p may stand for 0.
      table: ``fft.inverse_twiddles(k)``.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Returns:
      uint32 ``[c, 2^k]`` in index order, canonical.

    Raises ``ValueError`` for other shapes and types, and for 2^31 words or more.
    """
    arrays, log_size = _arrays(rows)
    columns = sum(map(len, arrays))
    if not (layers := config.of_rows(log_size)):
        v = yield from _to_storage(arrays, StorageConfig(), interpret)
        return (yield from interpolation(v, table, config=config, interpret=interpret))
    _check(columns, log_size, log_size, table)
    plan = Rows(log_size, layers, config.width(layers))
    v = yield from rows_pass(arrays, table, plan, interpret=interpret)
    for above in config.strided(log_size, layers):
        v = yield from _above(v, table, above, log_size, config, True, False, interpret)
    return v


def evaluation(
    coefficients: Array,
    log_size: int,
    table: Array,
    *,
    config: FftConfig = FftConfig(),  # noqa: B008
    interpret: bool = False,
) -> Steps[Array]:
    """Values of columns on the circle domain of ``2^log_size`` points.

    A computation of kernels, which may share their launches; ``evaluate`` is that alone.

    Args:
      coefficients: uint32 ``[c, 2^k]`` in index order; p may stand for 0.
      log_size: e >= k, static.
      table: ``fft.forward_twiddles(e)``.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Returns:
      uint32 ``[c, 2^e]`` in storage order, canonical.

    Raises ``ValueError`` for other shapes and types, and for 2^31 words or more.
    """
    log_columns = log_length(coefficients)
    if log_size < log_columns:
        raise ValueError(f"log size: expected at least {log_columns}, got {log_size}")
    _check(len(coefficients), log_columns, log_size, table)
    v = coefficients
    first = True
    # The layers above the column's own size would meet zero upper halves, and only copy: the
    # first pass reads its words for each of the copies.
    for layers in reversed(config.strided(log_columns)):
        v = yield from _above(v, table, layers, log_size, config, False, first, interpret)
        first = False
    return (yield from _tiles(v, table, log_columns, log_size, config, False, first, interpret))


interpolate = jax.jit(alone(interpolation), static_argnames=("halves", "config", "interpret"))
interpolate_rows = jax.jit(alone(interpolation_of_rows), static_argnames=("config", "interpret"))
evaluate = jax.jit(alone(evaluation), static_argnames=("log_size", "config", "interpret"))


def to_storage_fits(log_size: int) -> bool:
    """Whether columns of ``2^log_size`` rows can be put into storage order."""
    return storage.STORAGE_MIN_LOG <= log_size <= MAX_LOG


@partial(jax.jit, static_argnames=("config", "interpret"))
def to_storage(
    rows: Array | Sequence[Array],
    *,
    config: StorageConfig = StorageConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """Columns in storage order: ``rows[:, circle.slot_to_row(k)]``.

    Args:
      rows: uint32 ``[c, 2^k]`` in row order, any words; or several such arrays, whose columns
        follow each other in the result.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Raises ``ValueError`` for other shapes and types, and for 2^31 words or more.
    """
    arrays, _ = _arrays(rows)
    return run_steps(_to_storage(arrays, config, interpret), interpret=interpret)


def _to_storage(arrays: Sequence[Array], config: StorageConfig, interpret: bool) -> Steps[Array]:
    columns, log_size = sum(map(len, arrays)), log_length(arrays[0])
    _check_words(columns, log_size)
    if not to_storage_fits(log_size):
        raise ValueError(
            f"log size of columns: expected {storage.STORAGE_MIN_LOG}..{MAX_LOG}, got {log_size}"
        )
    if columns < storage.COLUMNS:
        whole = jnp.concatenate(arrays)
        v = jnp.pad(whole, ((0, storage.COLUMNS - columns), (0, 0)))
        pieces = [storage.Piece(v, 0)]
    else:
        starts = [0, *accumulate(map(len, arrays))]
        pieces = [_piece(arrays, starts, i) for i, array in enumerate(arrays) if len(array)]
    count = max(columns, storage.COLUMNS)
    out = yield from storage.to_storage(pieces, count, config=config, interpret=interpret)
    return out[:columns]


def _arrays(rows: Array | Sequence[Array]) -> tuple[list[Array], int]:
    """One or several arrays of columns, and the log size of a column."""
    arrays: list[Array] = list(rows) if isinstance(rows, list | tuple) else [rows]
    log_size = log_length(arrays[0])
    for array in arrays[1:]:
        if (other := log_length(array)) != log_size:
            raise ValueError(f"rows: expected columns of one size, got 2^{log_size} and 2^{other}")
    return arrays, log_size


def _piece(arrays: Sequence[Array], starts: Sequence[int], index: int) -> storage.Piece:
    """An array; one with too few columns for a block together with some of its neighbours'."""
    if len(arrays[index]) >= storage.COLUMNS:
        return storage.Piece(arrays[index], starts[index])
    first = max(0, starts[index + 1] - storage.COLUMNS)
    window = [
        array[max(first - start, 0) : first + storage.COLUMNS - start]
        for array, start in zip(arrays, starts, strict=False)
        if start < first + storage.COLUMNS and start + len(array) > first
    ]
    return storage.Piece(jnp.concatenate(window), first)


def _above(
    v: Array,
    table: Array,
    layers: tuple[int, int],
    log_size: int,
    config: FftConfig,
    inverse: bool,
    canonical: bool,
    interpret: bool,
    *,
    halves: bool = False,
) -> Steps[Array]:
    """Layers of distances above the tile, on a domain of ``2^log_size`` points."""
    low, high = layers
    options: dict[str, Any] = {"log_size": log_size, "inverse": inverse}
    options |= {"canonical": canonical, "halves": halves}
    if high - low <= config.direct:
        plan = Strided(low, high, config.lanes(high - low, inverse))
        return (yield from mosaic_gpu.strided_pass(v, table, plan, **options))
    plan = Exchanged(low, high, config.width(high - low))
    return (yield from exchange_pass(v, table, plan, **options, interpret=interpret))


def _tiles(
    v: Array,
    table: Array,
    log_columns: int,
    log_size: int,
    config: FftConfig,
    inverse: bool,
    canonical: bool,
    interpret: bool,
) -> Steps[Array]:
    """The layers of smallest distance, of columns with ``2^log_columns`` coefficients."""
    columns = len(v)
    plan = Tile(min(log_columns, TILE_LOG), log_size, config.tile_columns)
    if log_size < TILE_LOG:
        table = mosaic_gpu.tile_table(table, log_size)
        v = jnp.pad(v, ((0, -columns % (1 << (TILE_LOG - log_size))), (0, 0)))
    v = yield from mosaic_gpu.tile_pass(
        v, table, plan, inverse=inverse, canonical=canonical, interpret=interpret
    )
    return v[:columns]


def _check(columns: int, log_columns: int, log_size: int, table: Array) -> None:
    _check_words(columns, log_size)
    if not (fits(log_columns) and fits(log_size)):
        raise ValueError(
            f"log sizes of columns: expected {MIN_LOG}..{MAX_LOG}, got {log_columns} and {log_size}"
        )
    if not launch.is_words(table, (1 << log_size,)):
        raise ValueError(
            f"twiddles: expected uint32 [2^{log_size}], got {table.dtype} {list(table.shape)}"
        )


def _check_words(columns: int, log_size: int) -> None:
    if not 0 < columns << log_size < _MAX_WORDS:
        raise ValueError(
            f"words: expected at least one column and fewer than 2^31 words, "
            f"got {columns} x 2^{log_size}"
        )
