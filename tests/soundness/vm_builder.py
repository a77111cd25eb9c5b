"""A trace builder for Obelysk that lies where it is told to.

``build`` runs a program step by step in plain Python and writes the columns down as it goes,
independently of ``jaxstark.vm.witness``. A lie replaces one column of one step; everything behind
it follows honestly from the lie, and multiplicities are counted anew at the end, so that a forgery
breaks what its lie breaks and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air
from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.air import MEMORY, REGISTER, STACK, STEP_COLUMNS, air_of, cell_table, rom_table
from jaxstark.vm.circuit import FIELDS
from jaxstark.vm.interpreter import compiled
from jaxstark.vm.limits import Limits
from jaxstark.vm.program import Program
from jaxstark.vm.values import TABLES, VALUE_COMPONENTS
from tests.soundness.vm_forging import Columns, recounted, violations

Lies = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Built:
    """A trace and where its steps are.

    Attributes:
      rows: row of the first visit of every named place of the program.
      value_rows: component and row of every named step that uses a value component.
    """

    air: Air
    columns: Columns
    public: dict[str, list[int]]
    rows: dict[str, int]
    value_rows: dict[str, tuple[str, int]]

    def patched(self, component: str, column: str, row: Any, word: int, add: bool = False) -> Built:
        """A copy with one word changed, or with something added to it."""
        columns = {name: dict(table) for name, table in self.columns.items()}
        changed = columns[component][column].copy()
        changed[row] = (changed[row].astype(np.uint64) * add + word % P) % P
        columns[component][column] = changed
        return replace(self, columns=columns)

    def counted(self) -> Built:
        """A copy with the multiplicities that fit the columns."""
        return replace(self, columns=recounted(self.air, self.columns, self.public))

    @property
    def violations(self) -> set[tuple[str, str]]:
        """See ``violations``."""
        return violations(self.air, self.columns, self.public)


@dataclass
class Machine:
    """The state of a machine that may lie.

    Attributes:
      lies: by name of a place, column to word, or to a function of the step's columns so far. They
        hold at the place's first visit. Besides columns there are ``"go"``, the pc that the machine
        goes on with; ``"row"``, a function from the row of a value component to a forged one;
        ``"then"``, a function that changes the machine after the step.
      cells: by space and address, time and word of the last access.
    """

    program: Program
    limits: Limits
    lies: Lies
    places: Mapping[int, str]
    cells: dict[tuple[int, int], tuple[int, int]]
    pc: int = 0
    depth: int = 0
    out_index: int = 0
    output: list[int] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    value_rows: dict[str, tuple[str, int]] = field(default_factory=dict)
    values: dict[str, list[dict[str, int]]] = field(default_factory=dict)

    def read(self, space: int, address: int) -> tuple[int, int]:
        """Time and word of a cell; one that was never initialised reads as 0 at time 0."""
        return self.cells.get((space, address), (0, 0))

    def step(self, clk: int, rom: Sequence[Mapping[str, int]]) -> dict[str, int]:
        """The columns of the step at ``clk``, after which the machine has moved on."""
        place = self.places.get(self.pc, "")
        lies: dict[str, Any] = dict(self.lies.get(place, {}))
        if place in self.rows and not lies.get("always"):
            lies = {}
        self.rows.setdefault(place, clk)
        c = {"clk": clk}

        def put(name: str, word: int) -> int:
            lie = lies.get(name, word)
            c[name] = (lie if isinstance(lie, int) else int(lie(c))) % P
            return c[name]

        for name in FIELDS:
            put(name, rom[self.pc][name])
        put("depth", self.depth)
        put("out_index", self.out_index)
        self._operands(c, put)
        put(
            "r",
            c["r_ab"] * c["a"] * c["b"]
            + c["r_a"] * c["a"]
            + c["r_b"] * c["b"]
            + c["r_d"] * c["d"]
            + c["stack"] * c["depth"]
            + c["r_1"],
        )
        nonzero = c["r"] * put("inverse", pow(c["r"], P - 2, P)) % P
        space = STACK if c["stack"] else MEMORY
        found = self.read(space, c["r"]) if c["mem"] else (0, 0)
        put("time_x", found[0])
        put("x", self._value(c, place, lies) if c["co"] else found[1])
        put(
            "value",
            c["v_r"] * c["r"]
            + c["v_x"] * c["x"]
            + c["v_b"] * c["b"]
            + c["v_q"] * c["a"] * c["inverse"]
            + c["v_z"] * nonzero
            + c["v_1"],
        )
        put("next_pc", c["seq"] + c["delta"] * nonzero + c["stack"] * c["v_x"] * c["value"])
        put("age_uses", 0)
        self._write(c, clk, space)
        self.pc = lies.get("go", c["next_pc"])
        if "then" in lies:
            lies["then"](self)
        return c

    def _operands(self, c: dict[str, int], put: Callable[[str, int], int]) -> None:
        time, word = self.read(REGISTER, c["src1"]) if c["use1"] else (0, 0)
        put("time_a", time)
        put("a", word)
        time, word = self.read(REGISTER, c["src2"]) if c["use2"] else (0, 0)
        put("time_b", time)
        put("b", c["a"] if c["same"] else word)
        time, word = self.read(REGISTER, c["dst"]) if c["access_d"] else (0, 0)
        put("time_d", time)
        over = c["a"] if c["use1"] != c["keep1"] else c["b"]
        put("d", over if (c["use1"], c["use2"]) != (c["keep1"], c["keep2"]) else word)

    def _write(self, c: dict[str, int], clk: int, space: int) -> None:
        cells = self.cells
        for keep, register, word in (
            ("keep1", "src1", "a"),
            ("keep2", "src2", "b"),
            ("write", "dst", "value"),
        ):
            if c[keep]:
                cells[REGISTER, c[register]] = (clk + 1, c[word])
        if c["mem"]:
            cells[space, c["r"]] = (clk + 1, c["value"])
        if c["out"]:
            self.output.append(c["value"])
        self.out_index = (c["out_index"] + c["out"]) % P
        self.depth = (c["depth"] + c["stack"] * (1 - 2 * c["v_x"])) % P

    def _value(self, c: dict[str, int], place: str, lies: Mapping[str, Any]) -> int:
        """The result of a value component, whose row is added."""
        key = next(k for k, (_, _, uses) in VALUE_COMPONENTS.items() if c["op"] in uses.values())
        name = VALUE_COMPONENTS[key][0].name
        row = dict(value_row(key, c["a"], c["r"]))
        honest = honest_result(c["op"], c["a"], c["r"])
        rows = self.values.setdefault(name, [])
        self.value_rows.setdefault(place, (name, len(rows)))
        if "row" not in lies:
            rows.append(row)
            return honest
        rows.append(lies["row"](row))
        return row_result(name, c["op"], rows[-1])


def honest_result(op: int, a: int, r: int) -> int:
    """The word of a value instruction, by the instruction table."""
    return compiled(isa.BY_CODE[op].value)(a, r, 0, r.bit_length() - 1, 0, 0, 0, 0, (), ())


@lru_cache(maxsize=4096)
def value_row(key: str, a: int, r: int) -> tuple[tuple[str, int], ...]:
    """The honest row of a value component."""
    fill = VALUE_COMPONENTS[key][1]
    columns = fill(*(np.array([word], np.uint32) for word in (a, r)))
    return tuple((name, int(column[0])) for name, column in columns.items())


def row_result(component: str, op: int, row: Mapping[str, int]) -> int:
    """The result that a row of a value component speaks for."""
    if component == "shift":
        low, high = (row[f"{part}0"] + 256 * row[f"{part}1"] for part in ("low", "high"))
        return (low + (high << 15) - (row["cofactor"] << 14)) % P
    if component == "bitwise":
        meet = sum(row[f"and{i}"] << 4 * i for i in range(8))
        join = row["a"] + row["b"]
        return {"Xor": join - 2 * meet, "And": meet, "Or": join - meet}[isa.BY_CODE[op].name] % P
    return row["x"]


def build(
    program: Program,
    limits: Limits,
    public_input: Sequence[int],
    lies: Lies | None = None,
    *,
    places: Mapping[str, int] | None = None,
    output: Sequence[int] | None = None,
    state: Mapping[str, Any] | None = None,
) -> Built:
    """The trace of a run with lies, which ``Machine`` explains.

    ``places`` are names with their pc. ``output`` is what is claimed, if not what the run gives
    out; ``state`` where the machine starts (``pc``, ``depth``, ``out_index``), if not at 0.
    """
    air = air_of(program, limits)
    logs = limits.log_sizes(program)
    names: tuple[str, ...] = (*FIELDS, "live")
    rom: Any = [
        dict(zip(names, row, strict=True)) for row in rom_table(program, logs[1]).T.tolist()
    ]
    table = cell_table(program, limits, logs[2]).T.tolist()
    cells = {(space, address): (0, word) for space, address, word, _, live in table if live}
    for i, word in enumerate(public_input):
        cells[MEMORY, program.input_address + i] = (0, word % P)
    named = {pc: name for name, pc in (places or {}).items()}
    machine = Machine(program, limits, lies or {}, named, cells, **(state or {}))
    steps = [machine.step(clk, rom) for clk in range(1 << limits.log_steps)]
    columns: Columns = {
        "steps": _table(STEP_COLUMNS, steps),
        "program": {"uses": np.zeros(1 << logs[1], np.uint32)},
        "memory": {"time": np.zeros(1 << logs[2], np.uint32)},
    }
    columns["memory"]["word"] = columns["memory"]["time"].copy()
    for row, (space, address, _, _, live) in enumerate(table):
        if live:
            time, word = cells[space, address]
            columns["memory"]["time"][row], columns["memory"]["word"][row] = time, word
    sizes = {comp.name: 1 << log for comp, log in zip(air.components, logs, strict=True)}
    for key, (comp, _, uses) in VALUE_COMPONENTS.items():
        if comp.name in sizes:
            rows = machine.values.get(comp.name, [])
            rows += [dict(value_row(key, 0, 0))] * (sizes[comp.name] - len(rows))
            rows = [dict.fromkeys(uses, 0) | row for row in rows]
            columns[comp.name] = _table(comp.columns, rows)
    for name in TABLES:
        if name in sizes:
            columns[name] = {"uses": np.zeros(sizes[name], np.uint32)}
    given = machine.output if output is None else [word % P for word in output]
    public = {"input": [word % P for word in public_input], "output": given}
    built = Built(air, columns, public, machine.rows, machine.value_rows)
    return built.counted()


def _table(names: Sequence[str], rows: Sequence[Mapping[str, int]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows], np.uint32) for name in names}
