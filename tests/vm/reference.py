"""A slow, obvious reference of the trace: plain Python that walks the steps one after the other.

It shares with the library the program's encoding and the decoded ROM columns
(tests/vm/test_circuit.py checks those against the interpreter), and nothing of
``jaxstark.vm.witness``. Also here: random programs that halt.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jaxstark.fields.m31 import P
from jaxstark.vm import ExecutionError, Instruction, Limits, Program, interpreter, isa
from jaxstark.vm.circuit import FIELDS, rom_columns

HALF = (P - 1) // 2
EDGES = (0, 1, HALF, HALF + 1, P - 1)
Table = dict[str, dict[str, np.ndarray]]
Cell = tuple[str, int]


def inverse(word: int) -> int:
    return pow(word, P - 2, P)


def signed(word: int) -> int:
    return word if word <= HALF else word - P


# name -> (r of the step formula, value) from a, b, d, immediate, pc, depth and the cell's word x;
# a and b are the sources as the AIR has them, so that Gt has them exchanged.
Step = Callable[[int, int, int, int, int, int, int], tuple[int, int]]
STEPS: dict[str, Step] = {
    "Add": lambda a, b, d, imm, pc, depth, x: (a + b, a + b),
    "Sub": lambda a, b, d, imm, pc, depth, x: (a - b, a - b),
    "Mul": lambda a, b, d, imm, pc, depth, x: (a * b, a * b),
    "LoadImm": lambda a, b, d, imm, pc, depth, x: (imm, imm),
    "Div": lambda a, b, d, imm, pc, depth, x: (b, a * inverse(b)),
    "Neg": lambda a, b, d, imm, pc, depth, x: (-a, -a),
    "AddI": lambda a, b, d, imm, pc, depth, x: (a + imm, a + imm),
    "MulI": lambda a, b, d, imm, pc, depth, x: (a * imm, a * imm),
    "Mac": lambda a, b, d, imm, pc, depth, x: (a * b + d, d + a * b),
    "Eq": lambda a, b, d, imm, pc, depth, x: (a - b, int(a == b)),
    "Lt": lambda a, b, d, imm, pc, depth, x: (b, int(a < b)),
    "Gt": lambda a, b, d, imm, pc, depth, x: (b, int(a < b)),
    "ReLU": lambda a, b, d, imm, pc, depth, x: (0, max(signed(a), 0)),
    "Shr": lambda a, b, d, imm, pc, depth, x: (2**imm, signed(a) // 2**imm),
    "Xor": lambda a, b, d, imm, pc, depth, x: (b, a ^ b),
    "And": lambda a, b, d, imm, pc, depth, x: (b, a & b),
    "Or": lambda a, b, d, imm, pc, depth, x: (b, a | b),
    "Load": lambda a, b, d, imm, pc, depth, x: (imm, x),
    "LoadInd": lambda a, b, d, imm, pc, depth, x: (a + imm, x),
    "LoadIdx": lambda a, b, d, imm, pc, depth, x: (a + b + imm, x),
    "Store": lambda a, b, d, imm, pc, depth, x: (imm, b),
    "StoreInd": lambda a, b, d, imm, pc, depth, x: (a + imm, b),
    "Jump": lambda a, b, d, imm, pc, depth, x: (0, 0),
    "JumpIf": lambda a, b, d, imm, pc, depth, x: (a, 0),
    "Loop": lambda a, b, d, imm, pc, depth, x: (a, a - 1),
    "Call": lambda a, b, d, imm, pc, depth, x: (depth, pc + 1),
    "Return": lambda a, b, d, imm, pc, depth, x: (depth - 1, x),
    "Out": lambda a, b, d, imm, pc, depth, x: (a, a),
    "Halt": lambda a, b, d, imm, pc, depth, x: (0, 0),
}
VALUE_OPS = {
    "relu": ("ReLU",),
    "less": ("Lt", "Gt"),
    "shift": ("Shr",),
    "bitwise": ("Xor", "And", "Or"),
}


class Machine:
    """The machine with the time of the last access to every register and cell."""

    def __init__(self, program: Program, public_input: Sequence[int]) -> None:
        self.program = program
        self.words: dict[Cell, int] = {}
        self.times: dict[Cell, int] = {}
        for i, word in enumerate(program.data.tolist()):
            self.words["memory", i] = word
        for i, word in enumerate(public_input):
            self.words["memory", program.input_address + i] = int(word)
        self.pc, self.depth, self.clk = 0, 0, 0
        self.output: list[int] = []
        self.rom = [dict(zip(FIELDS, c, strict=True)) for c in rom_columns(program).T.tolist()]

    def access(self, cell: Cell) -> tuple[int, int]:
        """Word and time that an access in this step finds."""
        found = self.words.get(cell, 0), self.times.get(cell, 0)
        self.times[cell] = self.clk + 1
        return found

    def step(self) -> dict[str, int]:
        """Make one step; its row of the step component, without ``age_uses``."""
        instruction = self.program[self.pc]
        row, imm = instruction.row, instruction.imm
        assert row is not None
        sources = [(name in row.fields, getattr(instruction, name)) for name in ("src1", "src2")]
        if row.name == "Gt":
            sources.reverse()
        (uses1, one), (uses2, two) = sources
        found: dict[int, tuple[int, int]] = {}  # register -> word and time, one access each
        a = b = d = x = time_a = time_b = time_d = time_x = 0
        if uses1:
            found[one] = self.access(("register", one))
            a, time_a = found[one]
        if uses2:
            if two not in found:
                found[two] = self.access(("register", two))
                time_b = found[two][1]
            b = found[two][0]
        if row.writes_register:
            if instruction.dst not in found:
                found[instruction.dst] = self.access(("register", instruction.dst))
                time_d = found[instruction.dst][1]
            d = found[instruction.dst][0]
        depth, pc, compute = self.depth, self.pc, STEPS[row.name]
        touched: Cell | None = None
        if row.address is not None:
            space = "stack" if row.name in ("Call", "Return") else "memory"
            touched = (space, compute(a, b, d, imm, pc, depth, 0)[0] % P)
            x, time_x = self.access(touched)
        r, value = (word % P for word in compute(a, b, d, imm, pc, depth, x))
        if any(row.name in names for names in VALUE_OPS.values()):
            x = value
        if row.writes_register:
            self.words["register", instruction.dst] = value
        if row.name in ("Store", "StoreInd", "Call"):
            assert touched is not None
            self.words[touched] = value
        columns = {
            **{"a": a, "b": b, "d": d, "r": r, "x": x, "value": value},
            **{"inverse": inverse(r), "depth": depth, "out_index": len(self.output)},
            **{"time_a": time_a, "time_b": time_b, "time_d": time_d, "time_x": time_x},
        }
        self.depth += {"Call": 1, "Return": -1}.get(row.name, 0)
        if row.name == "Out":
            self.output.append(value)
        jumps = row.name in ("Jump", "Call") or (row.name in ("JumpIf", "Loop") and a != 0)
        self.pc = imm if jumps else pc + 1
        self.pc = {"Halt": pc, "Return": value}.get(row.name, self.pc)
        self.clk += 1
        return {**self.rom[pc], **columns, "next_pc": self.pc}


def reference(program: Program, public_input: Sequence[int], limits: Limits) -> Table:
    """All columns of the trace within limits, by component and name, uint32 in row order."""
    names = {isa.BY_CODE[int(opcode)].name for opcode in program.opcodes}
    rows = 1 << limits.log_steps
    machine = Machine(program, public_input)
    steps = [machine.step() for _ in range(rows)]
    ages = Counter()
    for clk, step in enumerate(steps):
        for use, time in (("use1", "a"), ("use2", "b"), ("access_d", "d"), ("mem", "x")):
            if step[use]:
                ages[clk - step[f"time_{time}"]] += 1
    for clk, step in enumerate(steps):
        step["age_uses"] = ages[clk]
    executed = Counter(step["pc"] for step in steps)
    log_program = max((len(program) - 1).bit_length(), limits.min_log)
    memory: list[Cell] = [("register", i) for i in range(32)]
    memory += [("stack", i) for i in range(limits.stack_size)]
    memory += [("memory", i) for i in range(limits.memory_size)]
    log_memory = max((len(memory) - 1).bit_length(), limits.min_log)
    assert set(machine.times) <= set(memory)
    tables = {
        "steps": steps,
        "program": [{"uses": executed[pc]} for pc in range(1 << log_program)],
        "memory": _padded(
            [
                {"time": machine.times.get(cell, 0), "word": machine.words.get(cell, 0)}
                for cell in memory
            ],
            1 << log_memory,
            {"time": 0, "word": 0},
        ),
    }
    byte, nibbles = Counter(), Counter()
    for component, ops in VALUE_OPS.items():
        if not names & set(ops):
            continue
        uses = "log_" + component
        size = 1 << max(getattr(limits, uses), limits.min_log)
        codes = {isa.BY_NAME[op].code for op in ops} - {isa.BY_NAME["Gt"].code}
        chosen = [(s["op"], s["a"], s["r"]) for s in steps if s["op"] in codes]
        assert len(chosen) <= size
        chosen += [(0, 0, 0)] * (size - len(chosen))
        counter = nibbles if component == "bitwise" else byte
        tables[component] = [VALUE_ROWS[component](counter, *operands) for operands in chosen]
    if names & {"ReLU", "Lt", "Gt", "Shr"}:
        tables["bytes"] = [{"uses": byte[i]} for i in range(256)]
    if names & set(VALUE_OPS["bitwise"]):
        tables["nibbles"] = [{"uses": nibbles[i >> 4, i & 15]} for i in range(256)]
    assert sum(byte.values()) == sum(byte[i] for i in range(256))
    assert sum(nibbles.values()) == sum(nibbles[u, v] for u in range(16) for v in range(16))
    return {
        name: {column: np.array([row[column] for row in table], np.uint32) for column in table[0]}
        for name, table in tables.items()
    }


def _padded(rows: list[Any], size: int, padding: Any) -> list[Any]:
    return rows + [padding] * (size - len(rows))


def _parity_row(byte: Counter, word: int, prefix: str = "") -> dict[str, int]:
    """Columns and byte lookups that show the lowest bit of a word."""
    half, bit = divmod(word, 2)
    limbs = [half >> shift & 255 for shift in (0, 8, 16, 24)]
    byte.update([*limbs, 4 * limbs[3]])
    names = (prefix + name for name in ("h1", "h2", "h3", "hint"))
    return dict(zip(names, (*limbs[1:], inverse(word) if bit else 0), strict=True))


def _relu_row(byte: Counter, op: int, a: int, r: int) -> dict[str, int]:
    negative = int(a > HALF)
    columns = {"a": a, "negative": negative, "x": 0 if negative else a, "uses": int(op != 0)}
    return columns | _parity_row(byte, 2 * a % P)


def _less_row(byte: Counter, op: int, a: int, b: int) -> dict[str, int]:
    difference = (a - b) % P
    odd = {"odd_a": a % 2, "odd_b": b % 2, "odd_d": difference % 2}
    columns = {"a": a, "b": b, **odd, "differ": int(a % 2 != b % 2), "x": int(a < b)}
    for prefix, word in (("a_", a), ("b_", b), ("d_", difference)):
        columns |= _parity_row(byte, word, prefix)
    return columns | {"uses": int(op != 0)}


def _shift_row(byte: Counter, op: int, a: int, r: int) -> dict[str, int]:
    m = r or 2
    cofactor = 2**16 // m
    shifted = signed(a) + 2**30  # 1 .. p
    q, rem = divmod(shifted, m)
    high, low = divmod(q, 2**15)
    halves = {"rem": rem, "low": low, "high": high}
    halves |= {"rem_scaled": rem * cofactor, "high_scaled": high * m}
    columns = {"a": a, "m": m, "cofactor": cofactor, "uses": int(op != 0)}
    for name, half in halves.items():
        assert half < 2**16
        columns |= {f"{name}0": half % 256, f"{name}1": half // 256}
        byte.update([half % 256, half // 256])
    byte.update([2 * (low // 256), 2 * (high // 256)])
    return columns | {"hint": inverse(rem + low + high)}


def _bitwise_row(nibbles: Counter, op: int, a: int, b: int) -> dict[str, int]:
    def limbs(word: int) -> list[int]:
        return [word >> 4 * i & 15 for i in range(8)]

    columns = {"a": a, "b": b}
    for name, word in (("a", a), ("b", b)):
        columns |= {f"{name}{i}": limb for i, limb in enumerate(limbs(word)) if i}
        lack = [15 - limb for limb in limbs(word)]
        columns[f"{name}_hint"] = inverse(sum(lack) - 8)
    columns |= {f"and{i}": limb for i, limb in enumerate(limbs(a & b))}
    nibbles.update(zip(limbs(a), limbs(b), strict=True))
    nibbles[2 * limbs(a)[7], 2 * limbs(b)[7]] += 1
    for name in ("Xor", "And", "Or"):
        columns[f"{name.lower()}_uses"] = int(op == isa.BY_NAME[name].code)
    return columns


VALUE_ROWS: dict[str, Callable[..., dict[str, int]]] = {
    "relu": _relu_row,
    "less": _less_row,
    "shift": _shift_row,
    "bitwise": _bitwise_row,
}

# --- Random programs that halt ---------------------------------------------------------------

# One shape for all of them, that of the program of tests/soundness/vm_program.py, so that they
# share compiled programs: every value component is there, instructions fill 65..128 rows.
SHAPE = Limits(
    log_steps=8,
    memory_size=28,
    stack_size=4,
    input_size=3,
    log_relu=4,
    log_less=4,
    log_shift=4,
    log_bitwise=4,
)
LENGTH, STEP_LIMIT, LONGEST = 128, 64, 27
ROWS = 16  # of each value component
MACHINE = {"memory_limit": SHAPE.memory_size, "stack_limit": SHAPE.stack_size}
KINDS = (
    Instruction.of("ReLU", dst=1, src1=2),
    Instruction.of("Lt", dst=1, src1=2, src2=3),
    Instruction.of("Shr", dst=1, src1=2, imm=1),
    Instruction.of("Xor", dst=1, src1=2, src2=3),
)


def shaped(body: Iterable[Instruction], data: Sequence[int] = ()) -> Program:
    """A program of ``LENGTH`` instructions: ``body``, a Halt, and what is never executed.

    Among the rest there are instructions of every value component.
    """
    begun = [*body, Instruction.of("Halt")]
    rest = LENGTH - len(begun)
    assert rest >= len(KINDS)
    return Program.of([*begun, *(KINDS * rest)[:rest]], data)


def settled(
    body: Iterable[Instruction], data: Sequence[int], public_input: Sequence[int]
) -> Program:
    """The ``shaped`` program, with instructions that fault or are made too often replaced."""
    body = list(body)
    while True:
        program = shaped(body, data)
        try:
            done = interpreter.run(program, public_input, step_limit=STEP_LIMIT, **MACHINE)
        except ExecutionError as error:
            pc = error.pc
            if error.reason == isa.STEP_LIMIT:
                pc = max(pc for pc, instruction in enumerate(body) if _goes_back(instruction, pc))
        else:
            names = [isa.BY_CODE[int(code)].name for code in program.opcodes[done.pcs]]
            made = ([i for i, name in enumerate(names) if name in o] for o in VALUE_OPS.values())
            surplus = [steps[ROWS] for steps in made if len(steps) > ROWS]
            if not surplus:
                return program
            pc = int(done.pcs[surplus[0]])
        body[pc] = Instruction.of("LoadImm", dst=pc % 6, imm=pc)


def _goes_back(instruction: Instruction, pc: int) -> bool:
    row = instruction.row
    assert row is not None
    jumps = "target" in row.operand_list and instruction.imm <= pc
    return jumps or row.name == "Return"


def _word(rng: random.Random) -> int:
    return rng.choice([rng.choice(EDGES), rng.randrange(10), rng.randrange(P)])


def _instruction(rng: random.Random, pc: int, length: int) -> Instruction:
    rows = [row for row in isa.INSTRUCTIONS if row.effect != isa.HALT]
    row = rng.choice([*rows, *[isa.BY_NAME["Out"]] * 3])
    imm = _word(rng)
    if "target" in row.operand_list:
        near = min(max(pc + rng.choice([-4, -2, -1, 1, 2, 3]), 0), length)
        imm = rng.choice([near, near, near, rng.randrange(length + 1)])
    elif "shift" in row.operand_list:
        imm = rng.randint(1, isa.MAX_SHIFT)
    elif row.address is not None:
        imm = rng.choice([rng.randrange(SHAPE.memory_size), rng.randrange(4), P - 1])
    fields = {name: rng.randrange(6) for name in ("dst", "src1", "src2")} | {"imm": imm}
    return Instruction(row.code, **{name: fields[name] for name in row.fields})


def _chunk(rng: random.Random, pc: int, length: int) -> list[Instruction]:
    """An instruction, a loop or a call."""
    one, two = (_instruction(rng, pc + i, length) for i in (1, 2))
    counter = rng.randrange(6)
    return rng.choice(
        [
            *([one] for _ in range(6)),
            [
                Instruction.of("LoadImm", dst=counter, imm=rng.randrange(5)),
                *(one, two),
                Instruction.of("Loop", dst=counter, src1=counter, imm=pc + 1),
            ],
            [
                Instruction.of("Call", imm=pc + 2),
                Instruction.of("Jump", imm=pc + 4),
                *(two, Instruction.of("Return")),
            ],
        ]
    )


def random_program(rng: random.Random) -> tuple[Program, list[int]]:
    """A program of ``SHAPE`` that halts without a fault, and its public input."""
    length = rng.choice([rng.randint(1, LONGEST), LONGEST])
    # Registers start with words that are worth computing with.
    body = [Instruction.of("LoadImm", dst=i, imm=_word(rng)) for i in range(min(length, 6))]
    while len(body) < length:
        chunk = _chunk(rng, len(body), length)
        body += chunk if len(body) + len(chunk) <= length else []
    public_input = [_word(rng) for _ in range(SHAPE.input_size)]
    data = [_word(rng) for _ in range(rng.randrange(9))]
    return settled(body, data, public_input), public_input


def halting_programs() -> st.SearchStrategy[tuple[Program, list[int]]]:
    """Random programs of ``SHAPE`` that halt without a fault, each with a public input."""
    return st.builds(random_program, st.integers(0, 2**32 - 1).map(random.Random))
