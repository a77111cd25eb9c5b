"""Streams of words and digests as felts of 248 bits: the codec under the encoding ``limb248``.

    words     M31, 8 to a felt, the first in the lowest 31 bits; a QM31 element is four words
    digests   Blake2s: the first 31 bytes of each, little-endian, in a felt of its own; then the
              32nd bytes of all of them, 31 to a felt, the first in the lowest 8 bits
              Poseidon252: one felt each, as it is

Lengths are not part of a stream: the reader knows them. A stream has one spelling: words below p,
unused limbs zero. Source: docs/starknet.md, section "Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.starknet.felts import check_felts

WORD_BITS = 31
WORDS = 8  # M31 words in a felt
BYTES = 31  # bytes in a felt
_LANES = 4  # 64-bit lanes of a felt
_TOP = np.uint64(56)  # 248 bits leave this many in the last lane


def word_felts(count: int) -> int:
    """Felts of a stream of so many words."""
    return -(-count // WORDS)


def digest_felts(suite: str, count: int) -> int:
    """Felts of a stream of so many digests of a suite."""
    return count + (-(-count // BYTES) if suite == "blake2s" else 0)


def pack_words(words: np.ndarray) -> list[int]:
    """The felts of words, uint32 ``[n]``; ``ProofShapeError`` if one is p or above."""
    if (words >= P).any():
        raise ProofShapeError("words", "words below 2^31 - 1", "a larger word")
    limbs = np.zeros((word_felts(len(words)), WORDS), np.uint64)
    limbs.reshape(-1)[: len(words)] = words
    lanes = np.zeros((len(limbs), _LANES), np.uint64)
    for i in range(WORDS):
        lane, shift = divmod(WORD_BITS * i, 64)
        lanes[:, lane] |= limbs[:, i] << np.uint64(shift)
        if shift + WORD_BITS > 64:
            lanes[:, lane + 1] |= limbs[:, i] >> np.uint64(64 - shift)
    return _to_ints(lanes)


def unpack_words(felts: Sequence[int], count: int, what: str = "words") -> np.ndarray:
    """The words of a stream, uint32 ``[count]``; ``ProofShapeError`` unless it is canonical."""
    _check_count(felts, word_felts(count), what)
    lanes = _to_lanes(felts, what)
    limbs = np.empty((len(lanes), WORDS), np.uint64)
    for i in range(WORDS):
        lane, shift = divmod(WORD_BITS * i, 64)
        limbs[:, i] = lanes[:, lane] >> np.uint64(shift)
        if shift + WORD_BITS > 64:
            limbs[:, i] |= lanes[:, lane + 1] << np.uint64(64 - shift)
    limbs = limbs.reshape(-1) & np.uint64((1 << WORD_BITS) - 1)
    if (limbs >= P).any():
        raise ProofShapeError(what, "words below 2^31 - 1", "a larger word")
    if limbs[count:].any():
        raise ProofShapeError(what, "unused limbs of 0", "another value")
    return limbs[:count].astype(np.uint32)


def pack_digests(suite: str, digests: Sequence[Any]) -> list[int]:
    """The felts of digests of a suite; ``ProofShapeError`` for anything else among them."""
    wire.digest_codec(suite).check_all(digests, "digests")
    if suite != "blake2s":
        return list(digests)
    felts = [int.from_bytes(digest[:BYTES], "little") for digest in digests]
    rest = bytes(digest[BYTES] for digest in digests)
    pool = range(0, len(rest), BYTES)
    return felts + [int.from_bytes(rest[i : i + BYTES], "little") for i in pool]


def unpack_digests(
    suite: str, felts: Sequence[int], count: int, what: str = "digests"
) -> tuple[Any, ...]:
    """The digests of a stream; ``ProofShapeError`` unless it is canonical."""
    _check_count(felts, digest_felts(suite, count), what)
    if suite != "blake2s":
        return tuple(check_felts(felts, what))
    data = _to_lanes(felts, what).view(np.uint8).reshape(-1, 8 * _LANES)[:, :BYTES]
    pool = data[count:].reshape(-1)
    if pool[count:].any():
        raise ProofShapeError(what, "unused bytes of 0", "another value")
    whole = np.concatenate([data[:count], pool[:count, None]], axis=1).tobytes()
    size = wire.HASH_BYTES
    return tuple(whole[i : i + size] for i in range(0, count * size, size))


def _check_count(felts: Sequence[int], expected: int, what: str) -> None:
    if len(felts) != expected:
        raise ProofShapeError(what, f"{expected} felts", len(felts))


def _to_ints(lanes: np.ndarray) -> list[int]:
    """Ints of little-endian lanes ``[n, 4]``."""
    size = 8 * _LANES
    data = lanes.astype("<u8").tobytes()
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


def _to_lanes(felts: Sequence[int], what: str) -> np.ndarray:
    """Little-endian lanes, uint64 ``[n, 4]``, of felts below 2^248."""
    felts = check_felts(list(felts), what)
    data = b"".join([felt.to_bytes(8 * _LANES, "little") for felt in felts])
    lanes = np.frombuffer(data, "<u8").reshape(-1, _LANES)
    if (lanes[:, -1] >> _TOP).any():
        raise ProofShapeError(what, "felts below 2^248", "a larger felt")
    return lanes
