"""BLAKE2s kernels: leaves and tree levels, one hash per lane.

The arithmetic is ``jaxstark.hash.blake2s.compress``. Source: protocol sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_BYTES, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import form, rounds, top
from jaxstark.pallas.blake2s.config import Launch, LeafConfig
from jaxstark.pallas.blake2s.message import Message, initial
from jaxstark.pallas.blake2s.rounds import Rounds
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
_PAIRS = LANES // 2


def digests(message: Message, *, config: LeafConfig, interpret: bool = False) -> Array:
    """The digest, or chaining state, of every message, uint32 ``[8, n]``."""
    lanes = config.lanes(message.size)

    def body(point: Any, *refs: Ref) -> None:
        one, *sources, out = refs
        first, written = point[0] * lanes, form.busy(one[0], interpret)
        for k, word in enumerate(message.digest(sources, first, lanes, written)):
            launch.store(out, word, k, pl.ds(first, lanes))

    out = jax.ShapeDtypeStruct((DIGEST_WORDS, message.size), np.uint32)
    # Nothing is read back that was written: no barriers.
    run = launch.launch(
        body, out, grid=(message.size // lanes,), barriers=False, interpret=interpret
    )
    return run(form.ONE, *message.arrays)


def tree_levels(
    children: Array, plan: Launch, *, nodes: int | None = None, interpret: bool = False
) -> tuple[Array, ...]:
    """The ``plan.levels`` layers above ``children``, uint32 ``[8, n]``, the lowest one first.

    ``nodes``: how many children there are, if they repeat to make n = 256.
    """
    size = children.shape[1]
    pairs = children.reshape(DIGEST_WORDS, size // 2, 2)
    return _launch(plan, (pairs,), None, size, nodes or size, interpret)


def leaves_and_levels(
    message: Message, plan: Launch, *, nodes: int, interpret: bool = False
) -> tuple[Array, ...]:
    """The digests of the messages and the ``plan.levels`` layers above them, the lowest one first.

    ``nodes``: how many leaves there are, less than the messages if those repeat to make 128.
    """
    size = max(message.size, 2 * LANES)
    return _launch(plan, message.arrays, message, size, nodes, interpret)


def _launch(
    plan: Launch,
    arrays: tuple[Array, ...],
    message: Message | None,
    size: int,
    nodes: int,
    interpret: bool,
) -> tuple[Array, ...]:
    lowest = 0 if message else 1
    widths = [nodes >> j for j in range(lowest, plan.levels + 1)]
    blocks = size // (2 * LANES * plan.tiles)
    # Neighbours are the two words of the last axis, in outputs too, which are stored as in memory,
    # unless a block has one node of the layer.
    out = [
        jax.ShapeDtypeStruct((DIGEST_WORDS, *((w // 2, 2) if w > blocks else (w,))), np.uint32)
        for w in widths
    ]
    pairs = LANES * plan.tiles if message or plan.tiles == 1 else _PAIRS * plan.tiles
    memory = top.node_pairs(_stage(plan, message) + pairs)
    tree = _Tree(plan, message, nodes // blocks, interpret)
    layers = launch.launch(
        tree.run, out, grid=(blocks,), scratch=(memory,), barriers=False, interpret=interpret
    )(rounds.PAIRED, *arrays)
    return tuple(x.reshape(DIGEST_WORDS, w) for x, w in zip(layers, widths, strict=True))


class _Tree:
    """The body of a tree kernel. A block owns ``256 plan.tiles`` leaves or nodes.

    A layer stays in shared memory for the next one, in place: a step reads 256 nodes, which no
    later step of the layer needs, and writes behind them. First come layers that keep all lanes
    busy, then layers of ever fewer nodes at the start of shared memory. There all lanes go on
    hashing; those beyond the layer hash what is left there, and nobody reads their results.

    One loop goes through all layers, so that the code of a hash is there once: it takes longer to
    compile, and to arrive, than anything else in the kernel. Nodes in global memory pass through
    ``stage`` pairs in front of the others.
    """

    def __init__(self, plan: Launch, message: Message | None, nodes: int, interpret: bool):
        self.plan, self.message, self.interpret = plan, message, interpret
        self.nodes = nodes  # lowest ones of a block
        self.stage = _stage(plan, message)

    def run(self, point: Any, *refs: Ref) -> None:
        memory, plan = refs[-1], self.plan
        order = Rounds.of(refs[0], rounds.PAIRED)
        first_out = -1 - plan.levels - (1 if self.message else 0)
        sources, outs = list(refs[1:first_out]), list(refs[first_out:-1])
        block = point[0]
        if self.message:
            self._hash_leaves(self.message, sources, outs.pop(0), memory, block)
        if plan.levels:
            layer = partial(self._layer, sources[0], outs, memory, order, block)
            _repeat(plan.levels, layer)

    def _hash_leaves(
        self, message: Message, sources: list[Ref], out: Ref, memory: Ref, block: Any
    ) -> None:
        steps = min(2 * self.plan.tiles, message.size // LANES)
        written = form.waiting(self.interpret)

        def step(i: Any, carry: Array) -> Array:
            first = (block * steps + i) * LANES
            words = message.digest(sources, first, LANES, written)
            for k, word in enumerate(words):
                if self.nodes >= LANES:
                    here = pl.ds((block * steps + i) * _PAIRS, _PAIRS)
                    out[k, here, :] = word.reshape(_PAIRS, 2)
                top.put_nodes(memory, k, i * _PAIRS, word)
            return carry

        _repeat(steps, step)
        if self.nodes < LANES:
            launch.sync(self.interpret)
            _repeat(DIGEST_WORDS, partial(self._copy, out, memory, block, self.nodes // 2))

    def _fetch(self, source: Ref, memory: Ref, place: Any) -> None:
        """256 nodes from global memory to the start of shared memory, all under way at once."""
        parts = [(k, i * _PAIRS) for k in range(DIGEST_WORDS) for i in range(2)]
        first = place * LANES
        words = [
            launch.load(source, k, pl.ds(first + start, _PAIRS), slice(None)) for k, start in parts
        ]
        for (k, start), word in zip(parts, words, strict=True):
            top.put_nodes(memory, k, start, word)

    def _layer(
        self,
        source: Ref,
        outs: list[Ref],
        memory: Ref,
        order: Rounds,
        block: Any,
        i: Any,
        carry: Array,
    ) -> Array:
        level, tiles, steps = jnp.int32(i), self.plan.tiles, 1
        if tiles > 1:
            steps = lax.max(jnp.int32(1), lax.shift_right_logical(np.int32(tiles), level))

        def step(j: Any, carry: Array) -> Array:
            tile = j
            if not self.message:
                lowest = level == np.int32(0)
                # Pairs are counted in tiles of 128: the stage is one, unless all is in place.
                tile = lax.select(lowest, jnp.int32(0), jnp.int32(j + self.stage // LANES))

                @pl.when(lowest)
                def _() -> None:
                    launch.sync(self.interpret)  # All have read before any writes.
                    self._fetch(source, memory, block * tiles + j)
                    launch.sync(self.interpret)

            if self.plan.rolled:
                nodes = _rolled_parents(memory, tile, order, self.interpret)
            else:
                nodes = _parents(memory, tile, self.interpret)
            launch.sync(self.interpret)  # All have read before any writes.
            for k, word in enumerate(nodes):
                top.put_nodes(memory, k, self.stage + j * _PAIRS, word)
            return carry

        launch.sync(self.interpret)
        _repeat(steps, step)
        launch.sync(self.interpret)
        for other, out in enumerate(outs):
            pl.when(level == other)(partial(self._publish, out, memory, block, other))
        return carry

    def _publish(self, out: Ref, memory: Ref, block: Any, level: int) -> None:
        """Copy a layer from shared memory."""
        pairs = self.nodes >> (level + 2)
        part = min(pairs, _PAIRS)

        def copy(k: Any, carry: Array) -> Array:
            if pairs <= _PAIRS:
                return self._copy(out, memory, block, pairs, k, carry)

            def some(j: Any, carry: Array) -> Array:
                rows, here = pl.ds(2 * k, 2), pl.ds(self.stage + j * part, part)
                words = launch.load_transposed(memory, rows, here)
                out[k, pl.ds(block * pairs + j * part, part), :] = words
                return carry

            _repeat(pairs // part, some)
            return carry

        _repeat(DIGEST_WORDS, copy)

    def _copy(self, out: Ref, memory: Ref, block: Any, pairs: int, k: Any, carry: Array) -> Array:
        if pairs > 1:
            here = (k, pl.ds(block * pairs, pairs), slice(None))
            there = (pl.ds(2 * k, 2), pl.ds(self.stage, pairs))
            launch.copy_pairs(memory, out, there, here, pairs)
        elif pairs:
            for side in range(2):
                out[k, block, side] = memory[2 * k + side, self.stage]
        else:
            out[k, block] = memory[2 * k, self.stage]
        return carry


def _stage(plan: Launch, message: Message | None) -> int:
    """Pairs in shared memory for nodes on their way; one tile may lie where its parents go."""
    return 0 if message or plan.tiles == 1 else LANES


def _parents(pairs: Ref, tile: Any, interpret: bool) -> blake2s.Words:
    """Hashes of 128 pairs of nodes."""
    here = pl.ds(tile * LANES, LANES)
    message = [
        launch.load(pairs, 2 * k + side, here) for side in (0, 1) for k in range(DIGEST_WORDS)
    ]
    written = form.waiting(interpret)
    return blake2s.compress(initial(), tuple(message), BLOCK_BYTES, True, written)


def _rolled_parents(pairs: Ref, tile: Any, order: Rounds, interpret: bool) -> blake2s.Words:
    """``_parents`` in a loop over the rounds of the hash."""
    here = pl.ds(tile * LANES, LANES)
    length, last = np.uint32(BLOCK_BYTES), jnp.bool_(True)
    return rounds.compress(
        lambda row: launch.load(pairs, row, here), order, initial(), length, last, interpret
    )


def _repeat(count: Any, step: Callable[[Any, Any], Any]) -> None:
    """``step`` for 0 .. count - 1: a loop, so that its body is compiled once."""
    if isinstance(count, int) and count == 1:
        step(0, 0)
    else:
        lax.fori_loop(np.int32(0), jnp.int32(count), step, np.int32(0))
