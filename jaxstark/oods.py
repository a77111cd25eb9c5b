"""Values of columns out of domain: every polynomial of a batch at secure points.

The value of ``sum_m coeff[m] prod_{t: bit t of m} F_t`` with ``F = [y, x, pi(x), ...]``. The
index is split as ``m = 2^l high + low``: first the M31 coefficients meet the QM31 products of
the high bits, then the much fewer sums meet those of the low bits, so that no basis vector of
full length and no QM31 array per column is ever stored. Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxstark.circle import SecurePoint, secure_double
from jaxstark.fft_reference import basis_factors, log_length
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.fields.sums import dot, total

_SUMMANDS = 16  # in one straight-line pass: XLA vectorises it, but not a reduction
_MIN_LOW_BITS = 6  # the contiguous axis stays long enough for vectors


def evaluate_columns(coefficients: Array | np.ndarray, point: SecurePoint) -> Array:
    """The value of every column at one point.

    Args:
      coefficients: uint32 ``[c, 2^k]`` in index order, k >= 1.
      point: host scalars; for a lifted column the caller passes the doubled point.

    Returns:
      uint32 ``[4, c]``. A new point of the same shape compiles nothing.
    """
    return evaluate_columns_many(coefficients, (point,))[0]


def evaluate_columns_many(coefficients: Array | np.ndarray, points: Sequence[SecurePoint]) -> Array:
    """As ``evaluate_columns`` at several points in one pass: uint32 ``[n_points, 4, c]``."""
    return evaluate_at_factors(coefficients, point_factors(points, log_length(coefficients)))


def point_factors(points: Sequence[SecurePoint], log_size: int) -> np.ndarray:
    """The basis factors of points for columns of ``2^log_size``: uint32 ``[n_points, k, 4]``."""
    if log_size < 1 or not points:
        raise ValueError(
            f"basis factors: expected a point and a log size from 1, "
            f"got {len(points)} and {log_size}"
        )
    return np.array([basis_factors(p, log_size) for p in points], np.uint32)


def lifted_factors(point: SecurePoint, log_size: int) -> list[np.ndarray]:
    """The basis factors that lifted columns of every size see at one point of the largest size.

    Entry k, for columns of ``2^k`` rows, is uint32 ``[1, k, 4]``: what ``point_factors`` gives for
    ``2^(log_size - k)`` times the point. The multiples are the same for all sizes and computed
    once. Entry 0 is empty.
    """
    multiples = [point]
    for _ in range(log_size - 1):
        multiples.append(secure_double(multiples[-1]))
    xs = [p.x for p in multiples]
    rows = [[multiples[-k].y, *xs[log_size - k : -1]] for k in range(1, log_size + 1)]
    return [np.zeros((1, 0, qm31.DEGREE), np.uint32), *(np.array([r], np.uint32) for r in rows)]


@jax.jit
def evaluate_at_factors(coefficients: Array | np.ndarray, factors: Array | np.ndarray) -> Array:
    """Columns ``[c, 2^k]`` at the points of ``point_factors``: uint32 ``[n_points, 4, c]``."""
    n_columns, size = coefficients.shape
    n_points, log_size, _ = factors.shape
    if size != 1 << log_size:
        raise ValueError(f"basis factors: expected those of {size} coefficients, got {log_size}")
    low_bits = max((log_size + 1) // 2, min(log_size, _MIN_LOW_BITS))
    low, high = _basis_halves(factors, low_bits)

    lanes = 1 << low_bits
    n_summands = min(_SUMMANDS, size // lanes)
    n_sums = size // lanes // n_summands
    n_words = qm31.DEGREE * n_points
    weights = high.reshape(n_words, n_sums, n_summands).transpose(1, 2, 0)[None, ..., None]
    columns = jnp.asarray(coefficients).reshape(n_columns, n_sums, n_summands, 1, lanes)
    sums = lax.optimization_barrier(
        dot([(columns[:, :, i], weights[:, :, i]) for i in range(n_summands)])
    )
    while n_sums > 1:
        n_summands = min(_SUMMANDS, n_sums)
        n_sums //= n_summands
        terms = sums.reshape(n_columns, n_sums, n_summands, n_words, lanes)
        sums = lax.optimization_barrier(total([terms[:, :, i] for i in range(n_summands)]))

    rows = sums.reshape(n_columns, n_points, qm31.DEGREE, lanes)
    products = qm31.mul(
        QM31(*(rows[:, :, w] for w in range(qm31.DEGREE))),
        QM31(*(jnp.broadcast_to(w[None], (n_columns, *w.shape)) for w in low)),
    )
    return _row_sums(qm31.to_array(lax.optimization_barrier(products))).transpose(2, 0, 1)


def _basis_halves(factors: Array | np.ndarray, low_bits: int) -> tuple[QM31, Array]:
    """Products of factors for all low and all high parts of an index.

    Returns the low ones as ``[n_points, 2^l]`` coordinates and the high ones as one array
    ``[n_points, 4, 2^(k-l)]``.
    """
    n_points, log_size, _ = factors.shape
    # Both halves of all points advance together; the missing high factors are never selected
    # by an entry that is kept.
    missing = ((0, 0), (0, 2 * low_bits - log_size), (0, 0))
    rows = jnp.pad(factors, missing).reshape(2 * n_points, low_bits, qm31.DEGREE)
    by_bit = rows.transpose(1, 2, 0)
    index = lax.broadcasted_iota(np.uint32, (1, 1 << low_bits), 1)

    def step(t: Array, basis: QM31) -> QM31:
        factor = lax.dynamic_index_in_dim(by_bit, t, keepdims=False)
        selected = (index >> t.astype(np.uint32)) & np.uint32(1) == np.uint32(1)
        chosen = (
            jnp.where(selected, factor[w][:, None], np.uint32(one))
            for w, one in enumerate(qm31.ONE)
        )
        return QM31(*lax.optimization_barrier(qm31.mul(basis, QM31(*chosen))))

    shape = (2 * n_points, 1 << low_bits)
    ones = QM31(*(jnp.full(shape, w, np.uint32) for w in qm31.ONE))
    basis = lax.fori_loop(0, low_bits, step, ones)
    low = QM31(*(w.reshape(n_points, 2, -1)[:, 0] for w in basis))
    high = qm31.to_array(basis).reshape(qm31.DEGREE, n_points, 2, -1)[:, :, 1]
    return low, high[..., : 1 << (log_size - low_bits)].transpose(1, 0, 2)


def _row_sums(words: Array) -> Array:
    """Canonical sums along the last axis."""
    with jax.enable_x64(True):
        return m31.from_wide(jnp.sum(words.astype(np.uint64), axis=-1))
