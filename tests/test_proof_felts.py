"""The Cairo layout reproduces StarkWare's proofs felt by felt, and refuses everything else."""

import dataclasses
import json
import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.hash.poseidon252 import F252
from jaxstark.profile import get_profile
from jaxstark.proof import Proof
from jaxstark.proof_felts import read_stark_felts, write_stark_felts
from tests.strategies import Columns, proofs, random_proof

REAL = {
    "stwo_cairo_circuit_proof": "stwo-2.2",
    "stwo_cairo_ret_opcode_poseidon252": "stwo-2.2-poseidon252",
}
WEIRD: tuple[Any, ...] = (
    *(None, True, 1.0, "1", -1, 0, 1, P, 1 << 32, 1 << 64, F252 - 1, F252, 10**5000, [], b""),
)


def mutate(rng: random.Random, felts: list[Any]) -> list[Any]:
    at = rng.randrange(len(felts))
    new = rng.choice((rng.choice(WEIRD), rng.randrange(20), rng.randrange(1 << 32)))
    return rng.choice(
        (
            felts[:at] + [new] + felts[at + 1 :],
            felts[:at] + [new] + felts[at:],
            felts[:at] + felts[at + 1 :],
            felts[:at],
            [*felts, new],
        )
    )


@pytest.mark.parametrize("name", REAL)
def test_starkware_proofs_round_trip(vectors, name: str) -> None:
    suite = get_profile(REAL[name]).suite
    meta = json.loads((vectors / f"{name}.meta.json").read_text())
    felts = [int(x, 16) for x in json.loads((vectors / f"{name}.felts.json").read_text())]
    start, columns = meta["stark_proof_offset"], meta["column_log_sizes"]
    stark, end = read_stark_felts(felts, start, suite, columns)
    assert end == len(felts) - 1, "the salt follows"
    assert write_stark_felts(stark, suite, columns) == felts[start:end]
    config, params = meta["config"], stark.params
    assert (params.n_queries, params.fold_step) == (config["n_queries"], config["fold_step"])
    proof = Proof(REAL[name], "cairo", (meta["trace_log_degree_bound"],), (), stark)
    assert Proof.from_json(proof.to_json()) == proof
    assert Proof.from_bytes(proof.to_bytes()) == proof


@pytest.mark.parametrize("index", range(5))
def test_mini_proofs_round_trip(vectors, index: int) -> None:
    case = json.loads((vectors / "mini_e2e_proofs.json").read_text())["cases"][index]
    suite, felts = get_profile("stwo-2.2").suite, case["stark_proof_felts"]
    stark, end = read_stark_felts(felts, 0, suite, case["column_log_sizes"])
    assert end == len(felts)
    assert write_stark_felts(stark, suite, case["column_log_sizes"]) == felts


@given(proofs())
def test_round_trip_and_canonical(case: tuple[Proof, Columns]) -> None:
    proof, columns = case
    felts = proof.to_felts(columns)
    assert all(type(f) is int and 0 <= f < F252 for f in felts)
    back = Proof.from_felts(felts, columns)
    assert back == proof and back.to_felts(columns) == felts


def test_four_felt_config_is_for_fold_step_1() -> None:
    proof, columns = random_proof(random.Random(1))
    params = dataclasses.replace(proof.stark.params, fold_step=1)
    short = dataclasses.replace(proof, stark=dataclasses.replace(proof.stark, params=params))
    felts = short.to_felts(columns, config_felts=4)
    assert len(felts) == len(short.to_felts(columns)) - 1
    assert Proof.from_felts(felts, columns, config_felts=4) == short
    params = dataclasses.replace(params, fold_step=2)
    wide = dataclasses.replace(proof, stark=dataclasses.replace(proof.stark, params=params))
    with pytest.raises(ValueError, match="fold_step"):
        wide.to_felts(columns, config_felts=4)
    with pytest.raises(ValueError, match="config_felts"):
        wide.to_felts(columns, config_felts=6)


def test_queried_values_are_query_major_and_sorted_by_size() -> None:
    proof, _ = random_proof(random.Random(1))
    stark, suite = proof.stark, get_profile("stwo-2.2").suite
    one = dataclasses.replace(
        stark,
        commitments=stark.commitments[:1],
        sampled_values=(((), (), ()),),
        decommitments=((),),
        queried_values=(np.array([[10, 11], [20, 21], [30, 31]], np.uint32),),
    )
    felts = write_stark_felts(one, suite, ((5, 3, 5),))
    assert felts[5 + 9 + 5 + 2 :][:8] == [1, 6, 20, 10, 30, 21, 11, 31]
    assert read_stark_felts(felts, 0, suite, ((5, 3, 5),)) == (one, len(felts))


def test_t26_mutations_are_refused_or_other_proofs() -> None:
    accepted = 0
    for seed in range(2000):
        rng = random.Random(seed)
        proof, columns = random_proof(rng, rng.choice(("stwo-2.2", "stwo-2.2-poseidon252")))
        felts = proof.to_felts(columns)
        changed = mutate(rng, felts)
        try:
            other = Proof.from_felts(changed, columns)
        except ProofShapeError as error:
            assert len(str(error)) < 1000
            continue
        accepted += 1
        assert other.to_felts(columns) == changed and (other == proof) == (changed == felts)
    assert accepted > 100, "the mutations should also reach well-formed proofs"


def test_t26_other_types_and_shapes_are_refused() -> None:
    proof, columns = random_proof(random.Random(3))
    felts = proof.to_felts(columns)
    for value in (None, 5, "felts", {}, [], np.array([1, 2])):
        with pytest.raises(ProofShapeError):
            Proof.from_felts(value, columns)  # type: ignore[arg-type]
    for other in (columns[:-1], (*columns, (3,)), ((3, 3), *columns[1:])):
        with pytest.raises(ProofShapeError):
            Proof.from_felts(felts, other)
        with pytest.raises(ProofShapeError):
            proof.to_felts(other)
    with pytest.raises(ValueError, match="offset"):
        read_stark_felts(felts, len(felts) + 1, get_profile("stwo-2.2").suite, columns)


def test_t30_huge_lengths_allocate_nothing() -> None:
    proof, columns = random_proof(random.Random(3))
    felts = proof.to_felts(columns)
    tracemalloc.start()
    try:
        for at in range(len(felts)):
            for claim in (1 << 24, (1 << 32) - 1, 1 << 250):
                changed = [*felts[:at], claim, *felts[at + 1 :]]
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                try:
                    Proof.from_felts(changed, columns)
                except ProofShapeError as error:
                    assert len(str(error)) < 1000
                assert tracemalloc.get_traced_memory()[1] - before < 200_000
    finally:
        tracemalloc.stop()
