"""Compiled executor against the reference, faults, limits and bad arguments."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark import vm
from jaxstark.fields.m31 import P
from jaxstark.vm import ExecutionError, Instruction, Program, assemble, execute, interpreter, isa
from jaxstark.vm.executor import kernel_source

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

RUNNERS = pytest.mark.parametrize("run", [interpreter.run, execute], ids=["reference", "compiled"])
ARRAYS = "public_input output registers pcs values addresses".split()
MEMORY, STEPS = 40, 300
EDGES = [0, 1, P // 2, P // 2 + 1, P - 1]


@st.composite
def instructions(draw, length: int):
    row = draw(st.sampled_from([*isa.INSTRUCTIONS, *isa.INSTRUCTIONS, None]))
    if row is None:
        return Instruction(draw(st.integers(0, 255)))
    fields = {name: draw(st.integers(0, 5)) for name in ("dst", "src1", "src2")}
    imm = st.sampled_from([*EDGES, 2, 3, 17]) | st.integers(0, P - 1)
    if "target" in row.operand_list:
        imm = st.integers(0, length)
    elif row.address is not None and row.effect not in (isa.CALL, isa.RETURN):
        imm = st.integers(0, MEMORY - 1) | st.sampled_from([P - 1, MEMORY])
    elif "shift" in row.operand_list:
        imm = st.integers(0, 17)
    return Instruction(row.code, **fields, imm=draw(imm))


@st.composite
def programs(draw):
    length = draw(st.integers(1, 25))
    body = [draw(instructions(length)) for _ in range(length)]
    words = st.lists(st.sampled_from(EDGES) | st.integers(0, 9), max_size=8)
    return Program.of([*body, Instruction.of("Halt")], draw(words)), draw(words)


def outcome(run, program, words, **limits):
    try:
        done = run(program, words, **limits)
    except ExecutionError as error:
        return error.pc, error.instruction, error.reason, error.step
    arrays = [(name, getattr(done, name).dtype, getattr(done, name).tolist()) for name in ARRAYS]
    return arrays, done.memory_size, done.stack_size


@given(programs())
def test_executor_agrees_with_the_reference(case):
    limits = {"step_limit": STEPS, "memory_limit": MEMORY, "stack_limit": 4}
    assert outcome(execute, *case, **limits) == outcome(interpreter.run, *case, **limits)


@given(st.integers(0, 2**32 - 1))
def test_executor_agrees_on_long_arithmetic(seed):
    rng = np.random.default_rng(seed)
    names = [r.name for r in isa.INSTRUCTIONS if r.effect == isa.REGISTER and r.address is None]
    names = [n for n in names if n not in ("Loop", "Div", "Shr")]
    loads = [Instruction.of("LoadImm", dst=i, imm=int(rng.integers(P))) for i in range(8)]
    fields = rng.integers(0, 8, (200, 3)).tolist()
    imms = rng.integers(0, P, 200).tolist()
    body = [
        Instruction.of(names[int(rng.integers(len(names)))], *f, imm=i)
        for f, i in zip(fields, imms, strict=True)
    ]
    program = Program.of([*loads, *body, Instruction.of("Halt")])
    assert outcome(execute, program, []) == outcome(interpreter.run, program, [])


LEAVE = Program.of([Instruction.of("Jump", imm=9), Instruction.of("Halt")])
FAULTS = {
    "unknown opcode": (Program.of([Instruction(200), Instruction.of("Halt")]), 0, 0),
    "pc outside the program": (LEAVE, 9, 1),
    "step limit reached": (assemble("a: jump a\nhalt"), 0, 50),
    "division by zero": (assemble("loadimm r1, 4\ndiv r1, r1, r2\nhalt"), 1, 1),
    "memory limit exceeded": (assemble("load r1, [r0 - 1]\nhalt"), 0, 0),
    "call stack limit exceeded": (assemble("a: call a\nhalt"), 0, 3),
    "return on an empty stack": (assemble("jump b\na: return\nb: call a\nreturn\nhalt"), 3, 3),
    "shift outside 1..16": (Program.of([Instruction(20, imm=17), Instruction.of("Halt")]), 0, 0),
}  # fmt: skip


def test_every_fault_has_a_case():
    assert set(FAULTS) == set(isa.FAULTS)


@RUNNERS
@pytest.mark.parametrize("reason", FAULTS)
def test_faults_name_pc_instruction_and_reason(run, reason):
    program, pc, step = FAULTS[reason]
    with pytest.raises(ExecutionError) as caught:
        run(program, step_limit=50, stack_limit=3)
    error = caught.value
    assert (error.pc, error.reason, error.step) == (pc, reason, step)
    assert error.instruction == (program[pc] if pc < len(program) else None)
    assert reason in str(error) and f"pc {pc}" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.instruction == error.instruction


@RUNNERS
def test_falling_off_the_end_is_a_fault(run):
    body = [Instruction.of(name, imm=imm) for name, imm in (("Jump", 2), ("Halt", 0), ("AddI", 1))]
    with pytest.raises(ExecutionError, match="pc 3: pc outside the program"):
        run(Program.of(body))


@RUNNERS
def test_limits_are_exact(run):
    program = assemble("loadimm r1, 3\nstore r1, [7]\nhalt")
    assert run(program, step_limit=3, memory_limit=8).steps == 3
    with pytest.raises(ExecutionError, match="pc 2, `halt`: step limit reached"):
        run(program, step_limit=2)
    with pytest.raises(ExecutionError, match=r"`store r1, \[7\]`: memory limit"):
        run(program, memory_limit=7)
    call = assemble("call a\nhalt\na: call b\nreturn\nb: return")
    assert run(call, stack_limit=2).stack_size == 2
    with pytest.raises(ExecutionError, match="call stack limit"):
        run(call, stack_limit=1)


@RUNNERS
def test_input_goes_behind_data_and_room(run):
    program = assemble(
        ".space s, 2\n.data d, 5\n.input x\nload r1, [x]\nout r1\nload r1, [x + 1]\nout r1\n"
        "load r1, [d]\nout r1\nload r1, [s]\nout r1\nhalt"
    )
    done = run(program, [-1, 8])
    assert done.output.tolist() == [P - 1, 8, 5, 0] and done.memory_size == 5
    assert done.public_input.tolist() == [P - 1, 8]
    assert run(program).memory_size == 5  # cells that are touched count
    assert run(assemble(".data d, 5\n.space s, 9\n.input x\nhalt")).memory_size == 1


@RUNNERS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1.5,),), "public input: expected a sequence of integers"),
        (((P,),), f"public input, word 0: expected -{P // 2}..{P - 1}, got {P}"),
        (((0, -(P // 2) - 1),), "public input, word 1"),
        (((True,),), "public input"),
        ((np.zeros((2, 2), np.int64),), "public input"),
        (((0,) * 9, {"memory_limit": 8}), "memory_limit: expected at least 9 cells"),
        (((), {"step_limit": 0}), "step_limit"),
        (((), {"stack_limit": True}), "stack_limit"),
        (((), {"memory_limit": 1 << 40}), "memory_limit"),
    ],
)
def test_bad_arguments_are_refused(run, arguments, message):
    words, *rest = arguments
    with pytest.raises(ValueError, match=message):
        run(assemble("halt"), words, **(rest[0] if rest else {}))


@RUNNERS
def test_a_program_without_halt_is_refused(run):
    with pytest.raises(ValueError, match="at least one halt"):
        run(Program.of([Instruction.of("Jump", imm=0)]))


def test_the_witness_is_twelve_bytes_a_step():
    done = execute(assemble("loadimm r1, 9\na: loop r1, r1, a\nhalt"))
    size = sum(getattr(done, name).nbytes for name in ("pcs", "values", "addresses"))
    assert size == 12 * done.steps == 12 * 12


def test_the_kernel_is_named_by_its_source(monkeypatch):
    name, source = kernel_source()
    assert kernel_source() == (name, source) and name in source
    rows = tuple(r for r in isa.INSTRUCTIONS if r.name != "Xor")
    monkeypatch.setattr(isa, "INSTRUCTIONS", rows)
    assert kernel_source()[0] != name


def test_without_numba_execute_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxstark\[vm\]'"):
        vm.execute(assemble("halt"))
    assert interpreter.run(assemble("halt")).steps == 1
