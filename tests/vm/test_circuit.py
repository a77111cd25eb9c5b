"""The step formula and the program ROM of the AIR against the plain interpreter."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from jaxstark.fields.m31 import P
from jaxstark.vm import Instruction, Limits, Program, assemble, interpreter, isa
from jaxstark.vm.air import MEMORY, REGISTER, STACK, cell_table, rom_table
from jaxstark.vm.circuit import FIELDS, coefficients, rom_columns

HALF = (P - 1) // 2
EDGES = (0, 1, HALF, HALF + 1, P - 1)
# Registers (dst, src1, src2) that coincide in every way.
PATTERNS = {
    "all different": (3, 1, 2),
    "dst is src1": (1, 1, 2),
    "dst is src2": (2, 1, 2),
    "src1 is src2": (3, 1, 1),
    "all equal": (1, 1, 1),
}


def code(name: str) -> int:
    return isa.BY_NAME[name].code


# What the relation of the value components holds: opcode -> result from a and r.
RESULTS = {
    code("ReLU"): lambda a, r: a if a <= HALF else 0,
    code("Lt"): lambda a, r: int(a < r),
    code("Shr"): lambda a, r: (a if a <= HALF else a - P) // r % P,
    code("Xor"): lambda a, r: (a ^ r) % P,
    code("And"): lambda a, r: (a & r) % P,
    code("Or"): lambda a, r: (a | r) % P,
}


class Cells:
    """A memory without end in which every cell holds another word."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __getitem__(self, address: int) -> int:
        assert 0 <= address < P
        return (address * self.factor + 12_345) % P


CELLS, CALLS = Cells(7), Cells(11)


def variants(row: isa.Opcode) -> list[Instruction]:
    """The instruction with all coincidences of registers and edge immediates."""
    rng = random.Random(row.code)
    imms: tuple[int, ...] = (0,)
    if "shift" in row.operand_list:
        imms = tuple(range(1, isa.MAX_SHIFT + 1))
    elif "target" in row.operand_list:
        imms = (0, 1, 5, 17)
    elif "imm" in row.fields:
        imms = (*EDGES, rng.randrange(P), rng.randrange(P))
    found = []
    for registers, imm in product(PATTERNS.values(), imms):
        fields = dict(zip(("dst", "src1", "src2"), registers, strict=True))
        used = {name: word for name, word in fields.items() if name in row.fields}
        found.append(Instruction(row.code, **used, imm=imm))
    return list(dict.fromkeys(found))


ALL = [instruction for row in isa.INSTRUCTIONS for instruction in variants(row)]
PROGRAM = Program.of(ALL)
ROM = rom_columns(PROGRAM)


def decoded(pc: int) -> dict[str, int]:
    return dict(zip(FIELDS, ROM[:, pc].tolist(), strict=True))


def formula(c: dict[str, int], registers: list[int], depth: int) -> dict[str, int]:
    """The step formula of jaxstark.vm.circuit, over integers mod p."""
    a = registers[c["src1"]] if c["use1"] else 0
    b = registers[c["src2"]] if c["use2"] else a if c["same"] else 0
    over1, over2 = c["use1"] > c["keep1"], c["use2"] > c["keep2"]
    d = registers[c["dst"]] if c["access_d"] else a if over1 else b if over2 else 0
    r = c["r_ab"] * a * b + c["r_a"] * a + c["r_b"] * b + c["r_d"] * d + c["r_1"]
    r = (r + c["stack"] * depth) % P
    inverse = pow(r, P - 2, P)
    nonzero = r * inverse % P
    x = 0
    if c["co"]:
        x = RESULTS[c["op"]](a, r)
    elif c["mem"]:
        x = (CALLS if c["stack"] else CELLS)[r]
    value = c["v_r"] * r + c["v_x"] * x + c["v_b"] * b + c["v_q"] * a * inverse
    value = (value + c["v_z"] * nonzero + c["v_1"]) % P
    next_pc = (c["seq"] + c["delta"] * nonzero + c["stack"] * c["v_x"] * value) % P
    return {"r": r, "value": value, "next_pc": next_pc, "divides": c["v_q"] * (1 - nonzero)}


