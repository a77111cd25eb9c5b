"""The circle group, its orders of points and the index tables between them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jaxstark import circle
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31

VECTORS = Path(__file__).parents[2] / "shared" / "vectors" / "stwo_cairo_unit_vectors.json"


def _slot_point(log_size, slot):
    return circle.point(circle.domain_index(log_size, slot))


def test_the_generator_has_order_two_to_the_31():
    assert circle.point(1 << 31) == circle.IDENTITY
    assert circle.point(1 << 30) == circle.Point(m31.P - 1, 0)


@pytest.mark.parametrize("log_size", [0, 1, 4, 8])
def test_coset_tables_equal_single_points(log_size):
    coset = circle.odds(log_size)
    points = coset.points()
    for j in range(1 << log_size):
        assert (int(points.x[j]), int(points.y[j])) == coset.at(j)
    on_circle = m31.add(m31.sq(points.x), m31.sq(points.y))
    assert (on_circle == 1).all()


@pytest.mark.parametrize("log_size", [1, 2, 5])
def test_domain_tables_equal_single_points_and_the_trace_coset(log_size):
    points = circle.domain_points(log_size)
    order = circle.row_to_slot(log_size)
    for slot in range(1 << log_size):
        expected = _slot_point(log_size, slot)
        assert (int(points.x[slot]), int(points.y[slot])) == expected
    for row in range(1 << log_size):
        assert _slot_point(log_size, int(order[row])) == circle.odds(log_size).at(row)
    assert (circle.slot_to_row(log_size)[order] == np.arange(1 << log_size)).all()
    some = circle.points_at(log_size, np.array([1, 0]))
    assert some.x.tolist() == points.x[[1, 0]].tolist()


@pytest.mark.parametrize(("log_trace", "log_domain"), [(1, 2), (3, 4), (3, 6)])
@pytest.mark.parametrize("rows", [-1, 0, 1, 3])
def test_shifted_slots_move_points_by_rows(log_trace, log_domain, rows):
    step = circle.point(rows * circle.subgroup_generator(log_trace))
    for slot, moved in enumerate(circle.shifted_slots(log_trace, log_domain, rows)):
        expected = circle.add(_slot_point(log_domain, slot), step)
        assert _slot_point(log_domain, int(moved)) == expected


def test_lift_slots_double_the_point():
    for slot in range(32):
        small = circle.lift_slot(slot, 3, 5)
        doubled = _slot_point(5, slot)
        for _ in range(2):
            doubled = circle.add(doubled, doubled)
        assert _slot_point(3, small) == doubled


@pytest.mark.parametrize("log_size", range(1, 9))
def test_t24_the_zerofier_never_vanishes_on_the_quotient_domain(log_size):
    points = circle.domain_points(log_size + 1)
    vanishing = circle.double_x(points.x, log_size - 1)
    half = 1 << log_size
    assert (vanishing[:half] == 1 << 15).all() and (vanishing[half:] == m31.P - (1 << 15)).all()
    trace = circle.domain_points(log_size)
    assert not circle.double_x(trace.x, log_size - 1).any()


def test_secure_points_lie_on_the_circle_and_double():
    point = circle.secure_point(QM31(3, 1, 4, 1))
    norm = qm31.add(qm31.sq(point.x), qm31.sq(point.y))
    assert norm == qm31.ONE
    base = circle.point(12345)
    secure = circle.SecurePoint(qm31.from_base(base.x), qm31.from_base(base.y))
    doubled = circle.secure_double(secure, 3)
    assert (doubled.x.a, doubled.y.a) == circle.point(8 * 12345)
    moved = circle.secure_add(secure, circle.point(7))
    assert (moved.x.a, moved.y.a) == circle.point(12352)


@pytest.mark.skipif(not VECTORS.exists(), reason="StarkWare's vectors are not on this machine")
def test_multiples_of_the_generator_equal_starkwares():
    tables = json.loads(VECTORS.read_text())["circle_generator_multiples"]["tables"]
    for table in tables:
        for i, point in enumerate(table["points"]):
            assert list(circle.point(i << table["shift"])) == list(point)
