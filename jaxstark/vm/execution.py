"""What an execution leaves behind, and how one fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxstark.vm.program import MAX_MEMORY, Instruction, Program, words_of

STEP_LIMIT = 4_000_000
MEMORY_LIMIT = 1 << 16
STACK_LIMIT = 1 << 10
_LARGEST = {"step_limit": 1 << 28, "memory_limit": MAX_MEMORY, "stack_limit": 1 << 20}


class ExecutionError(Exception):
    """A program faulted: it has no result and no proof.

    Attributes:
      pc: program counter of the step that could not be made.
      instruction: the instruction there, None where there is none.
      reason: one of ``isa.FAULTS``.
      step: how many steps were made before.
    """

    def __init__(self, pc: int, instruction: Instruction | None, reason: str, step: int) -> None:
        place = f"pc {pc}" + (f", `{instruction}`" if instruction is not None else "")
        super().__init__(f"{place}: {reason} (after {step} steps)")
        self.pc = pc
        self.instruction = instruction
        self.reason = reason
        self.step = step

    def __reduce__(self) -> Any:
        return type(self), (self.pc, self.instruction, self.reason, self.step)


@dataclass(frozen=True, eq=False)
class Execution:
    """A finished execution: its results and the irreducible witness, 12 bytes a step.

    Attributes:
      program: the program.
      public_input: the words put into memory from the program's input address on, uint32.
      output: the public output, uint32, in order.
      registers: the final registers, uint32 ``[32]``.
      pcs: program counter of every step, uint32 ``[steps]``; the last is a Halt.
      values: the word that the step writes to a register, to memory, to the stack (the return
        address) or to the output; for Return the address that it pops; 0 for others. uint32.
      addresses: the cell that the step touches: of memory for loads and stores, of the stack for
        Call and Return, the index in the output for Out; 0 for others. uint32.
      memory_size: 1 + the highest cell that is initialised or touched.
      stack_size: 1 + the highest stack cell that is touched.
    """

    program: Program
    public_input: np.ndarray
    output: np.ndarray
    registers: np.ndarray
    pcs: np.ndarray
    values: np.ndarray
    addresses: np.ndarray
    memory_size: int
    stack_size: int

    @cached_property
    def opcode_counts(self) -> np.ndarray:
        """How often each opcode was executed, int64 ``[256]``."""
        return np.bincount(self.program.opcodes[self.pcs], minlength=256)

    @property
    def steps(self) -> int:
        """Number of steps, the Halt included."""
        return len(self.pcs)


@dataclass(frozen=True)
class Start:
    """The checked arguments of an execution."""

    program: Program
    public_input: np.ndarray
    step_limit: int
    memory_limit: int
    stack_limit: int

    @property
    def initialised(self) -> int:
        """Cells before the first step: the data, room up to the input, the input."""
        size = len(self.public_input)
        return self.program.input_address + size if size else len(self.program.data)

    def memory(self) -> np.ndarray:
        """The initial memory, uint32 ``[memory_limit]``."""
        memory = np.zeros(self.memory_limit, np.uint32)
        memory[: len(self.program.data)] = self.program.data
        begin = self.program.input_address
        memory[begin : begin + len(self.public_input)] = self.public_input
        return memory


def start(
    program: Program,
    public_input: Sequence[int] | np.ndarray,
    *,
    step_limit: int,
    memory_limit: int,
    stack_limit: int,
) -> Start:
    """Check the arguments of an execution; ``ValueError`` says which one is wrong."""
    if not isinstance(program, Program):
        raise ValueError(f"program: expected a Program, got {type(program).__name__}")
    program.require_halt()
    limits = {"step_limit": step_limit, "memory_limit": memory_limit, "stack_limit": stack_limit}
    for name, limit in limits.items():
        if (
            isinstance(limit, bool)
            or not isinstance(limit, int)
            or not 1 <= limit <= _LARGEST[name]
        ):
            raise ValueError(f"{name}: expected 1..{_LARGEST[name]}, got {limit!r}")
    begun = Start(program, words_of("public input", public_input), **limits)
    if begun.initialised > memory_limit:
        raise ValueError(
            f"memory_limit: expected at least {begun.initialised} cells for data and public "
            f"input, got {memory_limit}"
        )
    return begun
