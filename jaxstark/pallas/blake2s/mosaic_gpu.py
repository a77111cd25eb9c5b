"""BLAKE2s kernels: leaves and tree levels, one hash per lane.

The arithmetic is ``jaxstark.hash.blake2s.compress``. Source: protocol sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s.config import Launch, LeafConfig
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
_PAIRS = LANES // 2


class Words(NamedTuple):
    """Rows ``start..stop`` of an input array, the next words of the message."""

    source: int
    start: int
    stop: int


class _Loop(NamedTuple):
    """``count`` whole blocks of consecutive rows from one array."""

    source: int
    row: int
    count: int


class _Block(NamedTuple):
    """One block, word by word ``(array, row)``; zeros follow."""

    words: tuple[tuple[int, int], ...]


def absorb(
    arrays: Sequence[Array],
    words: Sequence[Words],
    state: Array | None,
    *,
    offset: int,
    final: bool,
    config: LeafConfig,
    interpret: bool = False,
) -> Array:
    """The chaining state after more words of every lane's message; see ``api.absorb``."""
    size = arrays[0].shape[1]
    lanes = config.lanes(size)
    steps = _steps(words, final)
    with_state = state is not None

    def body(point: Any, *refs: Ref) -> None:
        *sources, out = refs
        here = pl.ds(point[0] * lanes, lanes)
        if with_state:
            memory = sources.pop()
            chain = tuple(launch.load(memory, k, here) for k in range(DIGEST_WORDS))
        else:
            chain = tuple(launch.constant(word, lanes) for word in blake2s.INITIAL)
        zero = launch.constant(0, lanes)
        barrier = launch.half_round_barrier(interpret)
        end = offset
        for i, step in enumerate(steps):
            if isinstance(step, _Loop):
                chain = _absorb_loop(sources[step.source], here, step, chain, end, barrier)
                end += BLOCK_BYTES * step.count
                continue
            end += 4 * len(step.words)
            message = [launch.load(sources[a], row, here) for a, row in step.words]
            message += [zero] * (BLOCK_WORDS - len(message))
            last = final and i == len(steps) - 1
            chain = blake2s.compress(chain, tuple(message), end, last, barrier)
        for k, word in enumerate(chain):
            launch.store(out, word, k, here)

    out = jax.ShapeDtypeStruct((DIGEST_WORDS, size), np.uint32)
    # Nothing is read back that was written: no barriers.
    run = launch.launch(body, out, grid=(size // lanes,), barriers=False, interpret=interpret)
    return run(*arrays, *([state] if with_state else []))


def _absorb_loop(
    source: Ref, here: Any, step: _Loop, chain: blake2s.Words, end: int, barrier: Any
) -> blake2s.Words:
    def block(i: Array, chain: blake2s.Words) -> blake2s.Words:
        row = step.row + i * BLOCK_WORDS
        message = tuple(launch.load(source, row + k, here) for k in range(BLOCK_WORDS))
        counter = np.uint32(end) + (i + 1).astype(np.uint32) * np.uint32(BLOCK_BYTES)
        return blake2s.compress(chain, message, counter, False, barrier)

    return lax.fori_loop(np.int32(0), np.int32(step.count), block, tuple(chain))


def _steps(words: Sequence[Words], final: bool) -> list[_Loop | _Block]:
    """Blocks of the message; two or more like each other become a loop."""
    flat = [(w.source, row) for w in words for row in range(w.start, w.stop)]
    blocks = [tuple(flat[i : i + BLOCK_WORDS]) for i in range(0, len(flat), BLOCK_WORDS)]
    steps: list[_Loop | _Block] = []
    for i, block in enumerate(blocks):
        source, row = block[0]
        whole = block == tuple((source, row + k) for k in range(BLOCK_WORDS))
        if not whole or (final and i == len(blocks) - 1):
            steps.append(_Block(block))
            continue
        before = steps[-1] if steps else None
        if isinstance(before, _Loop) and (source, row) == (
            before.source,
            before.row + BLOCK_WORDS * before.count,
        ):
            steps[-1] = before._replace(count=before.count + 1)
        else:
            steps.append(_Loop(source, row, 1))
    return [
        _Block(tuple((s.source, s.row + k) for k in range(BLOCK_WORDS)))
        if isinstance(s, _Loop) and s.count == 1
        else s
        for s in steps
    ]


def tree_levels(children: Array, plan: Launch, *, interpret: bool = False) -> tuple[Array, ...]:
    """The ``plan.levels`` layers above ``children``, uint32 ``[8, n]``, the lowest one first."""
    size = children.shape[1]
    widths = [size >> j for j in range(1, plan.levels + 1)]
    blocks = size // (2 * LANES * plan.tiles)
    # Neighbours are the two words of the last axis, in outputs too, which are stored as in memory,
    # unless a block has one node of the layer.
    out = [
        jax.ShapeDtypeStruct((DIGEST_WORDS, *((w // 2, 2) if w > blocks else (w,))), np.uint32)
        for w in widths
    ]
    memory = launch.shared((DIGEST_WORDS, _PAIRS * max(plan.tiles, 2), 2))
    kernel = partial(_subtree if plan.narrow else _wide, plan, interpret)
    layers = launch.launch(
        kernel, out, grid=(blocks,), scratch=(memory,), barriers=False, interpret=interpret
    )(children.reshape(DIGEST_WORDS, size // 2, 2))
    return tuple(x.reshape(DIGEST_WORDS, w) for x, w in zip(layers, widths, strict=True))


def _wide(plan: Launch, interpret: bool, point: Any, source: Ref, *refs: Ref) -> None:
    """Layers that keep all lanes busy. A block owns ``256 plan.tiles`` children.

    A layer stays in shared memory for the next one, in place: a step reads nodes that no later
    step of the layer needs, and writes behind them.
    """
    *outs, memory = refs
    block = point[0]

    def put(nodes: blake2s.Words, out: Ref, step: Any, steps: int) -> None:
        first = (block * steps + step) * _PAIRS
        for k, word in enumerate(nodes):
            pairs = word.reshape(_PAIRS, 2)
            out[k, pl.ds(first, _PAIRS), :] = pairs
            if plan.tiles > 1:
                memory[k, pl.ds(step * _PAIRS, _PAIRS), :] = pairs

    def lowest(step: Any, carry: Array) -> Array:
        put(_parents(source, block * plan.tiles + step, interpret), outs[0], step, plan.tiles)
        return carry

    _repeat(plan.tiles, lowest)
    for level in range(1, plan.levels):
        steps = plan.tiles >> level

        def upper(step: Any, carry: Array, level: int = level, steps: int = steps) -> Array:
            nodes = _parents(memory, step, interpret)
            launch.sync()  # All have read before any writes.
            put(nodes, outs[level], step, steps)
            return carry

        launch.sync()
        _repeat(steps, upper)


def _subtree(plan: Launch, interpret: bool, point: Any, source: Ref, *refs: Ref) -> None:
    """Layers of ever fewer nodes: a block owns 256 children and goes on towards their root.

    Shared memory always holds 256 nodes, those of the layer over and over. Their parents, one
    per lane, have half the period; they are written twice.
    """
    *outs, memory = refs
    block = point[0]
    halves = [pl.ds(half * _PAIRS, _PAIRS) for half in range(2)]

    def fetch(k: Any, carry: Array) -> Array:
        for half in range(2):
            pairs = launch.load(source, k, pl.ds((2 * block + half) * _PAIRS, _PAIRS), slice(None))
            memory[k, halves[half], :] = pairs
        return carry

    def step(i: Any, carry: Array) -> Array:
        nodes = _parents(memory, 0, interpret)
        launch.sync()  # All have read before any writes.
        for k, word in enumerate(nodes):
            for half in halves:
                memory[k, half, :] = word.reshape(_PAIRS, 2)
        launch.sync()
        for level, out in enumerate(outs):

            @pl.when(i == level)
            def _(out: Ref = out, pairs: int = _PAIRS >> level) -> None:
                _repeat(DIGEST_WORDS, partial(copy, out, pairs))

        return carry

    def copy(out: Ref, pairs: int, k: Any, carry: Array) -> Array:
        if pairs:
            here = (k, pl.ds(block * pairs, pairs), slice(None))
            launch.copy_pairs(memory, out, (k, pl.ds(0, pairs), slice(None)), here, pairs)
        else:
            out[k, block] = memory[k, 0, 0]
        return carry

    _repeat(DIGEST_WORDS, fetch)
    launch.sync()
    _repeat(plan.levels, step)


def _parents(pairs: Ref, tile: Any, interpret: bool) -> blake2s.Words:
    """Hashes of 128 pairs of nodes, ``[8, pairs, 2]``."""
    here = pl.ds(tile * LANES, LANES)
    message = [launch.load(pairs, k, here, side) for side in range(2) for k in range(DIGEST_WORDS)]
    initial = tuple(launch.constant(word) for word in blake2s.INITIAL)
    barrier = launch.half_round_barrier(interpret)
    return blake2s.compress(initial, tuple(message), BLOCK_BYTES, True, barrier)


def _repeat(count: int, step: Any) -> None:
    """``step`` for 0 .. count - 1: a loop, so that its body is compiled once."""
    if count == 1:
        step(0, 0)
    else:
        lax.fori_loop(np.int32(0), np.int32(count), step, np.int32(0))
