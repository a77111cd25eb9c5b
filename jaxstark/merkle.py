"""Merkle trees of the prover: commit to columns of several sizes, gather openings.

A leaf hashes one row of all columns, where a smaller column shows its lift; leaves that share the
small columns share that part of the hash, so that each size group is absorbed at its own size and
the chaining state is lifted upward. Source: protocol sections 3, 4 and 12 (packing).

Two drivers give the same digests. Arrays on a CPU are cut into chunks of fixed width for two
compiled programs (``blake2s.cpu_compressor``), with NumPy in between, so that a new size compiles
nothing. Arrays on another device, and tracers, go through one pure function per tree; XLA for CPUs
takes a minute to compile its loops, so leave trees out of programs that are jitted for a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS, NARROW, WIDE
from jaxstark.hash.suite import BLAKE2S

# Layers of at most this many nodes cost less one by one than as a mostly empty narrow program.
_FEW = 256
# Lanes per step of the pure form, for whole layers and for ever smaller parts of a tree.
_STEP_LANES = (1 << 16, 1 << 12, 1 << 8)

Array = Any  # NumPy or JAX


class MerkleTree(NamedTuple):
    """All layers of a tree; a pytree.

    Attributes:
      levels: ``levels[j]`` holds the ``2^j`` nodes at depth j, uint32 ``[8, 2^j]``; ``levels[0]``
        is the root and the last one the leaves. NumPy arrays if the columns were on a CPU.
    """

    levels: tuple[Array, ...]

    @property
    def height(self) -> int:
        """Layers above the leaves."""
        return len(self.levels) - 1


class _Block(NamedTuple):
    """One block of the leaf message: ``(group, first row, end row)`` pieces, then zeros."""

    pieces: tuple[tuple[int, int, int], ...]
    counter: int
    final: bool


class _Run(NamedTuple):
    """Blocks that are absorbed at one size."""

    log_size: int
    blocks: tuple[_Block, ...]


def commit(groups: Sequence[Array]) -> MerkleTree:
    """The tree over columns of several sizes.

    Args:
      groups: uint32 ``[c, 2^k]`` per size in ascending size, in storage order.

    Returns the tree of height k of the largest group; without groups, the empty tree, whose root
    is BLAKE2s of nothing. Raises ``ValueError`` for groups of wrong shape, type or order.
    """
    sizes = _check(groups)
    if not groups:
        return MerkleTree((_from_digests([BLAKE2S.empty_root]),))
    if any(isinstance(g, Tracer) for g in groups):
        return _commit_pure(tuple(groups))
    if all(map(on_cpu, groups)):
        return _commit_cpu([np.asarray(g) for g in groups], sizes)
    return _commit_jit(tuple(groups))


def commit_values(values: Array, pack_log: int) -> MerkleTree:
    """The tree of an FRI layer: a leaf is ``2^pack_log`` consecutive values, value by value.

    ``values``: QM31 values, uint32 ``[4, N]``. Raises ``ValueError`` if a leaf does not fit.
    """
    degree, size = values.shape
    if degree != 4 or pack_log < 0 or size >> pack_log == 0:
        raise ValueError(
            f"values: expected [4, N] with N at least 2^{pack_log}, got {tuple(values.shape)}"
        )
    if on_cpu(values):
        values = np.asarray(values)
    words = values.reshape(4, size >> pack_log, 1 << pack_log).transpose(2, 0, 1)
    return commit([words.reshape(4 << pack_log, size >> pack_log)])


def root_bytes(tree: MerkleTree) -> bytes:
    """The root as 32 bytes."""
    return np.asarray(tree.levels[0])[:, 0].astype("<u4").tobytes()


def gather_siblings(tree: MerkleTree, positions: Array) -> Array:
    """The siblings along the paths of leaf positions, int32 ``[q]``; uint32 ``[height, 8, q]``.

    Index 0 is the leaf layer. Duplicate positions are welcome, so that q can be fixed and a
    second proof of a shape compiles nothing.
    """
    if all(isinstance(level, np.ndarray) for level in tree.levels) and on_cpu(positions):
        return siblings(np, tree.levels, np.asarray(positions))
    return _siblings_jit(tree.levels, positions)


def witness(siblings: np.ndarray, positions: np.ndarray) -> list[bytes]:
    """The least hashes that lead from the leaves at ``positions`` to the root, in wire order.

    From the leaf layer upward, by ascending position: the sibling of every node that is known,
    unless it is known too. ``siblings``: uint32 ``[height, 8, q]`` of ``gather_siblings``.
    """
    known, first = np.unique(np.asarray(positions), return_index=True)
    if not known.size:
        return []
    levels, columns = missing_siblings(known, len(siblings))
    data = np.ascontiguousarray(np.asarray(siblings)[levels, :, first[columns]], "<u4").tobytes()
    return [data[i : i + 32] for i in range(0, len(data), 32)]


def missing_siblings(positions: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Which siblings a witness has: ``(levels from the leaves up, indices of positions)``.

    ``positions``: distinct leaves in ascending order. The result is in wire order.
    """
    nodes = positions[None, :].astype(np.int64) >> np.arange(height)[:, None]
    parents = nodes >> 1
    # Nodes with one parent stand together: the first and the last of them differ if both are known.
    first = np.ones(nodes.shape, bool)
    first[:, 1:] = parents[:, 1:] != parents[:, :-1]
    last = np.ones(nodes.shape, bool)
    last[:, :-1] = first[:, 1:]
    levels, columns = np.nonzero(first)
    missing = nodes[first] == nodes[last]
    return levels[missing], columns[missing]


