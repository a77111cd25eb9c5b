"""T38: StarkWare's unmodified verifier accepts proofs of VM executions, and no near statement.

The AIR of the machine is written once more in `tests/interop/src/air/obelysk`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import _networks
import numpy as np
import pytest

from jaxstark import Proof, ProofParams, VerificationError, VerifyingKey, prove, verify, vm
from jaxstark.fields.m31 import P
from jaxstark.vm import isa, workloads
from jaxstark.vm.program import Program
from tests import upstream

pytestmark = pytest.mark.interop
TEST_PARAMS = ProofParams(pow_bits=3, log_blowup=1, n_queries=9, fold_step=2, log_last_layer=1)
SECURE_PARAMS = ProofParams.preset("stwo-96-lowpow")

# Executes every instruction, on registers that differ and that coincide.
EVERYTHING = """
    .data   w, 3, -1, 2, 5
    .space  room, 3
    .input  x
        loadimm r1, 0
        loadimm r2, 3
    again:
        load    r3, [r2 + x]
        load    r4, [r2 + w]
        mac     r1, r3, r4
        out     r1
        loop    r2, r2, again
        call    scale
        add     r5, r1, r1
        sub     r5, r5, r1
        mul     r6, r5, r4
        neg     r7, r6
        addi    r7, r7, 1
        relu    r8, r7
        relu    r9, r6
        lt      r10, r7, r6
        gt      r11, r7, r7
        gt      r10, r7, r10
        shr     r12, r7, 1
        shr     r13, r6, 16
        xor     r14, r7, r6
        and     r15, r7, r14
        or      r16, r15, r12
        eq      r17, r16, r16
        div     r18, r7, r6
        store   r18, [room]
        store   r14, [r17 + room]
        load    r19, [room]
        load    r20, [r17 + r17 + room]
        load    r20, [r2 + r17 + room]
        jumpif  r11, again
        jumpif  r17, over
        jump    again
    over:
        jump    end
    scale:
        muli    r1, r1, 7
        call    nothing
        return
    nothing:
        return
    end:
        out     r20
        out     r19
        halt
"""


class Proved(NamedTuple):
    """A proof with its statement, as JSON data."""

    key: Any
    public: dict[str, list[int]]
    proof: Any

    def case(self, name: str) -> dict[str, Any]:
        """One line for the upstream verifier."""
        return upstream.case(name, self.key, self.public, self.proof)

    def verify(self) -> None:
        """Our own verifier; nothing is shared with the prover's objects."""
        key = VerifyingKey.from_json(json.dumps(self.key))
        verify(Proof.from_json(json.dumps(self.proof)), key, self.public, insecure=True)


def _everything() -> tuple[Program, Sequence[int], int]:
    program, public_input = vm.assemble(EVERYTHING), [1, 2, P - 3, 4]
    executed = program.opcodes[vm.execute(program, public_input).pcs]
    assert set(executed.tolist()) == set(isa.BY_CODE)
    return program, public_input, 15


def _synthetic() -> tuple[Program, Sequence[int], int]:
    return workloads.synthetic(256), [], 0


def _iris() -> tuple[Program, Sequence[int], int]:
    """The shipped network on flower 17 of the data set, which `make prove` proves."""
    network = _networks.load("iris")
    sample = network.samples(np.array([[5.1, 3.5, 1.4, 0.3]]), "flower 17")
    compiled = network.compiled()
    return compiled.program, compiled.public_input(sample).tolist(), 7


# Name: what makes the program, the public input and the number in the AIR id; parameters.
PROGRAMS: dict[str, tuple[Callable[[], tuple[Program, Sequence[int], int]], ProofParams]] = {
    "everything": (_everything, TEST_PARAMS),
    "synthetic": (_synthetic, TEST_PARAMS),
    "iris": (_iris, SECURE_PARAMS),
}


def _other_program(program: Program) -> Program:
    """The same but for the immediate of the first ``loadimm``."""
    words = program.words.copy()
    words[np.flatnonzero(program.opcodes == isa.BY_NAME["LoadImm"].code)[0], 1] += 1
    return Program(words, program.data, program.input_address)


