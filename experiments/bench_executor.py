"""Time the compiled executor: the synthetic workload, and every instruction in a loop.

    python experiments/bench_executor.py --steps=1000000 --repeats=7

Every instruction runs in a loop of 32 copies on rotating registers, each result an operand of a
later copy, so that divisions wait for each other. Reports the best of several warm runs in
milliseconds. Call and Return come as ``call, return, jump``: one row for both. Halt is in every
program.
"""

from __future__ import annotations

import time
from typing import Any

import _record
import numba
from absl import app, flags

from jaxstark import vm
from jaxstark.vm import Instruction, Program, isa
from jaxstark.vm.workloads import synthetic

_STEPS = flags.DEFINE_integer("steps", 1_000_000, "Executed steps.", lower_bound=1_000)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Warm runs.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "", "JSON-lines file to append the row to.")
_record.define_flags()

COPIES = 32
REGISTERS = tuple(range(4, 12))
COUNTER, ZERO = 1, 0


def _copy(row: isa.Opcode, i: int, pc: int) -> list[Instruction]:
    """Copy number i of an instruction, at pc; whatever it does, the next copy follows."""
    size = len(REGISTERS)
    dst, src1, src2 = (REGISTERS[(i + shift) % size] for shift in (0, 1, 3))
    fields = {"dst": dst, "src1": src1, "src2": src2, "imm": 5 + i}
    if row.effect == isa.CALL:
        returned = Instruction.of("Jump", imm=pc + 3)
        return [Instruction.of("Call", imm=pc + 2), returned, Instruction.of("Return")]
    if "target" in row.operand_list:
        fields["imm"] = pc + 1
    elif row.address is not None:
        fields |= {"src1": ZERO, "src2": ZERO if row.writes_register else src2}
    elif "shift" in row.operand_list:
        fields["imm"] = 1 + i % isa.MAX_SHIFT
    used = {name: word for name, word in fields.items() if name in row.fields}
    return [Instruction.of(row.name, **used)]


def loop_of(row: isa.Opcode, steps: int) -> Program:
    """A program of about ``steps`` steps that repeats one instruction."""
    loads = [Instruction.of("LoadImm", dst=r, imm=123_456_789 * (r + 1) % isa.P) for r in REGISTERS]
    begin = len(loads) + 1
    body: list[Instruction] = []
    for i in range(COPIES):
        body += _copy(row, i, begin + len(body))
    turns = max(steps // (len(body) + 1), 1)
    return Program.of(
        [
            *loads,
            Instruction.of("LoadImm", dst=COUNTER, imm=turns - 1),
            *body,
            Instruction.of("Loop", dst=COUNTER, src1=COUNTER, imm=begin),
            Instruction.of("Halt"),
        ]
    )


def _timed(name: str, program: Program) -> dict[str, Any]:
    elapsed = []
    steps = 0
    for _ in range(_REPEATS.value + 1):
        start = time.perf_counter()
        steps = vm.execute(program, step_limit=2 * _STEPS.value).steps
        elapsed.append(time.perf_counter() - start)
    best = min(elapsed[1:])
    row = {"name": name, "steps": steps, "ms": round(1e3 * best, 3)}
    print(f"{name:12s} {steps:9d} steps {row['ms']:9.3f} ms {1e9 * best / steps:7.2f} ns/step")
    return row


def main(argv: list[str]) -> None:
    del argv
    row: dict[str, Any] = _record.start() | {"experiment": "executor", "numba": numba.__version__}
    rows = [_timed("synthetic", synthetic(_STEPS.value))]
    for opcode in isa.INSTRUCTIONS:
        if opcode.effect not in (isa.RETURN, isa.HALT):
            rows.append(_timed(opcode.name, loop_of(opcode, _STEPS.value)))
    row["programs"] = rows
    row["slowest"] = max(rows, key=lambda item: item["ms"] / item["steps"])["name"]
    if _OUT.value:
        _record.write_record(_OUT.value, row)
    _record.last_line(row)


if __name__ == "__main__":
    app.run(main)
