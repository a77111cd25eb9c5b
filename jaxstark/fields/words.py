"""Operators on words of either array kind, NumPy's and JAX's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

_HOST = (int, np.ndarray, np.generic)
_OPERATORS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "add": (operator.add, "add"),
    "sub": (operator.sub, "sub"),
    "mul": (operator.mul, "mul"),
    "and": (operator.and_, "bitwise_and"),
    "or": (operator.or_, "bitwise_or"),
    "xor": (operator.xor, "bitwise_xor"),
    "shl": (operator.lshift, "shift_left"),
    "shr": (operator.rshift, "shift_right_logical"),
}


def apply(name: str, a: Any, b: Any) -> Any:
    """One operator on unsigned words: the name of one above, and its operands.

    JAX arrays of one shape go to ``jax.lax``: the same program as by operators, traced faster, and
    tracing is a large part of a first proof.
    """
    function, primitive = _OPERATORS[name]
    if _plain_jax(a, b) or _plain_jax(b, a):
        from jax import lax

        return getattr(lax, primitive)(a, b)
    return function(a, b)


def is_jax(a: Any) -> bool:
    """Whether a value is a JAX array or tracer, not of NumPy or Python."""
    return not isinstance(a, _HOST)


def _plain_jax(a: Any, b: Any) -> bool:
    """Whether ``a`` is a JAX array and ``b`` one of its shape or a NumPy scalar."""
    return is_jax(a) and (isinstance(b, np.generic) or (is_jax(b) and a.shape == b.shape))
