"""Upstream's state machine: two components of different sizes hand a state to each other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Relation, component
from jaxstark.fields.m31 import P

STATE = Relation("state", 2)


@component("x y")
def increment_x(row: Any, air: Any) -> None:
    """Each row takes a state and leaves it with x one higher."""
    air.lookup(STATE, [row.x, row.y])
    air.provide(STATE, [row.x + 1, row.y])


@component("x y")
def increment_y(row: Any, air: Any) -> None:
    """Each row takes a state and leaves it with y one higher."""
    air.lookup(STATE, [row.x, row.y])
    air.provide(STATE, [row.x, row.y + 1])


def _public_terms(air: Any) -> None:
    air.public(STATE, air.public_values.initial, -1)
    air.public(STATE, air.public_values.final, 1)


@lru_cache(maxsize=1)
def state_machine() -> Air:
    """The AIR; public values ``initial`` and ``final``, two words each."""
    return Air(
        "state_machine",
        (increment_x, increment_y),
        (STATE,),
        (("initial", 2), ("final", 2)),
        _public_terms,
    )


def state_machine_trace(
    log_sizes: tuple[int, int], initial: tuple[int, int] = (0, 0)
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[int]]]:
    """Columns in row order and public values: first x goes up, then y."""
    x0, y0 = initial
    steps = [np.arange(1 << k, dtype=np.uint64) for k in log_sizes]
    x_end, y_end = (x0 + (1 << log_sizes[0])) % P, (y0 + (1 << log_sizes[1])) % P

    def word(values: np.ndarray) -> np.ndarray:
        return (values % np.uint64(P)).astype(np.uint32)

    columns = {
        "increment_x": {
            "x": word(steps[0] + np.uint64(x0)),
            "y": word(np.full_like(steps[0], y0)),
        },
        "increment_y": {
            "x": word(np.full_like(steps[1], x_end)),
            "y": word(steps[1] + np.uint64(y0)),
        },
    }
    return columns, {"initial": [x0, y0], "final": [x_end, y_end]}
