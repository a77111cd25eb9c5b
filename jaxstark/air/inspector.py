"""The symbolic evaluator: masks, degrees, counts and unused columns of an AIR.

Runs every constraint function once on polynomials of which only the degree and the columns read
are kept. Everything that a proof's shape needs follows from here, and so do the errors of a
definition. Source: protocol sections 2 (degrees), 7 and 8; T22, T23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxstark.air.definition import Air, Component, Constraints, PublicValues, Relation, Row

MAX_DEGREE = 3


@dataclass(frozen=True)
class ComponentInfo:
    """What the inspector found in one component.

    Attributes:
      offsets: mask offsets of every trace column, ``(0,)`` or ``(-1, 0)``.
      constraints: ``(name, degree)`` of every constraint, LogUp batches last.
      n_rules: constraints without the LogUp batches.
      entries: relation of every lookup entry, in order.
      unused: trace columns in no constraint or lookup (all of them waived).
    """

    name: str
    offsets: tuple[tuple[int, ...], ...]
    constraints: tuple[tuple[str, int], ...]
    n_rules: int
    entries: tuple[Relation, ...]
    unused: tuple[str, ...]

    @property
    def n_entries(self) -> int:
        """LogUp fractions per row."""
        return len(self.entries)

    @property
    def n_batches(self) -> int:
        """LogUp fractions after pairing: secure interaction columns."""
        return (len(self.entries) + 1) // 2


@dataclass(frozen=True)
class AirInfo:
    """The inspector's report on an AIR; ``str`` gives a table."""

    name: str
    components: tuple[ComponentInfo, ...]

    @property
    def n_constraints(self) -> int:
        """Constraints of all components."""
        return sum(len(c.constraints) for c in self.components)

    def __str__(self) -> str:
        lines = [f"AIR {self.name}: {self.n_constraints} constraints"]
        for c in self.components:
            masks = sum(map(len, c.offsets))
            lines.append(
                f"  {c.name}: {len(c.offsets)} columns, {masks} masks, {c.n_entries} lookups, "
                f"{len(c.constraints)} constraints"
            )
            lines += [f"    {title}: degree {degree}" for title, degree in c.constraints]
            if c.unused:
                lines.append(f"    unused by declaration: {', '.join(c.unused)}")
        return "\n".join(lines)


class Symbol:
    """A polynomial in the columns, known by its degree and the columns it reads."""

    __slots__ = ("degree", "reads")

    def __init__(self, degree: int, reads: frozenset[tuple[str, int]] = frozenset()) -> None:
        self.degree = degree
        self.reads = reads

    def __add__(self, other: Any) -> Symbol:
        other = _symbol(other)
        return Symbol(max(self.degree, other.degree), self.reads | other.reads)

    def __mul__(self, other: Any) -> Symbol:
        if isinstance(other, int) and other == 0:
            return Symbol(0)
        other = _symbol(other)
        return Symbol(self.degree + other.degree, self.reads | other.reads)

    def __neg__(self) -> Symbol:
        return self

    __radd__ = __sub__ = __rsub__ = __add__
    __rmul__ = __mul__


def _symbol(value: Any) -> Symbol:
    if isinstance(value, Symbol):
        return value
    if isinstance(value, int):
        return Symbol(0)
    raise ValueError(f"constraint: expected columns, public values and ints, got {value!r}")


class _Inspector(Constraints):
    def __init__(self, air: Air, title: str) -> None:
        self.air, self.title = air, title
        self.rules: list[tuple[str, Symbol]] = []
        self.entries: list[tuple[Relation, Symbol, Symbol]] = []
        self.public_values = PublicValues(air, self._blank(), lambda _: Symbol(0))

    def _blank(self) -> dict[str, list[int]]:
        return {name: [0] * n for name, n in self.air.public_values if n is not None}

    def constrain(self, value: Any, name: str = "") -> None:
        self.rules.append((name or f"constraint {len(self.rules)}", _symbol(value)))

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        check_entry(self.air, self.title, relation, values)
        tuple_symbol = sum(map(_symbol, values), Symbol(0))
        self.entries.append((relation, tuple_symbol, _symbol(multiplicity)))


class _PublicInspector(_Inspector):
    def _blank(self) -> dict[str, list[int]]:
        return {name: [0] * (1 if n is None else n) for name, n in self.air.public_values}

    def public(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        self.entry(relation, values, multiplicity)


def check_entry(air: Air, title: str, relation: Relation, values: Sequence[Any]) -> None:
    """``ValueError`` unless the relation belongs to the AIR and the tuple has its arity."""
    if relation not in air.relations:
        known = ", ".join(r.name for r in air.relations) or "none"
        raise ValueError(f"{title}: expected a relation of the AIR ({known}), got {relation.name}")
    if len(values) != relation.arity:
        raise ValueError(
            f"{title}: expected {relation.arity} values for relation {relation.name}, "
            f"got {len(values)}"
        )


def inspect_air(air: Air) -> AirInfo:
    """Run the constraint functions symbolically; ``ValueError`` for a faulty definition."""
    infos = tuple(_inspect_component(air, comp) for comp in air.components)
    if air.public_terms is not None:
        terms = _PublicInspector(air, f"{air.name} public terms")
        air.public_terms(terms)
    used = {relation for info in infos for relation in info.entries}
    idle = [r.name for r in air.relations if r not in used]
    if idle:
        raise ValueError(f"AIR {air.name}: expected every relation in a lookup, got unused {idle}")
    return AirInfo(air.name, infos)


def _inspect_component(air: Air, comp: Component) -> ComponentInfo:
    title = f"AIR {air.name}, component {comp.name}"
    names = (*comp.columns, *comp.preprocessed_names)
    current = {name: Symbol(1, frozenset({(name, 0)})) for name in names}
    previous = {name: Symbol(1, frozenset({(name, -1)})) for name in comp.columns}
    probe = _Inspector(air, title)
    comp.evaluate(Row(current, previous), probe)
    constraints = [(name, symbol.degree) for name, symbol in probe.rules]
    for start in range(0, len(probe.entries), 2):
        batch = probe.entries[start : start + 2]
        den = sum(values.degree for _, values, _ in batch)
        num = max(m.degree + den - values.degree for _, values, m in batch)
        constraints.append((f"logup batch {start // 2}", max(1 + den, num)))
    for name, degree in constraints:
        if degree > MAX_DEGREE:
            raise ValueError(f"{title}, {name}: expected degree at most {MAX_DEGREE}, got {degree}")
    symbols = [s for _, s in probe.rules] + [s for e in probe.entries for s in e[1:]]
    reads = frozenset().union(*(s.reads for s in symbols)) if symbols else frozenset()
    idle = [name for name in comp.columns if not {(name, 0), (name, -1)} & reads]
    unwaived = sorted(set(idle) - set(comp.unused))
    if unwaived:
        raise ValueError(
            f"{title}: expected every column in a constraint or lookup (or in `unused`), "
            f"got {unwaived} in none"
        )
    wrongly = sorted(set(comp.unused) - set(idle))
    if wrongly:
        raise ValueError(f"{title}: expected waivers for unused columns only, got {wrongly}")
    offsets = tuple((-1, 0) if (name, -1) in reads else (0,) for name in comp.columns)
    return ComponentInfo(
        comp.name,
        offsets,
        tuple(constraints),
        len(probe.rules),
        tuple(relation for relation, _, _ in probe.entries),
        tuple(idle),
    )
