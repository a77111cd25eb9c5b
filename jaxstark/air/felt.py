"""Field elements with operators, for writing constraints.

A ``Felt`` wraps an M31 element (int, NumPy array, JAX array) or a ``QM31`` tuple of them, so that
one constraint function serves rows, domains and single points. The arithmetic itself is that of
``jaxstark.fields``; the small constants 0, 1 and -1 cost nothing.
"""

from __future__ import annotations

from typing import Any

from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31


class Felt:
    """An M31 or QM31 value; ``+``, ``-`` and ``*`` mix with each other and with ints."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value % P if isinstance(value, int) else value

    @property
    def secure(self) -> QM31:
        """The value as QM31."""
        return self.value if isinstance(self.value, QM31) else qm31.from_base(self.value)

    def __add__(self, other: Felt | int) -> Felt:
        x, y = self.value, _value(other)
        if _is_zero(y):
            return self
        if _is_zero(x):
            return Felt(y)
        if isinstance(x, QM31) and isinstance(y, QM31):
            return Felt(qm31.add(x, y))
        if isinstance(x, QM31):
            return Felt(x._replace(a=m31.add(x.a, y)))
        if isinstance(y, QM31):
            return Felt(y._replace(a=m31.add(y.a, x)))
        return Felt(m31.add(x, y))

    def __neg__(self) -> Felt:
        x = self.value
        return Felt(qm31.neg(x) if isinstance(x, QM31) else m31.neg(x))

    def __sub__(self, other: Felt | int) -> Felt:
        x, y = self.value, _value(other)
        if _is_zero(y):
            return self
        if isinstance(x, QM31) or isinstance(y, QM31):
            return self + (-Felt(y))
        return Felt(m31.sub(x, y))

    def __mul__(self, other: Felt | int) -> Felt:
        x, y = self.value, _value(other)
        if isinstance(x, int):
            x, y = y, x
        if isinstance(y, int) and y in (0, 1, P - 1):
            return Felt(x if y == 1 else 0) if y < 2 else -Felt(x)
        if isinstance(x, QM31):
            return Felt(qm31.mul(x, y) if isinstance(y, QM31) else qm31.mul_base(x, y))
        return Felt(qm31.mul_base(y, x) if isinstance(y, QM31) else m31.mul(x, y))

    def __rsub__(self, other: int) -> Felt:
        return Felt(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Felt({self.value!r})"


def _value(x: Felt | int) -> Any:
    if isinstance(x, Felt):
        return x.value
    return x % P if isinstance(x, int) else x


def _is_zero(x: Any) -> bool:
    return isinstance(x, int) and x == 0
