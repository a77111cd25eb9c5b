"""Packing: verified first, exact both ways, nothing accepted that was not packed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from jaxstark.air.definition import Air
from jaxstark.air.registry import SHIPPED
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.hash.poseidon252 import hades
from jaxstark.key import VerifyingKey
from jaxstark.params import PRESETS, ProofParams
from jaxstark.profile import get_profile
from jaxstark.proof import Proof
from jaxstark.proof_felts import write_stark_felts
from jaxstark.starknet import envelope, limb_proof, packer, replay
from jaxstark.starknet import felts as felts_module
from jaxstark.starknet.envelope import CALL_FELTS, MAX_CALLDATA
from jaxstark.starknet.felts import PRIME, poseidon_hash_many
from jaxstark.starknet.header import Header, Refused, statement_hash
from jaxstark.starknet.packer import pack, unpack
from tests.golden.cases import CASES, SMALL
from tests.starknet.golden.cases import ALL, ENCODINGS, IRIS, VECTORS, packable, vector
from tests.starknet.synthetic import CONSTANT, poseidon_proof, random_consistent
from tests.strategies import shaped_proof

BOTH = pytest.mark.parametrize("encoding", ENCODINGS)
POSEIDON_PARAMS = (ProofParams(0, 1, 5, 2, 0), ProofParams(0, 2, 9, 1, 1), ProofParams(0, 1, 3, 3))


@lru_cache(maxsize=32)
def packed(name: str, encoding: str = "limb248") -> list[int]:
    item = packable(name)
    return packer.encode(item.proof, item.key, item.air, item.public, encoding)


def sealed(message: Sequence[int], payload: Sequence[int]) -> list[int]:
    """The message with another payload, and hashes that fit it, as a forger would send it."""
    head = Header.decode(message)
    values = payload[1 : 1 + payload[0]]
    statement = statement_hash(head.air_id, head.parameters, head.sizes, values)
    digest = poseidon_hash_many(payload)
    made = replace(head, statement=statement, digest=digest, felts=len(payload))
    return [*made.encode(), *payload]


@BOTH
@pytest.mark.parametrize("name", ALL)
def test_golden_proofs_round_trip(name, encoding):
    item = packable(name)
    options: dict[str, Any] = {"insecure": item.insecure}
    message = pack(item.proof, item.key, item.public, encoding, **options)
    found = unpack(message, item.key, **options)
    assert found.proof == item.proof
    assert found.public_values == item.public
    assert pack(found.proof, item.key, found.public_values, encoding, **options) == message
    assert message == packed(name, encoding)


@BOTH
@pytest.mark.parametrize("name", ALL)
def test_golden_messages(name, encoding):
    expected = json.loads(VECTORS.read_text())[name][encoding]
    message = packed(name, encoding)
    assert vector(name, message) == expected
    assert vector(name, [*message[:-1], message[-1] ^ 1]) != expected


@BOTH
@pytest.mark.parametrize("params", POSEIDON_PARAMS, ids=str)
def test_a_proof_with_poseidon_digests_round_trips(params, encoding):
    proof, key = poseidon_proof(params, 6)
    message = pack(proof, key, {}, encoding, insecure=True)
    assert Header.decode(message).suite == "poseidon252"
    assert unpack(message, key, insecure=True) == (proof, {})


def test_the_limb_form_holds_what_the_key_does_not_fix():
    item = packable("plonk")
    message, stark = packed("plonk"), item.proof.stark
    values = [v for vector in item.public.values() for v in (len(vector), *vector)]
    assert message[8 : 9 + len(values)] == [len(values), *values]
    body = message[9 + len(values) :]
    first = [body[0] >> 31 * i & (1 << 31) - 1 for i in range(4)]
    assert first == list(item.proof.claimed_sums[0])
    samples = sum(len(column) for tree in stark.sampled_values for column in tree)
    fixed = len(item.proof.claimed_sums) + samples + len(stark.last_layer)
    assert body[-(-fixed * 4 // 8)] == stark.proof_of_work


def test_the_serde_form_is_the_cairo_layout_behind_the_claimed_sums():
    item = packable("range_sum")
    message = packed("range_sum", "serde")
    shape = item.air.shape(item.key.log_sizes, item.public)
    suite = get_profile(item.proof.profile).suite
    sums = [word for value in item.proof.claimed_sums for word in value]
    cairo = write_stark_felts(item.proof.stark, suite, shape.all_columns)
    assert message[9 + message[8] :] == [len(item.proof.claimed_sums), *sums, *cairo]


@pytest.mark.parametrize("name", ALL)
def test_the_limb_form_is_shorter_than_a_third_of_the_serde_form(name):
    assert 3 * len(packed(name)) < len(packed(name, "serde"))


def test_a_proof_of_iris_with_compact_96_fits_one_transaction():
    item, message = packable(IRIS), packed(IRIS)
    assert item.key.params == PRESETS["compact-96"]
    assert len(message) == 1479
    assert len(message) + CALL_FELTS <= MAX_CALLDATA
    assert envelope.split(message) == [message]


def test_a_proof_with_stwo_96_in_several_chunks_comes_back_from_the_registry_rule():
    item = packable("range_sum_stwo96")
    assert item.key.params == PRESETS["stwo-96"]
    message = packed("range_sum_stwo96", "serde")
    chunks = envelope.split(message)
    assert [len(chunk) for chunk in chunks] == [4500, 3679]
    assert all(len(chunk) + CALL_FELTS <= MAX_CALLDATA for chunk in chunks)
    assert unpack(envelope.join(chunks), item.key).proof == item.proof
    with pytest.raises(Refused, match="bad chunk"):
        unpack(chunks[0], item.key)
    short = envelope.split(packed("range_sum_stwo96"), 200)
    assert len(short) == 6
    assert unpack(envelope.join(short), item.key).proof == item.proof


# Verification before anything else.


def false_proof(name: str) -> tuple[Proof, VerifyingKey]:
    item = packable(name)
    stark = item.proof.stark
    wrong = replace(stark, proof_of_work=stark.proof_of_work + 1)
    return replace(item.proof, stark=wrong), item.key


@BOTH
def test_a_false_proof_is_not_packed(encoding):
    proof, key = false_proof("legacy26")
    with pytest.raises(VerificationError):
        pack(proof, key, packable("legacy26").public, encoding, insecure=True)


@BOTH
def test_a_true_proof_of_another_statement_is_not_packed(encoding):
    item = packable("range_sum")
    other = {name: tuple((w + 1) % P for w in words) for name, words in item.public.items()}
    with pytest.raises(VerificationError):
        pack(item.proof, item.key, other, encoding, insecure=True)


def test_an_insecure_key_takes_insecure():
    item = packable("legacy26")
    with pytest.raises(ValueError, match="expected pow_bits"):
        pack(item.proof, item.key, item.public)
    with pytest.raises(ValueError, match="expected pow_bits"):
        unpack(packed("legacy26"), item.key)
    with pytest.raises(ValueError, match="at least 200 bits"):
        pack(packable(IRIS).proof, packable(IRIS).key, packable(IRIS).public, minimum_bits=200)


def test_a_message_packed_around_a_false_proof_is_refused():
    proof, key = false_proof("wide_fibonacci")
    item = packable("wide_fibonacci")
    for encoding in ENCODINGS:
        message = packer.encode(proof, key, item.air, item.public, encoding)
        with pytest.raises(VerificationError):
            unpack(message, key, insecure=True)


@pytest.mark.parametrize("bad", ["felts", "", None, 0])
def test_an_unknown_encoding_is_misuse(bad):
    item = packable("legacy26")
    with pytest.raises(ValueError, match="encoding: expected one of limb248, serde"):
        pack(item.proof, item.key, item.public, bad, insecure=True)


@pytest.mark.parametrize("bad", [None, "key", {}])
def test_a_key_is_a_key(bad):
    item = packable("legacy26")
    with pytest.raises(ValueError, match="key: expected a VerifyingKey"):
        pack(item.proof, bad, item.public)
    with pytest.raises(ValueError, match="key: expected a VerifyingKey"):
        unpack(packed("legacy26"), bad)


def test_a_key_of_too_many_components_is_misuse():
    item = packable("legacy26")
    wide = replace(item.key, log_sizes=(6,) * 41)
    for call in (
        lambda: pack(item.proof, wide, item.public, insecure=True),
        lambda: unpack(packed("legacy26"), wide, insecure=True),
    ):
        with pytest.raises(ValueError, match="key: expected at most 40 components, got 41"):
            call()


def test_the_air_may_be_given_or_found_by_its_name():
    item = packable("legacy26")
    bare = replace(item.key, definition=None)
    message = pack(item.proof, bare, item.public, insecure=True)
    assert unpack(message, bare, air=item.air, insecure=True).proof == item.proof
    assert unpack(message, bare, insecure=True).proof == item.proof
    with pytest.raises(ValueError, match="AIR: expected"):
        unpack(message, bare, air=packable("plonk").air, insecure=True)


# A message of another key.


def other_keys(name: str) -> dict[str, VerifyingKey]:
    key = packable(name).key
    root = bytes([key.preprocessed_root[0] ^ 1, *key.preprocessed_root[1:]])
    return {
        "AIR id": replace(key, preprocessed_root=root),
        "parameters": replace(key, params=replace(key.params, pow_bits=1)),
        "sizes": replace(key, log_sizes=tuple(k + 1 for k in key.log_sizes)),
    }


@BOTH
@pytest.mark.parametrize("what", ["AIR id", "parameters", "sizes"])
def test_a_message_of_another_key_is_refused(what, encoding):
    key = other_keys("plonk")[what]
    with pytest.raises(VerificationError, match=f"key: {what}: expected 0x"):
        unpack(packed("plonk", encoding), key, insecure=True)


def test_a_message_of_another_key_is_not_hashed(monkeypatch):
    message = packed("plonk", "limb248")
    monkeypatch.setattr("jaxstark.starknet.packer.check_whole", None)
    with pytest.raises(VerificationError, match="key: AIR id"):
        unpack([*message, *[7] * 1000], other_keys("plonk")["AIR id"], insecure=True)


# One spelling.


@BOTH
@pytest.mark.parametrize("name", SMALL)
def test_a_changed_message_is_refused(name, encoding):
    """Every felt in turn, hashes left as they are: the registry's rule already sees it."""
    key, message = packable(name).key, packed(name, encoding)
    rng = random.Random(name)
    for i in rng.sample(range(len(message)), 24 if encoding == "limb248" else 6):
        changed = [*message[:i], message[i] ^ 1 << rng.randrange(248), *message[i + 1 :]]
        with pytest.raises((ProofShapeError, VerificationError)):
            unpack(changed, key, insecure=True)


