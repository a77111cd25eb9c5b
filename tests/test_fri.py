"""FRI, prover side: folds, last layer and openings; StarkWare's proofs reproduced byte for byte."""

from __future__ import annotations

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxstark import circle, fri
from jaxstark.channel import Blake2sChannel
from jaxstark.errors import ProvingError, VerificationError
from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.fri_verify import draw_queries, replay_commit, verify_queries
from jaxstark.params import ProofParams
from jaxstark.profile import get_profile
from jaxstark.proof import FriLayer

SUITE = get_profile("stwo-2.2").suite


def random_words(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, P, shape, dtype=np.uint32)


def low_degree(seed: int, log_size: int, log_domain: int) -> np.ndarray:
    """Four random circle polynomials with ``2^log_size`` coefficients, in storage order.

    Built from the definition: every basis function is a product of y, x, pi(x), pi(pi(x)), ...
    """
    points = circle.domain_points(log_domain)
    factors = [points.y, *(circle.double_x(points.x, t) for t in range(log_size - 1))]
    total = np.zeros((4, 1 << log_domain), np.uint32)
    for m, coefficients in enumerate(random_words(seed, 1 << log_size, 4)):
        basis = np.ones(1 << log_domain, np.uint32)
        for t in range(log_size):
            if m >> t & 1:
                basis = m31.mul(basis, factors[t])
        total = m31.add(total, m31.mul(basis[None, :], coefficients[:, None]))
    return total


