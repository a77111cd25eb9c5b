"""Value components: comparisons, ReLU, shifts and bitwise operations, through limbs and tables.

A component provides tuples ``(opcode, a, r, x)`` of the relation ``CO``, x being the result, and a
step with ``co = 1`` uses one. Every row speaks for itself: a tuple that a row provides is true
whatever the other rows are, so that no row count matters. Padding rows are true rows that nobody
uses. Beside each component stands the function that fills its columns from operands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxstark.air.definition import Component, Generator, Relation, row_index
from jaxstark.fields import m31
from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.isa import MAX_SHIFT
from jaxstark.vm.limits import LOG_TABLE

CO = Relation("co", 4)  # opcode, a, r, x
BYTE = Relation("byte", 1)
NIBBLES = Relation("nibbles", 3)  # u, v, u and v

_RELU, _LT, _SHR = (isa.BY_NAME[name].code for name in ("ReLU", "Lt", "Shr"))
_XOR, _AND, _OR = (isa.BY_NAME[name].code for name in ("Xor", "And", "Or"))
_HALF = pow(2, -1, P)
_WORD = ("h1", "h2", "h3", "hint")  # what `_parity` needs besides the bit
_LIMBS = 8  # nibbles of a word


def _parity(row: Any, air: Any, value: Any, bit: Any, name: str, prefix: str = "") -> None:
    """Constrain ``bit`` to be the lowest bit of the canonical word ``value``.

    ``value = 2 h + bit`` with h in four bytes, the highest below 2^6, hence value in 0..p. The
    word p also stands for 0; its lowest bit is 1, so that 1 is refused where value is 0.
    """
    h1, h2, h3, hint = (row[prefix + part] for part in _WORD)
    air.constrain(bit * (1 - bit), f"{name}: bit")
    air.constrain(bit * (1 - value * hint), f"{name}: p is not 0")
    air.constrain((1 - bit) * hint, f"{name}: unused hint")
    h0 = (value - bit) * _HALF - h1 * (1 << 8) - h2 * (1 << 16) - h3 * (1 << 24)
    for limb in (h0, h1, h2, h3, h3 * 4):
        air.lookup(BYTE, [limb])


def _parity_columns(value: Any, prefix: str = "") -> dict[str, Any]:
    """The columns of ``_parity`` for canonical words."""
    half = value >> np.uint32(1)
    limbs = [(half >> np.uint32(8 * i)) & np.uint32(255) for i in (1, 2, 3)]
    hint = m31.inv(value) * (value & np.uint32(1))
    return {prefix + name: column for name, column in zip(_WORD, (*limbs, hint), strict=True)}


def _relu(row: Any, air: Any) -> None:
    # a > HALF exactly if 2a wraps, and then 2a - p is odd.
    _parity(row, air, row.a * 2, row.negative, "sign")
    air.constrain(row.x - row.a + row.a * row.negative, "result")
    air.provide(CO, [_RELU, row.a, 0, row.x], row.uses)


def relu_columns(a: Any, r: Any) -> dict[str, Any]:
    """Columns for operands uint32 ``[rows]``."""
    doubled = m31.double(a)
    negative = doubled & np.uint32(1)
    return {
        **{"a": a, "negative": negative, "x": a * (np.uint32(1) - negative)},
        **_parity_columns(doubled),
    }


def _less(row: Any, air: Any) -> None:
    # a - b wraps exactly if a < b, and then p, an odd number, is added to the difference.
    _parity(row, air, row.a, row.odd_a, "a", "a_")
    _parity(row, air, row.b, row.odd_b, "b", "b_")
    _parity(row, air, row.a - row.b, row.odd_d, "a - b", "d_")
    air.constrain(row.differ - row.odd_a - row.odd_b + row.odd_a * row.odd_b * 2, "parities")
    air.constrain(row.x - row.differ - row.odd_d + row.differ * row.odd_d * 2, "result")
    air.provide(CO, [_LT, row.a, row.b, row.x], row.uses)


def less_columns(a: Any, r: Any) -> dict[str, Any]:
    """Columns for operands uint32 ``[rows]``."""
    one, d = np.uint32(1), m31.sub(a, r)
    odd = {"odd_a": a & one, "odd_b": r & one, "odd_d": d & one}
    differ = odd["odd_a"] ^ odd["odd_b"]
    return {
        **{"a": a, "b": r, **odd, "differ": differ, "x": differ ^ odd["odd_d"]},
        **_parity_columns(a, "a_"),
        **_parity_columns(r, "b_"),
        **_parity_columns(d, "d_"),
    }


def _shift(row: Any, air: Any) -> None:
    # The unsigned word v = a + 2^30 = q m + rem in 1..p with m = 2^k, rem < m, q < 2^(31-k); then
    # x = q - 2^(30-k). q is cut at 15 bits: q = low + 2^15 high with high < 2^(16-k).
    m, cofactor = row.m, row.cofactor
    rem = row.rem0 + row.rem1 * 256
    low = row.low0 + row.low1 * 256
    high = row.high0 + row.high1 * 256
    q = low + high * (1 << 15)
    air.constrain(m * cofactor - (1 << MAX_SHIFT), "cofactor")
    air.constrain(q * m + rem - row.a - (1 << 30), "quotient")
    # Below 2^16 as they are, and no product here reaches p.
    air.constrain(rem * cofactor - row.rem_scaled0 - row.rem_scaled1 * 256, "remainder range")
    air.constrain(high * m - row.high_scaled0 - row.high_scaled1 * 256, "quotient range")
    air.constrain((rem + low + high) * row.hint - 1, "p is not 0")
    for limb in ("rem0", "rem1", "rem_scaled0", "rem_scaled1", "low0", "low1", "high0", "high1"):
        air.lookup(BYTE, [row[limb]])
    for limb in (row.low1 * 2, row.high1 * 2, row.high_scaled0, row.high_scaled1):
        air.lookup(BYTE, [limb])
    air.provide(CO, [_SHR, row.a, m, q - cofactor * (1 << 14)], row.uses)


def shift_columns(a: Any, r: Any) -> dict[str, Any]:
    """Columns for words a and powers of two r, uint32 ``[rows]``; r = 0 (padding) counts as 2."""
    m = r + (r == 0).astype(np.uint32) * np.uint32(2)
    cofactor = np.uint32(1 << MAX_SHIFT) // m
    v = m31.add(a, np.uint32(1 << 30))
    v = v + (v == 0).astype(np.uint32) * np.uint32(P)
    rem, q = v & (m - np.uint32(1)), v // m
    low, high = q & np.uint32((1 << 15) - 1), q >> np.uint32(15)
    halves = {"rem": rem, "low": low, "high": high}
    halves |= {"rem_scaled": rem * cofactor, "high_scaled": high * m}
    columns = {"a": a, "m": m, "cofactor": cofactor}
    for name, half in halves.items():
        columns |= {f"{name}0": half & np.uint32(255), f"{name}1": half >> np.uint32(8)}
    return columns | {"hint": m31.inv(rem + low + high)}


def _bitwise(row: Any, air: Any) -> None:
    # Both words in eight nibbles, the highest below 2^3. The word p is all ones and stands for 0
    # too: the sum of what the nibbles lack must not be 0.
    limbs = []
    for word in ("a", "b"):
        rest = [row[f"{word}{i}"] for i in range(1, _LIMBS)]
        first = row[word] - sum((limb * 16**i for i, limb in enumerate(rest, 1)), 0 * row[word])
        limbs.append([first, *rest])
        lack = sum((15 - limb for limb in limbs[-1][:-1]), 7 - rest[-1])
        air.constrain(lack * row[f"{word}_hint"] - 1, f"{word}: p is not 0")
    both = [row[f"and{i}"] for i in range(_LIMBS)]
    for u, v, w in zip(*limbs, both, strict=True):
        air.lookup(NIBBLES, [u, v, w])
    air.lookup(NIBBLES, [limbs[0][-1] * 2, limbs[1][-1] * 2, both[-1] * 2])
    meet = sum((limb * 16**i for i, limb in enumerate(both[1:], 1)), both[0])
    # As integers the results are below 2^31; the field makes 0 of the word p.
    join = row.a + row.b
    air.provide(CO, [_XOR, row.a, row.b, join - meet * 2], row.xor_uses)
    air.provide(CO, [_AND, row.a, row.b, meet], row.and_uses)
    air.provide(CO, [_OR, row.a, row.b, join - meet], row.or_uses)


def bitwise_columns(a: Any, r: Any) -> dict[str, Any]:
    """Columns for operands uint32 ``[rows]``, without the uses."""

    def nibble(word: Any, i: int) -> Any:
        return (word >> np.uint32(4 * i)) & np.uint32(15)

    columns = {"a": a, "b": r}
    for name, word in (("a", a), ("b", r)):
        columns |= {f"{name}{i}": nibble(word, i) for i in range(1, _LIMBS)}
        lack = np.uint32(15 * 7 + 7) - sum(nibble(word, i) for i in range(_LIMBS))
        columns[f"{name}_hint"] = m31.inv(lack)
    return columns | {f"and{i}": nibble(a & r, i) for i in range(_LIMBS)}


def _bytes(row: Any, air: Any) -> None:
    air.provide(BYTE, [row.byte_value], row.uses)


def _nibbles(row: Any, air: Any) -> None:
    air.provide(NIBBLES, [row.nibbles_u, row.nibbles_v, row.nibbles_and], row.uses)


def _nibble_table(log_size: int, which: int) -> np.ndarray:
    i = np.arange(1 << log_size, dtype=np.uint32)
    u, v = i >> np.uint32(4), i & np.uint32(15)
    return (u, v, u & v)[which]


def _table_u(log_size: int) -> np.ndarray:
    return _nibble_table(log_size, 0)


def _table_v(log_size: int) -> np.ndarray:
    return _nibble_table(log_size, 1)


def _table_and(log_size: int) -> np.ndarray:
    return _nibble_table(log_size, 2)


def _table(name: str, evaluate: Any, columns: tuple[tuple[str, Generator], ...]) -> Component:
    return Component(name, ("uses",), evaluate, columns, log_size=LOG_TABLE)


_PARITIES = [f"{prefix}{part}" for prefix in ("a_", "b_", "d_") for part in _WORD]
_SHIFT_LIMBS = [f"{n}{i}" for n in "rem low high rem_scaled high_scaled".split() for i in (0, 1)]
_NIBBLE_LIMBS = [f"{word}{i}" for word in "ab" for i in range(1, _LIMBS)]

RELU = Component("relu", ("a", "negative", "x", *_WORD, "uses"), _relu)
LESS = Component("less", (*"a b odd_a odd_b odd_d differ x".split(), *_PARITIES, "uses"), _less)
SHIFT = Component("shift", (*"a m cofactor".split(), *_SHIFT_LIMBS, "hint", "uses"), _shift)
BITWISE = Component(
    "bitwise",
    (
        *("a", "b", *_NIBBLE_LIMBS, "a_hint", "b_hint"),
        *(f"and{i}" for i in range(_LIMBS)),
        *("xor_uses", "and_uses", "or_uses"),
    ),
    _bitwise,
)
BYTES = _table("bytes", _bytes, (("byte_value", row_index),))
NIBBLE_PAIRS = _table(
    "nibbles",
    _nibbles,
    (("nibbles_u", _table_u), ("nibbles_v", _table_v), ("nibbles_and", _table_and)),
)

# Component, function that fills it, and columns that count the uses with the opcodes they count.
VALUE_COMPONENTS = {
    "log_relu": (RELU, relu_columns, {"uses": _RELU}),
    "log_less": (LESS, less_columns, {"uses": _LT}),
    "log_shift": (SHIFT, shift_columns, {"uses": _SHR}),
    "log_bitwise": (
        BITWISE,
        bitwise_columns,
        {"xor_uses": _XOR, "and_uses": _AND, "or_uses": _OR},
    ),
}
TABLES = {"bytes": (BYTES, BYTE), "nibbles": (NIBBLE_PAIRS, NIBBLES)}
