"""The circle FFT in NumPy, one layer at a time.

Reference for ``fft`` and ``oods``, and the host's own transform for small sizes: the last FRI
layer and checks. No JAX. Source: protocol sections 2 and 12.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxstark import circle, twiddles
from jaxstark.circle import SecurePoint
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31


def interpolate(values: np.ndarray) -> np.ndarray:
    """Coefficients ``[c, 2^k]`` (index order) of columns ``[c, 2^k]`` (storage order), k >= 1."""
    table = twiddles.inverse_table(log_length(values))
    return _inverse_layers(values, table)


def evaluate(coefficients: np.ndarray, log_size: int) -> np.ndarray:
    """Values ``[c, 2^e]`` in storage order on the circle domain of log size ``e >= k >= 1``."""
    log_columns = log_length(coefficients)
    if log_size < log_columns:
        raise ValueError(f"log size: expected at least {log_columns}, got {log_size}")
    n, size = len(coefficients), 1 << log_size
    table = twiddles.forward_table(log_size)
    v = np.zeros((n, size), np.uint32)
    v[:, : 1 << log_columns] = coefficients
    for t in reversed(range(log_size)):
        blocks = size >> (t + 1)
        pairs = v.reshape(n, blocks, 2, -1)
        b = m31.mul(pairs[:, :, 1], table[blocks : 2 * blocks, None])
        v = np.stack([m31.add(pairs[:, :, 0], b), m31.sub(pairs[:, :, 0], b)], axis=2)
    return v.reshape(n, size)


def line_interpolate(values: np.ndarray, log_domain: int, folds: int) -> np.ndarray:
    """Coefficients of a secure function on a line domain, such as the last FRI layer.

    ``values`` are uint32 ``[4, 2^m]`` in storage order on ``line_domain(log_domain, folds)``,
    with ``m = log_domain - folds``. Returns uint32 ``[4, 2^m]`` in natural coefficient order:
    bit t of the index selects ``pi^t(x)``. Raises ``ValueError`` for another number of values.
    """
    log_line = log_domain - folds
    if folds < 1 or values.shape != (4, 1 << max(log_line, 0)):
        raise ValueError(
            f"line values after {folds} folds of 2^{log_domain}: "
            f"expected at least one fold and shape (4, 2^{log_line}), got {values.shape}"
        )
    if log_line == 0:
        return values.copy()
    # The line layers of any circle domain of at least twice the size hold this line's twiddles.
    return _inverse_layers(values, twiddles.inverse_table(log_line + 1)[: 1 << log_line])


def evaluate_at(coefficients: np.ndarray, point: SecurePoint) -> np.ndarray:
    """Values uint32 ``[4, c]`` of columns ``[c, 2^k]`` of coefficients at one secure point."""
    v = QM31(coefficients, *(np.zeros_like(coefficients) for _ in range(3)))
    for factor in reversed(basis_factors(point, log_length(coefficients))):
        half = v.a.shape[-1] // 2
        low, high = QM31(*(w[:, :half] for w in v)), QM31(*(w[:, half:] for w in v))
        v = qm31.add(low, qm31.mul(high, factor))
    return qm31.to_array(v)[:, :, 0]


def basis_factors(point: SecurePoint, log_size: int) -> list[QM31]:
    """``[y, x, pi(x), pi(pi(x)), ...]``: the factor that each bit of a coefficient index selects.

    Host scalars, ``log_size >= 1`` of them.
    """
    factors, x = [point.y], point.x
    for _ in range(log_size - 1):
        factors.append(x)
        x = circle.secure_double_x(x)
    return factors


def log_length(columns: Any) -> int:
    """log2 of the length of columns ``[c, 2^k]``, k >= 1; ``ValueError`` for other arrays."""
    if columns.ndim == 2 and columns.dtype == np.uint32:
        log_size = columns.shape[1].bit_length() - 1
        if log_size >= 1 and columns.shape[1] == 1 << log_size:
            return log_size
    raise ValueError(
        f"columns: expected uint32 [c, 2^k] with k >= 1, got {columns.dtype} {list(columns.shape)}"
    )


def _inverse_layers(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Inverse butterflies from distance 1 up, one layer for each level of the heap ``table``."""
    n, size = values.shape
    v, blocks = values, size >> 1
    while blocks:
        pairs = v.reshape(n, blocks, 2, -1)
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        difference = m31.mul(m31.sub(a, b), table[blocks : 2 * blocks, None])
        v = np.stack([m31.add(a, b), difference], axis=2)
        blocks >>= 1
    return m31.mul(v.reshape(n, size), m31.inv(size))
