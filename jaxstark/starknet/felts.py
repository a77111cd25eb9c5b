"""Starknet field elements: range checks, short strings, 256-bit halves, and the Poseidon sponge.

A felt is a Python int in ``0..PRIME-1``. The sponge is Cairo's ``poseidon_hash_span``: the Hades
permutation of width 3 over pairs of felts, padded by 1 and then by zeros to an even length. Its
permutation is that of ``hash.poseidon252``; the compiled one of the package ``poseidon_py``, which
comes with the extra ``starknet``, takes its place where it is installed and gives the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.hash import poseidon252
from jaxstark.hash.poseidon252 import F252

PRIME = F252  # 2^251 + 17 * 2^192 + 1
SHORT_STRING = 31  # bytes that fit a felt
U128 = 1 << 128

State = tuple[int, int, int]
Permutation = Callable[[int, int, int], State]


def check_felt(value: Any, what: str) -> int:
    """The value if it is a felt; ``ProofShapeError`` otherwise."""
    if type(value) is not int or not 0 <= value < PRIME:
        raise ProofShapeError(what, "an int in 0..2^251 + 17 * 2^192", wire.describe(value))
    return value


def check_felts(values: Any, what: str) -> list[int]:
    """The values as a list if they are a list or tuple of felts; ``ProofShapeError`` otherwise."""
    if type(values) not in (list, tuple):
        raise ProofShapeError(what, "a list of felts", wire.describe(values))
    for i, value in enumerate(values):
        if type(value) is not int or not 0 <= value < PRIME:
            check_felt(value, f"{what}, felt {i}")
    return list(values)


def short_string(text: str) -> int:
    """The felt of a Cairo short string: up to 31 ASCII characters, big-endian.

    ``ValueError`` for anything else, and for a text that begins with NUL, which would be lost.
    """
    ok = type(text) is str and text.isascii() and len(text) <= SHORT_STRING
    if not ok or text.startswith("\0"):
        raise ValueError(
            f"short string: expected up to {SHORT_STRING} ASCII characters, got "
            f"{wire.describe(text)}"
        )
    return int.from_bytes(text.encode("ascii"), "big")


def read_short_string(felt: int) -> str:
    """The text of a short string; ``ProofShapeError`` if the felt is none."""
    check_felt(felt, "short string")
    if felt >> 8 * SHORT_STRING:
        raise ProofShapeError("short string", f"at most {SHORT_STRING} bytes", wire.describe(felt))
    data = felt.to_bytes((felt.bit_length() + 7) // 8, "big")
    if not data.isascii():
        raise ProofShapeError("short string", "ASCII", "other bytes")
    return data.decode("ascii")


def split_u256(value: int) -> tuple[int, int]:
    """Low and high 128 bits, the order of Cairo's ``u256``; ``ValueError`` if out of range."""
    if type(value) is not int or not 0 <= value < U128 * U128:
        raise ValueError(f"u256: expected an int in 0..2^256 - 1, got {wire.describe(value)}")
    return value % U128, value // U128


@dataclass(frozen=True)
class Sponge:
    """A Poseidon sponge between two permutations; compared by value.

    Absorbing pairs of felts one after the other and finishing with the rest gives the hash of all
    of them, so that a hash can be carried from one transaction to the next.

    Attributes:
      state: three felts, zeros at first.
    """

    state: State = (0, 0, 0)

    def absorb(self, felts: Sequence[int]) -> Sponge:
        """The sponge after an even number of felts (``ValueError`` for an odd one)."""
        if len(felts) % 2:
            raise ValueError(f"sponge: expected an even number of felts, got {len(felts)}")
        permute = permutation()
        a, b, c = self.state
        for i in range(0, len(felts), 2):
            a, b, c = permute(a + felts[i], b + felts[i + 1], c)
        return Sponge((a, b, c))

    def finish(self, felts: Sequence[int] = ()) -> int:
        """The hash of all that was absorbed and then these felts, in any number."""
        padded = [*felts, 1]
        if len(padded) % 2:
            padded.append(0)
        return self.absorb(padded).state[0]


def poseidon_hash_many(felts: Sequence[int]) -> int:
    """Starknet's Poseidon hash of a list of felts."""
    return Sponge().finish(felts)


@cache
def permutation() -> Permutation:
    """The fastest Hades permutation that is installed; its inputs may be sums of two felts."""
    return _compiled() or poseidon252.hades


def _compiled() -> Permutation | None:
    """The permutation of ``poseidon_py``, or None if it is absent or not the same function."""
    try:
        from poseidon_py.c_bindings import hades_permutation
    except ImportError:
        return None

    def permute(a: int, b: int, c: int) -> State:
        x, y, z = hades_permutation([a, b, c])
        return x, y, z

    probe = (PRIME - 1, 2 * (PRIME - 1), 3)
    try:
        same = permute(*probe) == poseidon252.hades(*probe)
    except (OSError, StopIteration, AttributeError):  # its library is missing or does not load
        return None
    return permute if same else None
