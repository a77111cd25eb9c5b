"""The DEEP kernel: weighted sums of columns, and on the largest size the quotients.

A thread owns a few rows of the domain. Numerators stay in lazy 64-bit words while a loop reads the
columns, and one inversion serves the denominators of all its points and vectors of rows.
Source: protocol section 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.deep import Coefficients
from jaxstark.fields import cm31, m31, qm31, wide
from jaxstark.fields.cm31 import CM31
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.pallas import launch, lifted
from jaxstark.pallas.deep.config import DeepConfig
from jaxstark.pallas.deep.schedule import spread
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any


class Source(NamedTuple):
    """Rows of an input array, of its own log size."""

    array: int
    log: int
    row: int


class Columns(NamedTuple):
    """``count`` rows from a source and, per index of a point, the first of as many weights."""

    source: Source
    count: int
    terms: tuple[tuple[int, int], ...]


def numerators(
    arrays: Sequence[Array],
    runs: Sequence[Columns],
    starts: Sequence[Source | None],
    data: Coefficients,
    log_size: int,
    *,
    config: DeepConfig,
    interpret: bool = False,
) -> Steps[Array]:
    """Weighted sums of rows, added to starts of four rows each: ``[points, 4, 2^log_size]``."""
    return _run(arrays, runs, starts, data, log_size, None, config, interpret)


def quotients(
    arrays: Sequence[Array],
    runs: Sequence[Columns],
    starts: Sequence[Source | None],
    data: Coefficients,
    x: Array,
    y: Array,
    *,
    config: DeepConfig,
    interpret: bool = False,
) -> Steps[Array]:
    """As ``numerators``, then with lines, divided and added over all points: ``[4, 2^H]``."""
    log_size = x.shape[0].bit_length() - 1
    return _run(arrays, runs, starts, data, log_size, (x, y), config, interpret)


def _run(
    arrays: Sequence[Array],
    runs: Sequence[Columns],
    starts: Sequence[Source | None],
    data: Coefficients,
    log_size: int,
    domain: tuple[Array, Array] | None,
    config: DeepConfig,
    interpret: bool,
) -> Steps[Array]:
    n_points = len(starts)
    words, vectors = config.cut(log_size, n_points)
    lanes = LANES * words
    barrier = launch.half_round_barrier(interpret)

    def body(point: Any, *refs: Ref) -> None:
        *inputs, out = refs
        first = point[0] * (lanes * vectors)
        for_domain = [inputs.pop() for _ in domain or ()][::-1]
        sources, coefficients = inputs[: len(arrays)], inputs[len(arrays) :]
        tiles = [
            _Tile(first + v * lanes, lanes, words, log_size, interpret) for v in range(vectors)
        ]
        weights = coefficients[0]
        constants = coefficients[2] if domain else None
        sums = [_start(tiles, sources, s, constants, p) for p, s in enumerate(starts)]
        for run in runs:
            used = [p for p, _ in run.terms]
            after = _add_run(tiles, sources, run, weights, [sums[p] for p in used], config, barrier)
            for p, s in zip(used, after, strict=True):
                sums[p] = s
        if not domain:
            for p, per_tile in enumerate(sums):
                for tile, total in zip(tiles, per_tile, strict=True):
                    for w, word in enumerate(total):
                        launch.store(out, wide.narrow(word), p, w, tile.here)
            return
        xs, ys = ([launch.load(ref, t.here) for t in tiles] for ref in for_domain)
        totals = _divide(sums, xs, ys, coefficients[1], coefficients[3], barrier)
        for tile, total in zip(tiles, totals, strict=True):
            for w, word in enumerate(total):
                launch.store(out, word, w, tile.here)

    size = 1 << log_size
    shape = (DEGREE, size) if domain else (n_points, DEGREE, size)
    out = jax.ShapeDtypeStruct(shape, np.uint32)
    inputs = *arrays, *(data if domain else data[:1]), *(domain or ())
    (made,) = yield Kernel(body, (out,), (size // (lanes * vectors),), (), inputs)
    return made


class _Tile:
    """Consecutive rows of the domain, and how they see smaller columns."""

    def __init__(
        self, first: Array, lanes: int, words: int, log_size: int, interpret: bool
    ) -> None:
        self.first, self.lanes, self.words, self.log_size = first, lanes, words, log_size
        self.interpret = interpret
        self.here = pl.ds(first, lanes)

    def load(self, ref: Ref, row: Any, log: int) -> Array:
        """The words that the lift of a row of ``2^log`` words shows here."""
        if log == self.log_size:
            return launch.load(ref, row, self.here)
        if self.words == 1:
            block = lax.shift_right_logical(self.first, np.int32(LANES.bit_length() - 1))
            copies_log = self.log_size - log
            return lifted.load(ref, row, block, copies_log, interpret=self.interpret)
        if not spread(log, self.log_size, self.words):
            raise ValueError(f"lift in the kernel: expected one pair per load, got log {log}")
        slot = (self.first >> np.int32(self.log_size - log + 1)) * 2
        even, odd = (jnp.broadcast_to(ref[row, slot + i], (self.lanes,)) for i in range(2))
        is_odd = launch.lane_numbers(self.lanes) & np.uint32(1) == np.uint32(1)
        return jnp.where(is_odd, odd, even)


def _start(
    tiles: Sequence[_Tile],
    sources: Sequence[Ref],
    start: Source | None,
    constants: Ref | None,
    point: int,
) -> list[tuple[Any, ...]]:
    """Per tile the four wide words from which the numerator of a point starts."""
    out = []
    for tile in tiles:
        words = []
        for w in range(DEGREE):
            word = launch.constant(0, tile.lanes)
            if constants is not None:
                word = word + jnp.broadcast_to(constants[point, w], word.shape)
            if start is not None:
                word = m31.add(word, tile.load(sources[start.array], start.row + w, start.log))
            words.append(wide.widen(word))
        out.append(tuple(words))
    return out


def _add_run(
    tiles: Sequence[_Tile],
    sources: Sequence[Ref],
    run: Columns,
    weights: Ref,
    sums: list[Any],
    config: DeepConfig,
    barrier: Any,
) -> Any:
    """``sums[point][tile]`` with the columns of a run added, for the points of the run."""
    source = run.source

    def add(first: Any, count: int, sums: Any) -> Any:
        loads = [
            [
                wide.widen(tile.load(sources[source.array], source.row + first + i, source.log))
                for i in range(count)
            ]
            for tile in tiles
        ]
        out = []
        for (_, term), per_tile in zip(run.terms, sums, strict=True):
            factors = [
                [wide.widen(weights[term + first + i, w]) for i in range(count)]
                for w in range(DEGREE)
            ]
            new = []
            for columns, total in zip(loads, per_tile, strict=True):
                words = []
                for factor, word in zip(factors, total, strict=True):
                    pairs = [
                        (x, jnp.broadcast_to(f, x.shape))
                        for x, f in zip(columns, factor, strict=True)
                    ]
                    for i in range(0, count, wide.PRODUCTS):
                        word = wide.add_products(word, pairs[i : i + wide.PRODUCTS])
                    words.append(word)
                new.append(tuple(words))
            out.append(tuple(new))
        return barrier(tuple(out))

    passes, rest = divmod(run.count, config.unroll)
    carry: Any = tuple(tuple(s) for s in sums)
    if passes == 1:
        carry = add(0, config.unroll, carry)
    elif passes:
        carry = wide.fori_loop(
            passes, lambda i, s: add(i * np.int32(config.unroll), config.unroll, s), carry
        )
    if rest:
        carry = add(passes * config.unroll, rest, carry)
    return carry


def _divide(
    sums: Sequence[Sequence[Any]],
    xs: Sequence[Array],
    ys: Sequence[Array],
    slopes: Ref,
    lines: Ref,
    barrier: Any,
) -> list[QM31]:
    """Per tile the sum over the points of ``(numerator + slope y) / line``."""
    norms, conjugates = [], []
    for p in range(len(sums)):
        for x, y in zip(xs, ys, strict=True):
            line = CM31(*(_line(lines, p, part, x, y) for part in range(2)))
            norms.append(m31.add(m31.sq(line.re), m31.sq(line.im)))
            conjugates.append(cm31.conj(line))
    inverses = m31.inv_each(barrier(norms))
    totals: list[Any] = [None] * len(xs)
    for p, per_tile in enumerate(sums):
        for v, (total, y) in enumerate(zip(per_tile, ys, strict=True)):
            numerator = (
                wide.add_products(
                    word, [(wide.widen(y), jnp.broadcast_to(wide.widen(slopes[p, w]), y.shape))]
                )
                for w, word in enumerate(total)
            )
            which = p * len(xs) + v
            inverse = cm31.mul_base(conjugates[which], inverses[which])
            quotient = qm31.mul_cm31(QM31(*map(wide.narrow, numerator)), inverse)
            totals[v] = barrier(quotient if p == 0 else qm31.add(totals[v], quotient))
    return totals


def _line(lines: Ref, point: int, part: int, x: Array, y: Array) -> Array:
    """One coordinate of the line through a point and its conjugate, at rows of the domain."""
    c0, cx, cy = (wide.widen(jnp.broadcast_to(lines[point, i, part], x.shape)) for i in range(3))
    return wide.narrow(wide.add_products(c0, [(wide.widen(x), cx), (wide.widen(y), cy)]))
