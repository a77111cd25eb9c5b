"""Assembler: what it accepts, its macros, and what its errors say."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.fields.m31 import P
from jaxstark.vm import AssemblyError, ExecutionError, Instruction, assemble, interpreter


def listing(text: str) -> list[str]:
    program = assemble(text)
    return [str(program[pc]) for pc in range(len(program))]


def test_operands_expressions_and_comments():
    assert listing(
        """
        ; a comment, and an empty line

        .const  N, 3 * (2 + 0x10) - -1   ; 55
        .reg    acc, r7
        start:  next: loadimm acc, N-1
                loadimm r31,-N
                load r1, [N]
                load r1, [acc+r2+2*N]
                load r1, [acc - 1]
                store acc, [r1]
                shr r1, r2, 16
                jumpif r1, next
                loop r1, r1, end
        end:    halt
        """
    ) == [
        *("loadimm r7, 54", "loadimm r31, -55", "load r1, [55]", "load r1, [r7 + r2 + 110]"),
        *("load r1, [r7 - 1]", "store r7, [r1]", "shr r1, r2, 16", "jumpif r1, 0"),
        *("loop r1, r1, 9", "halt"),
    ]


def test_data_then_room_then_input():
    program = assemble(".space s, 3\n.data a, 1, -2\n.input x\n.data b, a, x, s\nhalt")
    assert program.data.tolist() == [1, P - 2, 0, 8, 5]
    assert program.input_address == 8


def test_store_keeps_its_word_in_src2():
    program = assemble("store r3, [r4 + 1]\nstore r3, [6]\nhalt")
    assert program[0] == Instruction.of("StoreInd", src1=4, src2=3, imm=1)
    assert program[1] == Instruction.of("Store", src2=3, imm=6)


def test_macros_take_parameters_and_keep_local_names():
    text = """
    .macro twice n, reg
        .const @m, n * 2
    @again:
        addi reg, reg, @m
        loop r9, r9, @again
    .endmacro
    .macro four reg
        twice 1 + 1, reg
        twice 3, reg
    .endmacro
        four r5
        halt
    """
    assert listing(text) == [
        *("addi r5, r5, 4", "loop r9, r9, 0", "addi r5, r5, 6", "loop r9, r9, 2", "halt")
    ]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (4, 1, 2), (3, 5, 1)])
def test_matmul_multiplies(shape):
    rows, inner, columns = shape
    rng = np.random.default_rng(sum(shape))
    a, b = rng.integers(-50, 50, (rows, inner)), rng.integers(-50, 50, (inner, columns))
    data = {"a": [rows, inner, *a.flat], "b": [inner, columns, *b.flat]}
    text = "\n".join(f".data {k}, {', '.join(map(str, v))}" for k, v in data.items())
    size = rows * columns + 2
    text += f"\n.space c, {size}\nmatmul c, a, b\nloadimm r1, {size - 1}\n"
    text += "again: load r2, [r1 + c]\nout r2\nloop r1, r1, again\nhalt"
    out = interpreter.run(assemble(text)).output[::-1].tolist()
    assert out == [rows, columns, *((a @ b) % P).flat]


@pytest.mark.parametrize("sizes", [(2, 3, 2, 2), (0, 1, 1, 1), (1, 0, 0, 1), (1, 1, 1, 0)])
def test_matmul_of_other_sizes_faults(sizes):
    text = f".data a, {sizes[0]}, {sizes[1]}\n.data b, {sizes[2]}, {sizes[3]}\n.space c, 2\n"
    with pytest.raises(ExecutionError, match="division by zero"):
        interpreter.run(assemble(text + "matmul c, a, b\nhalt"))


ERRORS = [
    ("halt\n  bad r1", 2, 3, "an instruction, a macro, a directive or a label", "`bad`"),
    ("add r1, r2", 1, 11, "3 (`add dst, src1, src2`)", "2 operands"),
    ("halt r1", 1, 8, "0 (`halt`)", "1 operand"),
    ("add r1, r2, 5", 1, 13, "a register r0..r31", "`5`"),
    ("add r1, r32, r2", 1, 9, "the name of a label", "`r32`"),
    ("addi r1, r2, r3", 1, 14, "a number", "`r3`"),
    ("jump r1", 1, 6, "a label", "`r1`"),
    ("jump nowhere\nhalt", 1, 6, "the name of a label", "`nowhere`"),
    ("jump 7\nhalt", 1, 6, "an instruction of the program (0..1)", "7"),
    ("shr r1, r1, 17\nhalt", 1, 13, "a shift in 1..16", "17"),
    ("loadimm r1, 2147483647\nhalt", 1, 13, "a word in -1073741823..2147483646", "2147483647"),
    ("loadimm r1, -1073741824\nhalt", 1, 13, "a word in", "-1073741824"),
    ("load r1, 5", 1, 10, "an address in [ ]", "`5`"),
    ("load r1, [r2 + r3 + r4]", 1, 21, "at most two registers", "`r4`"),
    ("load r1, [2 - r3]", 1, 15, "at most two registers", "`r3`"),
    ("store r1, [r2 + r3]", 1, 11, "`store src2, [imm]` or `store src2, [src1 + imm]`", "another"),
    ("load r1, [r2 * 2]", 1, 14, "`]`, + or -", "`*`"),
    ("load r1, [5", 1, 12, "`]`, + or -", "the end of the line"),
    ("loadimm r1, (1 + 2", 1, 19, "`)`", "the end of the line"),
    ("loadimm r1, 1 +", 1, 16, "a number, a name or (", "the end of the line"),
    ("loadimm r1, 1 2", 1, 15, "a comma or the end of the line", "`2`"),
    ("add r1,, r2", 1, 8, "an operand", "`,`"),
    ("loadimm r1, 5x", 1, 13, "a number, a name", "`5x`"),
    ("add r1, r2, $", 1, 13, "a number, a name", "`$`"),
    ("a: halt\na: halt", 2, 1, "a new name", "`a`, which line 1 defines"),
    ("r1: halt", 1, 1, "a name that is no register", "`r1`"),
    (".const N", 1, 9, "a comma", "the end of the line"),
    (".const N, M\n.const M, 1", 1, 11, "the name of a label, a constant or data", "`M`"),
    (".space s, 2\n.const N, s", 2, 11, "a constant that stands above", "`s`"),
    (".const N, 1, 2", 1, 12, "the end of the line", "`,`"),
    (".const 5, 1", 1, 8, "the name that .const defines", "`5`"),
    (".reg x, 5", 1, 9, "a register", "`5`"),
    (".space s, -1", 1, 11, "a size in", "-1"),
    (".input x\n.input y", 2, 1, "one .input (the first is on line 1)", "`.input`"),
    (".data d,", 1, 9, "an operand", "the end of the line"),
    (".data d, 99999999999\nhalt", 1, 10, "a word in", "99999999999"),
    (".macro m a\nhalt", 2, 5, "`.endmacro` for macro m of line 1", "the end of the line"),
    (".endmacro", 1, 1, "`.macro` above", "`.endmacro`"),
    (".macro m\n.macro n\n", 2, 1, "`.endmacro` for macro m first", "`.macro`"),
    (".macro add x\n", 1, 8, "a new name for the macro", "`add`"),
    (".macro matmul x\n", 1, 8, "a new name for the macro", "`matmul`"),
    ("move r1", 1, 8, "2 arguments (`move dst, src`)", "1"),
    (".macro m\nm\n.endmacro\nm", 2, 1, "macros nested at most 16 deep", "`m`"),
    ("addi r1, r1, 1\n", 1, 15, "a halt", "the end of the program"),
    ("", 1, 1, "a halt", "the end of the program"),
]


@pytest.mark.parametrize(("text", "line", "column", "expected", "found"), ERRORS)
def test_errors_say_where_what_was_expected_and_found(text, line, column, expected, found):
    with pytest.raises(AssemblyError) as caught:
        assemble(text)
    error = caught.value
    assert (error.line, error.column) == (line, column), str(error)
    assert expected in error.expected and error.found.startswith(found), str(error)
    assert str(error).startswith(f"line {line}, column {column}: expected {error.expected}, found")


def test_errors_in_macros_say_where_the_macro_was_called():
    text = ".macro inc reg\n  addi reg, reg, one\n.endmacro\n\n  inc r1\nhalt"
    with pytest.raises(AssemblyError, match=r"line 2, column 18.*\(in macro inc, called on line 5"):
        assemble(text)
    # An argument keeps its own place, and a built-in macro has no lines of its own.
    with pytest.raises(AssemblyError, match="line 5, column 7: expected a register"):
        assemble(text.replace("inc r1", "inc 10").replace("one", "1"))
    with pytest.raises(AssemblyError, match=r"line 1, column \d+: .*in built-in macro matmul"):
        assemble("matmul r3, 2, 1\nhalt")


def test_anything_but_text_is_refused():
    with pytest.raises(ValueError, match="expected text, got bytes"):
        assemble(b"halt")  # type: ignore[arg-type]
