"""The synthetic workloads: golden registers, exact lengths, legacy columns."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.air import find_violation
from jaxstark.air.legacy26 import COLUMNS, legacy26
from jaxstark.vm import (
    assemble,
    execute,
    interpreter,
    isa,
    legacy_trace,  # noqa: E402
)
from jaxstark.vm.legacy_trace import legacy26_trace
from jaxstark.vm.workloads import GOLDEN, synthetic

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

LENGTHS = [1 << k for k in (10, 16, 18, 20)]


def test_golden_registers_have_both_airs_and_all_lengths():
    assert {air: list(registers) for air, registers in GOLDEN.items()} == {
        "legacy26": LENGTHS,
        "obelysk": LENGTHS,
    }


@pytest.mark.parametrize("steps", LENGTHS)
def test_golden_registers(steps):
    legacy = execute(synthetic(steps, halt_counts=False))
    assert legacy.steps == steps + 1
    assert tuple(legacy.registers[:4].tolist()) == GOLDEN["legacy26"][steps]
    sound = execute(synthetic(steps))
    assert sound.steps == steps
    assert tuple(sound.registers[:4].tolist()) == GOLDEN["obelysk"][steps]
    # The step that the Halt takes the place of would have changed r0.
    assert GOLDEN["obelysk"][steps][1:] == GOLDEN["legacy26"][steps][1:]


@pytest.mark.parametrize("steps", [1024, 65536])
def test_golden_registers_of_the_reference(steps):
    final = interpreter.run(synthetic(steps)).registers
    assert tuple(final[:4].tolist()) == GOLDEN["obelysk"][steps]


def test_reference_agrees():
    assert interpreter.run(synthetic(1024, job=3)).values.tolist() == (
        execute(synthetic(1024, job=3)).values.tolist()
    )


def test_jobs_differ_by_their_loads_only():
    zero, three = synthetic(1024), synthetic(1024, job=3)
    assert (zero.words[16:] == three.words[16:]).all()
    assert (three.words[:16, 1] == zero.words[:16, 1] + 51).all()
    assert (execute(zero).registers != execute(three).registers)[:4].all()


@pytest.mark.parametrize("bad", [(31, 0), (64, -1)])
def test_other_sizes_are_refused(bad):
    with pytest.raises(ValueError, match="at least 32 steps"):
        synthetic(*bad)


def test_legacy_trace_satisfies_its_constraints():
    columns = legacy26_trace(execute(synthetic(1024, halt_counts=False)))
    steps = columns["steps"]
    assert list(steps) == list(COLUMNS) and steps["one"].shape == (1024,) and steps["one"].all()
    assert find_violation(legacy26(), columns, {}) is None
    steps["result"][700] ^= np.uint32(1)
    found = find_violation(legacy26(), columns, {})
    assert found is not None and found.row == 700


def test_legacy_trace_of_memory_and_padding():
    program = assemble(
        "loadimm r1, 9\nstore r1, [3]\nloadimm r2, 2\nload r4, [r2 + 1]\nxor r5, r4, r2\n"
        "loadimm r1, 1\nmac r5, r4, r4\nhalt"
    )
    execution = execute(program)
    columns = legacy26_trace(execution)
    steps = columns["steps"]
    assert find_violation(legacy26(), columns, {}) is None
    assert steps["one"].tolist() == [1] * 7 + [0] * 57
    assert steps["mem_addr"][:4].tolist() == [0, 3, 0, 3]
    assert steps["mem_val"][:4].tolist() == [0, 9, 0, 9]
    assert steps["opcode"][:7].tolist() == [4, 0, 4, 0, 5, 4, 0]
    assert steps["src1_val"][1] == 9 and steps["result"][:5].tolist() == [9, 0, 2, 9, 11]
    assert steps["reg1_curr"][:7].tolist() == [0, 9, 9, 9, 9, 9, 1]
    assert steps["reg1_next"][:7].tolist() == [9, 9, 9, 9, 9, 1, 1]


def test_legacy_registers_are_those_of_the_last_write():
    """Step by step, of both kinds of source; compiled and not."""
    execution = execute(synthetic(1024, halt_counts=False))
    program, registers, rows = execution.program, [0] * 32, []
    for pc, value in zip(execution.pcs.tolist()[:-1], execution.values.tolist(), strict=False):
        instruction, info = program[pc], isa.BY_CODE[program[pc].opcode]
        first, second = registers[instruction.src1], registers[instruction.src2]
        if "imm" in info.fields and "src2" not in info.fields:
            second = instruction.imm
        if info.name in ("Store", "StoreInd"):
            first = registers[instruction.src2]
        before = registers[instruction.dst], registers[1]
        if info.writes_register:
            registers[instruction.dst] = value
        after = registers[instruction.dst], registers[1]
        rows.append((*before, *after, first, second))
    names = ("reg0_curr", "reg1_curr", "reg0_next", "reg1_next", "src1_val", "src2_val")
    columns = legacy26_trace(execution)["steps"]
    got = np.stack([columns[name] for name in names], axis=1)[: len(rows)]
    assert got.tolist() == [list(row) for row in rows]


def test_the_legacy_trace_is_the_same_without_numba(monkeypatch):
    execution = execute(synthetic(200, halt_counts=False))
    compiled = legacy26_trace(execution)["steps"].array
    monkeypatch.setattr(legacy_trace, "_compiled", lambda: legacy_trace._fill)
    assert np.array_equal(legacy26_trace(execution)["steps"].array, compiled)
