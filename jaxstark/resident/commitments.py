"""Commitments to columns: their polynomials, values on the larger domain, and the tree.

Transforms of all sizes of a tree run side by side, and end together. Arrays below the sizes that a
kernel takes go through the same operation under XLA. Source: protocol sections 2, 4, 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxstark import commit, fft
from jaxstark.commit import Committed, log_size
from jaxstark.merkle import MerkleTree
from jaxstark.pallas.blake2s import api as blake2s
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.pallas.later import Later
from jaxstark.pallas.together import Steps, in_few_launches, in_turn, run_steps
from jaxstark.resident.program import Program, Tables
from jaxstark.transcript import Made

Array = Any


def root_of(tree: MerkleTree) -> Array:
    """The root, uint32 ``[8]``."""
    return tree.levels[0][:, 0]


def _interpolate_rows(p: Program, t: Tables, pieces: Sequence[Array]) -> Steps[Array]:
    """Coefficients of the arrays of a size group in row order, one after the other."""
    if (k := log_size(pieces[0])) not in t.order:
        return (
            yield from fft_kernels.interpolation_of_rows(
                pieces, t.inverse[k], interpret=p.interpret
            )
        )
    values = commit.take_rows(jnp.concatenate(pieces), t.order[k])
    if not fft_kernels.fits(k):
        return fft.interpolate(values, t.inverse[k])
    return (yield from fft_kernels.interpolation(values, t.inverse[k], interpret=p.interpret))


def interpolate_halves(p: Program, t: Tables, values: Array) -> Array:
    """``fft.split`` of the coefficients."""
    k = log_size(values)
    if not fft_kernels.fits(k):
        return fft.split(fft.interpolate(values, t.inverse[k]))
    return fft_kernels.interpolate(values, t.inverse[k], halves=True, interpret=p.interpret)


def _evaluate(p: Program, t: Tables, coefficients: Array, log_domain: int) -> Steps[Array]:
    table = t.forward[log_domain]
    if not fft_kernels.fits(log_size(coefficients)):
        return fft.evaluate(coefficients, log_domain, table)
    return (
        yield from fft_kernels.evaluation(coefficients, log_domain, table, interpret=p.interpret)
    )


def _of_sizes[T](
    p: Program,
    sizes: Sequence[int],
    transform: Callable[[Sequence[int]], Steps[list[T]]],
    beside: Sequence[Callable[[], Steps[Any]]] = (),
) -> tuple[list[T], list[Any]]:
    """Transforms of arrays of some log sizes: launches are shared by sizes, and by ``beside``.

    ``transform`` makes a computation for the arrays of one size, given their indices.
    """
    by_size: dict[int, list[int]] = {}
    for index, k in enumerate(sizes):
        by_size.setdefault(k, []).append(index)
    makes = [partial(transform, some) for some in by_size.values()]
    made = in_few_launches([*makes, *beside], interpret=p.interpret)
    places = [i for some in by_size.values() for i in some]
    results = dict(zip(places, chain.from_iterable(made[: len(makes)]), strict=True))
    return [results[index] for index in range(len(sizes))], made[len(makes) :]


def _evaluate_in_turn(
    p: Program, t: Tables, groups: Sequence[Array], log_factor: int
) -> Steps[list[Array]]:
    """Arrays of one size, which are large if there are several.

    One after the other: words between two passes take memory.
    """
    return in_turn([_evaluate(p, t, g, log_size(g) + log_factor) for g in groups])


def extend(p: Program, t: Tables, groups: Sequence[Array], log_factor: int) -> list[Array]:
    """Values of coefficients on domains larger by a factor."""

    def transform(some: Sequence[int]) -> Steps[list[Array]]:
        return _evaluate_in_turn(p, t, [groups[i] for i in some], log_factor)

    return _of_sizes(p, [log_size(g) for g in groups], transform)[0]


class Polynomials(NamedTuple):
    """Polynomials ``[columns, 2^k]`` by ascending size: coefficients, values on larger domains.

    No values where they are not kept, see ``values``.
    """

    coefficients: tuple[Array, ...]
    evaluations: tuple[Array, ...]


def polynomials(
    p: Program,
    t: Tables,
    groups: Sequence[Sequence[Array]],
    beside: Sequence[Callable[[], Steps[Any]]] = (),
) -> tuple[Polynomials, list[Any]]:
    """Those of size groups in row order; the results of what is made to share their launches."""

    def transform(some: Sequence[int]) -> Steps[list[tuple[Array, ...]]]:
        made = [(yield from in_turn([_interpolate_rows(p, t, groups[i]) for i in some]))]
        if p.keep_evaluations:
            made.append((yield from _evaluate_in_turn(p, t, made[0], p.params.log_blowup)))
        return list(zip(*made, strict=True))

    made, others = _of_sizes(p, [log_size(pieces[0]) for pieces in groups], transform, beside)
    coefficients = tuple(first for first, *_ in made)
    return Polynomials(coefficients, tuple(kept for _, *rest in made for kept in rest)), others


def values(p: Program, t: Tables, tree: Polynomials | Committed) -> list[Array | Later]:
    """Values on the larger domain of every array; those that are not kept come later."""
    if tree.evaluations:
        return list(tree.evaluations)
    return [later(p, t, coefficients) for coefficients in tree.coefficients]


def later(p: Program, t: Tables, coefficients: Array) -> Later:
    """Values of coefficients on the larger domain, made when they are read."""
    log_domain = log_size(coefficients) + p.params.log_blowup

    def make(source: Array) -> Array:
        return run_steps(_evaluate(p, t, source, log_domain), interpret=p.interpret)

    return Later((len(coefficients), 1 << log_domain), coefficients, make)


def make(
    p: Program,
    t: Tables,
    groups: Polynomials | Sequence[Array],
    digest: Array | None,
    draws: int = 1,
) -> Made:
    """The tree over polynomials, or coefficients ``[columns, 2^k]`` by ascending size.

    With a digest, the step.
    """
    if not isinstance(groups, Polynomials):
        extended = extend(p, t, groups, p.params.log_blowup) if p.keep_evaluations else ()
        groups = Polynomials(tuple(groups), tuple(extended))
    levels, step = blake2s.commit_and_draw(
        values(p, t, groups), digest, draws=draws, interpret=p.interpret
    )
    tree = MerkleTree(levels)
    return Made(Committed(*groups, tree), root_of(tree), step)


def make_of_rows(
    p: Program, t: Tables, groups: Sequence[Sequence[Array]], digest: Array | None, draws: int = 1
) -> Made:
    """``make`` from the arrays of each size group in row order."""
    return make(p, t, polynomials(p, t, groups)[0], digest, draws)
