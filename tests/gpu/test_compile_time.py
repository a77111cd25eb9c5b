"""No kernel takes more than 5 s to compile, at the sizes of large proofs."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

from jaxstark import commit, composition, deep  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.logup import elements_shape  # noqa: E402
from jaxstark.pallas import together  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.channel import api as channel  # noqa: E402
from jaxstark.pallas.constraints import api as constraints  # noqa: E402
from jaxstark.pallas.constraints.moved import Component  # noqa: E402
from jaxstark.pallas.deep import api as deep_kernels  # noqa: E402
from jaxstark.pallas.fft import api as fft  # noqa: E402
from jaxstark.pallas.fri import api as fri  # noqa: E402
from jaxstark.pallas.grind import api as grind  # noqa: E402
from jaxstark.pallas.oods import api as oods  # noqa: E402
from jaxstark.pallas.together import side_by_side  # noqa: E402
from jaxstark.resident import commitments  # noqa: E402
from jaxstark.resident.program import Program, abstract_tables  # noqa: E402
from jaxstark.shape import INTERACTION  # noqa: E402
from tests.resident.test_program import PARAMS, VM, VM_SIZES  # noqa: E402

pytestmark = pytest.mark.gpu
MAX_SECONDS = 5.0
L, C = 20, 26
NAMES = [c.name for c in VM.components]
PLAN = deep.make_plan(
    ((), (L,) * C, (L,) * 8), ((), ((0,),) * C, ((0,),) * 8), log_size=L, log_blowup=1
)


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def scalars(air):
    public = {name: shape(length or 2) for name, length in air.public_values}
    return public, shape(*elements_shape(air)) if air.relations else ()


def quotient(air, index, sizes):
    k, info = sizes[index], air.info.components[index]
    of = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    counts = [sum(other == k for other in columns) for columns in of.columns] + [0]
    groups = tuple(shape(n, 2 << k) if n else None for n in counts[:3])
    where = composition.locate(air, of)[index]
    back = jax.ShapeDtypeStruct((2 << k,), np.int32)
    rest = (groups, back, shape(len(info.constraints), 4), shape(4), *scalars(air))
    return partial(constraints.component_quotient, air, index, where), rest


run_launch = together.run_together


def launch_of(make, number, count):
    """One of the launches of a computation, which has so many."""
    seen = []

    def record(kernels, *, interpret):
        del interpret
        seen.append(kernels)
        return [[jnp.zeros(out.shape, out.dtype) for out in kernel.out] for kernel in kernels]

    original, together.run_together = together.run_together, record
    try:
        make()
    finally:
        together.run_together = original
    assert len(seen) == count
    return run_launch(seen[number], interpret=False)


def quotients(air, sizes, *which):
    """Of all components; one of the launches."""
    of = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    where, arrays, first = composition.locate(air, of), [], [0]
    for index in range(len(sizes)):
        _, (groups, back, own, *_) = quotient(air, index, sizes)
        arrays.append(([() if g is None else (g,) for g in groups], back))
        first.append(first[-1] + own.shape[0])

    def run(arrays, powers, shares, public, elements):
        each = [
            constraints.Part(Component(index, where[index], *own), first[index])
            for index, own in enumerate(arrays)
        ]
        rest = powers, shares, public, elements
        return launch_of(lambda: constraints.quotients(air, each, *rest), *which)

    return run, (arrays, shape(first[-1], 4), shape(1, 4), *scalars(air))


def interaction(air, index, sizes):
    comp, rows = air.components[index], 1 << sizes[index]
    arrays = shape(len(comp.columns), rows), shape(len(comp.preprocessed), rows)
    return partial(constraints.interaction, air, index), (*arrays, *scalars(air))


def lookups(air, sizes, *which):
    """Of all components; one of the launches."""
    members = [i for i, info in enumerate(air.info.components) if info.n_entries]
    each = [interaction(air, i, sizes)[1][:2] for i in members]

    def run(arrays, public, elements):
        steps = [
            constraints.lookups(air, index, columns, list(fixed), public, elements)
            for index, (columns, fixed) in zip(members, arrays, strict=True)
        ]
        return launch_of(lambda: side_by_side(steps, interpret=False), *which)

    return run, (each, *scalars(air))


def transforms(air, sizes, *which):
    """Of all LogUp columns, and the hash beside them; one of the launches."""
    of = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    p = Program(air.structure, of, PARAMS)
    batches = [info.n_batches for info in air.info.components]
    # As ``lookups`` returns them: the last batch is an array of its own.
    rows = [(4 * n, k) for m, k in zip(batches, sizes, strict=True) for n in (m - 1, 1) if m and n]

    def run(tables, columns, mixed):
        groups = commit.pieces_by_size(columns, of.columns[INTERACTION], p.groups[INTERACTION])
        hashing = [partial(channel.hashing, mixed)]
        return launch_of(lambda: commitments.polynomials(p, tables, groups, hashing), *which)

    mixed = shape(8), shape(4 * sum(n > 0 for n in batches))
    return run, (abstract_tables(p), [shape(n, 1 << k) for n, k in rows], mixed)


def defect(air, sizes):
    of = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    claims = sum(info.n_entries > 0 for info in air.info.components)
    rest = (shape(of.n_samples, 4), shape(4), shape(4), *scalars(air), shape(claims, 4))
    mixed = shape(8), shape(4 * of.n_samples)
    return partial(constraints.defect, air, of), (*rest, mixed)


def deep_quotients():
    n_terms = sum(len(terms) for by_size in PLAN.terms for _, terms in by_size)
    points = shape(len(PLAN.points), 4)
    data = deep.Coefficients(shape(n_terms, 4), points, points, shape(len(PLAN.points), 3, 2))
    evaluations = tuple(tuple(shape(*group) for group in tree) for tree in PLAN.group_shapes)
    rows = shape(2 << L)
    return partial(deep_kernels.quotients_from, PLAN), (evaluations, data, rows, rows)


def evaluation():
    bases = jax.eval_shape(lambda t: oods.drawn_bases(t, L, SEEN)[1], shape(4))
    return lambda x, y, b: oods.evaluate_columns([x, y], b, (0, L)), (WIDE, shape(8, 1 << L), bases)


SEEN = tuple((which, k) for k in (8, 12, 16, L) for which in (0, 1))
WIDE, LAYER = shape(C, 1 << L), shape(4, 2 << L)
KERNELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "to_storage": (fft.to_storage, (WIDE,)),
    "interpolate": (fft.interpolate, (WIDE, shape(1 << L))),
    "interpolate_rows": (fft.interpolate_rows, (WIDE, shape(1 << L))),
    "interpolate_rows of several arrays": (
        lambda x, y, z, t: fft.interpolate_rows([x, y, z], t),
        (WIDE, WIDE, shape(1, 1 << L), shape(1 << L)),
    ),
    "evaluate": (lambda x, t: fft.evaluate(x, L + 1, t), (WIDE, shape(2 << L))),
    "interpolate 2^8": (fft.interpolate, (shape(C, 1 << 8), shape(1 << 8))),
    "leaves": (lambda x: blake2s.leaves([x]), (shape(C, 2 << L),)),
    "leaves of several sizes": (
        lambda x, y: blake2s.leaves([x, y]),
        (shape(20, 1 << 8), shape(33, 2 << L)),
    ),
    "levels": (blake2s.levels, (shape(8, 2 << L),)),
    "levels 2^10": (blake2s.levels, (shape(8, 1 << 10),)),
    "commit 2^10": (lambda x: blake2s.commit([x]), (shape(C, 1 << 10),)),
    "commit 2^10, draws": (
        lambda x, d: blake2s.commit_and_draw([x], d, draws=7),
        (shape(C, 1 << 10), shape(8)),
    ),
    "value_leaves": (lambda x: blake2s.value_leaves(x, 2), (LAYER,)),
    "commit_values 2^13": (lambda x: blake2s.commit_values(x, 2), (shape(4, 1 << 13),)),
    "hash_words": (channel.hash_words, (shape(144),)),
    "mix_and_draw": (channel.mix_and_draw, (shape(8), shape(136))),
    "mix_and_prefix": (lambda d, w: channel.mix_and_prefix(d, w, 26), (shape(8), shape(4))),
    "mix_and_draw_blocks": (
        lambda d, w: channel.mix_and_draw_blocks(d, w, 9),
        (shape(8), shape(2)),
    ),
    "component_quotient legacy26": quotient(legacy26(), 0, (L,)),
    **{f"component_quotient {n}": quotient(VM, i, VM_SIZES) for i, n in enumerate(NAMES)},
    **{
        f"interaction {n}": interaction(VM, i, VM_SIZES)
        for i, n in enumerate(NAMES)
        if VM.info.components[i].n_entries
    },
    **{f"quotients, launch {i + 1} of 4": quotients(VM, VM_SIZES, i, 4) for i in range(4)},
    **{f"lookups, launch {i + 1} of 6": lookups(VM, VM_SIZES, i, 6) for i in range(6)},
    **{f"transforms, launch {i + 1} of 6": transforms(VM, VM_SIZES, i, 6) for i in range(6)},
    "defect legacy26": defect(legacy26(), (L,)),
    "defect obelysk": defect(VM, VM_SIZES),
    "drawn_bases": (lambda t: oods.drawn_bases(t, L, SEEN), (shape(4),)),
    "evaluate out of domain": evaluation(),
    "DEEP coefficients": (
        partial(deep_kernels.coefficients, PLAN),
        (shape(C + 8, 4), shape(2, 4), shape(4)),
    ),
    "DEEP quotients": deep_quotients(),
    **{
        f"fold {step}": (
            partial(lambda step, v, t, a: fri.fold(v, t, a, step), step),
            (LAYER, shape(2 << L), shape(4)),
        )
        for step in (1, 2, 3, 4)
    },
    **{
        f"FRI tail 2^{log}": (
            partial(lambda steps, v, t, d: fri.tail(v, t, d, steps), steps),
            (shape(4, 1 << log), shape(2 << L), shape(8)),
        )
        for log, steps in ((11, (4, 4)), (13, (4, 4, 4)))
    },
    "grind": (grind.grind, (shape(8), shape(2))),
}


@pytest.fixture(scope="module", autouse=True)
def fresh():
    """Nothing comes from a cache; libraries that the first compilation loads are there."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    jax.clear_caches()
    if jax.default_backend() == "gpu":
        jax.jit(fft.to_storage).lower(shape(3, 1 << 11)).compile()
        jax.jit(lambda x: jnp.sort(x + np.uint32(1))).lower(shape(77)).compile()
    yield
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_in_5_seconds(name, record_property):
    run, shapes = KERNELS[name]
    start = time.perf_counter()
    jax.jit(lambda *arguments: run(*arguments)).lower(*shapes).compile()
    seconds = time.perf_counter() - start
    record_property("compile_seconds", round(seconds, 3))
    assert seconds <= MAX_SECONDS
