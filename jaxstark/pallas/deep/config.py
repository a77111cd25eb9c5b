"""Sizes of the DEEP kernel: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES

LOG_LANES = LANES.bit_length() - 1


class DeepConfig(NamedTuple):
    """How quotients are computed.

    Attributes:
      words_log: log2 of the consecutive words of a thread, 0 to 2, which are loaded at once.
      vectors_log: log2 of the arrays of ``128 words`` rows of a block, which share inversions.
      accumulators_log: log2 of the words per thread times points: each takes 8 registers, so with
        more points a thread takes fewer words.
      unroll: columns per pass of a loop, a multiple of 4.
      merged_columns: so many columns in all, of sizes far below the largest, are read by the last
        launch directly instead of by launches of their own.
    """

    words_log: int = 1
    vectors_log: int = 1
    accumulators_log: int = 3
    unroll: int = 8
    merged_columns: int = 8

    def cut(self, log_size: int, n_points: int) -> tuple[int, int]:
        """``(words, vectors)`` of a launch over ``2^log_size`` rows."""
        room = max(self.accumulators_log - (n_points - 1).bit_length(), 0)
        room = min(room, log_size - LOG_LANES)
        words_log = min(self.words_log, room)
        return 1 << words_log, 1 << min(self.vectors_log, room - words_log)
