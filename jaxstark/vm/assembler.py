"""The assembler: text to program, in two passes.

    ; dot product of two vectors of 4 words
    .const  N, 4
    .data   w, 3, -1, 2, 5      ; initial memory; w is its address
    .input  x                   ; where the public input starts
        loadimm r1, 0
        loadimm r2, N - 1
    again:
        load    r3, [r2 + x]
        load    r4, [r2 + w]
        mac     r1, r3, r4
        loop    r2, r2, again
        out     r1
        halt

The grammar is in docs/obelysk.md. The first pass expands macros and places labels, data and room;
the second one evaluates operands, so that a label may be used above its definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.isa import HALF, MAX_SHIFT, Opcode
from jaxstark.vm.macros import BUILT_IN
from jaxstark.vm.program import MAX_INSTRUCTIONS, MAX_MEMORY, Instruction, Program
from jaxstark.vm.syntax import (
    AssemblyError,
    Operand,
    Parser,
    Token,
    register_number,
    split_operands,
    tokens_of,
)

__all__ = ["AssemblyError", "assemble"]

_MAX_DEPTH = 16
_DIRECTIVES = ".const .reg .data .space .input .macro .endmacro".split()


def assemble(text: str) -> Program:
    """The program of an assembler text; ``AssemblyError`` (a ``ValueError``) says what is wrong."""
    if not isinstance(text, str):
        raise ValueError(f"assembler: expected text, got {type(text).__name__}")
    assembler = _Assembler(dict(_built_in_macros()))
    assembler.read(tokens_of(line, number) for number, line in enumerate(text.splitlines(), 1))
    return assembler.program()


@dataclass(frozen=True)
class _Macro:
    name: Token
    parameters: tuple[str, ...]
    body: list[list[Token]] = field(default_factory=list)
    built_in: bool = False


@dataclass(frozen=True)
class _Statement:
    token: Token
    rows: tuple[Opcode, ...]
    operands: list[list[Token]]


@cache
def _built_in_macros() -> tuple[tuple[str, _Macro], ...]:
    reader = _Assembler({}, built_in=True)
    reader.read(tokens_of(line, number) for number, line in enumerate(BUILT_IN.splitlines(), 1))
    return tuple(reader.macros.items())


class _Assembler:
    def __init__(self, macros: dict[str, _Macro], built_in: bool = False) -> None:
        self.macros = macros
        self._built_in = built_in
        self._numbers: dict[str, int] = {}
        self._places: dict[str, int] = {}  # names of room, by offset behind the data
        self._registers: dict[str, int] = {}
        self._defined: dict[str, Token] = {}
        self._statements: list[_Statement] = []
        self._data: list[list[Token]] = []
        self._room = 0
        self._input: Token | None = None
        self._open: _Macro | None = None
        self._expansions = 0
        self._last = Token("end", "", 1, 1)

    # First pass.

    def read(self, lines: Iterable[list[Token]]) -> None:
        for line in lines:
            self._line(line, 0)
        if self._open:
            name = self._open.name
            raise self._last.error(f"`.endmacro` for macro {name.text} of line {name.line}")

    def _line(self, line: list[Token], depth: int) -> None:
        self._last = line[-1]
        if self._open:
            if line[0].text == ".endmacro":
                self._end(line, 1)
                self._open = None
            elif line[0].text == ".macro":
                raise line[0].error(f"`.endmacro` for macro {self._open.name.text} first")
            else:
                self._open.body.append(line)
            return
        while len(line) > 2 and line[0].kind == "name" and line[1].text == ":":
            self._define(line[0], len(self._statements))
            line = line[2:]
        first, rest = line[0], line[1:]
        if first.kind == "end":
            return
        if first.kind == "name" and first.text in _DIRECTIVES:
            self._directive(first, rest)
        elif first.text in self.macros:
            self._expand(self.macros[first.text], first, rest, depth)
        elif first.text in isa.MNEMONICS:
            rows = isa.MNEMONICS[first.text]
            if len(self._statements) == MAX_INSTRUCTIONS:
                raise first.error(f"at most {MAX_INSTRUCTIONS} instructions")
            self._statements.append(_Statement(first, rows, split_operands(rest)))
        else:
            raise first.error("an instruction, a macro, a directive or a label with `:`")

    def _directive(self, first: Token, rest: list[Token]) -> None:
        if first.text == ".endmacro":
            raise first.error("`.macro` above")
        if first.text == ".macro":
            self._begin_macro(rest)
            return
        name = rest[0]
        if name.kind != "name":
            raise name.error(f"the name that {first.text} defines")
        if first.text == ".input":
            self._end(rest, 1)
            if self._input:
                raise first.error(f"one .input (the first is on line {self._input.line})")
            self._input = name
            self._define(name, None)
            return
        if rest[1].text != "," or rest[1].kind != "mark":
            raise rest[1].error("a comma")
        operands = split_operands(rest[2:])
        if not operands:
            raise rest[2].error("an operand")
        if first.text != ".data" and len(operands) > 1:
            raise operands[0][-1].error("the end of the line", "`,`")
        if first.text == ".data":
            self._define(name, len(self._data))
            self._data += operands
        elif first.text == ".reg":
            register = self._parse(operands[0])
            if register.kind != "register":
                raise register.token.error("a register")
            self._define(name, None)
            self._registers[name.text] = register.registers[0]
        else:
            operand = self._number(operands[0])
            if first.text == ".const":
                self._define(name, operand.value)
                return
            if not 0 <= operand.value <= MAX_MEMORY:
                raise operand.token.error(f"a size in 0..{MAX_MEMORY}", str(operand.value))
            self._define(name, None)
            self._places[name.text] = self._room
            self._room += operand.value

    def _define(self, name: Token, value: int | None) -> None:
        if name.text in self._defined:
            line = self._defined[name.text].line
            raise name.error("a new name", f"`{name.shown}`, which line {line} defines")
        if register_number(name.text) is not None or name.text.startswith("."):
            raise name.error("a name that is no register or directive")
        self._defined[name.text] = name
        if value is not None:
            self._numbers[name.text] = value

    def _begin_macro(self, rest: list[Token]) -> None:
        name = rest[0]
        if name.kind != "name" or name.text[0] in ".@":
            raise name.error("the name of the macro")
        if name.text in isa.MNEMONICS or name.text in self.macros:
            raise name.error("a new name for the macro", f"`{name.text}`, which has a meaning")
        parameters = split_operands(rest[1:])
        for tokens in parameters:
            if tokens[0].kind != "name" or tokens[0].text[0] in ".@":
                raise tokens[0].error("the name of a parameter")
            self._end(tokens, 1)
        names = tuple(tokens[0].text for tokens in parameters)
        self._open = _Macro(name, names, built_in=self._built_in)
        self.macros[name.text] = self._open

    def _expand(self, macro: _Macro, call: Token, rest: list[Token], depth: int) -> None:
        if depth == _MAX_DEPTH:
            raise call.error(f"macros nested at most {_MAX_DEPTH} deep")
        given = split_operands(rest)
        if len(given) != len(macro.parameters):
            usage = f"{macro.name.text} {', '.join(macro.parameters)}".rstrip()
            at = given[-1][-1] if given else rest[0]
            raise at.error(f"{len(macro.parameters)} arguments (`{usage}`)", str(len(given)))
        arguments = {
            name: _grouped(tokens[:-1])
            for name, tokens in zip(macro.parameters, given, strict=True)
        }
        self._expansions += 1
        kind = "built-in macro" if macro.built_in else "macro"
        note = f"in {kind} {macro.name.text}, called on line {call.line}"
        note = f"{note}, {call.note}" if call.note else note
        for line in macro.body:
            self._line(self._instance(line, arguments, call, macro, note), depth + 1)

    def _instance(
        self,
        line: list[Token],
        arguments: dict[str, list[Token]],
        call: Token,
        macro: _Macro,
        note: str,
    ) -> list[Token]:
        out: list[Token] = []
        for token in line:
            if token.kind == "name" and token.text in arguments:
                out += arguments[token.text]
                continue
            # A name with @ belongs to one expansion.
            local = token.kind == "name" and token.text[0] == "@"
            text = f"{token.text}#{self._expansions}" if local else token.text
            place = call if macro.built_in else token
            out.append(Token(token.kind, text, place.line, place.column, note))
        return out

    @staticmethod
    def _end(tokens: Sequence[Token], at: int) -> None:
        if tokens[at].kind != "end":
            raise tokens[at].error("the end of the line")

    # Second pass.

    def program(self) -> Program:
        """Evaluate all operands."""
        base = len(self._data)
        self._numbers |= {name: base + offset for name, offset in self._places.items()}
        end = base + self._room
        if end > MAX_MEMORY:
            raise self._last.error(f"at most {MAX_MEMORY} words of data and room", str(end))
        if self._input:
            self._numbers[self._input.text] = end
        data = [self._word(self._number(tokens)) for tokens in self._data]
        instructions = [self._instruction(statement) for statement in self._statements]
        if isa.BY_NAME["Halt"].code not in {i.opcode for i in instructions}:
            raise self._last.error("a halt", "the end of the program")
        return Program.of(instructions, data, end)

    def _instruction(self, statement: _Statement) -> Instruction:
        rows = statement.rows
        forms = " or ".join(f"`{row.mnemonic} {row.operands}`".replace(" `", "`") for row in rows)
        given = [self._parse(tokens) for tokens in statement.operands]
        if len(given) != len(rows[0].operand_list):
            at = statement.operands[-1][-1] if given else statement.token
            count = f"{len(given)} operand" + ("s" if len(given) != 1 else "")
            raise at.error(f"{len(rows[0].operand_list)} ({forms})", count)
        addresses = [operand for operand in given if operand.kind == "address"]
        if addresses:
            rows = tuple(r for r in rows if _address_size(r) == len(addresses[0].registers))
            if not rows:
                raise addresses[0].token.error(forms, "another kind of operand")
        fields: dict[str, int] = {}
        for operand, wanted in zip(given, rows[0].operand_list, strict=True):
            fields |= self._fields(operand, wanted)
        return Instruction(rows[0].code, **fields)

    def _fields(self, operand: Operand, wanted: str) -> dict[str, int]:
        token = operand.token
        if wanted.startswith("["):
            if operand.kind != "address":
                raise token.error("an address in [ ]")
            names = [name for name in ("src1", "src2") if name in wanted]
            fields = dict(zip(names, operand.registers, strict=True))
            return fields | {"imm": self._word(operand)}
        if wanted in ("dst", "src1", "src2"):
            if operand.kind != "register":
                raise token.error("a register r0..r31")
            return {wanted: operand.registers[0]}
        if operand.kind != "number":
            raise token.error({"target": "a label"}.get(wanted, "a number"))
        if wanted == "target" and not 0 <= operand.value < len(self._statements):
            raise token.error(
                f"an instruction of the program (0..{len(self._statements) - 1})",
                f"{operand.value}",
            )
        if wanted == "shift" and not 1 <= operand.value <= MAX_SHIFT:
            raise token.error(f"a shift in 1..{MAX_SHIFT}", f"{operand.value}")
        return {"imm": self._word(operand)}

    @staticmethod
    def _word(operand: Operand) -> int:
        if not -HALF <= operand.value < P:
            raise operand.token.error(f"a word in -{HALF}..{P - 1}", str(operand.value))
        return operand.value % P

    def _parse(self, tokens: Sequence[Token]) -> Operand:
        return Parser(tokens, self._value, self._register).operand()

    def _number(self, tokens: Sequence[Token]) -> Operand:
        operand = self._parse(tokens)
        if operand.kind != "number":
            raise operand.token.error("a number")
        return operand

    def _register(self, name: str) -> int | None:
        return self._registers.get(name, register_number(name))

    def _value(self, token: Token) -> int:
        if token.text not in self._numbers:
            expected = "a constant that stands above" if token.text in self._defined else ""
            raise token.error(expected or "the name of a label, a constant or data")
        return self._numbers[token.text]


def _grouped(tokens: list[Token]) -> list[Token]:
    """The tokens of an argument, in parentheses if they are an expression."""
    if len(tokens) < 2 or tokens[0].text == "[":
        return tokens
    first, last = tokens[0], tokens[-1]
    opening = Token("mark", "(", first.line, first.column, first.note)
    return [opening, *tokens, Token("mark", ")", last.line, last.column, last.note)]


def _address_size(row: Opcode) -> int:
    return sum(operand.count("src") for operand in row.operand_list if operand.startswith("["))
