"""What a constraint function reads, known before its kernel is made: nothing else is passed.

Source: the symbolic evaluator of ``jaxstark.air.inspector``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jaxstark.air.definition import Air, Constraints, PublicValues, Relation, Row
from jaxstark.air.inspector import Symbol


class Reads(NamedTuple):
    """Words that an evaluation depends on.

    Attributes:
      current: names of columns read at the row.
      previous: names of columns read one row back.
      public: ``(name, index)`` of public words.
    """

    current: frozenset[str]
    previous: frozenset[str]
    public: frozenset[tuple[str, int]]

    @property
    def n_columns(self) -> int:
        """How many words of columns are read."""
        return len(self.current) + len(self.previous)

    @property
    def public_names(self) -> tuple[str, ...]:
        """Names of the public vectors, sorted."""
        return tuple(sorted({name for name, _ in self.public}))


class _Recorder(Constraints):
    def __init__(self, air: Air) -> None:
        # Offsets of columns are 0 and -1; public words count from 1.
        words = {
            name: [Symbol(0, frozenset({(name, 1 + i)})) for i in range(length)]
            for name, length in air.public_values
            if length is not None
        }
        self.public_values = PublicValues(air, words, lambda symbol: symbol)
        self.rules: set[tuple[str, int]] = set()
        self.entries: set[tuple[str, int]] = set()

    def constrain(self, value: Any, name: str = "") -> None:
        self.rules |= _reads(value)

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        for value in (*values, multiplicity):
            self.entries |= _reads(value)


def _reads(value: Any) -> frozenset[tuple[str, int]]:
    return value.reads if isinstance(value, Symbol) else frozenset()


def locate(parts: Sequence[Any], row: int) -> tuple[Any, int]:
    """The array that has a row, and the row in it; rows are numbered through the arrays."""
    for part in parts:
        if row < part.shape[0]:
            return part, row
        row -= part.shape[0]
    raise ValueError(f"row: expected one of {sum(p.shape[0] for p in parts)}, got a larger one")


@lru_cache(maxsize=256)
def reads(air: Air, index: int, *, rules: bool) -> Reads:
    """What the lookups of component ``index`` read, and with ``rules`` its other constraints."""
    comp = air.components[index]
    names = (*comp.columns, *comp.preprocessed_names)
    current = {name: Symbol(1, frozenset({(name, 0)})) for name in names}
    previous = {name: Symbol(1, frozenset({(name, -1)})) for name in comp.columns}
    recorder = _Recorder(air)
    comp.evaluate(Row(current, previous), recorder)
    found = recorder.entries | (recorder.rules if rules else set())
    return Reads(
        frozenset(name for name, offset in found if offset == 0),
        frozenset(name for name, offset in found if offset == -1),
        frozenset((name, offset - 1) for name, offset in found if offset > 0),
    )
