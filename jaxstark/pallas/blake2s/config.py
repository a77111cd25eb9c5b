"""Sizes of the BLAKE2s kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES

# Levels that one block computes from a tile of 256 nodes down to one.
TILE_LEVELS = (2 * LANES).bit_length() - 1


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
      tiles: leaves or nodes that a block starts from, in units of 256, a power of two.
      levels: layers that the launch computes from them, at most ``log2(tiles) + 8``. Those above
        the first ``log2(tiles) + 1`` leave ever more lanes without a node.
      leaves: whether it hashes the leaves first.
      rolled: whether levels beyond the wide ones loop over the rounds of a hash.
    """

    tiles: int
    levels: int
    leaves: bool = False
    rolled: bool = False

    @property
    def wide(self) -> int:
        """Layers that may keep all lanes busy."""
        return self.tiles.bit_length()


class TreeConfig(NamedTuple):
    """How a tree is cut into launches.

    Attributes:
      max_tiles_log: log2 of the most tiles per block. More of them save launches and reads of
        global memory, and take 4 KiB of shared memory each, or 8 KiB if leaves are hashed too.
      subtree_log: layers of at most ``2^subtree_log`` nodes have too few blocks for latency to
        hide, so there each block goes on through levels that leave lanes idle.
      top_log: log2 of the most nodes, at least 8, from which one block goes on to the root.
      fuse_log: trees of at most ``2^fuse_log`` leaves hash them in their first launch.
      fuse_values_log: the same for FRI layers, whose leaves are one block.
      rolled_log: launches from at most ``2^rolled_log`` nodes loop over the rounds of a hash.
    """

    max_tiles_log: int = 3
    subtree_log: int = 17
    top_log: int = 9
    fuse_log: int = 16
    fuse_values_log: int = 19
    rolled_log: int = 16

    def launches(self, log_leaves: int, *, leaves: bool = False) -> tuple[Launch, ...]:
        """Launches from ``2^log_leaves`` nodes, or from hashing as many leaves, to the top.

        From there on, ``2^top_log`` nodes or fewer, one block goes on to the root.
        """
        plan: list[Launch] = []
        log, top = log_leaves, max(self.top_log, TILE_LEVELS)
        while log > top:
            rolled = log <= self.rolled_log
            if log > max(self.subtree_log, top):
                levels = min(self.max_tiles_log + 1, log - max(self.subtree_log, top))
                plan.append(Launch(1 << (levels - 1), levels, rolled=rolled))
            else:
                plan.append(Launch(1, min(TILE_LEVELS, log - TILE_LEVELS), rolled=rolled))
            log -= plan[-1].levels
        if leaves and not plan:
            levels = min(log, TILE_LEVELS)
            plan.append(Launch(1, levels, rolled=True))
        if leaves:
            plan[0] = plan[0]._replace(leaves=True)
        return tuple(plan)
