"""64-bit sums and shared inversions against Python ints."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

jax = pytest.importorskip("jax")

from jaxstark.fields import wide  # noqa: E402


def words(rows: int, seed: int = 0) -> np.ndarray:
    out = np.random.default_rng(seed).integers(0, P + 1, (rows, 64), np.uint32)
    out[:, :8] = P  # the redundant word: products and sums are as large as they can be
    return out


def test_t33_a_loop_of_products_is_exact():
    columns, weights = words(24), words(24, 1)
    start = words(1, 2)[0]

    def step(i, total):
        pairs = [(wide.widen(x[4 * i + k]), wide.widen(w[4 * i + k])) for k in range(wide.PRODUCTS)]
        return wide.add_products(total, pairs)

    x, w = jax.numpy.asarray(columns), jax.numpy.asarray(weights)
    got = np.asarray(wide.narrow(wide.fori_loop(6, step, wide.widen(jax.numpy.asarray(start)))))
    want = start.astype(object) + (columns.astype(object) * weights.astype(object)).sum(0)
    assert got.dtype == np.uint32 and got.tolist() == [v % P for v in want]


def test_words_stay_below_their_bound():
    top = jax.numpy.full((4,), P, np.uint32)
    total = wide.widen(top)
    for _ in range(3):
        total = wide.add_products(total, [(wide.widen(top), wide.widen(top))] * wide.PRODUCTS)
        assert int(np.asarray(total).max()) < 1 << 34
    with pytest.raises(ValueError, match="products: expected at most 4, got 5"):
        wide.add_products(total, [(wide.widen(top), wide.widen(top))] * 5)


def test_row_sums_do_not_overflow():
    rows = np.full((2, 1 << 12), P - 1, np.uint32)
    got = np.asarray(wide.row_sums(jax.numpy.asarray(rows)))
    assert got.tolist() == [(P - 1) * (1 << 12) % P] * 2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_inversions_share_one(count):
    items = [np.maximum(row % P, 1) for row in words(count)]
    assert all(
        np.array_equal(got, m31.inv(item))
        for got, item in zip(m31.inv_each(items), items, strict=True)
    )
    assert m31.inv_each([3, 5, 7][:count]) == [m31.inv(x) for x in [3, 5, 7][:count]]
    assert QM31(*m31.inv_each([1, 1, 1, 1])) == QM31(1, 1, 1, 1) != qm31.ONE
