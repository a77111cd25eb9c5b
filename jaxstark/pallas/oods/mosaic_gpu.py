"""Kernels for values out of domain.

Coefficient m of a column meets the product of the basis factors of the bits of m. The index is
split as ``m = 2^l high + low``: one block adds coefficients times the products of the high bits,
the weights, in lazy 64-bit words, and multiplies its ``2^l`` sums by the products of the low bits.
Source: protocol sections 2 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
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
from jaxstark.pallas.together import Kernel, Steps

Array = Any
Ref = Any


class Products(NamedTuple):
    """128 products of a basis: what one block makes.

    Attributes:
      which: 0 at the drawn point, 1 at that of the row before.
      skip: how often the point is doubled before the columns see it.
      shift: 0 for low parts of an index, l for high ones.
      first: the first part.
    """

    which: int
    skip: int
    shift: int
    first: int


def drawn_bases(
    felt: Array, count: int, back: Point, products: Sequence[Products], *, interpret: bool = False
) -> list[Array]:
    """The multiples of a drawn point and of that point plus ``back``, and products at them.

    Multiples are ``[2, count, 2, 4]``, products ``[4, 128 len(products)]``, absent if there are
    none. Every block doubles its point by itself, and multiplies on the way; blocks 0 and 1 store
    the multiples.
    """
    blocks = np.array([(0,) * 4, (1, *(0,) * 3), *products], np.int32)

    def body(point: Any, source: Ref, blocks: Ref, multiples: Ref, *table: Ref) -> None:
        barrier = launch.half_round_barrier(interpret)
        block = point[0]
        which, skip, shift, first = (blocks[block, i] for i in range(len(Products._fields)))
        index = launch.lane_numbers() + first.astype(np.uint32)
        index = index << shift.astype(np.uint32)
        # Bit i + 1 goes with x of multiple i; the lowest bit goes with y of the first that is seen.
        lifted = (index >> np.uint32(1)) << (skip + np.int32(1)).astype(np.uint32)

        def step(i: Array, carry: tuple[SecurePoint, QM31, QM31]) -> Any:
            p, y, total = carry

            @pl.when(block < np.int32(2))
            def _() -> None:
                for c, coordinate in enumerate(p):
                    for w, word in enumerate(coordinate):
                        multiples[block, i, c, w] = word

            seen = i == skip
            y = QM31(*(lax.select(seen, new, old) for new, old in zip(p.y, y, strict=True)))
            total = _select_multiply(total, p.x, lifted, i + np.int32(1))
            return barrier((secure_double(p), y, total))

        start = _drawn(which, source, back)
        ones = QM31(*(launch.constant(word) for word in qm31.ONE))
        carry = (start, start.y, ones)
        _, y, total = lax.fori_loop(np.int32(0), np.int32(count), step, carry)

        def store() -> None:
            lanes = pl.ds((block - np.int32(2)) * np.int32(LANES), LANES)
            for w, word in enumerate(_select_multiply(total, y, index, jnp.int32(0))):
                launch.store(table[0], word, w, lanes)

        if products:
            pl.when(block >= np.int32(2))(store)

    shapes = [(2, count, 2, DEGREE), *[(DEGREE, LANES * len(products))] * bool(products)]
    out = [jax.ShapeDtypeStruct(shape, np.uint32) for shape in shapes]
    grid = (len(blocks),)
    return launch.launch(body, out, grid=grid, barriers=False, interpret=interpret)(felt, blocks)


def _drawn(which: Array, felt: Ref, back: Point) -> SecurePoint:
    """The point of a felt ``[4]``, and for ``which`` = 1 that point plus ``back``."""
    point = secure_point(QM31(*(felt[w] for w in range(DEGREE))))
    here = which == 0
    pairs = zip(IDENTITY, back, strict=True)
    offset = Point(*(jnp.where(here, np.uint32(o), np.uint32(b)) for o, b in pairs))
    return secure_add(point, offset)


def _select_multiply(total: QM31, factor: QM31, index: Array, bit: Array) -> QM31:
    """``total`` times the uniform ``factor`` in lanes whose index has the bit."""
    chosen = (index >> bit.astype(np.uint32)) & np.uint32(1) == np.uint32(1)
    product = qm31.mul(total, QM31(*(jnp.broadcast_to(w, index.shape) for w in factor)))
    return QM31(*(jnp.where(chosen, p, t) for p, t in zip(product, total, strict=True)))


class Group(NamedTuple):
    """Some rows of ``coefficients``, uint32 ``[n, 2^k]``."""

    coefficients: Array
    rows: tuple[int, ...]


def partial_sums(
    groups: Sequence[Group],
    table: Array,
    start: int,
    tile: Tile,
    *,
    interpret: bool = False,
) -> Steps[Array]:
    """What is to be added up for the columns of all groups, which have one size.

    In ``table``, ``[4, words]``, low products begin at ``start`` and high ones follow them.
    Returns ``[4, n_columns, chunks, 128 words]``.
    """
    rows = np.array([row for group in groups for row in group.rows], np.int32)
    ends = list(accumulate(len(group.rows) for group in groups))
    n_columns, lanes = len(rows), LANES * tile.words

    def body(point: Any, *refs: Ref) -> None:
        *sources, rows, table, out = refs
        column, chunk = point
        row = rows[column]
        barrier = launch.half_round_barrier(interpret)

        def coefficients(starts: Sequence[Any]) -> Any:
            """Vectors of the block's column, from the array that it lies in."""

            def of(i: int) -> Any:
                def here() -> tuple[Array, ...]:
                    places = (pl.ds(start, lanes) for start in starts)
                    return tuple(launch.load(sources[i], row, place) for place in places)

                if i + 1 == len(groups):
                    return here()
                return lax.cond(column < np.int32(ends[i]), here, lambda: of(i + 1))

            return of(0)

        def step(i: Array, sums: tuple[Any, ...]) -> Any:
            first = chunk * tile.chunk + i * tile.unroll
            high = first + np.int32(start + tile.low)
            weights = [
                [wide.widen(table[w, high + u]) for u in range(tile.unroll)] for w in range(DEGREE)
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
                    out.append(wide.add_products(sums[v * DEGREE + j], pairs))
            return barrier(tuple(out))

        zero = wide.widen(launch.constant(0, lanes))
        zeros = (zero,) * (DEGREE * tile.vectors)
        sums = [wide.narrow(s) for s in wide.fori_loop(tile.chunk // tile.unroll, step, zeros)]
        total: Any = None
        for v in range(tile.vectors):
            low = pl.ds(start + v * lanes, lanes)
            factor = QM31(*(launch.load(table, w, low) for w in range(DEGREE)))
            product = barrier(qm31.mul(QM31(*sums[v * DEGREE : (v + 1) * DEGREE]), factor))
            total = product if total is None else qm31.add(total, product)
        for w, word in enumerate(total):
            launch.store(out, word, w, column, chunk, slice(None))

    shape = (DEGREE, n_columns, tile.chunks, lanes)
    out = jax.ShapeDtypeStruct(shape, np.uint32)
    inputs = *(group.coefficients for group in groups), rows, table
    (parts,) = yield Kernel(body, (out,), (n_columns, tile.chunks), (), inputs)
    return parts
