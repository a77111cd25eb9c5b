"""Kernels for values out of domain.

Coefficient m of a column meets the product of the basis factors of the bits of m. The index is
split as ``m = 2^l high + low``: one block adds coefficients times the products of the high bits,
the weights, in lazy 64-bit words, and multiplies its ``2^l`` sums by the products of the low bits.
Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from jaxstark.circle import (
    IDENTITY,
    Point,
    SecurePoint,
    secure_add,
    secure_double,
    secure_point,
)
from jaxstark.fields import qm31, wide
from jaxstark.fields.qm31 import DEGREE, QM31
from jaxstark.pallas import launch
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.oods.config import Tile

Array = Any
Ref = Any


def multiples(points: Array, count: int, *, interpret: bool = False) -> Array:
    """Points ``[n, 2, 4]`` doubled 0 .. count - 1 times: ``[n, count, 2, 4]``."""

    def first(which: Array, source: Ref) -> SecurePoint:
        return SecurePoint(*(QM31(*(source[which, c, w] for w in range(DEGREE))) for c in range(2)))

    return _multiples(points, len(points), count, first, interpret)


def _drawn(which: Array, felt: Ref, back: Point) -> SecurePoint:
    """The point of a felt ``[4]``, and for ``which`` = 1 that point plus ``back``."""
    point = secure_point(QM31(*(felt[w] for w in range(DEGREE))))
    here = which == 0
    pairs = zip(IDENTITY, back, strict=True)
    offset = Point(*(jnp.where(here, np.uint32(o), np.uint32(b)) for o, b in pairs))
    return secure_add(point, offset)


def drawn_multiples(felt: Array, count: int, back: Point, *, interpret: bool = False) -> Array:
    """Multiples of the point of a felt ``[4]``, and of that point plus ``back``."""
    return _multiples(felt, 2, count, lambda which, source: _drawn(which, source, back), interpret)


def drawn_basis(
    felt: Array, count: int, back: Point, low_log: int, *, interpret: bool = False
) -> list[Array]:
    """``drawn_multiples``, and ``basis`` for columns of ``2^count`` rows at the first point.

    Every block doubles the point by itself, and multiplies on the way. Blocks 0 and 1 store the
    multiples.
    """
    sizes = [1 << low_log, max(1 << (count - low_log), LANES)]
    split = sizes[0] // LANES

    def body(point: Any, source: Ref, multiples: Ref, low: Ref, high: Ref) -> None:
        barrier = launch.half_round_barrier(interpret)
        block = point[0]
        which = lax.select(block == np.int32(1), np.int32(1), np.int32(0))
        place = block - np.int32(2)
        is_low = place < np.int32(split)
        first = lax.select(is_low, place, place - np.int32(split)) * np.int32(LANES)
        index = launch.lane_numbers() + first.astype(np.uint32)
        index = index << lax.select(is_low, np.uint32(0), np.uint32(low_log))

        def step(i: Array, carry: tuple[SecurePoint, QM31]) -> Any:
            p, total = carry

            @pl.when(block < np.int32(2))
            def _() -> None:
                for c, coordinate in enumerate(p):
                    for w, word in enumerate(coordinate):
                        multiples[block, i, c, w] = word

            total = _select_multiply(total, p.x, index, i + np.int32(1))
            return barrier((secure_double(p), total))

        start = _drawn(which, source, back)
        total = _select_multiply(_ones(LANES), start.y, index, jnp.int32(0))
        _, total = lax.fori_loop(np.int32(0), np.int32(count), step, (start, total))

        def store(out: Ref) -> None:
            for w, word in enumerate(total):
                launch.store(out, word, 0, w, pl.ds(first, LANES))

        pl.when((place >= np.int32(0)) & is_low)(lambda: store(low))
        pl.when(place >= np.int32(split))(lambda: store(high))

    shapes = [(2, count, 2, DEGREE), *((1, DEGREE, size) for size in sizes)]
    out = [jax.ShapeDtypeStruct(shape, np.uint32) for shape in shapes]
    grid = (2 + sum(sizes) // LANES,)
    return launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)(felt)


def _multiples(source: Array, n_points: int, count: int, first: Any, interpret: bool) -> Array:
    def body(point: Any, source: Ref, out: Ref) -> None:
        barrier = launch.half_round_barrier(interpret)
        here = point[0]

        def step(i: Array, p: SecurePoint) -> SecurePoint:
            for c, coordinate in enumerate(p):
                for w, word in enumerate(coordinate):
                    out[here, i, c, w] = word
            return barrier(secure_double(p))

        lax.fori_loop(np.int32(0), np.int32(count), step, first(here, source))

    out = jax.ShapeDtypeStruct((n_points, count, 2, DEGREE), np.uint32)
    grid = (n_points,)
    return launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)(source)


def powers(base: Array, count: int, *, interpret: bool = False) -> Array:
    """``base^0 .. base^(count - 1)`` of ``[4]``: ``[4, count]``, padded to whole vectors."""
    blocks = -(-count // LANES)
    bits = max(count - 1, 1).bit_length()

    def body(point: Any, source: Ref, out: Ref) -> None:
        barrier = launch.half_round_barrier(interpret)
        index = launch.lane_numbers() + (point[0] * LANES).astype(np.uint32)

        def step(t: Array, carry: tuple[QM31, QM31]) -> Any:
            total, square = carry
            return barrier((_select_multiply(total, square, index, t), qm31.sq(square)))

        first = QM31(*(source[w] for w in range(DEGREE)))
        total, _ = lax.fori_loop(np.int32(0), np.int32(bits), step, (_ones(LANES), first))
        for w, word in enumerate(total):
            launch.store(out, word, w, pl.ds(point[0] * LANES, LANES))

    out = jax.ShapeDtypeStruct((DEGREE, blocks * LANES), np.uint32)
    return launch.launch(body, out, grid=(blocks,), barriers=False, interpret=interpret)(base)


def basis(factors: Array, low_log: int, *, interpret: bool = False) -> tuple[Array, Array]:
    """Products of factors ``[n, k, 4]`` for low parts ``[n, 4, 2^l]`` and high parts of an index.

    The high ones are ``[n, 4, 2^(k-l)]``, padded to at least 128.
    """
    n_points, log_size, _ = factors.shape
    sizes = [1 << low_log, max(1 << (log_size - low_log), LANES)]
    split = sizes[0] // LANES

    def body(point: Any, source: Ref, low: Ref, high: Ref) -> None:
        p, block = point
        barrier = launch.half_round_barrier(interpret)

        def products(out: Ref, block: Array, first: int, count: int) -> None:
            index = launch.lane_numbers() + (block * LANES).astype(np.uint32)

            def step(t: Array, total: QM31) -> QM31:
                factor = QM31(*(source[p, t + np.int32(first), w] for w in range(DEGREE)))
                return barrier(_select_multiply(total, factor, index, t))

            total = lax.fori_loop(np.int32(0), np.int32(count), step, _ones(LANES))
            for w, word in enumerate(total):
                launch.store(out, word, p, w, pl.ds(block * LANES, LANES))

        pl.when(block < split)(lambda: products(low, block, 0, low_log))
        pl.when(block >= split)(lambda: products(high, block - split, low_log, log_size - low_log))

    out = [jax.ShapeDtypeStruct((n_points, DEGREE, size), np.uint32) for size in sizes]
    grid = (n_points, sum(sizes) // LANES)
    return launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)(factors)


class Group(NamedTuple):
    """Consecutive rows of ``coefficients``, uint32 ``[rows, 2^k]``: ``count`` from ``first`` on."""

    coefficients: Array
    first: int
    count: int


def partial_sums(
    groups: Sequence[Group],
    low: Array,
    high: Array,
    tile: Tile,
    *,
    interpret: bool = False,
) -> Array:
    """What is to be added up for the columns of all groups, which have one size.

    Returns ``[n_points, 4, n_columns, chunks, 128 words]``.
    """
    n_points, n_columns = len(low), sum(group.count for group in groups)
    lanes = LANES * tile.words
    words = [(p, w) for p in range(n_points) for w in range(DEGREE)]

    def body(point: Any, *refs: Ref) -> None:
        *sources, low, high, out = refs
        column, chunk = point
        barrier = launch.half_round_barrier(interpret)

        def coefficients(starts: Sequence[Any]) -> Any:
            """Vectors of the block's column, from the array that it lies in."""

            def of(i: int, before: int) -> Any:
                row = column + np.int32(groups[i].first - before)
                end = before + groups[i].count

                def here() -> tuple[Array, ...]:
                    places = (pl.ds(start, lanes) for start in starts)
                    return tuple(launch.load(sources[i], row, place) for place in places)

                if i + 1 == len(groups):
                    return here()
                return lax.cond(column < np.int32(end), here, lambda: of(i + 1, end))

            return of(0, 0)

        def step(i: Array, sums: tuple[Any, ...]) -> Any:
            first = chunk * tile.chunk + i * tile.unroll
            weights = [
                [wide.widen(high[p, w, first + u]) for u in range(tile.unroll)] for p, w in words
            ]
            out = []
            for v in range(tile.vectors):
                starts = [(first + u) * tile.low + v * lanes for u in range(tile.unroll)]
                values = [wide.widen(word) for word in coefficients(starts)]
                for j, row in enumerate(weights):
                    pairs = [
                        (x, jnp.broadcast_to(weight, x.shape))
                        for x, weight in zip(values, row, strict=True)
                    ]
                    out.append(wide.add_products(sums[v * len(words) + j], pairs))
            return barrier(tuple(out))

        zero = wide.widen(launch.constant(0, lanes))
        zeros = (zero,) * (len(words) * tile.vectors)
        sums = [wide.narrow(s) for s in wide.fori_loop(tile.chunk // tile.unroll, step, zeros)]
        for p in range(n_points):
            total: Any = None
            for v in range(tile.vectors):
                first = v * len(words) + p * DEGREE
                here = pl.ds(v * lanes, lanes)
                factor = QM31(*(launch.load(low, p, w, here) for w in range(DEGREE)))
                product = barrier(qm31.mul(QM31(*sums[first : first + DEGREE]), factor))
                total = product if total is None else qm31.add(total, product)
            for w, word in enumerate(total):
                launch.store(out, word, p, w, column, chunk, slice(None))

    shape = (n_points, DEGREE, n_columns, tile.chunks, lanes)
    out = jax.ShapeDtypeStruct(shape, np.uint32)
    grid = (n_columns, tile.chunks)
    run = launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)
    return run(*(group.coefficients for group in groups), low, high)


def _ones(lanes: int) -> QM31:
    return QM31(*(launch.constant(word, lanes) for word in qm31.ONE))


def _select_multiply(total: QM31, factor: QM31, index: Array, bit: Array) -> QM31:
    """``total`` times the uniform ``factor`` in lanes whose index has the bit."""
    chosen = (index >> bit.astype(np.uint32)) & np.uint32(1) == np.uint32(1)
    product = qm31.mul(total, QM31(*(jnp.broadcast_to(w, index.shape) for w in factor)))
    return QM31(*(jnp.where(chosen, p, t) for p, t in zip(product, total, strict=True)))
