"""AIR soundness: what breaks one rule is refused by the prover and, proved anyway, rejected."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import jaxstark
from jaxstark import prover
from jaxstark.air.debugger import find_violation
from jaxstark.air.definition import Air, Component, Constraints, Relation
from jaxstark.air.legacy26 import COLUMNS, legacy26, legacy26_columns
from jaxstark.air.plonk import fibonacci_plonk, fibonacci_trace
from jaxstark.air.range_sum import range_sum, range_sum_trace
from jaxstark.air.state_machine import state_machine, state_machine_trace
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns
from jaxstark.errors import ProvingError
from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.trace import Trace
from tests.soundness.forging import PARAMS, bumped, changed, forge, key_of, rejected

LOG_SIZE = 5


@dataclass(frozen=True)
class Forgery:
    """A trace that breaks exactly one rule.

    Attributes:
      name: of the test.
      air: a shipped AIR.
      columns, public: the trace.
      component, row, rule: what the debugger must name; row None: any.
      drop: index of the rule (``constrain`` or ``entry`` call) in its component.
      entry: whether the rule is a lookup.
    """

    name: str
    air: Air
    columns: Any
    public: Any
    component: str
    row: int | None
    rule: str
    drop: int
    entry: bool = False

    @property
    def trace(self) -> Trace:
        return Trace(self.air, self.columns, self.public)


def fibonacci_forgeries():
    air = wide_fibonacci(26)
    for i in range(2, 26):
        columns = wide_fibonacci_columns(26, LOG_SIZE, seed=i)["fibonacci"]
        row = (7 * i) % 32
        table = [columns[f"c{j}"].copy() for j in range(i)]
        table.append(bumped(row)(columns[f"c{i}"]))
        while len(table) < 26:  # all later columns follow from the changed one
            table.append(m31.add(m31.sq(table[-2]), m31.sq(table[-1])))
        forged = {"fibonacci": {f"c{j}": column for j, column in enumerate(table)}}
        yield Forgery(f"fibonacci c{i}", air, forged, {}, "fibonacci", row, f"c{i}", i - 2)


def plonk_forgeries():
    air = fibonacci_plonk(LOG_SIZE)
    columns, public = fibonacci_trace(LOG_SIZE, 3, 5)
    values = [*public["inputs"]]
    for i in range(32):  # gate 9 computes something else, and all later gates go on from it
        values.append((values[i] + values[i + 1] + (i == 9)) % P)
    table = np.array(values, np.uint32)
    forged = {
        "gates": {
            "mult": columns["gates"]["mult"],
            "a_val": table[:32],
            "b_val": table[1:33],
            "c_val": table[2:],
        }
    }
    public_end = dict(public, outputs=values[-1:])
    yield Forgery("plonk gate", air, forged, public_end, "gates", 9, "gate", 0)
    # Gate 4 reads a value that its wire does not have, and the other input makes up for it.
    one = changed(columns, "gates", "a_val", bumped(4))
    both = changed(one, "gates", "b_val", bumped(4, -1))
    yield Forgery("plonk wires", air, both, public, "gates", None, "wire", 0, True)
    twice = changed(columns, "gates", "mult", bumped(4))
    yield Forgery("plonk multiplicity", air, twice, public, "gates", None, "wire", 2, True)


def state_machine_forgeries():
    air = state_machine()
    columns, public = state_machine_trace((LOG_SIZE, LOG_SIZE - 1), (2, 3))
    for component in ("increment_x", "increment_y"):
        for column in ("x", "y"):
            forged = changed(columns, component, column, bumped(6))
            name = f"state machine {component} {column}"
            drop = int(column == "y")
            yield Forgery(name, air, forged, public, component, None, "state", drop, True)


def range_sum_forgeries():
    bits = LOG_SIZE - 1
    air = range_sum(bits)
    columns, public = range_sum_trace(LOG_SIZE, bits, start=11, seed=4)
    result = public["result"][0]
    shifted = changed(columns, "sum", "total", bumped(slice(None), 5))
    more = dict(public, result=[(result + 5) % P])
    yield Forgery("range sum start", air, shifted, more, "sum", 0, "start", 0)
    stepped = changed(columns, "sum", "total", bumped(slice(20, None), 5))
    yield Forgery("range sum step", air, stepped, more, "sum", 20, "step", 1)
    yield Forgery("range sum result", air, columns, more, "sum", 31, "result", 2)
    value = columns["sum"]["value"].copy()
    value[8] = 1 << bits
    total = (np.cumsum(value, dtype=np.uint64) + np.uint64(11)).astype(np.uint32)
    wrong = {
        "sum": {"value": value, "total": total},
        "table": {"multiplicity": np.bincount(value, minlength=(1 << bits) + 1)[:-1]},
    }
    wrong["table"]["multiplicity"] = wrong["table"]["multiplicity"].astype(np.uint32)
    end = dict(public, result=[int(total[-1])])
    yield Forgery("range sum lookup", air, wrong, end, "sum", None, "range", 0, True)
    padded = changed(columns, "table", "multiplicity", bumped(3))
    yield Forgery("range sum table", air, padded, public, "sum", None, "range", 0, True)


FORGERIES = [
    *fibonacci_forgeries(),
    *plonk_forgeries(),
    *state_machine_forgeries(),
    *range_sum_forgeries(),
]


class Without(Constraints):
    """Passes on all rules but one."""

    def __init__(self, inner: Constraints, drop: int, entry: bool) -> None:
        self.inner, self.drop, self.is_entry = inner, drop, entry
        self.public_values = inner.public_values
        self.counts = [0, 0]

    def _keep(self, entry: bool) -> bool:
        self.counts[entry] += 1
        return entry != self.is_entry or self.counts[entry] - 1 != self.drop

    def constrain(self, value: Any, name: str = "") -> None:
        if self._keep(False):
            self.inner.constrain(value, name)

    def entry(self, relation: Relation, values: Any, multiplicity: Any) -> None:
        if self._keep(True):
            self.inner.entry(relation, values, multiplicity)


def mutant(air: Air, component: str, drop: int, entry: bool) -> Air:
    """The AIR without one rule; the checks of a definition are passed by."""

    def weaken(comp: Component) -> Component:
        def evaluate(row: Any, rules: Any) -> None:
            comp.evaluate(row, Without(rules, drop, entry))

        return replace(comp, evaluate=evaluate)

    weaker = copy.copy(air)
    components = tuple(weaken(c) if c.name == component else c for c in air.components)
    object.__setattr__(weaker, "components", components)
    return weaker


def honest(air: Air) -> Trace:
    """A satisfying trace of the size of the forgeries."""
    name = air.name.split("/")[0]
    columns, public = {
        "wide_fibonacci": lambda: (wide_fibonacci_columns(26, LOG_SIZE, 1), {}),
        "plonk": lambda: fibonacci_trace(LOG_SIZE, 3, 5),
        "state_machine": lambda: state_machine_trace((LOG_SIZE, LOG_SIZE - 1), (2, 3)),
        "range_sum": lambda: range_sum_trace(LOG_SIZE, LOG_SIZE - 1, 11, 4),
    }[name]()
    return Trace(air, columns, public)


def broken_rules(trace: Trace) -> set[tuple[str, int]]:
    """Every (component, number) of a constraint that fails somewhere in a trace."""
    from jaxstark.air.debugger import _evaluate

    return {
        (comp.name, number)
        for comp in trace.air.components
        for number, (_, values) in enumerate(
            _evaluate(trace.air, comp, trace.host_columns()[comp.name], trace.public_values).rules
        )
        if values.any()
    }


def test_t16_the_forgeries_cover_every_rule():
    for air in {f.air for f in FORGERIES}:
        covered = {(f.component, f.drop) for f in FORGERIES if f.air == air and not f.entry}
        rules = {
            (comp.name, number)
            for comp, info in zip(air.components, air.info.components, strict=True)
            for number in range(len(info.constraints) - info.n_batches)
        }
        assert covered == rules, air.name
        entries = sum(info.n_entries for info in air.info.components)
        assert bool(entries) == any(f.entry for f in FORGERIES if f.air == air)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda f: f.name)
def test_t16_every_broken_rule_is_refused_named_and_rejected(forgery):
    trace = forgery.trace
    expected = set() if forgery.entry else {(forgery.component, forgery.drop)}
    assert broken_rules(trace) == expected
    with pytest.raises(ProvingError) as error:
        jaxstark.prove(trace, params=PARAMS, insecure=True)
    message = str(error.value)
    assert forgery.rule in message and f" {forgery.component}" in message
    assert "row" in message and (forgery.row is None or f"row {forgery.row}," in message)
    key = key_of(forgery.air, trace.log_sizes)
    section = rejected(forge(trace, key), key, forgery.public)
    assert section == ("logup" if forgery.entry else "oods")


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda f: f.name)
def test_t16_without_its_rule_a_forgery_passes_the_debugger(forgery):
    weaker = mutant(forgery.air, forgery.component, forgery.drop, forgery.entry)
    found = find_violation(forgery.air, forgery.trace.host_columns(), forgery.trace.public_values)
    assert found is not None and found.rule == forgery.rule
    if not forgery.entry:
        columns = forgery.trace.host_columns()
        assert find_violation(weaker, columns, forgery.trace.public_values) is None
        return
    # Without a lookup the honest trace does not balance: the loss cannot go unnoticed.
    trace = honest(forgery.air)
    assert find_violation(forgery.air, trace.host_columns(), trace.public_values) is None
    assert find_violation(weaker, trace.host_columns(), trace.public_values) is not None


AIRS = sorted({f.air for f in FORGERIES}, key=lambda air: air.name)


@pytest.mark.parametrize("air", AIRS, ids=lambda air: air.name)
def test_honest_traces_of_the_same_shapes_are_accepted(air):
    """The other half of every rejection above: the same prover, without its checks."""
    trace = honest(air)
    key = key_of(air, trace.log_sizes)
    proof = forge(trace, key)
    jaxstark.verify(proof, key, trace.public_values, insecure=True)
    assert proof == jaxstark.prove(trace, params=PARAMS, insecure=True)


def test_t16_a_range_check_that_is_left_out_lets_a_forgery_pass():
    """Both sides of the relation deleted: the forged word goes through, so both are needed."""
    (forgery,) = (f for f in FORGERIES if f.name == "range sum lookup")
    weaker = mutant(forgery.air, "sum", 0, True)
    weaker = mutant(weaker, "table", 0, True)
    columns = forgery.trace.host_columns()
    assert find_violation(weaker, columns, forgery.trace.public_values) is None


# --- T13, T20: forged values at the out-of-domain point, forged claims -----------------------


def test_t13_composition_values_forged_to_satisfy_the_oods_equation(monkeypatch):
    """The values then are not those of the committed columns: FRI does not accept."""
    (forgery,) = (f for f in FORGERIES if f.name == "fibonacci c5")
    key = key_of(forgery.air, forgery.trace.log_sizes)
    state = {}
    sample, combine, matches = prover.sample, prover.composition_at, []

    def sampling(trees, shape, point):
        sampled = sample(trees, shape, point)
        state["point"], state["values"] = point, list(sampled[-1])
        return (*sampled[:-1], state["values"])

    def combining(*args):
        combined = combine(*args)
        values, point = state["values"], state["point"]
        v = prover.statement.secure_double_x(point.x, LOG_SIZE - 1)
        left = qm31.from_coordinates([column[0] for column in values[:4]])
        right = qm31.from_coordinates([column[0] for column in values[4:]])
        wanted = qm31.sub(qm31.mul(combined, qm31.inv(v)), qm31.mul(v, right))
        values[0] = (qm31.add(values[0][0], qm31.sub(wanted, left)),)
        matches.append(prover.statement.composition_matches(values, combined, point, LOG_SIZE))
        return combined

    monkeypatch.setattr(prover, "sample", sampling)
    monkeypatch.setattr(prover, "composition_at", combining)
    proof = forge(forgery.trace, key)
    assert matches == [True]
    assert rejected(proof, key, {}) == "fri"


@pytest.mark.parametrize("name", ["range sum lookup", "state machine increment_x x"])
def test_t20_claims_forged_to_balance_are_rejected(name, monkeypatch):
    """The prover lies about the first sum: the total is 0 and the LogUp constraint fails."""
    (forgery,) = (f for f in FORGERIES if f.name == name)
    key = key_of(forgery.air, forgery.trace.log_sizes)
    honest_sums, lying = prover._interaction, {}

    def interaction(air, tables, fixed, public, encoded):
        columns, sums = honest_sums(air, tables, fixed, public, encoded)
        sums[0] = qm31.sub(sums[0], lying["total"])
        return columns, sums

    # The elements depend on the trace alone, so a first run tells what to lie about.
    honest_proof = forge(forgery.trace, key)
    channel = _channel_after_trace(honest_proof, key, forgery.trace)
    elements, _ = prover.statement.draw_relations(channel, forgery.air)
    public = forgery.trace.public_values
    lying["total"] = prover.logup_total(forgery.air, public, elements, honest_proof.claimed_sums)
    assert lying["total"] != qm31.ZERO
    monkeypatch.setattr(prover, "_interaction", interaction)
    proof = forge(forgery.trace, key)
    assert rejected(honest_proof, key, forgery.public) == "logup"
    assert rejected(proof, key, forgery.public) == "oods"


def _channel_after_trace(proof, key, trace):
    return prover.bound_channel(trace, key).mix_root(proof.stark.commitments[1])


# --- T17: the legacy AIR ---------------------------------------------------------------------


def legacy_forgeries() -> dict[str, Callable[[Any], Any]]:
    """What the legacy AIR accepts, by name: changes of an honest trace."""
    zero = np.zeros(64, np.uint32)

    def all_zero(table):
        return dict.fromkeys(COLUMNS, zero)

    def broken_chain(table):  # the register of the next step has nothing to do with the last
        return table | {"reg0_curr": table["reg0_curr"] + np.uint32(7)}

    def two_selectors(table):
        row = 3
        out = {name: column.copy() for name, column in table.items()}
        for name in ("is_add", "is_sub"):
            out[name][row] = 1
        for name in ("is_mul", "is_load_imm"):
            out[name][row] = 0
        out["src2_val"][row] = 0
        out["product"][row] = 0
        out["result"][row] = out["reg0_next"][row] = out["src1_val"][row]
        return out

    def wrong_start(table):
        moved = bumped(slice(None), 1000)
        return table | {n: moved(table[n]) for n in ("pc_curr", "pc_next")}

    def changed_result(table):  # no selector on: any result goes
        out = {name: column.copy() for name, column in table.items()}
        for name in ("is_add", "is_sub", "is_mul", "is_load_imm"):
            out[name][5] = 0
        out["result"][5] = out["reg0_next"][5] = 123456
        return out

    changes = (all_zero, broken_chain, two_selectors, wrong_start, changed_result)
    return {change.__name__: change for change in changes}


def test_t17_the_legacy_air_accepts_forged_traces():
    """Documents why it is for timings only; a sound AIR must reject each of these."""
    air, table = legacy26(), legacy26_columns(6, 1)["steps"]
    assert find_violation(air, {"steps": table}, {}) is None
    key = key_of(air, (6,))
    for name, change in legacy_forgeries().items():
        forged = change(dict(table))
        differing = [c for c in COLUMNS if not np.array_equal(forged[c], table[c])]
        assert differing, name
        proof = jaxstark.prove(Trace(air, {"steps": forged}), params=PARAMS, insecure=True)
        jaxstark.verify(proof, key, insecure=True)
    wrong = dict(table, result=bumped(5)(table["result"]))
    with pytest.raises(ProvingError, match="row 5"):
        jaxstark.prove(Trace(air, {"steps": wrong}), params=PARAMS, insecure=True)


# --- T18, T19, T21 ---------------------------------------------------------------------------


def counter(first_row_free: bool) -> Air:
    """A column that goes up by one on every row: cyclic, but for row 0 if that is free."""
    from jaxstark.air.definition import first_row

    def evaluate(row: Any, air: Any) -> None:
        step = row.x - row.prev.x - 1
        air.constrain((1 - row.first) * step if first_row_free else step + 0 * row.first, "step")

    return Air("counter", (Component("count", ("x",), evaluate, (("first", first_row),)),))


def test_t18_constraints_hold_between_the_last_row_and_the_first():
    count = {"count": {"x": np.arange(32, dtype=np.uint32)}}
    free, cyclic = counter(True), counter(False)
    proof = jaxstark.prove(Trace(free, count), params=PARAMS, insecure=True)
    jaxstark.verify(proof, key_of(free, (5,)), insecure=True)
    key = key_of(cyclic, (5,))
    with pytest.raises(ProvingError, match="row 0, step"):
        jaxstark.prove(Trace(cyclic, count), params=PARAMS, insecure=True)
    assert rejected(forge(Trace(cyclic, count), key), key) == "oods"
    # The proof of the AIR with the exception does not pass for the other, of equal id.
    assert rejected(proof, key) == "oods"


def test_t18_the_shipped_boundary_rules_cut_the_circle():
    """The last total does not flow into the first row of the example."""
    air = range_sum(LOG_SIZE - 1)
    columns, public = range_sum_trace(LOG_SIZE, LOG_SIZE - 1, start=11, seed=4)
    last = int(columns["sum"]["total"][-1])
    around = changed(columns, "sum", "total", bumped(slice(None), last - 11))
    end = dict(public, result=[int(around["sum"]["total"][-1])])
    with pytest.raises(ProvingError, match="row 0, start"):
        jaxstark.prove(Trace(air, around, end), params=PARAMS, insecure=True)


def test_t19_padding_rows_must_have_multiplicity_zero():
    """A row that provides what nobody uses, and one that takes it back elsewhere."""
    bits = LOG_SIZE - 1
    air, key = range_sum(bits), key_of(range_sum(bits), (LOG_SIZE, bits))
    value = np.full(32, 3, np.uint32)
    total = np.cumsum(value, dtype=np.uint32)
    multiplicity = np.zeros(16, np.uint32)
    multiplicity[3] = 32
    columns = {"sum": {"value": value, "total": total}, "table": {"multiplicity": multiplicity}}
    public = {"start": [0], "result": [96]}
    proof = jaxstark.prove(Trace(air, columns, public), params=PARAMS, insecure=True)
    jaxstark.verify(proof, key, public, insecure=True)
    padded = changed(columns, "table", "multiplicity", bumped(9))
    with pytest.raises(ProvingError, match=r"tuple \(9\), first seen in table row 9"):
        jaxstark.prove(Trace(air, padded, public), params=PARAMS, insecure=True)
    assert rejected(forge(Trace(air, padded, public), key), key, public) == "logup"
    moved = changed(padded, "table", "multiplicity", bumped(3, -1))
    assert rejected(forge(Trace(air, moved, public), key), key, public) == "logup"


def two_relations(same: bool) -> Air:
    first, second = Relation("first", 1), Relation("second", 1)

    def evaluate(row: Any, air: Any) -> None:
        air.lookup(first, [row.x])
        air.provide(first if same else second, [row.y])

    relations = (first,) if same else (first, second)
    return Air("cancel", (Component("rows", ("x", "y"), evaluate),), relations)


def test_t21_equal_tuples_of_two_relations_do_not_cancel():
    x = np.arange(32, dtype=np.uint32)
    columns = {"rows": {"x": x, "y": np.roll(x, 5)}}
    one, two = two_relations(True), two_relations(False)
    proof = jaxstark.prove(Trace(one, columns), params=PARAMS, insecure=True)
    jaxstark.verify(proof, key_of(one, (5,)), insecure=True)
    key = key_of(two, (5,))
    with pytest.raises(ProvingError, match="relation first"):
        jaxstark.prove(Trace(two, columns), params=PARAMS, insecure=True)
    assert rejected(forge(Trace(two, columns), key), key) == "logup"
