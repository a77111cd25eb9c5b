"""Circle FFT of column batches on the device.

Columns are uint32 ``[c, 2^k]``; values in storage order, coefficients in index order. Both
transforms are exact and, for canonical input, canonical. Source: Circle STARK paper section 4,
protocol section 2.

Layers run in groups, one pass over memory each: a group views the columns as
``[c, blocks, 2^r, distance]``, so that its butterflies are elementwise over slices and vectorise
along the contiguous axis. A barrier after each group keeps XLA from recomputing the butterflies
of one group inside the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from jaxstark import twiddles
from jaxstark.fft_reference import log_length
from jaxstark.fields import m31

# Layers in one pass. XLA computes each of the 2^r outputs from all 2^r inputs, so that a third
# layer costs more arithmetic than the pass it saves.
_GROUP = 2
# Columns of so many words take as long as it takes to start an operation.
_FEW = 64


@lru_cache(maxsize=16)
def forward_twiddles(log_size: int) -> Array:
    """``twiddles.forward_table`` as a device array, for ``evaluate`` to size ``2^log_size``."""
    with jax.ensure_compile_time_eval():  # an array, also when first called inside a trace
        return jnp.asarray(twiddles.forward_table(log_size))


@lru_cache(maxsize=16)
def inverse_twiddles(log_size: int) -> Array:
    """``twiddles.inverse_table`` as a device array, for ``interpolate`` and FRI folds."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(twiddles.inverse_table(log_size))


def interpolate(values: Array | np.ndarray, table: Array | None = None) -> Array:
    """Coefficients of the columns with the given values.

    Args:
      values: uint32 ``[c, 2^k]`` in storage order, k >= 1.
      table: ``inverse_twiddles(k)``; fetched if omitted, mandatory inside an outer ``jax.jit``.

    Returns:
      uint32 ``[c, 2^k]`` in index order.
    """
    return interpolate_with(values, _table(values, log_length(values), table, inverse_twiddles))


def evaluate(coefficients: Array | np.ndarray, log_size: int, table: Array | None = None) -> Array:
    """Values of columns on the circle domain of ``2^log_size`` points.

    Args:
      coefficients: uint32 ``[c, 2^k]`` in index order, k >= 1.
      log_size: e >= k, static.
      table: ``forward_twiddles(e)``; fetched if omitted, mandatory inside an outer ``jax.jit``.

    Returns:
      uint32 ``[c, 2^e]`` in storage order.
    """
    log_columns = log_length(coefficients)
    if log_size < log_columns:
        raise ValueError(f"log size: expected at least {log_columns}, got {log_size}")
    return _evaluate(
        coefficients, _table(coefficients, log_size, table, forward_twiddles), log_size
    )


@jax.jit
def interpolate_with(values: Array | np.ndarray, table: Array) -> Array:
    """``interpolate`` with any heap of inverse twiddles, of a circle or of a line."""
    n_columns, size = values.shape
    log_size = size.bit_length() - 1
    # The layer of largest distance also scales: its sums by entry 0, its differences by both.
    scale = table[:1]
    last = m31.mul(table[1:2], scale)
    if size > _FEW:  # both once, not for every word; for few words that is one more operation
        scale, last = lax.optimization_barrier((scale, last))
    v = jnp.asarray(values)
    for low, high in _groups(log_size):
        parts = _split(v, low, high)
        for t in range(low, high):
            for i, j, factor in _butterflies(table, log_size, low, high, t):
                total, difference = m31.add(parts[i], parts[j]), m31.sub(parts[i], parts[j])
                if t == log_size - 1:
                    total, factor = m31.mul(total, scale[None, :, None]), last[None, :, None]
                parts[i], parts[j] = total, m31.mul(difference, factor)
        v = _join(parts, n_columns)
    return v


@jax.jit
def split(columns: Array) -> Array:
    """The left halves of all columns ``[c, 2^k]``, then the right ones: ``[2 c, 2^(k-1)]``."""
    count, size = columns.shape
    halves = columns.reshape(count, 2, size // 2)
    return jnp.transpose(halves, (1, 0, 2)).reshape(2 * count, size // 2)


@partial(jax.jit, static_argnames="log_size")
def _evaluate(coefficients: Array | np.ndarray, table: Array, log_size: int) -> Array:
    n_columns, size = coefficients.shape
    # The layers above the column's own size meet zero upper halves: they only copy.
    copies = (n_columns, (1 << log_size) // size, size)
    v = jnp.broadcast_to(coefficients[:, None, :], copies)
    for low, high in reversed(_groups(size.bit_length() - 1)):
        parts = _split(v, low, high)
        for t in reversed(range(low, high)):
            for i, j, factor in _butterflies(table, log_size, low, high, t):
                product = m31.mul(parts[j], factor)
                parts[i], parts[j] = m31.add(parts[i], product), m31.sub(parts[i], product)
        v = _join(parts, n_columns)
    return v


def _groups(n_layers: int) -> list[tuple[int, int]]:
    """Ranges ``(low, high)`` of layers, by ascending distance ``2^low``."""
    return [(t, min(t + _GROUP, n_layers)) for t in range(0, n_layers, _GROUP)]


def _split(v: Array, low: int, high: int) -> list[Array]:
    """The slices ``[c, blocks, 2^low]`` on which the layers ``low..high-1`` act."""
    parts = v.reshape(v.shape[0], -1, 1 << (high - low), 1 << low)
    return [parts[:, :, i] for i in range(parts.shape[2])]


def _join(parts: list[Array], n_columns: int) -> Array:
    """The inverse of ``_split``: columns ``[c, n]``, behind a barrier."""
    return lax.optimization_barrier(jnp.stack(parts, axis=2).reshape(n_columns, -1))


def _butterflies(
    table: Array, log_size: int, low: int, high: int, t: int
) -> Iterator[tuple[int, int, Array]]:
    """Pairs of slices that layer t combines, each with its twiddles ``[1, blocks, 1]``."""
    blocks, distance = 1 << (log_size - high), 1 << (t - low)
    level = 1 << (log_size - 1 - t)
    factors = table[level : 2 * level].reshape(1, blocks, -1)
    for i in range(1 << (high - low)):
        if not i & distance:
            yield i, i | distance, factors[:, :, i // (2 * distance), None]


def _table(
    columns: Array | np.ndarray,
    log_size: int,
    table: Array | None,
    fetch: Callable[[int], Array],
) -> Array:
    """The twiddle argument, checked, or the cached one."""
    if table is None:
        if isinstance(columns, Tracer):
            raise ValueError(
                "twiddles: expected them as an argument inside a traced function, got None"
            )
        return fetch(log_size)
    if table.shape != (1 << log_size,) or table.dtype != np.uint32:
        raise ValueError(
            f"twiddles: expected uint32 [2^{log_size}], got {table.dtype} {list(table.shape)}"
        )
    return table
