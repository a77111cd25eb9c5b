"""Forgeries of the steps and the program of the Obelysk AIR, and the list of all forgeries.

See ``vm_program`` for what a forgery is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxstark.vm import isa
from jaxstark.vm.circuit import FIELDS
from tests.soundness.vm_builder import Built, Machine
from tests.soundness.vm_memory_forgeries import MEMORY_ARGUMENT, OUTPUT, UNUSED_CELLS
from tests.soundness.vm_program import (
    Forgery,
    honest,
    inputs,
    lie,
    places,
    program,
    relation,
    rule,
    run,
)
from tests.soundness.vm_value_forgeries import VALUES

# --- Control, formula, operands ---------------------------------------------------------------


def after(place: str, steps: int = 2) -> int:
    """The pc some steps behind a place."""
    return places()[place] + steps


def shifted_depth() -> Built:
    """The machine starts with a call open, as if the return on the empty stack were one."""
    return run(public_input=inputs(STRAY_RETURN=1), state={"depth": 1})


def swapped() -> Built:
    """Two stores to one register in the wrong order."""
    where = places()
    first, second = where["early_d"], where["late_d"]
    return run(
        {
            "early_b": {},
            "out_b": {"go": second},
            "late_d": {"go": first},
            "early_d": {"go": second + 1},
        }
    )


def outputs_exchanged() -> Built:
    """The second word of the output first."""
    built = run({"out_1": {"out_index": 1}, "out_2": {"out_index": 0}, "out_b": {}})
    output = list(built.public["output"])
    output[:2] = output[1::-1]
    return run(
        {
            "out_1": {"out_index": 1, "then": _index(1)},
            "out_2": {"out_index": 0, "then": _index(2)},
        },
        output=output,
    )


def _index(number: int) -> Callable[[Machine], None]:
    def then(machine: Machine) -> None:
        machine.out_index = number

    return then


def quiet_from(index: int) -> Built:
    """Nothing is given out, and the index does not start at 0."""
    return run(public_input=inputs(QUIET=1), state={"out_index": index})


def _unused(**lies: int) -> Callable[[], Built]:
    return lie(early_d=lies)


CONTROL = (
    rule("start at another pc", "start: pc", 0, lambda: run(state={"pc": places()["early_a"]})),
    rule(
        "start at the halt, where the last row is, too (T18)",
        "start: pc",
        0,
        lambda: run(state={"pc": places()["halt"]}),
    ),
    rule(
        "an instruction is skipped",
        "chain: pc",
        "mac_a",
        lambda: run({"add": {"go": after("add")}}),
    ),
    rule("two steps are swapped", "chain: pc", "late_d", swapped),
    rule(
        "the run does not end in a halt",
        "end: halt",
        255,
        lie(inputs(ROUNDS=10**6)),
    ),
    rule("a call is open at the start", "start: depth", 0, shifted_depth),
    rule(
        "a call appears: the return pops a cell that nobody wrote",
        "chain: depth",
        "return",
        lie(sub_body={"then": lambda machine: setattr(machine, "depth", 2)}),
    ),
    rule("output starts at another index", "start: output", 0, lambda: quiet_from(5)),
    rule("two words of the output are exchanged", "chain: output", "out_1", outputs_exchanged),
    rule(
        "a sum is not the sum",
        "formula: r",
        "add",
        lie(add={"r": lambda c: c["a"] + c["b"] + 1}),
    ),
    rule(
        "an address is another one",
        "formula: r",
        "indexed",
        lie(indexed={"r": 0}),
    ),
    rule(
        "a branch is not taken, the inverse left out",
        "inverse: of r",
        "to_end",
        lie(inputs(QUIET=1), to_end={"inverse": 0}),
    ),
    rule(
        "different words are equal, the inverse left out",
        "inverse: of r",
        "eq",
        lie(eq={"inverse": 0}),
    ),
    rule("0 has an inverse", "inverse: 0 for 0", "to_end", lie(to_end={"inverse": 5})),
    rule("division by zero", "inverse: divisor", "div", lie(inputs(DIVISOR=0))),
    rule(
        "a result is not that of the instruction",
        "formula: value",
        "add",
        lie(add={"value": lambda c: c["r"] + 1}),
    ),
    rule("a product is another one", "formula: value", "muli", lie(muli={"value": 123456})),
    rule("a quotient is another one", "formula: value", "div", lie(div={"value": 0})),
    rule(
        "the return address on the stack is a wrong one",
        "formula: value",
        "call",
        lie(call={"value": lambda c: c["pc"] + 3}),
    ),
    rule(
        "return to a wrong address",
        "formula: next pc",
        "return",
        lie(**{"return": {"next_pc": lambda c: c["value"] + 2}}),
    ),
    rule(
        "a branch is taken for 0",
        "formula: next pc",
        "to_end",
        lie(to_end={"next_pc": lambda c: c["seq"] + c["delta"]}),
    ),
    rule("a word without register", "operands: unused a", "early_d", _unused(a=5)),
    rule("a second word without register", "operands: unused b", "early_d", _unused(b=5)),
    rule(
        "one register, two words",
        "operands: same source",
        "same",
        lie(same={"b": lambda c: c["a"] + 1}),
    ),
    rule("a third word without register", "operands: unused d", "to_end", lie(to_end={"d": 5})),
    rule(
        "the destination is a, its word another",
        "operands: d is a",
        "mac_a",
        lie(mac_a={"d": lambda c: c["a"] + 1}),
    ),
    rule(
        "the destination is b, its word another",
        "operands: d is b",
        "mac_b",
        lie(mac_b={"d": lambda c: c["b"] + 1}),
    ),
    rule("a word of no cell", "operands: unused x", "early_d", _unused(x=5)),
    rule("a time of no access to a", "times: unused a", "early_d", _unused(time_a=5)),
    rule("a time of no access to b", "times: unused b", "early_d", _unused(time_b=5)),
    rule("a time of no access to d", "times: unused d", "to_end", lie(to_end={"time_d": 5})),
    rule("a time of no access to memory", "times: unused x", "early_d", _unused(time_x=5)),
)

# --- Program ----------------------------------------------------------------------------------


def padding_executed() -> Built:
    """The last instruction is no jump: the run goes on in a padding row, and from there to pc 0."""
    return run(public_input=inputs(STRAY_END=1))


def halt_elsewhere() -> Built:
    """The machine halts before it gives anything out, where another program has its halt."""
    row: dict[str, Any] = dict.fromkeys(FIELDS[1:], 0) | {"op": isa.BY_NAME["Halt"].code}
    return run({"out_1": row | {"seq": lambda c: c["pc"], "always": True}})


PROGRAM = (
    Forgery(
        "a padding row of the ROM is executed",
        frozenset({("program", "program: padding is never executed")}),
        padding_executed,
        len(program()),
    ),
    relation(
        "an instruction has another constant", "instruction", ("steps", 0), lie(muli={"r_a": 4})
    ),
    relation(
        "an instruction writes another register",
        "instruction",
        ("steps", 0),
        lie(sub={"dst": 6, "keep1": 1, "access_d": 1}),
    ),
    relation("the halt of another program", "instruction", ("steps", 0), halt_elsewhere),
    relation(
        "an instruction is counted once too often",
        "instruction",
        ("program", 0),
        lambda: honest().patched("program", "uses", places()["end"], 1),
        counts=True,
    ),
)

ALL: tuple[Forgery, ...] = (
    *CONTROL,
    *PROGRAM,
    *MEMORY_ARGUMENT,
    *UNUSED_CELLS,
    *OUTPUT,
    *VALUES,
)
