"""Public terms: the lookup entries of a statement, which prover and verifier add up themselves.

Many terms of one kind, such as the words of a long output, are a block of arrays.
Source: protocol section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from jaxstark.air.definition import VECTORS, Air, Relation, spread_columns
from jaxstark.air.evaluate import Elements, Entry, Evaluator, RelationElements
from jaxstark.air.felt import Felt
from jaxstark.air.inspector import check_entry
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31

# Up to so many public terms of one kind are added up one by one, which is faster.
FEW_ENTRIES = 8


class Block(NamedTuple):
    """Entries of one relation and one multiplicity.

    Attributes:
      relation: the relation.
      columns: a word of every entry, uint32 ``[n]``, for each value of the tuple.
      multiplicity: of all of them.
    """

    relation: Relation
    columns: tuple[np.ndarray, ...]
    multiplicity: int


PublicTerms = tuple[list[Entry], list[Block]]


class _Public(Evaluator):
    """Also keeps blocks of entries as they are, if they are not small."""

    def __init__(self, air: Air, public_values: Mapping[str, Any]) -> None:
        super().__init__(air, public_values)
        self.blocks: list[Block] = []

    def public(self, relation: Relation, values: Sequence[Any], multiplicity: Any = 1) -> None:
        check_entry(self.air, f"{self.air.name} public terms", relation, values)
        self.entry(relation, values, multiplicity)

    def public_each(
        self, relation: Relation, columns: Sequence[Any], multiplicity: int = 1
    ) -> None:
        check_entry(self.air, f"{self.air.name} public terms", relation, columns)
        whole = spread_columns(columns)
        if len(whole[0]) <= FEW_ENTRIES:
            for row in zip(*whole, strict=True):
                self.entry(relation, row, multiplicity)
        else:
            words = tuple(_column(column, len(whole[0])) for column in columns)
            self.blocks.append(Block(relation, words, _words([multiplicity])[0]))


def public_entries(air: Air, values: Mapping[str, Sequence[int]]) -> PublicTerms:
    """The lookup entries that the verifier adds itself, as host values, and blocks of more."""
    if air.public_terms is None:
        return [], []
    evaluator = _Public(air, values)
    air.public_terms(evaluator)
    return evaluator.entries, evaluator.blocks


def logup_total(
    air: Air,
    values: Mapping[str, Sequence[int]],
    elements: Elements,
    claimed_sums: Sequence[QM31],
) -> QM31:
    """Claimed sums plus public terms; a sound statement has 0 here.

    Raises ``ZeroDivisionError`` if a public denominator is 0 (probability about 2^-124).
    """
    return total_with(public_entries(air, values), elements, claimed_sums)


def total_with(terms: PublicTerms, elements: Elements, claimed_sums: Sequence[QM31]) -> QM31:
    """``logup_total`` from the public terms, which need no challenge."""
    entries, blocks = terms
    coordinates = zip(qm31.ZERO, *claimed_sums, strict=True)
    total = QM31._make(sum(words) % m31.P for words in coordinates)
    for block in blocks:
        total = qm31.add(total, _sum_of_block(block, elements[block.relation]))
    if entries:
        # One inversion for all: the fractions are added up over a common denominator.
        num, den = reduce(_add_fractions, (_fraction(entry, elements) for entry in entries))
        total = qm31.add(total, qm31.mul(num, qm31.inv(den)))
    return total


def _fraction(entry: Entry, elements: Elements) -> tuple[QM31, QM31]:
    """The fraction of a public term."""
    weight, *words = _words([entry.multiplicity, *entry.values])
    return qm31.from_base(weight), elements[entry.relation].combine_words(words)


def _add_fractions(x: tuple[QM31, QM31], y: tuple[QM31, QM31]) -> tuple[QM31, QM31]:
    (num, den), (other_num, other_den) = x, y
    return qm31.add(qm31.mul(num, other_den), qm31.mul(other_num, den)), qm31.mul(den, other_den)


def _sum_of_block(block: Block, elements: RelationElements) -> QM31:
    """The sum over the entries of a block, in arrays of int64."""
    powers = np.array(elements.alpha_powers)[:, :, None]
    den = -np.array(elements.z)[:, None]
    for power, column in zip(powers, block.columns, strict=True):
        den = (den + power * column) % m31.P
    if not den.any(axis=0).all():
        raise ZeroDivisionError("a public term with denominator 0")
    sums = (int(w.sum()) % m31.P for w in qm31.inv_wide(qm31.from_array(den), _inv_each))
    return qm31.from_ints(w * block.multiplicity % m31.P for w in sums)


def _inv_each(words: np.ndarray) -> np.ndarray:
    """Inverses of words in int64, none 0."""
    count = len(words)
    padded = np.ones(1 << (count - 1).bit_length(), np.int64)
    padded[:count] = words
    return m31.tree_inv(padded, _product, lambda one: np.array([m31.inv(int(one[0]))]))[:count]


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a * b % m31.P


def _column(column: Any, count: int) -> np.ndarray:
    """A column of public terms, or the word that it has in every row, as words ``[count]``."""
    if isinstance(column, range):
        return (np.arange(column.start, column.stop, column.step) % m31.P).astype(np.uint32)
    if isinstance(column, VECTORS):
        return np.array(_words(column), np.uint32)
    return np.full(count, _words([column])[0], np.uint32)


def _words(values: Sequence[Any]) -> list[int]:
    """Felts or ints of M31 as words."""
    return [v.value if type(v) is Felt else int(v) % m31.P for v in values]
