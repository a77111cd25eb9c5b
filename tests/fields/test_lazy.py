"""Sums of products in 64-bit words: exact integers are the reference."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark.fields import lazy, qm31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402

pytestmark = pytest.mark.floor
SIZE = 64


def words(count: int, seed: int = 0) -> list[np.ndarray]:
    """Words 0..p with the edges in all combinations of lanes."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, P + 1, (count, SIZE), np.uint32)
    edges = np.array([0, 1, P - 1, P], np.uint32)
    table[:, :32] = edges[rng.integers(0, 4, (count, 32))]
    table[:, 32] = P
    return list(table)


def secure(seed: int) -> QM31:
    return QM31(*words(4, seed))


def expected(product, x: QM31, y: QM31) -> np.ndarray:
    """A function of host scalars, lane by lane."""
    lanes = zip(*(np.asarray(c) % P for c in (*x, *y)), strict=True)
    return np.array([product(QM31(*map(int, v[:4])), QM31(*map(int, v[4:]))) for v in lanes]).T


@pytest.mark.parametrize("terms", [1, 4, 5, 9])
def test_dot_is_exact(terms):
    x, y, more = words(terms), words(terms, 1), words(3, 2)
    got = np.asarray(jax.jit(lambda x, y, z: lazy.dot(zip(x, y, strict=True), z))(x, y, more))
    exact = np.sum([a.astype(object) * b for a, b in zip(x, y, strict=True)] + more, axis=0)
    assert got.dtype == np.uint32
    assert got.tolist() == [int(v) % P for v in exact]


def test_widened_words_and_complements_are_factors_too():
    x, y = words(2, 3)
    got = jax.jit(lambda x, y: lazy.dot([(lazy.widen(x), lazy.complement(y))], [lazy.widen(x)]))
    exact = -x.astype(object) * y + x
    assert np.asarray(got(x, y)).tolist() == [int(v) % P for v in exact]


def test_complements_by_flag():
    x, y, flag = *words(2, 3), words(1, 6)[0] & 1
    got = jax.jit(lambda f, *w: lazy.complement_if(f, w))(flag, x, y)
    for a, b in zip((x, y), got, strict=True):
        assert np.array_equal(np.asarray(b), np.where(flag == 1, np.uint32(P) - a, a))


def test_secure_products():
    x, y = secure(4), secure(5)
    got = np.asarray(jax.jit(lambda x, y: lazy.secure_mul(x, lazy.factor(y)))(x, y))
    assert np.array_equal(got, expected(qm31.mul, x, y))


def test_norm_and_reciprocal():
    x = secure(6)
    for coordinate in x:
        coordinate[40:48] = np.resize([0, P], 8)  # the element 0

    def both(x):
        re, im, n = lazy.norm(x)
        return lazy.reciprocal(x, re, im, lazy.m31.inv(n)), n

    got, n = jax.jit(both)(x)

    def inverse(x, _):
        return qm31.inv(x) if any(x) else qm31.ZERO

    assert np.array_equal(np.asarray(got), expected(inverse, x, x))
    zero = (np.asarray(x) % P == 0).all(axis=0)
    assert zero.any()
    assert np.array_equal(np.asarray(n) == 0, zero)


def test_an_empty_sum_has_no_shape():
    with pytest.raises(ValueError, match="sum: expected at least one term, got none"):
        lazy.reduce(lazy.EMPTY)
