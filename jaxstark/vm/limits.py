"""Sizes of a VM proof: how many steps, cells and value rows there is room for.

Sizes are part of the statement: key and proof are made for them. They hold for every execution
that fits.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jaxstark.errors import ProofShapeError
from jaxstark.params import ProofParams
from jaxstark.proof_json import members, parse_json
from jaxstark.vm import isa
from jaxstark.vm.program import MAX_MEMORY, Program

if TYPE_CHECKING:
    from jaxstark.vm.execution import Execution

# Value components by the name of their size here: the instructions that they compute.
VALUE_OPS = {
    "log_relu": ("ReLU",),
    "log_less": ("Lt", "Gt"),
    "log_shift": ("Shr",),
    "log_bitwise": ("Xor", "And", "Or"),
}
LOG_TABLE = 8  # bytes, and pairs of nibbles
_MAX_LOG = 27
_BOUNDS = {
    "log_steps": (1, _MAX_LOG),
    "memory_size": (0, MAX_MEMORY),
    "stack_size": (0, 1 << 20),
    "input_size": (0, MAX_MEMORY),
    "min_log": (1, _MAX_LOG),
}


@dataclass(frozen=True)
class Limits:
    """Sizes of a VM proof; compared by value.

    Attributes:
      log_steps: log2 of the rows of the step component, the largest one.
      memory_size: cells of memory, addresses 0..memory_size - 1.
      stack_size: cells of the call stack.
      input_size: words of the public input.
      log_relu, log_less, log_shift, log_bitwise: log2 of the rows of the value components for
        ReLU; Lt and Gt; Shr; Xor, And and Or; of no meaning for a program without these.
      min_log: least log2 of the rows of any component (fold step + last-layer bound).

    Raises ``ValueError`` for a value out of range.
    """

    log_steps: int
    memory_size: int
    stack_size: int = 0
    input_size: int = 0
    log_relu: int = 0
    log_less: int = 0
    log_shift: int = 0
    log_bitwise: int = 0
    min_log: int = 4

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            low, high = _BOUNDS.get(name, (0, _MAX_LOG))
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"limits, {name}: expected an int in {low}..{high}, got {value!r}")

    @staticmethod
    def of(execution: Execution, params: ProofParams | str | None = None) -> Limits:
        """The smallest limits that fit an execution, and parameters or a preset if they are given.

        Without, components have at least 16 rows, which fits every preset.
        """
        if isinstance(params, str):
            params = ProofParams.preset(params, insecure=True)
        if not isinstance(params, ProofParams | None):
            got = type(params).__name__
            raise ValueError(f"params: expected ProofParams or the name of a preset, got {got}")
        program = execution.program
        min_log = max(4, params.fold_step + params.log_last_layer if params else 0)
        executed = execution.opcode_counts
        logs = {
            name: _log2(sum(executed[isa.BY_NAME[op].code] for op in VALUE_OPS[name]))
            for name in value_components(program)
        }
        cells = {
            "memory_size": execution.memory_size,
            "stack_size": execution.stack_size,
            "input_size": len(execution.public_input),
        }
        least = Limits(1, **cells, **logs, min_log=min_log)
        largest = max(least.log_sizes(program, check=False))
        return Limits(max(largest, _log2(execution.steps)), **cells, **logs, min_log=min_log)

    @property
    def cells(self) -> int:
        """Rows of the memory component that are in use: registers, stack, memory."""
        return isa.REGISTERS + self.stack_size + self.memory_size

    def log_sizes(self, program: Program, *, check: bool = True) -> tuple[int, ...]:
        """log2 of the rows of every component, in the order of the AIR.

        ``ValueError`` unless initial memory and input fit and the step component is the largest.
        """
        values = value_components(program)
        sizes = {
            "steps": self.log_steps,
            "program": max(_log2(len(program)), self.min_log),
            "memory": max(_log2(self.cells), self.min_log),
            **{name[4:]: max(getattr(self, name), self.min_log) for name in values},
            **dict.fromkeys(tables(values), LOG_TABLE),
        }
        if not check:
            return tuple(sizes.values())
        needed = len(program.data)
        if self.input_size:  # the input is behind the data
            needed = program.input_address + self.input_size
        if needed > self.memory_size:
            raise ValueError(
                f"limits, memory_size: expected at least {needed} cells for data and public input, "
                f"got {self.memory_size}"
            )
        name, largest = max(sizes.items(), key=lambda item: item[1])
        if largest > self.log_steps:
            raise ValueError(
                f"limits, log_steps: expected at least {largest}, the size of component {name} "
                f"(the steps must be the largest), got {self.log_steps}"
            )
        return tuple(sizes.values())

    def to_json(self) -> str:
        """JSON object of the attributes."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Limits:
        """The limits in a JSON text; ``ValueError`` for anything malformed."""
        names = tuple(f.name for f in fields(Limits))
        try:
            found = members(parse_json(text), names, "limits")
        except ProofShapeError as error:
            what = f"limits: {error.what}".removesuffix(": limits")
            raise ValueError(f"{what}: expected {error.expected}, got {error.got}") from None
        return Limits(**found)


@lru_cache(maxsize=16)
def value_components(program: Program) -> tuple[str, ...]:
    """The names in ``VALUE_OPS`` of which the program has an instruction."""
    there = np.bincount(program.opcodes, minlength=256)
    return tuple(
        name for name, ops in VALUE_OPS.items() if any(there[isa.BY_NAME[op].code] for op in ops)
    )


def tables(values: tuple[str, ...]) -> tuple[str, ...]:
    """The tables that value components look words up in."""
    byte = {"log_relu", "log_less", "log_shift"} & set(values)
    return ("bytes",) * bool(byte) + ("nibbles",) * ("log_bitwise" in values)


def _log2(count: int) -> int:
    """log2 of the next power of two."""
    return max(int(count) - 1, 0).bit_length()
