"""Every instruction at the edge values, against an independent statement of what it means."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from jaxstark.fields.m31 import P
from jaxstark.vm import ExecutionError, Instruction, Program, execute, interpreter, isa

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

HALF = (P - 1) // 2
EDGES = [0, 1, HALF, HALF + 1, P - 1]
RUNNERS = pytest.mark.parametrize("run", [interpreter.run, execute], ids=["reference", "compiled"])


def signed(word: int) -> int:
    return word if word <= HALF else word - P


def bits(word: int) -> int:
    return 0 if word == P else word


# name -> result of dst from (src1, src2, dst before, imm)
MEANING = {
    "Add": lambda a, b, d, i: (a + b) % P,
    "Sub": lambda a, b, d, i: (a + P - b) % P,
    "Mul": lambda a, b, d, i: a * b % P,
    "Neg": lambda a, b, d, i: (P - a) % P,
    "AddI": lambda a, b, d, i: (a + i) % P,
    "MulI": lambda a, b, d, i: a * i % P,
    "Mac": lambda a, b, d, i: (d + a * b) % P,
    "LoadImm": lambda a, b, d, i: i,
    "Eq": lambda a, b, d, i: int(a == b),
    "Lt": lambda a, b, d, i: int(a < b),
    "Gt": lambda a, b, d, i: int(a > b),
    "ReLU": lambda a, b, d, i: max(signed(a), 0),
    "Xor": lambda a, b, d, i: bits(a ^ b),
    "And": lambda a, b, d, i: bits(a & b),
    "Or": lambda a, b, d, i: bits(a | b),
    "Loop": lambda a, b, d, i: (a + P - 1) % P,
}


def one(run, name: str, a: int, b: int, d: int, imm: int, target: int | None = None, **fields):
    """Run one instruction with r1 = a, r2 = b, r3 = d; gives r3 and the execution."""
    instruction = Instruction.of(name, **{"dst": 3, "src1": 1, "src2": 2, **fields}, imm=imm)
    setup = [Instruction.of("LoadImm", dst=i, imm=word) for i, word in ((1, a), (2, b), (3, d))]
    done = run(Program.of([*setup, instruction, Instruction.of("Halt"), Instruction.of("Halt")]))
    return int(done.registers[3]), done


@RUNNERS
@pytest.mark.parametrize("name", sorted(MEANING))
def test_values_at_the_edges(run, name):
    imms = [4] if name == "Loop" else EDGES if "imm" in isa.BY_NAME[name].fields else [0]
    olds = EDGES if name == "Mac" else [7]
    for a, b, d, imm in product(EDGES, EDGES, olds, imms):
        got, done = one(run, name, a, b, d, imm)
        assert got == MEANING[name](a, b, d, imm), (a, b, d, imm)
        assert int(done.values[3]) == got


def test_every_instruction_has_a_test_here():
    others = "Div Shr Load LoadInd LoadIdx Store StoreInd Jump JumpIf Call Return Out Halt".split()
    assert sorted([*MEANING, *others]) == sorted(isa.BY_NAME)


@RUNNERS
def test_destination_may_be_both_sources(run):
    for a, name in product(EDGES, ("Add", "Mul", "Mac", "Xor")):
        got, _ = one(run, name, 1, 1, a, 0, src1=3, src2=3)
        assert got == MEANING[name](a, a, a, 0)


@RUNNERS
def test_division_is_field_division(run):
    for a, b in product(EDGES, EDGES[1:]):
        got, _ = one(run, "Div", a, b, 0, 0)
        assert got * b % P == a
    for a in EDGES:
        with pytest.raises(ExecutionError, match="division by zero"):
            one(run, "Div", a, 0, 0, 0)


@RUNNERS
def test_shift_rounds_down_for_either_sign(run):
    for a, shift in product([*EDGES, 2, 3, P - 2, P - 3, 65535, P - 65536], (1, 2, 15, 16)):
        got, _ = one(run, "Shr", a, 0, 0, shift)
        assert got == signed(a) // 2**shift % P
    for shift in (0, 17, P - 1):
        with pytest.raises(ExecutionError, match=r"shift outside 1\.\.16"):
            one(run, "Shr", 5, 0, 0, shift)


@RUNNERS
def test_jump_if_takes_every_word_but_zero(run):
    for a in EDGES:
        for name in ("JumpIf", "Loop"):
            _, done = one(run, name, a, 0, 0, 5)
            assert done.pcs.tolist() == [0, 1, 2, 3, 5 if a else 4]


@RUNNERS
def test_memory_forms(run):
    address = {"Load": lambda a, b: 9, "LoadInd": lambda a, b: a + 9}
    address["LoadIdx"] = lambda a, b: a + b + 9
    for name, of in address.items():
        head = [("LoadImm", 1, 4), ("LoadImm", 2, P - 6), ("LoadImm", 3, 77)]
        program = Program.of(
            [
                *(Instruction.of(n, dst=d, imm=i) for n, d, i in head),
                Instruction.of(name, dst=5, src1=1, src2=2, imm=9),
                Instruction.of("Halt"),
            ],
            data=range(100, 120),
        )
        done = run(program)
        at = of(4, P - 6) % P
        assert done.registers[5] == 100 + at and done.addresses[3] == at
    for name, at in (("Store", 30), ("StoreInd", 29)):
        program = Program.of(
            [
                Instruction.of("LoadImm", dst=1, imm=P - 1),
                Instruction.of("LoadImm", dst=2, imm=55),
                Instruction.of(name, src1=1, src2=2, imm=30),
                Instruction.of("Load", dst=6, imm=at),
                Instruction.of("Halt"),
            ]
        )
        done = run(program)
        assert done.registers[6] == 55 and done.values[2] == 55 and done.memory_size == at + 1


@RUNNERS
def test_calls_return_to_the_next_instruction(run):
    program = Program.of(
        [
            Instruction.of("Call", imm=2),
            Instruction.of("Halt"),
            Instruction.of("Call", imm=4),
            Instruction.of("Return"),
            Instruction.of("Out", src1=0),
            Instruction.of("Return"),
        ]
    )
    done = run(program)
    assert done.pcs.tolist() == [0, 2, 4, 5, 3, 1]
    assert done.values.tolist() == [1, 3, 0, 3, 1, 0]
    assert done.addresses.tolist() == [0, 1, 0, 1, 0, 0] and done.stack_size == 2


@RUNNERS
def test_output_is_in_order_and_indexed(run):
    steps = [x for i in EDGES for x in (("LoadImm", i), ("Out", 0))]
    program = Program.of([*(Instruction.of(n, imm=i) for n, i in steps), Instruction.of("Halt")])
    done = run(program)
    assert done.output.tolist() == EDGES
    assert done.addresses.tolist() == [0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0]


def test_the_table_is_consistent():
    assert len(isa.BY_CODE) == len(isa.BY_NAME) == len(isa.INSTRUCTIONS)
    for row in isa.INSTRUCTIONS:
        assert 0 < row.code < 256
        assert row.fault is None or row.fault[1] in isa.FAULTS
        assert ("dst" in row.fields) == row.writes_register
    # One operand count per mnemonic, and forms that differ in the address only.
    for rows in isa.MNEMONICS.values():
        assert len({len(row.operand_list) for row in rows}) == 1


PAGE = Path(__file__).resolve().parents[2] / "docs" / "obelysk.md"


def test_the_documentation_has_this_table():
    text = PAGE.read_text()
    assert isa.markdown_table() in text, "put the output of isa.markdown_table() into the page"
