"""T1, T38: StarkWare's verifier rejects what ours rejects, with a list of exceptions."""

from __future__ import annotations

import pytest

from tests import upstream
from tests.golden.cases import CASES, golden
from tests.soundness.test_tamper import NAMES, applied

pytestmark = pytest.mark.interop

_SERDE = "serde skips keys that it does not know, and reads an absent option as none"
_EMPTY_TREE = "upstream does not look at the witness of an empty tree 0"
# Tampers that upstream alone accepts; none of them changes a word that is hashed or checked.
ACCEPTED_UPSTREAM = {
    "missing key stark_proof.config.lifting_log_size": _SERDE,
    "surplus key in stark_proof": _SERDE,
    "surplus key in stark_proof.config": _SERDE,
    "surplus key in stark_proof.fri_proof.first_layer": _SERDE,
    "surplus key in stark_proof.fri_proof.last_layer_poly": _SERDE,
    "decommitments: first from last": _EMPTY_TREE,
    "witness of tree 0: append zero": _EMPTY_TREE,
}


@pytest.mark.parametrize("name", CASES)
def test_t38_upstream_accepts_the_golden_proofs(cargo, name):
    item = golden(name)
    (answer,) = upstream.verify([upstream.case(name, item.key, item.public, item.data)])
    assert answer["accepted"], answer["error"]


@pytest.mark.parametrize("name", NAMES)
def test_t1_upstream_rejects_the_targeted_tampers(cargo, name):
    item = golden(name)
    cases = [upstream.case(t, item.key, item.public, data) for t, data in applied(name)]
    assert len(cases) >= 200
    accepted = {a["name"] for a in upstream.verify(cases) if a["accepted"]}
    with_tree_0 = bool(item.proof.stark.sampled_values[0])
    reasons = {_SERDE} if with_tree_0 else {_SERDE, _EMPTY_TREE}
    assert accepted == {t for t, reason in ACCEPTED_UPSTREAM.items() if reason in reasons}
