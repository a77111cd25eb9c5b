"""The reference interpreter: plain Python, one step after the other, no compiler.

It evaluates the expressions of the instruction table as they stand. Slow (about 10^6 steps in some
seconds), and the oracle of the compiled executor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.execution import (
    MEMORY_LIMIT,
    STACK_LIMIT,
    STEP_LIMIT,
    Execution,
    ExecutionError,
    start,
)
from jaxstark.vm.isa import CALL, HALF, HALT, OUTPUT, REGISTER, REGISTERS, RETURN, STORE, Opcode
from jaxstark.vm.program import Program

_VARIABLES = "a, b, d, imm, pc, depth, address, value, memory, stack"


def inverse(x: int) -> int:
    """``1/x`` mod p."""
    return pow(x, P - 2, P)


@cache
def compiled(expression: str) -> Callable[..., Any]:
    """A function of the variables of ``isa`` from an expression of the instruction table."""
    names = {"P": P, "HALF": HALF, "inverse": inverse, "__builtins__": {}}
    return eval(f"lambda {_VARIABLES}: {expression}", names)


def run(
    program: Program,
    public_input: Sequence[int] | np.ndarray = (),
    *,
    step_limit: int = STEP_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
    stack_limit: int = STACK_LIMIT,
) -> Execution:
    """Execute a program as ``jaxstark.vm.execute`` does, with the same results and faults."""
    limits = {"step_limit": step_limit, "memory_limit": memory_limit, "stack_limit": stack_limit}
    begun = start(program, public_input, **limits)
    memory = begun.memory().tolist()
    registers, stack, output = [0] * REGISTERS, [], []
    pcs, values, addresses = [], [], []
    memory_size, stack_size = begun.initialised, 0
    pc, halted = 0, False
    while not halted:
        if pc >= len(program):
            raise ExecutionError(pc, None, isa.PC_OUTSIDE, len(pcs))
        instruction = program[pc]
        row, imm = instruction.row, instruction.imm

        def fault(reason: str, pc: int = pc, instruction: Any = instruction) -> ExecutionError:
            return ExecutionError(pc, instruction, reason, len(pcs))

        if len(pcs) >= step_limit:
            raise fault(isa.STEP_LIMIT)
        if row is None:
            raise fault(isa.UNKNOWN_OPCODE)
        a, b, d = (registers[i] for i in (instruction.src1, instruction.src2, instruction.dst))
        depth = len(stack)
        known = (a, b, d, imm, pc, depth)
        if row.fault and compiled(row.fault[0])(*known, 0, 0, memory, stack):
            raise fault(row.fault[1])
        address = 0
        if row.address is not None:
            address = compiled(row.address)(*known, 0, 0, memory, stack)
            if row.effect == CALL and address >= stack_limit:
                raise fault(isa.STACK_LIMIT)
            if row.effect in (CALL, RETURN):
                stack_size = max(stack_size, address + 1)
            elif address >= memory_limit:
                raise fault(isa.MEMORY_LIMIT)
            else:
                memory_size = max(memory_size, address + 1)
        value = compiled(row.value)(*known, address, 0, memory, stack)
        next_pc = compiled(row.next_pc)(*known, address, value, memory, stack)
        halted = _apply(row, instruction.dst, address, value, registers, memory, stack, output)
        if row.effect == OUTPUT:
            address = len(output) - 1
        for witness, word in zip((pcs, values, addresses), (pc, value, address), strict=True):
            witness.append(word)
        pc = next_pc
    return Execution(
        program,
        begun.public_input,
        np.array(output, np.uint32),
        np.array(registers, np.uint32),
        np.array(pcs, np.uint32),
        np.array(values, np.uint32),
        np.array(addresses, np.uint32),
        memory_size,
        stack_size,
    )


def _apply(
    row: Opcode,
    dst: int,
    address: int,
    value: int,
    registers: list[int],
    memory: list[int],
    stack: list[int],
    output: list[int],
) -> bool:
    """What becomes of the value of a step; whether the machine halts."""
    if row.effect == REGISTER:
        registers[dst] = value
    elif row.effect == STORE:
        memory[address] = value
    elif row.effect == CALL:
        stack.append(value)
    elif row.effect == RETURN:
        stack.pop()
    elif row.effect == OUTPUT:
        output.append(value)
    return row.effect == HALT
