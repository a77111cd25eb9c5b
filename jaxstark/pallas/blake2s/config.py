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
      rolled: whether it loops over the rounds of a hash, apart from those of leaves.
    """

    tiles: int
    levels: int
    leaves: bool = False
    rolled: bool = False


class TreeConfig(NamedTuple):
    """How a tree is cut into launches.

    Attributes:
      max_tiles_log: log2 of the most tiles per block. More of them save launches, reads of global
        memory and layers with idle lanes, and take 4 KiB of shared memory each.
      max_leaf_tiles_log: the same of a launch that hashes leaves, 8 KiB each.
      blocks_log: log2 of the blocks of a last launch, where tiles may be chosen: enough for every
        multiprocessor, and no more, for each goes through layers with idle lanes.
      top_log: log2 of the most nodes, at least 8, from which one block goes on to the root.
      spare_log: how much larger the top may be where that saves a launch; not if that launch
        hashes leaves, too, which takes more shared memory.
      rolled_log: launches from at most ``2^rolled_log`` nodes loop over the rounds of a hash.
      apart_log: ``2^apart_log`` leaves or more, of several blocks each, are hashed in a launch of
        their own: they are most of the work then, and no lane waits for another.
    """

    max_tiles_log: int = 4
    max_leaf_tiles_log: int = 3
    blocks_log: int = 8
    top_log: int = 8
    spare_log: int = 1
    rolled_log: int = 15
    apart_log: int = 18

    def launches(self, log_leaves: int, *, leaves: bool = False) -> tuple[Launch, ...]:
        """Launches from ``2^log_leaves`` nodes, or from hashing as many leaves, to the top.

        From there on, ``2^top_log`` nodes or fewer, or some more, one block goes on to the root.
        The last launch before the top has few blocks, and goes on through layers that leave lanes
        idle; those before it go on for as long as all lanes are busy.
        """
        plan: list[Launch] = []
        log, top = log_leaves, max(self.top_log, TILE_LEVELS)
        while log > top:
            hashes_leaves = leaves and not plan
            tiles_log = self.max_leaf_tiles_log if hashes_leaves else self.max_tiles_log
            most, left = tiles_log + TILE_LEVELS, log - top
            spare = 0 if hashes_leaves else self.spare_log
            if most < left <= most + spare:
                top, left = log - most, most
            if left <= most:
                levels = left
                wanted = log - TILE_LEVELS - self.blocks_log
                tiles_log = min(tiles_log, max(0, left - TILE_LEVELS, wanted))
            else:  # What the last launch leaves over.
                rest = log - top - self.max_tiles_log - TILE_LEVELS
                levels = min(tiles_log + 1, max(1, rest))
                tiles_log = levels - 1
            plan.append(Launch(1 << tiles_log, levels, rolled=log <= self.rolled_log))
            log -= levels
        if leaves and not plan:
            plan.append(Launch(1, min(log, TILE_LEVELS), rolled=True))
        if leaves:
            plan[0] = plan[0]._replace(leaves=True)
        return tuple(plan)
