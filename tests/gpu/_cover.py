"""Which shapes the GPU tests commit to: few of them, chosen so that every pair occurs.

There are 18 log sizes, 5 blow-ups and 8 column counts. As one shape has one log size and one column
count, every pair of those alone would take 144 shapes. Log sizes therefore fall into ranges that
kernels treat alike, and pairs are formed with ranges; every log size occurs at least twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

LOG_SIZES = tuple(range(3, 21))
LOG_BLOWUPS = (1, 2, 3, 4, 5)
COLUMNS = (1, 4, 15, 16, 17, 26, 33, 100)
# Below a block; columns that share a tile; one or two tiles; one pass over tiles; two passes.
RANGES = ((3, 4, 5, 6), (7, 8, 9, 10), (11, 12, 13), (14, 15, 16), (17, 18, 19, 20))
# The reference runs on the host: the largest domain, and the most words on it.
MAX_LOG_DOMAIN = 22
MAX_WORDS = 1 << 26
TIMES = 2
_SEED = 1


class Shape(NamedTuple):
    """Columns of ``2^log_size`` rows, extended ``2^log_blowup`` times."""

    log_size: int
    log_blowup: int
    columns: int

    @property
    def log_domain(self) -> int:
        """Log size of the domain."""
        return self.log_size + self.log_blowup

    @property
    def words(self) -> int:
        """Words of the extended columns."""
        return self.columns << self.log_domain


def feasible() -> list[Shape]:
    """Every shape within the limits."""
    shapes = [Shape(*values) for values in product(LOG_SIZES, LOG_BLOWUPS, COLUMNS)]
    return [s for s in shapes if s.log_domain <= MAX_LOG_DOMAIN and s.words <= MAX_WORDS]


def pairs(shape: Shape) -> Iterator[tuple]:
    """What a shape covers."""
    (index,) = (i for i, members in enumerate(RANGES) if shape.log_size in members)
    yield "range, blow-up", index, shape.log_blowup
    yield "range, columns", index, shape.columns
    yield "blow-up, columns", shape.log_blowup, shape.columns


def cover() -> list[Shape]:
    """A greedy cover of all pairs, the same in every run, smallest domains first."""
    shapes = feasible()
    random.Random(_SEED).shuffle(shapes)
    left = {pair for shape in shapes for pair in pairs(shape)}
    missing = dict.fromkeys(LOG_SIZES, TIMES)
    chosen: list[Shape] = []

    def gain(shape: Shape) -> tuple[int, int]:
        # A log size that does not occur yet counts as much as a pair; small ones break ties.
        return len(left & set(pairs(shape))) + (missing[shape.log_size] > 0), -shape.words

    while left or any(missing.values()):
        best = max((s for s in shapes if s not in chosen), key=gain)
        chosen.append(best)
        left -= set(pairs(best))
        missing[best.log_size] = max(missing[best.log_size] - 1, 0)
    return sorted(chosen, key=lambda s: (s.words, s))
