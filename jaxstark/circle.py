"""The circle group over M31, its cosets and the domains that columns live on.

Points satisfy x^2 + y^2 = 1. Over M31 they form a cyclic group of order 2^31 with generator
``GENERATOR``; a *point index* n stands for n times the generator. Index tables and point tables
are NumPy arrays made on the host. Source: Circle STARK paper section 3, protocol section 2.

Orders of a column of ``2^k`` values:

* *row order*: row j lies at the j-th point of the trace coset ``odds(k)``;
* *natural order*: index i of the circle domain (a half coset, then its negation);
* *storage order*: bit-reversed natural order; every evaluation is stored this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import LOG_ORDER
from jaxstark.fields.qm31 import QM31

GENERATOR_X = 2
GENERATOR_Y = 1268011823
MAX_LOG_SIZE = 30  # of a circle domain
_ORDER = 1 << LOG_ORDER


class Point(NamedTuple):
    """A point with M31 coordinates (ints or arrays)."""

    x: Any
    y: Any


class SecurePoint(NamedTuple):
    """A point with QM31 coordinates."""

    x: QM31
    y: QM31


IDENTITY = Point(1, 0)
GENERATOR = Point(GENERATOR_X, GENERATOR_Y)


def add(p: Point, q: Point) -> Point:
    """The group law ``(x1 x2 - y1 y2, x1 y2 + y1 x2)``, elementwise."""
    return Point(
        m31.sub(m31.mul(p.x, q.x), m31.mul(p.y, q.y)),
        m31.add(m31.mul(p.x, q.y), m31.mul(p.y, q.x)),
    )


def secure_add(p: SecurePoint, q: Point) -> SecurePoint:
    """The group law for a secure point and a base point."""
    return SecurePoint(
        qm31.sub(qm31.mul_base(p.x, q.x), qm31.mul_base(p.y, q.y)),
        qm31.add(qm31.mul_base(p.x, q.y), qm31.mul_base(p.y, q.x)),
    )


def double_x(x: Any, times: int = 1) -> Any:
    """``pi^times(x)`` with ``pi(x) = 2 x^2 - 1``, the x coordinate of the doubled point (M31)."""
    for _ in range(times):
        x = m31.sub(m31.double(m31.sq(x)), 1)
    return x


def secure_double_x(x: QM31, times: int = 1) -> QM31:
    """``pi^times(x)`` over QM31."""
    for _ in range(times):
        square = qm31.sq(x)
        x = qm31.sub(qm31.add(square, square), qm31.ONE)
    return x


def secure_double(p: SecurePoint, times: int = 1) -> SecurePoint:
    """``2^times p``."""
    for _ in range(times):
        xy = qm31.mul(p.x, p.y)
        p = SecurePoint(secure_double_x(p.x), qm31.add(xy, xy))
    return p


def secure_point(t: QM31) -> SecurePoint:
    """The rational parametrisation ``((1 - t^2)/(1 + t^2), 2 t/(1 + t^2))``.

    Raises ``ZeroDivisionError`` for ``t^2 = -1``, which a random t hits with probability 2^-123.
    """
    square = qm31.sq(t)
    scale = qm31.inv(qm31.add(square, qm31.ONE))
    return SecurePoint(qm31.mul(qm31.sub(qm31.ONE, square), scale), qm31.mul(qm31.add(t, t), scale))


def point(index: int) -> Point:
    """The point with the given index, as ints."""
    result, base, n = IDENTITY, GENERATOR, index % _ORDER
    while n:
        if n & 1:
            result = add(result, base)
        base = add(base, base)
        n >>= 1
    return result


def subgroup_generator(log_size: int) -> int:
    """Index of the generator of the subgroup of order ``2^log_size``."""
    return 1 << (LOG_ORDER - log_size)


@dataclass(frozen=True)
class Coset:
    """The points with indices ``initial + j * subgroup_generator(log_size)``, ``0 <= j < 2^k``."""

    initial: int
    log_size: int

    def index(self, j: int) -> int:
        """The point index of element j."""
        return (self.initial + j * subgroup_generator(self.log_size)) % _ORDER

    def at(self, j: int) -> Point:
        """Element j, as ints."""
        return point(self.index(j))

    def doubled(self, times: int = 1) -> Coset:
        """The coset of all doubled points; half the size for each doubling."""
        return Coset((self.initial << times) % _ORDER, self.log_size - times)

    def points(self) -> Point:
        """All points in coset order, as uint32 arrays ``[2^k]``."""
        return _coset_points(self)


@lru_cache(maxsize=64)
def _coset_points(coset: Coset) -> Point:
    start = point(coset.initial)
    table = Point(np.array([start.x], np.uint32), np.array([start.y], np.uint32))
    # Elements 2^t.. are the first 2^t elements moved by 2^t steps of the generator.
    for t in range(coset.log_size):
        step = point(subgroup_generator(coset.log_size) << t)
        moved = add(table, step)
        table = Point(np.concatenate([table.x, moved.x]), np.concatenate([table.y, moved.y]))
    for array in table:
        array.flags.writeable = False  # cached and shared
    return table


def odds(log_size: int) -> Coset:
    """The trace coset of a column of ``2^log_size`` rows."""
    return Coset(subgroup_generator(log_size + 1), log_size)


def half_odds(log_size: int) -> Coset:
    """The coset whose union with its negation is the circle domain of twice its size."""
    return Coset(subgroup_generator(log_size + 2), log_size)


def line_domain(log_domain: int, folds: int) -> Coset:
    """The line domain that FRI reaches from a circle domain after ``folds >= 1`` folds.

    Values are stored in bit-reversed order of this coset; only its x coordinates matter.
    """
    return half_odds(log_domain - 1).doubled(folds - 1)


@lru_cache(maxsize=64)
def bit_reversal(log_size: int) -> np.ndarray:
    """The permutation ``i -> bit-reversed i`` as int32 ``[2^log_size]`` (its own inverse)."""
    table = np.zeros(1, np.int32)
    for _ in range(log_size):
        table = np.concatenate([2 * table, 2 * table + 1])
    table.flags.writeable = False
    return table


def bit_reverse(index: int, log_size: int) -> int:
    """The low ``log_size`` bits of ``index`` in reverse."""
    out = 0
    for _ in range(log_size):
        out, index = (out << 1) | (index & 1), index >> 1
    return out


def domain_index(log_size: int, slot: int) -> int:
    """The point index at a storage slot of the circle domain of size ``2^log_size``."""
    natural, half = bit_reverse(slot, log_size), half_odds(log_size - 1)
    size = 1 << (log_size - 1)
    return half.index(natural) if natural < size else -half.index(natural - size) % _ORDER


def domain_points(log_size: int) -> Point:
    """All points of the circle domain in storage order, uint32 arrays ``[2^log_size]``."""
    half, order = half_odds(log_size - 1).points(), bit_reversal(log_size)
    x = np.concatenate([half.x, half.x])
    y = np.concatenate([half.y, m31.neg(half.y)])
    return Point(x[order], y[order])


def points_at(log_size: int, slots: np.ndarray) -> Point:
    """The circle-domain points at some storage slots, without a table of the whole domain."""
    points = [point(domain_index(log_size, int(s))) for s in slots]
    return Point(
        np.array([p.x for p in points], np.uint32), np.array([p.y for p in points], np.uint32)
    )


@lru_cache(maxsize=64)
def row_to_slot(log_size: int) -> np.ndarray:
    """Storage slot of every row, int32 ``[2^log_size]``: ``stored[row_to_slot] = rows``."""
    size = 1 << log_size
    row = np.arange(size, dtype=np.int64)
    natural = np.where(row % 2 == 0, row // 2, (2 * size - row) // 2)
    table = bit_reversal(log_size)[natural]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def slot_to_row(log_size: int) -> np.ndarray:
    """Row at every storage slot, int32 ``[2^log_size]``: ``stored = rows[slot_to_row]``."""
    table = np.empty(1 << log_size, np.int32)
    table[row_to_slot(log_size)] = np.arange(1 << log_size, dtype=np.int32)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def shifted_slots(log_trace: int, log_domain: int, rows: int) -> np.ndarray:
    """For every slot of a domain, the slot of its point moved by ``rows`` trace rows.

    A trace of ``2^log_trace`` rows, seen on the circle domain of size ``2^log_domain``, with
    ``log_domain > log_trace``. Returns int32 ``[2^log_domain]``.
    """
    half = 1 << (log_domain - 1)
    step = rows * (1 << (log_domain - log_trace - 1))
    natural = bit_reversal(log_domain).astype(np.int64)
    moved = np.where(natural < half, (natural + step) % half, half + (natural - half - step) % half)
    table = bit_reversal(log_domain)[moved]
    table.flags.writeable = False
    return table


def lift_slot(slot: Any, log_size: int, log_domain: int) -> Any:
    """Slot of a column of ``2^log_size`` values that its lift shows at ``slot`` of a domain.

    ``slot`` is an int or an integer array; ``log_domain >= log_size``. Protocol section 2.
    """
    return ((slot >> (log_domain - log_size + 1)) << 1) | (slot & 1)
