"""A trace: the columns that a proof is made from, in row order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jaxstark.air.definition import Air
from jaxstark.air.planning import check_public_values
from jaxstark.fields import m31


class ColumnTable(Mapping[str, Any]):
    """Named columns that are the rows of one array ``[n_columns, 2^k]``, cut when they are read."""

    def __init__(self, names: tuple[str, ...], array: Any) -> None:
        self.array = array
        self._index = {name: i for i, name in enumerate(names)}

    def __getitem__(self, name: str) -> Any:
        return self.array[self._index[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


@dataclass(frozen=True, eq=False)
class Trace:
    """Columns of every component, with the AIR they claim to satisfy and its public values.

    Attributes:
      air: the AIR.
      columns: component name to ``{column name: uint32 [2^k]}``, in row order: arrays of NumPy, or
        of JAX on any device or in page-locked memory (``pinned_host``). A component may also be one
        uint32 array ``[n_columns, 2^k]``, which stays in one piece.
      public_values: name to words.

    Raises ``ValueError`` for missing or surplus columns, wrong dtypes, lengths or words, before
    anything is computed. The caller's arrays are never changed or consumed.
    """

    air: Air
    columns: Mapping[str, Any]
    public_values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked = _check_columns(self.air, self.columns)
        object.__setattr__(self, "columns", checked)
        public = check_public_values(self.air, self.public_values)
        object.__setattr__(self, "public_values", public)
        self.air.shape(self.log_sizes, public)

    @cached_property
    def log_sizes(self) -> tuple[int, ...]:
        """log2 of the rows of every component."""
        return tuple(_rows(self.columns[c.name]).bit_length() - 1 for c in self.air.components)

    def host_columns(self) -> dict[str, dict[str, np.ndarray]]:
        """The columns as NumPy arrays."""
        out = {}
        for comp, table in self.columns.items():
            if isinstance(table, ColumnTable):
                table = ColumnTable(tuple(table), _on_host(table.array))
            out[comp] = {name: _on_host(column) for name, column in table.items()}
        return out


def _on_host(words: Any) -> np.ndarray:
    if not _page_locked(words):
        return np.asarray(words)
    from jaxstark import transfer  # JAX is there, for the array is one of its own

    return transfer.to_host(words)


def _page_locked(words: Any) -> bool:
    """``transfer.page_locked``, which needs JAX."""
    return getattr(getattr(words, "sharding", None), "memory_kind", None) == "pinned_host"


def _rows(table: Mapping[str, Any]) -> int:
    if isinstance(table, ColumnTable):
        return table.array.shape[1]
    return next(iter(table.values())).shape[0]


def _check_columns(air: Air, given: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    names = [c.name for c in air.components]
    if not isinstance(given, Mapping) or set(given) != set(names):
        got = sorted(given) if isinstance(given, Mapping) else type(given).__name__
        raise ValueError(f"trace of {air.name}: expected components {names}, got {got}")
    out: dict[str, Mapping[str, Any]] = {}
    for comp in air.components:
        title, table = f"trace of {air.name}, component {comp.name}", given[comp.name]
        if isinstance(table, ColumnTable):
            table = table.array
        if not isinstance(table, Mapping):
            shape = getattr(table, "shape", None)
            if shape is None or len(shape) != 2 or shape[0] != len(comp.columns):
                raise ValueError(
                    f"{title}: expected a mapping of columns or an array "
                    f"[{len(comp.columns)}, rows], got {type(table).__name__} of shape {shape}"
                )
            _check_words(title, table, table.shape[1])
            out[comp.name] = ColumnTable(comp.columns, table)
            continue
        if set(table) != set(comp.columns):
            missing = sorted(set(comp.columns) - set(table))
            surplus = sorted(set(table) - set(comp.columns))
            raise ValueError(
                f"{title}: expected {len(comp.columns)} columns, got {len(table)} "
                f"(missing {missing or 'none'}, surplus {surplus or 'none'})"
            )
        out[comp.name] = {name: table[name] for name in comp.columns}
        _check_component(title, out[comp.name])
    return out


def _check_component(title: str, table: Mapping[str, Any]) -> None:
    length = None
    for name, column in table.items():
        where, shape = f"{title}, column {name}", getattr(column, "shape", None)
        if shape is None or len(shape) != 1:
            raise ValueError(
                f"{where}: expected a one-dimensional uint32 array, got "
                f"{type(column).__name__} of dtype {getattr(column, 'dtype', None)} and shape "
                f"{shape}"
            )
        _check_words(where, column, shape[0])
        if length not in (None, shape[0]):
            raise ValueError(f"{where}: expected {length} rows, got {shape[0]}")
        length = shape[0]


def _check_words(where: str, words: Any, rows: int) -> None:
    """``ValueError`` unless there are ``2^k`` rows of words; reads the array once."""
    if words.dtype != np.uint32:
        raise ValueError(
            f"{where}: expected a uint32 array, got {type(words).__name__} of dtype {words.dtype} "
            f"and shape {words.shape}"
        )
    if rows < 2 or rows & (rows - 1):
        raise ValueError(f"{where}: expected a power of two of at least 2 rows, got {rows}")
    if _page_locked(words):
        words = _on_host(words)  # a program of the device might not read it there
    largest = int(words.max())
    if largest >= m31.P:
        raise ValueError(f"{where}: expected words below {m31.P}, got {largest}")
