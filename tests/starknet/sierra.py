"""Reads the libfuncs out of a compiled Sierra class, without the compiler.

The felts of ``sierra_program`` are two versions of three numbers, and then the program, compressed:
a list of distinct words and, several to a felt, indices into it. Decompressed, it begins with its
type declarations and its libfunc declarations. Source: crate cairo-lang-starknet-classes 2.16.0,
modules felt252_serde and felt252_vec_compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jaxstark.starknet.felts import PRIME

ARGUMENT_KINDS = range(6)  # of generic arguments; one word follows each


def versions(sierra: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Versions of Sierra and of the compiler."""
    felts = [int(felt, 16) for felt in sierra["sierra_program"][:6]]
    return tuple(felts[:3]), tuple(felts[3:])


def decompress(felts: list[int]) -> list[int]:
    """The words of a program."""
    size, padding, *rest = felts
    words, count, packed = rest[:size], rest[size], rest[size + 1 :]
    base = size + padding
    if len(words) != size or base < 256 or base & (base - 1):
        raise ValueError("not a compressed program")
    per_felt, bound = 0, base
    while bound < PRIME:
        bound *= base
        per_felt += 1
    out: list[int] = []
    for felt in packed:
        for _ in range(min(per_felt, count - len(out))):
            felt, index = divmod(felt, base)
            out.append(words[index])
    if len(out) != count:
        raise ValueError("not a whole program")
    return out


def libfuncs(sierra: dict[str, Any], long_name: Callable[[int], str | None]) -> set[str]:
    """Names of the generic libfuncs that a class uses.

    ``long_name`` gives the name of the keccak hash that stands for a name of over 31 characters.
    """
    words = iter(decompress([int(felt, 16) for felt in sierra["sierra_program"][6:]]))
    for _ in range(next(words)):  # types
        next(words)
        skip_arguments(words, next(words) % 2**128)
    names = set()
    for _ in range(next(words)):
        identifier = next(words)
        names.add(long_name(identifier) or text(identifier))
        skip_arguments(words, next(words))
    return names


def text(word: int) -> str:
    return word.to_bytes((word.bit_length() + 7) // 8, "big").decode("ascii")


def skip_arguments(words: Iterator[int], count: int) -> None:
    for _ in range(count):
        if next(words) not in ARGUMENT_KINDS:
            raise ValueError("not a generic argument")
        next(words)
