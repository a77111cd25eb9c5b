"""The stages of a proof as pure functions of device arrays, each one program of its own.

Arguments are the static ``Program``, its ``Tables`` and arrays; challenges come as uint32 words,
so that they may be drawn on the device. Arrays below the sizes that a kernel takes go through the
same operation under XLA. The last stages are in ``low_degree`` and ``openings``. Sources: protocol
sections 6, 8, 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import commit, composition, fft, oods
from jaxstark.commit import Committed, log_size
from jaxstark.deep_coefficients import powers_traced
from jaxstark.fields import m31
from jaxstark.interaction import interaction_columns
from jaxstark.logup import elements_shape
from jaxstark.merkle import MerkleTree
from jaxstark.pallas.blake2s import api as blake2s
from jaxstark.pallas.channel.api import Step
from jaxstark.pallas.constraints import api as constraints
from jaxstark.pallas.constraints.moved import Component, one_row_back
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.pallas.oods import api as oods_kernels
from jaxstark.resident.program import Program, Tables
from jaxstark.shape import INTERACTION, PREPROCESSED, TRACE

Array = Any
stage = partial(jax.jit, static_argnums=0)


def root_of(tree: Committed) -> Array:
    """The root, uint32 ``[8]``."""
    return tree.tree.levels[0][:, 0]


# Commitments.


def _interpolate_rows(p: Program, t: Tables, pieces: Sequence[Array]) -> Array:
    """Coefficients of the arrays of a size group in row order, one after the other."""
    if (k := log_size(pieces[0])) in t.order:
        return _interpolate(p, t, commit.take_rows(jnp.concatenate(pieces), t.order[k]))
    return fft_kernels.interpolate_rows(pieces, t.inverse[k], interpret=p.interpret)


def _interpolate(p: Program, t: Tables, values: Array) -> Array:
    k = log_size(values)
    if not fft_kernels.fits(k):
        return fft.interpolate(values, t.inverse[k])
    return fft_kernels.interpolate(values, t.inverse[k], interpret=p.interpret)


def _interpolate_halves(p: Program, t: Tables, values: Array) -> Array:
    """``fft.split`` of the coefficients."""
    k = log_size(values)
    if not fft_kernels.fits(k):
        return fft.split(fft.interpolate(values, t.inverse[k]))
    return fft_kernels.interpolate(values, t.inverse[k], halves=True, interpret=p.interpret)


def _evaluate(p: Program, t: Tables, coefficients: Array, log_domain: int) -> Array:
    table = t.forward[log_domain]
    if not fft_kernels.fits(log_size(coefficients)):
        return fft.evaluate(coefficients, log_domain, table)
    return fft_kernels.evaluate(coefficients, log_domain, table, interpret=p.interpret)


class Made(NamedTuple):
    """A commitment, its root ``[8]``, and the step of the channel after it if a digest was given:
    what ``Transcript.commit_and_draw`` asks for.
    """

    tree: Any
    root: Array
    step: Step | None


def _make(
    p: Program, t: Tables, groups: Sequence[Array], digest: Array | None, draws: int = 1
) -> Made:
    blowup = p.params.log_blowup
    extended = tuple(_evaluate(p, t, g, log_size(g) + blowup) for g in groups)
    levels, step = blake2s.commit_and_draw(extended, digest, draws=draws, interpret=p.interpret)
    tree = Committed(tuple(groups), extended, MerkleTree(levels))
    return Made(tree, levels[0][:, 0], step)


def _commit_rows(p: Program, t: Tables, groups: Sequence[Sequence[Array]]) -> Committed:
    return _make_of_rows(p, t, groups, None).tree


def _make_of_rows(
    p: Program, t: Tables, groups: Sequence[Sequence[Array]], digest: Array | None, draws: int = 1
) -> Made:
    return _make(p, t, [_interpolate_rows(p, t, g) for g in groups], digest, draws)


@stage
def commit_fixed(p: Program, t: Tables, groups: Sequence[Array]) -> Committed:
    """Tree 0 over the preprocessed columns, by size in row order."""
    tree = p.shape.columns[PREPROCESSED]
    return _commit_rows(p, t, commit.pieces_by_size(groups, tree, p.groups[PREPROCESSED]))


@stage
def commit_trace(p: Program, t: Tables, rows: Sequence[Array], digest: Array | None = None) -> Made:
    """Tree 1 over the trace columns, ``[columns, 2^k]`` per component in row order."""
    groups = commit.pieces_by_size(rows, p.shape.columns[TRACE], p.groups[TRACE])
    return _make_of_rows(p, t, groups, digest, p.trace_draws)


@stage
def interaction(
    p: Program,
    rows: Sequence[Array],
    fixed: dict[str, Array],
    public: dict[str, Array],
    elements: Array,
) -> tuple[tuple[Array, ...], Array]:
    """The LogUp columns of components in order, and the claimed sums uint32 ``[n, 4]``.

    ``fixed``: preprocessed columns by name, in row order; ``elements``: as
    ``relation_elements`` makes them.
    """
    columns, claims = [], []
    for index, comp in enumerate(p.air.components):
        if not p.air.info.components[index].n_entries:
            continue
        size = rows[index].shape[1]
        read = tuple(fixed[name] for name in comp.preprocessed_names)
        arguments = (p.air, index, rows[index])
        if constraints.fits(size):
            pieces, claimed = constraints.interaction(
                *arguments, read, public, elements, interpret=p.interpret
            )
            columns += pieces
        else:
            whole = jnp.stack(read) if read else jnp.zeros((0, size), np.uint32)
            table, claimed = interaction_columns(*arguments, whole, public, elements)
            columns.append(table)
        claims.append(claimed)
    return tuple(columns), jnp.stack(claims)


@stage
def commit_interaction(
    p: Program, t: Tables, columns: Sequence[Array], digest: Array | None = None
) -> Made:
    """Tree 2 over the LogUp columns."""
    tree = p.shape.columns[INTERACTION]
    groups = commit.pieces_by_size(columns, tree, p.groups[INTERACTION])
    return _make_of_rows(p, t, groups, digest)


@stage
def relation_elements(p: Program, pairs: Array) -> Array:
    """Per relation ``[z, 1, alpha, ..]``, of draws ``[n, 2, 4]``.

    Returns uint32 ``[n, 1 + largest arity, 4]``; no one reads rows past the arity of a relation.
    """
    # Under XLA and for all relations at once, as in ``commit_composition``.
    count = elements_shape(p.air)[1] - 1
    powers = jax.vmap(partial(powers_traced, count=count))(pairs[:, 1])
    return jnp.concatenate([pairs[:, :1], powers], axis=1)


# Composition.


def _shares(p: Program, claims: Array) -> Array:
    """Claimed sums ``[n, 4]``, each divided by the rows of its component; a zero if there are none.

    At once for all: the kernels index it.
    """
    pairs = zip(p.air.info.components, p.shape.log_sizes, strict=True)
    scales = [pow(1 << k, -1, m31.P) for info, k in pairs if info.n_entries]
    if not scales:
        return jnp.zeros((1, 4), np.uint32)
    return m31.mul(claims, np.repeat(np.array(scales, np.uint32)[:, None], 4, axis=1))


@stage
def commit_composition(
    p: Program,
    t: Tables,
    trees: Sequence[Committed],
    coefficient: Array,
    public: dict[str, Array],
    elements: Array,
    claims: Array,
    digest: Array | None = None,
) -> Made:
    """The last tree: the split quotient of all constraints combined by ``coefficient`` ``[4]``."""
    # Under XLA: a few small fusions beat a call site of a kernel, which costs compile time.
    powers = powers_traced(coefficient, p.shape.n_constraints)[::-1]
    domains = [_on_quotient_domain(p, t, tree) for tree in trees]
    components = [
        Component(
            index,
            composition.locate(p.air, p.shape)[index],
            tuple(domain.get(k, ()) for domain in domains),
            t.back.get(k, jnp.zeros(2 << k, np.int32)),  # no mask reaches back
        )
        for index, k in enumerate(p.shape.log_sizes)
    ]
    moved = one_row_back(p.air, [c for c in components if constraints.fits(c.back.shape[0] // 2)])
    shares = _shares(p, claims)
    by_size: dict[int, Array] = {}
    start = claim = 0
    for index, k in enumerate(p.shape.log_sizes):
        info = p.air.info.components[index]
        count, own_claim = len(info.constraints), min(claim, len(shares) - 1)
        claim += info.n_entries > 0
        _, where, arrays, back = components[index]
        so_far = by_size.get(k)
        if constraints.fits(1 << k):
            of_all, places = moved.get(index, (None, ()))
            by_size[k] = constraints.component_quotient(
                *(p.air, index, where, arrays, back, powers, shares, public, elements),
                first=start,
                claim=own_claim,
                start=so_far,
                moved=of_all,
                places=places,
                interpret=p.interpret,
            )
        else:
            whole = tuple(jnp.concatenate(g) if g else None for g in arrays)
            own = powers[start : start + count]
            quotient = composition.component_quotient(
                *(p.air, index, where, whole, back, own, shares[own_claim], public, elements)
            )
            by_size[k] = quotient if so_far is None else m31.add(so_far, quotient)
        start += count
    halves = _interpolate_halves(p, t, composition.lift_and_add(by_size))
    groups = commit.by_size([halves], p.shape.all_columns[-1], p.groups[-1])
    return _make(p, t, groups, digest)


def _on_quotient_domain(p: Program, t: Tables, tree: Committed) -> dict[int, tuple[Array, ...]]:
    """The arrays of every size group, by its log size."""
    out: dict[int, tuple[Array, ...]] = {}
    for coefficients, committed in zip(tree.coefficients, tree.evaluations, strict=True):
        k = log_size(coefficients)
        extended = committed
        if p.params.log_blowup > 1:
            extended = _evaluate(p, t, coefficients, k + 1)
        out[k] = (*out.get(k, ()), extended)
    return out


# Openings out of the domain.


@stage
def sample(p: Program, t: Tables, trees: Sequence[Committed], drawn: Array) -> tuple[Array, Array]:
    """Sampled values uint32 ``[n_samples, 4]`` in wire order at the point of a draw ``[4]``.

    Returns them with the multiples of the point, uint32 ``[L, 2, 4]``.
    """
    del t
    # Columns of one size share their basis and a launch, and are seen one row back where the mask
    # says so.
    shape = p.shape
    together: dict[tuple[int, int], list[tuple[Array, tuple[int, ...]]]] = {}
    columns: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, tree in enumerate(trees):
        offsets = shape.all_offsets[index]
        for (k, members), polys in zip(p.groups[index], tree.coefficients, strict=True):
            back = tuple(row for row, c in enumerate(members) if len(offsets[c]) == 2)
            for which, rows in enumerate((tuple(range(len(members))), back)):
                if rows:
                    together.setdefault((which, k), []).append((polys, rows))
                    columns.setdefault((which, k), []).extend((index, members[r]) for r in rows)
    multiples, bases = oods_kernels.drawn_bases(
        drawn,
        p.log_size,
        tuple(of for of in together if oods_kernels.fits(of[1])),
        interpret=p.interpret,
    )
    values, places, total = [], {}, 0
    for (which, k), groups in together.items():
        arrays, rows = zip(*groups, strict=True)
        if oods_kernels.fits(k):
            value = oods_kernels.evaluate_columns(
                arrays, bases, (which, k), rows=rows, interpret=p.interpret
            )
        else:
            picked = [polys[np.array(some)] for polys, some in groups]
            factors = oods_kernels.column_factors(multiples[which : which + 1], k)
            whole = jnp.concatenate(picked)
            value = oods.evaluate_at_factors(whole, factors, unroll=True)[0]
        values.append(value.T)
        for index, column in columns[which, k]:
            places[index, column, which] = total
            total += 1
    # A column of two samples shows the row before first.
    order = [
        places[index, column, 1 - i if len(mask) == 2 else 0]
        for index, masks in enumerate(shape.all_offsets)
        for column, mask in enumerate(masks)
        for i in range(len(mask))
    ]
    return jnp.concatenate(values)[np.array(order)], multiples[0]


@stage
def defect(
    p: Program,
    samples: Array,
    multiples: Array,
    coefficient: Array,
    public: dict[str, Array],
    elements: Array,
    claims: Array,
    mixed: Sequence[Array] | None,
) -> tuple[Array, Step | None]:
    """What the sampled constraints lack to the sampled composition: 0, uint32 ``[4]``.

    Also the step of the channel that absorbs ``mixed``, its digest first, if that is given: what
    ``Transcript.mix_and_draw_beside`` asks for.
    """
    vanishing = multiples[-1, 0]  # pi^(L-1) of the point's x
    return constraints.defect(
        p.air,
        p.shape,
        samples,
        vanishing,
        coefficient,
        public,
        elements,
        claims,
        mixed,
        interpret=p.interpret,
    )
