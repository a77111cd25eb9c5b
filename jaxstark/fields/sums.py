"""Sums and inner products of M31 arrays in 64-bit words, reduced once; JAX only.

The caller may be in 32-bit mode: 64-bit arithmetic is switched on around these expressions alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark.fields import m31


def dot(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """The canonical sum of the products of pairs of arrays; words 0..p, fewer than 2^29 pairs."""
    import jax

    with jax.enable_x64(True):
        products = [x.astype(np.uint64) * y.astype(np.uint64) for x, y in pairs]
        # Four products, each below 2^62, fit in one word.
        folded = [m31.fold_wide(_plain(products[i : i + 4])) for i in range(0, len(products), 4)]
        return m31.from_wide(_plain(folded))


def total(terms: Sequence[Any]) -> Any:
    """The canonical sum of fewer than 2^32 arrays of 32-bit words."""
    import jax

    with jax.enable_x64(True):
        return m31.from_wide(_plain([term.astype(np.uint64) for term in terms]))


def _plain(terms: Sequence[Any]) -> Any:
    out = terms[0]
    for term in terms[1:]:
        out = out + term
    return out
