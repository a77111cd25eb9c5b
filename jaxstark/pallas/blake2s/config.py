"""Sizes of the BLAKE2s kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES

# Leaves below which a tree does not fill one block of the last launch.
MIN_LEAVES = 2 * LANES
# Levels that one block computes from 256 nodes down to one.
SUBTREE_LEVELS = (2 * LANES).bit_length() - 1


class LeafConfig(NamedTuple):
    """How leaves are hashed.

    Attributes:
      hashes_per_thread: independent hashes in one thread, a power of two; halved until it divides
        the number of lanes.
    """

    hashes_per_thread: int = 1

    def lanes(self, size: int) -> int:
        """Lanes of a block, for ``size`` lanes in all."""
        lanes = LANES * self.hashes_per_thread
        while size % lanes:
            lanes //= 2
        return lanes


class Launch(NamedTuple):
    """One launch of a tree kernel.

    Attributes:
      tiles: children of a block in units of 256, a power of two.
      levels: layers that the launch computes: ``log2(tiles) + 1``, all lanes busy, or more than 1
        for one tile, where ever more lanes repeat each other's work.
    """

    tiles: int
    levels: int

    @property
    def narrow(self) -> bool:
        """Whether lanes repeat each other's work."""
        return self.levels > self.tiles.bit_length()


class TreeConfig(NamedTuple):
    """How a tree is cut into launches.

    Attributes:
      max_tiles_log: log2 of the most tiles per block. More of them save launches and reads of
        global memory, and take 4 KiB of shared memory each.
      subtree_log: layers of at most ``2^subtree_log`` nodes have too few blocks for latency to
        hide, so there each block goes on through levels that leave lanes idle.
    """

    max_tiles_log: int = 2
    subtree_log: int = 16

    def launches(self, log_leaves: int) -> tuple[Launch, ...]:
        """Launches from ``2^log_leaves`` leaves to the root; 256 nodes go into the last one."""
        plan = []
        log, last = log_leaves, SUBTREE_LEVELS
        while log > last:
            if log > max(self.subtree_log, last):
                levels = min(self.max_tiles_log + 1, log - max(self.subtree_log, last))
                plan.append(Launch(1 << (levels - 1), levels))
            else:
                plan.append(Launch(1, min(SUBTREE_LEVELS, log - last)))
            log -= plan[-1].levels
        return (*plan, Launch(1, SUBTREE_LEVELS))
