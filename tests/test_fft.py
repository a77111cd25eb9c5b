"""The circle FFT is the polynomial's definition, in both directions and for every size."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxstark import circle, fft, fft_reference, twiddles
from jaxstark.fields.m31 import P

EDGES = np.array([0, 1, P - 1, 1 << 30], np.uint32)


def _columns(n_columns, log_size, seed=0):
    """Random words, a quarter of them at the edges of the range."""
    rng = np.random.default_rng(seed)
    shape = (n_columns, 1 << log_size)
    words = rng.integers(0, P, shape, dtype=np.uint32)
    return np.where(rng.random(shape) < 0.25, rng.choice(EDGES, shape), words)


def _double_x(x, times):
    for _ in range(times):
        x = (2 * x * x - 1) % P
    return x


def _value(coefficients, point):
    """``sum_m coeff[m] prod_t F_t`` with ``F = [y, x, pi(x), ...]``, in Python ints."""
    x, y = point
    total = 0
    for m, coefficient in enumerate(coefficients.tolist()):
        term = coefficient
        for t in range(m.bit_length()):
            if m >> t & 1:
                term = term * (_double_x(x, t - 1) if t else y) % P
        total += term
    return total % P


def _slot_point(log_size, slot):
    return circle.point(circle.domain_index(log_size, slot))


@pytest.mark.parametrize("extra", range(6))
@pytest.mark.parametrize("log_size", [1, 2, 3, 4])
def test_evaluation_is_the_definition(log_size, extra):
    coefficients = _columns(2, log_size)
    values = np.asarray(fft.evaluate(coefficients, log_size + extra))
    assert values.shape == (2, 1 << (log_size + extra))
    assert values.dtype == np.uint32
    for slot in {*range(8), *range(3, 1 << (log_size + extra), 37)}:
        if slot < values.shape[1]:
            point = _slot_point(log_size + extra, slot)
            assert [_value(c, point) for c in coefficients] == values[:, slot].tolist()


def test_one_changed_coefficient_changes_every_value():
    coefficients = _columns(2, 5)
    changed = coefficients.copy()
    changed[:, 9] ^= 1
    assert (np.asarray(fft.evaluate(coefficients, 6)) != np.asarray(fft.evaluate(changed, 6))).all()


@pytest.mark.parametrize("log_size", [1, 2, 3, 4, 5, 6, 9])
def test_t32_device_and_reference_agree(log_size):
    values = _columns(2, log_size, seed=log_size)
    coefficients = np.asarray(fft.interpolate(values))
    np.testing.assert_array_equal(coefficients, fft_reference.interpolate(values))
    np.testing.assert_array_equal(fft.evaluate(coefficients, log_size), values)
    extended = np.asarray(fft.evaluate(coefficients, log_size + 1))
    np.testing.assert_array_equal(extended, fft_reference.evaluate(coefficients, log_size + 1))


@pytest.mark.parametrize("extra", range(6))
def test_t32_extension_keeps_the_polynomial_for_every_blowup(extra):
    coefficients = _columns(2, 5)
    values = np.asarray(fft.evaluate(coefficients, 5 + extra))
    np.testing.assert_array_equal(values, fft_reference.evaluate(coefficients, 5 + extra))
    back = fft_reference.interpolate(values)
    np.testing.assert_array_equal(back[:, : 1 << 5], coefficients)
    assert not back[:, 1 << 5 :].any()


@pytest.mark.parametrize("word", EDGES.tolist())
@pytest.mark.parametrize("log_size", [1, 4])
def test_constant_columns_have_one_coefficient(word, log_size):
    values = np.full((2, 1 << log_size), word, np.uint32)
    coefficients = np.asarray(fft.interpolate(values))
    assert (coefficients[:, 0] == word).all()
    assert not coefficients[:, 1:].any()
    np.testing.assert_array_equal(fft.evaluate(coefficients, log_size + 1)[:, ::2], values)


def test_t33_the_redundant_word_p_counts_as_zero():
    zeros = _columns(2, 6)
    redundant = np.where(zeros == 0, np.uint32(P), zeros)
    assert (redundant == P).any()
    np.testing.assert_array_equal(fft.interpolate(redundant), fft.interpolate(zeros))
    np.testing.assert_array_equal(
        np.asarray(fft.evaluate(redundant, 7)) % P, np.asarray(fft.evaluate(zeros, 7))
    )


@pytest.mark.parametrize(("log_size", "log_domain"), [(1, 2), (1, 4), (3, 3), (3, 5)])
def test_lifting_is_index_arithmetic_on_the_stored_values(log_size, log_domain):
    coefficients = _columns(2, log_size)
    doublings = log_domain - log_size
    upper = np.zeros((2, 1 << log_domain), np.uint32)
    for m in range(1 << log_size):
        if m % 2 == 0:
            upper[:, m << doublings] = coefficients[:, m]
        else:
            # y(2 p) = 2 x y: each doubling of an odd index brings a factor 2.
            slot = (m >> 1 << (doublings + 1)) | ((2 << doublings) - 1)
            upper[:, slot] = (coefficients[:, m].astype(np.uint64) << np.uint64(doublings)) % P
    slots = circle.lift_slot(np.arange(1 << log_domain), log_size, log_domain)
    lifted = np.asarray(fft.evaluate(coefficients, log_size))[:, slots]
    np.testing.assert_array_equal(fft.evaluate(upper, log_domain), lifted)
    for slot in range(1 << log_domain):
        point = _slot_point(log_domain, slot)
        for _ in range(doublings):
            point = circle.add(point, point)
        assert lifted[:, slot].tolist() == [_value(c, point) for c in coefficients]


@pytest.mark.parametrize("log_size", [1, 2, 3, 8])
def test_tables_hold_one_layer_per_heap_level(log_size):
    table = twiddles.forward_table(log_size)
    assert int(table[0]) == 1 << log_size
    for layer in range(log_size):
        blocks = 1 << (log_size - 1 - layer)
        for h in range(blocks):
            if layer == 0:
                expected = _slot_point(log_size, 2 * h).y
            else:
                coset = circle.half_odds(log_size - 1).doubled(layer - 1)
                expected = coset.at(circle.bit_reverse(2 * h, coset.log_size)).x
            assert int(table[blocks + h]) == expected
    products = table.astype(np.uint64) * twiddles.inverse_table(log_size) % P
    assert (products == 1).all()


@pytest.mark.parametrize("log_domain", [1, 2, 6])
def test_fold_inverses_belong_to_the_points_of_even_slots(log_domain):
    for fold in range(log_domain):
        inverses = twiddles.fold_inverses(log_domain, fold)
        assert inverses.shape == (1 << (log_domain - 1 - fold),)
        assert inverses.dtype == np.uint32
        for i, inverse in enumerate(inverses.tolist()):
            if fold == 0:
                coordinate = _slot_point(log_domain, 2 * i).y
            else:
                line = circle.line_domain(log_domain, fold)
                coordinate = line.at(circle.bit_reverse(2 * i, line.log_size)).x
            assert inverse * coordinate % P == 1
    for fold in (-1, log_domain):
        with pytest.raises(ValueError, match="fold index: expected"):
            twiddles.fold_inverses(log_domain, fold)


@pytest.mark.parametrize(("log_domain", "folds"), [(3, 3), (3, 2), (6, 1), (9, 4)])
def test_line_interpolation_is_the_definition(log_domain, folds):
    line = circle.line_domain(log_domain, folds)
    size = 1 << line.log_size
    coefficients = _columns(4, line.log_size) if line.log_size else _columns(4, 1)[:, :1]
    values = np.zeros((4, size), np.uint32)
    for slot in range(size):
        x = line.at(circle.bit_reverse(slot, line.log_size)).x
        for word in range(4):
            total = 0
            for m, term in enumerate(coefficients[word].tolist()):
                for t in range(line.log_size):
                    term = term * (_double_x(x, t) if m >> t & 1 else 1) % P
                total += term
            values[word, slot] = total % P
    np.testing.assert_array_equal(
        fft_reference.line_interpolate(values, log_domain, folds), coefficients
    )
    with pytest.raises(ValueError, match="line values after"):
        fft_reference.line_interpolate(values, log_domain + 1, folds)
    with pytest.raises(ValueError, match="at least one fold"):
        fft_reference.line_interpolate(values, line.log_size, 0)


def test_equal_shapes_trace_once(monkeypatch):
    traced = []
    groups = fft._groups
    monkeypatch.setattr(fft, "_groups", lambda n: traced.append(n) or groups(n))
    first, second = _columns(5, 3, seed=1), _columns(5, 3, seed=2)
    fft.evaluate(fft.interpolate(first), 4)
    assert traced == [3, 3]
    fft.evaluate(fft.interpolate(second), 4)
    assert traced == [3, 3]
    fft.evaluate(second, 5)
    assert traced == [3, 3, 3]


def test_an_outer_program_takes_the_tables_as_arguments():
    def extend(values, inverse, forward):
        return fft.evaluate(fft.interpolate(values, inverse), 6, forward)

    values = _columns(2, 5)
    tables = fft.inverse_twiddles(5), fft.forward_twiddles(6)
    expected = fft_reference.evaluate(fft_reference.interpolate(values), 6)
    np.testing.assert_array_equal(jax.jit(extend)(values, *tables), expected)
    assert not jax.make_jaxpr(extend)(values, *tables).consts
    with pytest.raises(ValueError, match="twiddles: expected them as an argument"):
        jax.jit(fft.interpolate)(values)
    with pytest.raises(ValueError, match=r"twiddles: expected uint32 \[2\^5\]"):
        fft.interpolate(values, tables[1])


@pytest.mark.parametrize(
    "columns",
    [
        np.zeros((2, 3), np.uint32),
        np.zeros((2, 1), np.uint32),
        np.zeros((2, 0), np.uint32),
        np.zeros(4, np.uint32),
        np.zeros((2, 4), np.int32),
    ],
)
def test_other_arrays_are_refused(columns):
    for transform in (fft.interpolate, fft_reference.interpolate):
        with pytest.raises(ValueError, match="columns: expected uint32"):
            transform(columns)
    for transform in (fft.evaluate, fft_reference.evaluate):
        with pytest.raises(ValueError, match="columns: expected uint32"):
            transform(columns, 4)


def test_domains_smaller_than_the_columns_are_refused():
    for evaluate in (fft.evaluate, fft_reference.evaluate):
        with pytest.raises(ValueError, match="log size: expected at least 3, got 2"):
            evaluate(_columns(1, 3), 2)
    with pytest.raises(ValueError, match="circle domain: expected a log size in"):
        twiddles.forward_table(31)
