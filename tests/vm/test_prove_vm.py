"""Proofs of executions, and the statement that they are bound to.

All proofs are of one shape, so that its programs are compiled once.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

import jaxstark
from jaxstark import vm
from jaxstark.__main__ import main
from jaxstark.air.registry import resolve
from jaxstark.errors import ProvingError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.key import VerifyingKey
from jaxstark.proof import Proof
from jaxstark.trace import Trace
from jaxstark.vm import Limits, Program, assemble
from jaxstark.vm.air import air_of
from tests.soundness.forging import PARAMS, rejected
from tests.vm.reference import MACHINE, SHAPE, halting_programs, random_program, shaped

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

WEIGHTS = (3, -1, 2, 5)
TEXT = """
    .data   w, {}
    .input  x
        loadimm r2, 2
    again:                          ; r1 = the inner product of w and the input
        load    r3, [r2 + x]
        load    r4, [r2 + w]
        mac     r1, r3, r4
        loop    r2, r2, again
        load    r5, [w + 3]
        add     r1, r1, r5
        call    clip
        out     r1
        shr     r6, r1, 1
        xor     r6, r6, r1
        lt      r7, r6, r1
        store   r7, [x + 3]
        out     r6
        out     r7
        {}
        jump    end
    clip:
        relu    r1, r1
        return
    end:
