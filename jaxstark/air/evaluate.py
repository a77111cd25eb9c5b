"""Run a component's function on values: the evaluator behind domains, points and LogUp columns.

The caller supplies masks as ``Felt`` (arrays over a domain, or QM31 points) and receives the
values of the rules and the lookup entries in the order in which they are written; one constraint
for each pair of lookups follows the rules. Prover stages do with whole arrays, in
``jaxstark.logup``, what ``fractions`` and ``logup_rules`` do here for one point.
Source: protocol sections 7, 8 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sumprod
from typing import Any, NamedTuple

from jaxstark.air.definition import Air, Component, Constraints, PublicValues, Relation, Row
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31


class RelationElements(NamedTuple):
    """The random elements of one relation: ``combine(v) = sum_i alpha^i v_i - z``."""

    z: QM31
    alpha_powers: tuple[QM31, ...]

    def combine(self, values: Sequence[Felt | int]) -> Felt:
        """The denominator of a tuple."""
        total = Felt(qm31.neg(self.z)) + values[0]
        for power, value in zip(self.alpha_powers[1:], values[1:], strict=True):
            total = total + Felt(power) * value
        return total

    def combine_words(self, words: Sequence[int]) -> QM31:
        """``combine`` of host scalars."""
        a, b, c, d = zip(*self.alpha_powers, strict=True)
        z = self.z
        return QM31(
            (sumprod(a, words) - z.a) % m31.P,
            (sumprod(b, words) - z.b) % m31.P,
            (sumprod(c, words) - z.c) % m31.P,
            (sumprod(d, words) - z.d) % m31.P,
        )


def relation_elements(z: QM31, alpha: QM31, arity: int) -> RelationElements:
    """Elements from the two felts drawn for a relation."""
    return RelationElements(z, tuple(qm31.powers(alpha, arity)))


Elements = Mapping[Relation, RelationElements]
Fraction = tuple[Felt, Felt]


class Entry(NamedTuple):
    """A lookup at a row: ``multiplicity / combine(values)`` in a relation."""

    relation: Relation
    values: Sequence[Any]
    multiplicity: Felt


class Evaluator(Constraints):
    """Keeps rules and lookup entries in the order in which they are written."""

    def __init__(self, air: Air, public_values: Mapping[str, Any]) -> None:
        self.air = air
        self.public_values = PublicValues(air, public_values, Felt)
        self.rules: list[Felt] = []
        self.entries: list[Entry] = []

    def constrain(self, value: Any, name: str = "") -> None:
        """A rule."""
        self.rules.append(value if isinstance(value, Felt) else Felt(value))

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        """A lookup entry."""
        weight = multiplicity if isinstance(multiplicity, Felt) else Felt(multiplicity)
        self.entries.append(Entry(relation, values, weight))


def run(
    air: Air,
    comp: Component,
    current: Mapping[str, Felt],
    previous: Mapping[str, Felt],
    public_values: Mapping[str, Any],
) -> tuple[list[Felt], list[Entry]]:
    """Rules and lookup entries of a component, in order."""
    evaluator = Evaluator(air, public_values)
    comp.evaluate(Row(current, previous), evaluator)
    return evaluator.rules, evaluator.entries


def fractions(entries: Sequence[Entry], elements: Elements) -> list[Fraction]:
    """LogUp fractions ``(multiplicity, denominator)`` of entries, in order."""
    return [(e.multiplicity, elements[e.relation].combine(e.values)) for e in entries]


def batches(terms: Sequence[Fraction]) -> list[Fraction]:
    """Pairs of fractions added up: numerator and denominator of every batch."""
    out = []
    for start in range(0, len(terms), 2):
        num, den = terms[start]
        for other_num, other_den in terms[start + 1 : start + 2]:
            num, den = num * other_den + other_num * den, den * other_den
        out.append((num, den))
    return out


def logup_rules(
    terms: Sequence[Fraction], sums: Sequence[Felt], previous: Felt | None, shift: Felt | int
) -> list[Felt]:
    """The LogUp constraint of every batch.

    ``sums`` are the secure interaction columns at the row, ``previous`` the last of them one row
    back, ``shift`` the claimed sum divided by the number of rows.
    """
    rules, before = [], Felt(0)
    pairs = batches(terms)
    for index, ((num, den), total) in enumerate(zip(pairs, sums, strict=True)):
        step = total - before
        if index == len(pairs) - 1 and previous is not None:
            step = step - previous + shift
        rules.append(step * den - num)
        before = total
    return rules


def composition_at(
    air: Air,
    log_sizes: Sequence[int],
    sampled: Sequence[Sequence[Sequence[QM31]]],
    public_values: Mapping[str, Sequence[int]],
    elements: Elements,
    claimed_sums: Sequence[QM31],
    coefficient: QM31,
) -> QM31:
    """``sum_i rc^(N-1-i) constraint_i`` at the out-of-domain point, from sampled values.

    ``sampled`` is ``[tree][column][sample]`` for the trees before the composition, already of the
    shape of this AIR. Not yet divided by the vanishing polynomial. Protocol section 10.
    """
    fixed = {name: Felt(sampled[0][i][0]) for i, (name, _) in enumerate(air.preprocessed)}
    trace = iter(sampled[1])
    interaction = iter(sampled[2]) if len(sampled) > 2 else iter(())
    claims = iter(claimed_sums)
    total = qm31.ZERO
    for comp, info, log_size in zip(air.components, air.info.components, log_sizes, strict=True):
        current = {name: fixed[name] for name in comp.preprocessed_names}
        previous = {}
        for name in comp.columns:
            samples = next(trace)
            current[name] = Felt(samples[-1])
            if len(samples) == 2:
                previous[name] = Felt(samples[0])
        rules, entries = run(air, comp, current, previous, public_values)
        if entries:
            sums = [[next(interaction) for _ in range(4)] for _ in range(info.n_batches)]
            values = [Felt(qm31.from_coordinates([c[-1] for c in s])) for s in sums]
            back = Felt(qm31.from_coordinates([c[0] for c in sums[-1]]))
            shift = Felt(qm31.mul_base(next(claims), m31.inv(pow(2, log_size, m31.P))))
            rules = rules + logup_rules(fractions(entries, elements), values, back, shift)
        for rule in rules:
            total = qm31.add(qm31.mul(total, coefficient), rule.secure)
    return total
