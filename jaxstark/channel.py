"""The Fiat-Shamir channel on the host, as immutable values.

Every operation returns the next channel instead of changing this one, so a prover or verifier
threads one value through its steps and a state can be compared, kept and replayed. A challenge is
always a whole QM31 element. Source: protocol section 5.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash import poseidon252

POW_PREFIX = 0x12345678
U64_END = 1 << 64


class Channel(Protocol):
    """What prover and verifier use of a channel, whatever its hash."""

    def mix_felts(self, felts: Sequence[QM31]) -> Self:
        """Absorb a list of QM31 elements of canonical ints, in one step."""
        ...

    def mix_u32s(self, words: Sequence[int]) -> Self:
        """Absorb a list of 32-bit words, in one step."""
        ...

    def mix_u64(self, value: int) -> Self:
        """Absorb a 64-bit number."""
        ...

    def mix_root(self, digest: Any) -> Self:
        """Absorb a Merkle root of the same suite."""
        ...

    def draw_felt(self) -> tuple[QM31, Self]:
        """A random QM31 element."""
        ...

    def draw_felts(self, count: int) -> tuple[list[QM31], Self]:
        """``count`` random QM31 elements, two from each draw; differs from single draws."""
        ...

    def draw_u32s(self) -> tuple[list[int], Self]:
        """Random 32-bit words: 8 of Blake2s, 7 of Poseidon252."""
        ...

    def pow_prefix(self, bits: int) -> Any:
        """The digest to which grinding appends nonces."""
        ...

    def pow_ok(self, bits: int, nonce: int) -> bool:
        """Whether the nonce gives ``bits`` trailing zero bits; the nonce is not mixed."""
        ...


def draw_queries(channel: Any, log_domain: int, count: int) -> tuple[list[int], Any]:
    """``count`` positions below ``2^log_domain`` as drawn, not sorted and with duplicates.

    The low bits of the words of successive draws; the rest of the last draw is dropped. Source:
    protocol section 12.
    """
    positions: list[int] = []
    while len(positions) < count:
        words, channel = channel.draw_u32s()
        positions += [word % (1 << log_domain) for word in words]
    return positions[:count], channel


class _FeltDraws:
    """Draws of field elements, shared by the channels, from eight base elements at a time."""

    def _draw_base(self) -> tuple[list[int], Self]:
        raise NotImplementedError

    def draw_felt(self) -> tuple[QM31, Self]:
        """A random QM31 element: the first half of a draw, the other half is lost."""
        words, channel = self._draw_base()
        return QM31(*words[:4]), channel

    def draw_felts(self, count: int) -> tuple[list[QM31], Self]:
        """``count`` random elements, two from each draw; an odd last half is lost."""
        felts: list[QM31] = []
        channel = self
        while len(felts) < count:
            words, channel = channel._draw_base()
            felts += [QM31(*words[:4]), QM31(*words[4:])]
        return felts[:count], channel


def _blake2s(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _check_nonce(value: int) -> None:
    if not 0 <= value < U64_END:
        raise ValueError(f"64-bit number: expected 0..2^64-1, got {value}")


@dataclass(frozen=True)
class Blake2sChannel(_FeltDraws):
    """The channel of the Blake2s suite (protocol section 5).

    Attributes:
      digest: 32 bytes.
      n_draws: draws since the last mix.
    """

    digest: bytes = bytes(32)
    n_draws: int = 0

    def _mix(self, data: bytes) -> Self:
        return type(self)(_blake2s(self.digest + data))

    def mix_felts(self, felts: Sequence[QM31]) -> Self:
        """Absorb 16 bytes for each element."""
        return self._mix(np.array(felts, dtype="<u4").tobytes())

    def mix_u32s(self, words: Sequence[int]) -> Self:
        """Absorb 4 little-endian bytes for each word."""
        return self._mix(np.array(words, dtype="<u4").tobytes())

    def mix_u64(self, value: int) -> Self:
        """Absorb 8 little-endian bytes."""
        _check_nonce(value)
        return self._mix(struct.pack("<Q", value))

    def mix_root(self, digest: bytes) -> Self:
        """Absorb the 32 bytes of a digest."""
        return self._mix(digest)

    def draw_u32s(self) -> tuple[list[int], Self]:
        """Eight random words; the digest stays, the draw counter moves on."""
        block = _blake2s(self.digest + struct.pack("<I", self.n_draws) + b"\0")
        return list(struct.unpack("<8I", block)), type(self)(self.digest, self.n_draws + 1)

    def _draw_base(self) -> tuple[list[int], Self]:
        words, channel = self.draw_u32s()
        # Words 2P and 2P + 1 would make 0 and 1 more likely: the whole draw is thrown away.
        while max(words) >= 2 * P:
            words, channel = channel.draw_u32s()
        return [w % P for w in words], channel

    def pow_prefix(self, bits: int) -> bytes:
        """32 bytes; a nonce is tried by hashing them with its 8 little-endian bytes."""
        head = struct.pack("<4I", POW_PREFIX, 0, 0, 0)
        return _blake2s(head + self.digest + struct.pack("<I", bits))

    def pow_ok(self, bits: int, nonce: int) -> bool:
        """Whether the first 16 bytes, little-endian, end in ``bits`` zero bits."""
        _check_nonce(nonce)
        block = _blake2s(self.pow_prefix(bits) + struct.pack("<Q", nonce))
        return int.from_bytes(block[:16], "little") % (1 << bits) == 0


@dataclass(frozen=True)
class Poseidon252Channel(_FeltDraws):
    """The channel of the Poseidon252 suite (protocol section 5).

    Attributes:
      digest: a Starknet field element.
      n_draws: draws since the last mix.
    """

    digest: int = 0
    n_draws: int = 0

    def mix_felts(self, felts: Sequence[QM31]) -> Self:
        """Absorb one field element for each pair, the words below a leading 1."""
        pairs = [
            poseidon252.pack_words((w for felt in felts[i : i + 2] for w in felt), 31, 1)
            for i in range(0, len(felts), 2)
        ]
        return type(self)(poseidon252.hash_many([self.digest, *pairs]))

    def mix_u32s(self, words: Sequence[int]) -> Self:
        """Absorb seven words in one field element; a partial last group carries its length."""
        packed = []
        for i in range(0, len(words), 7):
            group = words[i : i + 7]
            value = poseidon252.pack_words(group, 32) << (32 * (7 - len(group)))
            packed.append(value + (len(group) << 248) if len(group) < 7 else value)
        return type(self)(poseidon252.hash_many([self.digest, *packed]))

    def mix_u64(self, value: int) -> Self:
        """Absorb the number as one field element."""
        _check_nonce(value)
        return self.mix_root(value)

    def mix_root(self, digest: int) -> Self:
        """Absorb one field element."""
        return type(self)(poseidon252.hash_pair(self.digest, digest))

    def _draw(self) -> tuple[int, Self]:
        value = poseidon252.hades(self.digest, self.n_draws, 3)[0]
        return value, type(self)(self.digest, self.n_draws + 1)

    def draw_u32s(self) -> tuple[list[int], Self]:
        """Seven random words, the low ones first."""
        value, channel = self._draw()
        return [(value >> (32 * i)) & 0xFFFFFFFF for i in range(7)], channel

    def _draw_base(self) -> tuple[list[int], Self]:
        value, channel = self._draw()
        return [((value >> (31 * i)) & P) % P for i in range(8)], channel

    def pow_prefix(self, bits: int) -> int:
        """A field element; a nonce is tried by hashing the pair."""
        return poseidon252.hash_many([POW_PREFIX, self.digest, bits])

    def pow_ok(self, bits: int, nonce: int) -> bool:
        """Whether the low 128 bits end in ``bits`` zero bits."""
        _check_nonce(nonce)
        low = poseidon252.hash_pair(self.pow_prefix(bits), nonce) % (1 << 128)
        return low % (1 << bits) == 0
