"""The shapes of the GPU tests, checked without a GPU."""

from __future__ import annotations

from collections import Counter
from itertools import product

from tests.gpu._cover import COLUMNS, LOG_BLOWUPS, LOG_SIZES, RANGES, Shape, cover, feasible, pairs


def test_ranges_are_all_log_sizes():
    assert [k for members in RANGES for k in members] == list(LOG_SIZES)
    assert tuple(range(3, 21)) == LOG_SIZES and LOG_BLOWUPS == (1, 2, 3, 4, 5)


def test_every_pair_occurs_in_at_most_60_shapes():
    shapes = cover()
    assert len(shapes) == len(set(shapes)) <= 60
    covered = {pair for shape in shapes for pair in pairs(shape)}
    places = range(len(RANGES))
    wanted = {("range, blow-up", *p) for p in product(places, LOG_BLOWUPS)}
    wanted |= {("range, columns", *p) for p in product(places, COLUMNS)}
    wanted |= {("blow-up, columns", *p) for p in product(LOG_BLOWUPS, COLUMNS)}
    assert covered == wanted


def test_every_log_size_occurs_twice():
    counts = Counter(shape.log_size for shape in cover())
    assert all(counts[k] >= 2 for k in LOG_SIZES)


def test_without_one_shape_a_pair_is_missing():
    """The choice is not wasteful: nearly every shape is needed."""
    shapes = cover()
    needed = 0
    for shape in shapes:
        others = [s for s in shapes if s != shape]
        lost = set(pairs(shape)) - {pair for s in others for pair in pairs(s)}
        needed += bool(lost) or sum(s.log_size == shape.log_size for s in others) < 2
    assert needed >= 0.8 * len(shapes)


def test_the_cover_is_always_the_same():
    assert cover() == cover()
    assert set(cover()) <= set(feasible())
    assert Shape(20, 5, 100) not in feasible() and Shape(20, 1, 26) in feasible()
