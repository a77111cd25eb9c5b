"""How an AIR is written: components, columns, relations, public values.

An AIR is a tuple of components. A component has named trace columns, named preprocessed columns
and one function ``evaluate(row, air)`` that states its constraints and lookups; evaluators run
that same function on domains, on one point, on rows and symbolically. Constraints hold
on every row, cyclically: ``row.prev`` of row 0 is the last row. Source: protocol sections 7, 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxstark.fields.m31 import P
from jaxstark.wire import MAX_AIR_ID

# log_size -> uint32 [2^log_size] in row order
Generator = Callable[[int], np.ndarray]
# Types of the columns of public terms that have a word for every row.
VECTORS: tuple[type[Any], ...] = (list, tuple, range, np.ndarray)


@dataclass(frozen=True)
class Relation:
    """A named set of tuples with ``arity`` values, which lookups use and provide."""

    name: str
    arity: int


@dataclass(frozen=True)
class Component:
    """Rows of one size with their constraints.

    Attributes:
      name: unique in its AIR.
      columns: trace columns; the order of declaration is the order of the masks.
      evaluate: ``evaluate(row, air)``; see ``Constraints`` for what ``air`` offers.
      preprocessed: ``(name, generator)`` pairs of the fixed columns it reads. A column of the same
        name in several components is one column.
      log_size: the only size allowed, or None if every proof chooses.
      unused: trace columns that may stay out of all constraints and lookups.
    """

    name: str
    columns: tuple[str, ...]
    evaluate: Callable[[Any, Any], None]
    preprocessed: tuple[tuple[str, Generator], ...] = ()
    log_size: int | None = None
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.columns, *self.preprocessed_names]
        clash = {n for n in names if names.count(n) > 1} | ({"prev"} & set(names))
        if clash:
            raise ValueError(
                f"component {self.name}: expected distinct column names other than 'prev', "
                f"got {sorted(clash)}"
            )

    @property
    def preprocessed_names(self) -> tuple[str, ...]:
        """Names of the preprocessed columns it reads."""
        return tuple(name for name, _ in self.preprocessed)


def component(
    columns: str | Sequence[str],
    *,
    preprocessed: Mapping[str, Generator] | None = None,
    log_size: int | None = None,
    unused: Sequence[str] = (),
    name: str | None = None,
) -> Callable[[Callable[[Any, Any], None]], Component]:
    """Decorator that makes a ``Component`` of a constraint function.

    ``columns`` may be a sequence or one string of names separated by blanks.
    """
    names = tuple(columns.split()) if isinstance(columns, str) else tuple(columns)

    def make(evaluate: Callable[[Any, Any], None]) -> Component:
        title = name or evaluate.__name__
        fixed = tuple((preprocessed or {}).items())
        return Component(title, names, evaluate, fixed, log_size, tuple(unused))

    return make


@dataclass(frozen=True)
class Air:
    """A set of components with the relations and public values that tie them together.

    Attributes:
      name: the AIR id, which statements and keys carry.
      components: in the order of their columns and constraints.
      relations: in the order in which their elements are drawn; every relation that is used.
      public_values: ``(name, length)`` pairs in the order of the statement; length None: any, for
        vectors that only ``public_terms`` reads.
      public_terms: ``public_terms(air)``: LogUp terms that the verifier computes.
      template: an AIR with the same constraints, for a family that differs in preprocessed columns
        and public terms only: programs are compiled once for the whole family.

    A definition is checked when it is made: ``ValueError`` says what was expected and found, for
    degrees above 3, masks other than [0] and [-1, 0], unused columns, unknown relations.
    """

    name: str
    components: tuple[Component, ...]
    relations: tuple[Relation, ...] = ()
    public_values: tuple[tuple[str, int | None], ...] = ()
    public_terms: Callable[[Any], None] | None = None
    template: Air | None = field(default=None, compare=False, repr=False)
    info: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        from jaxstark.air.inspector import inspect_air

        for attribute in ("components", "relations"):
            object.__setattr__(self, attribute, tuple(getattr(self, attribute)))
        if isinstance(self.public_values, Mapping):
            object.__setattr__(self, "public_values", tuple(self.public_values.items()))
        printable = self.name.isascii() and self.name.isprintable()
        if not printable or not 1 <= len(self.name) <= MAX_AIR_ID:
            raise ValueError(
                f"AIR id: expected 1..{MAX_AIR_ID} printable ASCII characters, got {self.name!r}"
            )
        names = [c.name for c in self.components]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"AIR {self.name}: expected components of distinct names, got {names}")
        fixed: dict[str, Generator] = {}
        for comp in self.components:
            for column, generator in comp.preprocessed:
                if fixed.setdefault(column, generator) is not generator:
                    raise ValueError(
                        f"AIR {self.name}: expected one generator for preprocessed column "
                        f"{column}, got two"
                    )
        if self.template is not None and _rules(self.template) != _rules(self):
            raise ValueError(
                f"AIR {self.name}: expected a template with the same components, relations and "
                f"public values, got {self.template.name}"
            )
        object.__setattr__(self, "info", inspect_air(self))

    def __hash__(self) -> int:
        # Compiled programs are looked up by it in every stage of every proof.
        if (known := self.__dict__.get("_hash")) is None:
            known = hash((self.name, self.components, self.relations, self.public_values))
            object.__setattr__(self, "_hash", known)
        return known

    @property
    def structure(self) -> Air:
        """The AIR that stands for all with these constraints: the template if there is one."""
        return self.template or self

    @property
    def preprocessed(self) -> tuple[tuple[str, Generator], ...]:
        """All preprocessed columns in tree-0 order: the order of first use."""
        seen: dict[str, Generator] = {}
        for comp in self.components:
            for column, generator in comp.preprocessed:
                seen.setdefault(column, generator)
        return tuple(seen.items())

    @property
    def has_lookups(self) -> bool:
        """Whether any component has a lookup."""
        return any(c.n_entries for c in self.info.components)

    def shape(self, log_sizes: Sequence[int], public_values: Any = None) -> Any:
        """The ``ProofShape`` for these component sizes; see ``jaxstark.air.planning``."""
        from jaxstark.air.planning import proof_shape

        return proof_shape(self, log_sizes, public_values)

    def setup(self, log_sizes: Sequence[int], params: Any, **options: Any) -> Any:
        """The ``VerifyingKey`` for these component sizes and parameters."""
        from jaxstark.setup import setup

        return setup(self, log_sizes, params, **options)


def _rules(air: Air) -> Any:
    """What constraints depend on, and compiled programs with them."""
    components = [
        (c.name, c.columns, c.evaluate, c.preprocessed_names, c.log_size) for c in air.components
    ]
    return components, air.relations, air.public_values


class PublicValues:
    """Public values by name: ``values.start``; a vector of length 1 reads as a scalar.

    Names that ``values`` lacks cannot be read: constraints see vectors of fixed length only.
    """

    def __init__(self, air: Air, values: Mapping[str, Sequence[Any]], wrap: Callable) -> None:
        self._values = {
            name: wrap(values[name][0]) if length == 1 else tuple(map(wrap, values[name]))
            for name, length in air.public_values
            if name in values
        }

    def __getattr__(self, name: str) -> Any:
        return _lookup(self._values, name, "public value")

    __getitem__ = __getattr__


class Row:
    """The masks of one row by column name; ``row.prev`` is the row before."""

    def __init__(self, current: Mapping[str, Any], previous: Mapping[str, Any] | None) -> None:
        self._current = current
        self._previous = previous

    def __getattr__(self, name: str) -> Any:
        if name == "prev":
            if self._previous is None:
                raise ValueError("masks: expected offsets 0 and -1 only, got row.prev.prev")
            return Row(self._previous, None)
        return _lookup(self._current, name, "column")

    def __getitem__(self, name: str) -> Any:
        return _lookup(self._current, name, "column")


def _lookup(table: Mapping[str, Any], name: str, kind: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return table[name]
    except KeyError:
        known = ", ".join(table) or "none"
        if name == "next":
            raise ValueError(
                "masks: expected offsets 0 and -1 only, got row.next (shift the rule by one row)"
            ) from None
        raise ValueError(f"{kind}: expected one of {known}, got {name!r}") from None


class Constraints:
    """What a constraint function may say; evaluators subclass it.

    Attributes:
      public_values: the statement's values by name.
    """

    public_values: PublicValues

    def constrain(self, value: Any, name: str = "") -> None:
        """Require ``value`` to be 0 on every row."""
        raise NotImplementedError

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        """Add the LogUp fraction ``multiplicity / combine(values)``."""
        raise NotImplementedError

    def lookup(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        """Use a tuple of the relation ``multiplicity`` times."""
        self.entry(relation, values, multiplicity)

    def provide(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        """Provide a tuple of the relation ``multiplicity`` times."""
        self.entry(relation, values, -multiplicity)

    def public(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        """In ``public_terms`` only: a LogUp term that the verifier computes itself."""
        raise ValueError("public(...) is expected in public_terms, got a call in a component")

    def public_each(
        self, relation: Relation, columns: Sequence[Any], multiplicity: int = 1
    ) -> None:
        """``public`` for each row of some columns, faster where there are many rows.

        Of the columns, one for each value of the tuple, those that are sequences have one length,
        and others stand for the same word in every row.
        """
        for row in zip(*spread_columns(columns), strict=True):
            self.public(relation, row, multiplicity)


def spread_columns(columns: Sequence[Any]) -> list[Sequence[Any]]:
    """Columns of one length; ``ValueError`` if there is no sequence, or of several lengths."""
    lengths = {len(column) for column in columns if isinstance(column, VECTORS)}
    if len(lengths) != 1:
        raise ValueError(
            f"columns of public terms: expected sequences of one length, got {sorted(lengths)}"
        )
    (count,) = lengths
    return [c if isinstance(c, VECTORS) else (c,) * count for c in columns]


def first_row(log_size: int) -> np.ndarray:
    """Generator of the selector of row 0."""
    column = np.zeros(1 << log_size, np.uint32)
    column[0] = 1
    return column


def last_row(log_size: int) -> np.ndarray:
    """Generator of the selector of the last row."""
    column = np.zeros(1 << log_size, np.uint32)
    column[-1] = 1
    return column


def row_index(log_size: int) -> np.ndarray:
    """Generator of the table ``0, 1, ..., 2^log_size - 1``."""
    if log_size > 30:
        raise ValueError(f"row index: expected values below {P}, got a column of 2^{log_size} rows")
    return np.arange(1 << log_size, dtype=np.uint32)
