"""Sizes of VM proofs: the smallest that fit, what is refused, and the number of the AIR's parts."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, fields, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from jaxstark import vm
from jaxstark.params import PRESETS, ProofParams
from jaxstark.vm import Instruction, Limits, Program, assemble, isa
from jaxstark.vm.air import air_of, features, template, without_program
from jaxstark.vm.limits import VALUE_OPS, tables, value_components

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

KINDS = {"log_relu": "relu r1, r1", "log_less": "gt r1, r1, r2", "log_shift": "shr r1, r1, 3"}
KINDS |= {"log_bitwise": "and r1, r1, r2"}
NAMES = [f.name for f in fields(Limits)]
SMALL = Limits(8, memory_size=4)


def one_sentence(error: BaseException, *words: str) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < 400, message
    for word in ("expected", "got", *words):
        assert word in message, message


def refused(call: Any, *words: str) -> None:
    with pytest.raises(ValueError) as error:
        call()
    one_sentence(error.value, *words)


# --- The smallest limits ---------------------------------------------------------------------


def test_the_smallest_limits_fit_exactly():
    program = assemble(
        ".data d, 5, 6\n.space s, 7\n.input x\nload r1, [x + 2]\nstore r1, [20]\ncall a\nhalt\n"
        "a: call b\nreturn\nb: return"
    )
    done = vm.execute(program, [1, 2, 3])
    limits = Limits.of(done)
    assert limits == Limits(6, memory_size=21, stack_size=2, input_size=3)
    # Registers, stack and memory: 55 cells.
    assert limits.cells == 55 and limits.log_sizes(program) == (6, 4, 6)
    assert vm.trace(done, limits).log_sizes == (6, 4, 6)
    for name in ("memory_size", "stack_size", "input_size", "log_steps"):
        small = replace(limits, **{name: getattr(limits, name) - 1})
        refused(lambda small=small: vm.trace(done, small), f"limits, {name}")


def test_steps_count_where_they_are_the_most():
    text = ".input x\nload r1, [x]\na: loop r1, r1, a\nhalt"
    # 3 + n + 1 steps, the repeated Loop among them.
    for turns, log_steps in ((29, 6), (60, 6), (61, 6), (62, 7), (125, 7), (126, 8)):
        done = vm.execute(assemble(text), [turns])
        assert done.steps == turns + 3
        assert Limits.of(done).log_steps == log_steps


def test_value_components_have_the_rows_that_were_executed():
    head = ".input x\nload r2, [x]\nloadimm r3, 9\na: "
    for (name, line), count in product(KINDS.items(), (1, 16, 17, 33)):
        program = assemble(f"{head}{line}\nloop r2, r2, a\nhalt")
        limits = Limits.of(vm.execute(program, [count - 1]))
        expected = {other: 0 for other in VALUE_OPS} | {name: (count - 1).bit_length()}
        assert {other: getattr(limits, other) for other in VALUE_OPS} == expected
        # The tables of 256 rows make the steps as many.
        assert limits.log_steps == 8
        assert limits.log_sizes(program)[3:] == (max(expected[name], 4), 8)
    both = assemble(f"{head}xor r1, r2, r3\nand r1, r2, r3\nor r1, r2, r3\nloop r2, r2, a\nhalt")
    assert Limits.of(vm.execute(both, [5])).log_bitwise == 5  # 18 rows


def test_what_is_never_executed_still_has_its_component():
    program = assemble("halt\n" + "\n".join(KINDS.values()))
    limits = Limits.of(vm.execute(program))
    assert limits.log_sizes(program) == (8, 4, 5, 4, 4, 4, 4, 8, 8)
    assert features(program) == 15


def test_the_parameters_set_the_least_size():
    done = vm.execute(assemble("halt"))
    assert Limits.of(done).min_log == 4
    for params in PRESETS.values():
        assert Limits.of(done, params).min_log == 4, "the default fits every preset"
    large = ProofParams(26, 1, 70, fold_step=3, log_last_layer=4)
    assert Limits.of(done, large) == Limits(7, memory_size=0, min_log=7)
    assert Limits.of(done, large).log_sizes(done.program) == (7, 7, 7)
    vm.setup(done.program, Limits.of(done, large), large)
    assert Limits.of(done, "stwo-96") == Limits.of(done)
    refused(lambda: Limits.of(done, "stwo-97"), "preset", "stwo-96", "'stwo-97'")
    wrong: Any = 7
    refused(lambda: Limits.of(done, wrong), "params", "ProofParams", "int")


def test_sizes_follow_from_limits_and_program():
    program = assemble("\n".join(["relu r1, r1"] * 16 + ["halt"]))
    assert Limits(8, memory_size=0, min_log=1).log_sizes(program) == (8, 5, 5, 1, 8)
    assert Limits(9, memory_size=0, log_relu=6).log_sizes(program) == (9, 5, 5, 6, 8)
    # What the program lacks is of no meaning.
    assert Limits(9, memory_size=0, log_less=9, log_bitwise=20).log_sizes(program)[3:] == (4, 8)
    assert Limits(9, memory_size=97).log_sizes(program)[2] == 8
    assert Limits(9, memory_size=96).log_sizes(program)[2] == 7


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, 1 << 40, True, None, 4.0, "4", np.int64(4)], ids=repr)
def test_values_out_of_range_are_refused(name, value):
    refused(lambda: replace(SMALL, **{name: value}), f"limits, {name}: expected an int in", "got")


def test_bounds_are_exact():
    bounds = dict.fromkeys(VALUE_OPS, (0, 27)) | {"stack_size": (0, 1 << 20)}
    bounds |= dict.fromkeys(("memory_size", "input_size"), (0, 1 << 24))
    bounds |= dict.fromkeys(("log_steps", "min_log"), (1, 27))
    assert set(bounds) == set(NAMES)
    for name, (low, high) in bounds.items():
        for good in (low, high):
            assert getattr(replace(SMALL, **{name: good}), name) == good
        for bad in (low - 1, high + 1):
            refused(
                lambda name=name, bad=bad: replace(SMALL, **{name: bad}),
                f"limits, {name}",
                f"{low}..{high}",
                str(bad),
            )


def test_memory_that_is_too_small_for_data_or_input_is_refused():
    program = assemble(".data d, 1, 2\n.space s, 3\n.input x\nhalt")
    assert Limits(6, memory_size=2).log_sizes(program) == (6, 4, 6)
    refused(
        lambda: Limits(6, memory_size=1).log_sizes(program),
        "limits, memory_size: expected at least 2 cells for data and public input, got 1",
    )
    assert Limits(6, memory_size=8, input_size=3).log_sizes(program) == (6, 4, 6)
    for call in (
        lambda limits: limits.log_sizes(program),
        lambda limits: air_of(program, limits),
        lambda limits: vm.setup(program, limits),
    ):
        limits = Limits(6, memory_size=7, input_size=3)
        refused(lambda call=call, limits=limits: call(limits), "memory_size", "at least 8", "got 7")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(6, memory_size=99), ("component memory", "at least 8", "got 6")),
        (Limits(7, memory_size=0), ("component bytes", "at least 8", "got 7")),
        (Limits(8, memory_size=0, log_relu=9), ("component relu", "at least 9", "got 8")),
        (Limits(8, memory_size=0, min_log=9), ("component program", "at least 9", "got 8")),
    ],
)
def test_the_steps_must_be_the_largest_component(limits, words):
    program = assemble("relu r1, r1\nhalt")
    for call in (limits.log_sizes, lambda program: air_of(program, limits)):
        refused(lambda call=call: call(program), "limits, log_steps", *words)


def test_a_program_of_many_instructions_needs_as_many_steps():
    program = assemble("\n".join(["neg r1, r1"] * 64 + ["halt"]))
    refused(lambda: Limits(6, memory_size=0).log_sizes(program), "component program", "at least 7")
    # The registers alone are 32 cells.
    halt = assemble("halt")
    refused(lambda: Limits(4, memory_size=0).log_sizes(halt), "component memory", "at least 5")


def test_rows_of_value_components_are_counted_and_not_rounded_up():
    program = assemble(".input x\nload r2, [x]\na: relu r1, r2\nloop r2, r2, a\nhalt")
    small = Limits(8, memory_size=1, input_size=1, log_relu=2, min_log=1)
    assert small.log_sizes(program) == (8, 2, 6, 2, 8)
    assert vm.trace(vm.execute(program, [3]), small).log_sizes == (8, 2, 6, 2, 8)
    done = vm.execute(program, [4])
    refused(lambda: vm.trace(done, small), "limits, log_relu: expected at least 3, got 2")


def test_executions_that_do_not_fit_are_refused():
    program = assemble(
        ".input x\nload r1, [x]\na: relu r2, r1\nlt r2, r1, r1\nshr r3, r1, 1\nor r4, r1, r1\n"
        "store r1, [r1 + x]\nloop r1, r1, a\ncall b\nb: halt"
    )
    done = vm.execute(program, [40])
    limits = Limits.of(done)
    assert limits == Limits(8, 41, 1, 1, log_relu=6, log_less=6, log_shift=6, log_bitwise=6)
    for name in (*VALUE_OPS, "memory_size", "stack_size"):
        value = getattr(limits, name)
        small = replace(limits, **{name: value - 1})
        words = (f"limits, {name}: expected at least {value}, got {value - 1}",)
        refused(lambda small=small: vm.trace(done, small), *words)
    longer = vm.execute(program, [80])
    assert longer.steps > 256
    refused(
        lambda: vm.trace(longer, replace(Limits.of(longer), log_steps=8)),
        "limits, log_steps: expected at least 9, got 8",
    )
    for size in (0, 2):
        refused(
            lambda size=size: vm.trace(done, replace(limits, input_size=size)),
            f"limits, input_size: expected 1 words as in the public input, got {size}",
        )


def test_programs_that_cannot_be_proved_are_refused():
    halt = Instruction.of("Halt")
    bad = {
        "a known opcode": Program.of([halt, Instruction(200)]),
        "src1 = 0 in Halt": Program.of([halt, Instruction(255, src1=1)]),
        "imm = 0 in Add": Program.of([halt, Instruction(1, imm=1)]),
        "a target of Jump in 0..1": Program.of([halt, Instruction.of("Jump", imm=2)]),
        "a shift in 1..16": Program.of([halt, Instruction.of("Shr", imm=17)]),
    }
    for words, program in bad.items():
        # The executor never comes to the faulty instruction.
        done = vm.execute(program)
        for call in (
            lambda program=program: air_of(program, SMALL),
            lambda program=program: vm.setup(program, SMALL),
            lambda done=done: vm.trace(done),
            lambda done=done: vm.trace(done, SMALL),
        ):
            refused(call, words)
    endless = Program.of([Instruction.of("Jump", imm=0)])
    for call in (lambda: air_of(endless, SMALL), lambda: vm.setup(endless, SMALL)):
        refused(call, "at least one halt")


def test_parameters_that_do_not_fit_are_refused_before_any_work():
    program = assemble("halt")
    limits = Limits(6, memory_size=0)
    refused(lambda: vm.setup(program, limits, "stwo-97"), "preset", "'stwo-97'")
    refused(lambda: vm.setup(program, limits, "test"), "preset test")
    nothing: Any = None
    refused(lambda: vm.setup(program, limits, nothing), "params", "NoneType")
    large = ProofParams(26, 1, 70, fold_step=3, log_last_layer=3)
    refused(lambda: vm.setup(program, limits, large), "component program", "2^6", "got 2^4")
    # More lookups than a claimed sum can count.
    refused(lambda: vm.setup(program, Limits(27, memory_size=0)), "lookups")
    shift = ProofParams(26, 10, 7)
    refused(lambda: vm.setup(program, Limits(25, memory_size=0), shift), "log blow-up", "25 + 10")


# --- JSON ------------------------------------------------------------------------------------


def test_json_round_trip():
    for limits in (SMALL, Limits(20, 1 << 24, 1 << 20, 3, 1, 2, 3, 27, min_log=9)):
        text = limits.to_json()
        assert Limits.from_json(text) == limits and json.loads(text) == asdict(limits)
        assert pickle.loads(pickle.dumps(limits)) == limits and hash(limits) == hash(
            Limits.from_json(text)
        )


def malformed():
    good = asdict(SMALL)
    yield from ("", "{", "[]", "8", "null", '"limits"', "{}", "NaN", "[" * 100_000, "9" * 9_000)
    yield json.dumps(good)[:-1]
    yield json.dumps(good) + "0"
    yield json.dumps(good)[:-1] + ', "log_steps": 9}'
    yield json.dumps(good | {"more": 1})
    yield json.dumps({k: v for k, v in good.items() if k != "min_log"})
    for value in (-1, 1 << 40, 4.0, "4", None, True, [4], {}, float("nan")):
        yield json.dumps(good | {"log_steps": value})


@pytest.mark.parametrize("text", list(malformed()), ids=lambda text: text[:30])
def test_malformed_json_is_refused_in_one_sentence(text):
    refused(lambda: Limits.from_json(text), "limits")


def test_json_that_is_no_text_is_refused():
    wrongs: tuple[Any, ...] = (None, b"{}", 5)
    for wrong in wrongs:
        refused(lambda wrong=wrong: Limits.from_json(wrong), "limits")


# --- Value components ------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(16))
def test_features_name_the_value_components(number):
    """ReLU is bit 0, comparisons bit 1, shifts bit 2, bitwise bit 3."""
    chosen = [name for bit, name in enumerate(KINDS) if number >> bit & 1]
    program = assemble("\n".join([*(KINDS[name] for name in chosen), "halt"]))
    assert features(program) == number
    assert value_components(program) == tuple(chosen)
    limits = Limits(9, memory_size=1)
    air = air_of(program, limits)
    names = [c.name for c in air.components]
    bytes_too = {"bytes"} if number & 7 else set()
    nibbles = {"nibbles"} if number & 8 else set()
    values = [name.removeprefix("log_") for name in chosen]
    assert names == [*("steps", "program", "memory"), *values, *bytes_too, *nibbles]
    assert set(tables(tuple(chosen))) == bytes_too | nibbles
    assert len(limits.log_sizes(program)) == len(names)
    assert air.name == f"obelysk/{number}/0/{program.hash.hex()}"
    assert air.structure is template(number) and template(number).name == f"obelysk/{number}"
    bare = without_program(number, 0, program.hash.hex())
    assert bare.name == air.name and [c.name for c in bare.components] == names
    assert bare.structure is air.structure


@pytest.mark.parametrize("row", isa.INSTRUCTIONS, ids=lambda row: row.name)
def test_every_instruction_has_its_component(row):
    imm = 1 if "shift" in row.operand_list else 0
    program = Program.of([Instruction(row.code, imm=imm), Instruction.of("Halt")])
    names = [name for name, ops in VALUE_OPS.items() if row.name in ops]
    assert value_components(program) == tuple(names)
    assert bool(names) == ("co=1" in row.circuit.split())


def test_numbers_of_no_air_are_refused():
    digest = "0" * 64
    assert without_program(15, 1 << 24, digest).name == f"obelysk/15/{1 << 24}/{digest}"
    for number, address in ((-1, 0), (16, 0), (0, -1), (0, (1 << 24) + 1)):
        refused(
            lambda number=number, address=address: without_program(number, address, digest),
            "AIR id obelysk",
            str(number),
            str(address),
        )
    for wrong in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "٣" * 64):
        refused(lambda wrong=wrong: without_program(0, 0, wrong), "64 hex digits")
