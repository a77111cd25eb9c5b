"""BLAKE2s as a loop over rounds, for kernels that wait rather than compute.

A block of code is fetched at every launch before it runs for the first time: ten written-out rounds
take longer to fetch than to run. Here they are one body, which reads the words of a block in each
round's order, while the round before it computes. That order comes from a small array, so the
words have to lie in memory. Where all lanes of a device are busy, the written-out rounds of
``jaxstark.hash.blake2s.compress`` are faster. Source: protocol section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS, IV, SIGMA
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import form
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any

_LAST = np.uint32(0xFFFFFFFF)
_FIRST = np.int32(0)


def _order(place: Callable[[int], int]) -> np.ndarray:
    """int32 ``[12, 16]``: the places of the words in each round, once more those of the first one,
    then the number of rounds and 0, which a compiler must not know.
    """
    rows = [[place(j) for j in sigma] for sigma in (*SIGMA, SIGMA[0])]
    return np.array([*rows, [len(SIGMA), *[0] * (BLOCK_WORDS - 1)]], np.int32)


# Inputs of a kernel: for words 0 .. 15 in places 0 .. 15, and for those of two digests side by
# side, word j of the left one in place 2 j, of the right one in place 2 j + 1.
NATURAL = _order(lambda j: j)
PAIRED = _order(lambda j: 2 * (j % DIGEST_WORDS) + j // DIGEST_WORDS)


class Rounds(NamedTuple):
    """What ``compress`` takes from an input ``NATURAL`` or ``PAIRED``.

    Attributes:
      places: its reference.
      first: the places of the first round.
      count: the number of rounds: a compiler that knew it would write the rounds out again.
      zero: 0, which keeps loads where they are, see ``compress``.
    """

    places: Ref
    first: tuple[int, ...]
    count: Array
    zero: Array

    @staticmethod
    def of(places: Ref, order: np.ndarray) -> Rounds:
        """At the start of a kernel, from its input ``order``."""
        end = len(SIGMA) + 1
        first = tuple(int(place) for place in order[0])
        return Rounds(places, first, places[end, 0], places[end, 1].astype(np.uint32))


def compress(
    word: Callable[[Array], Array],
    rounds: Rounds,
    chain: blake2s.Words,
    counter: Array,
    last: Array,
    interpret: bool,
) -> blake2s.Words:
    """``blake2s.compress`` of the block whose word in place j, int32, is ``word(j)``.

    Args:
      word: loads a vector, or a scalar.
      rounds: the order of words.
      chain: eight vectors or scalars, as a loop may carry them.
      counter: bytes up to the end of the block, a uint32 scalar.
      last: whether the message ends there, a bool scalar.
      interpret: whether the kernel runs on a CPU.
    """
    shape = jnp.shape(chain[0])

    def everywhere(scalar: Array) -> Array:
        return launch.uniform(scalar, shape[0]) if shape else scalar

    def load(round_: Any) -> tuple[Array, ...]:
        # All places before any word: they arrive in few wide loads.
        places = [rounds.places[round_, i] for i in range(BLOCK_WORDS)]
        return tuple(word(place) for place in places)

    written = form.waiting(interpret)

    def step(i: Array, state: tuple[blake2s.Words, blake2s.Words]) -> tuple[Any, Any]:
        v, message = state
        # The next round's words arrive while this one computes.
        following = load(i + np.int32(1))
        return tuple(blake2s.mix_round(v, message, written)), following

    ending = lax.select(last, _LAST, np.uint32(0))
    fixed = [np.uint32(w) for w in IV[:4]]
    fixed += [counter ^ np.uint32(IV[4]), np.uint32(IV[5]), ending ^ np.uint32(IV[6])]
    v = (*chain, *(everywhere(jnp.uint32(w)) for w in (*fixed, np.uint32(IV[7]))))
    # If all that a loop carries were loads, the compiler would load it where it is used after all,
    # and every round would wait for its words.
    first = tuple(word(np.int32(place)) | everywhere(rounds.zero) for place in rounds.first)
    v, _ = lax.fori_loop(_FIRST, rounds.count, step, (v, first))
    half = DIGEST_WORDS
    return tuple(h ^ x ^ y for h, x, y in zip(chain, v[:half], v[half:], strict=True))


def initial(lanes: int = LANES) -> blake2s.Words:
    """The chaining value before the first block, as vectors."""
    return tuple(launch.constant(word, lanes) for word in blake2s.INITIAL)


def initial_scalars() -> blake2s.Words:
    """The chaining value before the first block, as scalars."""
    return tuple(jnp.uint32(word) for word in blake2s.INITIAL)
