"""Sizes of the search for a nonce: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple, Self

from jaxstark.pallas.launch import LANES

# Chunks are aligned to their size, so that the low word of a nonce never wraps inside one.
MAX_CHUNK_LOG = 31


class GrindConfig(NamedTuple):
    """How nonces are cut into launches, blocks and threads.

    Attributes:
      chunk_log: log2 of the nonces of a launch. Half a chunk is wasted on average, and a launch
        and the decision about the next one take the time of some 2^18 hashes or more.
      blocks_log: log2 of the blocks of a launch, at most; about as many as the device runs at
        once, for every thread has the same work.
      unroll: hashes of a thread that may overlap each other; it divides the nonces of a thread,
        or is lowered until it does.
    """

    chunk_log: int = 24
    blocks_log: int = 10
    unroll: int = 1

    @classmethod
    def for_bits(cls, bits: int) -> Self:
        """Chunks for a known difficulty: with ``2^bits`` nonces, 1.6 of them are expected.

        Twice as many would waste half of the hashes, half as many take too many decisions.
        """
        return cls(chunk_log=min(24, max(18, bits)))

    def shape(self) -> tuple[int, int, int]:
        """Blocks of a launch, steps of a thread, and nonces in one step of a thread.

        Raises ``ValueError`` for a chunk that no block fills or in which a nonce could wrap.
        """
        smallest = LANES.bit_length() - 1
        if not smallest <= self.chunk_log <= MAX_CHUNK_LOG:
            raise ValueError(
                f"chunk_log: expected {smallest}..{MAX_CHUNK_LOG}, got {self.chunk_log}"
            )
        if self.blocks_log < 0 or self.unroll < 1 or self.unroll.bit_count() != 1:
            raise ValueError(
                "blocks_log and unroll: expected at least 0 and a power of two, got "
                f"{self.blocks_log} and {self.unroll}"
            )
        blocks_log = min(self.blocks_log, self.chunk_log - smallest)
        each = 1 << (self.chunk_log - smallest - blocks_log)
        unroll = min(self.unroll, each)
        return 1 << blocks_log, each // unroll, unroll
