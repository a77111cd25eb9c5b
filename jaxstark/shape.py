"""The shape of a proof: everything about its sizes that the statement fixes in advance.

Prover, verifier, memory plan and security figures all read sizes from here, and the verifier
reads none from the proof. Source: protocol sections 6, 7 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

COMPOSITION_COLUMNS = 8  # left and right halves of four coordinates
PREPROCESSED, TRACE, INTERACTION = 0, 1, 2  # tree indices; the composition tree comes last
MAX_WORDS = int(np.iinfo(np.int32).max)  # of an array that a kernel reads
# Columns of the largest domain, or smaller ones of as many words, that are there at once where
# evaluations are not kept. Two such chunks fill the block of a hash; as many words are in the
# digests of the domain, which an array holds.
CHUNK_COLUMNS = 8
# Words of traces whose commitment keeps a GPU busy while the host starts a larger program, but not
# so long that this is nothing beside the memory that two programs take.
_APART_WORDS = range(1 << 24, 1 << 27)


@dataclass(frozen=True)
class ProofShape:
    """Column sizes and masks of every tree that is committed before the composition.

    Attributes:
      log_sizes: log2 of the rows of every component, in component order.
      columns: ``[tree][column]`` log sizes without blow-up, in column order; two trees, or three
        when the AIR has lookups.
      offsets: ``[tree][column]`` mask offsets in rows: ``()``, ``(0,)`` or ``(-1, 0)``.
      n_constraints: constraints of all components, LogUp ones included.
      n_lookups: LogUp fractions over all rows of all components and public terms.
      max_arity: values of the widest relation; 0 without lookups.
      air: the AIR that has this shape, where it was made by one; not part of its value.
    """

    log_sizes: tuple[int, ...]
    columns: tuple[tuple[int, ...], ...]
    offsets: tuple[tuple[tuple[int, ...], ...], ...]
    n_constraints: int
    n_lookups: int
    max_arity: int
    air: Any = field(default=None, compare=False, repr=False)

    def __hash__(self) -> int:
        # Compiled programs are looked up by it in every stage of every proof.
        if (known := self.__dict__.get("_hash")) is None:
            known = hash((self.log_sizes, self.columns, self.offsets, self.n_constraints))
            object.__setattr__(self, "_hash", known)
        return known

    @property
    def log_size(self) -> int:
        """L: log2 of the rows of the largest component."""
        return max(self.log_sizes)

    @property
    def all_columns(self) -> tuple[tuple[int, ...], ...]:
        """``columns`` with the composition tree appended."""
        return (*self.columns, (self.log_size,) * COMPOSITION_COLUMNS)

    @property
    def all_offsets(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """``offsets`` with the composition tree appended."""
        return (*self.offsets, ((0,),) * COMPOSITION_COLUMNS)

    @property
    def n_samples(self) -> int:
        """Values opened out of domain, over all trees."""
        return sum(len(mask) for tree in self.all_offsets for mask in tree)


def size_groups(columns: tuple[int, ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Columns of one tree by ascending log size: ``((log_size, column indices), ...)``.

    The order inside a group is the column order, so that the concatenation of the groups is the
    order in which a Merkle leaf absorbs a row.
    """
    sizes = sorted(set(columns))
    return tuple((k, tuple(i for i, c in enumerate(columns) if c == k)) for k in sizes)


def begins_apart(shape: ProofShape) -> bool:
    """Whether a proof over kernels commits to the trace in a program of its own.

    It starts sooner than the program of a whole proof, and needs no transcript.
    """
    return sum(1 << k for k in shape.columns[TRACE]) in _APART_WORDS


def check_keep_evaluations(value: bool) -> None:
    """Raise ``ValueError`` unless the option of that name is a bool."""
    if type(value) is not bool:
        raise ValueError(f"keep_evaluations: expected True or False, got {value!r}")


def parts(
    columns: tuple[int, ...], log_blowup: int, max_words: int, *, even: bool = True
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """``size_groups`` with groups cut whose evaluations have more than ``max_words`` words.

    The parts of a group are consecutive columns, in numbers that differ by at most 1, or, if not
    ``even``, cut where the tree has a multiple of the most columns, see ``chunks``. Raises
    ``ValueError`` if one column has more words.
    """
    out, before = [], 0
    for k, members in size_groups(columns):
        most = max_words >> (k + log_blowup)
        if not most:
            raise ValueError(
                f"evaluations of a column: expected at most {max_words} words, got "
                f"2^{k + log_blowup}"
            )
        count = -(-len(members) // most)
        ends = [len(members) * i // count for i in range(count + 1)]
        if not even:
            ends = [0, *range(most - before % most, len(members), most), len(members)]
        out += [(k, members[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
        before += len(members)
    return tuple(out)


def chunks(
    columns: tuple[int, ...], log_size: int, log_blowup: int
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """``parts`` of ``CHUNK_COLUMNS`` columns of ``2^log_size`` rows, or as many words, at most.

    Blocks of hashes of a row end with a part, but for those that end within a smaller size.
    """
    return parts(columns, log_blowup, CHUNK_COLUMNS << (log_size + log_blowup), even=False)
