"""Poseidon over the Starknet field in plain Python integers (host, verification only).

The Hades permutation of width 3 with 8 full and 83 partial rounds, the hash of a list, and the
packing of M31 words into field elements. Field elements are ints in ``0..F252-1``.
Source: protocol sections 3 and 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

F252 = 2**251 + 17 * 2**192 + 1
_FULL_ROUNDS, _PARTIAL_ROUNDS = 8, 83
_HALF = _FULL_ROUNDS // 2
_PACK = 8  # M31 words in one field element
_LENGTH_SHIFT = 248  # a partial group carries its length above its words

State = tuple[int, int, int]


def _mix(a: int, b: int, c: int) -> State:
    """The product by the matrix [[3, 1, 1], [1, -1, 1], [1, 1, -2]], not reduced."""
    total = a + b + c
    return total + 2 * a, total - 2 * b, total - 3 * c


def _round_constants() -> tuple[list[State], list[int], list[State]]:
    """Constants of the first full rounds, the partial rounds and the last full rounds.

    A constant on one of the two linear lanes of a partial round commutes with the S-box, so it
    is carried into the next round: one constant for each partial round remains.
    """
    keys = [
        int.from_bytes(hashlib.sha256(b"Hades%d" % i).digest(), "big") % F252
        for i in range(3 * (_FULL_ROUNDS + _PARTIAL_ROUNDS))
    ]
    rounds: list[State] = [(keys[i], keys[i + 1], keys[i + 2]) for i in range(0, len(keys), 3)]
    partial: list[int] = []
    carry: State = (0, 0, 0)
    for i in range(_HALF, _HALF + _PARTIAL_ROUNDS):
        a, b, c = (x + y for x, y in zip(rounds[i], carry, strict=True))
        partial.append(c % F252)
        carry = _mix(a % F252, b % F252, 0)
    last = rounds[_HALF + _PARTIAL_ROUNDS :]
    a, b, c = ((x + y) % F252 for x, y in zip(last[0], carry, strict=True))
    return rounds[:_HALF], partial, [(a, b, c), *last[1:]]


_FIRST, _PARTIAL, _LAST = _round_constants()


def _full(a: int, b: int, c: int, keys: Iterable[State]) -> State:
    for k0, k1, k2 in keys:
        a, b, c = a + k0, b + k1, c + k2
        a = a * a % F252 * a % F252
        b = b * b % F252 * b % F252
        c = c * c % F252 * c % F252
        a, b, c = _mix(a, b, c)
    return a, b, c


def hades(a: int, b: int, c: int) -> State:
    """The permutation."""
    a, b, c = _full(a, b, c, _FIRST)
    # The linear lanes grow by fewer than 3 bits a round, so they are reduced only now and then.
    for start in range(0, _PARTIAL_ROUNDS, 16):
        a, b = a % F252, b % F252
        for key in _PARTIAL[start : start + 16]:
            c += key
            c = c * c % F252 * c % F252
            total = a + b + c
            a, b, c = total + 2 * a, total - 2 * b, (total - 3 * c) % F252
    a, b, c = _full(a % F252, b % F252, c, _LAST)
    return a % F252, b % F252, c % F252


def hash_pair(left: int, right: int) -> int:
    """The hash of two elements: Merkle nodes and the steps of the channel."""
    return hades(left, right, 2)[0]


def hash_many(values: Sequence[int]) -> int:
    """The sponge hash of a list, with rate 2 and padding ``1, 0...``."""
    padded = [*values, 1]
    if len(padded) % 2:
        padded.append(0)
    state = (0, 0, 0)
    for i in range(0, len(padded), 2):
        state = hades(state[0] + padded[i], state[1] + padded[i + 1], state[2])
    return state[0]


def pack_words(words: Iterable[int], bits: int, start: int = 0) -> int:
    """Words of ``bits`` bits as one integer, the first word most significant after ``start``."""
    for word in words:
        start = (start << bits) + word
    return start


def hash_words(words: Sequence[int]) -> int:
    """The hash of a row of M31 words: a Merkle leaf."""
    packed = []
    for i in range(0, len(words), _PACK):
        group = words[i : i + _PACK]
        value = pack_words(group, 31)
        packed.append(value + (len(group) << _LENGTH_SHIFT) if len(group) < _PACK else value)
    return hash_many(packed)
