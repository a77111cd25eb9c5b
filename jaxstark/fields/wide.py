"""Sums of products that stay in 64-bit words while a loop adds to them; JAX only.

A *wide* word is uint64, below 2^34 between calls and congruent to the sum so far. The caller may
be in 32-bit mode: 64-bit arithmetic is switched on inside these functions alone, so they run under
XLA and in Pallas kernels. A loop that carries wide words is built by ``fori_loop`` of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxstark.fields import m31

Wide = Any

# Products of two words up to p that fit in a wide word beside a folded sum:
# 4 p^2 + 2^34 <= 2^64.
PRODUCTS = 4


def widen(words: m31.M31) -> Wide:
    """Words up to p as wide words."""
    import jax
    from jax import lax

    with jax.enable_x64(True):
        return lax.convert_element_type(words, np.uint64)


def add_products(total: Wide, pairs: Sequence[tuple[Any, Any]]) -> Wide:
    """``total + sum x y`` over at most 4 pairs of wide words up to p; all of one shape."""
    import jax

    if len(pairs) > PRODUCTS:
        raise ValueError(f"products: expected at most {PRODUCTS}, got {len(pairs)}")
    with jax.enable_x64(True):
        for x, y in pairs:
            total = total + x * y
        return m31.fold_wide(total)


def narrow(total: Wide) -> m31.M31:
    """The canonical words."""
    import jax

    with jax.enable_x64(True):
        return m31.from_wide(total)


def row_sums(words: m31.M31) -> m31.M31:
    """Canonical sums along the last axis, which has fewer than 2^32 words."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        return m31.from_wide(jnp.sum(words.astype(np.uint64), axis=-1))


def fori_loop(count: int, step: Callable[[Any, Any], Any], carry: Any) -> Any:
    """``step(i, carry)`` for i = 0 .. count - 1, i an int32 scalar; carries wide words."""
    import jax
    from jax import lax

    with jax.enable_x64(True):
        return lax.fori_loop(np.int32(0), np.int32(count), step, carry)
