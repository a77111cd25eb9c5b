"""T14: columns of several sizes in one proof, and columns that are not as small as they claim.

A column of 2^k rows is committed through its lift to the largest size. Nothing forces a column
with one sample to be a lift: a prover may commit 2^L distinct rows for it (protocol section 15,
item 5). The LogUp columns have two samples and are forced. Here a prover works with the large
size and claims the small one, which is the same proof but for that check.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jaxstark
from jaxstark import circle, pcs_verify, prover
from jaxstark.air.definition import Air, Component, Relation
from jaxstark.air.range_sum import range_sum, range_sum_trace
from jaxstark.air.state_machine import state_machine, state_machine_trace
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns
from jaxstark.fields import m31, qm31
from jaxstark.setup import Preprocessed
from jaxstark.trace import Trace
from tests.golden.cases import SECURE, golden
from tests.soundness.forging import PARAMS, forge, key_of, rejected

SMALL, LARGE = 4, 5


def test_t14_seventy_queries_over_mixed_sizes():
    item = golden(SECURE[0])
    assert item.key.params.n_queries == 70 and len(set(item.key.log_sizes)) == 2
    assert item.proof.stark.queried_values[1].shape[1] > 60
    jaxstark.verify(item.proof, item.key, item.public)
    # One word of the small column, at each position: all are looked at.
    rows = item.proof.stark.queried_values[1]
    for position in range(0, rows.shape[1], 7):
        wrong = rows.copy()
        wrong[-1, position] ^= 1
        tables = (item.proof.stark.queried_values[0], wrong, *item.proof.stark.queried_values[2:])
        proof = replace(item.proof, stark=replace(item.proof.stark, queried_values=tables))
        assert rejected(proof, item.key, item.public) == "merkle"


def two_fibonaccis() -> Air:
    """A small and a large component without lookups: nothing ties the small one down."""
    (comp,) = wide_fibonacci(4).components
    return Air("two", tuple(Component(n, comp.columns, comp.evaluate) for n in ("small", "large")))


def repeats(log_small: int, log_large: int) -> np.ndarray:
    """For every row of the large size, the row of the small one whose lift it is."""
    rows = np.arange(1 << log_large)
    slots = np.argsort(np.asarray(circle.slot_to_row(log_large)))[rows]
    return np.asarray(circle.slot_to_row(log_small))[circle.lift_slot(slots, log_small, log_large)]


def test_repeats_is_the_lift_in_row_order():
    found = repeats(2, 4)
    assert sorted(found.tolist()) == sorted([0, 1, 2, 3] * 4)
    assert len(set(found[:4].tolist())) == 4


def test_t14_distinct_rows_pass_where_only_single_samples_are_read():
    """The control: the attack works where the design says that it does, so it is a real one."""
    air, key = two_fibonaccis(), key_of(two_fibonaccis(), (SMALL, LARGE))
    small, large = (wide_fibonacci_columns(4, LARGE, seed)["fibonacci"] for seed in (1, 2))
    distinct = Trace(air, {"small": small, "large": large})
    proof = forge(distinct, key, log_sizes=(LARGE, LARGE))
    assert len(set(small["c0"].tolist())) > 1 << SMALL
    jaxstark.verify(proof, key, insecure=True)
    # Every one of the rows obeys the constraints; more than that nobody promised.
    small["c3"] = m31.add(small["c3"], np.uint32(1))
    broken = Trace(air, {"small": small, "large": large})
    assert rejected(forge(broken, key, log_sizes=(LARGE, LARGE)), key) == "oods"


def claim_small(monkeypatch, key) -> None:
    """Make a prover that works with the large size prove for the key of the small one.

    The verifier spreads the first claim over 2^SMALL rows, the prover over 2^LARGE: the claim is
    halved, and the prover's own computation goes on with the whole sum. The quotients are the
    verifier's, at every slot of the domain.
    """
    scale = pow(1 << (LARGE - SMALL), -1, m31.P)
    interaction: Any = prover._interaction
    compose: Any = prover.composition_coefficients
    shape = key.definition.shape(key.log_sizes)

    def scaled(claims, by):
        return [qm31.mul_base(claims[0], by), *claims[1:]]

    def halved(*args):
        columns, sums = interaction(*args)
        return columns, scaled(sums, scale)

    def whole(*args):
        *others, claims = args
        return compose(*others, scaled(claims, 1 << (LARGE - SMALL)))

    def quotients(evaluations, columns, offsets, sampled, z, batching, log_size, log_blowup):
        rows = np.concatenate([np.asarray(group) for tree in evaluations for group in tree])
        answers = pcs_verify.deep_answers(
            log_blowup,
            [k for tree in shape.all_columns for k in tree],
            [mask for tree in shape.all_offsets for mask in tree],
            [values for tree in sampled for values in tree],
            rows,
            z,
            batching,
            log_size,
            np.arange(rows.shape[1]),
        )
        return prover.jnp.asarray(answers)

    monkeypatch.setattr(prover, "_interaction", halved)
    monkeypatch.setattr(prover, "composition_coefficients", whole)
    monkeypatch.setattr(prover.deep, "quotients", quotients)


def state_machine_attack(lifted: bool):
    """Each step of the small component twice, as a lift or in another order."""
    air = state_machine()
    columns, public = state_machine_trace((SMALL, LARGE), (2, 3))
    order = repeats(SMALL, LARGE) if lifted else np.arange(1 << LARGE) // 2
    columns["increment_x"] = {n: c[order] for n, c in columns["increment_x"].items()}
    return Trace(air, columns, public), key_of(air, (SMALL, LARGE)), public


def test_t14_the_shipped_state_machine_is_not_fooled(monkeypatch):
    """Equal sums and true constraints on 2^5 rows; the small size is a lie."""
    trace, key, public = state_machine_attack(lifted=True)
    claim_small(monkeypatch, key)
    proof = forge(trace, key, log_sizes=(LARGE, LARGE))
    assert len(proof.claimed_sums) == 2
    jaxstark.verify(proof, key, public, insecure=True)  # a lift is no lie
    trace, key, public = state_machine_attack(lifted=False)
    proof = forge(trace, key, log_sizes=(LARGE, LARGE))
    assert rejected(proof, key, public) == "fri"


def reversed_range_sum(bits: int) -> Air:
    """The shipped example with its table first, so that leaves keep their order in the attack."""
    main, table = range_sum(bits).components
    table = replace(table, log_size=None)
    relation: tuple[Relation, ...] = range_sum(bits).relations
    return Air("range_sum_reversed", (table, main), relation, (("start", 1), ("result", 1)))


@pytest.mark.parametrize("lifted", [True, False])
def test_t14_the_shipped_range_sum_is_not_fooled(lifted, monkeypatch):
    air = reversed_range_sum(SMALL)
    columns, public = range_sum_trace(LARGE, SMALL, seed=3)
    order = repeats(SMALL, LARGE)
    multiplicity = columns["table"]["multiplicity"].astype(np.uint64)
    # Twice the rows at half the weight; or, as a lie, all the weight on the first of the two.
    spread = np.zeros(1 << LARGE, np.uint64)
    if lifted:
        spread = multiplicity[order]
    else:
        _, first = np.unique(order, return_index=True)
        spread[first] = 2 * multiplicity
    columns["table"] = {"multiplicity": spread.astype(np.uint32)}
    key = key_of(air, (SMALL, LARGE))
    small = prover.preprocessed(air, (SMALL, LARGE), PARAMS.log_blowup)
    names = [name for name, _ in air.preprocessed]
    table = {n: c[order] if len(c) < 1 << LARGE else c for n, c in small.columns.items()}
    rows = [np.stack([table[name] for name in names])]
    lifted_tree = Preprocessed(prover.commit_rows(rows, PARAMS.log_blowup), table)
    assert prover.merkle.root_bytes(lifted_tree.committed.tree) == key.preprocessed_root
    monkeypatch.setattr(prover, "preprocessed", lambda *_: lifted_tree)
    claim_small(monkeypatch, key)
    proof = forge(Trace(air, columns, public), key, log_sizes=(LARGE, LARGE))
    if lifted:
        jaxstark.verify(proof, key, public, insecure=True)
    else:
        assert rejected(proof, key, public) == "fri"
