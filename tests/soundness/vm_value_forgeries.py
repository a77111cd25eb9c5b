"""Forgeries of the value components of the Obelysk AIR: false results of true instructions.

Each of them changes the row of a step's result in a value component, and the step takes the result
that the row then speaks for. A range check is forged where dropping it would let a false result
through: all other limbs of the row stay in range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxstark.fields.m31 import P
from tests.soundness.vm_builder import Built
from tests.soundness.vm_program import Forgery, honest, lie, relation, rule

Row = dict[str, int]


def over(a: int, b: int) -> int:
    """``a / b`` in the field."""
    return a * pow(b, P - 2, P) % P


def forged(place: str, change: Callable[[Row], Row]) -> Callable[[], Built]:
    """A run in which one row of a value component is another one."""
    return lie(**{place: {"row": lambda row: {n: w % P for n, w in (row | change(row)).items()}}})


def changed_row(component: str, name: str, broken: str, place: str, change: Any) -> Forgery:
    """A forgery of one constraint of a value component."""
    at = honest().value_rows[place][1]
    return rule(f"{component}: {name}", broken, at, forged(place, change), component)


# --- Parities: ReLU, Lt, Gt -------------------------------------------------------------------


def flipped(value: int, bit: int, limb: int) -> Row:
    """The columns of a parity with the other bit; the limb of this number is out of range."""
    other = 1 - bit
    half = over(value - other, 2)  # 2^30 or more
    h = [half >> 8 * i & 255 for i in range(3)] + [half >> 24]
    if limb == 3:  # a quarter of a byte
        h = [half - (255 << 22) >> 8 * i & 255 for i in range(3)] + [over(255, 4)]
    elif limb < 3:
        h = [*h[:limb], *(255,) * (3 - limb), 63]
        h[limb] = 0
        h[limb] = over(half - sum(word << 8 * i for i, word in enumerate(h)), 1 << 8 * limb)
    return {"bit": other, "h1": h[1], "h2": h[2], "h3": h[3], "hint": over(other, value)}


def relu_row(bits: Callable[[Row], Row], row: Row) -> Row:
    """ReLU's row with other columns for its parity, and its result."""
    parity = bits(row)
    negative = parity.pop("bit")
    return parity | {"negative": negative, "x": row["a"] * (1 - negative)}


def less_row(which: str, bits: Callable[[Row], Row], row: Row) -> Row:
    """A comparison's row with other columns for one parity, and its result."""
    parity = bits(row)
    out = {f"{which}_{name}": word for name, word in parity.items() if name != "bit"}
    odd = {name: row[f"odd_{name}"] for name in "abd"} | {which: parity["bit"]}
    differ = odd["a"] + odd["b"] - 2 * odd["a"] * odd["b"]
    x = differ + odd["d"] - 2 * differ * odd["d"]
    return out | {f"odd_{which}": parity["bit"], "differ": differ, "x": x}


def relu_value(row: Row) -> tuple[int, int]:
    """The word whose parity ReLU needs, and its bit."""
    return 2 * row["a"] % P, row["negative"]


def less_value(which: str, row: Row) -> tuple[int, int]:
    """The word whose parity a comparison needs, and its bit."""
    word = (row["a"] - row["b"]) % P if which == "d" else row[which]
    return word, row[f"odd_{which}"]


def p_for_0(row: Row) -> Row:
    """The columns of a parity of the word 0 written as p."""
    return {"bit": 1, "h1": 255, "h2": 255, "h3": 63, "hint": 0}


def no_bit(value: Callable[[Row], tuple[int, int]], row: Row) -> Row:
    """The columns of a parity with the bit 2 or 3."""
    word, bit = value(row)
    half = over(word - bit - 2, 2)
    h = [half >> 8 * i & 255 for i in range(4)]
    return {"bit": bit + 2, "h1": h[1], "h2": h[2], "h3": h[3], "hint": over(1, word)}


def with_hint(row: Row) -> Row:
    """An honest parity of an even word, but for its hint."""
    return {"hint": 5}


def _flip(value: Callable[[Row], tuple[int, int]], limb: int, row: Row) -> Row:
    return flipped(*value(row), limb)


_LIMB_NAMES = ("lowest byte", "second byte", "third byte", "highest byte", "highest byte times 4")
_WORDS = {"a": "a", "b": "b", "d": "a - b"}


