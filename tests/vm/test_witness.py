"""Traces made on the device against the plain reference, and against the AIR's own rules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import jax
import numpy as np
import pytest
from hypothesis import given

from jaxstark import vm
from jaxstark.air.debugger import find_violation
from jaxstark.fields.m31 import P
from jaxstark.vm import Instruction, Limits, Program, assemble, isa, witness
from jaxstark.vm.dense import compile_dense
from jaxstark.vm.workloads import synthetic
from tests.vm.reference import (
    EDGES,
    LENGTH,
    LONGEST,
    MACHINE,
    ROWS,
    SHAPE,
    halting_programs,
    random_program,
    reference,
    shaped,
)

pytest.importorskip("numba", reason="numba is missing: the executor was not run")


def check(program: Program, public_input=(), limits: Limits = SHAPE, rules: bool = True):
    """Trace an execution and compare it with the reference, cell by cell."""
    done = vm.execute(program, public_input)
    trace = vm.trace(done, limits)
    columns = trace.host_columns()
    expected = reference(program, done.public_input.tolist(), limits)
    assert [*columns] == [c.name for c in trace.air.components] and set(columns) == set(expected)
    for name, table in columns.items():
        assert set(table) == set(expected[name])
        for column, words in table.items():
            assert words.dtype == np.uint32
            assert words.tolist() == expected[name][column].tolist(), (name, column)
    words = {"input": tuple(done.public_input.tolist()), "output": tuple(done.output.tolist())}
    assert trace.public_values == words
    if rules:
        assert find_violation(trace.air, columns, trace.public_values) is None
    return trace, done


@given(halting_programs())
def test_random_programs_give_the_trace_of_the_reference(case):
    check(*case)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_programs_give_the_trace_of_the_reference(part):
    for seed in range(400 * part, 400 * (part + 1)):
        check(*random_program(random.Random(seed)))


def test_the_random_programs_use_every_instruction():
    executed, longest = set(), 0
    for seed in range(60):
        program, public_input = random_program(random.Random(seed))
        done = vm.execute(program, public_input, **MACHINE)
        executed |= set(program.opcodes[done.pcs].tolist())
        longest = max(longest, done.steps)
    assert executed == set(isa.BY_CODE) and longest > LONGEST + 10


# --- Edge words through every instruction ----------------------------------------------------


def loads(*words: int) -> list[Instruction]:
    """Put words into r1, r2, ..."""
    return [Instruction.of("LoadImm", dst=i, imm=word) for i, word in enumerate(words, 1)]


def of(row: isa.Opcode, **fields: int) -> Instruction:
    return Instruction(row.code, **{k: v % P for k, v in fields.items() if k in row.fields})


def edge_cases(row: isa.Opcode) -> Iterator[tuple[list[Instruction], Instruction]]:
    """Loads of edge words, and the instruction that uses them; targets are set later."""
    plain, same = {"dst": 3, "src1": 1, "src2": 2}, {"dst": 1, "src1": 1, "src2": 1}
    if row.address is not None and row.effect not in (isa.CALL, isa.RETURN):
        two = "src2]" in row.operands or "src2 +" in row.operands
        for at, (a, b) in enumerate(product(EDGES, repeat=2)):
            base = (a if "src1" in row.operands else 0) + (b if two else 0)
            yield loads(a, b), of(row, **plain, imm=at - base)
            base = (a if "src1" in row.operands else 0) + (a if two else 0)
            yield loads(a, b), of(row, **same, imm=at + 3 - base)
        return
    imms = (1, 2, 8, 15, 16) if "shift" in row.operand_list else EDGES
    reads = [name for name in ("src1", "src2") if name in row.fields]
    constant = "imm" in row.fields and "target" not in row.operand_list
    free = [*reads, *["dst"] * row.reads_dst, *["imm"] * constant]
    choices = {name: imms if name == "imm" else EDGES for name in free}
    for words in product(*choices.values()):
        given = dict.fromkeys(("src1", "src2", "dst"), 5) | {"imm": 0}
        given |= dict(zip(choices, words, strict=True))
        start = loads(given["src1"], given["src2"], given["dst"])
        yield start, of(row, **plain, imm=given["imm"])
        if len(set(words)) == 1:
            for dst, src1, src2 in ((1, 1, 2), (2, 1, 2), (3, 1, 1), (1, 1, 1), (0, 0, 0)):
                yield start, of(row, dst=dst, src1=src1, src2=src2, imm=given["imm"])


def edge_programs(row: isa.Opcode) -> Iterator[Program]:
    """Programs that send the edge words through every operand of an instruction."""
    body: list[Instruction] = []
    data = [EDGES[i % 5] for i in range(25)]
    for start, instruction in edge_cases(row):
        words = {0: 0} | {load.dst: load.imm for load in start}
        if row.name == "Div" and not words[instruction.src2]:
            continue
        body += start
        if "target" in row.operand_list:
            # On to the next instruction, then over one.
            body.append(replace(instruction, imm=len(body) + 1))
            body.append(replace(instruction, imm=len(body) + 2))
            body.append(Instruction.of("Out", src1=2))
        else:
            body.append(instruction)
        if len(body) > LENGTH - 20 or sum(i.opcode == row.code for i in body) > ROWS - 6:
            yield shaped(body, data)
            body = []
    yield shaped(body, data)


CALLS = """
    call a
    out r1
    jump end
