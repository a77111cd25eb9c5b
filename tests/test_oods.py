"""Values of columns out of domain are the polynomials' definition at secure points."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark import circle, fft_reference, oods
from jaxstark.circle import SecurePoint
from jaxstark.fields import qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

POINT = circle.secure_point(QM31(123456789, P - 1, 7, 1 << 30))
OTHER = circle.secure_point(QM31(0, 0, 1, P - 2))


def _columns(n_columns, log_size, seed=0):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, P, (n_columns, 1 << log_size), dtype=np.uint32)
    words[:, ::5] = P - 1
    return words


def _by_definition(coefficients, point):
    """``sum_m coeff[m] prod_t F_t`` for one column, in Python ints."""
    total = qm31.ZERO
    for m, coefficient in enumerate(coefficients.tolist()):
        term = QM31(coefficient, 0, 0, 0)
        for t in range(m.bit_length()):
            if m >> t & 1:
                x = circle.secure_double_x(point.x, max(t - 1, 0))
                term = qm31.mul(term, x if t else point.y)
        total = qm31.add(total, term)
    return list(total)


def _by_folding(coefficients, factors):
    """One column ``[2^k]`` at basis factors ``[k, 4]`` that need not come from a point."""
    v = QM31(*(np.where(w == 0, coefficients, np.uint32(0)) for w in range(4)))
    for factor in reversed(factors.tolist()):
        half = v.a.size // 2
        upper = qm31.mul(QM31(*(w[half:] for w in v)), QM31(*factor))
        v = qm31.add(QM31(*(w[:half] for w in v)), upper)
    return [int(w[0]) for w in v]


@pytest.mark.parametrize("log_size", [1, 2, 3, 7])
def test_values_are_the_definition(log_size):
    coefficients = _columns(2, log_size)
    values = np.asarray(oods.evaluate_columns(coefficients, POINT))
    assert values.shape == (4, 2)
    assert values.dtype == np.uint32
    for column in range(2):
        assert values[:, column].tolist() == _by_definition(coefficients[column], POINT)
    np.testing.assert_array_equal(fft_reference.evaluate_at(coefficients, POINT), values)


@pytest.mark.parametrize("log_size", [8, 11, 15])
def test_t32_device_and_reference_agree_at_two_points(log_size):
    coefficients = _columns(3, log_size)
    values = np.asarray(oods.evaluate_columns_many(coefficients, [POINT, OTHER]))
    assert values.shape == (2, 4, 3)
    for i, point in enumerate((POINT, OTHER)):
        np.testing.assert_array_equal(values[i], fft_reference.evaluate_at(coefficients, point))
    assert (values[0] != values[1]).any()


@pytest.mark.parametrize("log_size", [3, 7])
def test_one_changed_coefficient_changes_the_value(log_size):
    coefficients = _columns(2, log_size)
    changed = coefficients.copy()
    changed[1, -1] ^= 1
    before = np.asarray(oods.evaluate_columns(coefficients, POINT))
    after = np.asarray(oods.evaluate_columns(changed, POINT))
    assert before[:, 0].tolist() == after[:, 0].tolist()
    assert before[:, 1].tolist() != after[:, 1].tolist()


@pytest.mark.parametrize("log_size", [3, 12])
def test_sums_of_the_largest_words_do_not_overflow(log_size):
    coefficients = np.full((1, 1 << log_size), P - 1, np.uint32)
    factors = np.full((1, log_size, 4), P - 1, np.uint32)
    values = np.asarray(oods.evaluate_at_factors(coefficients, factors))
    assert values[0, :, 0].tolist() == _by_folding(coefficients[0], factors[0])


def test_domain_points_give_the_values_of_the_fft():
    coefficients = _columns(2, 7)
    stored = fft_reference.evaluate(coefficients, 8)
    for slot in (0, 1, 77):
        base = circle.point(circle.domain_index(8, slot))
        point = SecurePoint(qm31.from_base(base.x), qm31.from_base(base.y))
        values = np.asarray(oods.evaluate_columns(coefficients, point))
        assert values[0].tolist() == stored[:, slot].tolist()
        assert not values[1:].any()


@pytest.mark.parametrize(("log_size", "log_domain"), [(1, 3)])
def test_a_lifted_column_takes_the_doubled_point(log_size, log_domain):
    coefficients = _columns(2, log_size)
    doublings = log_domain - log_size
    slots = circle.lift_slot(np.arange(1 << log_domain), log_size, log_domain)
    lifted = fft_reference.evaluate(coefficients, log_size)[:, slots]
    upper = fft_reference.interpolate(lifted)
    doubled = circle.secure_double(POINT, doublings)
    np.testing.assert_array_equal(
        oods.evaluate_columns(coefficients, doubled), oods.evaluate_columns(upper, POINT)
    )


def test_new_points_of_one_shape_trace_once(monkeypatch):
    traced = []
    halves = oods._basis_halves
    monkeypatch.setattr(
        oods, "_basis_halves", lambda f, bits, *more: traced.append(bits) or halves(f, bits, *more)
    )
    for point in (POINT, OTHER):
        oods.evaluate_columns(_columns(5, 2), point)
    assert traced == [2]
    oods.evaluate_columns(_columns(5, 1), POINT)
    assert traced == [2, 1]


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="columns: expected uint32"):
        oods.evaluate_columns(np.zeros((2, 6), np.uint32), POINT)
    with pytest.raises(ValueError, match="basis factors: expected"):
        oods.evaluate_columns_many(_columns(1, 3), [])
    with pytest.raises(ValueError, match="basis factors: expected"):
        oods.evaluate_at_factors(_columns(1, 3), oods.point_factors([POINT], 4))