def _parities() -> list[Forgery]:
    out = []
    sign = partial(changed_row, "relu")
    for limb, name in enumerate(_LIMB_NAMES):
        change = partial(relu_row, partial(_flip, relu_value, limb))
        title = f"relu: another sign, {name} out of range"
        out.append(relation(title, "byte", ("relu", limb), forged("relu", change)))
    out += [
        sign("p for 0", "sign: p is not 0", "relu 0", partial(relu_row, p_for_0)),
        sign("a hint for an even word", "sign: unused hint", "relu", with_hint),
        sign("another result", "result", "relu", lambda row: {"x": row["x"] + 1}),
        _bit("relu", "sign", "relu", partial(relu_row, partial(no_bit, relu_value))),
    ]
    zeros = {"a": ("lt 0 x", "gt x 0"), "b": ("lt x 0", "gt 0 x"), "d": ("lt x x",)}
    for number, (which, word) in enumerate(_WORDS.items()):
        value, make = partial(less_value, which), partial(less_row, which)
        for limb, name in enumerate(_LIMB_NAMES):
            change = partial(make, partial(_flip, value, limb))
            title = f"less: another parity of {word}, {name} out of range"
            entry = ("less", 5 * number + limb)
            out.append(relation(title, "byte", entry, forged("lt", change)))
        for place in zeros[which]:
            title = f"p for {word} = 0 in {place}"
            out.append(
                changed_row("less", title, f"{word}: p is not 0", place, partial(make, p_for_0))
            )
        title, place = f"a hint for an even {word}", zeros[which][0]
        unused = {f"{which}_hint": 5}
        out += [
            changed_row("less", title, f"{word}: unused hint", place, lambda row, new=unused: new),
            _bit("less", word, "lt", partial(make, partial(no_bit, value))),
        ]
    exchanged = changed_row("less", "other parities", "parities", "lt", _other_parities)
    return [*out, exchanged, changed_row("less", "another result", "result", "lt", _other_result)]


def _other_parities(row: Row) -> Row:
    return {"differ": 1 - row["differ"], "x": 1 - row["x"]}


def _other_result(row: Row) -> Row:
    return {"x": 1 - row["x"]}


def _bit(component: str, word: str, place: str, change: Any) -> Forgery:
    """A bit that is 2 or 3.

    The rule ``bit`` cannot be the only one that is broken: where the bit is not 0, ``p is not 0``
    gives the hint 1 / value, and then ``unused hint`` that the bit is 1. This is the smallest set.
    """
    broken = frozenset({(component, f"{word}: bit"), (component, f"{word}: unused hint")})
    at = honest().value_rows[place][1]
    return Forgery(f"{component}: {word} has no bit", broken, forged(place, change), at)


# --- Shr --------------------------------------------------------------------------------------

_HALVES = ("rem", "low", "high", "rem_scaled", "high_scaled")
# The order of the look-ups.
_SHIFT_LIMBS = (
    *("rem0", "rem1", "rem_scaled0", "rem_scaled1", "low0", "low1", "high0", "high1"),
    *("low1 * 2", "high1 * 2", "high_scaled0", "high_scaled1"),
)


def shift_row(row: Row, rem: int, low: int, high: int, limb: str = "") -> Row:
    """A shift's row with these parts; a part with a free ``limb`` goes there, up to a byte."""
    out: Row = {}
    scaled = {"rem_scaled": rem * row["cofactor"], "high_scaled": high * row["m"]}
    for name, word in ({"rem": rem, "low": low, "high": high} | scaled).items():
        word %= P
        first, second = word & 255, word >> 8
        if limb == f"{name}0":
            second = 255 if name in scaled else 0
            first = word - 256 * second
        elif limb == f"{name}1":
            second = over(word - first, 256)
        elif limb == f"{name}1/2":  # an odd number of halves of the upper byte
            first, second = word - 128 * 255, over(255, 2)
        out |= {f"{name}0": first, f"{name}1": second}
    return out | {"hint": over(1, rem + low + high)}


def _word(row: Row) -> tuple[int, int]:
    """The unsigned word 1..p that is shifted, and the power of two."""
    return (row["a"] + (1 << 30)) % P or P, row["m"]