def mutations(rng: random.Random, payload: Sequence[int]) -> list[int]:
    """A payload that differs: a bit, a felt, a swap, a felt more or less."""
    out, i = list(payload), rng.randrange(len(payload))
    kind = rng.randrange(7)
    if kind == 0:
        out[i] ^= 1 << rng.randrange(252)
    elif kind == 1:
        out[i] = rng.choice((0, 1, P, 1 << 31, 1 << 248, PRIME - 1, rng.randrange(PRIME)))
    elif kind == 2:
        j = rng.randrange(len(payload))
        out[i], out[j] = out[j], out[i]
    elif kind == 3:
        del out[i]
    elif kind == 4:
        out.insert(i, rng.choice((0, 1, rng.randrange(PRIME))))
    elif kind == 5:
        limb = rng.randrange(8)
        out[i] += rng.choice((1, -1, P, -P)) << 31 * limb
    else:
        out = out[: rng.randrange(1, len(out) + 1)]
    out = [felt % PRIME for felt in out]
    return out


def fuzz(name: str, encoding: str, rounds: int) -> None:
    """Forged messages with fitting hashes: refused, or the same proof."""
    item, message = packable(name), packed(name, encoding)
    rng = random.Random(f"{name} {encoding}")
    seen = 0
    while seen < rounds:
        payload = mutations(rng, message[8:])
        if payload == message[8:]:
            continue
        seen += 1
        if payload[0] >= len(payload):
            forged = [*message[:8], *payload]
        else:
            forged = sealed(message, payload)
        with pytest.raises((VerificationError, ProofShapeError)):
            unpack(forged, item.key, insecure=True)


