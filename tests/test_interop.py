"""T38: StarkWare's unmodified verifier accepts our proofs, over the whole matrix of parameters.

The default suite runs a cover of all pairs of (AIR, fold step, last-layer bound, blow-up); `make
test-all` adds every AIR at every size from 2^4 to 2^16. All proofs go through our own verifier too.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest

from jaxstark import ProofParams, Trace, VerificationError, prove, verify
from jaxstark.air.registry import SHIPPED
from tests import upstream

pytestmark = pytest.mark.interop
POW_BITS = 3
FACTORS = {
    "air": tuple(SHIPPED),
    "fold_step": (1, 2, 3, 4),
    "log_last_layer": (0, 1, 2, 3),
    "log_blowup": (1, 2, 3, 4, 5),
}


class Case(NamedTuple):
    """One cell of the matrix."""

    air: str
    log_size: int
    fold_step: int
    log_last_layer: int
    log_blowup: int
    n_queries: int

    @property
    def params(self) -> ProofParams:
        """Its parameters."""
        return ProofParams(
            POW_BITS, self.log_blowup, self.n_queries, self.fold_step, self.log_last_layer
        )


def pairwise() -> list[tuple]:
    """Rows that show every pair of values of two factors: greedy, the same every time."""
    names, rows = list(FACTORS), []
    open_pairs = {
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(names)), 2)
        for a in FACTORS[names[i]]
        for b in FACTORS[names[j]]
    }
    candidates = list(itertools.product(*FACTORS.values()))

    def covered(row: tuple) -> set:
        return {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(row)), 2)}

    while open_pairs:
        row = max(candidates, key=lambda r: len(covered(r) & open_pairs))
        rows.append(row)
        open_pairs -= covered(row)
    return rows


def smallest(air: str, fold_step: int, log_last_layer: int) -> int:
    """The smallest example whose components all have room for the first fold."""
    least = max(fold_step + log_last_layer, 4)
    return least + (air in ("state_machine", "range_sum"))


def cover_cases() -> list[Case]:
    """The pairwise cover at small sizes; every third case has the queries of the presets."""
    out = []
    for number, (air, fold, last, blowup) in enumerate(pairwise()):
        log_size = smallest(air, fold, last)
        out.append(Case(air, log_size, fold, last, blowup, 70 if number % 3 == 0 else 9))
    return out


def size_cases() -> list[Case]:
    """Every AIR from 2^4 to 2^16, all pairs of fold step and last-layer bound on the way."""
    steps = itertools.cycle(itertools.product((1, 2, 3, 4), (0, 1, 2, 3)))
    out = []
    for air, log_size in itertools.product(SHIPPED, range(4, 17)):
        fold, last = next(steps)
        room = log_size - (air == "state_machine")
        if air == "range_sum":
            room = min(room, max(min(8, log_size - 1), 4))
        if fold + last > room:
            fold, last = min(fold, room), 0
        blowup = 1 + (log_size % 5 if log_size < 13 else 0)
        out.append(Case(air, log_size, fold, last, blowup, 70 if log_size % 4 == 0 else 12))
    return out


def _prove(case: Case) -> dict:
    air, sizes, columns, public = SHIPPED[case.air].example(case.log_size, case.log_size)
    proof = prove(Trace(air, columns, public), params=case.params, insecure=True)
    key = air.setup(sizes, case.params)
    verify(proof, key, public, insecure=True)
    return upstream.case(str(case), key, public, proof)


def _title(case: Case) -> str:
    return f"{case.air}-{case.log_size}-f{case.fold_step}-r{case.log_last_layer}-b{case.log_blowup}"


def _expect_accepted(case: Case) -> None:
    (answer,) = upstream.verify([_prove(case)])
    assert answer["accepted"], answer["error"]


def test_t38_the_cover_shows_every_pair():
    cases = cover_cases()
    pairs = {(c.fold_step, c.log_last_layer) for c in cases}
    assert len(pairs) == 16 and {c.log_blowup for c in cases} == {1, 2, 3, 4, 5}
    assert {(c.air, c.log_blowup) for c in cases} >= set(itertools.product(SHIPPED, range(1, 6)))
    assert sum(c.n_queries == 70 for c in cases) >= 5


def test_t38_the_whole_matrix_has_its_promised_cases():
    cases = cover_cases() + size_cases()
    assert len(cases) >= 60
    assert sum(c.n_queries == 70 for c in cases) >= 10
    mixed = [c for c in cases if c.n_queries == 70 and c.air in ("state_machine", "range_sum")]
    assert len(mixed) >= 3
    assert {(c.air, c.log_size) for c in cases} >= set(itertools.product(SHIPPED, range(4, 17)))


@pytest.mark.parametrize("case", cover_cases(), ids=_title)
def test_t38_upstream_accepts_the_pairwise_cover(cargo, case):
    _expect_accepted(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", size_cases(), ids=_title)
def test_t38_upstream_accepts_every_size(cargo, case):
    _expect_accepted(case)


@pytest.mark.parametrize("air_name", ["range_sum", "state_machine"])
def test_t14_upstream_accepts_mixed_sizes_at_70_queries(cargo, air_name):
    _expect_accepted(Case(air_name, 9, 4, 0, 1, 70))


def test_t38_both_verifiers_reject_another_public_value(cargo):
    case = Case("range_sum", 5, 1, 0, 1, 9)
    line = _prove(case)
    wrong = {**line, "public_values": {**line["public_values"], "start": [1]}}
    good, bad = upstream.verify([line, wrong])
    assert good["accepted"] and not bad["accepted"]
    air, sizes, columns, public = SHIPPED["range_sum"].example(5, 5)
    proof = prove(Trace(air, columns, public), params=case.params, insecure=True)
    key = air.setup(sizes, case.params)
    with pytest.raises(VerificationError):
        verify(proof, key, {**public, "start": [1]}, insecure=True)
