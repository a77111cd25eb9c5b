"""LogUp kernels: fractions and their running sums over the batches of a row, sums over rows.

A thread makes the fractions of one row. Source: protocol section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.air.definition import Air, Row
from jaxstark.fields import lazy, m31, qm31
from jaxstark.fields.lazy import EMPTY
from jaxstark.fields.qm31 import QM31
from jaxstark.pallas import launch
from jaxstark.pallas.constraints import evaluation
from jaxstark.pallas.constraints.config import InteractionConfig
from jaxstark.pallas.constraints.evaluation import Fraction, Masks
from jaxstark.pallas.constraints.reads import Reads
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any


def fractions(
    air: Air,
    index: int,
    reads: Reads,
    arrays: Mapping[Any, Array],
    rows: int,
    *,
    config: InteractionConfig,
    interpret: bool,
) -> Steps[list[Array]]:
    """LogUp columns up to the sum over rows.

    ``arrays``: ``columns``, all columns of the component in row order; ``("fixed", name)``, each
    preprocessed column that is read; ``back``, the trace columns of ``reads.previous`` one row
    back, in the order of declaration; scalars as in ``quotient``. Fewer than 128 rows are
    repeated, here and in what is returned: uint32 ``[4 (batches - 1), rows]``, if there are several
    batches, without the last secure column; the sums of that column over the rows of each block up
    to each row, ``[4, rows]``; and the sums over whole blocks, ``[4, n]`` with n the number of
    blocks, or 128 if that is more.
    """
    comp, info = air.components[index], air.info.components[index]
    names, blocks = tuple(arrays), max(rows // LANES, 1)

    def body(point: Any, *refs: Ref) -> None:
        *sources, local, totals, exchange = refs
        table = sources.pop() if info.n_batches > 1 else None
        memory = dict(zip(names, sources, strict=True))
        here = pl.ds(point[0] * LANES, LANES)
        entries, public = evaluation.scalars(air, reads, memory, LANES)
        pending: list[Sequence[Fraction]] = []
        total: Any = None
        done = 0

        def on_batch(batch: Sequence[Fraction]) -> None:
            nonlocal total, done
            pending.append([(weight, evaluation.barrier(den, interpret)) for weight, den in batch])
            left = info.n_batches - done - len(pending)
            if left and len(pending) < config.batches_per_inverse:
                return
            for value in _running_sums(pending, total, interpret):
                total = value
                done += 1
                if done < info.n_batches:
                    for c, word in enumerate(value):
                        launch.store(table, word, 4 * (done - 1) + c, here)
            pending.clear()

        row = _trace_row(comp, reads, memory, here)
        comp.evaluate(
            row,
            evaluation.Evaluator(public, entries, info.n_entries, lambda _: None, on_batch),
        )
        for c, word in enumerate(_scan(total, exchange, interpret)):
            launch.store(local, word, c, here)
            exchange[0, c, pl.ds(LANES, LANES)] = word
        launch.sync(interpret)
        for c in range(qm31.DEGREE):
            totals[c, point[0]] = exchange[0, c, LANES + min(rows, LANES) - 1]

    out = [
        jax.ShapeDtypeStruct(shape, np.uint32)
        for shape in (
            (4 * (info.n_batches - 1), LANES * blocks),
            (4, LANES * blocks),
            (4, max(blocks, LANES)),
        )
        if shape[0]
    ]
    # Fitted to the components of the virtual machine.
    code = 30 + reads.n_columns + 6 * info.n_entries
    scratch, inputs = (_exchange(qm31.DEGREE),), tuple(arrays.values())
    return (yield Kernel(body, tuple(out), (blocks,), scratch, inputs, code))


def _trace_row(comp: Any, reads: Reads, memory: Mapping[Any, Ref], here: Any) -> Row:
    """Masks in row order."""
    current: dict[str, Any] = {}
    for name in comp.preprocessed_names:
        read = name in reads.current
        current[name] = partial(launch.load, memory["fixed", name], here) if read else None
    for i, name in enumerate(comp.columns):
        read = name in reads.current
        current[name] = partial(launch.load, memory["columns"], i, here) if read else None
    previous: dict[str, Any] = dict.fromkeys(comp.columns)
    order = [name for name in comp.columns if name in reads.previous]
    for i, name in enumerate(order):
        previous[name] = partial(launch.load, memory["back"], i, here)
    return Row(Masks(current), Masks(previous))


def _running_sums(
    pending: Sequence[Sequence[Fraction]], total: QM31 | None, interpret: bool
) -> list[QM31]:
    """``total`` plus the first batch, and so on; one inversion in M31 for all of them."""
    nums, dens, norms = [], [], []
    for batch in pending:
        nums.append(evaluation.add_numerator([EMPTY] * qm31.DEGREE, batch, LANES))
        dens.append(evaluation.denominator(batch))
        norms.append(lazy.norm(dens[-1]))
    # A denominator 0, which no honest proof meets, spoils no other: its norm is replaced.
    units = [lax.max(n, np.uint32(1)) for _, _, n in norms]
    inverses = evaluation.barrier(m31.inv_each(units), interpret)
    out = []
    for num, den, (re, im, _), inverse in zip(nums, dens, norms, inverses, strict=True):
        start = [EMPTY] * 4 if total is None else [lazy.add_word(EMPTY, word) for word in total]
        inverted = lazy.reciprocal(den, re, im, inverse)
        if num[1].words is None:
            weight = lazy.reduce(num[0])
            sums = [
                lazy.add_product(t, weight, word) for t, word in zip(start, inverted, strict=True)
            ]
        else:
            sums = lazy.secure_products(start, evaluation.reduced(num), lazy.factor(inverted))
        total = evaluation.barrier(evaluation.reduced(sums), interpret)
        out.append(total)
    return out


def _exchange(count: int) -> tuple[int, ...]:
    """Shared memory for ``_scan``: two buffers; a vector lies behind as many zeros."""
    return (2, count, 2 * LANES)


def _scan(vectors: Sequence[Array], exchange: Ref, interpret: bool) -> list[Array]:
    """Sums over lanes 0 .. i in lane i. The first of the two buffers is free afterwards."""
    zero = launch.constant(0)
    for buffer in range(2):
        for c in range(len(vectors)):
            exchange[buffer, c, pl.ds(0, LANES)] = zero
    out = list(vectors)
    # Buffers alternate: a thread that writes one has passed the barrier that followed the reads.
    for step in range(LANES.bit_length() - 1):
        buffer = (step + 1) % 2
        for c, vector in enumerate(out):
            exchange[buffer, c, pl.ds(LANES, LANES)] = vector
        launch.sync(interpret)
        for c, vector in enumerate(out):
            shifted = launch.load(exchange, buffer, c, pl.ds(LANES - (1 << step), LANES))
            out[c] = m31.add(vector, shifted)
    return out


def offsets(totals: Array, count: int, *, interpret: bool) -> Steps[tuple[Array, Array]]:
    """Sums of the words before each word, and of all words.

    ``totals``: uint32 ``[4, n]``, n a power of two, at least 128; only the first ``count``, a power
    of two, matter. Returns uint32 ``[4, n]`` and ``[4]``. One block for each row: a lane adds up
    consecutive words, and lanes their sums.
    """
    each = totals.shape[1] // LANES
    unroll = min(each, 8)

    def body(point: Any, source: Ref, out: Ref, sums: Ref, exchange: Ref) -> None:
        def words(i: Any) -> list[Array]:
            return [
                launch.load(source, point[0], slice(None), i * unroll + j) for j in range(unroll)
            ]

        def add(i: Any, total: Array) -> Array:
            for word in words(i):
                total = m31.add(total, word)
            return total

        def write(i: Any, total: Array) -> Array:
            for j, word in enumerate(words(i)):
                out[point[0], :, i * unroll + j] = total
                total = m31.add(total, word)
            return total

        steps = np.int32(each // unroll)
        mine = lax.fori_loop(np.int32(0), steps, add, launch.constant(0))
        (total,) = _scan([mine], exchange, interpret)
        exchange[0, 0, pl.ds(LANES, LANES)] = total
        lax.fori_loop(np.int32(0), steps, write, m31.sub(total, mine))
        launch.sync(interpret)
        sums[point[0]] = exchange[0, 0, LANES + min(count, LANES) - 1]

    out = (4, LANES, each), (4,)
    out = tuple(jax.ShapeDtypeStruct(shape, np.uint32) for shape in out)
    source = totals.reshape(4, LANES, each)
    before, sums = yield Kernel(body, out, (4,), (_exchange(1),), (source,))
    return before.reshape(4, -1), sums


def settled(
    local: Array, before: Array, claimed: Array, rows: int, *, interpret: bool
) -> Steps[Array]:
    """The last secure column, of the shape of ``local``: cyclic sums, 0 in the last row.

    Args:
      local: sums over the rows of each block up to each row, uint32 ``[4, rows]``; or 128 of them,
        of which those behind the last row mean nothing, here and in what is returned.
      before: sums over the blocks before each block, uint32 ``[4, n]``, n at least their number.
      claimed: sums over all rows, uint32 ``[4]``.
      rows: how many there are, a power of two.
      interpret: run on a CPU.
    """

    def body(point: Any, local: Ref, before: Ref, claimed: Ref, out: Ref) -> None:
        here = pl.ds(point[0] * LANES, LANES)
        words = [launch.load(local, c, here) for c in range(qm31.DEGREE)]
        starts = [launch.uniform(before[c, point[0]]) for c in range(qm31.DEGREE)]
        sums = [launch.uniform(claimed[c]) for c in range(qm31.DEGREE)]
        first = launch.uniform(point[0].astype(np.uint32) * np.uint32(LANES))
        # An equal share of the sum is subtracted at every row.
        parts = m31.mul(launch.lane_numbers() + first + np.uint32(1), pow(rows, -1, m31.P))
        for c, (word, start, whole) in enumerate(zip(words, starts, sums, strict=True)):
            value = m31.sub(m31.add(word, start), m31.mul(whole, parts))
            launch.store(out, value, c, here)

    out = jax.ShapeDtypeStruct(local.shape, np.uint32)
    grid = (local.shape[1] // LANES,)
    (last,) = yield Kernel(body, (out,), grid, (), (local, before, claimed))
    return last
