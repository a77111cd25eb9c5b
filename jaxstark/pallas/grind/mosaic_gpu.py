"""The grinding kernel: each block tries its nonces of a chunk and stores the lowest that passes.

Source: protocol section 5.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import form
from jaxstark.pallas.grind.config import GrindConfig
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

# The result of a block without a passing nonce, which is no position in a chunk.
NONE = 0xFFFFFFFF
_INPUT_BYTES = 40  # prefix and nonce
_ZEROS = BLOCK_WORDS - DIGEST_WORDS - 2


def search(
    prefix: Array,
    masks: Array,
    start: Array,
    found: Array,
    *,
    config: GrindConfig,
    interpret: bool = False,
) -> Array:
    """Lowest passing positions in a chunk by block, uint32 ``[blocks]``, or ``NONE``.

    Args:
      prefix: uint32 ``[8]``.
      masks: uint32 ``[2]``, the bits of the first two digest words that must be zero.
      start: uint32 ``[2]``, first nonce of the chunk, low word first, a multiple of its size.
      found: uint32 ``[1]``, ``NONE``; anything else ends the launch at once. In a batch a search
        that is over must not cost what the others still cost.
      config: sizes.
      interpret: run on a CPU.
    """
    blocks, steps, unroll = config.shape()

    def body(
        point: Any, one: Ref, prefix: Ref, masks: Ref, start: Ref, found: Ref, out: Ref
    ) -> None:
        written = form.busy(one[0], interpret)._replace(barrier=blake2s.PLAIN.barrier)
        head = tuple(_everywhere(prefix[k]) for k in range(DIGEST_WORDS))
        low_mask, high_mask = _everywhere(masks[0]), _everywhere(masks[1])
        low, high = _everywhere(start[0]), _everywhere(start[1])
        zero, none = launch.constant(0), launch.constant(NONE)
        initial = tuple(launch.constant(word) for word in blake2s.INITIAL)
        lanes = launch.lane_numbers()

        def step(i: Array, best: Array) -> Array:
            for j in range(unroll):
                # All blocks go through the chunk side by side, in ascending order.
                row = (i * unroll + j) * blocks + point[0]
                position = lanes + (row * LANES).astype(np.uint32)
                message = (*head, position + low, high, *[zero] * _ZEROS)
                digest = blake2s.compress(initial, message, _INPUT_BYTES, True, written)
                fails = (digest[0] & low_mask) | (digest[1] & high_mask)
                best = lax.min(best, jnp.where(fails == np.uint32(0), position, none))
            return best

        todo = lax.select(found[0] == np.uint32(NONE), np.int32(steps), np.int32(0))
        best = lax.fori_loop(np.int32(0), todo, step, none)
        out[point[0]] = jnp.min(best)

    out = jax.ShapeDtypeStruct((blocks,), np.uint32)
    run = launch.launch(body, out, grid=(blocks,), barriers=False, interpret=interpret)
    return run(form.ONE, prefix, masks, start, found)


def _everywhere(word: Array) -> Array:
    return jnp.broadcast_to(word, (LANES,))
