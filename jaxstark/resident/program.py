"""What is fixed before a proof runs: the static description of a program, and its tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import circle, deep, twiddles
from jaxstark.air.definition import Air
from jaxstark.deep import DeepPlan
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.pallas.constraints.config import PointConfig
from jaxstark.pallas.constraints.point_program import program as point_program
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.params import ProofParams
from jaxstark.resident import points
from jaxstark.shape import MAX_WORDS, ProofShape, chunks, parts

Groups = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Program:
    """The static argument of every stage; compared by value, so that a shape compiles once.

    Attributes:
      air: the constraints (``Air.structure``).
      shape: column sizes and masks.
      params: parameters.
      interpret: run kernels on a CPU, for tests.
      max_words: most words of an array. Size groups with more of them are several arrays.
      keep_evaluations: keep the extended evaluations of trees 1 and later until the openings. If
        not, they are made from the coefficients wherever they are read, one array after the other.

    Raises ``ValueError`` if the digests of a tree have more words.
    """

    air: Air
    shape: ProofShape
    params: ProofParams
    interpret: bool = False
    max_words: int = MAX_WORDS
    keep_evaluations: bool = True

    def __post_init__(self) -> None:
        if DIGEST_WORDS << self.log_domain > self.max_words:
            most = (self.max_words // DIGEST_WORDS).bit_length() - 1
            raise ValueError(
                f"points of the FRI domain: expected at most 2^{most} with implementation "
                f"'mosaic_gpu', got 2^{self.log_domain} (choose fewer rows, a smaller blow-up or "
                f"batch, or 'xla')"
            )

    def __hash__(self) -> int:
        # Looked up in every stage of every proof.
        if (known := self.__dict__.get("_hash")) is None:
            sizes = self.shape, self.params, self.max_words
            known = hash((self.air, *sizes, self.interpret, self.keep_evaluations))
            object.__setattr__(self, "_hash", known)
        return known

    @cached_property
    def without_work(self) -> Program:
        """The program of every stage but the proof of work, on whose bits none of them depends.

        So a shape that was proved is traced and compiled for other difficulties already.
        """
        return replace(self, params=replace(self.params, pow_bits=0))

    @property
    def log_size(self) -> int:
        """L: log2 of the rows of the largest component."""
        return self.shape.log_size

    @property
    def log_domain(self) -> int:
        """H: log2 of the size of the FRI domain."""
        return self.log_size + self.params.log_blowup

    @property
    def trace_draws(self) -> int:
        """Draws after the root of tree 1: one for each relation, or that of the composition."""
        return len(self.air.relations) if self.air.has_lookups else 1

    @property
    def groups(self) -> tuple[Groups, ...]:
        """Per tree, log size and columns of each of its arrays.

        They are cut by ``shape.parts``, or by ``shape.chunks`` where evaluations are not kept. Tree
        0 comes from the setup, which all programs share.
        """
        fixed, *trees = self.shape.all_columns
        if self.keep_evaluations:
            cut = [parts(tree, self.params.log_blowup, self.max_words) for tree in trees]
        else:
            cut = [chunks(tree, self.log_size, self.params.log_blowup) for tree in trees]
        return (parts(fixed, self.params.log_blowup, MAX_WORDS), *cut)

    @property
    def deep_plan(self) -> DeepPlan:
        """Points and terms of the DEEP quotients."""
        shape, blowup = self.shape, self.params.log_blowup
        return deep.make_plan(
            shape.all_columns, shape.all_offsets, shape.log_size, blowup, self.groups
        )

    def description(self) -> Any:
        """All that compiled code depends on, with a ``repr`` that is the same in every process.

        The constraint functions enter as the instructions of the check at one point.
        """
        rules = point_program(self.air, self.shape, PointConfig())
        air, shape = self.air, self.shape
        return (
            air.name,
            [(c.name, c.columns, c.preprocessed_names) for c in air.components],
            [(r.name, r.arity) for r in air.relations],
            air.public_values,
            (rules.inputs, rules.constants, rules.code.tolist()),
            (shape.log_sizes, shape.columns, shape.offsets, shape.n_constraints),
            self.params,
            self.max_words,
            self.keep_evaluations,
        )


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


class TableSizes(NamedTuple):
    """Log sizes of the tables of a program, ascending; see ``Tables``."""

    forward: tuple[int, ...]
    inverse: tuple[int, ...]
    order: tuple[int, ...]
    back: tuple[int, ...]
    domain: int
    last: int


@lru_cache(maxsize=64)
def table_sizes(shape: ProofShape, params: ProofParams) -> TableSizes:
    """The tables that proofs of a shape read."""
    blowup, log_domain = params.log_blowup, shape.log_size + params.log_blowup
    sizes = {k for tree in shape.all_columns for k in tree}
    extended = {k + blowup for k in sizes}
    if blowup > 1:
        extended |= {k + 1 for k in sizes}
    shifted = any(len(mask) == 2 for tree in shape.offsets for mask in tree)
    return TableSizes(
        forward=tuple(sorted(extended)),
        inverse=tuple(sorted({*sizes, shape.log_size + 1, log_domain})),
        order=tuple(k for k in sorted(sizes) if not fft_kernels.to_storage_fits(k)),
        back=tuple(sorted(set(shape.log_sizes))) if shifted else (),
        domain=log_domain,
        last=log_domain - sum(params.fri_steps(shape.log_size)),
    )


def tables(program: Program) -> Tables:
    """The tables of a program, on the default device."""
    return _tables(table_sizes(program.shape, program.params))


@lru_cache(maxsize=32)
def _tables(sizes: TableSizes) -> Tables:
    return _large_tables(sizes._replace(last=0))._replace(last=jnp.asarray(_line_table(sizes.last)))


@lru_cache(maxsize=8)
def _large_tables(sizes: TableSizes) -> Tables:
    order = {k: jnp.asarray(circle.slot_to_row(k)) for k in sizes.order}
    return _made(sizes, points.multiples())._replace(order=order)


@partial(jax.jit, static_argnums=0)
def _made(sizes: TableSizes, small: Any) -> Tables:
    """The tables that may be large."""
    x, y = points.domain(sizes.domain, small)
    return Tables(
        forward={k: points.forward_table(k, small) for k in sizes.forward},
        inverse={k: points.inverse_table(k, small) for k in sizes.inverse},
        order={},
        back={k: points.slots_back(k) for k in sizes.back},
        x=x,
        y=y,
        last=None,
    )


def abstract_tables(program: Program) -> Tables:
    """The shapes of the tables of a program."""
    sizes = table_sizes(program.shape, program.params)
    made = jax.eval_shape(partial(_made, sizes), points.multiples())
    order = {k: jax.ShapeDtypeStruct((1 << k,), np.int32) for k in sizes.order}
    return made._replace(order=order, last=jax.ShapeDtypeStruct((1 << sizes.last,), np.uint32))


def _line_table(log_line: int) -> np.ndarray:
    """The heap of a line of ``2^log_line`` points; entry 0 scales an interpolation on it."""
    if log_line == 0:
        return np.ones(1, np.uint32)
    # The line layers of any circle domain of at least twice the size hold this line's twiddles.
    table = twiddles.inverse_table(log_line + 1)[: 1 << log_line].copy()
    table[0] = twiddles.inverse_table(log_line)[0]
    return table
