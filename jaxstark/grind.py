"""Proof of work: find the smallest nonce. Source: protocol section 5."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark.hash import blake2s
from jaxstark.hash.blake2s import DIGEST_WORDS

MAX_BITS = 64
_INPUT_BYTES = 40  # prefix and nonce
_LOW = 0xFFFFFFFF
_MAX_LANES = 1 << 20
# Chunks of nonces between two progress reports.
_CPU_BATCH = 256
_DEVICE_LANES, _DEVICE_BATCH = 1 << 16, 1 << 10

Progress = Callable[[int], None]


def grind(
    prefix: bytes, bits: int, *, lanes: int = blake2s.WIDE, progress: Progress | None = None
) -> int:
    """The smallest nonce that passes a proof of work.

    A nonce passes if BLAKE2s(prefix || nonce as 8 bytes little-endian) has ``bits`` trailing zero
    bits in its first 16 bytes, read as a little-endian number.

    Args:
      prefix: 32 bytes, ``channel.pow_prefix(bits)``.
      bits: difficulty, 0..64; 0 gives nonce 0.
      lanes: nonces per program call on a CPU, a power of two.
      progress: called with the number of nonces tried, after each batch without a hit.

    Raises ``ValueError`` for a prefix, difficulty or lane count out of range.
    """
    if not isinstance(prefix, bytes) or len(prefix) != 32:
        raise ValueError(f"prefix: expected 32 bytes, got {prefix!r}")
    if type(bits) is not int or not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits: expected an int in 0..{MAX_BITS}, got {bits!r}")
    if lanes.bit_count() != 1 or lanes > _MAX_LANES:
        raise ValueError(f"lanes: expected a power of two up to {_MAX_LANES}, got {lanes}")
    if bits == 0:
        return 0
    words = np.frombuffer(prefix, "<u4").astype(np.uint32)
    masks = masks_of(bits)
    if jax.default_backend() == "cpu":
        search, batch = partial(_search_cpu, words, masks, lanes), _CPU_BATCH * lanes
    else:
        search, batch = partial(_search_device, words, masks), _DEVICE_BATCH * _DEVICE_LANES
    base = 0
    while True:
        nonce = search(base)
        if nonce is not None:
            return nonce
        base += batch
        if progress is not None:
            progress(base)


def masks_of(bits: int) -> np.ndarray:
    """Bits of the first two digest words that must be 0, uint32 ``[2]``."""
    mask = (1 << bits) - 1
    return np.array([mask & _LOW, mask >> 32], np.uint32)


def _search_cpu(words: np.ndarray, masks: np.ndarray, lanes: int, base: int) -> int | None:
    """The smallest nonce that passes among the ``_CPU_BATCH`` chunks from ``base`` on."""
    compress = blake2s.cpu_compressor(lanes)
    n_workers = blake2s.n_workers()
    hits = [sys.maxsize] * n_workers

    def work(worker: int) -> None:
        message = blake2s.message_buffer(lanes)
        message[:DIGEST_WORDS] = words[:, None]
        message[DIGEST_WORDS + 2 :] = 0
        offsets = np.arange(lanes, dtype=np.uint32)
        for i in range(worker, _CPU_BATCH, n_workers):
            start = base + i * lanes
            # Another worker's hit ends the search only above it: the smallest nonce is wanted.
            if start > min(hits):
                return
            # Chunks are aligned to their power-of-two size, so that the low word never wraps.
            message[DIGEST_WORDS] = offsets + np.uint32(start & _LOW)
            message[DIGEST_WORDS + 1] = np.uint32(start >> 32)
            digest = np.asarray(compress(None, message, _INPUT_BYTES, True))
            passing = np.flatnonzero((digest[0] & masks[0] | digest[1] & masks[1]) == 0)
            if passing.size:
                hits[worker] = start + int(passing[0])
                return

    list(blake2s.workers().map(work, range(n_workers)))
    best = min(hits)
    return None if best == sys.maxsize else best


def _search_device(words: np.ndarray, masks: np.ndarray, base: int) -> int | None:
    """The same for the default device, as one program without host trips."""
    start = np.uint32(base & _LOW), np.uint32(base >> 32)
    chunk, lane = _search_loop(words, masks, *start, lanes=_DEVICE_LANES, chunks=_DEVICE_BATCH)
    if int(lane) == _DEVICE_LANES:
        return None
    return base + int(chunk) * _DEVICE_LANES + int(lane)


@partial(jax.jit, static_argnames=("lanes", "chunks"))
def _search_loop(
    words: Any, masks: Any, low: Any, high: Any, *, lanes: int, chunks: int
) -> tuple[Any, Any]:
    """``(chunk, lane)`` of the first hit from nonce ``(low, high)`` on; lane ``lanes`` if none.

    ``lanes * chunks`` divides 2^32 and the first nonce: the low word never wraps in a call.
    """
    offsets = jnp.arange(lanes, dtype=np.uint32)
    zero = jnp.zeros(lanes, np.uint32)
    head = tuple(zero | word for word in words)

    def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
        chunk = state[0] + np.uint32(1)
        message = (*head, offsets + (low + chunk * np.uint32(lanes)), zero | high, *[zero] * 6)
        message = lax.optimization_barrier(message)
        start, form = blake2s.initial_state(zero), blake2s.under_xla()
        digest = blake2s.compress(start, message, _INPUT_BYTES, True, form)
        passes = (digest[0] & masks[0] | digest[1] & masks[1]) == np.uint32(0)
        return chunk, jnp.min(jnp.where(passes, offsets, np.uint32(lanes)))

    def searching(state: tuple[Any, Any]) -> Any:
        # The chunk counter starts below 0, hence wraps to the last word.
        return (state[1] == np.uint32(lanes)) & (state[0] + np.uint32(1) < np.uint32(chunks))

    return lax.while_loop(searching, body, (jnp.uint32(_LOW), jnp.uint32(lanes)))
