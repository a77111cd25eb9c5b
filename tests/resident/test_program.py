"""The proof as one program: CUDA accepts it at every size, in few launches of kernels."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

jax = pytest.importorskip("jax")

from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.params import PRESETS, ProofParams  # noqa: E402
from jaxstark.resident import driver  # noqa: E402
from jaxstark.resident.program import Program, abstract_tables, tables  # noqa: E402
from jaxstark.vm.air import template  # noqa: E402

PARAMS = PRESETS["stwo-96"]
# Each costs about 0.12 s of compilation, and a launch in every proof. Up to 2^24 rows.
MAX_KERNELS = 39
# Kernels of `legacy26` by log size, beside those that every run of the tests counts.
SLOW_SIZES = {13: 26, 16: 28, 17: 30, 18: 29, 19: 30, 21: 38, 22: 38, 23: 39}
VM = template(15)
VM_SIZES = (20, 20, 12, 16, 16, 16, 16, 8, 8)
MAX_KERNELS_OF_THE_MACHINE = 54


def program(name: str, log_size: int, params: ProofParams = PARAMS) -> Program:
    """Of an example; its largest component has ``2^log_size`` rows."""
    small = log_size if name == "plonk" else min(log_size, 8)  # a circuit fixes its size
    air, sizes, _, public = SHIPPED[name].example(small, 1)
    sizes = tuple(log_size if k == max(sizes) else k for k in sizes)
    return Program(air.structure, air.shape(sizes, public), params)


def call_sites(text: str) -> int:
    """Calls of kernels in a program, those of a function as often as it is called."""
    own, calls, name = Counter(), {}, ""
    for line in text.splitlines():
        if found := re.search(r"func\.func (?:public |private )?@([\w.]+)", line):
            name = found[1]
            calls[name] = []
        elif "stablehlo.custom_call @mosaic_gpu" in line:
            own[name] += 1
        else:
            calls.setdefault(name, []).extend(re.findall(r"\bcall @([\w.]+)\(", line))

    def count(function: str) -> int:
        return own[function] + sum(map(count, calls[function]))

    return count("main")


def kernels_of(p: Program) -> list[int]:
    """Call sites in each program of a proof."""
    return [call_sites(one.as_text()) for one in driver.lower(p, lowering_platforms=("cuda",))]


@pytest.mark.parametrize(
    ("name", "log_size", "expected"),
    [
        pytest.param("legacy26", 10, 18, marks=pytest.mark.floor),
        ("legacy26", 20, 31),
        ("legacy26", 24, 39),
        # Two sizes; tree 0 and lookups.
        pytest.param("range_sum", 12, 32, marks=pytest.mark.floor),
        *(pytest.param("legacy26", *s, marks=pytest.mark.slow) for s in SLOW_SIZES.items()),
        pytest.param("state_machine", 20, 40, marks=pytest.mark.slow),
    ],
)
def test_the_whole_proof_lowers_for_cuda_in_few_kernels(name, log_size, expected):
    kernels = kernels_of(program(name, log_size))
    assert sum(kernels) == expected
    if name == "legacy26":
        assert sum(kernels) <= MAX_KERNELS
    # The commitment to a trace of some size is a program of its own.
    assert len(kernels) == 1 + (name == "legacy26" and 20 <= log_size <= 22)


@pytest.mark.slow
def test_a_proof_of_the_machine_has_few_kernels():
    """Nine components of four sizes, seven relations; 2^20 steps."""
    shape = VM.shape(VM_SIZES, {name: [0, 0] for name, _ in VM.public_values})
    first, last = kernels_of(Program(VM.structure, shape, PARAMS))
    assert first + last <= MAX_KERNELS_OF_THE_MACHINE


@pytest.mark.floor
def test_abstract_tables_are_those_of_a_proof():
    """A program that is compiled ahead, for another process, takes the tables of this one."""
    for params in (ProofParams(0, 1, 3, 2, 1), ProofParams(0, 3, 3, 1, 0)):
        p = program("range_sum", 8, params)
        made = jax.eval_shape(lambda t: t, tables(p))
        assert jax.tree.structure(made) == jax.tree.structure(abstract_tables(p))
        for got, want in zip(*map(jax.tree.leaves, (abstract_tables(p), made)), strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)


def test_programs_are_compared_by_value():
    """A shape compiles once, whoever made its AIR."""
    one, two = program("range_sum", 8), program("range_sum", 8)
    assert one is not two and one == two and hash(one) == hash(two)
    changed = [
        program("range_sum", 9),
        program("legacy26", 8),
        program("range_sum", 8, replace(PARAMS, n_queries=71)),
        replace(one, interpret=True),
        replace(one, max_words=1 << 20),
        replace(one, keep_evaluations=False),
    ]
    assert all(other != one for other in changed)


def test_t37_descriptions_tell_programs_apart():
    """By their text, which is the same in every process."""
    one = program("range_sum", 8)
    assert repr(one.description()) == repr(program("range_sum", 8).description())
    assert " at 0x" not in repr(one.description())
    others = [
        program("range_sum", 9),
        program("state_machine", 8),
        program("plonk", 8),
        program("range_sum", 8, replace(PARAMS, pow_bits=25)),
        program("range_sum", 8, replace(PARAMS, log_blowup=2)),
        replace(one, max_words=1 << 20),
        replace(one, keep_evaluations=False),
    ]
    texts = {repr(p.description()) for p in [one, *others]}
    assert len(texts) == 1 + len(others)


def test_t37_a_changed_rule_changes_the_description():
    air = legacy26()
    (comp,) = air.components

    def other(row, air):
        comp.evaluate(row, air)
        air.constrain(row.pc_curr - row.reg0_next, "one rule more")

    def another(row, air):
        comp.evaluate(row, air)
        air.constrain(row.pc_curr + row.reg0_next, "one rule more")

    rules = [comp.evaluate, other, another]
    airs = [replace(air, components=(replace(comp, evaluate=rule),)) for rule in rules]
    programs = [Program(a.structure, a.shape((8,)), PARAMS) for a in airs]
    assert len({repr(p.description()) for p in programs}) == 3


def test_t36_more_than_2_31_words_of_digests_are_refused():
    """Indices of words are 32 bits."""
    program("legacy26", 26)
    with pytest.raises(ValueError) as error:
        program("legacy26", 27)
    message = str(error.value)
    assert "\n" not in message
    for words in ("points of the FRI domain: expected at most 2^27", "got 2^28", "'xla'"):
        assert words in message


@pytest.mark.parametrize("log_size", [20, 24, 26])
def test_t36_arrays_stay_below_2_31_words(log_size):
    """A size group whose evaluations have more words is several arrays, each column in one."""
    p = program("legacy26", log_size)
    for columns, groups in zip(p.shape.all_columns, p.groups, strict=True):
        members = [c for _, group in groups for c in group]
        assert sorted(members) == list(range(len(columns)))
        for k, group in groups:
            assert len(group) << (k + p.params.log_blowup) < 1 << 31
    assert (len(p.groups[1]) > 1) == (log_size == 26)
