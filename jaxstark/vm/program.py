"""A program: instructions, initial memory, place of the public input; encoding and disassembly.

Binary form, little-endian 32-bit words:

    "OBLK"  version  n  m  input_address
    n x (opcode + 2^8 dst + 2^16 src1 + 2^24 src2, imm)
    m x data word

Data words are memory cells 0..m-1 before the first step, the public input follows from
``input_address`` >= m on, and every other cell is 0. The form is canonical: a program has one, and
``decode`` accepts nothing else. ``Program.hash`` is BLAKE2s of the length of the form, as 8 bytes,
and the form.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.isa import HALF, REGISTERS, Opcode

MAGIC = b"OBLK"
VERSION = 1
MAX_INSTRUCTIONS = 1 << 24
MAX_MEMORY = 1 << 24
_HEADER = struct.Struct("<4s4I")
_SHIFTS = {"dst": 8, "src1": 16, "src2": 24}


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction; fields that its opcode does not use are 0.

    Attributes:
      opcode: opcode byte, known or not.
      dst: destination register, as ``src1`` and ``src2`` are sources, 0..31.
      imm: immediate word, 0..p-1.
    """

    opcode: int
    dst: int = 0
    src1: int = 0
    src2: int = 0
    imm: int = 0

    @classmethod
    def of(cls, name: str, dst: int = 0, src1: int = 0, src2: int = 0, imm: int = 0) -> Instruction:
        """By name of the instruction; a negative ``imm`` stands for its residue mod p."""
        if name not in isa.BY_NAME:
            raise ValueError(f"instruction: expected one of {', '.join(isa.BY_NAME)}, got {name!r}")
        if not -HALF <= imm < P:
            raise ValueError(f"instruction {name}, imm: expected -{HALF}..{P - 1}, got {imm}")
        return cls(isa.BY_NAME[name].code, dst, src1, src2, imm % P)

    @property
    def row(self) -> Opcode | None:
        """Its row of the instruction table, None for an unknown opcode."""
        return isa.BY_CODE.get(self.opcode)

    def words(self) -> tuple[int, int]:
        """The two words of its encoding."""
        fields = (self.dst, self.src1, self.src2)
        if not 0 <= self.opcode < 256 or any(not 0 <= field < REGISTERS for field in fields):
            raise ValueError(
                f"instruction: expected an opcode below 256 and registers below {REGISTERS}, "
                f"got {self}"
            )
        return self.opcode | self.dst << 8 | self.src1 << 16 | self.src2 << 24, self.imm

    def __str__(self) -> str:
        return self.text()

    def text(self, target: str | None = None) -> str:
        """Assembler text; ``target`` is the label to print for a jump target."""
        row = self.row
        if row is None:
            return f"opcode {self.opcode}"
        operands = [self._operand(operand, target) for operand in row.operand_list]
        return f"{row.mnemonic} {', '.join(operands)}".rstrip()

    def _operand(self, operand: str, target: str | None) -> str:
        if not operand.startswith("["):
            if operand in _SHIFTS:
                return f"r{getattr(self, operand)}"
            return target if operand == "target" and target else _number(self.imm)
        parts = [f"r{getattr(self, name)}" for name in ("src1", "src2") if name in operand]
        offset = _number(self.imm)
        if not parts:
            return f"[{offset}]"
        if offset != "0":
            parts.append(offset)
        return f"[{' + '.join(parts)}]".replace("+ -", "- ")