def operands(instruction: Instruction) -> list[list[int]]:
    """Register files: edge words in every register that is read, other words elsewhere."""
    rng = random.Random(str(instruction))
    row = instruction.row
    assert row is not None
    read = {getattr(instruction, f) for f in ("src1", "src2") if f in row.fields}
    read |= {instruction.dst} if row.reads_dst else set()
    files = []
    for words in [*product(EDGES, repeat=len(read)), *(None for _ in range(5))]:
        registers = [rng.randrange(1, P) for _ in range(isa.REGISTERS)]
        if words is not None:
            for register, word in zip(sorted(read), words, strict=True):
                registers[register] = word
        files.append(registers)
    return files


@pytest.mark.parametrize("name", isa.BY_NAME)
def test_the_step_formula_computes_what_the_interpreter_does(name):
    count = 0
    for pc, instruction in enumerate(ALL):
        row = instruction.row
        if row is None or row.name != name:
            continue
        c = decoded(pc)
        for registers, depth in product(operands(instruction), (1, 3)):
            a, b, d = (
                registers[getattr(instruction, f)] if f in row.fields else 0
                for f in ("src1", "src2", "dst")
            )
            got = formula(c, registers, depth)
            known = (a, b, d, instruction.imm, pc, depth)
            if row.fault and interpreter.compiled(row.fault[0])(*known, 0, 0, CELLS, CALLS):
                assert name == "Div" and got["divides"] % P, "a divisor 0 is refused"
                continue
            assert got["divides"] == 0
            address = 0
            if row.address is not None:
                address = interpreter.compiled(row.address)(*known, 0, 0, CELLS, CALLS)
                assert got["r"] == address
            value = interpreter.compiled(row.value)(*known, address, 0, CELLS, CALLS)
            next_pc = interpreter.compiled(row.next_pc)(*known, address, value, CELLS, CALLS)
            assert (got["value"], got["next_pc"]) == (value, next_pc % P), (instruction, known)
            count += 1
    assert count >= 2


def test_every_field_of_every_instruction_is_decoded():
    for pc, instruction in enumerate(ALL):
        row, c = instruction.row, decoded(pc)
        assert row is not None
        one, two = instruction.src1, instruction.src2
        if row.name == "Gt":
            one, two = two, one
        assert (c["src1"], c["src2"], c["dst"]) == (one, two, instruction.dst)
        assert c["pc"] == pc and c["op"] == (code("Lt") if row.name == "Gt" else row.code)
        assert c["write"] == (row.effect == isa.REGISTER)
        assert c["out"] == (row.effect == isa.OUTPUT)
        assert c["stack"] == (row.effect in (isa.CALL, isa.RETURN))
        assert c["mem"] == (row.address is not None)
        assert c["co"] == (c["op"] in RESULTS)
        if row.name == "ReLU":
            assert c["r_1"] == 0 and not {n for n in FIELDS if n.startswith("r_") and c[n]}
        # Depth grows by stack - 2 stack v_x.
        change = {isa.CALL: 1, isa.RETURN: -1}.get(row.effect, 0)
        assert c["stack"] - 2 * c["stack"] * c["v_x"] == change


def test_a_step_touches_distinct_registers_and_leaves_each_of_them_once():
    for pc, instruction in enumerate(ALL):
        row, c = instruction.row, decoded(pc)
        assert row is not None
        taken = [c[f] for f, use in (("src1", "use1"), ("src2", "use2")) if c[use]]
        taken += [c["dst"]] * c["access_d"]
        left = [c[f] for f, keep in (("src1", "keep1"), ("src2", "keep2")) if c[keep]]
        left += [c["dst"]] * c["write"]
        assert len(set(taken)) == len(taken) and sorted(taken) == sorted(left), instruction
        reads = {getattr(instruction, f) for f in ("src1", "src2") if f in row.fields}
        writes = {instruction.dst} if row.writes_register else set()
        assert set(taken) == reads | writes


