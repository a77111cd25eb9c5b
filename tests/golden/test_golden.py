"""Committed proofs: their hashes, their acceptance, and that proving again gives the same bytes."""

from __future__ import annotations

import hashlib
import json

import pytest

import jaxstark
from jaxstark.proof import Proof
from tests.golden.cases import CASES, MANIFEST, PROOFS, SECURE, SMALL, golden

FORMS = ("proof.json", "proof.bin", "key.json", "public.json")


def manifest():
    return json.loads(MANIFEST.read_text())


@pytest.mark.parametrize("name", CASES)
def test_t39_files_have_the_recorded_hashes(name):
    recorded = manifest()["proofs"][name]["sha256"]
    assert set(recorded) == set(FORMS)
    for form, expected in recorded.items():
        content = (PROOFS / f"{name}.{form}").read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected
        assert hashlib.sha256(content + b" ").hexdigest() != expected


def test_t39_every_file_is_accounted_for():
    names = sorted(f"{name}.{form}" for name in CASES for form in FORMS)
    assert sorted(path.name for path in PROOFS.iterdir()) == names
    assert sorted(manifest()["proofs"]) == sorted(CASES)
    assert manifest()["provenance"]["command"]


@pytest.mark.parametrize("name", CASES)
def test_t39_golden_proofs_are_accepted_in_both_forms(name):
    item = golden(name)
    insecure = name not in SECURE
    jaxstark.verify(item.proof, item.key, item.public, insecure=insecure)
    binary = Proof.load(PROOFS / f"{name}.proof.bin")
    assert binary == item.proof
    assert item.proof.to_json() == item.text
    columns = item.air.shape(item.key.log_sizes).all_columns
    assert Proof.from_felts(item.proof.to_felts(columns), columns) == item.proof
    if insecure:
        with pytest.raises(ValueError, match="expected pow_bits"):
            jaxstark.verify(item.proof, item.key, item.public)


def prove_again(name):
    trace, _ = CASES[name].example()
    return jaxstark.prove(trace, params=CASES[name].params, insecure=True)


@pytest.mark.floor  # one proof per AIR with the oldest supported JAX
@pytest.mark.parametrize("name", SMALL)
def test_t39_proving_again_gives_equal_bytes(name):
    proof = prove_again(name)
    for form, content in (("json", proof.to_json().encode()), ("bin", proof.to_bytes())):
        assert content == (PROOFS / f"{name}.proof.{form}").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", SECURE)
def test_t39_proving_again_gives_equal_bytes_at_a_secure_preset(name):
    assert prove_again(name).to_bytes() == (PROOFS / f"{name}.proof.bin").read_bytes()