@dataclass(frozen=True, eq=False)
class Program:
    """A program; compared and hashed by value.

    Attributes:
      words: the encoded instructions, uint32 ``[n, 2]``, n >= 1.
      data: initial memory from address 0 on, uint32 ``[m]``.
      input_address: address of the first word of the public input, >= m; by default m.

    The arrays are copied and become read-only. Raises ``ValueError`` for words that encode no
    register or no field element. Unknown opcodes and targets outside the program may be built, and
    fault when they are executed; ``check`` refuses them.
    """

    words: np.ndarray
    data: np.ndarray = ()  # type: ignore[assignment]
    input_address: int = -1

    def __post_init__(self) -> None:
        words, data = _word_array("program", self.words), _word_array("data", self.data)
        if words.ndim != 2 or words.shape[1] != 2 or not 1 <= len(words) <= MAX_INSTRUCTIONS:
            raise ValueError(
                f"program: expected 1..{MAX_INSTRUCTIONS} instructions of 2 words, got an array of "
                f"shape {words.shape}"
            )
        if data.ndim != 1 or len(data) > MAX_MEMORY:
            raise ValueError(
                f"data: expected at most {MAX_MEMORY} words, got an array of shape {data.shape}"
            )
        address = len(data) if self.input_address == -1 else self.input_address
        if type(address) is not int or not len(data) <= address <= MAX_MEMORY:
            raise ValueError(
                f"input address: expected {len(data)}..{MAX_MEMORY}, behind the data, got "
                f"{address!r}"
            )
        registers = (words[:, :1] >> np.array([8, 16, 24], np.uint32)) & np.uint32(255)
        self._refuse(words, (registers >= REGISTERS).any(axis=1), f"registers below {REGISTERS}")
        self._refuse(words, words[:, 1] >= P, "an immediate below p")
        if len(data) and int(data.max()) >= P:
            raise ValueError(f"data: expected words below {P}, got {int(data.max())}")
        for name, value in (("words", words), ("data", data), ("input_address", address)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls, instructions: Iterable[Instruction], data: Sequence[int] = (), input_address: int = -1
    ) -> Program:
        """From decoded instructions and data words, which may be negative."""
        words = [instruction.words() for instruction in instructions]
        return cls(np.array(words, np.int64).reshape(-1, 2), words_of("data", data), input_address)

    @staticmethod
    def _refuse(words: np.ndarray, bad: np.ndarray, expected: str) -> None:
        if bad.any():
            pc = int(np.argmax(bad))
            got = " ".join(f"{int(word):#010x}" for word in words[pc])
            raise ValueError(f"program, instruction {pc}: expected {expected}, got words {got}")

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, pc: int) -> Instruction:
        head, imm = (int(word) for word in self.words[pc])
        return Instruction(head & 255, head >> 8 & 255, head >> 16 & 255, head >> 24, imm)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        mine, theirs = (self.words, self.data), (other.words, other.data)
        same = all(np.array_equal(x, y) for x, y in zip(mine, theirs, strict=True))
        return same and self.input_address == other.input_address

    def __hash__(self) -> int:
        return hash((self._form, self.input_address))

    @property
    def opcodes(self) -> np.ndarray:
        """Opcode of every instruction, uint32 ``[n]``."""
        return self.words[:, 0] & np.uint32(255)

    def field(self, name: str) -> np.ndarray:
        """Field ``"dst"``, ``"src1"``, ``"src2"`` or ``"imm"`` of every instruction, uint32."""
        if name == "imm":
            return self.words[:, 1]
        return (self.words[:, 0] >> np.uint32(_SHIFTS[name])) & np.uint32(255)

    @cached_property
    def _form(self) -> bytes:
        header = _HEADER.pack(MAGIC, VERSION, len(self.words), len(self.data), self.input_address)
        return header + self.words.astype("<u4").tobytes() + self.data.astype("<u4").tobytes()

    def check(self) -> Program:
        """The program itself; ``ValueError`` unless it is one that can be assembled and proved.

        Opcodes are known, unused fields 0, targets inside the program, shifts in range, and there
        is a Halt.
        """
        opcodes = self.opcodes
        known = np.zeros(256, bool)
        known[list(isa.BY_CODE)] = True
        self._refuse(self.words, ~known[opcodes], "a known opcode")
        for row in isa.INSTRUCTIONS:
            here = opcodes == row.code
            if not here.any():
                continue
            for name in ("dst", "src1", "src2", "imm"):
                if name not in row.fields:
                    stray = here & (self.field(name) != 0)
                    self._refuse(self.words, stray, f"{name} = 0 in {row.name}")
            imm = self.field("imm")
            if "target" in row.operand_list:
                expected = f"a target of {row.name} in 0..{len(self) - 1}"
                self._refuse(self.words, here & (imm >= len(self)), expected)
            if "shift" in row.operand_list:
                bad = here & ((imm < 1) | (imm > isa.MAX_SHIFT))
                self._refuse(self.words, bad, f"a shift in 1..{isa.MAX_SHIFT}")
        self.require_halt()
        return self

    def require_halt(self) -> None:
        """``ValueError`` for a program that cannot end."""
        if not (self.opcodes == isa.BY_NAME["Halt"].code).any():
            raise ValueError(
                f"program: expected at least one halt, got {len(self)} instructions without"
            )

    def encode(self) -> bytes:
        """The binary form of a program that passes ``check``."""
        self.check()
        return self._form

    @cached_property
    def hash(self) -> bytes:
        """32 bytes that stand for the program in a statement; see the module docstring."""
        form = self.encode()
        return hashlib.blake2s(struct.pack("<Q", len(form)) + form).digest()

    def disassemble(self) -> str:
        """Assembler text that assembles to this program."""
        self.check()
        lines = []
        for start in range(0, len(self.data), 16):
            words = ", ".join(_number(int(word)) for word in self.data[start : start + 16])
            lines.append(f".data data{start}, {words}")
        if self.input_address > len(self.data):
            lines.append(f".space free, {self.input_address - len(self.data)}")
        lines.append(".input input")
        jumps = np.array(["target" in row.operand_list for row in isa.INSTRUCTIONS])
        codes = np.array([row.code for row in isa.INSTRUCTIONS])[jumps]
        targets = set(self.words[np.isin(self.opcodes, codes), 1].tolist())
        for pc in range(len(self)):
            if pc in targets:
                lines.append(f"L{pc}:")
            instruction = self[pc]
            lines.append(f"    {instruction.text(f'L{instruction.imm}')}")
        return "\n".join(lines) + "\n"