def siblings(xp: Any, levels: Sequence[Array], positions: Array) -> Array:
    """Siblings on the paths from the last of some levels, uint32 ``[height, 8, q]``; ``xp``: NumPy
    or ``jax.numpy``, whichever the arrays are of. NumPy raises ``IndexError`` for other positions.
    """
    mode = "raise" if xp is np else "clip"
    layers = [
        xp.take(level, (positions >> up) ^ 1, axis=-1, mode=mode)
        for up, level in enumerate(reversed(levels[1:]))
    ]
    if not layers:
        return xp.zeros((0, DIGEST_WORDS, positions.shape[0]), np.uint32)
    return xp.stack(layers)


_siblings_jit = jax.jit(partial(siblings, jnp))


def _check(groups: Sequence[Array]) -> list[int]:
    """Log sizes of the groups."""
    sizes = []
    for group in groups:
        shape = tuple(group.shape)
        good = len(shape) == 2 and shape[0] > 0 and shape[1].bit_count() == 1
        if not good or group.dtype != np.uint32:
            raise ValueError(f"group: expected uint32 [columns, 2^k], got {group.dtype} {shape}")
        sizes.append(shape[1].bit_length() - 1)
    if any(a >= b for a, b in zip(sizes, sizes[1:], strict=False)) or (sizes[1:] and not sizes[0]):
        raise ValueError(f"log sizes of groups: expected ascending ones above 0, got {sizes}")
    return sizes


def on_cpu(array: Array) -> bool:
    """Whether an array is in the memory of the CPU; traced arrays are nowhere yet."""
    if isinstance(array, Tracer):
        return False
    return not isinstance(array, jax.Array) or all(d.platform == "cpu" for d in array.devices())


def _plan(widths: Sequence[int], sizes: Sequence[int]) -> list[_Run]:
    """Cut the leaf message into blocks; a block has the size of its last word's column."""
    rows = [(g, r) for g, width in enumerate(widths) for r in range(width)]
    runs: list[_Run] = []
    for start in range(0, len(rows), BLOCK_WORDS):
        part = rows[start : start + BLOCK_WORDS]
        pieces = []
        for g in dict.fromkeys(g for g, _ in part):
            mine = [r for h, r in part if h == g]
            pieces.append((g, mine[0], mine[-1] + 1))
        end = start + len(part)
        block = _Block(tuple(pieces), 4 * end, end == len(rows))
        size = sizes[part[-1][0]]
        if runs and runs[-1].log_size == size:
            runs[-1] = _Run(size, (*runs[-1].blocks, block))
        else:
            runs.append(_Run(size, (block,)))
    return runs


