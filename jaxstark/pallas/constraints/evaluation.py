"""A constraint function on vectors of lanes: masks and scalars from memory, fractions of lookups.

Source: protocol sections 7, 8; ``jaxstark.air.evaluate`` does the same for one point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxstark.air.definition import Air, Constraints, PublicValues, Relation
from jaxstark.air.felt import Felt
from jaxstark.fields import lazy, m31, qm31
from jaxstark.fields.lazy import EMPTY, Wide
from jaxstark.fields.qm31 import QM31
from jaxstark.pallas.constraints.reads import Reads

Array = Any
Ref = Any


class Masks(Mapping[str, Felt]):
    """Columns by name, loaded where they are first read. Columns without a load are 0."""

    def __init__(self, loads: Mapping[str, Callable[[], Array] | None]) -> None:
        self._loads = loads
        self._loaded: dict[str, Felt] = {}

    def __getitem__(self, name: str) -> Felt:
        if name not in self._loaded:
            load = self._loads[name]
            self._loaded[name] = Felt(0 if load is None else load())
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loads)

    def __len__(self) -> int:
        return len(self._loads)


class Scalars:
    """Words of a small array, each the same in all lanes, loaded where they are first read."""

    def __init__(self, ref: Ref, lanes: int) -> None:
        self._ref, self._lanes = ref, lanes
        self._loaded: dict[tuple[int, ...], Array] = {}

    def __getitem__(self, index: tuple[int, ...]) -> Array:
        if index not in self._loaded:
            self._loaded[index] = jnp.broadcast_to(self._ref[index], (self._lanes,))
        return self._loaded[index]

    def secure(self, *index: int) -> QM31:
        """The four words from ``index`` on."""
        return QM31(*(self[(*index, c)] for c in range(qm31.DEGREE)))


class Fractions:
    """LogUp fractions: their denominators from the elements of the relations."""

    def __init__(self, air: Air, elements: Scalars, lanes: int) -> None:
        self._air, self._elements, self.lanes = air, elements, lanes
        self._wide: dict[tuple[int, int, int], Array] = {}

    def denominator(self, relation: Relation, values: Sequence[Any]) -> QM31:
        """``sum_i alpha^i v_i - z``."""
        which = self._air.relations.index(relation)
        words = [value.value if isinstance(value, Felt) else value % m31.P for value in values]
        wide = [0 if is_int(w) and w == 0 else lazy.widen(vector(w, self.lanes)) for w in words]
        out = []
        for c in range(qm31.DEGREE):
            total = lazy.add_word(EMPTY, self._element(which, 0, c))
            if c == 0 and not is_int(wide[0]):
                total = lazy.add_word(total, wide[0])
            for i, word in enumerate(wide[1:], 1):
                if not is_int(word):
                    total = lazy.add_product(total, word, self._element(which, i, c))
            out.append(lazy.reduce(total))
        return QM31(*out)

    def _element(self, which: int, i: int, c: int) -> Array:
        """Coordinate c of ``-z`` for i = 0, of ``alpha^i`` otherwise; 64 bits wide."""
        key = (which, i, c)
        if key not in self._wide:
            row = i + 1 if i else 0
            word = self._elements[which, row, c]
            self._wide[key] = lazy.widen(word if i else lazy.complement(word))
        return self._wide[key]


# Multiplicity (an int or a vector) and denominator.
Fraction = tuple[Any, QM31]


class Evaluator(Constraints):
    """Passes every constraint and every pair of fractions on as soon as it is written."""

    def __init__(
        self,
        public_values: PublicValues,
        fractions: Fractions,
        n_entries: int,
        on_rule: Callable[[Any], None],
        on_batch: Callable[[Sequence[Fraction]], None],
    ) -> None:
        self.public_values = public_values
        self._fractions, self._n_entries = fractions, n_entries
        self._on_rule, self._on_batch = on_rule, on_batch
        self._batch: list[Fraction] = []
        self._seen = 0

    def constrain(self, value: Any, name: str = "") -> None:
        """A constraint as an int or a vector."""
        self._on_rule(value.value if isinstance(value, Felt) else value % m31.P)

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        """A fraction; two of them, or an odd last one, make a batch."""
        weight = multiplicity if isinstance(multiplicity, Felt) else Felt(multiplicity)
        self._batch.append((weight.value, self._fractions.denominator(relation, values)))
        self._seen += 1
        if len(self._batch) == 2 or self._seen == self._n_entries:
            self._on_batch(self._batch)
            self._batch = []


def public_values(air: Air, reads: Reads, scalars: Mapping[str, Scalars]) -> PublicValues:
    """Public values for ``Evaluator``: words that ``reads`` names; 0 for all others."""
    words = {
        name: [scalars[name][(i,)] if (name, i) in reads.public else 0 for i in range(length)]
        for name, length in air.public_values
        if length is not None
    }
    return PublicValues(air, words, Felt)


def add_weighted(total: Wide, weight: Any, x: Array) -> Wide:
    """``total + weight x`` for an int or a vector ``weight``."""
    if is_int(weight):
        if weight == 0:
            return lazy.add_word(total, jnp.zeros_like(x)) if total.words is None else total
        if weight in (1, m31.P - 1):
            return lazy.add_word(total, x if weight == 1 else lazy.complement(x))
    return lazy.add_product(total, vector(weight, x.shape[0]), x)


def minus(weight: Any) -> Any:
    """``-weight`` for an int or a vector."""
    return -weight % m31.P if is_int(weight) else lazy.complement(weight)


def vector(word: Any, lanes: int) -> Array:
    """A vector of an int, a scalar or a vector."""
    if is_int(word):
        return jnp.full((lanes,), word, jnp.uint32)
    return word if word.shape == (lanes,) else jnp.broadcast_to(word, (lanes,))


def is_int(word: Any) -> bool:
    """Whether a word is known now."""
    return isinstance(word, int)


def scalars(air: Air, reads: Reads, memory: Mapping[Any, Ref], lanes: int) -> tuple[Any, Any]:
    """Fractions and public values, from the arrays of scalars."""
    elements = Scalars(memory.get("elements"), lanes)  # missing where no lookup loads them
    public = {name: Scalars(memory["public", name], lanes) for name in reads.public_names}
    return Fractions(air, elements, lanes), public_values(air, reads, public)


def denominator(batch: Sequence[Fraction]) -> QM31:
    """The denominator of the fraction that a batch adds up to."""
    (_, den), *rest = batch
    return lazy.secure_mul(den, lazy.factor(rest[0][1])) if rest else den


def add_numerator(totals: Sequence[Wide], batch: Sequence[Fraction], lanes: int) -> list[Wide]:
    """``totals`` plus the numerator of the fraction that a batch adds up to."""
    if len(batch) == 1:
        return [lazy.add_word(totals[0], vector(batch[0][0], lanes)), *totals[1:]]
    (weight, den), (other_weight, other_den) = batch
    out = []
    for c, total in enumerate(totals):
        total = add_weighted(total, weight, other_den[c])
        out.append(add_weighted(total, other_weight, den[c]))
    return out


def reduced(totals: Sequence[Wide]) -> QM31:
    """Sums by coordinate, reduced."""
    return QM31(*map(lazy.reduce, totals))


def barrier(value: Any, interpret: bool) -> Any:
    """What keeps XLA from evaluating a value once for each use, where XLA runs the kernel."""
    return lax.optimization_barrier(value) if interpret else value
