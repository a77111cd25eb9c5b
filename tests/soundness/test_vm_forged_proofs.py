"""Forged Obelysk proofs: traces proved past the prover's checks, tree 0, claims, sizes.

All proofs have one shape, that of the program of ``vm_program``, so that it is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")

import jaxstark
from jaxstark import prover
from jaxstark.air.definition import Air
from jaxstark.errors import ProvingError
from jaxstark.fields import qm31
from jaxstark.fields.m31 import P
from jaxstark.trace import Trace
from jaxstark.vm import assemble
from jaxstark.vm.air import MEMORY
from tests.soundness.forging import PARAMS, forge, key_of, rejected
from tests.soundness.test_mixed_sizes import repeats
from tests.soundness.vm_builder import Built, build
from tests.soundness.vm_forgeries import ALL
from tests.soundness.vm_forging import RELATION, findings
from tests.soundness.vm_mutants import judged
from tests.soundness.vm_program import (
    DIVISOR,
    INPUT,
    LIMITS,
    TEXT,
    Forgery,
    honest,
    is_false,
    places,
    program,
    run,
)
from tests.soundness.vm_value_forgeries import VALUES, flipped, relu_row, relu_value

# A false statement of each family.
PROVED = (
    "start at the halt, where the last row is, too (T18)",
    "the run does not end in a halt",
    "division by zero",
    "a padding row of the ROM is executed",
    "less: p for a = 0 in lt 0 x",
    "shift: another result, low1 out of range",
    "and: half a nibble",
    "an instruction has another constant",
    "a word of the input is another one",
    "return on an empty stack",
    "memory is read from the future",
    "output is claimed without Out",
)


def trace_of(built: Built) -> Trace:
    return Trace(built.air, built.columns, built.public)


def named(name: str) -> Forgery:
    (forgery,) = (f for f in ALL if f.name == name)
    return forgery


@pytest.fixture(scope="module")
def key():
    return key_of(honest().air, trace_of(honest()).log_sizes)


def test_the_honest_run_is_proved_and_verified(key):
    trace = trace_of(honest())
    proof = forge(trace, key)
    jaxstark.verify(proof, key, honest().public, insecure=True)
    assert proof == jaxstark.prove(trace, params=PARAMS, key=key, insecure=True)


@pytest.mark.parametrize("name", PROVED)
def test_t16_false_statements_are_refused_and_their_proofs_rejected(name, key):
    forgery = named(name)
    built, _ = judged(forgery)
    assert is_false(built)
    ((component, rule),) = forgery.breaks
    with pytest.raises(ProvingError) as error:
        jaxstark.prove(trace_of(built), params=PARAMS, key=key, insecure=True)
    message = str(error.value)
    assert rule in message and "row" in message and (component in message or component == RELATION)
    section = rejected(forge(trace_of(built), key), key, built.public)
    assert section == ("logup" if component == RELATION else "oods")


def test_the_statement_is_bound_to_input_and_output(key):
    """A true proof, shown with other words or lengths."""
    built = honest()
    proof = forge(trace_of(built), key)
    given, out = built.public["input"], built.public["output"]
    others = (
        {"input": given, "output": [*out[:-1], out[-1] + 1]},
        {"input": given, "output": out[:-1]},
        {"input": given, "output": [*out, 0]},
        {"input": [3, *given[1:]], "output": out},
        {"input": given[:-1], "output": out},
        {"input": [*given, 0], "output": out},
        {"input": out, "output": given},
    )
    for public in others:
        assert rejected(proof, key, public) == "logup"


@pytest.mark.parametrize(
    "name", ["output is claimed without Out", "memory is read from the future"]
)
def test_t20_claims_that_are_forged_to_balance_are_rejected(name, key, monkeypatch):
    built, _ = judged(named(name))
    draw: Any = prover.statement.draw_relations
    interaction: Any = prover._interaction
    known = {}

    def drawing(channel, air):
        known["elements"], channel = draw(channel, air)
        return known["elements"], channel

    def lying(*args):
        columns, sums = interaction(*args)
        total = prover.logup_total(built.air, built.public, known["elements"], sums)
        assert total != qm31.ZERO
        return columns, [qm31.sub(sums[0], total), *sums[1:]]

    monkeypatch.setattr(prover.statement, "draw_relations", drawing)
    monkeypatch.setattr(prover, "_interaction", lying)
    proof = forge(trace_of(built), key)
    monkeypatch.undo()
    assert rejected(proof, key, built.public) == "oods"


# --- T41: another tree 0 ---------------------------------------------------------------------


def with_words(air: Air, words: dict[str, dict[int, int]]) -> Air:
    """The AIR under the same id, with other words in some rows of preprocessed columns."""

    def changed(name: str, generator: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
        def make(log_size: int) -> np.ndarray:
            column = generator(log_size).copy()
            for row, word in words[name].items():
                column[row] = word
            return column

        return make if name in words else generator

    components = tuple(
        replace(c, preprocessed=tuple((n, changed(n, g)) for n, g in c.preprocessed))
        for c in air.components
    )
    return Air(
        air.name, components, air.relations, air.public_values, air.public_terms, air.template
    )


def wider_table() -> Built:
    """A row of the table of bytes that nobody needs holds the word that a false sign needs."""

    def change(row: dict[str, int]) -> dict[str, int]:
        return row | relu_row(lambda row: flipped(*relu_value(row), 0), row)

    built = run({"relu": {"row": change}})
    (wrong,) = findings(built.air, built.columns, built.public).unbalanced["byte"]
    free = int(np.flatnonzero(built.columns["bytes"]["uses"] == 0)[0])
    forged = replace(built, air=with_words(built.air, {"byte_value": {free: wrong[0]}}))
    return forged.counted()


def other_constant() -> Built:
    built = run({"muli": {"r_a": 4}})
    return replace(built, air=with_words(built.air, {"rom_r_a": {places()["muli"]: 4}})).counted()


def other_data() -> Built:
    built = run({"indexed": {"x": 77}})
    row = LIMITS.cells - LIMITS.memory_size + 3
    return replace(built, air=with_words(built.air, {"cell_word": {row: 77}}))


def second_initialisation() -> Built:
    """An input cell holds another word from time 0 on, and a padding row takes the true one."""
    built = run({"divisor": {"x": 1}})
    address, padding = program().input_address + DIVISOR, LIMITS.cells
    row = LIMITS.cells - LIMITS.memory_size + address
    words = {
        "cell_init": {row: 1},
        "cell_word": {row: 1},
        "cell_space": {padding: MEMORY},
        "cell_address": {padding: address},
        "cell_live": {padding: 1},
    }
    forged = replace(built, air=with_words(built.air, words))
    return forged.patched("memory", "word", padding, INPUT[DIVISOR])


def other_clock() -> Built:
    """The last row counts as one before the first, and the first one as the last."""
    built = run(state={"pc": places()["halt"]})
    return replace(built, air=with_words(built.air, {"step_first": {0: 0}}))


@pytest.mark.parametrize(
    "make", [wider_table, other_constant, other_data, second_initialisation, other_clock]
)
def test_t41_a_forged_tree_0_is_rejected_because_the_key_fixes_the_root(make, key):
    """Range table, program, initial memory, a second initialisation, no first row."""
    built = make()
    assert is_false(built)
    assert built.violations == set()  # under the forged AIR
    assert replace(built, air=honest().air).violations
    trace = trace_of(built)
    # Committed honestly, it is a true proof of another statement ...
    own = key_of(built.air, trace.log_sizes)
    assert own.air == key.air and own.preprocessed_root != key.preprocessed_root
    proof = jaxstark.prove(trace, params=PARAMS, key=own, insecure=True)
    jaxstark.verify(proof, own, built.public, insecure=True)
    # ... which the key of the program turns away, shown with either root or proved for it.
    assert rejected(proof, key, built.public) == "key"
    for forged in (proof, forge(trace, key)):
        commitments = (key.preprocessed_root, *forged.stark.commitments[1:])
        shown = replace(forged, stark=replace(forged.stark, commitments=commitments))
        assert rejected(shown, key, built.public) in ("logup", "oods", "merkle")


def test_the_halt_of_another_program_ends_no_run_of_this_one(key):
    """A program of the same shape that halts before it gives anything out."""
    other = assemble(TEXT.replace("jump    on  ", "halt        "))
    (pc,) = np.flatnonzero((other.words != program().words).any(axis=1))
    assert other.hash != program().hash and pc == places()["jump"]
    built = build(other, LIMITS, INPUT)
    assert built.violations == set() and built.public["output"] == [] and is_false(built)
    own = key_of(built.air, trace_of(built).log_sizes)
    proof = jaxstark.prove(trace_of(built), params=PARAMS, key=own, insecure=True)
    jaxstark.verify(proof, own, built.public, insecure=True)
    assert rejected(proof, key, built.public) == "key"
    renamed = replace(proof, air=key.air)
    assert rejected(renamed, key, built.public) == "key"
    commitments = (key.preprocessed_root, *proof.stark.commitments[1:])
    shown = replace(renamed, stark=replace(proof.stark, commitments=commitments))
    assert rejected(shown, key, built.public) == "logup"


# --- T14: columns that are not as small as they claim ----------------------------------------

LARGE = LIMITS.log_steps


def lifted(built: Built, distinct: dict[str, dict[int, dict[str, int]]] | None = None) -> Built:
    """All smaller components with as many rows as the steps: a lift, but for ``distinct`` rows.

    ``distinct`` is by component and row of the large size. Preprocessed columns are lifts: tree 0
    is the key's.
    """
    columns = {}
    logs = trace_of(built).log_sizes
    for comp, log in zip(built.air.components, logs, strict=True):
        order = repeats(log, LARGE) if log < LARGE else np.arange(1 << LARGE)
        table = built.columns[comp.name] | {name: make(log) for name, make in comp.preprocessed}
        columns[comp.name] = {name: column[order].copy() for name, column in table.items()}
        for row, words in (distinct or {}).get(comp.name, {}).items():
            for name, word in words.items():
                columns[comp.name][name][row] = word
    return replace(built, columns=columns)


def scales(logs: tuple[int, ...]) -> dict[str, int]:
    """The weight of one of 2^LARGE rows, by component."""
    names = (comp.name for comp in honest().air.components)
    return {name: pow(2, log - LARGE, P) for name, log in zip(names, logs, strict=True)}


def relaxed(built: Built, logs: tuple[int, ...]) -> set[tuple[str, str]]:
    """What is broken if small components may have 2^LARGE rows, each of proportionate weight.

    The claimed sum of a component of 2^k rows is spread over 2^k rows, so that each of the 2^L
    counts for 2^(k - L). The verifier demands more: the last LogUp column of a component has two
    samples, is a lift therefore, and all rows of a class have the same total.
    """
    return findings(built.air, built.columns, built.public, scales(logs)).violations


def row_class(log_size: int, row: int) -> np.ndarray:
    """The rows of the large size that stand for a row of a component."""
    return np.flatnonzero(repeats(log_size, LARGE) == row)


def test_t14_only_the_steps_read_the_row_before_and_none_is_larger():
    """What restriction 5 of the protocol asks of the AIR.

    Columns with one sample of a component of 2^k < 2^L rows may hold 2^L distinct rows. So nothing
    may rest on how many rows ``program``, ``memory``, the value components or the tables have. None
    does: their constraints are local to a row, their preprocessed columns are lifts, and

    * what a row provides is true by itself (an instruction of the ROM, a byte, a pair of nibbles, a
      result with its limbs in range), whatever its multiplicity;
    * a cell is initialised and closed by preprocessed flags, with the weight of one row in all; two
      closings of the weight 1/2 meet no access, as the weights of accesses are whole.

    The steps are always of the largest size, which ``Limits`` sees to.
    """
    air = honest().air
    for comp, info in zip(air.components, air.info.components, strict=True):
        local = all(mask == (0,) for mask in info.offsets)
        assert local == (comp.name != "steps")
    smaller = replace(LIMITS, log_steps=LIMITS.log_steps - 1)
    with pytest.raises(ValueError, match="must be the largest"):
        smaller.log_sizes(program())


def test_t14_a_lift_is_no_lie_and_distinct_true_rows_are_none():
    """The control: more rows than the component has pass, so the next tests test something."""
    built = honest()
    logs = trace_of(built).log_sizes
    assert relaxed(lifted(built), logs) == set()
    component, row = built.value_rows["relu"]
    rows = row_class(4, row)
    assert len(rows) == 1 << (LARGE - 4)
    # One of the rows has all the uses, the others are true and nobody uses them.
    unused = {"a": 0, "negative": 0, "x": 0, "h1": 0, "h2": 0, "h3": 0, "hint": 0, "uses": 0}
    words = {int(rows[0]): {"uses": len(rows)}} | dict.fromkeys(rows[1:].tolist(), unused)
    forged = lifted(built, {component: words})
    assert relaxed(forged, logs) == {(RELATION, "byte")}  # the bytes of 0 are counted for others
    extra = forged.columns["bytes"]["uses"]
    wrong = findings(forged.air, forged.columns, forged.public, scales(logs)).unbalanced["byte"]
    for (byte,), net in wrong.items():  # the table has the large size: its weights are whole
        extra[byte] = (int(extra[byte]) + net) % P
    assert relaxed(forged, logs) == set()


FALSE_ROWS = [f for f in VALUES if f.at is not None or (f.entry and f.entry[0] != "steps")]


@pytest.mark.parametrize(
    "forgery", [f for f in FALSE_ROWS if not f.counts], ids=lambda forgery: forgery.name
)
def test_t14_a_false_row_among_true_ones_is_no_better(forgery):
    """One of the rows that stand for a row is false and has all the uses."""
    built, _ = judged(forgery)
    place = next(name for name in built.value_rows if _differs(built, name))
    component, row = built.value_rows[place]
    logs = dict(zip((c.name for c in built.air.components), trace_of(built).log_sizes, strict=True))
    rows = row_class(logs[component], row)
    table, true = built.columns[component], honest().columns[component]
    uses = [name for name in table if name.endswith("uses")]
    lie = {name: int(column[row]) for name, column in table.items()}
    lie |= {name: lie[name] * len(rows) for name in uses}
    truth = {name: int(true[name][row]) for name in table} | dict.fromkeys(uses, 0)
    words = {int(rows[0]): lie} | dict.fromkeys(rows[1:].tolist(), truth)
    forged = lifted(built, {component: words})
    assert forgery.breaks <= relaxed(forged, trace_of(built).log_sizes)


def _differs(built: Built, place: str) -> bool:
    component, row = built.value_rows[place]
    table, true = built.columns[component], honest().columns[component]
    return any(table[name][row] != true[name][row] for name in table if "uses" not in name)


def test_t14_a_cell_that_is_closed_half_and_half_meets_no_access():
    """The cell of a stale read: half of its rows close the first version, half the second."""
    built = run({"reload": {"time_x": 0, "x": 2}})
    logs = trace_of(built).log_sizes
    row = LIMITS.cells - LIMITS.memory_size + 2
    store = {"time": built.rows["store"] + 1, "word": 5}
    rows = row_class(logs[2], row)
    forged = lifted(built, {"memory": dict.fromkeys(rows[::2].tolist(), store)})
    assert relaxed(lifted(built), logs) == relaxed(forged, logs) == {(RELATION, "cell")}


def test_t14_no_row_of_the_rom_is_executed_behind_its_end():
    built = honest()
    logs = trace_of(built).log_sizes
    rows = row_class(logs[1], len(program()))
    forged = lifted(built, {"program": {int(rows[0]): {"uses": 1}}})
    assert ("program", "program: padding is never executed") in relaxed(forged, logs)
