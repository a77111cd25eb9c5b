"""Data for the GPU tests, and references that run on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxstark.fields import m31
from jaxstark.fields.m31 import P

# Up to so many words a host transforms every column.
_SMALL_WORDS = 1 << 20


def words(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random words up to p, which stands for 0; 0, 1, p - 1 and p in many places (T33)."""
    out = rng.integers(0, P, shape, np.uint32)
    flat = out.reshape(-1)
    places = flat[::3]
    places[:] = rng.choice(np.array([0, 1, P - 1, P], np.uint32), len(places))
    return out


def canonical(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random words below p."""
    return rng.integers(0, P, shape, np.uint32)


def cpu() -> Any:
    """A context in which XLA runs on the CPU, whatever the default device is."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def assert_equal(got: Any, want: Any) -> None:
    """Equal words; names the first place that differs."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype == np.uint32
    assert got.shape == want.shape
    wrong = np.argwhere(got != want)
    assert not len(wrong), f"{len(wrong)} of {got.size} words differ, the first at {wrong[0]}"


def assert_linear(
    got: np.ndarray,
    columns: np.ndarray,
    transform: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> None:
    """``got`` is a linear transform of columns, one by one.

    Large ones are compared in one random combination of all columns, which a wrong column passes
    with probability 1/p.
    """
    got = np.asarray(got)
    if got.size <= _SMALL_WORDS:
        assert_equal(got, transform(m31.canonical(columns)))
        return
    assert got.shape[0] == len(columns) and got.dtype == np.uint32
    assert (got < P).all()
    weights = rng.integers(1, P, len(columns))
    want = transform(_combined(columns, weights)[None])[0]
    assert_equal(_combined(got, weights), want)


def _combined(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = np.zeros(columns.shape[1], np.uint64)
    for column, weight in zip(columns, weights.tolist(), strict=True):
        total = (total + column.astype(np.uint64) * np.uint64(weight)) % np.uint64(P)
    return total.astype(np.uint32)
