"""Upstream's wide Fibonacci: every row is a sequence of its own, ``c = a^2 + b^2``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component
from jaxstark.fields import m31

MAX_COLUMNS = 4096


@lru_cache(maxsize=64)
def wide_fibonacci(n_columns: int = 26) -> Air:
    """The AIR with ``n_columns`` columns c0, c1, ...."""
    if not 3 <= n_columns <= MAX_COLUMNS:
        raise ValueError(f"wide_fibonacci: expected 3..{MAX_COLUMNS} columns, got {n_columns}")
    columns = tuple(f"c{i}" for i in range(n_columns))

    def evaluate(row: Any, air: Any) -> None:
        for a, b, c in zip(columns, columns[1:], columns[2:], strict=False):
            air.constrain(row[c] - (row[a] * row[a] + row[b] * row[b]), c)

    return Air(f"wide_fibonacci/{n_columns}", (Component("fibonacci", columns, evaluate),))


def wide_fibonacci_columns(
    n_columns: int, log_size: int, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Trace columns in row order, from random starting pairs."""
    rng = np.random.default_rng(seed)
    table = [rng.integers(0, m31.P, 1 << log_size, dtype=np.uint32) for _ in range(2)]
    while len(table) < n_columns:
        table.append(m31.add(m31.sq(table[-2]), m31.sq(table[-1])))
    return {"fibonacci": {f"c{i}": column for i, column in enumerate(table)}}
