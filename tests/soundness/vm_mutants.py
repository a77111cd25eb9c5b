"""Mutants of the Obelysk AIR, each without one rule, and which forgeries tell them apart.

A deleted constraint or lookup is detected by a forgery that the mutant accepts, with the
multiplicities counted anew by the mutant's own lookups: the forgery's test fails. Where a
deletion leaves a relation out of balance, the honest trace detects it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jaxstark.air.definition import Air
from tests.soundness.vm_builder import Built
from tests.soundness.vm_forgeries import ALL
from tests.soundness.vm_forging import (
    PUBLIC,
    RELATION,
    Findings,
    filtered,
    findings,
    recounted,
    violations,
    without,
    without_relation,
)
from tests.soundness.vm_program import Forgery, honest, is_false

HONEST = "the honest trace balances"
CONSTRAINT, ENTRY, ALL_ENTRIES = "constraint", "entry", "all entries"


@dataclass(frozen=True)
class Mutant:
    """The AIR of the forgeries without something.

    Attributes:
      component: where it is missing.
      rule: name of the constraint or of the relation.
      kind: what is missing: a constraint, one entry, or all entries of the relation there.
      number: of the constraint or entry in its component.
      provides: whether the entry is a provision.
    """

    air: Air
    component: str
    rule: str
    kind: str
    number: int = 0
    provides: bool = False

    @property
    def title(self) -> str:
        """What is missing, for people."""
        if self.kind == CONSTRAINT:
            return self.rule
        if self.kind == ALL_ENTRIES:
            return f"all of {self.rule}"
        return f"{'provision' if self.provides else 'lookup'} {self.number}, {self.rule}"


@dataclass(frozen=True)
class Verdict:
    """How a mutant is detected.

    Attributes:
      accepted: forgeries that it accepts.
      false: whether one of them claims a false statement.
      honest: whether it rejects the honest trace.
      implied: forgeries that break the rule along with others only, so that the mutant rejects
        them, too, and names fewer rules.
    """

    accepted: tuple[str, ...]
    false: bool
    honest: bool
    implied: tuple[str, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """The names of what detects the mutant."""
        return (*self.accepted, *self.implied, *[HONEST] * self.honest)


@lru_cache(maxsize=len(ALL))
def judged(forgery: Forgery) -> tuple[Built, Findings]:
    """A forgery's trace and all that is wrong with it."""
    built = forgery.make()
    return built, findings(built.air, built.columns, built.public)


def mutants() -> Iterator[Mutant]:
    """Every mutant, in the order of the AIR."""
    trace = honest()
    air, entries = trace.air, findings(trace.air, trace.columns, trace.public).entries
    for comp, info in zip(air.components, air.info.components, strict=True):
        for number, (name, _) in enumerate(info.constraints[: info.n_rules]):
            weaker = without(air, comp.name, number, False)
            yield Mutant(weaker, comp.name, name, CONSTRAINT, number)
        for entry in (e for e in entries if e.component == comp.name):
            weaker = without(air, comp.name, entry.number, True)
            name = entry.relation.name
            yield Mutant(weaker, comp.name, name, ENTRY, entry.number, entry.provides)
    for name in dict.fromkeys(e.relation.name for e in entries if e.component == PUBLIC):
        yield Mutant(_without_terms(air, name), PUBLIC, name, ALL_ENTRIES)
    for relation in air.relations:
        yield Mutant(without_relation(air, relation.name), RELATION, relation.name, ALL_ENTRIES)


def _without_terms(air: Air, name: str) -> Air:
    gone = (PUBLIC, name)
    return filtered(
        air,
        lambda comp, entry, number, relation: (
            not entry or ((comp, relation.name) != gone and relation)
        ),
    )


def verdict(mutant: Mutant) -> Verdict:
    """Who detects a mutant."""
    accepted = [f for f in ALL if _may_accept(mutant, f) and _accepts(mutant, f)]
    trace = honest()
    rule = (mutant.component, mutant.rule)
    implied = [f.name for f in ALL if mutant.kind == CONSTRAINT and rule in f.breaks != {rule}]
    return Verdict(
        tuple(f.name for f in accepted),
        any(is_false(judged(f)[0]) for f in accepted),
        mutant.kind != CONSTRAINT and bool(violations(mutant.air, trace.columns, trace.public)),
        tuple(implied),
    )


def _may_accept(mutant: Mutant, forgery: Forgery) -> bool:
    """Whether all that a forgery breaks is touched by the deletion; if not, it stays rejected."""
    if mutant.kind == CONSTRAINT:
        return forgery.breaks == {(mutant.component, mutant.rule)}
    if forgery.breaks != {(RELATION, mutant.rule)}:
        return False
    if mutant.component == RELATION:
        return True
    _, found = judged(forgery)
    wrong = set(found.unbalanced[mutant.rule])
    touched = (
        e.tuples
        for e in found.entries
        if (e.component, e.relation.name) == (mutant.component, mutant.rule)
        and (mutant.kind == ALL_ENTRIES or e.number == mutant.number)
    )
    return wrong <= set().union(*touched)


def _accepts(mutant: Mutant, forgery: Forgery) -> bool:
    built, _ = judged(forgery)
    columns = built.columns
    if mutant.kind == ENTRY and not mutant.provides and not forgery.counts:
        columns = recounted(mutant.air, columns, built.public)
    return not violations(mutant.air, columns, built.public)
