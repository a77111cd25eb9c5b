"""The kernel that runs a program over QM31: one loop for every AIR.

All threads of a block compute the same values as scalars and keep them in shared memory, where an
instruction finds its operands. Source: protocol section 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import lazy, m31, qm31
from jaxstark.fields.lazy import EMPTY
from jaxstark.fields.qm31 import QM31
from jaxstark.pallas import launch
from jaxstark.pallas.constraints.point_program import Program
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel

Array = Any
Ref = Any

# Vectors of one copy in flight.
_UNROLL = 8


def check(program: Program, arrays: Sequence[Array], *, interpret: bool) -> Kernel:
    """The kernel, whose output is the result of every block, uint32 ``[blocks, 4]``.

    ``arrays``: the inputs in the order of ``program.inputs``, uint32 ``[n, 4]``, or ``[n]`` for
    words of M31.
    """
    blocks, steps, _ = program.code.shape
    # The loop reads one instruction ahead.
    size = -(-(2 * steps + 2) // LANES) * LANES
    code = np.zeros((blocks, size), np.uint32)
    code[:, : 2 * steps] = program.code.reshape(blocks, -1)
    secure = [key[0] != "public" for key, _ in program.inputs]
    first = qm31.DEGREE * program.n_fixed

    def body(point: Any, instructions: Ref, *refs: Ref) -> None:
        *sources, out, slots, memory = refs
        own = [(point[0], pl.ds(start, LANES)) for start in range(0, size, LANES)]
        chunks = [launch.load(instructions, *index) for index in own]
        _fill(program, sources, secure, slots)
        for (_, where), chunk in zip(own, chunks, strict=True):
            launch.store(memory, chunk, where)
        launch.sync(interpret)

        def operand(field: Array) -> tuple[Array, list[Array]]:
            """Its sign and its words."""
            start = (field & np.uint32(0xFFFC)).astype(np.int32)
            return field & np.uint32(1), [slots[start + np.int32(c)] for c in range(qm31.DEGREE)]

        def step(i: Array, words: tuple[Array, Array]) -> tuple[Array, Array]:
            fields = [f for word in words for f in (word, word >> np.uint32(16))]
            following = (memory[2 * i + np.int32(2)], memory[2 * i + np.int32(3)])
            (not_a, a), (not_b, b), (_, c), (not_d, d) = map(operand, fields)
            a, b, d = (
                lazy.complement_if(flag, x) for flag, x in ((not_a, a), (not_b, b), (not_d, d))
            )
            totals = [lazy.add_word(EMPTY, word) for word in d]
            total = qm31.add(QM31(*a), QM31(*b))
            sums = lazy.secure_products(totals, total, lazy.factor(QM31(*c)))
            # Every instruction has a slot of its own, and a thread reads what it wrote itself:
            # threads need not wait for each other.
            for k, word in enumerate(map(lazy.reduce, sums)):
                slots[np.int32(first + k) + np.int32(qm31.DEGREE) * i] = word
            return following

        lax.fori_loop(np.int32(0), np.int32(steps), step, (memory[0], memory[1]))
        for k in range(qm31.DEGREE):
            out[point[0], k] = slots[first + qm31.DEGREE * (steps - 1) + k]

    out = (jax.ShapeDtypeStruct((blocks, qm31.DEGREE), np.uint32),)
    inputs = (code, *(array.reshape(-1) for array in arrays))
    scratch = (qm31.DEGREE * program.n_slots,), (size,)
    return Kernel(body, out, (blocks,), scratch, inputs)


def total(parts: Array) -> Array:
    """The sum of the results of all blocks, ``[blocks, 4]``."""
    out = parts[0]
    for part in parts[1:]:
        out = m31.add(out, part)
    return out


def _fill(program: Program, sources: Sequence[Ref], secure: Sequence[bool], slots: Ref) -> None:
    """Put inputs and constants into their slots."""
    loaded: list[tuple[Any, Array]] = []
    start = 0
    for (_, count), source, wide in zip(program.inputs, sources, secure, strict=True):
        words = qm31.DEGREE * count
        if not wide:
            for i in range(count):
                base = start + qm31.DEGREE * i
                loaded += [(base, source[i]), *((base + c, jnp.uint32(0)) for c in (1, 2, 3))]
        elif words < LANES:
            loaded += [(start + i, source[i]) for i in range(words)]
        else:
            done = _copy(source, words // (_UNROLL * LANES), slots, start)
            # The last vector may overlap the one before.
            rest = {*range(done, words - LANES, LANES), words - LANES} if done < words else ()
            for at in sorted(rest):
                loaded.append((pl.ds(start + at, LANES), launch.load(source, pl.ds(at, LANES))))
        start += words
    for constant in program.constants:
        loaded += [(start + c, jnp.uint32(word)) for c, word in enumerate(constant)]
        start += qm31.DEGREE
    # Loads first, so that all of them are in flight at once.
    for where, word in loaded:
        slots[where] = word


def _copy(source: Ref, count: int, slots: Ref, start: int) -> int:
    """Copy the first words, as many as ``count`` runs of eight vectors; returns how many."""
    size = _UNROLL * LANES

    def step(i: Array, _: None) -> None:
        places = [i * np.int32(size) + np.int32(LANES * k) for k in range(_UNROLL)]
        vectors = [launch.load(source, pl.ds(at, LANES)) for at in places]
        for at, vector in zip(places, vectors, strict=True):
            slots[pl.ds(np.int32(start) + at, LANES)] = vector

    if count:
        lax.fori_loop(np.int32(0), np.int32(count), step, None)
    return count * size
