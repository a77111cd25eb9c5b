"""Sizes of the FRI kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple, Self

# Most values of the first layer of a tail, by shared memory: 24 bytes for each.
MAX_TAIL = 1 << 13
# One block takes some 30 us longer for 2^13 values than launches of their own, which are three, and
# take time to compile. Proofs over domains of ``2^LARGE_LOG`` points or more spare them: they have
# the most launches, and lose the least by it.
SHORT_TAIL = 1 << 12
LARGE_LOG = 21


def most_in_tail(log_domain: int) -> int:
    """The most values of the first layer of a tail, in a proof over ``2^log_domain`` points."""
    return MAX_TAIL if log_domain >= LARGE_LOG else SHORT_TAIL


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
    unrolled: int = 1

    @classmethod
    def for_layer(cls, size: int, step: int) -> Self:
        """Sizes for a layer of ``size`` values: small steps of many cosets share the challenge."""
        return cls(cosets_log=max(0, 3 - step) if size >> step >= 1 << 17 else 0)
