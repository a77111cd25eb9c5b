"""T8: columns that are not of low degree are rejected, as often as predicted."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import jaxstark
from jaxstark import merkle, prover
from jaxstark.commit import Committed
from jaxstark.fields.m31 import P
from jaxstark.params import ProofParams
from tests.golden.cases import CASES
from tests.soundness.forging import PARAMS, forge, key_of, rejected

cheats = importlib.import_module("_soundness")
LOG_SIZE = 5


def sections(make, seeds):
    attempts = [make(seed) for seed in range(seeds)]
    return attempts, Counter(attempt.section() for attempt in attempts)


def test_t8_honest_columns_are_always_accepted():
    params = ProofParams(0, 1, 3, 2)
    attempts, found = sections(lambda s: cheats.corrupted(s, LOG_SIZE, params, 0.0), 10)
    assert found == {None: 10} and all(a.expected == 1 for a in attempts)


@pytest.mark.parametrize(("queries", "distance"), [(1, 0.5), (2, 0.25), (5, 0.125)])
def test_t8_acceptance_of_a_corrupted_column_is_as_predicted(queries, distance):
    params, seeds = ProofParams(0, 1, queries, 2), 150
    attempts, found = sections(lambda s: cheats.corrupted(s, LOG_SIZE, params, distance), seeds)
    expected = (1 - distance) ** queries
    assert attempts[0].expected == pytest.approx(expected)
    assert cheats.deviation(found[None], seeds, expected) < 4
    assert 0 < found[None] < seeds
    assert set(found) <= {None, "merkle"}  # a changed leaf contradicts the first FRI layer


@pytest.mark.parametrize("queries", [1, 2])
def test_t8_acceptance_of_a_random_column_is_as_predicted(queries):
    params, seeds = ProofParams(0, 1, queries, 2), 150
    _, found = sections(lambda s: cheats.random_column(s, LOG_SIZE, params), seeds)
    assert cheats.deviation(found[None], seeds, 2.0**-queries) < 4
    assert set(found) == {None, "fri"}


def test_t8_with_enough_queries_no_cheating_column_is_accepted():
    params = ProofParams(0, 1, 40, 2)
    _, random = sections(lambda s: cheats.random_column(s, LOG_SIZE, params), 20)
    _, corrupted = sections(lambda s: cheats.corrupted(s, LOG_SIZE, params, 0.25), 20)
    assert random == {"fri": 20} and corrupted == {"merkle": 20}


@pytest.mark.parametrize("name", ["range_sum", "wide_fibonacci"])
def test_t8_a_random_column_in_a_whole_proof_is_rejected(name, monkeypatch):
    """One committed column of random words, in an otherwise honest proof of a true statement."""
    case = replace(CASES[name], log_size=5)
    trace, log_sizes = case.example()
    key = key_of(trace.air, log_sizes)
    calls, commit = [], prover.commit_rows

    def commit_noise(groups, log_blowup):
        committed = commit(groups, log_blowup)
        calls.append(committed)
        last = np.array(committed.evaluations[-1])
        last[0] = np.random.default_rng(1).integers(0, P, last.shape[1], dtype=np.uint32)
        evaluations = (*committed.evaluations[:-1], prover.jnp.asarray(last))
        return Committed(committed.coefficients, evaluations, merkle.commit(evaluations))

    jaxstark.verify(forge(trace, key), key, trace.public_values, insecure=True)
    monkeypatch.setattr(prover, "commit_rows", commit_noise)
    assert rejected(forge(trace, key), key, trace.public_values) in ("oods", "fri")
    assert calls
    with pytest.raises(jaxstark.ProvingError):
        jaxstark.prove(trace, params=PARAMS, insecure=True)


def test_t8_a_composition_of_too_high_degree_is_rejected(monkeypatch):
    """Honest samples of honest polynomials, but other values under the root."""
    trace, log_sizes = replace(CASES["wide_fibonacci"], log_size=5).example()
    key = key_of(trace.air, log_sizes)
    commit = prover.commit_coefficients

    def commit_high(groups, log_blowup):
        committed = commit(groups, log_blowup)
        high = np.array(committed.evaluations[0])
        high[:, ::2] = (high[:, ::2].astype(np.uint64) + 1) % P
        evaluations = (prover.jnp.asarray(high),)
        return Committed(committed.coefficients, evaluations, merkle.commit(evaluations))

    monkeypatch.setattr(prover, "commit_coefficients", commit_high)
    assert rejected(forge(trace, key), key, {}) == "fri"
