"""What is fixed before a proof runs: the static description of a program, and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxstark import circle, deep, fft, twiddles
from jaxstark.air.definition import Air
from jaxstark.deep import DeepPlan
from jaxstark.implementation import STAGES
from jaxstark.pallas.constraints import api as constraints
from jaxstark.pallas.deep import api as deep_kernels
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.pallas.oods import api as oods_kernels
from jaxstark.params import ProofParams
from jaxstark.shape import INTERACTION, TRACE, ProofShape


@dataclass(frozen=True)
class Program:
    """The static argument of every stage; compared by value, so that a shape compiles once.

    Attributes:
      air: the constraints (``Air.structure``).
      shape: column sizes and masks.
      params: parameters.
      interpret: run kernels on a CPU, for tests.
    """

    air: Air
    shape: ProofShape
    params: ProofParams
    interpret: bool = False

    @property
    def log_size(self) -> int:
        """L: log2 of the rows of the largest component."""
        return self.shape.log_size

    @property
    def log_domain(self) -> int:
        """H: log2 of the size of the FRI domain."""
        return self.log_size + self.params.log_blowup

    @property
    def deep_plan(self) -> DeepPlan:
        """Points and terms of the DEEP quotients."""
        shape = self.shape
        return deep.make_plan(
            shape.all_columns, shape.all_offsets, shape.log_size, self.params.log_blowup
        )

    def stages(self) -> dict[str, str]:
        """What every stage runs: kernels, and XLA for arrays that are too small for them."""
        sizes = self.shape.all_columns
        small = {
            "commit trace": [k for k in sizes[TRACE] if not _commit_fits(k)],
            "commit interaction": [
                k for tree in sizes[INTERACTION:-1] for k in tree if not _commit_fits(k)
            ],
            "commit composition": [k for k in self.shape.log_sizes if not constraints.fits(1 << k)],
            "evaluate out of domain": [
                k for tree in sizes for k in tree if not oods_kernels.fits(k)
            ],
            "DEEP quotients": [] if deep_kernels.fits(self.deep_plan) else [self.log_domain],
        }
        out = {}
        for name in STAGES:
            if name == "compose" or (name == "commit interaction" and len(sizes) < 4):
                continue  # composed in the stage that commits
            found = sorted(set(small.get(name, [])))
            text = "mosaic_gpu"
            if found:
                text += f", xla for 2^{', 2^'.join(map(str, found))} rows"
            out[name] = text
        return out


def _commit_fits(log_size: int) -> bool:
    return fft_kernels.fits(log_size) and fft_kernels.to_storage_fits(log_size)


class Tables(NamedTuple):
    """Device arrays that depend on sizes alone: arguments of the stages, never constants.

    Attributes:
      forward: twiddles of evaluation by log size.
      inverse: twiddles of interpolation by log size.
      order: rows in storage order by log size, where no kernel reorders them.
      back: slots one row back on the quotient domain, by log size of the component.
      x: first coordinates of the FRI domain.
      y: second coordinates.
      last: inverse twiddles of the last FRI layer's line.
    """

    forward: dict[int, Any]
    inverse: dict[int, Any]
    order: dict[int, Any]
    back: dict[int, Any]
    x: Any
    y: Any
    last: Any


@lru_cache(maxsize=8)
def tables(program: Program) -> Tables:
    """The tables of a program, on the default device."""
    shape, blowup = program.shape, program.params.log_blowup
    sizes = sorted({k for tree in shape.all_columns for k in tree})
    extended = {k + blowup for k in sizes}
    if blowup > 1:
        extended |= {k + 1 for k in shape.log_sizes}
    x, y = deep.domain(program.log_domain)
    folds = sum(program.params.fri_steps(shape.log_size))
    shifted = set()
    if any(len(mask) == 2 for tree in shape.offsets for mask in tree):
        shifted = set(shape.log_sizes)
    return Tables(
        forward={k: fft.forward_twiddles(k) for k in sorted(extended)},
        inverse={
            k: fft.inverse_twiddles(k)
            for k in sorted({*sizes, program.log_size + 1, program.log_domain})
        },
        order={
            k: jnp.asarray(circle.slot_to_row(k))
            for k in sizes
            if not fft_kernels.to_storage_fits(k)
        },
        back={k: jnp.asarray(circle.shifted_slots(k, k + 1, -1)) for k in sorted(shifted)},
        x=x,
        y=y,
        last=jnp.asarray(_line_table(program.log_domain - folds)),
    )


def _line_table(log_line: int) -> np.ndarray:
    """The heap of a line of ``2^log_line`` points; entry 0 scales an interpolation on it."""
    if log_line == 0:
        return np.ones(1, np.uint32)
    # The line layers of any circle domain of at least twice the size hold this line's twiddles.
    table = twiddles.inverse_table(log_line + 1)[: 1 << log_line].copy()
    table[0] = twiddles.inverse_table(log_line)[0]
    return table