def _other_statements(item: Proved, root: str) -> dict[str, tuple[str, Proved]]:
    """Statements near the proved one, each with the stage of the crate that rejects it.

    ``root`` is that of another program of the same size.
    """
    out: dict[str, tuple[str, Proved]] = {}
    for name, words in item.public.items():

        def put(what: str, stage: str, changed: list[int], name: str = name) -> None:
            public = {**item.public, name: changed}
            out[f"{name}: {what}"] = stage, item._replace(public=public)

        put("one word more", "logup", [*words, 0])
        if words:
            put("first word", "logup", [(words[0] + 1) % P, *words[1:]])
            put("last word", "logup", [*words[:-1], (words[-1] + 1) % P])
            put("one word less", "logup", words[:-1])
            put("not canonical", "public values", [words[0] + P, *words[1:]])
    out["no output"] = "public values", item._replace(public={"input": item.public["input"]})

    # Another transcript draws other elements: public terms then miss what the claimed sums balance.
    drawn = "logup" if any(item.public.values()) else "stwo"
    key, proof = item.key, item.proof
    name, number, address, digest = key["air"].split("/")
    other_digest = ("1" if digest[0] == "0" else "0") + digest[1:]
    for title, stage, parts in (
        ("hash", drawn, (name, number, address, other_digest)),
        ("input address", drawn, (name, number, str(int(address) + 1), digest)),
        ("value components", "key", (name, str(int(number) ^ 8), address, digest)),
        ("spelling", "key", (name, number, "0" + address, digest)),
    ):
        air = {"air": "/".join(parts)}
        out[f"key: {title}"] = "key", item._replace(key=key | air)
        out[f"key and proof: {title}"] = stage, item._replace(key=key | air, proof=proof | air)

    stark = proof["stark_proof"]
    roots = {"commitments": [list(bytes.fromhex(root)), *stark["commitments"][1:]]}
    other_key = key | {"preprocessed_root": root}
    other_proof = proof | {"stark_proof": stark | roots}
    out["key: root"] = "key", item._replace(key=other_key)
    out["proof: root"] = "key", item._replace(proof=other_proof)
    out["key and proof: root"] = drawn, item._replace(key=other_key, proof=other_proof)

    for what, stage, changes in (
        ("one", "logup", (1,)),
        ("two, balanced", "stwo", (1, -1)),
    ):
        sums = copy.deepcopy(proof["claimed_sums"])
        for claimed, by in zip(sums, changes, strict=False):
            claimed[0][0] = (claimed[0][0] + by) % P
        out[f"claimed sums: {what}"] = stage, item._replace(proof=proof | {"claimed_sums": sums})
    return out


@pytest.mark.parametrize("name", PROGRAMS)
def test_t38_upstream_accepts_proofs_of_programs_and_no_other_statement(cargo, name):
    make, params = PROGRAMS[name]
    program, public_input, number = make()
    execution = vm.execute(program, public_input)
    limits = vm.Limits.of(execution, params)
    key = vm.setup(program, limits, params)
    trace = vm.trace(execution, limits)
    proof = prove(trace, params=params, key=key, insecure=True)
    public = {name: list(words) for name, words in trace.public_values.items()}
    item = Proved(json.loads(key.to_json()), public, json.loads(proof.to_json()))
    assert key.air.split("/")[:2] == ["obelysk", str(number)]
    assert public["output"] == execution.output.tolist()

    other = vm.setup(_other_program(program), limits, params).preprocessed_root
    assert other != key.preprocessed_root
    others = _other_statements(item, other.hex())
    cases = [item.case(name), *(changed.case(what) for what, (_, changed) in others.items())]
    accepted, *answers = upstream.verify(cases)

    assert accepted["accepted"], accepted["error"]
    item.verify()
    assert {a["name"]: (a["error"] or "accepted").split(":")[0] for a in answers} == {
        what: stage for what, (stage, _) in others.items()
    }
    for what, (_, changed) in others.items():
        with pytest.raises((VerificationError, ValueError)):
            changed.verify()
            pytest.fail(f"accepted: {what}")
