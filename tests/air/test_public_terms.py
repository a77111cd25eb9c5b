"""The total of the lookups is the same however many public terms there are."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.air import evaluate
from jaxstark.air import public_terms as terms
from jaxstark.air.definition import Air, Constraints, Relation, component, spread_columns
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31

PAIR, TRIPLE = Relation("Pair", 2), Relation("Triple", 3)


@component("a")
def rows(row, air):
    air.lookup(PAIR, [row.a, 0])
    air.lookup(TRIPLE, [row.a, 1, 2])


def public_terms(air):
    words = air.public_values.words
    air.public_each(PAIR, [range(len(words)), words], -1)
    air.public_each(TRIPLE, [[5 - word for word in words], 7, words], 3)
    air.public(PAIR, [1, words[0]], words[0] + 1)


AIR = Air("public", (rows,), (PAIR, TRIPLE), (("words", None),), public_terms)


def statement(count: int):
    rng = np.random.default_rng(count)

    def felt() -> QM31:
        return QM31(*rng.integers(0, m31.P, 4).tolist())

    elements = {r: evaluate.relation_elements(felt(), felt(), r.arity) for r in AIR.relations}
    words = {"words": [*rng.integers(0, m31.P, count).tolist(), 0, m31.P - 1]}
    return words, elements, [felt(), felt()]


@pytest.mark.parametrize("count", [0, 1, 6, 61, 62, 63])
def test_many_public_terms_add_up_as_few_do(count, monkeypatch):
    words, elements, claims = statement(count)
    want = claims[0]
    for claim in claims[1:]:
        want = qm31.add(want, claim)
    monkeypatch.setattr(terms, "FEW_ENTRIES", 10**6)
    entries, blocks = terms.public_entries(AIR, words)
    assert (len(entries), blocks) == (2 * (count + 2) + 1, [])
    for weight, den in evaluate.fractions(entries, elements):
        want = qm31.add(want, qm31.mul(weight.secure, qm31.inv(den.secure)))
    assert terms.logup_total(AIR, words, elements, claims) == want
    monkeypatch.setattr(terms, "FEW_ENTRIES", 0)
    entries, blocks = terms.public_entries(AIR, words)
    assert len(entries) == 1 and [len(b.columns[0]) for b in blocks] == [count + 2] * 2
    assert terms.logup_total(AIR, words, elements, claims) == want


@pytest.mark.parametrize("few", [0, 10**6])
def test_a_public_denominator_of_0_is_an_error(few, monkeypatch):
    words, elements, claims = statement(3)
    found = elements[PAIR]
    elements[PAIR] = found._replace(z=qm31.mul_base(found.alpha_powers[1], words["words"][0]))
    monkeypatch.setattr(terms, "FEW_ENTRIES", few)
    with pytest.raises(ZeroDivisionError):
        terms.logup_total(AIR, words, elements, claims)


def test_columns_of_public_terms_may_be_of_any_kind(monkeypatch):
    """Ranges, and words below 0 or above p, add up as the ints that they stand for."""
    _, elements, claims = statement(3)
    words = (3, m31.P - 2, 0, 9)
    kinds = [range(-2, 2), range(9, 1, -2), [7, -1, m31.P, 0]]
    columns = [[kind, 5] for kind in kinds] + [[-8, words], [words, range(4)]]

    def total(columns: list, few: int) -> QM31:
        def public(air):
            for pair in columns:
                air.public_each(PAIR, pair, -2)

        monkeypatch.setattr(terms, "FEW_ENTRIES", few)
        air = Air("kinds", (rows,), (PAIR, TRIPLE), (), public)
        return terms.logup_total(air, {}, elements, claims)

    plain = [[[int(v) for v in c] for c in spread_columns(pair)] for pair in columns]
    want = total(plain, 10**6)
    assert total(columns, 10**6) == total(columns, 0) == total(plain, 0) == want
    assert total(columns[1:], 0) != want


def test_host_scalars_combine_as_felts_do():
    for relation, element in statement(1)[1].items():
        words = [0, m31.P - 1, 5][: relation.arity]
        assert element.combine_words(words) == element.combine(list(map(Felt, words))).secure
        with pytest.raises(ValueError):
            element.combine_words([*words, 1])


def test_rows_of_public_terms_are_refused_without_one_length():
    for columns in ([1, 2], [[1, 2], [3]], [range(2), (1, 2, 3)]):
        with pytest.raises(ValueError, match="expected sequences of one length, got"):
            Constraints().public_each(PAIR, columns)


def test_rows_of_public_terms_may_be_none():
    Constraints().public_each(PAIR, [[], 3])


def test_rows_of_public_terms_have_the_arity_of_their_relation():
    def wrong(air):
        air.public_each(PAIR, [air.public_values.words, 1, 2])

    with pytest.raises(ValueError, match="expected 2 values for relation Pair, got 3"):
        Air("public", (rows,), (PAIR, TRIPLE), (("words", None),), wrong).shape(
            (7,), {"words": [1]}
        )
