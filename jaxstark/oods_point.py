"""The out-of-domain point as device arrays, from a felt that the device drew.

``circle`` computes it from ints and arrays alike; these functions fix the array layout, uint32
``[2, 4]`` for x and y. Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxstark import circle
from jaxstark.circle import SecurePoint
from jaxstark.fields import qm31

Array = Any


def point_traced(felt: Array) -> Array:
    """``circle.secure_point`` of a felt uint32 ``[4]``: uint32 ``[2, 4]``.

    A felt whose square is -1, which is drawn with probability 2^-123, gives the words of no point.
    """
    return _to_array(circle.secure_point(qm31.from_array(felt)))


def previous_row_traced(point: Array, log_size: int) -> Array:
    """The point ``[2, 4]`` moved one row back in a trace of ``2^log_size`` rows: ``[2, 4]``."""
    back = circle.point(-circle.subgroup_generator(log_size))
    return _to_array(circle.secure_add(SecurePoint(*map(qm31.from_array, point)), back))


def _to_array(point: SecurePoint) -> Array:
    return jnp.stack([qm31.to_array(coordinate) for coordinate in point])
