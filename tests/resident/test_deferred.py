"""A proof that is decoded when it is first read: as good as any other, and decoded once."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace

import pytest

from jaxstark.proof import Proof, StarkProof
from tests.golden.cases import golden

STARK = golden("range_sum").proof.stark


class Maker:
    """Returns a proof, and counts how often."""

    def __init__(self, stark: StarkProof) -> None:
        self.stark, self.calls = stark, 0

    def __call__(self) -> StarkProof:
        self.calls += 1
        return replace(self.stark)


@pytest.fixture
def maker():
    return Maker(STARK)


@pytest.mark.parametrize("name", [field.name for field in fields(StarkProof)])
def test_it_is_made_once_when_any_field_is_first_read(name, maker):
    proof = StarkProof.deferred(maker)
    assert maker.calls == 0
    value, expected = getattr(proof, name), getattr(STARK, name)
    assert len(value) == len(expected) if name == "queried_values" else value == expected
    assert proof.params == STARK.params and proof.last_layer == STARK.last_layer
    assert maker.calls == 1
    assert set(vars(proof)) == set(vars(STARK))


def test_it_equals_the_proof_that_it_stands_for(maker):
    other = replace(STARK, proof_of_work=STARK.proof_of_work + 1)
    assert StarkProof.deferred(maker) == STARK
    assert StarkProof.deferred(maker) == StarkProof.deferred(maker)
    assert StarkProof.deferred(maker) == StarkProof.deferred(maker)
    assert hash(StarkProof.deferred(maker)) == hash(STARK)
    assert StarkProof.deferred(maker) != other
    assert StarkProof.deferred(Maker(other)) != STARK
    proof = golden("range_sum").proof
    assert replace(proof, stark=StarkProof.deferred(maker)).to_bytes() == proof.to_bytes()


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda proof: pickle.loads(pickle.dumps(proof)), replace],
    ids=["copy", "deepcopy", "pickle", "replace"],
)
@pytest.mark.parametrize("read", [False, True])
def test_copies_are_whole(copied, read):
    maker = Maker(STARK)
    proof = StarkProof.deferred(maker)
    if read:
        _ = proof.params
    other = copied(proof)
    assert other == proof == STARK and other is not proof
    assert maker.calls == 1
    assert set(vars(other)) == set(vars(STARK))


def test_replace_changes_one_field(maker):
    changed = replace(StarkProof.deferred(maker), proof_of_work=7)
    assert changed == replace(STARK, proof_of_work=7) != STARK


def test_errors_of_the_maker_reach_the_reader():
    calls = []

    def fail() -> StarkProof:
        calls.append(1)
        raise ValueError("cannot be decoded")

    proof = StarkProof.deferred(fail)
    for read in (lambda: proof.params, lambda: proof == STARK, lambda: pickle.dumps(proof)):
        with pytest.raises(ValueError, match="cannot be decoded"):
            read()
    assert len(calls) == 3


def test_it_has_no_other_attributes(maker):
    with pytest.raises(AttributeError):
        _ = StarkProof.deferred(maker).__no_such_protocol__
    assert maker.calls == 0  # those who ask what an object can do, such as NumPy, get no proof
    with pytest.raises(AttributeError, match="no_such_field"):
        _ = StarkProof.deferred(maker).no_such_field
    with pytest.raises(AttributeError, match="no_such_field"):
        _ = STARK.no_such_field


def test_a_deferred_proof_may_be_saved(tmp_path, maker):
    proof = replace(golden("range_sum").proof, stark=StarkProof.deferred(maker))
    proof.save(tmp_path / "proof.bin")
    assert Proof.load(tmp_path / "proof.bin") == proof
    assert maker.calls == 1