def remainder_out_of_range(limb: str, row: Row) -> Row:
    """Another quotient whose remainder, a fraction, times the cofactor is below 2^16."""
    v, m = _word(row)
    scaled = v * row["cofactor"] % P
    low, high = scaled >> 16, min(scaled & 0xFFFF, (0xFFFF // m) & 255)
    rem = (v - (low + (high << 15)) * m) % P
    return shift_row(row, rem, low, high, limb)


def remainder_too_large(limb: str, row: Row) -> Row:
    """One less in the quotient, and a remainder of m or more."""
    v, m = _word(row)
    q = v // m - 1
    return shift_row(row, v % m + m, q & 0x7FFF, q >> 15, limb)


def quotient_fraction(limb: str, row: Row) -> Row:
    """A fraction for a quotient, which exists for every remainder."""
    v, m = _word(row)
    rem = (v + 1) % m
    return shift_row(row, rem, over(v - rem, m), 0, limb)


def word_plus_p(limb: str, row: Row) -> Row:
    """The quotient of v + p."""
    v, m = _word(row)
    q, rem = divmod(v + P, m)
    return shift_row(row, rem, q & 0x7FFF, q >> 15, limb)


def low_too_large(limb: str, row: Row) -> Row:
    """The quotient of v + p, for a small v, with all of the excess in the lower part."""
    v, m = _word(row)
    q, rem = divmod(v + P, m)
    high = 0xFFFF // m
    return shift_row(row, rem, q - (high << 15), high, limb)


def half_for_high(limb: str, row: Row) -> Row:
    """For m = 2^16 the upper part 2^15, which is 1 / m: its product with m is in range."""
    v, m = _word(row)
    rest = v - (1 << 15)
    return shift_row(row, rest % m, rest // m, 1 << 15, limb)


_SHIFTS: tuple[tuple[str, str, Callable[[Row], Row]], ...] = (
    ("rem0", "shr", partial(remainder_out_of_range, "rem0")),
    ("rem1", "shr", partial(remainder_out_of_range, "rem1")),
    ("rem_scaled0", "shr", partial(remainder_too_large, "rem_scaled0")),
    ("rem_scaled1", "shr", partial(remainder_too_large, "rem_scaled1")),
    ("low0", "shr", partial(quotient_fraction, "low0")),
    ("low1", "shr of least", partial(low_too_large, "low1/2")),
    ("low1 * 2", "shr of least", partial(low_too_large, "")),
    ("high0", "shr by 16", partial(half_for_high, "high0")),
    ("high1", "shr by 16", partial(half_for_high, "high1/2")),
    ("high1 * 2", "shr by 16", partial(half_for_high, "")),
    ("high_scaled0", "shr", partial(word_plus_p, "high_scaled0")),
    ("high_scaled1", "shr", partial(word_plus_p, "high_scaled1")),
)


def _remainder_unscaled(row: Row) -> Row:
    honest_scaled = {name: row[name] for name in ("rem_scaled0", "rem_scaled1")}
    return remainder_too_large("", row) | honest_scaled


def _quotient_unscaled(row: Row) -> Row:
    return word_plus_p("", row) | {"high_scaled0": 0, "high_scaled1": 0}


def _p_for_no_remainder(row: Row) -> Row:
    return dict.fromkeys((f"{half}{i}" for half in _HALVES for i in (0, 1)), 0) | {"hint": 0}


def _shifts() -> list[Forgery]:
    out = []
    for limb, place, change in _SHIFTS:
        entry = ("shift", _SHIFT_LIMBS.index(limb))
        title = f"shift: another result, {limb} out of range"
        out.append(relation(title, "byte", entry, forged(place, change)))
    scaled = {"rem_scaled0": 0, "rem_scaled1": 0, "cofactor": 0}
    other = {"low0": lambda row: row["low0"] ^ 1}
    quotient = partial(changed_row, "shift")
    return [
        *out,
        quotient("another cofactor", "cofactor", "shr", lambda row: scaled),
        quotient("another quotient", "quotient", "shr", lambda row: _requotient(row, other)),
        quotient("remainder above m", "remainder range", "shr", _remainder_unscaled),
        quotient("quotient of v + p", "quotient range", "shr", _quotient_unscaled),
        quotient("0 for v = p", "p is not 0", "shr of largest", _p_for_no_remainder),
    ]


def _requotient(row: Row, change: Any) -> Row:
    parts = {half: row[f"{half}0"] + 256 * row[f"{half}1"] for half in ("rem", "low", "high")}
    return shift_row(row, parts["rem"], parts["low"] ^ 1, parts["high"])


# --- Xor, And, Or -----------------------------------------------------------------------------


def meets(row: Row, a: list[int], b: list[int], meet: list[int] | None = None) -> Row:
    """The columns of two words in these nibbles."""
    if meet is None:
        meet = [u & v for u, v in zip(a, b, strict=True)]
    out = {f"and{i}": word for i, word in enumerate(meet)}
    for name, limbs in (("a", a), ("b", b)):
        lack = 15 * 7 + 7 - sum(limbs)
        out |= {f"{name}{i}": limbs[i] for i in range(1, 8)} | {f"{name}_hint": over(1, lack)}
    return out


def nibbles(word: int) -> list[int]:
    """Eight nibbles, the last without an upper end."""
    return [*(word >> 4 * i & 15 for i in range(7)), word >> 28]


def another_nibble(number: int, row: Row) -> Row:
    """One nibble of the result is another one."""
    a, b = nibbles(row["a"]), nibbles(row["b"])
    meet = [u & v for u, v in zip(a, b, strict=True)]
    meet[number] ^= 1
    return meets(row, a, b, meet)


def half_a_nibble(row: Row) -> Row:
    """Bit 27 of the first word counts as half of its highest nibble."""
    a, b = nibbles(row["a"]), nibbles(row["b"])
    meet = [u & v for u, v in zip(a, b, strict=True)]
    a[6], meet[6] = a[6] - 8, meet[6] - 8
    a[7] = over(2 * a[7] + 1, 2)
    return meets(row, a, b, meet)


def plus_p(row: Row) -> Row:
    """The bits of the first word and p: the highest nibble is above 7."""
    return meets(row, nibbles(row["a"] + P), nibbles(row["b"]))


def zero_as_p(name: str, row: Row) -> Row:
    """The word 0 in the nibbles of p."""
    limbs = {word: nibbles(P if word == name else row[word]) for word in "ab"}
    out = meets(row, limbs["a"], limbs["b"])
    return out | {f"{name}_hint": 0}


def _bitwise() -> list[Forgery]:
    out = []
    for number in range(7):
        place = ("xor", "and", "or")[number % 3]
        change = partial(another_nibble, number)
        title = f"{place}: another nibble {number}"
        out.append(relation(title, "nibbles", ("bitwise", number), forged(place, change)))
    out += [
        relation("and: half a nibble", "nibbles", ("bitwise", 7), forged("and", half_a_nibble)),
        relation("or: a + p for a", "nibbles", ("bitwise", 8), forged("or", plus_p)),
    ]
    for name, words in (("a", "0 x"), ("b", "x 0")):
        for op in ("xor", "and", "or"):
            place, change = f"{op} {words}", partial(zero_as_p, name)
            out.append(
                changed_row("bitwise", f"p for 0 in {place}", f"{name}: p is not 0", place, change)
            )
    return out


# --- Results and multiplicities ---------------------------------------------------------------


def _results() -> list[Forgery]:
    out = []
    for place in ("relu", "lt", "gt 0 x", "shr", "xor", "and", "or"):
        make = lie(**{place: {"x": 12345}})
        out.append(relation(f"{place} has a result that no row has", "co", ("steps", 1), make))
    counts = {
        "relu": {"uses": 5},
        "less": {"uses": 15},
        "shift": {"uses": 12},
        "bitwise": {"xor_uses": 9, "and_uses": 10, "or_uses": 11},
    }
    for component, columns in counts.items():
        for column, number in columns.items():

            def counted(component: str = component, column: str = column) -> Built:
                return honest().patched(component, column, 15, 1)

            title = f"{component}: a padding row has {column} (T19)"
            out.append(relation(title, "co", (component, number), counted, counts=True))
    for table, name, row in (("bytes", "byte", 77), ("nibbles", "nibbles", 77)):

        def uses(table: str = table, row: int = row) -> Built:
            return honest().patched(table, "uses", row, 1, add=True)

        title = f"{table}: a row is counted once too often"
        out.append(relation(title, name, (table, 0), uses, counts=True))
    return out


VALUES: tuple[Forgery, ...] = (*_parities(), *_shifts(), *_bitwise(), *_results())
