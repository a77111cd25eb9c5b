"""Tokens and expressions of the assembler, and its error."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxstark.vm.isa import REGISTERS

_TOKEN = re.compile(
    r"\s*(?:(?P<comment>;.*)|(?P<number>0[xX][0-9a-fA-F]+|[0-9]+)(?![\w.])"
    r"|(?P<name>[.@]?[A-Za-z_]\w*)|(?P<mark>[][,:+*()-]))"
)


class AssemblyError(ValueError):
    """Assembler text that means nothing.

    Attributes:
      line: line, from 1.
      column: column, from 1.
      expected: what would have been right.
      found: what stands there.
      note: the macros in which it stands, or ``""``.
    """

    def __init__(self, line: int, column: int, expected: str, found: str, note: str = "") -> None:
        where = f"line {line}, column {column}"
        super().__init__(f"{where}: expected {expected}, found {found}{note and f' ({note})'}")
        self.line, self.column = line, column
        self.expected, self.found, self.note = expected, found, note


@dataclass(frozen=True)
class Token:
    """A word of the text with its place; ``kind`` is ``number``, ``name``, ``mark`` or ``end``."""

    kind: str
    text: str
    line: int
    column: int
    note: str = ""

    def error(self, expected: str, found: str = "") -> AssemblyError:
        """The error that something else was expected here."""
        found = found or ("the end of the line" if self.kind == "end" else f"`{self.shown}`")
        return AssemblyError(self.line, self.column, expected, found, self.note)

    @property
    def shown(self) -> str:
        """The text as it was written: a local name without its number of expansion."""
        return self.text.partition("#")[0]

    def moved(self, text: str, note: str) -> Token:
        """A copy with another text and note."""
        return replace(self, text=text, note=note)


def tokens_of(text: str, line: int) -> list[Token]:
    """The tokens of one line, without comment, closed by a token of kind ``end``."""
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            bad = re.match(r"[\w.]+|.", text[start:])
            shown = bad.group() if bad else text[start]
            raise AssemblyError(
                line, start + 1, "a number, a name or one of , : [ ] + - * ( ) ;", f"`{shown}`"
            )
        at = match.end()
        kind = match.lastgroup or ""
        if kind != "comment":
            tokens.append(Token(kind, match[kind], line, match.start(kind) + 1))
    return [*tokens, Token("end", "", line, len(text) + 1)]


def split_operands(tokens: Sequence[Token]) -> list[list[Token]]:
    """Token lists between commas outside brackets; each is closed by an ``end`` token."""
    if tokens[0].kind == "end":
        return []
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in "[(" and token.kind == "mark") - (
            token.text in "])" and token.kind == "mark"
        )
        if token.kind == "mark" and token.text == "," and depth == 0:
            parts[-1].append(replace(token, kind="end"))
            parts.append([])
        else:
            parts[-1].append(token)
    for part in parts:
        if part[0].kind == "end":
            raise part[0].error("an operand", f"`{part[0].text}`" if part[0].text else "")
    return parts


@dataclass(frozen=True)
class Operand:
    """A parsed operand.

    Attributes:
      token: its first token.
      registers: registers named: one for a register, up to two inside an address.
      value: the number, or the constant part of an address.
      kind: ``"register"``, ``"number"`` or ``"address"``.
    """

    token: Token
    kind: str
    registers: tuple[int, ...]
    value: int


class Parser:
    """Recursive descent over the tokens of one operand.

    ``number_of`` and ``register_of`` give the value of a name, None if it has none.
    """

    def __init__(
        self,
        tokens: Sequence[Token],
        number_of: Callable[[Token], int],
        register_of: Callable[[str], int | None],
    ) -> None:
        self._tokens = tokens
        self._at = 0
        self._number_of = number_of
        self._register_of = register_of

    def operand(self) -> Operand:
        """A register, an expression or an address; nothing may follow."""
        first = self._next
        if self._take("["):
            registers, value = self._sum(registers_allowed=True)
            if not self._take("]"):
                raise self._next.error("`]`, + or -")
            found = Operand(first, "address", registers, value)
        elif (number := self._register(first)) is not None:
            self._at += 1
            found = Operand(first, "register", (number,), 0)
        else:
            found = Operand(first, "number", (), self._sum()[1])
        if self._next.kind != "end":
            raise self._next.error("a comma or the end of the line")
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, mark: str) -> bool:
        hit = self._next.kind == "mark" and self._next.text == mark
        self._at += hit
        return hit

    def _register(self, token: Token) -> int | None:
        return self._register_of(token.text) if token.kind == "name" else None

    def _sum(self, registers_allowed: bool = False) -> tuple[tuple[int, ...], int]:
        registers, value, sign = [], 0, 1
        while True:
            number = self._register(self._next)
            if number is not None and registers_allowed:
                if sign < 0 or len(registers) == 2:
                    raise self._next.error(
                        "an address of at most two registers that are added and a constant"
                    )
                registers.append(number)
                self._at += 1
            else:
                value += sign * self._product()
            if self._take("+"):
                sign = 1
            elif self._take("-"):
                sign = -1
            else:
                return tuple(registers), value

    def _product(self) -> int:
        value = self._primary()
        while self._take("*"):
            value *= self._primary()
        return value

    def _primary(self) -> int:
        token = self._next
        if self._take("-"):
            return -self._primary()
        if self._take("("):
            value = self._sum()[1]
            if not self._take(")"):
                raise self._next.error("`)` or an operator")
            return value
        if token.kind == "number":
            self._at += 1
            return int(token.text, 0) if token.text[:2] in ("0x", "0X") else int(token.text)
        if token.kind == "name" and self._register(token) is None:
            self._at += 1
            return self._number_of(token)
        raise token.error("a number, a name or (")


def register_number(name: str) -> int | None:
    """Number of a register r0..r31, None for any other name."""
    if re.fullmatch(r"r(0|[1-9][0-9]?)", name) and int(name[1:]) < REGISTERS:
        return int(name[1:])
    return None
