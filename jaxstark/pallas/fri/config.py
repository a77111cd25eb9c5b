"""Sizes of the FRI kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple


class FoldConfig(NamedTuple):
    """How a layer is folded.

    Attributes:
      max_step: most folds of a launch. A thread reads the ``2^step`` values of a coset and its
        code grows with them.
      cosets_log: log2 of the cosets that a thread folds one after the other, halved until all
        threads have as many. Powers of the challenge are computed once for all of them.
      unrolled: folds that are written out. A loop over parts of the coset does as many first,
        which keeps the code of a large step short; the folds of the parts are written out again.
    """

    max_step: int = 4
    cosets_log: int = 0
    unrolled: int = 2
