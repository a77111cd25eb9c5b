"""BLAKE2s as kernels write it: in one form to keep a device busy, in another to wait for.

A multiprocessor has two pipes for 32-bit integers, one for logic, shifts and sums, one for products
with a sum. In plain form a compression is four fifths logic, shifts and sums of three words, which
the first pipe does alone. A product with 1 that is not known to be 1 goes to the other pipe, which
has the time: two of them are a sum of three words. They take longer to come, so that the plain
form is the faster one where lanes wait for each other.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash.blake2s import Form
from jaxstark.pallas import launch

Array = Any

# Input of a kernel: a compiler must not know it.
ONE = np.ones(1, np.uint32)


def busy(one: Array, interpret: bool) -> Form:
    """For many independent hashes. ``one``: the word of ``ONE``, a scalar, loaded from memory."""

    def sum_of_three(a: Any, b: Any, x: Any) -> Any:
        factor = jnp.broadcast_to(one, jnp.shape(a))
        # b is what takes longest to come.
        return lax.mul(b, factor) + (lax.mul(a, factor) + x)

    return Form(launch.half_round_barrier(interpret), sum_of_three)


def waiting(interpret: bool) -> Form:
    """For hashes of which others are made."""
    return Form(launch.half_round_barrier(interpret))