FLAGS = "use1 keep1 use2 keep2 same access_d write".split()


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("add r3, r1, r2", (1, 1, 1, 1, 0, 1, 1)),
        ("add r1, r1, r2", (1, 0, 1, 1, 0, 0, 1)),
        ("add r2, r1, r2", (1, 1, 1, 0, 0, 0, 1)),
        ("add r3, r1, r1", (1, 1, 0, 0, 1, 1, 1)),
        ("add r1, r1, r1", (1, 0, 0, 0, 1, 0, 1)),
        ("gt r1, r1, r2", (1, 1, 1, 0, 0, 0, 1)),
        ("gt r2, r1, r2", (1, 0, 1, 1, 0, 0, 1)),
        ("neg r3, r1", (1, 1, 0, 0, 0, 1, 1)),
        ("neg r0, r0", (1, 0, 0, 0, 0, 0, 1)),
        ("loadimm r0, 5", (0, 0, 0, 0, 0, 1, 1)),
        ("load r1, [r1]", (1, 0, 0, 0, 0, 0, 1)),
        ("load r2, [r1 + r2]", (1, 1, 1, 0, 0, 0, 1)),
        ("store r2, [5]", (0, 0, 1, 1, 0, 0, 0)),
        ("store r0, [5]", (0, 0, 1, 1, 0, 0, 0)),
        ("store r1, [r1]", (1, 1, 0, 0, 1, 0, 0)),
        ("store r0, [r1]", (1, 1, 1, 1, 0, 0, 0)),
        ("loop r1, r1, 0", (1, 0, 0, 0, 0, 0, 1)),
        ("loop r2, r1, 0", (1, 1, 0, 0, 0, 1, 1)),
        ("jumpif r0, 0", (1, 1, 0, 0, 0, 0, 0)),
        ("out r0", (1, 1, 0, 0, 0, 0, 0)),
        ("call 0", (0, 0, 0, 0, 0, 0, 0)),
        ("return", (0, 0, 0, 0, 0, 0, 0)),
        ("halt", (0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_registers_that_coincide_share_an_access(text, flags):
    rom = rom_columns(assemble(f"{text}\nhalt"))
    assert tuple(int(rom[FIELDS.index(name), 0]) for name in FLAGS) == flags


def test_gt_is_lt_with_its_sources_exchanged():
    for dst, one, two in product(range(3), repeat=3):
        greater = rom_columns(Program.of([Instruction.of("Gt", dst, one, two)]))
        less = rom_columns(Program.of([Instruction.of("Lt", dst, two, one)]))
        assert np.array_equal(greater, less)


def test_columns_are_words_and_all_fields_are_used():
    assert ROM.dtype == np.uint32 and ROM.shape == (len(FIELDS), len(ALL))
    assert int(ROM.max()) < P and ROM.any(axis=1).all()
    assert len(set(FIELDS)) == len(FIELDS)
    assert {i.opcode for i in ALL} == set(isa.BY_CODE)


def test_every_distinct_instruction_has_columns_of_its_own():
    """Two instructions that look alike to the AIR would be the same instruction."""
    rest = ROM[FIELDS.index("op") :].T
    seq, delta, v_1 = (FIELDS.index(n) - 1 for n in ("seq", "delta", "v_1"))
    meant = {}
    for pc, column in enumerate(rest.tolist()):
        row = ALL[pc].row
        assert row is not None
        # What counts from the pc on is made to count from 0.
        if row.next_pc == "pc + 1" or "target" in row.operand_list:
            column[seq] = (column[seq] - pc * (row.name not in ("Jump", "Call"))) % P
        if "delta" in row.circuit:
            column[delta] = (column[delta] + pc) % P
        if row.effect == isa.CALL:
            column[v_1] = (column[v_1] - pc) % P
        if row.effect == isa.HALT:
            column[seq] = 0
        other = meant.setdefault(tuple(column), ALL[pc])
        same = other == ALL[pc] or {other.opcode, ALL[pc].opcode} == {code("Lt"), code("Gt")}
        assert same, (other, ALL[pc])


def test_an_unknown_coefficient_in_the_table_is_an_error():
    row = replace(isa.BY_NAME["Add"], circuit="r_a=1 r_c=1")
    zero = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="Add, circuit: got unknown coefficient 'r_c'"):
        coefficients(row, zero, zero)


# --- Preprocessed columns --------------------------------------------------------------------


def test_padding_rows_of_the_rom_are_dead_and_have_counters_of_their_own():
    program = assemble("a: addi r1, r1, 1\njumpif r1, a\nhalt")
    table = rom_table(program, 4)
    assert table.shape == (len(FIELDS) + 1, 16) and table.dtype == np.uint32
    assert np.array_equal(table[:-1, :3], rom_columns(program))
    assert table[0].tolist() == list(range(16))
    assert table[-1].tolist() == [1] * 3 + [0] * 13
    assert not table[1:, 3:].any()


def cells(text: str, limits: Limits, log_size: int) -> list[tuple[int, ...]]:
    table = cell_table(assemble(text), limits, log_size)
    assert table.dtype == np.uint32
    return [tuple(column) for column in table.T.tolist()]


def test_cells_are_registers_then_stack_then_memory_then_nothing():
    text = ".data d, 7, -1\n.space s, 1\n.input x\nhalt"
    rows = cells(text, Limits(6, memory_size=8, stack_size=3, input_size=2), 6)
    assert rows[:32] == [(REGISTER, i, 0, 1, 1) for i in range(32)]
    assert rows[32:35] == [(STACK, i, 0, 1, 1) for i in range(3)]
    words = [7, P - 1, 0, 0, 0, 0, 0, 0]
    # The cells of the public input are there, and the verifier initialises them.
    initialised = [1, 1, 1, 0, 0, 1, 1, 1]
    assert rows[35:43] == [(MEMORY, i, words[i], initialised[i], 1) for i in range(8)]
    assert rows[43:] == [(0,) * 5] * 21
    assert len({REGISTER, STACK, MEMORY}) == 3


def test_without_input_every_cell_is_initialised():
    text = ".data d, 7\n.space s, 3\n.input x\nhalt"
    rows = cells(text, Limits(6, memory_size=1), 6)
    assert rows[32] == (MEMORY, 0, 7, 1, 1) and rows[33:] == [(0,) * 5] * 31
    # No input either where the input would start at the very end.
    rows = cells(text, Limits(6, memory_size=4), 6)
    assert [row[3] for row in rows] == [1] * 36 + [0] * 28


def test_cells_are_distinct():
    rows = cells("halt", Limits(7, memory_size=20, stack_size=20), 7)
    live = [row[:2] for row in rows if row[4]]
    assert len(live) == len(set(live)) == 72


# --- The executor's division -----------------------------------------------------------------


def test_the_executor_divides_by_words_of_every_size():
    """Its inverse goes through remainders of any size and a table of small ones."""
    execute = pytest.importorskip("jaxstark.vm.executor").execute
    pytest.importorskip("numba", reason="numba is missing: the executor was not run")
    rng = random.Random(5)
    words = {w for k in range(31) for w in (2**k - 1, 2**k, 2**k + 1, P - 2**k)} - {0, P}
    words |= {rng.randrange(1, 2**k) for k in range(1, 32) for _ in range(60)} - {P}
    divisors = sorted(words)
    body = []
    for i, word in enumerate(divisors):
        body += [("LoadImm", 1, i + 1), ("LoadImm", 2, word), ("Div", 3, 0)]
    program = Program.of(
        [
            *(
                Instruction.of(name, dst=dst, imm=imm)
                if name == "LoadImm"
                else Instruction.of(name, dst=3, src1=1, src2=2)
                for name, dst, imm in body
            ),
            Instruction.of("Halt"),
        ]
    )
    quotients = execute(program).values[2::3].tolist()
    for i, (word, quotient) in enumerate(zip(divisors, quotients, strict=False)):
        assert quotient * word % P == i + 1 and quotient < P
    assert len(divisors) > 1500