a:  addi r1, r1, 1
    call b
    call b
    return
b:  addi r1, r1, 1
    call c
    return
c:  call d
    return
d:  addi r1, r1, 1
    return
end:
"""


def calls() -> Program:
    """Calls, up to four of them open."""
    text = assemble(CALLS + "halt")
    return shaped([text[pc] for pc in range(len(text) - 1)])


@pytest.mark.parametrize("name", [n for n in isa.BY_NAME if n not in ("Call", "Return", "Halt")])
def test_edge_words_through_every_instruction(name):
    executed = 0
    for program in edge_programs(isa.BY_NAME[name]):
        _, done = check(program, [1, 2, 3])
        executed += int((program.opcodes[done.pcs] == isa.BY_NAME[name].code).sum())
    assert executed >= 2


def test_nested_calls_and_a_full_stack():
    trace, done = check(calls(), [1, 2, 3])
    assert done.stack_size == SHAPE.stack_size == 4 and done.output.tolist() == [5]
    assert int(trace.host_columns()["steps"]["depth"].max()) == 4


# --- Lengths, sizes, limits ------------------------------------------------------------------


def counting() -> Program:
    """Loops once more than the first input word says."""
    text = assemble(
        ".input x\nload r1, [x]\nneg r3, r1\nnext: add r2, r2, r1\nmul r3, r3, r2\n"
        "loop r1, r1, next\nout r2\nhalt"
    )
    return shaped([text[pc] for pc in range(len(text) - 1)])


def test_executions_of_all_lengths_end_in_rows_of_their_halt():
    """The longest leaves no row for padding."""
    rows = 1 << SHAPE.log_steps
    for turns in (0, 1, 2, 40, 82, 83):
        trace, done = check(counting(), [turns, 0, 0])
        assert done.steps == 3 * turns + 7 <= rows
        steps = trace.host_columns()["steps"]
        assert (steps["pc"][done.steps - 1 :] == done.pcs[-1]).all()
        assert (steps["op"][done.steps - 1 :] == isa.BY_NAME["Halt"].code).all()
    assert done.steps == rows


def test_a_halt_alone():
    program = assemble("halt")
    done = vm.execute(program)
    assert done.steps == 1 and vm.trace(done).log_sizes == (5, 4, 5)
    check(program, (), Limits.of(done))


@pytest.mark.parametrize("log_size", [6, pytest.param(11, marks=pytest.mark.slow)])
def test_sizes_of_the_step_component(log_size):
    program = synthetic((1 << log_size) - 3)
    limits = Limits(log_size, memory_size=0)
    assert Limits.of(vm.execute(program)) == limits
    check(program, (), limits)
    check(synthetic(1 << log_size), (), limits)


def test_limits_may_be_larger_than_needed():
    text = ".data d, 5, 6\n.input x\nload r1, [x]\nrelu r2, r1\nstore r2, [x + 1]\nout r2\nhalt"
    program = assemble(text)
    least = Limits.of(vm.execute(program, [7]))
    assert least == Limits(8, memory_size=4, input_size=1)
    larger = Limits(9, memory_size=99, stack_size=5, input_size=1, log_relu=0, min_log=6)
    for limits in (least, larger):
        check(program, [7], limits)


@pytest.mark.slow
@pytest.mark.parametrize("present", range(16))
def test_programs_with_any_of_the_value_components(present):
    """What is there: ReLU, comparison, shift, bitwise, in all combinations."""
    kinds = ["relu r3, r1", "gt r3, r1, r2", "shr r3, r2, 5", "xor r3, r1, r2"]
    chosen = [kind for bit, kind in enumerate(kinds) if present >> bit & 1]
    program = assemble("\n".join(["loadimm r1, -9", "loadimm r2, 77", *chosen, "out r3", "halt"]))
    check(program, (), Limits.of(vm.execute(program)))


def test_an_input_address_beyond_the_memory_needs_no_cell_without_input():
    program = assemble(".data d, 5\n.space s, 90\n.input x\nload r1, [d]\nout r1\nhalt")
    trace, _ = check(program, (), Limits(6, memory_size=1))
    assert trace.public_values == {"input": (), "output": (5,)}


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_of_a_network(batch):
    rng = np.random.default_rng(3)
    layers = [
        (rng.integers(-9, 9, (3, 4)), rng.integers(-9, 9, 4)),
        (rng.integers(-9, 9, (4, 2)), rng.integers(-9, 9, 2)),
    ]
    network = compile_dense(layers, input_range=(0, 9), shifts=[2])
    samples = rng.integers(0, 10, (batch, 3))
    public_input = network.public_input(samples.tolist())
    limits = Limits(9, 100, 0, len(public_input), log_relu=5, log_less=5, log_shift=5)
    _, done = check(network.program, public_input, limits)
    assert done.output.tolist() == network.classify(samples.tolist()).tolist()


# --- What the host does ----------------------------------------------------------------------


def test_the_host_ships_twelve_bytes_per_step(monkeypatch):
    calls = []
    derive = witness._derive

    def spy(*args):
        calls.append(args)
        return derive(*args)

    monkeypatch.setattr(witness, "_derive", spy)
    program, public_input = random_program(random.Random(1))
    done = vm.execute(program, public_input, **MACHINE)
    for _ in range(2):
        trace = vm.trace(done, SHAPE)
    rows = 1 << SHAPE.log_steps
    for args in calls:
        host = [arg for arg in args if isinstance(arg, np.ndarray | np.generic)]
        assert sum(array.nbytes for array in host) == 12 * rows + 4
        assert [a.dtype for a in host if a.ndim] == [np.uint32] * 3
        device = [arg for arg in args if isinstance(arg, jax.Array)]
        # The ROM and the initial memory: sizes of the program and of the memory, not of the steps.
        assert [a.shape[-1] for a in device] == [LENGTH, 64]
    (_, _, rom, *_), (_, _, again, *_) = calls
    assert rom is again, "the program stays on the device"
    assert all(isinstance(c, jax.Array) for t in trace.columns.values() for c in t.values())


def test_a_second_execution_of_a_shape_compiles_nothing(compilations):
    """Neither another length, input or output, nor another program with another memory."""
    first, public_input = random_program(random.Random(2))
    vm.trace(vm.execute(first, public_input, **MACHINE), SHAPE)
    assert SHAPE.log_sizes(first) == SHAPE.log_sizes(counting()) == (8, 7, 6, 4, 4, 4, 4, 8, 8)
    compilations.clear()
    lengths = set()
    for turns in (0, 3, 9):
        done = vm.execute(counting(), [turns, 1, 2], **MACHINE)
        vm.trace(done, SHAPE)
        lengths.add(done.steps)
    addresses = set()
    for seed in range(3, 9):
        program, public_input = random_program(random.Random(seed))
        vm.trace(vm.execute(program, public_input, **MACHINE), SHAPE)
        addresses.add(program.input_address)
    assert compilations == []
    assert len(lengths) == 3 and len(addresses) > 3
