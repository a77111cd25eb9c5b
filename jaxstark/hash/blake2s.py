"""BLAKE2s-256 (RFC 7693), unkeyed, over lanes: every lane of an array is an independent message.

``compress`` is one straight-line body for NumPy arrays, JAX tracers and Pallas kernels; loops,
layouts and barriers belong to the caller. Words are uint32, little-endian as in the RFC.
Source: protocol section 3.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from jaxstark.fields.words import apply

BLOCK_WORDS = 16
BLOCK_BYTES = 64
DIGEST_WORDS = 8
# Lanes per call of the two programs that hash on a CPU: wide for throughput, narrow for what
# does not fill it. Everything is cut to these widths, so that nothing else is ever compiled.
WIDE = 1 << 13
NARROW = 1 << 10

# fmt: off
IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)
SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
# fmt: on
# Chaining value before the first block: 32-byte digest, no key, sequential mode.
INITIAL = (IV[0] ^ 0x01010020, *IV[1:])
EMPTY_DIGEST = bytes.fromhex("69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9")

_MASK = 0xFFFFFFFF
# The columns, then the diagonals, of the 4 x 4 state.
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))

Words = tuple[Any, ...]


def _same(words: Words) -> Words:
    return words


def _sum_of_three(a: Any, b: Any, x: Any) -> Any:
    return apply("add", apply("add", a, b), x)


class Form(NamedTuple):
    """How a compression is written for a compiler; its value is the same.

    Attributes:
      barrier: applied to the 16 working words after each half round, see ``under_xla``.
      sum_of_three: ``a + b + x`` of words.
    """

    barrier: Callable[[Words], Words] = _same
    sum_of_three: Callable[[Any, Any, Any], Any] = _sum_of_three


PLAIN = Form()


def under_xla() -> Form:
    """With a barrier, without which XLA copies producers into every consumer."""
    from jax import lax

    return Form(lax.optimization_barrier)


def _rotate(x: Any, bits: int) -> Any:
    return apply("or", apply("shr", x, np.uint32(bits)), apply("shl", x, np.uint32(32 - bits)))


def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any, form: Form) -> tuple[Any, Any, Any, Any]:
    a = form.sum_of_three(a, b, x)
    d = _rotate(apply("xor", d, a), 16)
    c = apply("add", c, d)
    b = _rotate(apply("xor", b, c), 12)
    a = form.sum_of_three(a, b, y)
    d = _rotate(apply("xor", d, a), 8)
    c = apply("add", c, d)
    b = _rotate(apply("xor", b, c), 7)
    return a, b, c, d


def mix_round(v: Sequence[Any], message: Sequence[Any], form: Form = PLAIN) -> list[Any]:
    """One round on the 16 working words, with the 16 words of the block in the round's order."""
    v = list(v)
    for half, quads in enumerate((_COLUMNS, _DIAGONALS)):
        for i, (a, b, c, d) in enumerate(quads):
            x, y = message[8 * half + 2 * i : 8 * half + 2 * i + 2]
            v[a], v[b], v[c], v[d] = _mix(v[a], v[b], v[c], v[d], x, y, form)
        v = list(form.barrier(tuple(v)))
    return v


def initial_state(like: Any) -> Words:
    """Chaining value before the first block, as eight arrays of the shape of ``like`` (uint32)."""
    zero = like ^ like
    return tuple(zero | np.uint32(word) for word in INITIAL)


def compress(state: Words, message: Words, counter: Any, final: Any, form: Form = PLAIN) -> Words:
    """One compression of a 64-byte block.

    Args:
      state: 8 uint32 arrays, the chaining value.
      message: 16 uint32 arrays, the block, zero-filled after the last byte of the input.
      counter: input bytes up to the end of this block (zero fill not counted): an int below
        2^64, or a uint32 array that holds it when it is below 2^32.
      final: whether this is the last block: a bool, or a uint32 array of words 0 or ``2^32 - 1``.
      form: see ``Form``.

    Returns:
      8 uint32 arrays, the next chaining value, which is the digest if ``final``.
    """
    low: Any
    if isinstance(counter, int):
        low, high = np.uint32(IV[4] ^ (counter & _MASK)), np.uint32(IV[5] ^ (counter >> 32))
    else:
        low, high = counter ^ np.uint32(IV[4]), np.uint32(IV[5])
    if isinstance(final, bool):
        last = np.uint32(IV[6] ^ (_MASK if final else 0))
    else:
        last = final ^ np.uint32(IV[6])
    v: list[Any] = [*state, *map(np.uint32, IV[:4]), low, high, last, np.uint32(IV[7])]
    for sigma in SIGMA:
        v = mix_round(v, [message[j] for j in sigma], form)
    return tuple(h ^ x ^ y for h, x, y in zip(state, v[:8], v[8:], strict=True))