@pytest.mark.parametrize(
    ("name", "encoding", "rounds"),
    [
        ("range_sum", "limb248", 80),
        ("obelysk", "limb248", 40),
        ("wide_fibonacci", "limb248", 60),
        ("legacy26", "serde", 20),
        ("range_sum", "serde", 10),
    ],
)
def test_forged_messages_are_refused(name, encoding, rounds):
    fuzz(name, encoding, rounds)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("name", SMALL)
def test_many_forged_messages_are_refused(name, encoding):
    fuzz(name, encoding, 1500 if encoding == "limb248" else 150)


@pytest.mark.parametrize("change", [lambda p: p[:-1], lambda p: [*p, 0], lambda p: [*p, 5, 6]])
@BOTH
def test_the_length_of_a_payload_is_exact(change, encoding):
    message = packed("plonk", encoding)
    with pytest.raises(ProofShapeError):
        unpack(sealed(message, change(message[8:])), packable("plonk").key, insecure=True)


def test_the_number_of_felts_of_the_proof_follows_from_the_transcript():
    message = packed("plonk")
    longer = sealed(message, [*message[8:], 0])
    with pytest.raises(ProofShapeError, match="encoded proof: expected"):
        unpack(longer, packable("plonk").key, insecure=True)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([], "public value"),
        ([1], "public value"),
        ([PRIME - 1, 1], "public value"),
        ([2, 1, 1, 1, 1], "words, got 2"),
    ],
)
@BOTH
def test_statement_values_are_those_of_the_air(values, what, encoding):
    item, message = packable("range_sum"), packed("range_sum", encoding)
    payload = message[8:]
    proof = payload[1 + payload[0] :]
    with pytest.raises(ProofShapeError, match=what):
        unpack(sealed(message, [len(values), *values, *proof]), item.key, insecure=True)


