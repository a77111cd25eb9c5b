"""Forgeries of the memory argument and of the public output of the Obelysk AIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxstark.vm.air import MEMORY, REGISTER
from tests.soundness.vm_builder import Built, Machine
from tests.soundness.vm_forging import PUBLIC
from tests.soundness.vm_program import (
    INPUT,
    LIMITS,
    honest,
    inputs,
    lie,
    places,
    program,
    relation,
    rule,
    run,
)

# --- Memory argument --------------------------------------------------------------------------


def stale_read() -> Built:
    """A cell is read as it was before a write: its initial word is taken twice."""
    return run({"reload": {"time_x": 0, "x": 2}})


def future_read(column: str, early: str, late: str, space: int, address: int, word: int) -> Any:
    """The step ``early`` finds what the step ``late`` writes, and ``late`` what ``early`` should.

    All accesses of the cell are chained, but the first two in the wrong order.
    """

    def make() -> Built:
        rows, steps = honest().rows, honest().columns["steps"]
        before = tuple(int(steps[name][rows[early]]) for name in (f"time_{column}", column))
        left = int(steps["value"][rows[early]]) if column == "d" else word

        def put(time: int, word: int) -> Callable[[Machine], None]:
            return lambda machine: machine.cells.__setitem__((space, address), (time, word))

        return run(
            {
                early: {
                    column: word,
                    f"time_{column}": rows[late] + 1,
                    "then": put(*before),
                },
                late: {"then": put(rows[early] + 1, left)},
            }
        )

    return make


def own_past() -> Built:
    """A store to a cell that does not exist; what it finds there is what it leaves."""
    found = {"time_x": lambda c: c["clk"] + 1, "x": lambda c: c["b"]}
    return run({"store": found}, inputs(PLACE=10**6))


MEMORY_ARGUMENT = (
    relation("a register is not 0 at the start", "cell", ("steps", 2), lie(first={"a": 1})),
    relation("r0 is not 0 at the start", "cell", ("steps", 4), lie(clear={"b": 9})),
    relation("memory is not 0 at the start", "cell", ("steps", 8), lie(early_x={"x": 9})),
    relation("other data than the program's", "cell", ("memory", 0), lie(indexed={"x": 77})),
    relation("a word of the input is another one", "cell", ("steps", 8), lie(divisor={"x": 1})),
    relation("src1 is read, and is another word", "cell", ("steps", 3), lie(mac_same={"a": 6})),
    relation("src2 is read, and is another word", "cell", ("steps", 5), lie(indexed={"b": 1})),
    relation("dst is added to, and is another word", "cell", ("steps", 6), lie(mac={"d": 7})),
    relation(
        "a register is not what was written",
        "cell",
        ("steps", 7),
        lie(same={"a": lambda c: 1000}),
    ),
    relation("a cell is not what was stored", "cell", ("steps", 9), lie(reload={"x": 77})),
    relation(
        "the same address is initialised twice: a stale read", "cell", ("memory", 0), stale_read
    ),
    relation(
        "the final word of a cell is another one",
        "cell",
        ("memory", 1),
        lambda: honest().patched("memory", "word", 3, 5),
    ),
    relation(
        "the final time of a cell is another one",
        "cell",
        ("memory", 1),
        lambda: honest().patched("memory", "time", 1, 7),
    ),
    relation(
        "return on an empty stack", "cell", ("steps", 8), lambda: run(None, inputs(STRAY_RETURN=1))
    ),
    relation(
        "return to where no call came from",
        "cell",
        ("steps", 8),
        lie(**{"return": {"x": lambda c: places()["out_2"]}}),
    ),
    relation(
        "store outside of the memory", "cell", ("steps", 8), lambda: run(None, inputs(PLACE=10**6))
    ),
    relation(
        "the same address is initialised twice: one word of input too many",
        "cell",
        (PUBLIC, 8),
        lambda: run(None, [*INPUT, 0]),
    ),
    relation(
        "one word of input too few: nobody initialises its cell",
        "cell",
        ("steps", 8),
        lambda: run(None, INPUT[:-1]),
    ),
    relation(
        "src1 is read from the future",
        "age",
        ("steps", 10),
        future_read("a", "early_a", "late_a", REGISTER, 20, 7),
    ),
    relation(
        "src2 is read from the future",
        "age",
        ("steps", 11),
        future_read("b", "early_b", "late_b", REGISTER, 21, 9),
    ),
    relation(
        "two writes are exchanged in time",
        "age",
        ("steps", 12),
        future_read("d", "early_d", "late_d", REGISTER, 22, 2),
    ),
    relation(
        "memory is read from the future",
        "age",
        ("steps", 13),
        future_read("x", "early_x", "late_x", MEMORY, program().input_address - 2, 5),
    ),
    relation("a cell outside of the memory is its own past", "age", ("steps", 13), own_past),
    relation(
        "an age is counted once too often",
        "age",
        ("steps", 14),
        lambda: honest().patched("steps", "age_uses", 200, 1),
        counts=True,
    ),
)

UNUSED_CELLS = (
    rule(
        "a padding row of memory has a time",
        "memory: unused time",
        LIMITS.cells,
        lambda: honest().patched("memory", "time", LIMITS.cells, 5),
        "memory",
    ),
    rule(
        "a padding row of memory has a word",
        "memory: unused word",
        LIMITS.cells,
        lambda: honest().patched("memory", "word", LIMITS.cells, 5),
        "memory",
    ),
)

# --- Output -----------------------------------------------------------------------------------

OUTPUT = (
    relation(
        "output is claimed without Out",
        "output",
        (PUBLIC, len(INPUT)),
        lambda: run(None, inputs(QUIET=1), output=[7]),
    ),
    relation("the output is left out", "output", ("steps", 15), lambda: run(output=[])),
    relation(
        "a word of the output is another one",
        "output",
        ("steps", 15),
        lambda: run(output=[*honest().public["output"][:-1], 7]),
    ),
    relation(
        "the output goes on after the halt",
        "output",
        (PUBLIC, len(INPUT) + len(honest().public["output"])),
        lambda: run(output=[*honest().public["output"], 0]),
    ),
)
