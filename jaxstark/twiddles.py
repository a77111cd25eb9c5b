"""Twiddle factors of the circle FFT and of the FRI folds: NumPy tables, cached per size.

All twiddles of a circle domain of ``2^e`` points form one uint32 table of ``2^e`` words, laid out
as a binary heap. The FFT layer that pairs entries ``2^t`` apart has ``2^(e-1-t)`` blocks; the
twiddle of its block h is entry ``2^(e-1-t) + h``, so that the children of entry j are entries
``2 j`` and ``2 j + 1`` of the next layer below. Entry 0 belongs to no layer and holds the number
of points, whose inverse scales an interpolation.

* ``t = 0`` (circle layer): y of the domain point in storage slot ``2 h``.
* ``t >= 1`` (line layers): x of the point in slot ``2 h`` of ``half_odds(e - 1)`` doubled
  ``t - 1`` times. These entries are the same in the tables of all sizes.

Tables are arguments of jitted programs, never constants captured by them.
Source: protocol sections 2 and 12.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from jaxstark import circle
from jaxstark.fields import m31


@lru_cache(maxsize=16)
def forward_table(log_size: int) -> np.ndarray:
    """Twiddles of evaluation on the circle domain of ``2^log_size`` points.

    Returns read-only uint32 ``[2^log_size]`` in the heap layout of the module docstring.
    Raises ``ValueError`` for a log size outside ``1..MAX_LOG_SIZE``.
    """
    if not 1 <= log_size <= circle.MAX_LOG_SIZE:
        raise ValueError(
            f"circle domain: expected a log size in 1..{circle.MAX_LOG_SIZE}, got {log_size}"
        )
    table = np.empty(1 << log_size, np.uint32)
    table[0] = 1 << log_size
    points = circle.half_odds(log_size - 1).points()
    order = circle.bit_reversal(log_size - 1)
    table[1 << (log_size - 1) :] = points.y[order]
    if log_size >= 2:
        # Slot 2h of a coset, doubled, is the point in slot h of the doubled coset.
        x = points.x[order][::2]
        table[x.size : 2 * x.size] = x
        while x.size > 1:
            x = circle.double_x(x[::2])
            table[x.size : 2 * x.size] = x
    table.flags.writeable = False
    return table


@lru_cache(maxsize=16)
def inverse_table(log_size: int) -> np.ndarray:
    """Elementwise inverses of ``forward_table``: read-only uint32 ``[2^log_size]``.

    Entry 0 is ``2^-log_size``, the scale of an interpolation.
    """
    table = m31.batch_inv(forward_table(log_size))
    table.flags.writeable = False
    return table


def fold_inverses(log_domain: int, fold_index: int) -> np.ndarray:
    """Inverse coordinates for one FRI fold, starting from the domain of ``2^log_domain`` points.

    Fold 0 takes the circle domain to a line: entry i is 1/y of the point in slot ``2 i``. Fold
    ``r >= 1`` starts from ``line_domain(log_domain, r)``: entry i is 1/x of its slot ``2 i``.

    Returns read-only uint32 ``[2^(log_domain - 1 - fold_index)]``: the entries of one layer of
    ``inverse_table(log_domain)``, and thus also ``inverse_twiddles`` sliced on the device.
    Raises ``ValueError`` for a fold index outside ``0..log_domain-1``.
    """
    if not 0 <= fold_index < log_domain:
        raise ValueError(f"fold index: expected 0..{log_domain - 1}, got {fold_index}")
    size = 1 << (log_domain - 1 - fold_index)
    return inverse_table(log_domain)[size : 2 * size]
