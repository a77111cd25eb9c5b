"""Field laws and published values, over every representation: ints, NumPy and XLA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstark.fields import cm31, m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

pytestmark = pytest.mark.floor
EDGES = [0, 1, 2, (P - 1) // 2, (P + 1) // 2, 2**30, P - 2, P - 1]
BACKENDS = {
    "numpy": lambda f, *args: f(*args),
    "xla": lambda f, *args: jax.tree.map(np.asarray, jax.jit(f)(*jax.tree.map(jnp.asarray, args))),
}


def _pairs(extra=()):
    rng = np.random.default_rng(1)
    values = np.array([*EDGES, *extra, *rng.integers(0, P, 20)], np.uint32)
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


def _random_qm31(n, seed):
    rng = np.random.default_rng(seed)
    return QM31(*(rng.integers(0, P, n, dtype=np.uint32) for _ in range(4)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_array_operations_equal_python_integers(backend, name):
    a, b = _pairs()
    operation = getattr(m31, name)
    got = BACKENDS[backend](operation, a, b)
    expected = [operation(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    exact = {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[name]
    assert expected == [exact(int(x), int(y)) % P for x, y in zip(a, b, strict=True)]
    assert got.dtype == np.uint32 and got.tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_t33_the_redundant_word_p_counts_as_zero(backend, name):
    a, b = _pairs(extra=[P])
    got = BACKENDS[backend](getattr(m31, name), a, b)
    expected = [getattr(m31, name)(int(x) % P, int(y) % P) for x, y in zip(a, b, strict=True)]
    assert (m31.canonical(got) == expected).all()
    assert m31.is_canonical(m31.canonical(got))
    if name == "mul":
        assert m31.is_canonical(got)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_doubled_factor_gives_the_product(backend):
    a, b = _pairs(extra=[P])
    got = BACKENDS[backend](m31.mul_doubled, a + a, b)
    assert got.dtype == np.uint32 and (got == m31.mul(a, b)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scalar", [0, 1, 5, P - 1])
def test_python_integers_mix_with_arrays(backend, scalar):
    a, _ = _pairs()
    for name in ("add", "sub", "mul"):
        operation = getattr(m31, name)
        got = BACKENDS[backend](lambda x, op=operation: op(x, scalar), a)
        assert got.tolist() == [operation(int(x), scalar) for x in a]
        got = BACKENDS[backend](lambda x, op=operation: op(scalar, x), a)
        assert got.tolist() == [operation(scalar, int(x)) for x in a]


@pytest.mark.parametrize("word", [0, P, 2**31, 2**32 - 1, 2**32 - 2, P - 1])
def test_canonical_takes_every_word(word):
    array = np.array([word], np.uint32)
    assert m31.canonical(array).tolist() == [word % P] == [m31.canonical(word)]
    assert np.asarray(m31.canonical(jnp.asarray(array))).tolist() == [word % P]


@pytest.mark.parametrize("backend", BACKENDS)
def test_inverses_multiply_to_one_and_zero_stays_zero(backend):
    a, _ = _pairs()
    got = BACKENDS[backend](m31.inv, a)
    assert (m31.mul(got, a) == (a != 0)).all()
    with pytest.raises(ZeroDivisionError):
        m31.inv(0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 2, 64])
def test_batch_inverses_equal_single_ones(backend, size):
    x = _random_qm31(size, size)
    assert (BACKENDS[backend](m31.batch_inv, x.a) == m31.inv(x.a)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 2, 64])
def test_inverses_in_the_tower_multiply_to_one(backend, size):
    x = _random_qm31(size, size)
    for field, value in ((cm31, x.first), (qm31, x)):
        product = field.mul(value, BACKENDS[backend](field.inv, value))
        for coordinate, one in zip(product, field.ONE, strict=True):
            assert (np.asarray(coordinate) == one).all()


def test_batch_inverse_refuses_other_lengths():
    with pytest.raises(ValueError, match="power-of-two length, got 3"):
        m31.batch_inv(np.ones(3, np.uint32))


def test_the_tower_has_the_published_irreducibles():
    # i^2 = -1 and u^2 = 2 + i: other towers have been shipped by mistake.
    i, u = QM31(0, 1, 0, 0), QM31(0, 0, 1, 0)
    assert qm31.mul(i, i) == QM31(P - 1, 0, 0, 0)
    assert qm31.mul(u, u) == QM31(2, 1, 0, 0)
    assert qm31.mul(QM31(1, 2, 3, 4), QM31(4, 5, 6, 7)) == QM31(P - 71, 93, P - 16, 50)


@pytest.mark.parametrize("backend", BACKENDS)
def test_qm31_is_a_field(backend):
    x, y, z = (_random_qm31(50, seed) for seed in range(3))

    def laws(x, y, z):
        return (
            (qm31.mul(x, qm31.add(y, z)), qm31.add(qm31.mul(x, y), qm31.mul(x, z))),
            (qm31.mul(qm31.mul(x, y), z), qm31.mul(x, qm31.mul(y, z))),
            (qm31.mul(x, y), qm31.mul(y, x)),
            (qm31.sub(x, y), qm31.add(x, qm31.neg(y))),
            (qm31.sq(x), qm31.mul(x, x)),
            (qm31.mul(qm31.mul(x, y), qm31.inv(y)), x),
            (qm31.conj(qm31.mul(x, y)), qm31.mul(qm31.conj(x), qm31.conj(y))),
            (qm31.mul_base(x, y.a), qm31.mul(x, qm31.from_base(y.a))),
            (qm31.mul_cm31(x, y.first), qm31.mul(x, qm31.from_parts(y.first, cm31.ZERO))),
        )

    for left, right in BACKENDS[backend](laws, x, y, z):
        for p, q in zip(left, right, strict=True):
            assert (np.asarray(p) == np.asarray(q)).all()


def test_arrays_equal_host_scalars():
    x, y = _random_qm31(20, 1), _random_qm31(20, 2)
    product = qm31.to_array(qm31.mul(x, y))
    for lane in range(20):
        a, b = (QM31(*(int(w[lane]) for w in v)) for v in (x, y))
        assert tuple(product[:, lane]) == qm31.mul(a, b)


def test_inverses_of_host_scalars_and_wide_arrays_equal_those_of_words():
    """Two products of the largest words have room in 64 bits."""
    table = np.random.default_rng(3).integers(0, P, (4, 50))
    table[:, 0], table[:3, 1], table[1:, 2] = P - 1, 0, 0

    def inverse(norms: np.ndarray) -> np.ndarray:
        return np.array([m31.inv(int(n)) for n in norms])

    words = np.array(qm31.inv(qm31.from_array(table.astype(np.uint32))))
    assert np.array_equal(qm31.inv_wide(qm31.from_array(table), inverse), words)
    for column, want in zip(table.T.tolist(), words.T.tolist(), strict=True):
        x = qm31.from_ints(column)
        assert list(qm31.inv(x)) == want and qm31.mul(x, qm31.inv(x)) == qm31.ONE
    with pytest.raises(ZeroDivisionError):
        qm31.inv(qm31.ZERO)


def test_coordinates_rebuild_a_secure_value():
    x = QM31(5, 6, 7, 8)
    parts = [qm31.from_base(w) for w in x]
    assert qm31.from_coordinates(parts) == x


def test_powers_and_conversions():
    x = QM31(3, 1, 4, 1)
    assert qm31.powers(x, 4)[3] == qm31.mul(qm31.sq(x), x) and qm31.powers(x, 0) == []
    assert qm31.from_ints(qm31.to_array(x)) == x
    assert tuple(qm31.from_array(qm31.to_array(x))) == x
    for bad in ([1, 2, 3], [1, 2, 3, P], [-1, 0, 0, 0]):
        with pytest.raises(ValueError, match="expected 4 words below"):
            qm31.from_ints(bad)
