"""Lifting: a small column seen on a larger domain. Source: protocol section 2."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def lift(group: Any, log_domain: int) -> Any:
    """The lift of evaluations ``[c, 2^k]`` to a domain of size ``2^log_domain``.

    Storage slot s shows slot ``((s >> (d+1)) << 1) | (s & 1)`` with d the size difference: pairs
    are repeated ``2^d`` times.
    """
    columns, size = group.shape
    copies = (1 << log_domain) // size
    pairs = group.reshape(columns, size // 2, 1, 2)
    return jnp.broadcast_to(pairs, (columns, size // 2, copies, 2)).reshape(columns, -1)
