"""BLAKE2s as a loop over rounds, for kernels that wait rather than compute.

A block of code is fetched at every launch before it runs for the first time: ten written-out rounds
take longer to fetch than to run. Here they are one body, which reads the words of a block in each
round's order. That order comes from a small array, so the words have to lie in memory. Where all
lanes of a device are busy, ``jaxstark.hash.blake2s.compress`` is the faster form of the same.
Source: protocol section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS, IV, SIGMA
from jaxstark.pallas import launch
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

_LAST = np.uint32(0xFFFFFFFF)
_NIBBLES = 8  # in a word


def _packed(place: Callable[[int], int]) -> np.ndarray:
    rows = [[place(j) for j in sigma] for sigma in (*SIGMA, SIGMA[0])]
    words = [
        [sum(j << 4 * i for i, j in enumerate(row[half : half + _NIBBLES])) for half in (0, 8)]
        for row in rows
    ]
    return np.array([*words, [len(SIGMA), 0]], np.uint32)


_NATURAL = _packed(lambda j: j)
_PAIRED = _packed(lambda j: 2 * (j % DIGEST_WORDS) + j // DIGEST_WORDS)


def order() -> Array:
    """The input of a kernel that ``compress`` reads, for words 0 .. 15 in places 0 .. 15.

    uint32 ``[12, 2]``: per round 16 places of four bits, once more those of the first round, then
    the number of rounds, which a compiler must not know, or it writes the rounds out again.
    """
    return jnp.asarray(_NATURAL)


def order_of_pairs() -> Array:
    """``order`` for word j of the left child in place 2 j, of the right child in place 2 j + 1."""
    return jnp.asarray(_PAIRED)


def compress(
    word: Callable[[Array], Array],
    places: Ref,
    chain: blake2s.Words,
    counter: Array,
    last: Array,
    interpret: bool,
) -> blake2s.Words:
    """``blake2s.compress`` of the block whose word in place j, int32, is ``word(j)``.

    Args:
      word: loads a vector, or a scalar.
      places: reference of ``order()``.
      chain: eight vectors or scalars, as a loop may carry them.
      counter: bytes up to the end of the block, a uint32 scalar.
      last: whether the message ends there, a bool scalar.
      interpret: whether the kernel runs on a CPU.
    """
    shape = jnp.shape(chain[0])

    def everywhere(scalar: Array) -> Array:
        return launch.uniform(scalar, shape[0]) if shape else scalar

    def load(round_: Any) -> tuple[Array, ...]:
        packed = places[round_, 0], places[round_, 1]
        return tuple(
            word(
                ((packed[i // _NIBBLES] >> np.uint32(4 * (i % _NIBBLES))) & np.uint32(15)).astype(
                    np.int32
                )
            )
            for i in range(BLOCK_WORDS)
        )

    barrier = launch.half_round_barrier(interpret)

    def step(i: Array, state: tuple[blake2s.Words, blake2s.Words]) -> tuple[Any, Any]:
        v, message = state
        # The next round's words arrive while this one computes.
        following = load(i + np.int32(1))
        return tuple(blake2s.mix_round(v, message, barrier)), following

    ending = lax.select(last, _LAST, np.uint32(0))
    fixed = [np.uint32(w) for w in IV[:4]]
    fixed += [counter ^ np.uint32(IV[4]), np.uint32(IV[5]), ending ^ np.uint32(IV[6])]
    v = (*chain, *(everywhere(jnp.uint32(w)) for w in (*fixed, np.uint32(IV[7]))))
    rounds = places[len(SIGMA) + 1, 0].astype(np.int32)
    v, _ = lax.fori_loop(np.int32(0), rounds, step, (v, load(0)))
    half = DIGEST_WORDS
    return tuple(h ^ x ^ y for h, x, y in zip(chain, v[:half], v[half:], strict=True))


def initial(lanes: int = LANES) -> blake2s.Words:
    """The chaining value before the first block, as vectors."""
    return tuple(launch.constant(word, lanes) for word in blake2s.INITIAL)


def initial_scalars() -> blake2s.Words:
    """The chaining value before the first block, as scalars."""
    return tuple(jnp.uint32(word) for word in blake2s.INITIAL)
