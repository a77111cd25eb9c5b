"""BLAKE2s on the GPU: leaf hashes and Merkle trees, bit for bit those of ``jaxstark.merkle``.

These functions run the kernels or raise; they never fall back to XLA. A block hashes 128 lanes at
once, so they take at least 128 lanes (``absorb``, ``leaves``) or 256 leaves (``levels``,
``commit``). ``fits`` tells beforehand: a caller with a smaller tree uses ``jaxstark.merkle``,
which is then no slower. ``jaxstark.pallas.launch.supported`` tells whether the device can.

``interpret=True`` runs the kernels on a CPU, slowly, for tests. Source: protocol sections 3, 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.lifting import lift
from jaxstark.pallas.blake2s import mosaic_gpu
from jaxstark.pallas.blake2s.config import MIN_LEAVES, LeafConfig, TreeConfig
from jaxstark.pallas.blake2s.mosaic_gpu import Words
from jaxstark.pallas.launch import LANES

Array = Any


def fits(leaves: int) -> bool:
    """Whether a tree with so many leaves can be built by ``commit``."""
    return leaves >= MIN_LEAVES and leaves.bit_count() == 1


@partial(jax.jit, static_argnames=("words", "offset", "final", "config", "interpret"))
def absorb(
    arrays: Sequence[Array],
    state: Array | None = None,
    *,
    words: tuple[Words, ...] | None = None,
    offset: int = 0,
    final: bool = True,
    config: LeafConfig = LeafConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """The chaining state of every lane after its next message words, uint32 ``[8, n]``.

    Args:
      arrays: uint32 ``[w_i, n]`` each, n a multiple of 128.
      state: result of the call before, uint32 ``[8, n]``; None at the start of the message.
      words: which rows make up the words, in order; all rows of all arrays if None.
      offset: bytes absorbed before, a multiple of 64.
      final: whether the message ends here: the result is then the digest. Otherwise the words
        must be whole blocks of 16.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Raises ``ValueError`` for other shapes and lengths.
    """
    arrays = tuple(arrays)
    if not arrays:
        raise ValueError("arrays: expected at least one, got none")
    lanes = arrays[0].shape[-1]
    for name, array in (*(("array", a) for a in arrays), ("state", state)):
        if array is not None:
            _check(name, array, lanes, DIGEST_WORDS if name == "state" else None)
    if lanes == 0 or lanes % LANES:
        raise ValueError(f"lanes: expected a multiple of {LANES}, got {lanes}")
    if words is None:
        words = tuple(Words(i, 0, a.shape[0]) for i, a in enumerate(arrays))
    for w in words:
        if not (0 <= w.source < len(arrays) and 0 <= w.start < w.stop <= len(arrays[w.source])):
            raise ValueError(f"words: expected rows of the arrays, got {w}")
    count = sum(w.stop - w.start for w in words)
    if not count or (not final and count % BLOCK_WORDS):
        expected = "at least one" if final else f"a multiple of {BLOCK_WORDS}"
        raise ValueError(f"number of words: expected {expected}, got {count}")
    if offset < 0 or offset % BLOCK_BYTES or (offset > 0) != (state is not None):
        raise ValueError(
            f"offset: expected a multiple of {BLOCK_BYTES}, 0 without a state, got {offset}"
        )
    return mosaic_gpu.absorb(
        arrays, words, state, offset=offset, final=final, config=config, interpret=interpret
    )


def leaves(
    groups: Sequence[Array],
    *,
    config: LeafConfig = LeafConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """Leaf digests of columns of several sizes, uint32 ``[8, n]``.

    Args:
      groups: uint32 ``[c, 2^k]`` per size in ascending size, in storage order; the largest has
        at least 128 rows.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Each block is absorbed at the size of its last column; the state, and words of a block that
    reaches into the next size, are lifted. Sizes below 128 rows are lifted to 128 first, which
    changes no leaf. Raises ``ValueError`` for groups of wrong shape, type or order.
    """
    groups = tuple(groups)
    sizes = _check_groups(groups)
    state: Array | None = None
    pending: list[Array] = []  # words of a block that is not full yet
    offset = 0
    for i, group in enumerate(groups):
        final = i == len(groups) - 1
        log_size = max(sizes[i], LANES.bit_length() - 1)
        arrays = [lift(a, log_size) if a.shape[1] < 1 << log_size else a for a in pending]
        arrays.append(lift(group, log_size) if sizes[i] < log_size else group)
        count = sum(a.shape[0] for a in arrays)
        rest = 0 if final else count % BLOCK_WORDS
        if count == rest:
            pending = arrays
            continue
        rows = group.shape[0]
        words = [Words(j, 0, a.shape[0]) for j, a in enumerate(arrays[:-1])]
        words.append(Words(len(arrays) - 1, 0, rows - rest))
        if state is not None and state.shape[1] < 1 << log_size:
            state = lift(state, log_size)
        state = absorb(
            tuple(arrays),
            state,
            words=tuple(words),
            offset=offset,
            final=final,
            config=config,
            interpret=interpret,
        )
        offset += 4 * (count - rest)
        pending = [arrays[-1][rows - rest :]] if rest else []
    return state


def levels(
    digests: Array,
    *,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, ...]:
    """All layers of a tree from its leaf digests, uint32 ``[8, 2^k]``, root first, leaves last.

    Raises ``ValueError`` for fewer than 256 leaves: see ``fits``.
    """
    size = digests.shape[-1]
    _check("digests", digests, size, DIGEST_WORDS)
    if not fits(size):
        raise ValueError(f"leaves: expected a power of two from {MIN_LEAVES}, got {size}")
    # The leaves are no result of the compiled part, which would copy them.
    return (*_inner_levels(digests, config, interpret), digests)


@partial(jax.jit, static_argnames=("config", "interpret"))
def _inner_levels(digests: Array, config: TreeConfig, interpret: bool) -> list[Array]:
    """The layers above the leaves, root first."""
    out = [digests]
    for plan in config.launches(digests.shape[1].bit_length() - 1):
        out += mosaic_gpu.tree_levels(out[-1], plan, interpret=interpret)
    return out[:0:-1]


def commit(groups: Sequence[Array], *, interpret: bool = False) -> tuple[Array, ...]:
    """The layers of the tree over columns of several sizes: ``levels`` of ``MerkleTree``.

    Takes what ``leaves`` takes, with at least 256 rows in the largest group. Raises ``ValueError``
    otherwise.
    """
    _check_groups(groups)
    if not fits(groups[-1].shape[1]):
        raise ValueError(f"leaves: expected at least {MIN_LEAVES}, got {groups[-1].shape[1]}")
    return levels(leaves(groups, interpret=interpret), interpret=interpret)


def _check(name: str, array: Array, lanes: int, rows: int | None) -> None:
    shape = tuple(array.shape)
    good = len(shape) == 2 and shape[1] == lanes and rows in (None, shape[0])
    if not good or array.dtype != np.uint32:
        expected = f"[{'w' if rows is None else rows}, {lanes}]"
        raise ValueError(f"{name}: expected uint32 {expected}, got {array.dtype} {shape}")


def _check_groups(groups: Sequence[Array]) -> list[int]:
    """Log sizes of the groups."""
    sizes = []
    for group in groups:
        shape = tuple(group.shape)
        good = len(shape) == 2 and shape[0] > 0 and shape[1].bit_count() == 1
        if not good or group.dtype != np.uint32:
            raise ValueError(f"group: expected uint32 [columns, 2^k], got {group.dtype} {shape}")
        sizes.append(shape[1].bit_length() - 1)
    ascending = all(a < b for a, b in zip(sizes, sizes[1:], strict=False))
    if not sizes or not ascending or (sizes[1:] and not sizes[0]) or 1 << sizes[-1] < LANES:
        raise ValueError(
            f"log sizes of groups: expected ascending ones, the last one at least "
            f"{LANES.bit_length() - 1}, got {sizes}"
        )
    return sizes
