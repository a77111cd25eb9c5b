"""Sizes of the kernels that evaluate out of domain: what may be tuned."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES

LOG_LANES = LANES.bit_length() - 1
_MAX_WORDS_LOG = 2


class Tile(NamedTuple):
    """How one launch cuts ``[c, 2^k]`` coefficients.

    Attributes:
      words: consecutive words of a thread, loaded at once.
      vectors: arrays of ``128 words`` coefficients that share a weight.
      unroll: weights per pass of the loop, up to 4.
      chunk: weights per block, a multiple of ``unroll``.
      chunks: blocks per column.
    """

    words: int
    vectors: int
    unroll: int
    chunk: int
    chunks: int

    @property
    def low(self) -> int:
        """Coefficients that share a weight; the low part of their index has that many values."""
        return LANES * self.words * self.vectors


class EvaluateConfig(NamedTuple):
    """How columns are evaluated. Nothing here changes a result but the split of the basis.

    Attributes:
      words_log: log2 of the consecutive words of a thread, 0 to 2. Each takes 8 registers.
      vectors_log: log2 of the arrays of ``128 words`` coefficients that share a weight. They leave
        a quarter of the partial sums; but where columns lie in several arrays each load has to
        choose one, and fewer and longer vectors are faster: see ``tile``.
      max_chunk_log: log2 of the most weights per block.
      min_blocks: blocks stay at least that many while a chunk can still be halved.
    """

    words_log: int = 0
    vectors_log: int = 2
    max_chunk_log: int = 6
    min_blocks: int = 1024

    def low_log(self, log_size: int) -> int:
        """log2 of the coefficients that share a weight."""
        return LOG_LANES + sum(self._logs(log_size))

    def products(self, log_size: int) -> tuple[int, int]:
        """How many products a basis has for low and for high parts of an index, in whole vectors.

        There is no use for those beyond ``2^(log_size - low_log)`` high ones.
        """
        low_log = self.low_log(log_size)
        return 1 << low_log, 1 << max(log_size - low_log, LOG_LANES)

    def tile(self, n_columns: int, log_size: int, arrays: int = 1) -> Tile:
        """The cut for ``n_columns`` columns of ``2^log_size``, in so many arrays.

        Columns have at least 128 words. With several arrays, vectors become words of a thread as
        far as possible; ``low`` stays the same.
        """
        words_log, vectors_log = self._logs(log_size)
        if arrays > 1:
            both = words_log + vectors_log
            words_log = min(both, _MAX_WORDS_LOG)
            vectors_log = both - words_log
        weights_log = max(log_size - LOG_LANES - words_log - vectors_log, 0)
        chunk_log = min(weights_log, self.max_chunk_log)
        unroll_log = min(weights_log, 2)
        while chunk_log > unroll_log and n_columns << (weights_log - chunk_log) < self.min_blocks:
            chunk_log -= 1
        return Tile(
            1 << words_log,
            1 << vectors_log,
            1 << unroll_log,
            1 << chunk_log,
            1 << (weights_log - chunk_log),
        )

    def _logs(self, log_size: int) -> tuple[int, int]:
        room = max(log_size - LOG_LANES, 0)
        words_log = min(self.words_log, room)
        return words_log, min(self.vectors_log, room - words_log)