def folded(values: list[QM31], log_domain: int, folds: int, alpha: QM31) -> list[QM31]:
    """One fold, value by value."""
    out = []
    for i in range(len(values) // 2):
        if folds == 0:
            twiddle = circle.point(circle.domain_index(log_domain, 2 * i)).y
        else:
            domain = circle.line_domain(log_domain, folds)
            twiddle = domain.at(circle.bit_reverse(2 * i, domain.log_size)).x
        a, b = values[2 * i], values[2 * i + 1]
        odd = qm31.mul_base(qm31.sub(a, b), m31.inv(twiddle))
        out.append(qm31.add(qm31.add(a, b), qm31.mul(alpha, odd)))
    return out


def scalars(values: np.ndarray) -> list[QM31]:
    return [QM31(*v) for v in np.asarray(values).T.tolist()]


@pytest.mark.parametrize(("done", "step"), [(0, 1), (0, 3), (2, 2)])
def test_fold_is_the_fold_of_the_protocol(done, step):
    log_domain = 6
    values = random_words(1, 4, 1 << (log_domain - done))
    values[:, :4] = [[0, P - 1, 0, P - 1]] * 4
    alpha = QM31(*random_words(2, 4).tolist())
    table = fri.inverse_twiddles(log_domain, log_domain - done)
    got = fri.fold(jnp.asarray(values), table, fri.multipliers(alpha, step))
    expected, power = scalars(values), alpha
    for i in range(step):
        expected, power = folded(expected, log_domain, done + i, power), qm31.mul(power, power)
    assert scalars(got) == expected
    changed = fri.multipliers(qm31.add(alpha, qm31.ONE), step)
    other = fri.fold(jnp.asarray(values), table, changed)
    assert scalars(other) != expected


def prove(values: np.ndarray, log_size: int, params: ProofParams):
    """Commit, draw and open; returns what a verifier sees, and what it would be asked."""
    committed, channel = fri.commit(Blake2sChannel(), jnp.asarray(values), log_size, params)
    drawn, _ = draw_queries(channel, log_size + params.log_blowup, params.n_queries)
    positions = np.unique(drawn)
    return committed, channel, positions, fri.open(committed, positions, params)


def verify(layers, last, positions, answers, log_size, params):
    alphas, channel = replay_commit(Blake2sChannel(), layers, last)
    verify_queries(SUITE, layers, last, params, log_size, alphas, positions, answers)
    return channel


CASES = [
    (4, ProofParams(0, 1, 5, 1, 0)),
    (5, ProofParams(0, 2, 9, 2, 1)),
    (6, ProofParams(0, 1, 40, 4, 0)),
    (7, ProofParams(0, 1, 3, 3, 2)),
]


def test_a_small_layer_folds_with_a_challenge_on_the_device():
    values, table, alpha = random_words(1, 4, 16), random_words(2, 16), random_words(3, 4)
    values[:, ::3] = P  # a redundant zero
    for step in (1, 3):
        want = fri.fold(values, table, fri.multipliers(QM31(*alpha.tolist()), step))
        assert np.array_equal(fri.fold_few(values, table, jnp.asarray(alpha), step), want)


@pytest.mark.parametrize(("log_size", "params"), CASES)
def test_low_degree_functions_are_accepted(log_size, params):
    values = low_degree(4, log_size, log_size + params.log_blowup)
    committed, channel, positions, layers = prove(values, log_size, params)
    answers = values[:, positions]
    assert verify(layers, committed.last_layer, positions, answers, log_size, params) == channel
    wrong = answers.copy()
    wrong[0, 0] = (int(wrong[0, 0]) + 1) % P
    with pytest.raises(VerificationError):
        verify(layers, committed.last_layer, positions, wrong, log_size, params)
    first = layers[0]
    if first.fri_witness:
        changed = (qm31.add(first.fri_witness[0], qm31.ONE), *first.fri_witness[1:])
        forged = (dataclasses.replace(first, fri_witness=changed), *layers[1:])
        with pytest.raises(VerificationError):
            verify(forged, committed.last_layer, positions, answers, log_size, params)


@pytest.mark.parametrize(("log_size", "params"), CASES[1:3])
def test_t8_a_function_of_high_degree_is_refused(log_size, params):
    values = low_degree(5, log_size, log_size + params.log_blowup)
    values[2, 3] ^= 1
    with pytest.raises(ProvingError, match="not low degree"):
        fri.commit(Blake2sChannel(), jnp.asarray(values), log_size, params)
    committed, _ = fri.commit(Blake2sChannel(), jnp.asarray(values), log_size, params, check=False)
    assert len(committed.last_layer) == 1 << params.log_last_layer


def test_all_positions_of_a_coset_leave_no_witness():
    log_size, params = CASES[2]
    values = low_degree(6, log_size, log_size + params.log_blowup)
    committed, *_ = prove(values, log_size, params)
    positions = np.arange(16, 32)
    layers = fri.open(committed, positions, params)
    assert layers[0].fri_witness == () and layers[1].fri_witness
    answers = values[:, positions]
    verify(layers, committed.last_layer, positions, answers, log_size, params)


@pytest.mark.parametrize("positions", [[], [3, 3], [5, 2], list(range(10))])
def test_open_refuses_positions_that_are_not_a_sorted_set(positions):
    log_size, params = CASES[1]
    values = low_degree(7, log_size, log_size + params.log_blowup)
    committed, *_ = fri.commit(Blake2sChannel(), jnp.asarray(values), log_size, params)
    with pytest.raises(ValueError, match="positions: expected 1..9 ascending"):
        fri.open(committed, np.array(positions, np.int64), params)


def test_commit_refuses_an_input_of_another_size():
    with pytest.raises(ValueError, match="FRI input: expected shape"):
        fri.commit(Blake2sChannel(), jnp.zeros((4, 16), jnp.uint32), 5, CASES[0][1])


def test_a_second_proof_of_a_shape_compiles_nothing():
    log_size, params = CASES[1]
    counts = []
    for seed in (8, 9):
        prove(low_degree(seed, log_size, log_size + params.log_blowup), log_size, params)
        sizes = [f._cache_size() for f in (fri.fold, fri._take_cosets)]  # pyright: ignore
        counts.append(sizes)
    assert counts[0] == counts[1]


def read_proof(felts: list[int]) -> tuple[tuple[FriLayer, ...], tuple[QM31, ...]]:
    """Layers and last layer in the layout of protocol section 14."""
    words = iter(felts)

    def take(count: int) -> list[int]:
        return [next(words) for _ in range(count)]

    def felt_list() -> tuple[QM31, ...]:
        return tuple(QM31(*take(4)) for _ in range(next(words)))

    def digest() -> bytes:
        return np.array(take(8), "<u4").tobytes()

    def layer() -> FriLayer:
        return FriLayer(felt_list(), tuple(digest() for _ in range(next(words))), digest())

    first = layer()
    return (first, *(layer() for _ in range(next(words)))), felt_list()


UPSTREAM = [
    "valid_proof_passes_verification",
    "decommit_queries_on_invalid_domain_fails_verification",  # misuses an API with a valid proof
    "valid_proof_with_fold_step_2_passes_verification",
    "valid_proof_with_fold_step_3_passes_verification",
]


@pytest.mark.parametrize("name", UPSTREAM)
def test_t38_proofs_equal_those_of_upstream(vectors, name):
    """The upstream tests commit to the polynomial whose coefficients are all 1."""
    unit = json.loads((vectors / "stwo_cairo_unit_vectors.json").read_text())
    (case,) = (c for c in unit["fri"] if c["name"] == name)
    log_size, config = case["log_degree_bound"], case["config"]
    params = ProofParams(
        pow_bits=0,
        log_blowup=config["log_blowup_factor"],
        n_queries=config["n_queries"],
        fold_step=config["fold_step"],
        log_last_layer=config["log_last_layer_degree_bound"],
    )
    points = circle.domain_points(log_size + params.log_blowup)
    values = np.zeros((4, len(points.x)), np.uint32)
    values[0] = m31.add(points.y, 1)  # the sum over all basis functions is a product
    for t in range(log_size - 1):
        values[0] = m31.mul(values[0], m31.add(circle.double_x(points.x, t), 1))
    positions = np.array(case["positions"])
    assert values[:, positions].T.tolist() == case["query_evals"]
    committed, _ = fri.commit(Blake2sChannel(), jnp.asarray(values), log_size, params)
    layers, last = read_proof(case["proof_felts"])
    assert fri.open(committed, positions, params) == layers
    assert committed.last_layer == last
