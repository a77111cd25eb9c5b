"""The stages of a proof as pure functions of device arrays, each one program of its own.

A stage goes from challenges to what the prover sends next. Arguments are the static ``Program``,
its ``Tables`` and arrays; challenges come as uint32 words, so that they may be drawn on the device.
Arrays below the sizes that a kernel takes go through the same operation under XLA. The last stages
are in ``low_degree`` and ``openings``. Sources: protocol sections 6, 8, 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark import commit, composition
from jaxstark.commit import Committed, log_size
from jaxstark.deep_coefficients import powers_traced
from jaxstark.fields import m31
from jaxstark.logup import elements_shape
from jaxstark.pallas.channel import api as channel
from jaxstark.pallas.channel.api import Step
from jaxstark.pallas.constraints import api as constraints
from jaxstark.pallas.constraints.moved import Component
from jaxstark.pallas.oods import api as oods_kernels
from jaxstark.pallas.together import Steps, side_by_side
from jaxstark.resident import commitments
from jaxstark.resident.program import Program, Tables
from jaxstark.shape import INTERACTION, PREPROCESSED, TRACE
from jaxstark.transcript import Made

Array = Any
stage = partial(jax.jit, static_argnums=0)


# Commitments.


@stage
def commit_fixed(p: Program, t: Tables, groups: Sequence[Array]) -> Committed:
    """Tree 0 over the preprocessed columns, by size in row order."""
    tree = p.shape.columns[PREPROCESSED]
    pieces = commit.pieces_by_size(groups, tree, p.groups[PREPROCESSED])
    # Proofs that keep their evaluations and proofs that do not share it.
    return commitments.make_of_rows(replace(p, keep_evaluations=True), t, pieces, None).tree


@stage
def commit_trace(p: Program, t: Tables, rows: Sequence[Array], digest: Array | None = None) -> Made:
    """Tree 1 over the trace columns, ``[columns, 2^k]`` per component in row order."""
    groups = commit.pieces_by_size(rows, p.shape.columns[TRACE], p.groups[TRACE])
    return commitments.make_of_rows(p, t, groups, digest, p.trace_draws)


@stage
def commit_interaction(
    p: Program,
    t: Tables,
    rows: Sequence[Array],
    fixed: dict[str, Array],
    public: dict[str, Array],
    pairs: Array,
    digest: Array | None = None,
) -> Made:
    """Tree 2 over the LogUp columns, with the relation elements and the claimed sums ``[n, 4]``.

    ``fixed``: preprocessed columns by name, in row order; ``pairs``: per relation two draws, uint32
    ``[n, 2, 4]``. The claimed sums are absorbed before the root.
    """
    elements = _relation_elements(p, pairs)
    columns, claims = _interaction(p, rows, fixed, public, elements)
    tree = p.shape.columns[INTERACTION]
    groups = commit.pieces_by_size(columns, tree, p.groups[INTERACTION])
    # A hash that the channel needs no sooner than at the root.
    mixed = digest, claims.reshape(-1)
    hashing = [] if digest is None else [partial(channel.hashing, mixed, interpret=p.interpret)]
    polynomials, digests = commitments.polynomials(p, t, groups, hashing)
    made = commitments.make(p, t, polynomials, digests[0] if digests else None)
    return made._replace(tree=(made.tree, elements, claims), before=claims)


def _interaction(
    p: Program,
    rows: Sequence[Array],
    fixed: dict[str, Array],
    public: dict[str, Array],
    elements: Array,
) -> tuple[tuple[Array, ...], Array]:
    """The LogUp columns of components in order, and the claimed sums."""
    with_lookups = [i for i, info in enumerate(p.air.info.components) if info.n_entries]

    def lookups(index: int) -> Steps[tuple[list[Array], Array]]:
        read = tuple(fixed[name] for name in p.air.components[index].preprocessed_names)
        arguments = (p.air, index, rows[index], read, public, elements)
        return constraints.lookups(*arguments, interpret=p.interpret)

    made = side_by_side([lookups(index) for index in with_lookups], interpret=p.interpret)
    columns = tuple(piece for pieces, _ in made for piece in pieces)
    return columns, jnp.stack([claimed for _, claimed in made])


def _relation_elements(p: Program, pairs: Array) -> Array:
    """Per relation ``[z, 1, alpha, ..]``, uint32 ``[n, 1 + largest arity, 4]``.

    No one reads rows past the arity of a relation.
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
    """The last tree: the split quotient of all constraints combined by ``coefficient`` ``[4]``.

    ``elements``, ``claims``: of ``commit_interaction``; not read of an AIR without lookups.
    """
    if not p.keep_evaluations:
        # Not before the challenge: the tree before needs the room.
        trees, coefficient = lax.optimization_barrier((trees, coefficient))
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
    shares, parts = _shares(p, claims), []
    start = claim = 0
    for one in components:
        info = p.air.info.components[one.index]
        parts.append(constraints.Part(one, start, min(claim, len(shares) - 1)))
        start += len(info.constraints)
        claim += info.n_entries > 0
    by_size = constraints.quotients(
        p.air, parts, powers, shares, public, elements, interpret=p.interpret
    )
    halves = commitments.interpolate_halves(p, t, composition.lift_and_add(by_size))
    groups = commit.by_size([halves], p.shape.all_columns[-1], p.groups[-1])
    return commitments.make(p, t, groups, digest)


def _on_quotient_domain(p: Program, t: Tables, tree: Committed) -> dict[int, tuple[Array, ...]]:
    """The arrays of every size group, by its log size."""
    extended = tree.evaluations
    if p.params.log_blowup > 1 or not extended:
        extended = commitments.extend(p, t, tree.coefficients, 1)
    out: dict[int, tuple[Array, ...]] = {}
    for coefficients, array in zip(tree.coefficients, extended, strict=True):
        k = log_size(coefficients)
        out[k] = (*out.get(k, ()), array)
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
        drawn, p.log_size, tuple(together), interpret=p.interpret
    )

    def values_of(seen: tuple[int, int]) -> Steps[Array]:
        arrays, rows = zip(*together[seen], strict=True)
        return oods_kernels.column_values(arrays, bases, seen, rows=rows, interpret=p.interpret)

    values = side_by_side([values_of(seen) for seen in together], interpret=p.interpret)
    opened = [(*column, seen[0]) for seen in together for column in columns[seen]]
    places = {column: place for place, column in enumerate(opened)}
    # A column of two samples shows the row before first.
    order = [
        places[index, column, 1 - i if len(mask) == 2 else 0]
        for index, masks in enumerate(shape.all_offsets)
        for column, mask in enumerate(masks)
        for i in range(len(mask))
    ]
    return jnp.concatenate([value.T for value in values])[np.array(order)], multiples[0]


@stage
def defect(
    p: Program,
    samples: Array,
    multiples: Array,
    coefficient: Array,
    public: dict[str, Array],
    elements: Array,
    claims: Array,
    digest: Array | None = None,
) -> tuple[Array, Step | None]:
    """What the sampled constraints lack to the sampled composition: 0, uint32 ``[4]``.

    With the digest of the channel also the step that absorbs the samples: what
    ``Transcript.mix_and_draw_beside`` asks for.
    """
    vanishing = multiples[-1, 0]  # pi^(L-1) of the point's x
    mixed = None if digest is None else (digest, samples.reshape(-1))
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
