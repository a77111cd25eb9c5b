"""Soundness of the Obelysk AIR: forged traces, each with all that it breaks.

The forgeries are in ``vm_forgeries`` and ``vm_value_forgeries``. All are judged by the debugger,
which is what ``prove`` refuses a trace by; some of all families are proved past the prover's
checks, for the verifier to reject, in ``test_vm_forged_proofs``.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from jaxstark.air.debugger import find_violation
from jaxstark.air.legacy26 import legacy26
from jaxstark.vm import air as vm_air
from jaxstark.vm import isa
from jaxstark.vm.air import AGE, template
from jaxstark.vm.limits import Limits
from jaxstark.vm.values import BYTE
from tests.soundness import vm_legacy_pairs as legacy
from tests.soundness import vm_mutants
from tests.soundness.vm_builder import build
from tests.soundness.vm_forgeries import ALL
from tests.soundness.vm_forging import PUBLIC, RELATION, filtered, findings, violations
from tests.soundness.vm_mutants import CONSTRAINT, ENTRY, judged, mutants, verdict
from tests.soundness.vm_program import INPUT, LIMITS, honest, is_false, places, program, run
from tests.soundness.vm_value_forgeries import flipped, relu_row, relu_value

# --- The honest trace: the other half of every rejection --------------------------------------


def test_the_honest_trace_breaks_nothing_and_runs_every_instruction():
    trace = honest()
    assert trace.violations == set() and not is_false(trace)
    assert find_violation(trace.air, trace.columns, trace.public) is None
    run_opcodes = {program()[pc].opcode for pc in trace.columns["steps"]["pc"].tolist()}
    assert run_opcodes == set(isa.BY_CODE)
    assert trace.air.template is template(15)


def test_the_builder_without_a_lie_makes_the_trace_of_the_machine():
    """So that a forgery differs from a real trace by its lie."""
    pytest.importorskip("jax")
    from jaxstark.vm import execute, trace

    real = trace(execute(program(), INPUT), LIMITS).host_columns()
    ours = honest().columns
    for component, table in real.items():
        for name, column in table.items():
            if component in ("less", "bitwise") and name.endswith("uses"):
                # Equal rows: the builder counts all uses in the first of them.
                assert column.sum() == ours[component][name].sum()
            else:
                assert np.array_equal(column, ours[component][name]), (component, name)


# --- T16: every rule -------------------------------------------------------------------------


def test_t16_the_forgeries_cover_every_rule_and_every_entry():
    air = honest().air
    rules = {
        (comp.name, name)
        for comp, info in zip(air.components, air.info.components, strict=True)
        for name, _ in info.constraints[: info.n_rules]
    }
    broken = set().union(*(forgery.breaks for forgery in ALL))
    assert broken == rules | {(RELATION, relation.name) for relation in air.relations}
    assert len(rules) == sum(info.n_rules for info in template(15).info.components)
    alone = {next(iter(f.breaks)) for f in ALL if len(f.breaks) == 1}
    # See `vm_value_forgeries._bit` for why these four cannot be broken alone.
    bits = {("relu", "sign: bit"), *(("less", f"{word}: bit") for word in ("a", "b", "a - b"))}
    assert rules - alone == bits
    entries = {
        (info.name, number) for info in air.info.components for number in range(info.n_entries)
    }
    covered = {forgery.entry for forgery in ALL if forgery.entry}
    assert {entry for entry in covered if entry[0] != PUBLIC} == entries
    assert len({forgery.name for forgery in ALL}) == len(ALL)


@pytest.mark.parametrize("forgery", ALL, ids=lambda forgery: forgery.name)
def test_t16_every_forgery_is_refused_for_its_rule_alone(forgery):
    built, found = judged(forgery)
    assert found.violations == forgery.breaks
    refusal = find_violation(built.air, built.columns, built.public)
    assert refusal is not None
    if forgery.at is not None:
        row = forgery.at if isinstance(forgery.at, int) else built.rows[forgery.at]
        assert (refusal.component, refusal.rule) in forgery.breaks
        assert refusal.row == row
        assert f"component {refusal.component}, row {row}, {refusal.rule}:" in refusal.message
        return
    ((_, relation),) = forgery.breaks
    assert refusal.rule == relation and f"relation {relation}, tuple" in refusal.message
    # The tuple that is left over is one of the entry that the forgery is for.
    (entry,) = (e for e in found.entries if (e.component, e.number) == forgery.entry)
    assert entry.relation.name == relation
    assert entry.tuples & set(found.unbalanced[relation])
    # No other multiplicities would do, except where the lie is in them.
    mended = built.counted().violations
    assert mended == (set() if forgery.counts else forgery.breaks)


def test_t16_false_statements_are_most_of_what_is_refused():
    """The rules of which no forgery claims a false statement, and why they are harmless."""
    false = {rule for f in ALL if is_false(judged(f)[0]) for rule in f.breaks}
    harmless = set().union(*(f.breaks for f in ALL)) - false
    assert harmless == {
        # Where nothing is given out, the index does not matter.
        ("steps", "start: output"),
        # Words and times that no rule reads.
        ("steps", "inverse: 0 for 0"),
        *(("steps", f"operands: unused {name}") for name in "abdx"),
        *(("steps", f"times: unused {name}") for name in "abdx"),
        ("memory", "memory: unused time"),
        ("memory", "memory: unused word"),
        # ReLU of 0 is 0, whatever the sign of 0.
        ("relu", "sign: p is not 0"),
    }
    assert sum(is_false(judged(f)[0]) for f in ALL) > 100


@pytest.fixture(scope="module")
def verdicts():
    return [(mutant, verdict(mutant)) for mutant in mutants()]


def test_t16_no_mutant_of_the_air_survives(verdicts):
    assert [m.title for m, found in verdicts if not found.tests] == []
    kinds = Counter(mutant.kind for mutant, _ in verdicts)
    infos = template(15).info.components
    assert kinds[CONSTRAINT] == sum(info.n_rules for info in infos)
    assert kinds[ENTRY] == sum(info.n_entries for info in infos)


def test_t16_without_the_forgeries_mutants_do_survive(monkeypatch):
    """The other half: what detects a mutant is the forgery that it accepts."""
    found = next(mutant for mutant in mutants() if mutant.rule == "formula: value")
    assert verdict(found).tests
    monkeypatch.setattr(vm_mutants, "ALL", tuple(f for f in ALL if "value" not in str(f.breaks)))
    assert verdict(found).tests == ()


def test_t16_every_lookup_of_a_table_stops_a_false_statement(verdicts):
    """Each of the range checks, ages, instructions and results, alone: none is superfluous."""
    tables = ("instruction", "co", "age", "byte", "nibbles", "output")
    checks = [(m, v) for m, v in verdicts if m.kind == ENTRY and m.rule in tables]
    lookups = [(m, v) for m, v in checks if not m.provides]
    assert len(lookups) == 1 + 1 + 4 + (5 + 15 + 12) + 9 + 1
    assert [m.title for m, found in lookups if not found.false] == []


def test_t16_a_rule_can_be_deleted_only_where_others_imply_it(verdicts):
    never = {(m.component, m.rule) for m, v in verdicts if m.kind == CONSTRAINT and not v.accepted}
    assert never == {
        ("relu", "sign: bit"),
        *(("less", f"{word}: bit") for word in ("a", "b", "a - b")),
    }


def test_t16_every_column_is_pinned():
    """A changed word is noticed, in every column of every component, in rows at random."""
    trace, draw = honest(), random.Random(16)
    for component, table in trace.columns.items():
        for name, column in table.items():
            for row in {draw.randrange(len(column)), len(column) - 1}:
                forged = trace.patched(component, name, row, draw.randrange(1, 1 << 30), add=True)
                assert forged.violations, (component, name, row)


# --- T17: what the legacy AIR accepts --------------------------------------------------------


@pytest.mark.parametrize("pair", legacy.PAIRS, ids=lambda pair: pair.name)
def test_t17_what_the_legacy_air_accepts_the_sound_one_refuses(pair):
    """experiments/forgery_demo.py proves the legacy halves, and verifies the proofs."""
    table = legacy.honest_legacy()
    forged = pair.legacy(dict(table))
    assert any(not np.array_equal(forged[name], table[name]) for name in table)
    assert find_violation(legacy26(), {"steps": forged}, {}) is None
    component, row, rule, message = legacy.finding(pair.make())
    assert (component, rule) == (pair.component, pair.rule), message
    assert pair.row in (None, row), message


def test_t17_the_legacy_air_refuses_something_and_the_sound_one_accepts_the_truth():
    table = legacy.honest_legacy()
    assert find_violation(legacy26(), {"steps": table}, {}) is None
    wrong = legacy.words(2, result=13)(table)
    assert find_violation(legacy26(), {"steps": wrong}, {}) is not None
    assert legacy.finding(legacy.honest_sound())[2:] == ("", "accepted")


# --- T18, T21, sizes of the statement --------------------------------------------------------


def test_t18_no_rotation_of_the_trace_is_accepted():
    """The last row does not flow into the first one. See also the run that starts at its halt."""
    trace = honest()
    for shift in (1, 97, 255):
        steps = {name: np.roll(column, shift) for name, column in trace.columns["steps"].items()}
        found = violations(trace.air, trace.columns | {"steps": steps}, trace.public)
        assert {("steps", "start: pc"), ("steps", "chain: pc")} <= found


def test_t21_equal_tuples_of_two_relations_do_not_cancel():
    """Ages up to 511 do not serve as bytes: were they one relation, a negative word were not."""
    limits = Limits(**{**vars(LIMITS), "log_steps": 9})

    def change(row):
        return row | relu_row(lambda row: flipped(*relu_value(row), 0), row)

    lies = {"relu": {"row": change}}
    forged = build(program(), limits, INPUT, lies, places=places())
    (wrong,) = findings(forged.air, forged.columns, forged.public).unbalanced["byte"]
    assert forged.violations == {(RELATION, "byte")} and is_false(forged)
    assert 255 < wrong[0] < 512
    moved = forged.patched("steps", "age_uses", wrong[0], 1, add=True)
    assert moved.violations == {(RELATION, "byte"), (RELATION, "age")}
    one = filtered(
        forged.air,
        lambda comp, entry, number, relation: AGE if relation == BYTE else relation or True,
    )
    assert violations(one, moved.columns, moved.public) == set()


@pytest.mark.parametrize("words", [0, 1, 7, 9, 40])
def test_an_input_of_another_length_than_the_keys_is_refused(words):
    """Cells of the input that nobody, or two parties, initialise: the cell relation."""
    given = [*INPUT, *range(100, 140)][:words]
    assert (RELATION, "cell") in run(None, given).violations


def test_the_input_of_a_program_that_never_reads_it_is_bound():
    """Its cells are initialised and closed all the same."""
    trace = honest()
    quiet = dict(trace.public, input=[*INPUT[:-1], INPUT[-1] + 1])
    assert violations(trace.air, trace.columns, quiet) == {(RELATION, "cell")}


def test_cells_are_initialised_and_closed_once():
    """The preprocessed side of the memory argument, for the limits of the forgeries."""
    table = vm_air.cell_table(program(), LIMITS, 6)
    space, address, _, init, live = table
    cells = list(zip(space[live == 1].tolist(), address[live == 1].tolist(), strict=True))
    assert len(cells) == len(set(cells)) == LIMITS.cells == int(live.sum())
    begin = program().input_address
    without = {(vm_air.MEMORY, begin + i) for i in range(len(INPUT))}
    assert {c for c, i in zip(cells, init[live == 1].tolist(), strict=True) if not i} == without
    assert not init[live == 0].any()


def test_instructions_of_the_rom_have_flags_of_0_and_1():
    """Multiplicities come from the ROM: each is 0 or 1, and 0 on padding."""
    rom = dict(zip((*vm_air.FIELDS, "live"), vm_air.rom_table(program(), 7), strict=True))
    flags = "use1 keep1 use2 keep2 same access_d write stack mem co out live".split()
    for name in flags:
        assert set(rom[name].tolist()) <= {0, 1}, name
        assert not rom[name][len(program()) :].any()
    assert rom["pc"].tolist() == list(range(128))
    assert not np.isin(rom["op"][len(program()) :], [255]).any()
