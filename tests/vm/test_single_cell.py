"""No single cell of a trace may change: each one is held by a constraint or by a lookup.

The program makes every instruction, with registers that coincide, and its AIR has every component.
Cells are tried column by column: one evaluation of the rules with all cells of a column changed
says for each of them what its own row says, and one more what the next row says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

import numpy as np
import pytest

from jaxstark import vm
from jaxstark.air.debugger import _RowEvaluator, find_violation
from jaxstark.air.definition import Air, Component, Row
from jaxstark.air.felt import Felt
from jaxstark.fields.m31 import P
from jaxstark.trace import Trace
from jaxstark.vm import assemble, isa
from tests.vm.reference import HALF, MACHINE, SHAPE, random_program

pytest.importorskip("numba", reason="numba is missing: the executor was not run")

TEXT = f"""
    .data   d, 3, -1, {HALF}, {HALF + 1}
    .space  s, 3
    .input  x
        load    r1, [x]             ; 5
        load    r2, [x + 1]         ; -7
        loadimm r3, 2
        add     r4, r1, r2
        sub     r4, r4, r3          ; dst is src1
        mul     r5, r1, r5          ; dst is src2
        mul     r5, r1, r1
        add     r5, r5, r5
        div     r6, r2, r1
        neg     r6, r6
        addi    r7, r2, 1000
        muli    r8, r1, -3
        mac     r8, r1, r2
        mac     r8, r8, r8
        mac     r9, r8, r9
        eq      r10, r1, r2
        eq      r10, r10, r10
        lt      r11, r1, r2
        lt      r11, r2, r1
        gt      r12, r1, r2
        gt      r12, r12, r2
        relu    r13, r2
        relu    r14, r1
        shr     r15, r2, 1
        shr     r15, r1, 2
        xor     r16, r1, r2
        and     r17, r1, r2
        or      r18, r17, r2
        load    r19, [r3 + d]
        load    r19, [r3 + r10 + d]
        load    r3, [r3 + r3 + d - 4]
        store   r2, [s]
        store   r2, [r10 + s]
        load    r20, [s + 1]
        store   r20, [s]
        loadimm r21, 2
    again:
        addi    r22, r22, 3
        loop    r21, r21, again
        loop    r23, r1, next
    next:
        jumpif  r0, again
        jumpif  r1, over
        halt
    over:
        jump    calls
        halt
    inner:
        return
    outer:
        call    inner
        return
    calls:
        call    outer
        call    inner
        out     r8
        out     r19
        out     r22
        halt
