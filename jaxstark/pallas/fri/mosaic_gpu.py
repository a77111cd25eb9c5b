"""FRI kernels: a thread folds a coset of consecutive values, and may hash what it folded.

Source: protocol section 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.fields import lazy, m31, qm31
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.blake2s import form
from jaxstark.pallas.blake2s.message import value_digest
from jaxstark.pallas.fri.config import FoldConfig
from jaxstark.pallas.launch import LANES

Array = Any
Ref = Any
Rows = Sequence[Any]


class Source(NamedTuple):
    """Where a fold reads.

    Attributes:
      arrays: inputs of a kernel.
      cosets: number of cosets, a multiple of 128.
      value: called with references of the arrays, cosets (a slice) and a position in them: the
        value there.
      inverse: the same with the number of folds before: the twiddle of the pair there.
    """

    arrays: tuple[Array, ...]
    cosets: int
    value: Callable[[Sequence[Ref], Any, Any], QM31]
    inverse: Callable[[Sequence[Ref], Any, int, Any], Array]


def wide_source(values: Array, table: Array, step: int) -> Source:
    """A layer with at least 128 cosets, from the arrays as they are."""
    cosets = values.shape[1] >> step
    # Fold r has its twiddles from entry cosets * width on, so from row ``cosets`` of this view.
    widths = [1 << (step - 1 - r) for r in range(step)]
    tables = tuple(table.reshape(-1, width) for width in widths)

    def value(refs: Sequence[Ref], here: Any, position: Any) -> QM31:
        return QM31(*(launch.load(refs[0], k, here, position) for k in range(DEGREE)))

    def inverse(refs: Sequence[Ref], here: Any, fold: int, pair: Any) -> Array:
        rows = pl.ds(here.start + np.int32(cosets), here.size)
        return launch.load(refs[1 + fold], rows, pair)

    return Source((values.reshape(DEGREE, cosets, 1 << step), *tables), cosets, value, inverse)


def narrow_source(values: Array, table: Array, step: int) -> Source:
    """A layer with fewer than 128 cosets, which are repeated."""
    cosets, size = values.shape[1] >> step, 1 << step
    rows = [*values.reshape(DEGREE, cosets, size)]
    widths = [1 << (step - 1 - r) for r in range(step)]
    parts = [table[cosets * w : 2 * cosets * w].reshape(cosets, w) for w in widths]
    parts.append(jnp.zeros((cosets, 1), np.uint32))
    rows.append(jnp.concatenate(parts, axis=1))
    packed = jnp.tile(jnp.stack(rows), (1, LANES // cosets, 1))

    def value(refs: Sequence[Ref], here: Any, position: Any) -> QM31:
        return QM31(*(launch.load(refs[0], k, here, position) for k in range(DEGREE)))

    def inverse(refs: Sequence[Ref], here: Any, fold: int, pair: Any) -> Array:
        column = size - (size >> fold) + pair
        return launch.load(refs[0], DEGREE, here, column)

    return Source((packed,), LANES, value, inverse)


def fold(
    source: Source,
    alpha: Array,
    step: int,
    *,
    squarings: int,
    config: FoldConfig,
    interpret: bool = False,
) -> Array:
    """Fold every coset into one value, uint32 ``[4, cosets]``.

    ``squarings``: how often the challenge is squared before the first fold.
    """
    repeat = 1 << config.cosets_log
    while source.cosets % (repeat * LANES):
        repeat //= 2

    def body(point: Any, challenge: Ref, *refs: Ref) -> None:
        *sources, out = refs
        rows = powers(challenge, step, squarings)

        def one(i: Any, carry: Array) -> Array:
            here = pl.ds((point[0] * repeat + i) * LANES, LANES)
            for k, word in enumerate(fold_coset(source, sources, here, rows, config.unrolled)):
                launch.store(out, word, k, here)
            return carry

        _repeat(repeat, one)

    out = jax.ShapeDtypeStruct((DEGREE, source.cosets), np.uint32)
    blocks = source.cosets // (LANES * repeat)
    # Nothing is read back that was written: no barriers.
    run = launch.launch(body, out, grid=(blocks,), barriers=False, interpret=interpret)
    return run(alpha, *source.arrays)


def fold_and_hash(
    source: Source,
    alpha: Array,
    step: int,
    pack_log: int,
    *,
    config: FoldConfig,
    interpret: bool = False,
) -> tuple[Array, Array]:
    """The folded values, uint32 ``[4, cosets]``, and the digests of their leaves.

    A block folds all values of 128 leaves, which meet in shared memory.
    """
    pack = 1 << pack_log
    blocks = source.cosets // (LANES * pack)

    def body(point: Any, unit: Ref, challenge: Ref, *refs: Ref) -> None:
        *sources, out, digests, memory = refs
        rows = powers(challenge, step, 0)

        def one(i: Any, carry: Array) -> Array:
            here = pl.ds((point[0] * pack + i) * LANES, LANES)
            for k, word in enumerate(fold_coset(source, sources, here, rows, config.unrolled)):
                launch.store(out, word, k, here)
                leaves = pl.ds(i * (LANES // pack), LANES // pack)
                memory[k, leaves, :] = word.reshape(LANES // pack, pack)
            return carry

        _repeat(pack, one)
        launch.sync(interpret)
        everything = pl.ds(0, LANES)

        def message(start: Any, count: int) -> list[Array]:
            return [
                launch.load(memory, k, everything, start + j)
                for j in range(count)
                for k in range(DEGREE)
            ]

        written = form.busy(unit[0], interpret)
        words = value_digest(message, pack, 4 * DEGREE * pack, LANES, written)
        for k, word in enumerate(words):
            launch.store(digests, word, k, pl.ds(point[0] * LANES, LANES))

    out = [
        jax.ShapeDtypeStruct((DEGREE, source.cosets), np.uint32),
        jax.ShapeDtypeStruct((DIGEST_WORDS, source.cosets >> pack_log), np.uint32),
    ]
    memory = launch.shared((DEGREE, LANES, pack))
    run = launch.launch(
        body, out, grid=(blocks,), scratch=(memory,), barriers=False, interpret=interpret
    )
    return tuple(run(form.ONE, alpha, *source.arrays))


# Parts of a kernel.


def powers(challenge: Ref, step: int, squarings: int) -> list[Rows]:
    """``alpha^(2^(squarings + r))`` for every fold r, as factors of ``lazy``."""
    alpha = QM31(*(jnp.broadcast_to(challenge[k], (LANES,)) for k in range(DEGREE)))
    for _ in range(squarings):
        alpha = qm31.sq(alpha)
    out: list[Rows] = [lazy.factor(alpha)]
    while len(out) < step:
        alpha = qm31.sq(alpha)
        out.append(lazy.factor(alpha))
    return out


def fold_coset(
    source: Source, refs: Sequence[Ref], here: Any, rows: Sequence[Rows], unrolled: int
) -> QM31:
    """The values of 128 cosets, folded depth first: few values are alive at a time.

    A loop does the first ``unrolled`` folds of one part of the cosets after the other.
    """
    step = len(rows)
    unrolled = min(unrolled, step)

    def pair(left: QM31, right: QM31, folds: int, position: Any) -> QM31:
        inverse = source.inverse(refs, here, folds, position)
        return halve(left, right, inverse, rows[folds])

    def node(folds: int, position: Any) -> QM31:
        if folds == 0:
            return source.value(refs, here, position)
        left, right = node(folds - 1, 2 * position), node(folds - 1, 2 * position + 1)
        return pair(left, right, folds - 1, position)

    if unrolled == step:
        return node(step, 0)
    count = 1 << (step - unrolled)

    def part(i: Any, parts: tuple[QM31, ...]) -> tuple[QM31, ...]:
        new = node(unrolled, i)
        return tuple(
            QM31(*(lax.select(i == np.int32(k), x, y) for x, y in zip(new, old, strict=True)))
            for k, old in enumerate(parts)
        )

    zero = QM31(*[launch.constant(0)] * DEGREE)
    parts = list(lax.fori_loop(np.int32(0), np.int32(count), part, (zero,) * count))
    for folds in range(unrolled, step):
        halves = zip(parts[::2], parts[1::2], strict=True)
        parts = [pair(left, right, folds, k) for k, (left, right) in enumerate(halves)]
    return parts[0]


def halve(left: QM31, right: QM31, inverse: Array, rows: Rows) -> QM31:
    """One fold of a pair: ``left + right + alpha (left - right) inverse``."""
    odd = QM31(*(m31.mul(m31.sub(x, y), inverse) for x, y in zip(left, right, strict=True)))
    even = [
        lazy.add_word(lazy.add_word(lazy.EMPTY, x), y) for x, y in zip(left, right, strict=True)
    ]
    return QM31(*map(lazy.reduce, lazy.secure_products(even, odd, rows)))


def _repeat(count: int, step: Any) -> None:
    if count == 1:
        step(0, 0)
    else:
        lax.fori_loop(np.int32(0), np.int32(count), step, np.int32(0))
