"""A documented example: the sum of a column of small numbers.

It shows everything that an AIR can have: boundary constraints through preprocessed selectors, a
rule that reads the previous row, a lookup into a table of another size, and public values. The
statement is "there are ``2^k`` numbers below ``2^bits`` that add up, from ``start``, to
``result``" (mod p).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component, Relation, first_row, last_row, row_index
from jaxstark.fields.m31 import P

RANGE = Relation("range", 1)


def _sum(row: Any, air: Any) -> None:
    first, last, public = row.range_sum_is_first, row.range_sum_is_last, air.public_values
    # Boundary: the running total begins with the first value and ends with the result.
    air.constrain(first * (row.total - row.value - public.start), "start")
    # Every other row adds its value to the previous total. Row 0 has the last row before it
    # (constraints are cyclic), hence the selector.
    air.constrain((1 - first) * (row.total - row.prev.total - row.value), "step")
    air.constrain(last * (row.total - public.result), "result")
    air.lookup(RANGE, [row.value])


def _table(row: Any, air: Any) -> None:
    # The table's values are preprocessed: only their multiplicities are the prover's choice.
    air.provide(RANGE, [row.range_sum_table], row.multiplicity)


@lru_cache(maxsize=32)
def range_sum(bits: int = 8) -> Air:
    """The AIR for numbers below ``2^bits``; component sizes ``(any, bits)``."""
    if not 1 <= bits <= 24:
        raise ValueError(f"range_sum: expected bits in 1..24, got {bits}")
    main = Component(
        "sum",
        ("value", "total"),
        _sum,
        (("range_sum_is_first", first_row), ("range_sum_is_last", last_row)),
    )
    table = Component(
        "table", ("multiplicity",), _table, (("range_sum_table", row_index),), log_size=bits
    )
    return Air(f"range_sum/{bits}", (main, table), (RANGE,), (("start", 1), ("result", 1)))


def range_sum_trace(
    log_size: int, bits: int = 8, start: int = 0, seed: int = 0
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[int]]]:
    """Columns in row order and public values, from random numbers."""
    rng = np.random.default_rng(seed)
    value = rng.integers(0, 1 << bits, 1 << log_size, dtype=np.uint32)
    total = ((np.cumsum(value, dtype=np.uint64) + np.uint64(start)) % np.uint64(P)).astype(
        np.uint32
    )
    multiplicity = np.bincount(value, minlength=1 << bits).astype(np.uint32)
    columns = {
        "sum": {"value": value, "total": total},
        "table": {"multiplicity": multiplicity},
    }
    return columns, {"start": [start], "result": [int(total[-1])]}
