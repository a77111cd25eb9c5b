"""The hashes of a transcript that stays on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxstark.pallas.channel import api

Array = Any


@dataclass(frozen=True)
class DeviceHashes:
    """BLAKE2s kernels, one launch for each step; see ``transcript.Hashes``."""

    interpret: bool = False

    @property
    def in_kernels(self) -> bool:
        """See ``transcript.Hashes``."""
        return True

    def hash_words(self, parts: Sequence[Array]) -> Array:
        """Digest of words."""
        return api.hash_words(_vectors(parts), interpret=self.interpret)

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[Array, Array]:
        """Absorb and draw in one launch."""
        return api.mix_and_draw(digest, _vectors(parts), draws, interpret=self.interpret)

    def mix_and_prefix(
        self, digest: Array, parts: Sequence[Array], bits: int
    ) -> tuple[Array, Array]:
        """Absorb and hash for a proof of work in one launch."""
        return api.mix_and_prefix(digest, _vectors(parts), bits, interpret=self.interpret)

    def mix_and_draw_blocks(self, digest: Array, parts: Sequence[Array], count: int) -> Array:
        """Absorb and draw words in one launch."""
        return api.mix_and_draw_blocks(digest, _vectors(parts), count, interpret=self.interpret)


def _vectors(parts: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(part.reshape(-1) for part in parts)
