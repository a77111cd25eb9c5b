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
from jaxstark.pallas.blake2s import rounds
from jaxstark.pallas.blake2s.config import Launch, LeafConfig
from jaxstark.pallas.blake2s.message import Message, initial
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
_PAIRS = LANES // 2


def digests(message: Message, *, config: LeafConfig, interpret: bool = False) -> Array:
    """The digest, or chaining state, of every message, uint32 ``[8, n]``."""
    lanes = config.lanes(message.size)

    def body(point: Any, *refs: Ref) -> None:
        *sources, out = refs
        first = point[0] * lanes
        for k, word in enumerate(message.digest(sources, first, lanes, interpret)):
            launch.store(out, word, k, pl.ds(first, lanes))

    out = jax.ShapeDtypeStruct((DIGEST_WORDS, message.size), np.uint32)
    # Nothing is read back that was written: no barriers.
    run = launch.launch(
        body, out, grid=(message.size // lanes,), barriers=False, interpret=interpret
    )
    return run(*message.arrays)


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
    memory = launch.shared((DIGEST_WORDS, pairs, 2))
    tree = _Tree(plan, message, nodes // blocks, interpret)
    layers = launch.launch(
        tree.run, out, grid=(blocks,), scratch=(memory,), barriers=False, interpret=interpret
    )(*([rounds.order()] if plan.rolled else []), *arrays)
    return tuple(x.reshape(DIGEST_WORDS, w) for x, w in zip(layers, widths, strict=True))


class _Tree:
    """The body of a tree kernel. A block owns ``256 plan.tiles`` leaves or nodes.

    First come layers that keep all lanes busy. A layer stays in shared memory for the next one, in
    place: a step reads nodes that no later step of the layer needs, and writes behind them.

    Then come layers of ever fewer nodes, at the start of shared memory. All lanes go on hashing;
    those beyond the layer hash what is left there, and nobody reads their results.
    """

    def __init__(self, plan: Launch, message: Message | None, nodes: int, interpret: bool):
        self.plan, self.message, self.interpret = plan, message, interpret
        self.places: Ref = None
        self.nodes = nodes  # lowest ones of a block
        # One tile goes through the loop over the narrow layers from the start.
        one = plan.tiles == 1 and (plan.levels > 1 or message or nodes < 2 * LANES)
        self.wide = 0 if one else min(plan.wide, plan.levels)

    def run(self, point: Any, *refs: Ref) -> None:
        memory = refs[-1]
        if self.plan.rolled:
            self.places, refs = refs[0], refs[1:]
        first_out = -1 - self.plan.levels - (1 if self.message else 0)
        sources, outs = list(refs[:first_out]), list(refs[first_out:-1])
        block = point[0]
        if self.message:
            self._hash_leaves(self.message, sources, outs.pop(0), memory, block)
        elif self.wide == 0:
            _repeat(DIGEST_WORDS, partial(self._fetch, sources[0], memory, block))
        for level in range(self.wide):
            steps = self.plan.tiles >> level
            source = memory if level or self.message else sources[0]
            layer = partial(self._layer, source, outs[level], memory, block, level, steps)
            if source is memory:
                launch.sync()
            _repeat(steps, layer)
        if self.plan.levels > self.wide:
            launch.sync()
            step = partial(self._narrow_layer, outs[self.wide :], memory, block)
            _repeat(self.plan.levels - self.wide, step)

    def _hash_leaves(
        self, message: Message, sources: list[Ref], out: Ref, memory: Ref, block: Any
    ) -> None:
        steps = min(2 * self.plan.tiles, message.size // LANES)

        def step(i: Any, carry: Array) -> Array:
            first = (block * steps + i) * LANES
            words = message.digest(sources, first, LANES, self.interpret)
            for k, word in enumerate(words):
                pairs = word.reshape(_PAIRS, 2)
                if self.nodes >= LANES:
                    out[k, pl.ds((block * steps + i) * _PAIRS, _PAIRS), :] = pairs
                memory[k, pl.ds(i * _PAIRS, _PAIRS), :] = pairs
            return carry

        _repeat(steps, step)
        if self.nodes < LANES:
            launch.sync()
            _repeat(DIGEST_WORDS, partial(self._copy, out, memory, block, self.nodes // 2))

    def _fetch(self, source: Ref, memory: Ref, block: Any, k: Any, carry: Array) -> Array:
        for i in range(2):
            pairs = launch.load(source, k, pl.ds((2 * block + i) * _PAIRS, _PAIRS), slice(None))
            memory[k, pl.ds(i * _PAIRS, _PAIRS), :] = pairs
        return carry

    def _layer(
        self,
        source: Ref,
        out: Ref,
        memory: Ref,
        block: Any,
        level: int,
        steps: int,
        step: Any,
        carry: Array,
    ) -> Array:
        in_memory = source is memory
        nodes = _parents(source, step if in_memory else block * steps + step, self.interpret)
        if in_memory:
            launch.sync()  # All have read before any writes.
        for k, word in enumerate(nodes):
            pairs = word.reshape(_PAIRS, 2)
            out[k, pl.ds((block * steps + step) * _PAIRS, _PAIRS), :] = pairs
            if level + 1 < self.plan.levels:
                memory[k, pl.ds(step * _PAIRS, _PAIRS), :] = pairs
        return carry

    def _narrow_layer(
        self, outs: list[Ref], memory: Ref, block: Any, i: Any, carry: Array
    ) -> Array:
        if self.plan.rolled:
            nodes = _rolled_parents(memory, self.places, self.interpret)
        else:
            nodes = _parents(memory, 0, self.interpret)
        launch.sync()  # All have read before any writes.
        for k, word in enumerate(nodes):
            memory[k, pl.ds(0, _PAIRS), :] = word.reshape(_PAIRS, 2)
        launch.sync()
        for level, out in enumerate(outs):
            pairs = self.nodes >> (self.wide + level + 2)

            @pl.when(i == level)
            def _(out: Ref = out, pairs: int = pairs) -> None:
                _repeat(DIGEST_WORDS, partial(self._copy, out, memory, block, pairs))

        return carry

    def _copy(self, out: Ref, memory: Ref, block: Any, pairs: int, k: Any, carry: Array) -> Array:
        if pairs:
            here = (k, pl.ds(block * pairs, pairs), slice(None))
            launch.copy_pairs(memory, out, (k, pl.ds(0, pairs), slice(None)), here, pairs)
        else:
            out[k, block] = memory[k, 0, 0]
        return carry


def _parents(pairs: Ref, tile: Any, interpret: bool) -> blake2s.Words:
    """Hashes of 128 pairs of nodes, ``[8, pairs, 2]``."""
    here = pl.ds(tile * LANES, LANES)
    message = [launch.load(pairs, k, here, side) for side in range(2) for k in range(DIGEST_WORDS)]
    barrier = launch.half_round_barrier(interpret)
    return blake2s.compress(initial(), tuple(message), BLOCK_BYTES, True, barrier)


def _rolled_parents(pairs: Ref, places: Ref, interpret: bool) -> blake2s.Words:
    """``_parents`` of the first 128 pairs in shared memory."""

    def word(j: Array) -> Array:
        return launch.load(pairs, j & np.int32(7), pl.ds(0, LANES), j >> np.int32(3))

    length, last = np.uint32(BLOCK_BYTES), jnp.bool_(True)
    return rounds.compress(word, places, initial(), length, last, interpret)


def _repeat(count: int, step: Callable[[Any, Any], Any]) -> None:
    """``step`` for 0 .. count - 1: a loop, so that its body is compiled once."""
    if count == 1:
        step(0, 0)
    else:
        lax.fori_loop(np.int32(0), np.int32(count), step, np.int32(0))
