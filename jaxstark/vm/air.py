"""The sound AIR of the machine: what a proof of an execution has to satisfy.

Components: ``steps``, one row a step; ``program``, the ROM of decoded instructions; ``memory``,
where every register and cell is initialised once and closed once; the value components and tables
of ``jaxstark.vm.values`` that the program needs. docs/obelysk.md says what each family of
constraints enforces and which forgery it stops.

The AIR id is ``obelysk/<value components>/<input address>/<program hash>``: the constraints depend
on the first number only (one bit for each of ``limits.VALUE_OPS``), so that all programs with the
same value components share one ``template`` and compiled code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component, Relation, first_row, last_row, row_index
from jaxstark.vm import isa
from jaxstark.vm.circuit import FIELDS, rom_columns
from jaxstark.vm.limits import VALUE_OPS, Limits, tables, value_components
from jaxstark.vm.program import MAX_MEMORY, Program
from jaxstark.vm.values import CO, TABLES, VALUE_COMPONENTS

NAME = "obelysk"
INSTRUCTION = Relation("instruction", len(FIELDS))
CELL = Relation("cell", 4)  # space, address, time of the last access, word
AGE = Relation("age", 1)  # 0 .. rows of the step component - 1
OUTPUT = Relation("output", 2)  # index, word

# Spaces of the memory argument.
REGISTER, MEMORY, STACK = 0, 1, 2

_HALT = isa.BY_NAME["Halt"].code

STEP_COLUMNS = (
    *FIELDS,
    *"next_pc a b d r x value inverse".split(),
    *"time_a time_b time_d time_x depth out_index age_uses".split(),
)


def _steps(row: Any, air: Any) -> None:
    """One step of the machine, at time clk + 1; time 0 is the initial state."""
    first, clk, prev = row.step_first, row.step_clk, row.prev
    nonzero = row.r * row.inverse

    # Control: starts at pc 0, goes where each step says, ends in a Halt, which repeats itself.
    air.constrain(first * row.pc, "start: pc")
    air.constrain((1 - first) * (row.pc - prev.next_pc), "chain: pc")
    air.constrain(row.step_last * (row.op - _HALT), "end: halt")
    air.constrain(first * row.depth, "start: depth")
    air.constrain(
        (1 - first) * (row.depth - prev.depth - prev.stack + prev.stack * prev.v_x * 2),
        "chain: depth",
    )
    air.constrain(first * row.out_index, "start: output")
    air.constrain((1 - first) * (row.out_index - prev.out_index - prev.out), "chain: output")

    # The step formula of jaxstark.vm.circuit.
    air.constrain(
        row.r
        - row.r_ab * row.a * row.b
        - row.r_a * row.a
        - row.r_b * row.b
        - row.r_d * row.d
        - row.stack * row.depth
        - row.r_1,
        "formula: r",
    )
    air.constrain(row.r * (1 - nonzero), "inverse: of r")
    air.constrain(row.inverse * (1 - nonzero), "inverse: 0 for 0")
    air.constrain(row.v_q * (1 - nonzero), "inverse: divisor")
    air.constrain(
        row.value
        - row.v_r * row.r
        - row.v_x * row.x
        - row.v_b * row.b
        - row.v_q * row.a * row.inverse
        - row.v_z * nonzero
        - row.v_1,
        "formula: value",
    )
    air.constrain(
        row.next_pc - row.seq - row.delta * nonzero - row.stack * row.v_x * row.value,
        "formula: next pc",
    )

    # Operands that share an access are equal, what no access gives is 0.
    over_a, over_b = row.use1 - row.keep1, row.use2 - row.keep2
    air.constrain((1 - row.use1) * row.a, "operands: unused a")
    air.constrain((1 - row.use2 - row.same) * row.b, "operands: unused b")
    air.constrain(row.same * (row.b - row.a), "operands: same source")
    air.constrain((1 - row.access_d - over_a - over_b) * row.d, "operands: unused d")
    air.constrain(over_a * (row.d - row.a), "operands: d is a")
    air.constrain(over_b * (row.d - row.b), "operands: d is b")
    air.constrain((1 - row.mem - row.co) * row.x, "operands: unused x")
    air.constrain((1 - row.use1) * row.time_a, "times: unused a")
    air.constrain((1 - row.use2) * row.time_b, "times: unused b")
    air.constrain((1 - row.access_d) * row.time_d, "times: unused d")
    air.constrain((1 - row.mem) * row.time_x, "times: unused x")

    # The instruction at pc.
    air.lookup(INSTRUCTION, [row[name] for name in FIELDS])
    air.lookup(CO, [row.op, row.a, row.r, row.x], row.co)

    # Memory argument: an access takes the cell as its last access left it and leaves it anew. Its
    # age, the time since then less 1, is not negative. The accesses of one step are to distinct
    # cells, so that they need no order among themselves.
    air.lookup(CELL, [REGISTER, row.src1, row.time_a, row.a], row.use1)
    air.provide(CELL, [REGISTER, row.src1, clk + 1, row.a], row.keep1)
    air.lookup(CELL, [REGISTER, row.src2, row.time_b, row.b], row.use2)
    air.provide(CELL, [REGISTER, row.src2, clk + 1, row.b], row.keep2)
    air.lookup(CELL, [REGISTER, row.dst, row.time_d, row.d], row.access_d)
    air.provide(CELL, [REGISTER, row.dst, clk + 1, row.value], row.write)
    space = row.stack * (STACK - MEMORY) + MEMORY
    air.lookup(CELL, [space, row.r, row.time_x, row.x], row.mem)
    air.provide(CELL, [space, row.r, clk + 1, row.value], row.mem)
    air.lookup(AGE, [clk - row.time_a], row.use1)
    air.lookup(AGE, [clk - row.time_b], row.use2)
    air.lookup(AGE, [clk - row.time_d], row.access_d)
    air.lookup(AGE, [clk - row.time_x], row.mem)
    air.provide(AGE, [clk], row.age_uses)

    air.lookup(OUTPUT, [row.out_index, row.value], row.out)


def _program(row: Any, air: Any) -> None:
    air.constrain((1 - row.rom_live) * row.uses, "program: padding is never executed")
    air.provide(INSTRUCTION, [row[f"rom_{name}"] for name in FIELDS], row.uses)


def _memory(row: Any, air: Any) -> None:
    # Cells of the public input are initialised by the verifier's terms and by nobody else.
    cell = [row.cell_space, row.cell_address]
    air.constrain((1 - row.cell_live) * row.time, "memory: unused time")
    air.constrain((1 - row.cell_live) * row.word, "memory: unused word")
    air.provide(CELL, [*cell, 0, row.cell_word], row.cell_init)
    air.lookup(CELL, [*cell, row.time, row.word], row.cell_live)


_ROM = (*(f"rom_{name}" for name in FIELDS), "rom_live")
_CELLS = ("cell_space", "cell_address", "cell_word", "cell_init", "cell_live")


def rom_table(program: Program, log_size: int) -> np.ndarray:
    """Preprocessed columns of ``program``, uint32 ``[len(FIELDS) + 1, 2^log_size]``.

    The last column marks instructions; padding rows have counters of their own.
    """
    out = np.zeros((len(_ROM), 1 << log_size), np.uint32)
    out[0] = np.arange(1 << log_size)
    out[:-1, : len(program)] = rom_columns(program)
    out[-1, : len(program)] = 1
    return out


def cell_table(program: Program, limits: Limits, log_size: int) -> np.ndarray:
    """Preprocessed columns of ``memory``, uint32 ``[5, 2^log_size]``.

    Rows: registers, call stack, memory, padding. Columns: space, address, initial word, whether
    the row initialises its cell, whether there is a cell.
    """
    counts = (isa.REGISTERS, limits.stack_size, limits.memory_size)
    out = np.zeros((len(_CELLS), 1 << log_size), np.uint32)
    out[0, : limits.cells] = np.repeat([REGISTER, STACK, MEMORY], counts)
    out[1, : limits.cells] = np.concatenate([np.arange(n) for n in counts])
    begin = limits.cells - limits.memory_size
    out[2, begin : begin + len(program.data)] = program.data
    out[3:, : limits.cells] = 1
    begin += program.input_address
    out[3, begin : begin + limits.input_size] = 0
    return out


def features(program: Program) -> int:
    """The number in the AIR id that says which value components there are."""
    present = value_components(program)
    return sum((name in present) << bit for bit, name in enumerate(VALUE_OPS))


@lru_cache(maxsize=16)
def template(number: int) -> Air:
    """The AIR of all programs with these value components, without ROM and initial memory."""
    return _air(f"{NAME}/{number}", number, None, None, None)


def without_program(number: int, input_address: int, digest: str) -> Air:
    """The AIR of an id, for verifying with a key: it has no ROM and no initial memory.

    ``ValueError`` for numbers out of range and for a digest that is not 64 hex digits.
    """
    if not 0 <= number < 1 << len(VALUE_OPS) or not 0 <= input_address <= MAX_MEMORY:
        raise ValueError(
            f"AIR id {NAME}: expected value components below {1 << len(VALUE_OPS)} and an input "
            f"address up to {MAX_MEMORY}, got {number} and {input_address}"
        )
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"AIR id {NAME}: expected a hash of 64 hex digits, got {digest!r}")
    return _air(_id(number, input_address, digest), number, input_address, None, None)


def air_of(program: Program, limits: Limits) -> Air:
    """The AIR of a program within limits; ``ValueError`` if it cannot be proved or does not fit."""
    for what, given, kind in (("program", program, Program), ("limits", limits, Limits)):
        if not isinstance(given, kind):
            raise ValueError(f"{what}: expected a {kind.__name__}, got {type(given).__name__}")
    return _air_of(program, limits)


@lru_cache(maxsize=8)
def _air_of(program: Program, limits: Limits) -> Air:
    limits.log_sizes(program.check())
    number = features(program)
    title = _id(number, program.input_address, program.hash.hex())
    return _air(title, number, program.input_address, program, limits)


def _id(number: int, input_address: int, digest: str) -> str:
    return f"{NAME}/{number}/{input_address}/{digest}"


def _air(
    title: str,
    number: int,
    input_address: int | None,
    program: Program | None,
    limits: Limits | None,
) -> Air:
    def columns(names: tuple[str, ...], table: Any, *rest: Any) -> tuple[tuple[str, Any], ...]:
        return tuple((name, _Column(table, (program, *rest), i)) for i, name in enumerate(names))

    fixed = (("step_first", first_row), ("step_last", last_row), ("step_clk", row_index))
    values = tuple(name for bit, name in enumerate(VALUE_OPS) if number >> bit & 1)
    used = tables(values)
    components = (
        Component("steps", STEP_COLUMNS, _steps, fixed),
        Component("program", ("uses",), _program, columns(_ROM, rom_table)),
        Component("memory", ("time", "word"), _memory, columns(_CELLS, cell_table, limits)),
        *(VALUE_COMPONENTS[name][0] for name in values),
        *(TABLES[name][0] for name in used),
    )
    relations = (INSTRUCTION, CO, CELL, AGE, OUTPUT, *(TABLES[name][1] for name in used))
    return Air(
        title,
        components,
        relations,
        (("input", None), ("output", None)),
        _PublicTerms(input_address),
        None if input_address is None else template(number),
    )


@dataclass(frozen=True)
class _PublicTerms:
    """The verifier initialises the input cells and takes every word of the output once."""

    input_address: int | None

    def __call__(self, air: Any) -> None:
        given, made = air.public_values.input, air.public_values.output
        first = self.input_address or 0
        air.public_each(CELL, [MEMORY, range(first, first + len(given)), 0, given], -1)
        air.public_each(OUTPUT, [range(len(made)), made], -1)


@dataclass(frozen=True)
class _Column:
    """One column of a table of a program; compared by value, as the AIR is."""

    table: Any
    arguments: tuple[Any, ...]
    index: int

    def __call__(self, log_size: int) -> np.ndarray:
        if self.arguments[0] is None:
            raise ValueError(
                "preprocessed columns: expected the AIR of a program (vm.air_of, vm.setup), got "
                "one that was made from its id"
            )
        return made(self.table, self.arguments, log_size)[self.index]


@lru_cache(maxsize=2)
def made(table: Any, arguments: tuple[Any, ...], log_size: int) -> np.ndarray:
    """``rom_table`` or ``cell_table`` of arguments, kept: key and trace read the same one."""
    return table(*arguments, log_size)
