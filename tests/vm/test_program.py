"""Programs: encoding, hash, disassembly, and what is refused."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.fields.m31 import P
from jaxstark.vm import Instruction, Program, assemble, decode, isa


@st.composite
def programs(draw):
    """Programs that pass ``check``, of every instruction."""
    length = draw(st.integers(1, 12))
    words = st.sampled_from([0, 1, P // 2, P // 2 + 1, P - 1]) | st.integers(0, P - 1)
    body = []
    for _ in range(length):
        row = draw(st.sampled_from(isa.INSTRUCTIONS))
        fields = {name: draw(st.integers(0, 31)) for name in row.fields - {"imm"}}
        imm = words if "imm" in row.fields else st.just(0)
        imm = st.integers(0, length) if "target" in row.operand_list else imm
        imm = st.integers(1, 16) if "shift" in row.operand_list else imm
        body.append(Instruction(row.code, **fields, imm=draw(imm)))
    data = draw(st.lists(words, max_size=40))
    room = draw(st.integers(0, 20))
    return Program.of([*body, Instruction.of("Halt")], data, len(data) + room)


@given(programs())
def test_encoding_and_disassembly_come_back(program):
    form = program.encode()
    assert decode(form) == program and decode(form).encode() == form
    text = program.disassemble()
    assert assemble(text) == program and assemble(text).disassemble() == text
    assert hash(assemble(text)) == hash(program) and assemble(text).hash == program.hash


@given(programs(), st.data())
def test_any_change_of_the_encoding_is_refused_or_another_program(program, data):
    form = bytearray(program.encode())
    at = data.draw(st.integers(0, len(form) - 1))
    form[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(form))
    except ValueError:
        return
    assert other != program and other.hash != program.hash and other.encode() == bytes(form)


def test_encoding_by_hand():
    program = assemble(".data d, -1\n.space s, 2\nmac r1, r2, r3\nhalt")
    words = [1, 2, 1, 3, 10 | 1 << 8 | 2 << 16 | 3 << 24, 0, 255, 0, P - 1]
    form = b"OBLK" + struct.pack("<9I", *words)
    assert program.encode() == form
    assert program.hash == hashlib.blake2s(struct.pack("<Q", len(form)) + form).digest()


FORM = assemble(".data d, 7\nshr r1, r2, 3\nadd r1, r2, r3\na: jump a\nhalt").encode()


def changed(offset: int, word: int) -> bytes:
    return FORM[:offset] + struct.pack("<I", word) + FORM[offset + 4 :]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (b"", "expected at least 20 bytes, got 0"),
        (b"ELF!" + FORM[4:], "begin with b'OBLK', got b'ELF!'"),
        (changed(4, 2), "version: expected 1, got 2"),
        (FORM[:-1], "expected 56 bytes for 4 instructions and 1 data words, got 55"),
        (FORM + b"\0", "got 57"),
        (changed(8, 2**32 - 1), "expected 34359738384 bytes"),
        (changed(8, 0)[:20] + FORM[-4:], r"expected 1\.\.16777216 instructions"),
        (changed(16, 0), "input address: expected 1"),
        (changed(16, 2**31), "input address"),
        (changed(20, 77), "instruction 0: expected a known opcode"),
        (changed(20, 20 | 32 << 8), "instruction 0: expected registers below 32"),
        (changed(20, 20 | 1 << 24), "instruction 0: expected src2 = 0 in Shr"),
        (changed(24, 0), r"instruction 0: expected a shift in 1\.\.16"),
        (changed(24, P), "instruction 0: expected an immediate below p"),
        (changed(32, 5), "instruction 1: expected imm = 0 in Add"),
        (changed(40, 4), r"instruction 2: expected a target of Jump in 0\.\.3"),
        (changed(44, 255 | 1 << 8), "instruction 3: expected dst = 0 in Halt"),
        (changed(44, 1), "at least one halt"),
        (changed(52, P), f"data: expected words below {P}, got {P}"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_decode_says_what_is_wrong(form, message):
    assert decode(FORM).encode() == FORM
    with pytest.raises(ValueError, match=message):
        decode(form)


def test_a_program_without_halt_has_no_encoding():
    program = Program.of([Instruction.of("Jump", imm=0)])
    for use in (program.encode, program.disassemble, lambda: program.hash):
        with pytest.raises(ValueError, match="at least one halt, got 1 instructions without"):
            use()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Program(np.zeros((1, 3), np.uint32)), "instructions of 2 words"),
        (lambda: Program(np.zeros((0, 2), np.uint32)), "instructions of 2 words"),
        (lambda: Program(np.array([[1.5, 0]])), "program: expected 32-bit words"),
        (lambda: Program(np.array([[-1, 0]])), "program: expected 32-bit words"),
        (lambda: Program.of([Instruction(1, dst=32)]), "registers below 32"),
        (lambda: Program.of([Instruction.of("Halt")], [P]), "data, word 0"),
        (lambda: Program.of([Instruction.of("Halt")], [1], 0), "input address"),
        (lambda: Instruction.of("Softmax"), "expected one of Add"),
        (lambda: Instruction.of("LoadImm", imm=P), "LoadImm, imm"),
    ],
)
def test_malformed_programs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_programs_are_values():
    one, two = assemble("loadimm r1, 5\nhalt"), assemble("loadimm r1, 5\nhalt")
    assert one == two and hash(one) == hash(two) and one != assemble("loadimm r1, 6\nhalt")
    assert one != Program(one.words, input_address=1) and one != Program(one.words, np.array([0]))
    assert one != "loadimm r1, 5"
    with pytest.raises(ValueError, match="read-only"):
        one.words[0, 1] = 6
    words = np.array([[255, 0]], np.uint32)
    copied = Program(words)
    words[0, 0] = 1
    assert str(copied[0]) == "halt"


def test_the_vocabulary_needs_neither_jax_nor_numba():
    code = (
        "import sys, jaxstark.vm as vm\n"
        "program = vm.assemble('halt'); program.hash; program.disassemble()\n"
        "sys.exit(any(m.split('.')[0] in ('jax', 'jaxlib', 'numba') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
