"""Messages of leaves: which words a lane hashes, and how a block loads and hashes them.

Source: protocol sections 3, 4 and 12 (packing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields.qm31 import DEGREE
from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS, Form
from jaxstark.pallas import launch, lifted
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any


class Words(NamedTuple):
    """Rows ``start..stop`` of an input array, the next words of the message."""

    source: int
    start: int
    stop: int


class Loop(NamedTuple):
    """``count`` whole blocks of consecutive rows from one array."""

    source: int
    row: int
    count: int


class Block(NamedTuple):
    """One block, word by word ``(array, row)``; zeros follow."""

    words: tuple[tuple[int, int], ...]


class Message(NamedTuple):
    """What the lanes hash.

    Attributes:
      arrays: inputs of a kernel.
      size: number of messages, a multiple of 128.
      blocks: compressions in each of them.
      digest: called in a kernel with the references of the arrays, the first message of the
        block, the number of messages and the form of a hash; the eight words of the digests.
    """

    arrays: tuple[Array, ...]
    size: int
    blocks: int
    digest: Callable[[Sequence[Ref], Any, int, Form], blake2s.Words]


def columns(
    arrays: Sequence[Array],
    words: Sequence[Words],
    state: Array | None,
    offset: int,
    final: bool,
    interpret: bool,
) -> Message:
    """Messages down the columns of arrays ``[w_i, n]``; see ``api.absorb``.

    Of arrays that are smaller than others, and of a state, the lift is hashed.
    """
    plan = steps(words, final)
    inputs = [*arrays, *(() if state is None else (state,))]
    size = max(array.shape[1] for array in inputs)
    copies = [(size // array.shape[1]).bit_length() - 1 for array in inputs]
    inputs = [lifted.cut(array, log) for array, log in zip(inputs, copies, strict=True)]

    def digest(refs: Sequence[Ref], first: Any, lanes: int, form: Form) -> blake2s.Words:
        here = pl.ds(first, lanes)

        def load(source: int, row: Any) -> Array:
            if not any(copies):
                return launch.load(refs[source], row, here)
            block = lax.div(first, np.int32(LANES))
            return lifted.load(refs[source], row, block, copies[source], interpret=interpret)

        if state is None:
            chain = initial(lanes)
        else:
            chain = tuple(load(len(arrays), k) for k in range(DIGEST_WORDS))
        zero = launch.constant(0, lanes)
        end = offset
        for i, step in enumerate(plan):
            if isinstance(step, Loop):
                chain = _absorb_loop(partial(load, step.source), step, chain, end, form)
                end += BLOCK_BYTES * step.count
                continue
            end += 4 * len(step.words)
            message = [load(a, row) for a, row in step.words]
            message += [zero] * (BLOCK_WORDS - len(message))
            last = final and i == len(plan) - 1
            chain = blake2s.compress(chain, tuple(message), end, last, form)
        return chain

    blocks = sum(step.count if isinstance(step, Loop) else 1 for step in plan)
    return Message(tuple(inputs), size, blocks, digest)


def values(array: Array, pack_log: int) -> Message:
    """Messages of ``2^pack_log`` consecutive QM31 values of ``[4, N]``, value by value.

    Fewer messages than 128 are repeated up to there.
    """
    size, pack = array.shape[1] >> pack_log, 1 << pack_log
    if size < LANES:
        array, size = jnp.tile(array, (1, LANES // size)), LANES
    end = 4 * DEGREE * pack

    def digest(refs: Sequence[Ref], first: Any, lanes: int, form: Form) -> blake2s.Words:

        def message(start: Any, count: int) -> list[Array]:
            return [
                launch.load(refs[0], k, pl.ds(first, lanes), start + j)
                for j in range(count)
                for k in range(DEGREE)
            ]

        return value_digest(message, pack, end, lanes, form)

    blocks = -(-DEGREE * pack // BLOCK_WORDS)
    return Message((array.reshape(DEGREE, size, pack),), size, blocks, digest)


def value_digest(
    message: Callable[[Any, int], list[Array]], pack: int, end: int, lanes: int, form: Form
) -> blake2s.Words:
    """Digests of ``pack`` values, where ``message(i, count)`` has the words of values from i on."""
    per_block = BLOCK_WORDS // DEGREE
    before = max(0, pack // per_block - 1)

    def block(i: Array, chain: blake2s.Words) -> blake2s.Words:
        counter = (i + 1).astype(np.uint32) * np.uint32(BLOCK_BYTES)
        words = tuple(message(i * per_block, per_block))
        return blake2s.compress(chain, words, counter, False, form)

    chain = initial(lanes)
    if before:
        chain = lax.fori_loop(np.int32(0), np.int32(before), block, chain)
    rest = pack - per_block * before
    words = message(per_block * before, rest)
    words += [launch.constant(0, lanes)] * (BLOCK_WORDS - len(words))
    return blake2s.compress(chain, tuple(words), end, True, form)


def initial(lanes: int = LANES) -> blake2s.Words:
    """The chaining value before the first block."""
    return tuple(launch.constant(word, lanes) for word in blake2s.INITIAL)


def _absorb_loop(
    load: Callable[[Any], Array], step: Loop, chain: blake2s.Words, end: int, form: Form
) -> blake2s.Words:
    def block(i: Array, chain: blake2s.Words) -> blake2s.Words:
        row = step.row + i * BLOCK_WORDS
        message = tuple(load(row + k) for k in range(BLOCK_WORDS))
        counter = np.uint32(end) + (i + 1).astype(np.uint32) * np.uint32(BLOCK_BYTES)
        return blake2s.compress(chain, message, counter, False, form)

    return lax.fori_loop(np.int32(0), np.int32(step.count), block, tuple(chain))


def steps(words: Sequence[Words], final: bool) -> list[Loop | Block]:
    """Blocks of the message; two or more like each other become a loop."""
    flat = [(w.source, row) for w in words for row in range(w.start, w.stop)]
    blocks = [tuple(flat[i : i + BLOCK_WORDS]) for i in range(0, len(flat), BLOCK_WORDS)]
    plan: list[Loop | Block] = []
    for i, block in enumerate(blocks):
        source, row = block[0]
        whole = block == tuple((source, row + k) for k in range(BLOCK_WORDS))
        if not whole or (final and i == len(blocks) - 1):
            plan.append(Block(block))
            continue
        before = plan[-1] if plan else None
        if isinstance(before, Loop) and (source, row) == (
            before.source,
            before.row + BLOCK_WORDS * before.count,
        ):
            plan[-1] = before._replace(count=before.count + 1)
        else:
            plan.append(Loop(source, row, 1))
    return [
        Block(tuple((s.source, s.row + k) for k in range(BLOCK_WORDS)))
        if isinstance(s, Loop) and s.count == 1
        else s
        for s in plan
    ]
