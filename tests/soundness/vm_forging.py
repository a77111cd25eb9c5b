"""Judges of forged Obelysk traces, and mutants of an AIR. NumPy only: no JAX, no pytest.

``findings`` says all that is wrong with a trace, where the debugger names the first rule only.
``recounted`` makes the multiplicities fit what a forgery looks up. ``vm_builder`` makes traces.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxstark.air.debugger import _RowEvaluator
from jaxstark.air.definition import Air, Component, Constraints, Relation, Row
from jaxstark.air.felt import Felt
from jaxstark.fields.m31 import P

PUBLIC = "public terms"
RELATION = "relation"  # what stands for a component where a relation is out of balance
Columns = dict[str, dict[str, np.ndarray]]

# The multiplicity columns that a prover fills as it likes, in the order of the provisions.
COUNTS = {
    "instruction": (("program", "uses"),),
    "age": (("steps", "age_uses"),),
    "co": (
        *((name, "uses") for name in ("relu", "less", "shift")),
        *(("bitwise", f"{name}_uses") for name in ("xor", "and", "or")),
    ),
    "byte": (("bytes", "uses"),),
    "nibbles": (("nibbles", "uses"),),
}


# --- Judges ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """All rows of one lookup or provision: who makes it, tuples ``[rows, arity]``, weights."""

    component: str
    number: int
    relation: Relation
    provides: bool
    table: np.ndarray
    weights: np.ndarray

    @property
    def tuples(self) -> set[tuple[int, ...]]:
        """The tuples with a weight."""
        return set(map(tuple, self.table[self.weights != 0].tolist()))


class _Recorder(_RowEvaluator):
    """The debugger's evaluator; it remembers which entries were provisions."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.provided: list[bool] = []

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        self.provided.append(False)
        super().entry(relation, values, multiplicity)

    def provide(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        super().provide(relation, values, multiplicity)
        self.provided[-1] = True


def _recorded(air: Air, comp: Component, table: Any, public: Any) -> _Recorder:
    rows = len(next(iter(table.values())))
    current = {name: Felt(table[name]) for name in comp.columns}
    for name, generator in comp.preprocessed:
        # A table may bring a preprocessed column along, for rows that are no rows of the component.
        current[name] = Felt(table.get(name, generator(rows.bit_length() - 1)))
    (info,) = (info for info in air.info.components if info.name == comp.name)
    masks = zip(comp.columns, info.offsets, strict=True)
    previous = {name: Felt(np.roll(table[name], 1)) for name, mask in masks if -1 in mask}
    recorder = _Recorder(air, public, rows)
    comp.evaluate(Row(current, previous), recorder)
    return recorder


@dataclass(frozen=True)
class Findings:
    """Everything that is wrong with a trace.

    Attributes:
      rules: by component and name of a broken constraint, the rows that break it.
      entries: all lookups and provisions.
      unbalanced: by name of a relation, its unbalanced tuples with their net multiplicity.
    """

    rules: dict[tuple[str, str], list[int]]
    entries: tuple[Entry, ...]
    unbalanced: dict[str, dict[tuple[int, ...], int]]

    @property
    def violations(self) -> set[tuple[str, str]]:
        """Broken constraints as (component, rule), unbalanced relations as (RELATION, name)."""
        return set(self.rules) | {(RELATION, name) for name in self.unbalanced}


def findings(
    air: Air, columns: Any, public: Any, scales: Mapping[str, int] | None = None
) -> Findings:
    """Evaluate all rules on all rows, and add up all relations.

    ``scales`` are factors for the weights of some components.
    """
    rules, entries = {}, []
    parts = [
        (comp.name, _recorded(air, comp, columns[comp.name], public)) for comp in air.components
    ]
    if air.public_terms is not None:
        terms = _Recorder(air, public, 1)
        air.public_terms(terms)
        parts.append((PUBLIC, terms))
    for name, recorder in parts:
        for rule, values in recorder.rules:
            if values.any():
                rules[name, rule] = np.flatnonzero(values).tolist()
        scale = (scales or {}).get(name, 1)
        for number, (relation, table, weights) in enumerate(recorder.entries):
            provides, weights = recorder.provided[number], weights.astype(np.uint64) * scale % P
            entries.append(Entry(name, number, relation, provides, table, weights))
    unbalanced = {}
    for relation in air.relations:
        total = _totals(e for e in entries if e.relation == relation)
        wrong = {values: net % P for values, net in total.items() if net % P}
        if wrong:
            unbalanced[relation.name] = wrong
    return Findings(rules, tuple(entries), unbalanced)


def _totals(entries: Any) -> dict[tuple[int, ...], int]:
    total: dict[tuple[int, ...], int] = {}
    for entry in entries:
        rows = np.flatnonzero(entry.weights)
        tuples, weights = entry.table[rows].tolist(), entry.weights[rows].tolist()
        for values, weight in zip(map(tuple, tuples), weights, strict=True):
            total[values] = total.get(values, 0) + weight
    return total


def violations(air: Air, columns: Any, public: Any) -> set[tuple[str, str]]:
    """All broken constraints (component, rule) and unbalanced relations (RELATION, name)."""
    return findings(air, columns, public).violations


def recounted(air: Air, columns: Columns, public: Any) -> Columns:
    """The columns with all free multiplicities such that lookups balance as far as they can."""
    out = {name: dict(table) for name, table in columns.items()}
    entries = findings(air, columns, public).entries
    for relation, counts in COUNTS.items():
        providers = [e for e in entries if e.relation.name == relation and e.provides]
        wanted = _totals(e for e in entries if e.relation.name == relation and not e.provides)
        counts = [count for count in counts if count[0] in columns]
        for (component, column), entry in zip(counts, providers, strict=True):
            uses = np.zeros(len(entry.weights), np.uint32)
            for row, values in enumerate(map(tuple, entry.table.tolist())):
                uses[row] = wanted.pop(values, 0) % P
            out[component][column] = uses
    return out


# --- Mutants ---------------------------------------------------------------------------------


class _Filter(Constraints):
    """Passes on the rules that ``keep`` wants: ``keep(entry, number, relation)``."""

    def __init__(self, inner: Constraints, keep: Callable[[bool, int, Any], Any]) -> None:
        self.inner, self.keep = inner, keep
        self.public_values = inner.public_values
        self.counts = [0, 0]

    def _kept(self, entry: bool, relation: Any = None) -> Any:
        self.counts[entry] += 1
        return self.keep(entry, self.counts[entry] - 1, relation)

    def constrain(self, value: Any, name: str = "") -> None:
        if self._kept(False):
            self.inner.constrain(value, name)

    def lookup(self, relation: Relation, values: Any, multiplicity: Any = 1) -> None:
        if kept := self._kept(True, relation):
            self.inner.lookup(kept, values, multiplicity)

    def provide(self, relation: Relation, values: Any, multiplicity: Any = 1) -> None:
        if kept := self._kept(True, relation):
            self.inner.provide(kept, values, multiplicity)

    def public(self, relation: Relation, values: Any, multiplicity: Any = 1) -> None:
        if kept := self._kept(True, relation):
            self.inner.public(kept, values, multiplicity)


def filtered(air: Air, keep: Callable[[str, bool, int, Any], Any]) -> Air:
    """The AIR with the rules that ``keep(component, entry, number, relation)`` wants.

    For an entry ``keep`` gives the relation that it goes to, or None. The checks of a definition
    are passed by.
    """

    def weaken(comp: Component) -> Component:
        def evaluate(row: Any, rules: Any) -> None:
            comp.evaluate(row, _Filter(rules, lambda *rule: keep(comp.name, *rule)))

        return replace(comp, evaluate=evaluate)

    terms, weaker = air.public_terms, copy.copy(air)

    def public_terms(rules: Any) -> None:
        if terms is not None:
            terms(_Filter(rules, lambda *rule: keep(PUBLIC, *rule)))

    object.__setattr__(weaker, "components", tuple(map(weaken, air.components)))
    object.__setattr__(weaker, "public_terms", public_terms)
    return weaker


def without(air: Air, component: str, number: int, entry: bool) -> Air:
    """The AIR without one constraint or one entry."""
    gone = (component, entry, number)
    return filtered(air, lambda comp, e, n, relation: (comp, e, n) != gone and (relation or True))


def without_relation(air: Air, name: str) -> Air:
    """The AIR without all entries of a relation."""
    return filtered(air, lambda comp, e, n, relation: not e or (relation.name != name and relation))