def hash_words(columns: Any, n_bytes: int | None = None) -> Any:
    """BLAKE2s-256 of every lane of ``columns``, uint32 ``[w, n]``; returns uint32 ``[8, n]``.

    The input of a lane is its w little-endian words, or the first ``n_bytes`` of them, where
    ``w`` is ``n_bytes / 4`` rounded up. NumPy in, NumPy out; JAX arrays and tracers otherwise.
    Raises ``ValueError`` if ``n_bytes`` does not fit ``w``.
    """
    words, lanes = columns.shape
    size = 4 * words if n_bytes is None else n_bytes
    if size < 0 or -(-size // 4) != words:
        raise ValueError(f"n_bytes: expected a length of {words} words, got {n_bytes}")
    if isinstance(columns, np.ndarray):
        zero, options, stack = np.zeros(lanes, np.uint32), {}, np.stack
    else:
        import jax.numpy as jnp

        zero, stack = jnp.zeros(lanes, np.uint32), jnp.stack
        options = {"form": under_xla()}
    rows = list(columns)
    if size % 4:
        rows[-1] = rows[-1] & np.uint32((1 << (8 * (size % 4))) - 1)
    n_blocks = max(1, -(-words // BLOCK_WORDS))
    rows += [zero] * (BLOCK_WORDS * n_blocks - words)
    state: Words = initial_state(zero)
    for b in range(n_blocks):
        message = tuple(rows[BLOCK_WORDS * b : BLOCK_WORDS * (b + 1)])
        counter = min(BLOCK_BYTES * (b + 1), size)
        state = compress(state, message, counter, b == n_blocks - 1, **options)
    return stack(state)


@functools.cache
def cpu_compressor(lanes: int) -> Callable[[Any, np.ndarray, int, bool], Any]:
    """``compress`` as a compiled CPU program of a fixed width, shared by everything that hashes.

    The function takes a state (uint32 ``[8, lanes]``, or None before the first block), a message
    ``[16, lanes]``, the counter (an int below 2^32) and the final flag, and returns the next
    state. The message may be read until the result is ready: wait before reusing its memory.
    """
    import jax
    import jax.numpy as jnp

    cpu = jax.local_devices(backend="cpu")[0]
    flags = {False: np.uint32(0), True: np.uint32(_MASK)}
    columns = np.tile(np.array(INITIAL, np.uint32)[:, None], (1, lanes))
    initial = jax.device_put(columns, cpu)

    @jax.jit
    def blake2s_compress(state: Any, message: Any, counter: Any, final: Any) -> Any:
        return jnp.stack(compress(tuple(state), tuple(message), counter, final, under_xla()))

    def call(state: Any, message: np.ndarray, counter: int, final: bool) -> Any:
        with jax.default_device(cpu):
            state = initial if state is None else state
            return blake2s_compress(state, message, np.uint32(counter), flags[final])

    # Compile here, in one thread, and not in all workers at once.
    call(None, np.zeros((BLOCK_WORDS, lanes), np.uint32), 0, True).block_until_ready()
    return call


_scratch = threading.local()


def message_buffer(lanes: int) -> np.ndarray:
    """This thread's memory for a message of ``cpu_compressor(lanes)``; content undefined."""
    buffers: dict[Any, np.ndarray] = _scratch.__dict__
    if lanes not in buffers:
        # XLA reads arrays in place, without a copy, if they are aligned to 64 bytes.
        size = BLOCK_WORDS * lanes
        memory = np.empty(size + 16, np.uint32)
        offset = -memory.ctypes.data % 64 // 4
        buffers[lanes] = memory[offset : offset + size].reshape(BLOCK_WORDS, lanes)
    return buffers[lanes]


def n_workers() -> int:
    """Threads that hash on a CPU."""
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return min(16, len(available) or os.cpu_count() or 1)


@functools.cache
def workers() -> ThreadPoolExecutor:
    """The threads. XLA keeps about one core busy with such a program, and overlaps threads."""
    return ThreadPoolExecutor(n_workers(), "blake2s")
