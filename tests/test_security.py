"""T15: every soundness term is reported, in four regimes, and the total is the least."""

import dataclasses
import math

import pytest

from jaxstark.params import PRESETS, ProofParams
from jaxstark.security import FIELD_BITS, REGIMES, TERMS, deep_values, elias_distance, security
from tests.strategies import lookup_shape

SHAPE = lookup_shape(20)
# Formula / Elias / Johnson / unique decoding of the query phase; ints are
# rounded there.
TABLE = [
    (1, 70, 26, (96.0, 89.7, 61.0, 55.1)),
    (2, 35, 26, (96.0, 90.7, 61.0, 49.7)),
    (3, 23, 27, (96.0, 91.3, 61.5, 46.1)),
    (4, 17, 28, (96.0, 91.6, 62.0, 43.5)),
    (5, 14, 26, (96.0, 91.6, 61.0, 39.4)),
    (8, 9, 24, (96.0, 91.6, 60.0, 32.9)),
    (1, 140, 26, (166.0, 153, 96.0, 84)),
    (3, 46, 27, (165.0, 156, 96.0, 65)),
]


@pytest.mark.parametrize(("blowup", "queries", "pow_bits", "expected"), TABLE)
def test_t15_query_phase_figures(blowup, queries, pow_bits, expected) -> None:
    report = ProofParams(pow_bits, blowup, queries, 4).security(SHAPE)
    for regime, bits in zip(report.regimes, expected, strict=True):
        assert regime.limit == pytest.approx(bits, abs=0.06 if type(bits) is float else 0.6)


def test_t15_johnson_is_analysed_below_its_limit() -> None:
    regime = PRESETS["johnson-96"].security(SHAPE)["johnson"]
    assert regime.limit == 96 and regime.multiplicity == 3
    assert regime.query == pytest.approx(85.8, abs=0.1), "about 86 at multiplicity 3"
    assert regime.total < regime.query, "the commit phase has terms of its own"


def test_t15_algebraic_terms() -> None:
    shape = dataclasses.replace(SHAPE, n_constraints=33, n_lookups=1 << 22, max_arity=4)
    assert deep_values(shape) == 1 + 26 + 4 * 3 + 8
    unique = security(ProofParams(26, 1, 70, fold_step=1), shape)["unique"]
    assert pytest.approx(124, abs=1e-6) == FIELD_BITS
    assert unique.constraints == pytest.approx(124 - 5)
    assert unique.oods == pytest.approx(124 - 20 - math.log2(3))
    assert unique.logup == pytest.approx(124 - 24)
    assert unique.deep == pytest.approx(124 - 21 - math.log2(46))
    # Folding by one bit: 2^20 + 2^19 + ... + 2 values of the folded layers.
    assert unique.fold == pytest.approx(124 - 21, abs=1e-4)
    folded = security(ProofParams(26, 1, 70, fold_step=4), shape)["unique"]
    sizes = [(15, 17), (15, 13), (15, 9), (15, 5), (15, 1)]
    assert folded.fold == pytest.approx(124 - math.log2(sum(c << n for c, n in sizes)))


def test_t15_oods_term_near_99_bits_at_2_24_rows() -> None:
    assert security(PRESETS["stwo-96"], lookup_shape(24))["formula"].oods == pytest.approx(
        98.4, abs=0.1
    )


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("log_size", [6, 20, 24, 28])
def test_t15_total_is_the_least_term(name: str, log_size: int) -> None:
    report = PRESETS[name].security(lookup_shape(log_size))
    for regime, label in zip(report.regimes, REGIMES, strict=True):
        terms = [getattr(regime, term) for term in TERMS]
        assert regime.regime == label and regime.total == min(terms)
        assert getattr(regime, regime.weakest) == regime.total
        assert regime.query <= regime.limit + 1e-9
        assert regime.total < FIELD_BITS
    totals = [regime.total for regime in report.regimes]
    assert totals[0] >= totals[1] >= max(totals[2:])


def test_t15_no_label_above_what_the_terms_give() -> None:
    """At 2^24 rows the DEEP term holds the formula's total of 96 down."""
    report = PRESETS["stwo-96"].security(lookup_shape(24))
    assert report["formula"].query == 96 > report["formula"].total
    assert report["formula"].weakest == "deep"


def test_terms_without_their_step_are_absent_and_wrap_around_is_0() -> None:
    plain = lookup_shape(10, interaction=0)
    regime = security(PRESETS["stwo-96"], dataclasses.replace(plain, n_constraints=1))["unique"]
    assert math.isinf(regime.logup) and math.isinf(regime.constraints)
    wrapped = dataclasses.replace(SHAPE, n_lookups=2**31 - 1)
    assert security(PRESETS["stwo-96"], wrapped)["formula"].total == 0


def test_more_work_never_lowers_the_total() -> None:
    base = ProofParams(20, 2, 20, 2).security(SHAPE)
    for change in ({"pow_bits": 21}, {"n_queries": 21}):
        better = dataclasses.replace(base.params, **change).security(SHAPE)
        assert all(better[name].total >= base[name].total for name in REGIMES)


def test_elias_distance_solves_its_equation() -> None:
    for blowup in (1, 2, 5, 16):
        d = elias_distance(2.0**-blowup)
        entropy = -d * math.log2(d) - (1 - d) * math.log2(1 - d)
        assert d + entropy / 31 == pytest.approx(1 - 2.0**-blowup, abs=1e-9)


def test_the_table_shows_every_term_and_never_one_bare_number() -> None:
    lines = PRESETS["stwo-96"].security(SHAPE).lines()
    assert str(PRESETS["stwo-96"].security(SHAPE)) == "\n".join(lines)
    rows = {line.split("  ")[0]: line for line in lines}
    for label in ("query, limit", *TERMS, "total"):
        assert len(rows[label].removeprefix(label).split()) == 4
    assert rows["total"].split()[1:] == ["96.0", "89.7", "60.2", "55.0"]
    assert any("refuted" in line for line in lines) and max(map(len, lines)) <= 100


def test_too_small_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 2"):
        security(ProofParams(26, 1, 70, fold_step=4), lookup_shape(3))
