"""Sizes of the constraint kernels: what may be tuned, apart from what is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxstark.pallas.launch import LANES


class QuotientConfig(NamedTuple):
    """How the composition quotient is evaluated.

    Attributes:
      points_per_thread: points of the domain in one thread, a power of two; halved until a block
        lies in one half of the domain. More of them share the loads of coefficients and take
        more registers.
      gather: whether XLA puts masks one row back in order before the kernel; otherwise the kernel
        loads them where they lie, which reads them twice but writes nothing.
    """

    points_per_thread: int = 2
    gather: bool = False

    def lanes(self, size: int) -> int:
        """Lanes of a block, for a domain of ``size`` points."""
        lanes = LANES * self.points_per_thread
        while lanes > LANES and (size // 2) % lanes:
            lanes //= 2
        return lanes


class InteractionConfig(NamedTuple):
    """How LogUp columns are made.

    Attributes:
      batches_per_inverse: denominators of a row that share one inversion in M31. More of them save
        inversions (37 products in sequence each) and take 12 registers each.
    """

    batches_per_inverse: int = 4


class PointConfig(NamedTuple):
    """How the constraints are checked at one point.

    Attributes:
      steps: instructions of a block, about a tenth of a microsecond each, from which on the
        constraints are shared out among several blocks.
      blocks: the most blocks. Their results are added up after the launch.
      memory: bytes of shared memory that a block may use.
    """

    steps: int = 64
    blocks: int = 32
    memory: int = 200 << 10