@BOTH
def test_statement_values_are_words_and_no_more_than_asked(encoding):
    item, message = packable("range_sum"), packed("range_sum", encoding)
    payload = message[8:]
    values, proof = payload[1 : 1 + payload[0]], payload[1 + payload[0] :]
    too_large = [*values[:-1], P]
    with pytest.raises(ProofShapeError, match="public value"):
        unpack(sealed(message, [len(too_large), *too_large, *proof]), item.key, insecure=True)
    with pytest.raises(ProofShapeError, match="statement values: expected those of the AIR"):
        more = [*values, 0]
        unpack(sealed(message, [len(more), *more, *proof]), item.key, insecure=True)


@pytest.mark.parametrize("bad", [None, "x", [], [1] * 7, [PRIME] * 20, [True] * 20])
def test_a_message_is_a_list_of_felts(bad):
    with pytest.raises(ProofShapeError):
        unpack(bad, packable("plonk").key, insecure=True)


def keys() -> list[tuple[VerifyingKey, Air, dict]]:
    """A key of every shipped AIR and a Poseidon one, with the public values of an example."""
    out = [(packable(name).key, packable(name).air, dict(packable(name).public)) for name in CASES]
    params = ProofParams(0, 1, 7, 2, 1)
    out.append((poseidon_proof(params, 6)[1], CONSTANT, {}))
    return out


def round_trips(count: int, seed: int) -> None:
    """Random proofs of the sizes of their transcripts: encode, decode, encode."""
    rng, choices = random.Random(seed), keys()
    for _ in range(count):
        key, air, public = rng.choice(choices)
        proof = random_consistent(rng, key, air, public)
        shape = air.shape(key.log_sizes, public)
        felts = limb_proof.encode(proof, shape)
        found = limb_proof.decode(felts, key, air, shape, public)
        assert found == proof
        assert limb_proof.encode(found, shape) == felts
        changed = list(felts)
        i = rng.randrange(len(felts))
        changed[i] ^= 1 << rng.randrange(252)
        changed[i] %= PRIME
        if changed == felts:
            continue
        try:
            other = limb_proof.decode(changed, key, air, shape, public)
        except ProofShapeError:
            continue
        assert other != proof
        assert limb_proof.encode(other, shape) == changed


def test_random_proofs_have_one_spelling():
    round_trips(60, 1)


@pytest.mark.slow
def test_ten_thousand_random_proofs_have_one_spelling():
    round_trips(10_000, 2)


@pytest.mark.parametrize("name", ALL)
def test_replayed_sizes_are_those_of_the_proof(name):
    item = packable(name)
    stark = item.proof.stark
    positions = replay.query_positions(
        item.key, item.air, item.public, item.proof.claimed_sums, stark
    )
    shape = item.air.shape(item.key.log_sizes, item.public)
    sizes = replay.opening_sizes(shape, item.key.params, positions)
    tables = [t for t, c in zip(stark.queried_values, shape.all_columns, strict=True) if c]
    assert {table.shape[1] for table in tables} == {sizes.positions}
    assert sizes.tree_hashes == tuple(map(len, stark.decommitments))
    assert sizes.fri_values == tuple(len(layer.fri_witness) for layer in stark.fri_layers)
    assert sizes.fri_hashes == tuple(len(layer.hash_witness) for layer in stark.fri_layers)


@pytest.mark.parametrize(
    "preset", ["compact-96", *(pytest.param(n, marks=pytest.mark.slow) for n in PRESETS)]
)
def test_packing_a_proof_of_a_million_rows_takes_at_most_300_ms(preset):
    """The least CPU time of five; random content in the sizes of a proof of 2^20 x 26.

    Nearly all of it is the Poseidon hash. Without the compiled one, stwo-96 takes longer.
    """
    air, log_sizes, _, public = SHIPPED["legacy26"].example(6, 0)
    shape, params = air.shape((20,) * len(log_sizes), public), PRESETS[preset]
    proof = shaped_proof(random.Random(1), shape, params)
    times = []
    for _ in range(5):
        start = time.process_time()
        felts = limb_proof.encode(proof, shape)
        encoded = time.process_time()
        poseidon_hash_many(felts)
        times.append((time.process_time() - start, encoded - start))
    total, encoding = (min(column) for column in zip(*times, strict=True))
    assert encoding <= 0.05, times
    if felts_module.permutation() is not hades or preset == "compact-96":
        assert total <= 0.3, times