"""


def make_trace() -> Trace:
    program = assemble(TEXT)
    done = vm.execute(program, [5, -7])
    executed = {isa.BY_CODE[int(c)].name for c in program.opcodes[done.pcs]}
    assert executed == set(isa.BY_NAME)
    return vm.trace(done)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace()


class Cells:
    """Which single-cell changes of a trace nothing rejects.

    Args:
      trace: an honest trace.
      without: names of rules to leave out.
    """

    def __init__(self, trace: Trace, without: Collection[str] = ()) -> None:
        self.air, self.public = trace.air, trace.public_values
        self.columns = trace.host_columns()
        self.without = set(without)
        self.plain: dict[str, _RowEvaluator] = {}  # of the honest trace

    def evaluate(self, comp: Component, current: dict, previous: dict) -> _RowEvaluator:
        rows = len(current[comp.columns[0]])
        words = {name: Felt(column) for name, column in current.items()}
        log_size = rows.bit_length() - 1
        words |= {name: Felt(generator(log_size)) for name, generator in comp.preprocessed}
        before = {name: Felt(np.roll(column, 1)) for name, column in previous.items()}
        evaluator = _RowEvaluator(self.air, self.public, rows)
        comp.evaluate(Row(words, before), evaluator)
        evaluator.rules = [rule for rule in evaluator.rules if rule[0] not in self.without]
        return evaluator

    def survivors(self, comp: Component, column: str, amounts: np.ndarray) -> list[int]:
        """Rows whose cell of a column may grow by its amount, the other cells being honest."""
        honest = self.columns[comp.name]
        words = (honest[column].astype(np.uint64) + amounts) % np.uint64(P)
        changed = honest | {column: words.astype(np.uint32)}
        if comp.name not in self.plain:
            self.plain[comp.name] = self.evaluate(comp, honest, honest)
            broken = [name for name, values in self.plain[comp.name].rules if values.any()]
            assert not broken, "an honest trace"
        plain = self.plain[comp.name]
        own, following = (self.evaluate(comp, *x) for x in ((changed, honest), (honest, changed)))
        broken = np.zeros(len(words), bool)
        for evaluator, shift in ((own, 0), (following, -1)):
            for _, values in evaluator.rules:
                broken |= np.roll(values != 0, shift)
        return [
            row
            for row in np.flatnonzero(~broken).tolist()
            if not self.unbalanced(plain, [(own, row), (following, (row + 1) % len(words))])
        ]

    @staticmethod
    def unbalanced(plain: _RowEvaluator, changed: list[tuple[_RowEvaluator, int]]) -> bool:
        """Whether the lookups of the rows provide and use other tuples than the honest ones."""
        net: Counter = Counter()
        for evaluator, row in changed:
            for sign, entries in ((1, evaluator.entries), (-1, plain.entries)):
                for relation, table, weights in entries:
                    net[relation.name, *table[row].tolist()] += sign * int(weights[row])
        return any(total % P for total in net.values())

    def changed(self, comp: str, column: str, row: int, amount: int) -> dict:
        table = dict(self.columns[comp])
        words = table[column].copy()
        words[row] = (int(words[row]) + amount) % P
        return self.columns | {comp: table | {column: words}}

    def all_survivors(self, amount_of, only: str = "") -> tuple[set[tuple[str, str, int]], int]:
        """Cells, of one component or of all, that may change, and how many were tried."""
        found, count = set(), 0
        for comp in self.air.components:
            for column in comp.columns if only in ("", comp.name) else ():
                rows = len(self.columns[comp.name][column])
                survivors = self.survivors(comp, column, amount_of(rows))
                found |= {(comp.name, column, row) for row in survivors}
                count += rows
        return found, count


# (component, column) -> why its cells may hold anything.
DONT_CARE: dict[tuple[str, str], str] = {}


def random_amounts(rng: np.random.Generator):
    return lambda rows: rng.integers(1, P, rows, np.uint64)


@pytest.mark.parametrize("amount", ["one", "random"])
def test_t16_no_single_cell_may_change(trace, amount):
    amounts = {
        "one": lambda rows: np.ones(rows, np.uint64),
        "random": random_amounts(np.random.default_rng(1)),
    }
    survivors, count = Cells(trace).all_survivors(amounts[amount])
    assert count == sum(c.size for t in trace.columns.values() for c in t.values()) > 10_000
    assert {cell for cell in survivors if cell[:2] not in DONT_CARE} == set()
    assert {cell[:2] for cell in survivors} == set(DONT_CARE), "a reason without a cell"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["small", "minus", "power", "random"])
def test_t16_no_single_cell_may_change_by_any_of_many_amounts(trace, kind):
    rng = np.random.default_rng(2)
    for i in range(2, 30, 3):
        fixed = {"small": i, "minus": P - i, "power": 1 << i}.get(kind)
        amounts = random_amounts(rng)
        if fixed is not None:
            amounts = lambda rows, fixed=fixed: np.full(rows, fixed, np.uint64)  # noqa: E731
        survivors, _ = Cells(trace).all_survivors(amounts)
        assert {cell for cell in survivors if cell[:2] not in DONT_CARE} == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_t16_no_single_cell_of_random_programs_may_change(seed):
    program, public_input = random_program(random.Random(seed))
    trace = vm.trace(vm.execute(program, public_input, **MACHINE), SHAPE)
    survivors, _ = Cells(trace).all_survivors(random_amounts(np.random.default_rng(seed)))
    assert survivors == set()


def test_every_component_is_there_and_every_instruction_is_made(trace):
    names = "steps program memory relu less shift bitwise bytes nibbles".split()
    assert [c.name for c in trace.air.components] == names
    assert trace.log_sizes == (8, 6, 6, 4, 4, 4, 4, 8, 8)
    columns = trace.host_columns()
    assert find_violation(trace.air, columns, trace.public_values) is None
    # Some rows of every kind are used, others are padding.
    for name, uses in (("relu", "uses"), ("less", "uses"), ("bitwise", "xor_uses")):
        assert 0 < columns[name][uses].sum() < 16


# --- The checker itself ----------------------------------------------------------------------


def some_cells(trace: Trace) -> list[tuple[str, str, int]]:
    rng = np.random.default_rng(4)
    cells = []
    for comp in trace.air.components:
        rows = len(next(iter(trace.columns[comp.name].values())))
        for column in comp.columns:
            picked = {0, rows - 1, *rng.integers(0, rows, 2).tolist()}
            cells += [(comp.name, column, row) for row in picked]
    return [cells[i] for i in sorted(rng.permutation(len(cells))[:120])]


def test_the_debugger_rejects_the_same_changes(trace):
    cells = Cells(trace)
    for comp, column, row in some_cells(trace):
        changed = cells.changed(comp, column, row, 1)
        assert find_violation(trace.air, changed, trace.public_values) is not None


class Lax(Cells):
    """Without some rules, in the debugger too."""

    def air_without(self) -> Air:
        def weaker(comp: Component) -> Component:
            def evaluate(row, air):
                rule, outer = air.constrain, self

                class Filter:
                    def __getattr__(self, name):
                        return getattr(air, name)

                    def constrain(self, value, name=""):
                        if name not in outer.without:
                            rule(value, name)

                comp.evaluate(row, Filter())

            return Component(comp.name, comp.columns, evaluate, comp.preprocessed, comp.log_size)

        components = tuple(map(weaker, self.air.components))
        return Air(
            self.air.name,
            components,
            self.air.relations,
            self.air.public_values,
            self.air.public_terms,
        )


@pytest.mark.parametrize(
    ("rule", "component", "columns"),
    [
        ("operands: unused a", "steps", {"a"}),
        ("operands: unused d", "steps", {"d"}),
        ("times: unused x", "steps", {"time_x"}),
        ("inverse: 0 for 0", "steps", {"inverse"}),
        ("memory: unused word", "memory", {"word"}),
        ("sign: unused hint", "relu", {"hint"}),
    ],
)
def test_a_missing_rule_shows(trace, rule, component, columns):
    """Cells that only this rule holds are found, and the debugger without it agrees."""
    lax = Lax(trace, [rule])
    survivors, _ = lax.all_survivors(lambda rows: np.full(rows, 9, np.uint64), component)
    assert {cell[:2] for cell in survivors} == {(component, column) for column in columns}
    air = lax.air_without()
    for comp, column, row in sorted(survivors)[:5]:
        changed = lax.changed(comp, column, row, 9)
        assert find_violation(air, changed, trace.public_values) is None
        assert find_violation(trace.air, changed, trace.public_values) is not None
