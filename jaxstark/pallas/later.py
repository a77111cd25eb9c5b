"""Arrays that are made where they are read, one after the other, so that few are there at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

Array = Any


@dataclass(frozen=True)
class Later:
    """A uint32 array that is made each time it is read, and kept by nobody.

    Attributes:
      shape: of the array.
      source: the array that it is made from.
      make: makes it from the source.
    """

    shape: tuple[int, ...]
    source: Array
    make: Callable[[Array], Array]

    @property
    def dtype(self) -> Any:
        """uint32."""
        return np.dtype(np.uint32)


def read[T](array: Array | Later, done: T) -> tuple[Array, T]:
    """The array; what makes one that comes later starts once ``done``, any arrays, is there.

    Returns ``done`` too. Use that: XLA drops what no one reads from the barrier that keeps order,
    and may then make all arrays before it reads the first.
    """
    if not isinstance(array, Later):
        return array, done
    source, done = lax.optimization_barrier((array.source, done))
    return array.make(source), done