def decode(form: bytes) -> Program:
    """The program of a binary form; ``ValueError`` says what is wrong with it."""
    if len(form) < _HEADER.size:
        raise ValueError(f"program file: expected at least {_HEADER.size} bytes, got {len(form)}")
    magic, version, n, m, input_address = _HEADER.unpack_from(form)
    if magic != MAGIC:
        raise ValueError(f"program file: expected it to begin with {MAGIC!r}, got {magic!r}")
    if version != VERSION:
        raise ValueError(f"program file, version: expected {VERSION}, got {version}")
    size = _HEADER.size + 8 * n + 4 * m
    if len(form) != size:
        raise ValueError(
            f"program file: expected {size} bytes for {n} instructions and {m} data words, got "
            f"{len(form)}"
        )
    words = np.frombuffer(form, "<u4", 2 * n, _HEADER.size).reshape(n, 2)
    data = np.frombuffer(form, "<u4", m, _HEADER.size + 8 * n)
    return Program(words, data, input_address).check()


def words_of(what: str, values: Any) -> np.ndarray:
    """Words uint32 ``[n]`` of integers in -(p-1)/2..p-1; ``ValueError`` for anything else."""
    given = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(
            f"{what}: expected a sequence of integers, got {given.dtype} of shape {given.shape}"
        )
    bad = (given >= P) | (given < -HALF)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{what}, word {at}: expected -{HALF}..{P - 1}, got {int(given[at])}")
    return (given.astype(np.int64) % P).astype(np.uint32)


def _word_array(what: str, given: Any) -> np.ndarray:
    array = np.asarray(given)
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >> 32):
        raise ValueError(f"{what}: expected 32-bit words, got an array of {array.dtype}")
    array = array.astype(np.uint32, order="C")
    array.flags.writeable = False
    return array


def _number(word: int) -> str:
    return str(word if word <= HALF else word - P)
