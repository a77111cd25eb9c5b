"""The instruction set of Obelysk, in one table.

``INSTRUCTIONS`` drives assembler, disassembler, binary encoding, both interpreters, the AIR and
the table of docs/obelysk.md: a new instruction is one row. Its semantics are Python expressions
over

* ``a``, ``b``: the words of registers src1 and src2 before the step; ``d``: of register dst,
* ``imm``, ``pc``, ``depth``: the immediate, the program counter, the number of open calls,
* ``memory[i]``, ``stack[i]``, and in ``value`` and ``next_pc`` the row's ``address``,
* ``P``, ``HALF`` = (p-1)/2, and ``inverse(x)`` for x != 0.

Every expression stays within signed 64 bits for words below p, because the compiled executor
evaluates it in int64. One step reads at most the three registers src1, src2 and dst, touches at
most one cell of memory or stack, and writes at most one register, so that a step is a fixed number
of accesses of a memory argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jaxstark.fields.m31 import P

HALF = P >> 1  # (p - 1) / 2, the largest signed value
REGISTERS = 32
MAX_SHIFT = 16

# What a step does with its value.
REGISTER, STORE, CALL, RETURN, OUTPUT, HALT, NOTHING = (
    "register store call return output halt nothing".split()
)

# Reasons of faults that no single instruction owns.
UNKNOWN_OPCODE = "unknown opcode"
PC_OUTSIDE = "pc outside the program"
STEP_LIMIT = "step limit reached"
MEMORY_LIMIT = "memory limit exceeded"
STACK_LIMIT = "call stack limit exceeded"
EMPTY_STACK = "return on an empty stack"
ZERO_DIVISOR = "division by zero"
SHIFT_RANGE = f"shift outside 1..{MAX_SHIFT}"


@dataclass(frozen=True)
class Opcode:
    """One instruction of the machine.

    Attributes:
      code: opcode byte, 1..255.
      name: its name in the documentation.
      operands: assembler operands, each of which names the field that it fills: ``dst``, ``src1``,
        ``src2``, ``imm``, ``target`` and ``shift`` (both in imm), or an address ``[src1 + imm]``.
        Fields that are not named are 0 in the encoding.
      value: the word that the step computes; ``"0"`` if it computes none.
      effect: what becomes of the value: ``REGISTER`` puts it into dst, ``STORE`` into memory,
        ``CALL`` onto the stack, ``OUTPUT`` into the output; ``RETURN`` drops a stack cell,
        ``HALT`` stops, ``NOTHING`` does nothing.
      address: the cell that the step touches, of the stack for ``CALL`` and ``RETURN``, else of
        memory; None if it touches none.
      circuit: how the AIR computes the same, as ``name=expression`` pairs over imm and pc: the
        coefficients of docs/obelysk.md, "The step"; what is not named is 0 (``seq``: pc + 1,
        ``op``: the code). ``swap=1`` exchanges the two sources.
      next_pc: the next program counter.
      fault: condition and reason of a fault of this instruction alone.
      summary: one line for people.
      legacy: opcode number of the original system, 0 if it had none of its own.
    """

    code: int
    name: str
    operands: str
    value: str
    summary: str
    circuit: str
    effect: str = REGISTER
    address: str | None = None
    next_pc: str = "pc + 1"
    fault: tuple[str, str] | None = None
    legacy: int = 0

    @property
    def mnemonic(self) -> str:
        """Assembler name; instructions that differ in the address form only share one."""
        return self.name.lower().removesuffix("ind").removesuffix("idx")

    @property
    def operand_list(self) -> list[str]:
        """The operands, such as ``["dst", "[src1 + imm]"]``."""
        return [part.strip() for part in self.operands.split(",")] if self.operands else []

    @property
    def fields(self) -> frozenset[str]:
        """Fields of the encoding that the operands fill: of dst, src1, src2, imm."""
        names = re.findall(r"\w+", self.operands)
        return frozenset("imm" if name in ("target", "shift") else name for name in names)

    @property
    def writes_register(self) -> bool:
        """Whether the step writes register dst."""
        return self.effect == REGISTER

    @property
    def reads_dst(self) -> bool:
        """Whether the step reads register dst before it writes it."""
        return self._mentions("d")

    @property
    def reads_memory(self) -> bool:
        """Whether the step reads a memory cell."""
        return self._mentions("memory")

    def _mentions(self, name: str) -> bool:
        return re.search(rf"\b{name}\b", self.value) is not None


def _row(*fields: Any, **rest: Any) -> Opcode:
    return Opcode(*fields, **rest)


_DSS, _DSI = "dst, src1, src2", "dst, src1, imm"

INSTRUCTIONS: tuple[Opcode, ...] = (
    # Arithmetic mod p.
    _row(1, "Add", _DSS, "(a + b) % P", "sum", "r_a=1 r_b=1 v_r=1", legacy=1),
    _row(2, "Sub", _DSS, "(a - b) % P", "difference", "r_a=1 r_b=-1 v_r=1", legacy=2),
    _row(3, "Mul", _DSS, "a * b % P", "product", "r_ab=1 v_r=1", legacy=3),
    _row(4, "LoadImm", "dst, imm", "imm", "constant", "r_1=imm v_r=1", legacy=4),
    _row(
        6,
        "Div",
        _DSS,
        "a * inverse(b) % P",
        "field quotient; faults for divisor 0",
        "r_b=1 v_q=1",
        fault=("b == 0", ZERO_DIVISOR),
    ),
    _row(7, "Neg", "dst, src1", "-a % P", "negation", "r_a=-1 v_r=1"),
    _row(8, "AddI", _DSI, "(a + imm) % P", "sum with a constant", "r_a=1 r_1=imm v_r=1"),
    _row(9, "MulI", _DSI, "a * imm % P", "product with a constant", "r_a=imm v_r=1"),
    _row(10, "Mac", _DSS, "(d + a * b) % P", "multiply and accumulate", "r_ab=1 r_d=1 v_r=1"),
    # Values as integers.
    _row(16, "Eq", _DSS, "1 if a == b else 0", "1 if equal, else 0", "r_a=1 r_b=-1 v_z=-1 v_1=1"),
    _row(
        17,
        "Lt",
        _DSS,
        "1 if a < b else 0",
        "1 if less as unsigned words, else 0",
        "r_b=1 v_x=1 co=1",
    ),
    _row(
        18,
        "Gt",
        _DSS,
        "1 if a > b else 0",
        "1 if greater as unsigned words, else 0",
        "op=17 swap=1 r_b=1 v_x=1 co=1",
    ),
    _row(19, "ReLU", "dst, src1", "a if a <= HALF else 0", "0 for negative words", "v_x=1 co=1"),
    _row(
        20,
        "Shr",
        "dst, src1, shift",
        "((a if a <= HALF else a - P) >> imm) % P",
        f"signed word divided by 2^shift, rounded down; shift is 1..{MAX_SHIFT}",
        "r_1=1<<imm v_x=1 co=1",
        fault=(f"imm < 1 or imm > {MAX_SHIFT}", SHIFT_RANGE),
    ),
    # Bitwise on words below p; a result of all ones, the word p, is 0.
    _row(
        5,
        "Xor",
        _DSS,
        "(a ^ b) % P",
        "exclusive or; 0 for the word p",
        "r_b=1 v_x=1 co=1",
        legacy=5,
    ),
    _row(24, "And", _DSS, "a & b", "bitwise and", "r_b=1 v_x=1 co=1"),
    _row(25, "Or", _DSS, "(a | b) % P", "bitwise or; 0 for the word p", "r_b=1 v_x=1 co=1"),
    # Memory.
    _row(32, "Load", "dst, [imm]", "memory[address]", "load", "r_1=imm v_x=1", address="imm"),
    _row(
        33,
        "LoadInd",
        "dst, [src1 + imm]",
        "memory[address]",
        "load, indirect",
        "r_a=1 r_1=imm v_x=1",
        address="(a + imm) % P",
    ),
    _row(
        34,
        "LoadIdx",
        "dst, [src1 + src2 + imm]",
        "memory[address]",
        "load, indexed",
        "r_a=1 r_b=1 r_1=imm v_x=1",
        address="(a + b + imm) % P",
    ),
    _row(
        35,
        "Store",
        "src2, [imm]",
        "b",
        "store",
        "r_1=imm v_b=1",
        effect=STORE,
        address="imm",
    ),
    _row(
        36,
        "StoreInd",
        "src2, [src1 + imm]",
        "b",
        "store, indirect",
        "r_a=1 r_1=imm v_b=1",
        effect=STORE,
        address="(a + imm) % P",
    ),
    # Control.
    _row(48, "Jump", "target", "0", "jump", "seq=imm", effect=NOTHING, next_pc="imm"),
    _row(
        49,
        "JumpIf",
        "src1, target",
        "0",
        "jump if src1 is not 0",
        "r_a=1 delta=imm-pc-1",
        effect=NOTHING,
        next_pc="imm if a != 0 else pc + 1",
    ),
    _row(
        50,
        "Loop",
        "dst, src1, target",
        "(a - 1) % P",
        "decrement; jump if src1 was not 0, so that a body runs for src1 = n-1, ..., 1, 0",
        "r_a=1 v_r=1 v_1=-1 delta=imm-pc-1",
        next_pc="imm if a != 0 else pc + 1",
    ),
    _row(
        51,
        "Call",
        "target",
        "pc + 1",
        "push the return address, jump",
        "stack=1 v_1=pc+1 seq=imm",
        effect=CALL,
        address="depth",
        next_pc="imm",
    ),
    _row(
        52,
        "Return",
        "",
        "stack[address]",
        "pop a return address, jump to it",
        "stack=1 r_1=-1 v_x=1 seq=0",
        effect=RETURN,
        address="depth - 1",
        next_pc="value",
        fault=("depth == 0", EMPTY_STACK),
    ),
    _row(64, "Out", "src1", "a", "append to the public output", "r_a=1 v_r=1", effect=OUTPUT),
    _row(
        255,
        "Halt",
        "",
        "0",
        "stop; the only way to end without a fault",
        "seq=pc",
        effect=HALT,
        next_pc="pc",
        legacy=255,
    ),
)

BY_CODE: dict[int, Opcode] = {row.code: row for row in INSTRUCTIONS}
BY_NAME: dict[str, Opcode] = {row.name: row for row in INSTRUCTIONS}
MNEMONICS: dict[str, tuple[Opcode, ...]] = {
    row.mnemonic: tuple(other for other in INSTRUCTIONS if other.mnemonic == row.mnemonic)
    for row in INSTRUCTIONS
}

# Every reason of a fault, in a fixed order.
FAULTS: tuple[str, ...] = (
    PC_OUTSIDE,
    STEP_LIMIT,
    UNKNOWN_OPCODE,
    MEMORY_LIMIT,
    STACK_LIMIT,
    *dict.fromkeys(row.fault[1] for row in INSTRUCTIONS if row.fault),
)


def markdown_table() -> str:
    """The table of docs/obelysk.md."""
    effects = {
        REGISTER: "dst ← {}",
        STORE: "memory[address] ← {}",
        CALL: "stack[address] ← {}",
        OUTPUT: "output ← {}",
    }
    lines = [
        "| code | name | assembler | effect | address | next pc | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in INSTRUCTIONS:
        value = effects.get(row.effect, "").format(f"`{row.value}`".replace("|", "\\|"))
        if row.effect == RETURN:
            value = f"value is `{row.value}`"
        address = f"`{row.address}`" if row.address else ""
        next_pc = "" if row.next_pc == "pc + 1" else f"`{row.next_pc}`"
        assembler = f"`{row.mnemonic} {row.operands}`".replace(" `", "`")
        cells = (row.code, row.name, assembler, value, address, next_pc, row.summary)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines) + "\n"
