"""Blake2s of columns, as far as one launch after the other absorbs them.

Source: protocol sections 3, 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxstark.hash.blake2s import BLOCK_BYTES, BLOCK_WORDS, DIGEST_WORDS
from jaxstark.lifting import lift
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import message, mosaic_gpu
from jaxstark.pallas.blake2s.config import LeafConfig
from jaxstark.pallas.blake2s.message import Words
from jaxstark.pallas.later import Later, read
from jaxstark.pallas.launch import LANES

Array = Any


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
            check(name, array, lanes, DIGEST_WORDS if name == "state" else None)
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
    lanes_hashed = message.columns(arrays, words, state, offset, final, interpret)
    return mosaic_gpu.digests(lanes_hashed, config=config, interpret=interpret)


@partial(jax.jit, static_argnames=("words", "offset", "config", "interpret"))
def _absorb_lifts(
    arrays: tuple[Array, ...],
    state: Array | None,
    *,
    words: tuple[Words, ...],
    offset: int,
    config: LeafConfig,
    interpret: bool,
) -> Array:
    """``absorb`` of whole blocks; of smaller arrays, and of a smaller state, the lift."""
    hashed = message.columns(arrays, words, state, offset, False, interpret)
    return mosaic_gpu.digests(hashed, config=config, interpret=interpret)


class Last(NamedTuple):
    """The arguments of the ``absorb`` that ends the messages; some arrays may be too small yet."""

    arrays: tuple[Array, ...]
    options: dict[str, Any]

    def lifted(self) -> Last:
        """With arrays of one size."""
        log = max(array.shape[1] for array in self.arrays).bit_length() - 1
        state = self.options.get("state")
        options = self.options if state is None else self.options | {"state": _lift(state, log)}
        return Last(tuple(_lift(array, log) for array in self.arrays), options)


def _lift(array: Array, log_size: int) -> Array:
    return lift(array, log_size) if array.shape[1] < 1 << log_size else array


def _turns(groups: Sequence[Array | Later]) -> list[list[Array | Later]]:
    """What is absorbed at a time: all arrays of a size, but one by one what is made for it."""

    def turn(numbered: tuple[int, Array | Later]) -> tuple[int, int]:
        index, group = numbered
        return group.shape[1], index if isinstance(group, Later) else -1

    return [[group for _, group in some] for _, some in groupby(enumerate(groups), turn)]


def absorb_all_but_last(
    groups: Sequence[Array | Later], config: LeafConfig, interpret: bool
) -> Last:
    """Everything before the last ``absorb``; fewer than 128 messages are repeated up to there.

    An array that comes ``Later`` is made once all blocks before it have been absorbed.
    """
    size = groups[-1].shape[1]
    if size < LANES:
        groups = [read(group, None)[0] for group in groups]
        log = size.bit_length() - 1
        lifted = [lift(g, log) if g.shape[1] < size else g for g in groups]
        return Last(tuple(jnp.tile(g, (1, LANES // size)) for g in lifted), {})
    state: Array | None = None
    # Arrays from some row on: words of a block that is not full yet.
    pending: list[tuple[Array, int]] = []
    offset = 0
    turns = _turns(groups)
    for turn in turns:
        # Sizes below 128 rows are lifted to 128 first, which changes no leaf.
        log_size = max(turn[0].shape[1], LANES).bit_length() - 1
        final, made = turn is turns[-1], isinstance(turn[0], Later)
        if made:
            # Words that were absorbed with a block make room.
            before = state, [array[first:] for array, first in pending]
            array, (state, left_over) = read(turn[0], before)
            turn, pending = [array], [(one, 0) for one in left_over]
        rows = [*pending, *((group, 0) for group in turn)]
        if not (final or made):
            rows = [(_lift(array[first:], log_size), 0) for array, first in rows]
        count = sum(len(array) - first for array, first in rows)
        rest = 0 if final else count % BLOCK_WORDS
        if count == rest:
            pending = rows
            continue
        words, pending, left = [], [], count - rest
        for j, (array, first) in enumerate(rows):
            used = min(len(array) - first, left)
            left -= used
            if used:
                words.append(Words(j, first, first + used))
            if first + used < len(array):
                pending.append((array, first + used))
        # A kernel lifts what is at least one block.
        arrays = [_lift(array, min(log_size, LANES.bit_length() - 1)) for array, _ in rows]
        step = Last(tuple(arrays), {"state": state, "words": tuple(words), "offset": offset})
        if final:
            return step
        if made:
            state = _absorb_lifts(step.arrays, **step.options, config=config, interpret=interpret)
        else:
            step = step.lifted()
            state = absorb(
                step.arrays, **step.options, final=False, config=config, interpret=interpret
            )
        offset += 4 * (count - rest)
    raise AssertionError("the last group ends the messages")


def check(name: str, array: Array, lanes: int, rows: int | None) -> None:
    """Raise ``ValueError`` unless an array is uint32 ``[rows, lanes]``."""
    if not launch.is_words(array, (rows, lanes)):
        expected, got = f"[{'w' if rows is None else rows}, {lanes}]", tuple(array.shape)
        raise ValueError(f"{name}: expected uint32 {expected}, got {array.dtype} {got}")
