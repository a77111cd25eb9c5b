"""T17: forged traces that ``legacy26`` accepts, each with the same lie told to the sound AIR.

Both sides start from one honest run. A pair names row and rule by which the sound AIR rejects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.debugger import find_violation
from jaxstark.air.legacy26 import COLUMNS
from jaxstark.fields import m31
from jaxstark.vm import assemble, interpreter
from jaxstark.vm.legacy_trace import legacy26_trace
from jaxstark.vm.limits import Limits
from jaxstark.vm.program import Program
from tests.soundness.vm_builder import Built, Lies, build

Table = dict[str, np.ndarray]

PLACES = {"five": 0, "seven": 1, "add": 2, "sub": 3, "mul": 4, "store": 5, "load": 6, "out": 7}
TEXT = """
    loadimm r1, 5
    loadimm r2, 7
    add     r3, r1, r2
    sub     r4, r3, r1
    mul     r5, r3, r4
    store   r5, [0]
    load    r6, [0]
    out     r6
    halt
"""
LIMITS = Limits(log_steps=6, memory_size=8)
CELL, INSTRUCTION, OUTPUT = "cell", "instruction", "output"


@lru_cache(maxsize=1)
def program() -> Program:
    """The program of all pairs: straight-line, since a taken jump has no legacy trace."""
    return assemble(TEXT)


def honest_legacy() -> Table:
    """The legacy trace of the honest run, 64 rows."""
    return dict(legacy26_trace(interpreter.run(program()))["steps"])


def honest_sound() -> Built:
    """The trace of the same run for the sound AIR."""
    return sound()


def sound(lies: Lies | None = None, **options: Any) -> Built:
    """A run of the sound AIR with lies."""
    return build(program(), LIMITS, (), lies, places=PLACES, **options)


@dataclass(frozen=True)
class Pair:
    """A lie, told to both AIRs.

    Attributes:
      name: what the forged trace claims.
      legacy: makes the forged legacy trace of the honest one.
      make: builds the forged trace of the sound AIR.
      component, rule: what the sound AIR must name; a relation's name for a rule about lookups.
      row: the row that it must name; None where the claim is false and no row of the trace is.
    """

    name: str
    legacy: Callable[[Table], Table]
    make: Callable[[], Built]
    component: str
    rule: str
    row: int | None


def finding(built: Built) -> tuple[str, int | None, str, str]:
    """Component, row and rule by which the sound AIR rejects, and the sentence that says so."""
    found = find_violation(built.air, built.columns, built.public)
    if found is None:
        return "", None, "", "accepted"
    return found.component, found.row, found.rule, found.message


def words(row: int, **changed: int) -> Callable[[Table], Table]:
    """Some words of one row of the legacy trace."""

    def change(table: Table) -> Table:
        out = {name: column.copy() for name, column in table.items()}
        for name, word in changed.items():
            out[name][row] = word % m31.P
        return out

    return change


def _all_zero(table: Table) -> Table:
    return dict.fromkeys(COLUMNS, np.zeros(64, np.uint32))


def _all_zero_sound() -> Built:
    built = sound(output=[])
    zero = {
        name: {column: np.zeros_like(words) for column, words in table.items()}
        for name, table in built.columns.items()
    }
    return Built(built.air, zero, built.public, {}, {})


def _other_start(table: Table) -> Table:
    moved = {name: m31.add(table[name], np.uint32(1000)) for name in ("pc_curr", "pc_next")}
    return table | moved


def _stops_early(table: Table) -> Table:
    return {name: np.where(np.arange(64) < 4, column, 0) for name, column in table.items()}


_HALTED = dict.fromkeys("use1 keep1 use2 keep2 write access_d r_ab v_r src1 src2 dst".split(), 0)

PAIRS: tuple[Pair, ...] = (
    Pair("all cells are zero", _all_zero, _all_zero_sound, "steps", "end: halt", 63),
    Pair(
        "a step moves on by nine instructions: `one` is free",
        words(7, one=9, pc_next=7 + 9),
        lambda: sound({"out": {"next_pc": 7 + 9, "go": 8}}),
        "steps",
        "formula: next pc",
        7,
    ),
    Pair(
        "the steps of a chain are those of another place",
        words(4, pc_curr=1000, pc_next=1001),
        lambda: sound({"sub": {"go": 5}}),
        "steps",
        "chain: pc",
        4,
    ),
    Pair(
        "the first step is not the first instruction",
        _other_start,
        lambda: sound(state={"pc": 2}),
        "steps",
        "start: pc",
        0,
    ),
    Pair(
        "the run ends in the middle",
        _stops_early,
        lambda: sound({"mul": {"op": 255, "seq": 4, "always": True, **_HALTED}}, output=[]),
        "steps",
        INSTRUCTION,
        4,
    ),
    Pair(
        "a sum is 123456: no selector is on",
        words(2, is_add=0, result=123456, reg0_next=123456),
        lambda: sound({"add": {"value": 123456}}),
        "steps",
        "formula: value",
        2,
    ),
    Pair(
        "one step is an addition and a subtraction",
        words(2, is_sub=1, src2_val=0, product=0, result=5, reg0_next=5),
        lambda: sound({"add": {"r_b": 0}}),
        "steps",
        INSTRUCTION,
        2,
    ),
    Pair(
        "a multiplication adds: selectors and opcode are not tied",
        words(4, is_mul=0, is_add=1, result=12 + 7, reg0_next=12 + 7),
        lambda: sound({"mul": {"r_ab": 0, "r_a": 1, "r_b": 1}}),
        "steps",
        INSTRUCTION,
        4,
    ),
    Pair(
        "the opcode is that of a Halt",
        words(2, opcode=255),
        lambda: sound({"add": {"op": 255}}),
        "steps",
        INSTRUCTION,
        2,
    ),
    Pair(
        "a sum goes to another register",
        words(2, dst_idx=9, dst_b0=1, dst_b1=0, dst_b2=0, dst_b3=1, dst_b4=0),
        lambda: sound({"add": {"dst": 9}}),
        "steps",
        INSTRUCTION,
        2,
    ),
    Pair(
        "the next step starts with other registers",
        words(3, reg0_curr=77, reg1_curr=78),
        lambda: sound({"sub": {"b": 6}}),
        "steps",
        CELL,
        2,
    ),
    Pair(
        "a source is not the word of its register",
        words(3, src1_val=13, product=13 * 5, result=8, reg0_next=8),
        lambda: sound({"sub": {"a": 13}}),
        "steps",
        CELL,
        3,
    ),
    Pair(
        "a step without destination changes a register: reg0_next is compared with its copy",
        words(7, result=99, reg0_next=99),
        lambda: sound({"out": {"write": 1, "access_d": 1}}),
        "steps",
        INSTRUCTION,
        7,
    ),
    Pair(
        "a load finds what nobody stored",
        words(6, mem_val=99, result=99, reg0_next=99),
        lambda: sound({"load": {"x": 99}}),
        "steps",
        CELL,
        6,
    ),
    Pair(
        "a store goes to another address",
        words(5, mem_addr=5),
        lambda: sound({"store": {"r": 5}}),
        "steps",
        "formula: r",
        5,
    ),
    Pair(
        "another word is given out: there is no output",
        words(7, src1_val=85),
        lambda: sound(output=[85]),
        "steps",
        OUTPUT,
        7,
    ),
)
