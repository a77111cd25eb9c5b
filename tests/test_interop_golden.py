"""T38, T39: proofs made by StarkWare's own prover are accepted here, and ours equal them.

`tests/interop/golden/proofs.jsonl` was made by `jaxstark-interop-prover prove cases.jsonl
--with-trace` (stwo 2.3.0, SIMD backend) from our prologue; see tests/interop/README.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jaxstark import Proof, Trace, VerificationError, VerifyingKey, prove, verify
from jaxstark.air.plonk import Circuit, plonk
from jaxstark.air.registry import resolve

LINES = (Path(__file__).parent / "interop" / "golden" / "proofs.jsonl").read_text().splitlines()
CASES = {case["name"]: case for case in map(json.loads, LINES)}


def _air(case):
    air_id, fixed = case["key"]["air"], case["preprocessed"]
    if not air_id.startswith("plonk/") or air_id.startswith("plonk/fibonacci/"):
        return resolve(air_id)
    column = {name: np.array(words, np.uint32) for name, words in fixed.items()}
    wires = np.stack([column[f"plonk_{w}_wire"] for w in "abc"])
    return plonk(Circuit(air_id.removeprefix("plonk/"), wires, column["plonk_op"], (), ()))


def _read(name):
    case = CASES[name]
    return case, _air(case), VerifyingKey.from_json(json.dumps(case["key"]))


def test_the_cases_cover_every_shipped_air_and_mixed_sizes():
    assert len(CASES) == 10
    airs = {case["key"]["air"].split("/")[0] for case in CASES.values()}
    assert airs == {"wide_fibonacci", "plonk", "state_machine", "legacy26", "range_sum"}
    assert sum(len(set(case["key"]["log_sizes"])) > 1 for case in CASES.values()) >= 4


@pytest.mark.parametrize("name", CASES)
def test_t38_proofs_of_the_upstream_prover_are_accepted(name):
    case, air, key = _read(name)
    proof = Proof.from_json(json.dumps(case["proof"]))
    verify(proof, key, case["public_values"], air=air, insecure=True)
    case["proof"]["stark_proof"]["sampled_values"][-1][0][0][0][0] ^= 1
    with pytest.raises(VerificationError):
        changed = Proof.from_json(json.dumps(case["proof"]))
        verify(changed, key, case["public_values"], air=air, insecure=True)
    case["proof"]["stark_proof"]["sampled_values"][-1][0][0][0][0] ^= 1


@pytest.mark.parametrize("name", CASES)
def test_t38_equal_inputs_give_the_bytes_of_the_upstream_prover(name):
    case, air, key = _read(name)
    assert air.setup(key.log_sizes, key.params) == key
    columns = {
        component: {column: np.array(words, np.uint32) for column, words in table.items()}
        for component, table in case["columns"].items()
    }
    trace = Trace(air, columns, case["public_values"])
    proof = prove(trace, params=key.params, key=key, insecure=True)
    assert json.loads(proof.to_json()) == case["proof"]
