"""Targeted tampers: every field of a proof, every kind of change, over proofs of several AIRs."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import jaxstark
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.proof import Proof
from tests.golden.cases import SMALL, golden
from tests.soundness.tampers import FELT, STARK, TAMPERS, get, put

# With LogUp and tree 0; with LogUp and two sizes; without LogUp.
NAMES = ("range_sum", "state_machine", "wide_fibonacci")


def rejection(data, item) -> VerificationError:
    """The error of a verifier that reads tampered JSON data."""
    with pytest.raises(VerificationError) as error:
        jaxstark.verify(Proof.from_json(json.dumps(data)), item.key, item.public, insecure=True)
    return error.value


def applied(name):
    """Names and data of all tampers that change this proof, equal results once."""
    item, seen = golden(name), {}
    original = json.dumps(item.data)
    for title, tamper in TAMPERS:
        data = tamper(item.data)
        if data is not None:
            text = json.dumps(data)
            assert text != original, title
            seen.setdefault(text, title)
    return [(title, json.loads(text)) for text, title in seen.items()]


def test_tamper_names_are_distinct_and_inputs_are_left_alone():
    assert len({title for title, _ in TAMPERS}) == len(TAMPERS) >= 200
    data = golden("range_sum").data
    before = copy.deepcopy(data)
    for _, tamper in TAMPERS:
        tamper(data)
    assert data == before


@pytest.mark.parametrize("name", NAMES)
def test_t1_t7_t9_t11_t12_t13_targeted_tampers_are_rejected(name):
    item, cases = golden(name), applied(name)
    jaxstark.verify(Proof.from_json(item.text), item.key, item.public, insecure=True)
    sections = Counter()
    for title, data in cases:
        try:
            jaxstark.verify(Proof.from_json(json.dumps(data)), item.key, item.public, insecure=True)
        except VerificationError as error:
            sections[error.section] += 1
        else:
            pytest.fail(f"{name}: accepted after {title}")
    assert sum(sections.values()) == len(cases) >= 500
    assert {"shape", "key", "oods", "merkle"} <= set(sections)
    assert ("logup" in sections) == bool(item.data["claimed_sums"])


SECTIONS = [
    ("AIR id: other", "key"),
    ("log size 0: +1", "key"),
    ("pow_bits: +1", "key"),
    ("pow_bits: zero", "key"),
    ("log_blowup_factor: +1", "key"),
    ("n_queries: -1", "key"),
    ("fold_step: +1", "key"),
    ("root of tree 0: first bit", "key"),
    ("root of tree 1: first bit", "logup oods"),  # another tree, other relation elements
    ("root of tree -1: zero", "oods"),
    ("sample of tree -1, column 0, 0: +1 in coordinate 0", "oods"),
    ("sample of tree 1, column 0, 0: +1 in coordinate 3", "oods"),
    ("queried value 0 of tree 1, column 0: +1", "merkle"),
    ("queried column 0 of tree 1: swap", "merkle"),
    ("witness hash 0 of tree 1: last bit", "merkle"),
    ("witness of tree -1: swap", "merkle"),
    ("value 0 of the witness of first layer: +1 in coordinate 0", "merkle"),
    ("hash 0 of first layer: first bit", "merkle"),
    ("witness of tree 1: append zero", "shape"),
    ("last layer: append zero", "shape"),
    ("last layer: twice as long", "shape"),
    ("tree 1: a column more", "shape"),
    ("trees: a position less", "shape"),
    ("sample of tree 1, column 0, 0: non-canonical, + p", "shape"),
    ("queried value 0 of tree 1, column 0: p", "shape"),
    ("proof of work: 2^64", "shape"),
]


@pytest.mark.parametrize("name", NAMES)
def test_tampers_are_rejected_where_the_damage_is(name):
    item, by_title = golden(name), dict(TAMPERS)
    for title, section in SECTIONS:
        data = by_title[title](item.data)
        if data is None and title == "pow_bits: zero":
            assert item.key.params.pow_bits == 0
            continue
        error = rejection(data, item)
        assert error.section in section.split(), title
        assert isinstance(error, ProofShapeError) == (section == "shape")


def test_t20_claimed_sums_are_balanced_and_bound():
    item, by_title = golden("range_sum"), dict(TAMPERS)
    for i in (0, -1):
        for kind in ("+1 in coordinate 0", "+1 in coordinate 3", "zero", "negated"):
            data = by_title[f"claimed sum {i}: {kind}"](item.data)
            assert rejection(data, item).section == "logup"
    # The total is 0 still, yet the claims are another statement about the trees.
    data = by_title["claimed sums: total unchanged"](item.data)
    assert rejection(data, item).section == "oods"
    data = by_title["claimed sums: drop last"](item.data)
    assert rejection(data, item).section == "shape"


def paths(data, path):
    """Paths of all QM31 below a path."""
    value = get(data, path)
    if not isinstance(value[0][0], list):
        return [path]
    return [deeper for i in range(len(value)) if value[i] for deeper in paths(data, (*path, i))]


def test_t12_t13_every_sampled_value_is_checked():
    """Each one, at each coordinate, changed by one; composition values (the last tree) too."""
    item = golden("range_sum")
    found = paths(item.data, (STARK, "sampled_values"))
    shape = item.air.shape(item.key.log_sizes)
    assert len(found) == shape.n_samples
    for path in found:
        for i in range(4):
            data = item.data
            put(data, path, FELT[f"+1 in coordinate {i}"](get(data, path), data))
            assert rejection(data, item).section == "oods"


def test_t9_every_opened_word_and_hash_is_checked():
    item = golden("state_machine")
    stark = item.data[STARK]
    count = 0
    for t, tree in enumerate(stark["queried_values"]):
        for c, column in enumerate(tree):
            for i, word in enumerate(column):
                data = item.data
                data[STARK]["queried_values"][t][c][i] = (word + 1) % P
                assert rejection(data, item).section == "merkle"
                count += 1
    for t, tree in enumerate(stark["decommitments"]):
        for i in range(len(tree["hash_witness"])):
            data = item.data
            data[STARK]["decommitments"][t]["hash_witness"][i][i % 32] ^= 4
            assert rejection(data, item).section == "merkle"
            count += 1
    assert count > 60


def test_t7_last_layer_of_another_length_or_value():
    """With no proof of work before it, a changed last layer moves the queries."""
    item = golden("range_sum")
    coefficients = item.data[STARK]["fri_proof"]["last_layer_poly"]["coeffs"]
    assert len(coefficients) == 2 and item.key.params.pow_bits == 0
    for changed in (coefficients[:1], coefficients * 2, coefficients[::-1], []):
        data = item.data
        last = data[STARK]["fri_proof"]["last_layer_poly"]
        last["coeffs"] = changed
        last["log_size"] = max(len(changed), 1).bit_length() - 1
        assert rejection(data, item).section in ("shape", "merkle")


def test_t11_nonces_without_enough_zero_bits():
    item = golden("wide_fibonacci")
    bits, nonce = item.key.params.pow_bits, item.proof.stark.proof_of_work
    assert bits == 10 and nonce > 2
    sections = Counter()
    for other in [*range(max(nonce - 150, 0), nonce), *range(nonce + 1, nonce + 40)]:
        data = item.data
        data[STARK]["proof_of_work"] = other
        sections[rejection(data, item).section] += 1
    # The nonce of a proof is the least one: no smaller one has the bits.
    assert sections["proof of work"] >= min(nonce, 150)
    assert set(sections) <= {"proof of work", "merkle", "shape"}
    for other in (-1, 1 << 64, 0.5, None, "1", [nonce]):
        data = item.data
        data[STARK]["proof_of_work"] = other
        assert rejection(data, item).section == "shape"


def test_t25_words_of_p_or_more_are_rejected_in_memory_too():
    """A proof object that no parser has seen: ``w + p`` would count as ``w``."""
    item = golden("range_sum")
    stark = item.proof.stark
    rows = stark.queried_values[1].copy()
    rows[0, 0] += np.uint32(P)
    tables = (stark.queried_values[0], rows, *stark.queried_values[2:])
    claim = item.proof.claimed_sums[0]
    claims = (claim._replace(a=claim.a + P), *item.proof.claimed_sums[1:])
    last = (stark.last_layer[0]._replace(d=P), *stark.last_layer[1:])
    for proof in (
        replace(item.proof, stark=replace(stark, queried_values=tables)),
        replace(item.proof, stark=replace(stark, last_layer=last)),
        replace(item.proof, claimed_sums=claims),
    ):
        with pytest.raises(ProofShapeError):
            jaxstark.verify(proof, item.key, item.public, insecure=True)


def test_t27_sizes_come_from_the_key():
    """Proofs of other shapes are turned away by count, before anything is hashed."""
    for name in SMALL:
        other = golden("range_sum" if name != "range_sum" else "plonk")
        data = golden(name).data
        assert rejection(data, other).section == "key"
        for field in ("profile", "air", "log_sizes"):
            data[field] = other.data[field]
        data[STARK]["config"] = other.data[STARK]["config"]
        assert rejection(data, other).section == "shape"
