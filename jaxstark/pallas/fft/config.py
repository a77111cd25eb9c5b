"""Sizes of the circle FFT kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES

# Layers of smallest distance that one pass does on a contiguous tile of 2^TILE_LOG words.
TILE_LOG = 12
# Columns below 2^MIN_LOG words do not fill the 128 lanes of a load.
MIN_LOG = LANES.bit_length() - 1
MAX_LOG = 29
# ``together.Kernel.code`` of ``to_storage`` and, for each layer, of passes: of one that reads rows
# in row order, of an exchange upwards, of the others.
STORAGE_CODE, ROWS_CODE, UPWARDS_CODE, LAYER_CODE = 50, 14, 10, 6


class FftConfig(NamedTuple):
    """How a transform is cut into passes over memory.

    Attributes:
      layers: most layers of a pass above the tile, see ``width``.
      direct: most of them without an exchange in shared memory, where a thread has a word for each
        of the ``2^layers`` operands.
      words: words in the registers of a thread in such a pass, at least one per butterfly operand.
      inverse_words: the same of an inverse.
      tile_columns: tiles that a block transforms one after the other, of different columns, with
        one set of twiddles in registers.
    """

    layers: int = 10
    direct: int = 6
    words: int = 32
    inverse_words: int = 64
    tile_columns: int = 1

    def strided(self, log_size: int, first: int = TILE_LOG) -> tuple[tuple[int, int], ...]:
        """Layers ``(low, high)`` of each pass above ``first``, by ascending distance ``2^low``."""
        count = max(log_size - first, 0)
        passes = -(-count // self.layers)
        ends = [first + -(-count * i // passes) for i in range(passes + 1)] if passes else []
        return tuple(zip(ends, ends[1:], strict=False))

    def of_rows(self, log_size: int) -> int:
        """Layers of a first pass that reads rows, 7 to 10, or 0 where it would save no pass.

        It has fewer layers than a tile: beyond 2^20 rows the passes above it are one more, which
        2^23 rows need anyway.
        """
        passes = -(-log_size // self.layers)
        count = -(-log_size // passes)
        saves = passes < 2 + len(self.strided(log_size))
        return count if saves and log_size > TILE_LOG and 7 <= count <= 10 else 0

    def lanes(self, layers: int, inverse: bool) -> int:
        """Contiguous words of a vector in a direct pass, one or two per thread."""
        words = self.inverse_words if inverse else self.words
        return LANES * min(max(words >> layers, 1), 2)

    def width(self, layers: int) -> int:
        """Contiguous words of a vector in a pass with an exchange, for 7 to 10 layers.

        Short vectors use less of the memory's rate, more words per thread leave fewer threads.
        """
        return 32 >> ((layers - 6) // 2)


class StorageConfig(NamedTuple):
    """How rows are put into storage order.

    Attributes:
      group: vectors of each parity that a block exchanges at a time: 2, 4, 8, 16 or 32.
      interleave: whether even and odd slots meet in shared memory; otherwise in global memory.
    """

    group: int = 4
    interleave: bool = True
