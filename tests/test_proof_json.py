"""The JSON form is upstream's serde form, and takes no liberty that JSON parsers usually take."""

import json
import random
from typing import Any

import pytest
from hypothesis import given

from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.profile import get_profile
from jaxstark.proof import Proof, StarkProof
from jaxstark.proof_felts import read_stark_felts
from tests.strategies import Columns, proofs, random_proof

WEIRD: tuple[Any, ...] = (
    *(None, True, False, "", "0x1", "0x01", "0xG", "7", -1, 1.0, 1e400, [], {}, [[]], [0] * 32),
    *(P, 1 << 31, 1 << 32, 1 << 64, 10**30, [[1, 2], [3, 4]], [[1, 2], [3, P]], [[1, 2], [3]]),
)


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every ``(container, key)`` of parsed JSON."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    out = []
    for key, item in list(pairs):
        out.append((value, key))
        if isinstance(item, dict | list):
            out += nodes(item)
    return out


def mutate(rng: random.Random, text: str) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        at = rng.randrange(len(text))
        return text[:at] + rng.choice('0123456789[]{},:"-.eN \u00e9') + text[at + 1 :]
    if kind == 1:
        at = rng.randrange(len(text))
        return text[:at] + text[at + rng.randint(1, 5) :]
    data = json.loads(text)
    container, key = rng.choice(nodes(data))
    if kind == 2:
        container[key] = rng.choice(WEIRD)
    elif kind == 3:
        del container[key]
    elif isinstance(container, dict):
        container[rng.choice(("extra", "", "lifting_log_size", "min_lifting_log_size"))] = 0
    else:
        container.insert(key, rng.choice((container[key], *WEIRD)))
    return json.dumps(data)


@given(proofs())
def test_round_trip_and_canonical(case: tuple[Proof, Columns]) -> None:
    proof, _ = case
    text = proof.to_json()
    assert Proof.from_json(text) == proof
    spaced = json.dumps(json.loads(text), indent=1, sort_keys=True)
    assert Proof.from_json(spaced).to_json() == text


def test_t26_mutations_are_refused_or_other_proofs() -> None:
    accepted = 0
    for seed in range(2000):
        rng = random.Random(seed)
        proof, _ = random_proof(rng, rng.choice(("stwo-2.2", "stwo-2.2-poseidon252")))
        changed = mutate(rng, proof.to_json())
        try:
            other = Proof.from_json(changed)
        except ProofShapeError as error:
            assert len(str(error)) < 1000
            continue
        accepted += 1
        assert json.loads(other.to_json()) == json.loads(changed)
        assert (other == proof) == (json.loads(changed) == json.loads(proof.to_json()))
    assert accepted > 100, "the mutations should also reach well-formed proofs"


def test_t26_liberties_of_json_are_refused() -> None:
    proof, _ = random_proof(random.Random(2))
    text = proof.to_json()
    Proof.from_json(f" {text}\n")
    air = json.dumps(proof.air)
    for changed in (
        "",
        "null",
        "[]",
        "{}",
        "NaN",
        "1" * 10_000,
        text + text,
        text[:-1] + ',"air":' + air + "}",
        text[:-1] + ',"comment":1}',
        text.replace('"lifting_log_size":null', '"lifting_log_size":0'),
        text.replace('"lifting_log_size":null', '"min_lifting_log_size":0'),
        text.replace("jaxstark-proof/1", "jaxstark-proof/2"),
        text.replace('"pow_bits":', '"pow_bits":-'),
        text.replace('"pow_bits":', '"pow_bits":1.'),
        text.replace('"log_sizes":[', '"log_sizes":[NaN,'),
        text.replace('"log_sizes":[', '"log_sizes":[-0,'),
        "\ufeff" + text,
        "[" * 100_000,
        '{"a":' * 100_000,
    ):
        assert changed != text
        with pytest.raises(ProofShapeError):
            Proof.from_json(changed)
    for value in (None, 1, text.encode()):
        with pytest.raises(ProofShapeError):
            Proof.from_json(value)  # type: ignore[arg-type]


def test_t26_deep_nesting_is_refused_wherever_it_stands() -> None:
    data = json.loads(random_proof(random.Random(2))[0].to_json())
    for container, key in nodes(data)[:40]:
        old, container[key] = container[key], "@"
        text = json.dumps(data)
        container[key] = old
        for depth in (50, 900, 960, 20_000):
            nested = text.replace('"@"', "[" * depth + "]" * depth)
            with pytest.raises(ProofShapeError):
                Proof.from_json(nested)


def mini_stark(vectors, index: int) -> tuple[StarkProof, dict[str, Any]]:
    case = json.loads((vectors / "mini_e2e_proofs.json").read_text())["cases"][index]
    suite = get_profile("stwo-2.2").suite
    return read_stark_felts(case["stark_proof_felts"], 0, suite, case["column_log_sizes"])[0], case


@pytest.mark.parametrize("index", range(5))
def test_stark_part_has_the_keys_and_order_of_upstream(vectors, index: int) -> None:
    stark, case = mini_stark(vectors, index)
    obj = json.loads(Proof("stwo-2.2", "mini", (5,), (), stark).to_json())["stark_proof"]
    fields = "config commitments sampled_values decommitments queried_values"
    assert list(obj) == [*fields.split(), "proof_of_work", "fri_proof"]
    config = {k: v for k, v in case["config"].items() if k != "pow_bits"}
    assert list(obj["config"]) == ["pow_bits", "fri_config", "lifting_log_size"]
    assert obj["config"]["fri_config"] == config and obj["config"]["lifting_log_size"] is None
    assert list(obj["fri_proof"]) == ["first_layer", "inner_layers", "last_layer_poly"]
    assert list(obj["fri_proof"]["first_layer"]) == ["fri_witness", "decommitment", "commitment"]
    assert [bytes(c).hex() for c in obj["commitments"]] == case["commitments_hex"]
    samples = [value for tree in obj["sampled_values"] for column in tree for value in column]
    assert all([len(pair) for pair in value] == [2, 2] for value in samples)
    # Columns are in their original order: the values opened are words of those very columns.
    opened = obj["queried_values"]
    assert [len(tree) for tree in opened] == [len(tree) for tree in case["column_log_sizes"]]
