"""A new instruction is one row of the instruction table: everything else follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jaxstark import vm
from jaxstark.air.debugger import find_violation
from jaxstark.fields.m31 import P
from jaxstark.vm import executor, isa, witness
from jaxstark.vm.air import _air_of, made

ROW = isa.Opcode(
    11, "Msub", "dst, src1, src2", "(d - a * b) % P", "multiply and subtract", "r_ab=-1 r_d=1 v_r=1"
)
PROGRAM = """
    loadimm r1, 5
    loadimm r2, -7
    msub    r3, r1, r2
    msub    r1, r1, r1
    out     r3
    out     r1
    halt
"""


@pytest.fixture
def with_row(monkeypatch):
    def add(row: isa.Opcode) -> None:
        monkeypatch.setattr(isa, "INSTRUCTIONS", (*isa.INSTRUCTIONS, row))
        monkeypatch.setitem(isa.BY_CODE, row.code, row)
        monkeypatch.setitem(isa.BY_NAME, row.name, row)
        monkeypatch.setitem(isa.MNEMONICS, row.mnemonic, (row,))
        forget()

    def forget() -> None:  # what is kept for a program belongs to one table
        _air_of.cache_clear()
        made.cache_clear()
        witness._tables.cache_clear()

    yield add
    forget()


def test_the_mnemonic_does_not_exist_yet():
    with pytest.raises(vm.AssemblyError, match="expected an instruction"):
        vm.assemble(PROGRAM)


def test_one_row_is_assembled_executed_and_proved(with_row):
    with_row(ROW)
    program = vm.assemble(PROGRAM)
    assert vm.decode(program.encode()) == program
    assert vm.assemble(program.disassemble()) == program
    execution = vm.interpreter.run(program)
    assert execution.output.tolist() == [35, P - 20]
    trace = vm.trace(execution)
    assert find_violation(trace.air, trace.host_columns(), trace.public_values) is None
    assert "opcode == 11:  # Msub" in executor.kernel_source()[1]


def test_a_row_whose_circuit_says_something_else_is_not_proved(with_row):
    with_row(replace(ROW, circuit="r_ab=1 r_d=1 v_r=1"))
    trace = vm.trace(vm.interpreter.run(vm.assemble(PROGRAM)))
    finding = find_violation(trace.air, trace.host_columns(), trace.public_values)
    assert finding is not None and (finding.row, finding.rule) == (2, "formula: value")


def test_a_misspelt_coefficient_is_an_error(with_row):
    with_row(replace(ROW, circuit="r_ba=1"))
    program = vm.assemble(PROGRAM)
    with pytest.raises(ValueError, match="Msub, circuit: got unknown coefficient 'r_ba'"):
        vm.trace(vm.interpreter.run(program))
