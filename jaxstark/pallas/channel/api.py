"""The hashes of the Blake2s channel on the GPU, each in one launch, on traced values.

A channel is its digest, uint32 ``[8]``, for every draw follows a mix in the same launch. It stays
on the device, so that commitments and challenges may follow each other without a trip to the host.
The words are those of ``jaxstark.channel.Blake2sChannel``. These functions run the kernels or
raise.

``interpret=True`` runs the kernels on a CPU, for tests. Source: protocol section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax

from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.channel import mosaic_gpu
from jaxstark.pallas.together import Kernel, Steps

Array = Any


class Step(NamedTuple):
    """A step of the channel that a launch makes beside other work: a mix, then draws.

    uint32. ``digest`` ``[8]`` after the mix; ``drawn`` ``[8 draws]``, canonical elements.
    """

    digest: Array
    drawn: Array


@partial(jax.jit, static_argnames=("n_bytes", "interpret"))
def hash_words(
    words: Array | Sequence[Array], n_bytes: int | None = None, *, interpret: bool = False
) -> Array:
    """BLAKE2s-256 of one message, uint32 ``[8]``: also a mix, of the digest and what follows.

    Args:
      words: little-endian words, uint32 ``[w]``, or several such arrays, one after the other.
      n_bytes: length of the message, all bytes of the words if None; less than a word shorter.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape, type or length.
    """
    arrays = tuple(words) if isinstance(words, list | tuple) else (words,)
    size = 4 * _check_message(arrays)
    if n_bytes is None:
        n_bytes = size
    if not size - 4 < n_bytes <= size:
        raise ValueError(f"n_bytes: expected {size - 3}..{size} for the words, got {n_bytes}")
    return mosaic_gpu.hash_words(arrays, n_bytes, interpret=interpret)


@partial(jax.jit, static_argnames=("count", "interpret"))
def mix_and_draw(
    digest: Array, words: Array | Sequence[Array], count: int = 1, *, interpret: bool = False
) -> tuple[Array, Array]:
    """Mix some words, then draw base elements, in one launch.

    A draw with a word of 2p or more is thrown away and the next one taken.

    Args:
      digest: uint32 ``[8]``.
      words: as for ``hash_words``, whole words.
      count: how many draws, at least 1.
      interpret: run on a CPU.

    Returns the digest after the mix, and the elements of the draws, uint32 ``[8 count]``,
    canonical. Raises ``ValueError`` for another shape, type or count.
    """
    _check_count(count)
    arrays = tuple(words) if isinstance(words, list | tuple) else (words,)
    _check_message(arrays)
    mixed, drawn = mosaic_gpu.mix_and_draw(_digest(digest), arrays, count, interpret=interpret)
    return mixed, drawn


def hashing(words: Sequence[Array], *, interpret: bool = False) -> Steps[Array]:
    """``hash_words`` of whole words, as a computation of kernels that may share their launches."""
    size = 4 * _check_message(tuple(words))
    (digest,) = yield mosaic_gpu.hash_kernel(tuple(words), size, interpret=interpret)
    return digest


def step_kernel(
    digest: Array, words: Array | Sequence[Array], *, interpret: bool = False
) -> Kernel:
    """The kernel of ``mix_and_draw``, for a launch that it shares; its outputs are a ``Step``."""
    arrays = tuple(words) if isinstance(words, list | tuple) else (words,)
    _check_message(arrays)
    return mosaic_gpu.mix_and_draw_kernel(_digest(digest), arrays, interpret=interpret)


@partial(jax.jit, static_argnames=("bits", "interpret"))
def mix_and_prefix(
    digest: Array, words: Array | Sequence[Array], bits: int, *, interpret: bool = False
) -> tuple[Array, Array]:
    """Mix some words, then hash what the nonces of a proof of work follow, in one launch.

    Args:
      digest: uint32 ``[8]``.
      words: as for ``mix_and_draw``.
      bits: the difficulty, below 2^32.
      interpret: run on a CPU.

    Returns the digest after the mix, and ``channel.pow_prefix(bits)``, uint32 ``[8]``.
    """
    arrays = tuple(words) if isinstance(words, list | tuple) else (words,)
    _check_message(arrays)
    mixed, prefix = mosaic_gpu.mix_and_prefix(_digest(digest), arrays, bits, interpret=interpret)
    return mixed, prefix


@partial(jax.jit, static_argnames=("count", "interpret"))
def mix_and_draw_blocks(
    digest: Array, words: Array | Sequence[Array], count: int, *, interpret: bool = False
) -> Array:
    """Mix a few words, then make successive draws of 32-bit words, uint32 ``[count, 8]``.

    Args:
      digest: uint32 ``[8]``.
      words: as for ``mix_and_draw``, at most 8 words in all: one block with the digest.
      count: how many draws, at least 1.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape, type or count.
    """
    _check_count(count)
    arrays = tuple(words) if isinstance(words, list | tuple) else (words,)
    most = BLOCK_WORDS - DIGEST_WORDS
    if (size := _check_message(arrays)) > most:
        raise ValueError(f"words: expected at most {most}, got {size}")
    return mosaic_gpu.mix_and_draw_blocks(_digest(digest), arrays, count, interpret=interpret)


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")


def _check(name: str, array: Array, size: int | None) -> None:
    if not launch.is_words(array, (size,)):
        expected, got = f"[{'w' if size is None else size}]", tuple(array.shape)
        raise ValueError(f"{name}: expected uint32 {expected}, got {array.dtype} {got}")


def _check_message(arrays: Sequence[Array]) -> int:
    """Number of words."""
    for array in arrays:
        _check("words", array, None)
    if not all(a.shape[0] for a in arrays) or not arrays:
        raise ValueError(
            f"words: expected no empty array and at least one, got {[a.shape[0] for a in arrays]}"
        )
    return sum(a.shape[0] for a in arrays)


def _digest(digest: Array) -> Array:
    _check("digest", digest, DIGEST_WORDS)
    return digest