def _lift(rows: Array, up: int) -> Array:
    """Rows ``[r, n]`` as ``[r, n 2^up]``: each pair of neighbours is repeated ``2^up`` times."""
    count, size = rows.shape
    if not up:
        return rows
    xp = np if isinstance(rows, np.ndarray) else jnp
    pairs = rows.reshape(count, size // 2, 1, 2)
    return xp.broadcast_to(pairs, (count, size // 2, 1 << up, 2)).reshape(count, size << up)


# The driver for a CPU.


def _commit_cpu(groups: Sequence[np.ndarray], sizes: Sequence[int]) -> MerkleTree:
    if sizes[-1] <= _FEW.bit_length() - 1:
        rows = np.concatenate([_lift(g, sizes[-1] - k) for g, k in zip(groups, sizes, strict=True)])
        return MerkleTree(_few_levels(BLAKE2S.leaves(rows.T)))
    state: Any = None
    for run in _plan([len(g) for g in groups], sizes):
        state = _absorb(groups, run, state)
    levels = [state]
    while levels[0].shape[1] > _FEW:
        levels.insert(0, _parents(levels[0]))
    digests = np.ascontiguousarray(levels[0].T, "<u4").tobytes()
    top = _few_levels([digests[i : i + 32] for i in range(0, len(digests), 32)])
    return MerkleTree((*top, *levels[1:]))


def _absorb(groups: Sequence[np.ndarray], run: _Run, state: np.ndarray | None) -> np.ndarray:
    """The chaining state, uint32 ``[8, 2^run.log_size]``, after the blocks of a run."""

    def chunk(compress: Any, lanes: int, start: int, stop: int) -> Array:
        message = blake2s.message_buffer(lanes)
        new = None
        if state is not None:
            new = np.empty((DIGEST_WORDS, lanes), np.uint32)
            new[:, : stop - start] = _lifted(state, run.log_size, start, stop)
        for block in run.blocks:
            row = 0
            for g, first, end in block.pieces:
                piece = _lifted(groups[g][first:end], run.log_size, start, stop)
                message[row : row + end - first, : stop - start] = piece
                row += end - first
            message[row:] = 0
            # The program may read the message until its result is there.
            new = compress(new, message, block.counter, block.final).block_until_ready()
        return new

    return _by_chunks(1 << run.log_size, chunk)


def _parents(children: np.ndarray) -> np.ndarray:
    """The layer above ``children``, uint32 ``[8, 2 n]``."""

    def chunk(compress: Any, lanes: int, start: int, stop: int) -> Array:
        message = blake2s.message_buffer(lanes)
        message[:DIGEST_WORDS, : stop - start] = children[:, 2 * start : 2 * stop : 2]
        message[DIGEST_WORDS:, : stop - start] = children[:, 2 * start + 1 : 2 * stop : 2]
        return compress(None, message, blake2s.BLOCK_BYTES, True)

    return _by_chunks(children.shape[1] // 2, chunk)


def _by_chunks(size: int, chunk: Callable[[Any, int, int, int], Array]) -> np.ndarray:
    """Fill uint32 ``[8, size]`` by chunks, on all cores."""
    lanes = WIDE if size >= WIDE else NARROW
    compress = blake2s.cpu_compressor(lanes)
    out = np.empty((DIGEST_WORDS, size), np.uint32)

    def fill(start: int) -> None:
        stop = min(start + lanes, size)
        out[:, start:stop] = np.asarray(chunk(compress, lanes, start, stop))[:, : stop - start]

    starts = range(0, size, lanes)
    if len(starts) == 1:
        fill(0)
    else:
        list(blake2s.workers().map(fill, starts))
    return out


def _lifted(rows: np.ndarray, log_size: int, start: int, stop: int) -> np.ndarray:
    """Slots ``start..stop`` of rows lifted to ``2^log_size``; ``stop - start`` is a power of 2."""
    up = log_size - (rows.shape[1].bit_length() - 1)
    if not up:
        return rows[:, start:stop]
    # A chunk inside one repeated pair repeats that pair as often as it takes.
    repeat = min(up, (stop - start).bit_length() - 2)
    first = start >> (up + 1) << 1
    return _lift(rows[:, first : first + ((stop - start) >> repeat)], repeat)


def _few_levels(digests: list[bytes]) -> tuple[np.ndarray, ...]:
    """The levels from the root down to the given layer."""
    levels = [_from_digests(digests)]
    while len(digests) > 1:
        digests = list(map(BLAKE2S.node, digests[::2], digests[1::2]))
        levels.insert(0, _from_digests(digests))
    return tuple(levels)


def _from_digests(digests: list[bytes]) -> np.ndarray:
    words = np.frombuffer(b"".join(digests), "<u4").reshape(-1, DIGEST_WORDS)
    return np.ascontiguousarray(words.T, np.uint32)


# The pure form, for other devices and for callers that trace.


def _commit_pure(groups: tuple[Array, ...]) -> MerkleTree:
    sizes = [g.shape[1].bit_length() - 1 for g in groups]
    state: Any = None
    for run in _plan([g.shape[0] for g in groups], sizes):
        parts = [
            _lift(groups[g][first:end], run.log_size - sizes[g])
            for block in run.blocks
            for g, first, end in block.pieces
        ]
        pad = BLOCK_WORDS * len(run.blocks) - sum(p.shape[0] for p in parts)
        parts.append(jnp.zeros((pad, 1 << run.log_size), np.uint32))
        blocks = jnp.concatenate(parts).reshape(-1, BLOCK_WORDS, 1 << run.log_size)
        if state is not None:
            state = _lift(state, run.log_size - (state.shape[1].bit_length() - 1))
        state = _absorb_pure(blocks, run, state)
    return MerkleTree(_levels_pure(state))


_commit_jit = jax.jit(_commit_pure)


def _compress(state: Array, message: Array, counter: Any, final: Any) -> Array:
    # The barrier keeps slices and transpositions out of the rounds.
    state, message = lax.optimization_barrier((state, message))
    words = tuple(state), tuple(message)
    return jnp.stack(blake2s.compress(*words, counter, final, blake2s.under_xla()))


def _initial(lanes: int) -> Array:
    return jnp.stack(blake2s.initial_state(jnp.zeros(lanes, np.uint32)))


def _absorb_pure(blocks: Array, run: _Run, state: Array | None) -> Array:
    size = blocks.shape[2]
    lanes = min(size, _STEP_LANES[0])
    counters = jnp.asarray([b.counter for b in run.blocks], np.uint32)
    finals = jnp.asarray([0xFFFFFFFF if b.final else 0 for b in run.blocks], np.uint32)

    def chunk(index: Array) -> Array:
        start = index * lanes
        first = _initial(lanes)
        if state is not None:
            first = lax.dynamic_slice_in_dim(state, start, lanes, axis=1)
        mine = lax.dynamic_slice_in_dim(blocks, start, lanes, axis=2)
        # One body for all blocks: a body costs seconds to compile.
        step = lambda s, block: (_compress(s, *block), None)  # noqa: E731
        return lax.scan(step, first, (mine, counters, finals))[0]

    out = lax.map(chunk, jnp.arange(size // lanes, dtype=np.int32))
    return out.transpose(1, 0, 2).reshape(DIGEST_WORDS, size)


def _levels_pure(leaves: Array) -> tuple[Array, ...]:
    """All levels, computed in one buffer in heap order: the children of i are 2i and 2i + 1."""
    size = leaves.shape[1]
    heap = jnp.concatenate([jnp.zeros_like(leaves), leaves], axis=1)
    below = size  # nodes from here on are done
    for lanes in dict.fromkeys(min(size, w) for w in _STEP_LANES):
        last = lanes == min(size, _STEP_LANES[-1])
        # Chunk 0 spans several layers and settles one of them per pass.
        steps = below // lanes - 1 + (lanes.bit_length() - 1 if last else 0)
        if not steps:
            continue

        def step(i: Array, heap: Array, lanes: int = lanes, below: int = below) -> Array:
            chunk = jnp.maximum(below // lanes - 1 - i, np.int32(0))
            pairs = lax.dynamic_slice_in_dim(heap, 2 * lanes * chunk, 2 * lanes, axis=1)
            message = pairs.reshape(DIGEST_WORDS, lanes, 2).transpose(2, 0, 1)
            message = message.reshape(BLOCK_WORDS, lanes)
            nodes = _compress(_initial(lanes), message, blake2s.BLOCK_BYTES, True)
            return lax.dynamic_update_slice_in_dim(heap, nodes, lanes * chunk, axis=1)

        heap = lax.fori_loop(0, steps, step, heap)
        below = lanes
    return tuple(heap[:, 1 << j : 2 << j] for j in range(size.bit_length()))
