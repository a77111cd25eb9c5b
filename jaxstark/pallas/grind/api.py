"""Proof of work on the GPU: the lowest nonce that passes, that of ``jaxstark.grind``.

The search runs on the device to its end, chunk after chunk, on traced values: a prover may draw
challenges from the result without a trip to the host. These functions run the kernel or raise.

``interpret=True`` runs the kernel on a CPU, slowly, for tests. Source: protocol section 5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.grind import mosaic_gpu
from jaxstark.pallas.grind.config import GrindConfig
from jaxstark.pallas.grind.mosaic_gpu import NONE

Array = Any


@partial(jax.jit, static_argnames=("bits", "config", "interpret"))
def grind(
    prefix: Array,
    masks: Array,
    *,
    bits: int | None = None,
    config: GrindConfig | None = None,
    interpret: bool = False,
) -> Array:
    """The lowest nonce that passes, uint32 ``[2]``, low word first.

    A nonce passes if the first two words of BLAKE2s(prefix || nonce as 8 bytes little-endian)
    have no bit of the masks.

    Args:
      prefix: uint32 ``[8]``, ``channel.pow_prefix(bits)``.
      masks: uint32 ``[2]``; for a difficulty of ``bits`` the two words of ``2^bits - 1``.
      bits: the difficulty, if known; chooses sizes and nothing else.
      config: sizes that do not change the result, by default those for the difficulty.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or type, or sizes that cannot be. There is no limit to
    the search, which ends with certainty: a few times ``2^bits`` nonces.
    """
    for name, array, size in (("prefix", prefix, DIGEST_WORDS), ("masks", masks, 2)):
        if not launch.is_words(array, (size,)):
            raise ValueError(
                f"{name}: expected uint32 [{size}], got {array.dtype} {tuple(array.shape)}"
            )
    if config is None:
        config = GrindConfig() if bits is None else GrindConfig.for_bits(bits)
    config.shape()
    chunk = np.uint32(1 << config.chunk_log)

    def searching(state: tuple[Array, Array]) -> Array:
        return state[1] == np.uint32(NONE)

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        start = _next(state[0], chunk)
        found = mosaic_gpu.search(
            prefix, masks, start, state[1].reshape(1), config=config, interpret=interpret
        )
        return start, jnp.min(found)

    # The chunk before the first one: its low word wraps to 0 and carries into the high word.
    before = jnp.array([2**32 - (1 << config.chunk_log), NONE], np.uint32)
    start, found = lax.while_loop(searching, step, (before, jnp.uint32(NONE)))
    return jnp.stack([start[0] + found, start[1]])


def _next(start: Array, chunk: np.uint32) -> Array:
    """The first nonce of the next chunk."""
    low = start[0] + chunk
    return jnp.stack([low, start[1] + (low == np.uint32(0)).astype(np.uint32)])