"""
INPUT, OUTPUT = [10, 7, -1], [26, 23, 1]
SECTIONS = ("logup", "oods")  # of a proof whose statement is another one


def network(weights=WEIGHTS, statement: str = "add r8, r1, r4") -> Program:
    """A program of ``SHAPE``; other weights or another statement make another one."""
    text = assemble(TEXT.format(", ".join(map(str, weights)), statement) + "halt")
    return shaped([text[pc] for pc in range(len(text) - 1)], text.data.tolist())


def traced(program: Program, public_input=INPUT, limits: Limits = SHAPE) -> Trace:
    return vm.trace(vm.execute(program, public_input, **MACHINE), limits)


class Proved:
    """A proof with its program, key and public values."""

    def __init__(self) -> None:
        self.program = network()
        self.trace = traced(self.program)
        self.key = vm.setup(self.program, SHAPE, PARAMS)
        self.proof = jaxstark.prove(self.trace, params=PARAMS, insecure=True)
        self.public = {"input": [word % P for word in INPUT], "output": OUTPUT}


@pytest.fixture(scope="module")
def proved() -> Proved:
    return Proved()


def verify(proof: Proof, key: VerifyingKey, public) -> None:
    jaxstark.verify(proof, key, public, insecure=True)


# --- Proofs that hold ------------------------------------------------------------------------


def test_a_proof_of_an_execution_verifies(proved):
    assert proved.trace.public_values == {k: tuple(v) for k, v in proved.public.items()}
    verify(proved.proof, proved.key, proved.public)
    assert proved.key.air == f"obelysk/15/4/{proved.program.hash.hex()}"
    assert proved.key.log_sizes == SHAPE.log_sizes(proved.program)
    again = Proof.from_bytes(proved.proof.to_bytes())
    verify(again, proved.key, proved.public)
    assert Proof.from_json(proved.proof.to_json()) == proved.proof
    assert jaxstark.prove(proved.trace, params=PARAMS, key=proved.key, insecure=True) == again


def test_a_key_from_its_file_verifies_without_the_program(proved, tmp_path):
    proved.key.save(tmp_path / "key.json")
    key = VerifyingKey.load(tmp_path / "key.json")
    assert key == proved.key and key.definition is None
    verify(proved.proof, key, proved.public)
    wrong = dict(proved.public, output=[*OUTPUT[:2], 0])
    assert rejected(proved.proof, key, wrong) in SECTIONS
    # Such an AIR makes no key: it has no program.
    with pytest.raises(ValueError, match="expected the AIR of a program"):
        resolve(key.air).setup(key.log_sizes, PARAMS)


def test_the_command_line_verifies(proved, tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("proof.bin", "key.json", "public.json")]
    proved.proof.save(files[0])
    proved.key.save(files[1])
    for output, code, word in ((OUTPUT, 0, "accepted"), ([*OUTPUT, 1], 1, "rejected")):
        Path(files[2]).write_text(json.dumps(dict(proved.public, output=output)))
        assert main(["verify", *files[:2], "--public", files[2], "--insecure"]) == code
        said = "".join(capsys.readouterr())
        assert word in said and said.count("\n") == 1


WITHOUT = """
import sys
sys.modules.update(jax=None, numba=None)
import jaxstark
from jaxstark import Proof, VerifyingKey
key, proof = VerifyingKey.load(sys.argv[1]), Proof.load(sys.argv[2])
public = {"input": eval(sys.argv[3]), "output": eval(sys.argv[4])}
jaxstark.verify(proof, key, public, insecure=True)
"""


def test_verifying_needs_neither_jax_nor_numba(proved, tmp_path, repo):
    proved.key.save(tmp_path / "key.json")
    proved.proof.save(tmp_path / "proof.bin")
    files = [str(tmp_path / "key.json"), str(tmp_path / "proof.bin")]
    words = [str(proved.public["input"]), str(OUTPUT)]
    command = [sys.executable, "-c", WITHOUT, *files]
    subprocess.run([*command, *words], check=True, cwd=repo)
    wrong = subprocess.run([*command, *reversed(words)], cwd=repo, capture_output=True, text=True)
    assert wrong.returncode and "VerificationError" in wrong.stderr


@settings(max_examples=6)
@given(halting_programs())
def test_random_programs_prove_and_verify(case):
    program, public_input = case
    trace = traced(program, public_input)
    proof = jaxstark.prove(trace, params=PARAMS, insecure=True)
    key = vm.setup(program, SHAPE, PARAMS)
    verify(proof, key, trace.public_values)
    longer = dict(trace.public_values, output=(*trace.public_values["output"], 0))
    assert rejected(proof, key, longer) in SECTIONS


def test_one_program_has_proofs_for_many_inputs_under_one_key(proved):
    for public_input in ([0, 0, 0], [1, 2, -4], [P - 1, 1, 1 << 20]):
        trace = traced(proved.program, public_input)
        proof = jaxstark.prove(trace, params=PARAMS, key=proved.key, insecure=True)
        verify(proof, proved.key, trace.public_values)
        assert rejected(proof, proved.key, proved.public) in SECTIONS


def test_another_program_of_a_shape_compiles_nothing(proved, compilations):
    compilations.clear()
    lengths = set()
    for seed in range(6):
        program, public_input = random_program(random.Random(seed))
        trace = traced(program, public_input)
        proof = jaxstark.prove(trace, params=PARAMS, insecure=True)
        verify(proof, vm.setup(program, SHAPE, PARAMS), trace.public_values)
        lengths.add(len(trace.public_values["output"]))
    assert compilations == [] and {0, 1} < lengths, lengths


def test_compile_makes_a_prover_of_a_program(proved, compilations):
    air = air_of(proved.program, SHAPE)
    compiled = jaxstark.compile(air.shape(proved.key.log_sizes), PARAMS, insecure=True)
    assert compiled.key == proved.key
    compilations.clear()
    assert compiled(proved.trace) == proved.proof and compilations == []
    with pytest.raises(ValueError, match="trace: expected AIR obelysk/15/4/"):
        compiled(traced(network((3, -1, 2, 6))))


# --- Proofs of other statements --------------------------------------------------------------


def test_t1_every_word_of_input_and_output_is_bound(proved):
    for name, words in proved.public.items():
        for i, word in enumerate(words):
            for other in {(word + 1) % P, (word - 1) % P, 0, P - 1} - {word}:
                changed = dict(proved.public, **{name: [*words[:i], other, *words[i + 1 :]]})
                assert rejected(proved.proof, proved.key, changed) in SECTIONS
            for bad in (word + P, -1, None, 0.5):
                changed = dict(proved.public, **{name: [*words[:i], bad, *words[i + 1 :]]})
                with pytest.raises(ValueError, match=f"public value {name}: expected integers"):
                    verify(proved.proof, proved.key, changed)
        lengths = (words[:-1], words[1:], [], [*words, 0], [0, *words], [*words, words[-1]])
        for length in lengths:
            changed = dict(proved.public, **{name: length})
            assert rejected(proved.proof, proved.key, changed) in SECTIONS
    swapped = {"input": OUTPUT, "output": proved.public["input"]}
    assert rejected(proved.proof, proved.key, swapped) in SECTIONS
    # Words that move from one vector to the other are bound to theirs.
    moved = {"input": [*proved.public["input"], OUTPUT[0]], "output": OUTPUT[1:]}
    assert rejected(proved.proof, proved.key, moved) in SECTIONS
    for wrong in ({}, {"input": []}, dict(proved.public, more=[1])):
        with pytest.raises(ValueError, match="public values of obelysk"):
            verify(proved.proof, proved.key, wrong)


def claimed(proof: Proof, key: VerifyingKey) -> Proof:
    """The proof with what it claims of the key replaced by what the key has."""
    commitments = (key.preprocessed_root, *proof.stark.commitments[1:])
    stark = replace(proof.stark, commitments=commitments)
    return replace(proof, air=key.air, log_sizes=key.log_sizes, stark=stark)


OTHER_PROGRAMS = {
    "another weight": network((3, -1, 2, 6)),
    "weights exchanged": network((-1, 3, 2, 5)),
    "a weight more": network((*WEIGHTS, 0)),
    "another instruction": network(statement="mul r8, r1, r4"),
    "another register": network(statement="add r9, r1, r4"),
}


@pytest.mark.parametrize("title", OTHER_PROGRAMS)
def test_t1_the_key_of_another_program_rejects(proved, title):
    """The weights of a network are part of the program."""
    key = vm.setup(OTHER_PROGRAMS[title], SHAPE, PARAMS)
    assert key.log_sizes == proved.key.log_sizes and key.air != proved.key.air
    assert rejected(proved.proof, key, proved.public) == "key"
    assert rejected(claimed(proved.proof, key), key, proved.public) in SECTIONS
    # Nor does the other program pass under the id of this one: the root of tree 0 differs.
    posing = replace(key, air=proved.key.air, definition=None)
    assert rejected(proved.proof, posing, proved.public) == "key"
    assert rejected(claimed(proved.proof, posing), posing, proved.public) in SECTIONS


OTHER_LIMITS = {
    "memory_size": 27,
    "stack_size": 3,
    "input_size": 2,
    "log_steps": 9,
    "log_relu": 5,
    "log_less": 5,
    "log_shift": 5,
    "log_bitwise": 5,
}


@pytest.mark.parametrize("name", OTHER_LIMITS)
def test_t1_the_key_of_other_limits_rejects(proved, name):
    limits = replace(SHAPE, **{name: OTHER_LIMITS[name]})
    key = vm.setup(proved.program, limits, PARAMS)
    assert key.air == proved.key.air and key != proved.key
    assert rejected(proved.proof, key, proved.public) == "key"
    section = rejected(claimed(proved.proof, key), key, proved.public)
    assert section in (*SECTIONS, "shape")


def test_t1_every_part_of_the_air_id_is_bound(proved):
    name, number, address, digest = proved.key.air.split("/")
    flipped = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    for other in (
        f"{name}/{number}/{address}/{flipped}",
        f"{name}/{number}/{int(address) + 1}/{digest}",
        f"{name}/{number}/0/{digest}",
    ):
        key = replace(proved.key, air=other, definition=None)
        assert rejected(proved.proof, key, proved.public) == "key"
        assert rejected(claimed(proved.proof, key), key, proved.public) in SECTIONS
        with pytest.raises(ValueError, match="AIR: expected"):
            jaxstark.verify(
                proved.proof, key, proved.public, air=proved.key.definition, insecure=True
            )
    for other, message in (
        (f"{name}/7/{address}/{digest}", "expected 7 log sizes"),
        (f"{name}/16/{address}/{digest}", "AIR id"),
        (f"{name}/{number}/{1 << 25}/{digest}", "AIR id"),
        (f"{name}/{number}/{address}/{digest.upper()}", "AIR id"),
        (f"{name}/{number}/{address}/{digest[:-1]}", "AIR id"),
        (f"{name}/{number}/{address}/{digest}0", "AIR id"),
        (f"{name}/{number}/{address}", "AIR id"),
        (f"{name}/{number}/{address}/{digest}/1", "AIR id"),
        (f"{name}/0{number}/{address}/{digest}", "AIR id"),
        (f"{name}/{number}/-{address}/{digest}", "AIR id"),
        (f"{name}/x/{address}/{digest}", "AIR id"),
        (f"{name}/{number}/{address}/{'9' * 64}", None),
        (f"{name}/{number}/{address}/{'9' * 9}", "AIR id"),
        (name, "AIR id"),
    ):
        key = replace(proved.key, air=other, definition=None)
        if message is None:
            assert rejected(proved.proof, key, proved.public) == "key"
            continue
        with pytest.raises(ValueError, match=message) as error:
            verify(proved.proof, key, proved.public)
        assert "\n" not in str(error.value)


def test_t1_the_root_of_tree_0_is_bound(proved):
    root = proved.key.preprocessed_root
    for byte in (0, 13, 31):
        other = root[:byte] + bytes([root[byte] ^ 1]) + root[byte + 1 :]
        key = replace(proved.key, preprocessed_root=other)
        assert rejected(proved.proof, key, proved.public) == "key"
        assert rejected(claimed(proved.proof, key), key, proved.public) in SECTIONS


def test_prove_refuses_a_trace_with_another_statement(proved):
    columns = proved.trace.columns
    for changed, relation in (
        (dict(proved.public, output=[*OUTPUT[:2], 0]), "output"),
        (dict(proved.public, output=OUTPUT[:2]), "output"),
        (dict(proved.public, output=[*OUTPUT, 0]), "output"),
        (dict(proved.public, input=[1, 2, 3]), "cell"),
        (dict(proved.public, input=[10, 7]), "cell"),
    ):
        with pytest.raises(ProvingError, match=f"relation {relation}, tuple"):
            jaxstark.prove(Trace(proved.trace.air, columns, changed), params=PARAMS, insecure=True)
    other = vm.setup(OTHER_PROGRAMS["another weight"], SHAPE, PARAMS)
    with pytest.raises(ValueError, match="key: expected the key of this trace"):
        jaxstark.prove(proved.trace, params=PARAMS, key=other, insecure=True)


def test_a_trace_of_one_program_is_none_of_another(proved):
    """The same columns, claimed for a program with another weight."""
    air = air_of(OTHER_PROGRAMS["another weight"], SHAPE)
    with pytest.raises(ProvingError, match="relation cell"):
        jaxstark.prove(
            Trace(air, proved.trace.columns, proved.public), params=PARAMS, insecure=True
        )
    air = air_of(OTHER_PROGRAMS["another register"], SHAPE)
    with pytest.raises(ProvingError, match="relation instruction"):
        jaxstark.prove(
            Trace(air, proved.trace.columns, proved.public), params=PARAMS, insecure=True
        )


def test_a_tampered_key_file_is_refused_or_rejects(proved):
    good = json.loads(proved.key.to_json())
    for change in ({"air": "obelysk"}, {"log_sizes": good["log_sizes"][:-1]}, {"log_sizes": []}):
        with pytest.raises(ValueError):
            key = VerifyingKey.from_json(json.dumps(good | change))
            verify(proved.proof, key, proved.public)
    grown = [k + 1 if i == 1 else k for i, k in enumerate(good["log_sizes"])]
    key = VerifyingKey.from_json(json.dumps(good | {"log_sizes": grown}))
    with pytest.raises(VerificationError, match="log sizes"):
        verify(proved.proof, key, proved.public)
