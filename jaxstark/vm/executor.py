"""The compiled executor: one numba kernel, written from the instruction table.

The kernel is a loop around one branch per instruction; LLVM turns the branches into a jump table.
Its source is generated, so that an instruction is described once. numba keeps compiled code on
disk: the kernel's name carries a digest of its source, so that a changed table is never run with
old code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from jaxstark.fields import m31
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
from jaxstark.vm.isa import (
    CALL,
    FAULTS,
    HALF,
    HALT,
    OUTPUT,
    REGISTER,
    REGISTERS,
    RETURN,
    STORE,
    Opcode,
)
from jaxstark.vm.program import Program

_KNOWN = 1 << 16  # inverses of the words below are a table, which fits a core's cache

# The fault number -1 means that the program halted; others index isa.FAULTS.
_KERNEL = """
def inverse(x):
    # Euclid's algorithm, until the remainder is one of known inverse: r = u x, s = v x mod p.
    r, s, u, v = uint32(P), uint32(x), 0, 1
    while s >= {known}:
        q = r // s
        r, s, u, v = s, r - q * s, v, u - int64(q) * v
    return v * int64(INVERSES[s]) % P


def {name}(words, memory, stack, registers, pcs, values, addresses, output, sizes):
    pc, step, depth, outputs = 0, 0, 0, 0
    memory_size, stack_size = sizes[0], sizes[1]
    fault = 0
    while True:
        fault = {pc_outside}
        if pc >= words.shape[0]:
            break
        fault = {step_limit}
        if step >= pcs.shape[0]:
            break
        head, imm = int64(words[pc, 0]), int64(words[pc, 1])
        opcode = head & 255
        dst = (head >> 8) & 31
        a, b = registers[(head >> 16) & 31], registers[(head >> 24) & 31]
        d = registers[dst]
        value, address, next_pc = int64(0), int64(0), pc + 1
        fault = {halted}
{branches}
        else:
            fault = {unknown}
            break
        pcs[step] = pc
        values[step] = value
        addresses[step] = address
        step += 1
        if opcode == {halt}:
            break
        pc = next_pc
    sizes[0], sizes[1] = memory_size, stack_size
    return fault, pc, step, outputs
"""


def _branch(row: Opcode) -> list[str]:
    """Source of the branch of one instruction."""
    lines = []
    if row.fault:
        number = FAULTS.index(row.fault[1])
        lines += [f"if {row.fault[0]}:", f"    fault = {number}", "    break"]
    if row.address is not None:
        on_stack = row.effect in (CALL, RETURN)
        space = "stack" if on_stack else "memory"
        number = FAULTS.index(isa.STACK_LIMIT if on_stack else isa.MEMORY_LIMIT)
        lines += [
            f"address = int64({row.address})",
            f"if address >= {space}.shape[0]:",
            f"    fault = {number}",
            "    break",
            f"{space}_size = max({space}_size, address + 1)",
        ]
    lines.append(f"value = int64({row.value})")
    if row.next_pc != "pc + 1":
        lines.append(f"next_pc = int64({row.next_pc})")
    lines += {
        REGISTER: ["registers[dst] = value"],
        STORE: ["memory[address] = value"],
        CALL: ["stack[address] = value", "depth += 1"],
        RETURN: ["depth -= 1"],
        OUTPUT: ["output[outputs] = value", "address = int64(outputs)", "outputs += 1"],
    }.get(row.effect, [])
    return lines


def kernel_source() -> tuple[str, str]:
    """Name and source of the kernel."""
    halts = [row.code for row in isa.INSTRUCTIONS if row.effect == HALT]
    branches = []
    for number, row in enumerate(isa.INSTRUCTIONS):
        branches.append(f"        {'elif' if number else 'if'} opcode == {row.code}:  # {row.name}")
        branches += [f"            {line}" for line in _branch(row)]
    source = _KERNEL.format(
        name="{name}",
        pc_outside=FAULTS.index(isa.PC_OUTSIDE),
        step_limit=FAULTS.index(isa.STEP_LIMIT),
        unknown=FAULTS.index(isa.UNKNOWN_OPCODE),
        halted=-1,
        halt=halts[0],
        known=_KNOWN,
        branches="\n".join(branches),
    )
    name = f"run_{hashlib.blake2s(source.encode(), digest_size=8).hexdigest()}"
    return name, source.replace("{name}", name)


def require_numba() -> None:
    """``ImportError`` with the command to run if numba is not installed."""
    try:
        import numba  # noqa: F401
    except ImportError:
        raise ImportError(
            "executing programs needs numba, which is not installed: run "
            "pip install 'jaxstark[vm]' (jaxstark.vm.interpreter.run is a slow reference in "
            "plain Python)"
        ) from None


@cache
def _kernel() -> Callable[..., Any]:
    import numba

    name, source = kernel_source()
    names: dict[str, Any] = {"P": P, "HALF": HALF, "int64": np.int64, "uint32": np.uint32}
    names |= {"INVERSES": m31.inv(np.arange(_KNOWN, dtype=np.uint32)), "__name__": __name__}
    # Under this file's name numba finds a folder to keep the machine code in.
    exec(compile(source, __file__, "exec"), names)
    names["inverse"] = numba.njit(names["inverse"])
    return numba.njit(cache=True)(names[name])


def execute(
    program: Program,
    public_input: Sequence[int] | np.ndarray = (),
    *,
    step_limit: int = STEP_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
    stack_limit: int = STACK_LIMIT,
) -> Execution:
    """Execute a program until it halts.

    Args:
      program: the program.
      public_input: integers in -(p-1)/2..p-1, put into memory from its input address on.
      step_limit: how many steps it may make, the Halt included.
      memory_limit: how many memory cells there are.
      stack_limit: how many calls may be open.

    Raises ``ExecutionError`` if the program faults, ``ValueError`` for arguments that start no
    execution, ``ImportError`` without numba. The first call compiles (some seconds, once per
    installation; later processes load the code from disk).
    """
    require_numba()
    limits = {"step_limit": step_limit, "memory_limit": memory_limit, "stack_limit": stack_limit}
    begun = start(program, public_input, **limits)
    # The pages of these arrays come into being when they are written.
    pcs, values, addresses, output = (np.empty(step_limit, np.uint32) for _ in range(4))
    registers = np.zeros(REGISTERS, np.int64)
    sizes = np.array([begun.initialised, 0], np.int64)
    fault, pc, steps, outputs = _kernel()(
        program.words,
        begun.memory(),
        np.zeros(stack_limit, np.uint32),
        *(registers, pcs, values, addresses, output, sizes),
    )
    if fault >= 0:
        instruction = program[pc] if pc < len(program) else None
        raise ExecutionError(int(pc), instruction, FAULTS[fault], int(steps))
    return Execution(
        program,
        begun.public_input,
        output[:outputs].copy(),
        registers.astype(np.uint32),
        *(witness[:steps] for witness in (pcs, values, addresses)),
        memory_size=int(sizes[0]),
        stack_size=int(sizes[1]),
    )
