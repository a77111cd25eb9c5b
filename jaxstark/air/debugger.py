"""The row-by-row debugger: which row breaks which constraint, which tuple is unbalanced.

Runs on the host in NumPy, over all rows at once, in row order; needs no randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component, Constraints, PublicValues, Relation, Row
from jaxstark.air.felt import Felt
from jaxstark.fields import m31
from jaxstark.fields.m31 import P


@dataclass(frozen=True)
class Finding:
    """One broken rule.

    Attributes:
      component: its component, or ``"public terms"``.
      row: the first row that breaks it, or None for an unbalanced tuple of public terms alone.
      rule: name of the constraint, or of the relation.
      message: one sentence.
    """

    component: str
    row: int | None
    rule: str
    message: str

    def __str__(self) -> str:
        return self.message


class _RowEvaluator(Constraints):
    def __init__(self, air: Air, public_values: Mapping[str, Sequence[int]], rows: int) -> None:
        self.public_values = PublicValues(air, public_values, Felt)
        self.rows = rows
        self.rules: list[tuple[str, np.ndarray]] = []
        self.entries: list[tuple[Relation, np.ndarray, np.ndarray]] = []

    def _column(self, value: Any) -> np.ndarray:
        word = value.value if isinstance(value, Felt) else value % P
        return m31.canonical(np.broadcast_to(np.asarray(word, np.uint32), (self.rows,)))

    def constrain(self, value: Any, name: str = "") -> None:
        self.rules.append((name or f"constraint {len(self.rules)}", self._column(value)))

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        table = np.stack([self._column(v) for v in values], axis=1)
        self.entries.append((relation, table, self._column(multiplicity)))

    def public(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        self.entry(relation, values, multiplicity)


def find_violation(
    air: Air,
    columns: Mapping[str, Mapping[str, np.ndarray]],
    public_values: Mapping[str, Sequence[int]],
) -> Finding | None:
    """The first broken constraint or unbalanced tuple of a trace, or None.

    ``columns`` maps component and column name to uint32 ``[2^k]`` in row order. The first row of
    the first component that breaks a constraint wins; then relations in their order.
    """
    tables: dict[Relation, list[tuple[str, np.ndarray, np.ndarray]]] = {
        relation: [] for relation in air.relations
    }
    for comp in air.components:
        evaluator = _evaluate(air, comp, columns[comp.name], public_values)
        finding = _broken_rule(comp, evaluator)
        if finding is not None:
            return finding
        for relation, table, weights in evaluator.entries:
            tables[relation].append((comp.name, table, weights))
    if air.public_terms is not None:
        public = _RowEvaluator(air, public_values, 1)
        air.public_terms(public)
        for relation, table, weights in public.entries:
            tables[relation].append(("public terms", table, weights))
    for relation, parts in tables.items():
        finding = _unbalanced(relation, parts)
        if finding is not None:
            return finding
    return None


def _evaluate(
    air: Air, comp: Component, columns: Mapping[str, np.ndarray], public_values: Any
) -> _RowEvaluator:
    rows = len(columns[comp.columns[0]])
    log_size = rows.bit_length() - 1
    current = {name: Felt(columns[name]) for name in comp.columns}
    current |= {name: Felt(generator(log_size)) for name, generator in comp.preprocessed}
    previous = {name: Felt(np.roll(columns[name], 1)) for name in comp.columns}
    evaluator = _RowEvaluator(air, public_values, rows)
    comp.evaluate(Row(current, previous), evaluator)
    return evaluator


def _broken_rule(comp: Component, evaluator: _RowEvaluator) -> Finding | None:
    first: tuple[int, str, int] | None = None
    for name, values in evaluator.rules:
        rows = np.flatnonzero(values)
        if rows.size and (first is None or rows[0] < first[0]):
            first = (int(rows[0]), name, int(values[rows[0]]))
    if first is None:
        return None
    row, name, value = first
    return Finding(
        comp.name,
        row,
        name,
        f"component {comp.name}, row {row}, {name}: expected 0, got {value}",
    )


def _unbalanced(
    relation: Relation, parts: Sequence[tuple[str, np.ndarray, np.ndarray]]
) -> Finding | None:
    if not parts:
        return None
    table = np.concatenate([t for _, t, _ in parts])
    weights = np.concatenate([w for _, _, w in parts]).astype(np.uint64)
    # A tuple of weight 0 is neither used nor provided there.
    real = np.flatnonzero(weights)
    if not real.size:
        return None
    table, weights = table[real], weights[real]
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    # Fewer than 2^32 words below 2^31 each: the 64-bit sums are exact.
    totals = np.zeros(len(first), np.uint64)
    np.add.at(totals, group.reshape(-1), weights)
    totals %= np.uint64(P)
    wrong = np.flatnonzero(totals)
    if not wrong.size:
        return None
    pick = wrong[np.argmin(first[wrong])]
    place, net = int(real[first[pick]]), int(totals[pick])
    sizes = [len(part) for _, part, _ in parts]
    owner = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
    component, place = parts[owner][0], place - sum(sizes[:owner])
    net = net if net <= P // 2 else net - P
    values = ", ".join(str(int(v)) for v in table[first[pick]])
    return Finding(
        component,
        None if component == "public terms" else place,
        relation.name,
        f"relation {relation.name}, tuple ({values}), first seen in {component} row {place}: "
        f"expected uses and provisions to balance, got a net multiplicity of {net}",
    )
