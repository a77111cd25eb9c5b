"""BLAKE2s kernels: leaves and tree levels, one hash per lane.

The arithmetic is ``jaxstark.hash.blake2s.compress``. Source: protocol sections 5.1 and 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The ``plan.levels`` layers above ``children``, uint32 ``[8, n]``, the lowest one first.

    A block owns ``256 plan.tiles`` children. A layer stays in shared memory for the next one, in
    place: a step reads nodes that no later step of the layer needs, and writes behind them.
    """
    size = children.shape[1]
    full = plan.tiles.bit_length()
    widths = [size >> j for j in range(1, plan.levels + 1)]
    barrier = launch.half_round_barrier(interpret)

    def parents(left: Sequence[Array], right: Sequence[Array]) -> blake2s.Words:
        initial = tuple(launch.constant(word) for word in blake2s.INITIAL)
        return blake2s.compress(initial, (*left, *right), BLOCK_BYTES, True, barrier)

    def body(point: Any, source: Ref, *refs: Ref) -> None:
        *outs, memory = refs
        block = point[0]

        def put(nodes: blake2s.Words, out: Ref, step: Any, steps: int) -> None:
            first = (block * steps + step) * _PAIRS
            for k, word in enumerate(nodes):
                pairs = word.reshape(_PAIRS, 2)
                out[k, pl.ds(first, _PAIRS), :] = pairs
                memory[k, pl.ds(step * _PAIRS, _PAIRS), :] = pairs

        def lowest(step: Any, carry: Array) -> Array:
            here = pl.ds((block * plan.tiles + step) * LANES, LANES)
            sides = [
                [launch.load(source, k, here, side) for k in range(DIGEST_WORDS)]
                for side in range(2)
            ]
            put(parents(*sides), outs[0], step, plan.tiles)
            return carry

        def from_memory(step: Any) -> blake2s.Words:
            here = pl.ds(step * LANES, LANES)
            sides = [
                [launch.load(memory, k, here, side) for k in range(DIGEST_WORDS)]
                for side in range(2)
            ]
            nodes = parents(*sides)
            launch.sync()  # All have read before any writes.
            return nodes

        _repeat(plan.tiles, lowest)
        launch.sync()
        for level in range(1, full):
            steps = plan.tiles >> level

            def middle(step: Any, carry: Array, level: int = level, steps: int = steps) -> Array:
                put(from_memory(step), outs[level], step, steps)
                return carry

            _repeat(steps, middle)
            launch.sync()
        if not plan.extra:
            return

        def twice(nodes: blake2s.Words) -> None:
            # 256 nodes again, with half the period.
            for k, word in enumerate(nodes):
                pairs = word.reshape(_PAIRS, 2)
                memory[k, pl.ds(0, _PAIRS), :] = pairs
                memory[k, pl.ds(_PAIRS, _PAIRS), :] = pairs

        # The period of the lowest layer of this part is 128: write its second copy.
        for k in range(DIGEST_WORDS):
            again = memory[k, pl.ds(0, _PAIRS), :]
            memory[k, pl.ds(_PAIRS, _PAIRS), :] = again
        launch.sync()

        def upper(step: Any, carry: Array) -> Array:
            twice(from_memory(0))
            launch.sync()
            for i in range(plan.extra):
                nodes = _PAIRS >> i

                @pl.when(step == i)
                def _(nodes: int = nodes, out: Ref = outs[full + i]) -> None:
                    _copy_out(memory, out, block, nodes)

            return carry

        _repeat(plan.extra, upper)

    # Neighbours are the two words of the last axis, in outputs too, which are stored as in memory,
    # unless a block has one node of the layer.
    blocks = size // (2 * LANES * plan.tiles)
    out = [
        jax.ShapeDtypeStruct((DIGEST_WORDS, *((w // 2, 2) if w > blocks else (w,))), np.uint32)
        for w in widths
    ]
    memory = launch.shared((DIGEST_WORDS, LANES * max(plan.tiles // 2, 1), 2))
    layers = launch.launch(
        body,
        out,
        grid=(blocks,),
        scratch=(memory,),
        barriers=False,
        interpret=interpret,
    )(children.reshape(DIGEST_WORDS, size // 2, 2))
    return tuple(x.reshape(DIGEST_WORDS, w) for x, w in zip(layers, widths, strict=True))


def _copy_out(memory: Ref, out: Ref, block: Array, nodes: int) -> None:
    for k in range(DIGEST_WORDS):
        if nodes > 1:
            pairs = nodes // 2
            here = (k, pl.ds(block * pairs, pairs), slice(None))
            launch.copy_pairs(memory, out, (k, pl.ds(0, pairs), slice(None)), here, pairs)
        else:
            out[k, block] = memory[k, 0, 0]


def _repeat(count: int, step: Any) -> None:
    """``step`` for 0 .. count - 1: a loop, so that its body is compiled once."""
    if count == 1:
        step(0, 0)
    else:
        lax.fori_loop(np.int32(0), np.int32(count), step, np.int32(0))


