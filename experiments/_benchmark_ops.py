"""The kernels that ``bench_op.py`` measures: inputs, what they must move and hash, the reference.

To add one, write a function of a ``Size`` that returns a ``Prepared``, and enter it into ``OPS``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import _benchmark_ops_hash as hashing
import jax.numpy as jnp
import numpy as np
from _benchmark_op import (
    DIGEST,
    FOLD_STEP,
    LOG_BLOWUP,
    PACK_LOG,
    SECURE,
    WORD,
    Prepared,
    Size,
    words,
)

from jaxstark import circle, composition, deep, fft, fri, merkle, oods
from jaxstark.air.legacy26 import legacy26
from jaxstark.air.plonk import fibonacci_plonk
from jaxstark.fields.qm31 import QM31
from jaxstark.interaction import interaction_columns
from jaxstark.logup import elements_shape
from jaxstark.pallas.constraints import api as constraints
from jaxstark.pallas.deep import api as deep_kernels
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.pallas.fft.config import FftConfig
from jaxstark.pallas.fft.storage import STORAGE_MIN_LOG
from jaxstark.pallas.fri import api as fri_kernels
from jaxstark.pallas.oods import api as oods_kernels

COMPOSITION_COLUMNS = 8


def _interpolate(size: Size) -> Prepared:
    k, c = size.log_size, size.columns
    passes = (2 * c * (WORD << k),) * (1 + len(FftConfig().strided(k)))
    return Prepared(
        partial(fft_kernels.interpolate, interpret=size.interpret),
        (words(c, 1 << k), np.asarray(fft.inverse_twiddles(k))),
        fft.interpolate_with,
        sum(passes),
        passes=passes,
    )


def _extend(size: Size) -> Prepared:
    k, c = size.log_size, size.columns
    e, above = k + LOG_BLOWUP, len(FftConfig().strided(k))
    # The first pass reads the columns and writes the larger domain, where the others work.
    passes = (c * WORD * ((1 << k) + (1 << e)), *(2 * c * (WORD << e),) * above)
    return Prepared(
        lambda columns, table: fft_kernels.evaluate(columns, e, table, interpret=size.interpret),
        (words(c, 1 << k), np.asarray(fft.forward_twiddles(e))),
        lambda columns, table: fft.evaluate(columns, e, table),
        sum(passes),
        passes=passes,
    )


def _to_storage(size: Size) -> Prepared:
    k, c = size.log_size, size.columns
    return Prepared(
        partial(fft_kernels.to_storage, interpret=size.interpret),
        (words(c, 1 << k),),
        lambda rows: jnp.take(rows, circle.slot_to_row(k), axis=1, mode="clip"),
        2 * c * (WORD << k),
    )


def _interpolate_rows(size: Size) -> Prepared:
    k, c = size.log_size, size.columns
    config = FftConfig()
    layers = config.of_rows(k)
    # Otherwise one pass puts rows into order, and one does the layers of a tile.
    count = 1 + len(config.strided(k, layers)) if layers else 2 + len(config.strided(k))
    passes = (2 * c * (WORD << k),) * count
    order = circle.slot_to_row(k)
    return Prepared(
        partial(fft_kernels.interpolate_rows, interpret=size.interpret),
        (words(c, 1 << k), np.asarray(fft.inverse_twiddles(k))),
        lambda rows, table: fft.interpolate_with(jnp.take(rows, order, axis=1, mode="clip"), table),
        sum(passes),
        passes=passes,
    )


def _fold_inputs(size: Size) -> tuple[np.ndarray, ...]:
    n = 1 << size.log_size
    return words(4, n), words(n, seed=1), words(4, seed=2)


def _fold_reference(values: Any, table: Any, alpha: Any) -> Any:
    challenge = QM31(*(int(word) for word in np.asarray(alpha)))
    return fri.fold(values, table, fri.multipliers(challenge, FOLD_STEP))


def _fold(size: Size) -> Prepared:
    n = 1 << size.log_size
    return Prepared(
        lambda *layer: fri_kernels.fold(*layer, FOLD_STEP, interpret=size.interpret),
        _fold_inputs(size),
        _fold_reference,
        SECURE * (n + (n >> FOLD_STEP)) + WORD * n,
    )


def _fold_and_hash(size: Size) -> Prepared:
    n = 1 << size.log_size
    folded, leaves = n >> FOLD_STEP, n >> (FOLD_STEP + PACK_LOG)

    def reference(*layer: Any) -> tuple[Any, Any]:
        values = np.asarray(_fold_reference(*layer))
        return values, merkle.commit_values(values, PACK_LOG).levels[-1]

    return Prepared(
        lambda *layer: fri_kernels.fold_and_hash(
            *layer, FOLD_STEP, PACK_LOG, interpret=size.interpret
        ),
        _fold_inputs(size),
        reference,
        SECURE * (n + folded) + WORD * n + DIGEST * leaves,
        leaves,
    )


def _out_of_domain(size: Size) -> Prepared:
    k, c = size.log_size, size.columns
    drawn, seen = QM31(1, 2, 3, 4), (0, k)
    factors = oods.point_factors((circle.secure_point(drawn),), k)

    def run(columns: Any, drawn: Any, factors: Any) -> Any:
        del factors
        _, bases = oods_kernels.drawn_bases(drawn, k, (seen,), interpret=size.interpret)
        return oods_kernels.evaluate_columns([columns], bases, seen, interpret=size.interpret)

    def reference(columns: Any, drawn: Any, factors: Any) -> Any:
        del drawn
        return oods.evaluate_at_factors(columns, factors)[0]

    inputs = words(c, 1 << k), np.array(drawn, np.uint32), factors
    return Prepared(run, inputs, reference, c * (WORD << k))


def _quotients(size: Size) -> Prepared:
    k, c = size.log_size, size.columns + COMPOSITION_COLUMNS
    trees = ((), (k,) * size.columns, (k,) * COMPOSITION_COLUMNS)
    masks = tuple(tuple((0,) for _ in tree) for tree in trees)
    plan = deep.make_plan(trees, masks, k, LOG_BLOWUP)
    n = 1 << plan.log_domain
    terms, points = sum(len(t) for sizes in plan.terms for _, t in sizes), len(plan.points)
    data = deep.Coefficients(
        words(terms, 4), words(points, 4), words(points, 4, seed=1), words(points, 3, 2)
    )
    evaluations = tuple(tuple(words(*group) for group in tree) for tree in plan.group_shapes)
    domain = tuple(np.asarray(x) for x in deep.domain(plan.log_domain))
    return Prepared(
        lambda *arrays: deep_kernels.quotients_from(plan, *arrays, interpret=size.interpret),
        (evaluations, data, *domain),
        partial(deep.quotients_from, plan),
        (c + 2) * WORD * n + SECURE * n,
    )


def _constraints(size: Size) -> Prepared:
    k, air = size.log_size, legacy26()
    where = composition.locate(air, air.shape((k,)))[0]
    columns, n = len(air.components[0].columns), 2 << k
    powers = words(len(air.info.components[0].constraints), 4)
    back = np.asarray(circle.shifted_slots(k, k + 1, -1))

    def call(form: Callable[..., Any], trace: Any, back: Any, powers: Any, share: Any) -> Any:
        return form(air, 0, where, (None, trace, None), back, powers, share, {}, ())

    return Prepared(
        partial(call, partial(constraints.component_quotient, interpret=size.interpret)),
        (words(columns, n), back, powers, words(4)),
        partial(call, composition.component_quotient),
        columns * WORD * n + SECURE * n,
    )


def _interaction(size: Size) -> Prepared:
    air = fibonacci_plonk(size.log_size)
    comp, info, n = air.components[0], air.info.components[0], 1 << size.log_size
    elements = words(*elements_shape(air), seed=3)
    elements[:, 1] = (1, 0, 0, 0)  # the first power of alpha
    columns, fixed = len(comp.columns), len(comp.preprocessed_names)
    count = columns + fixed + 4 * info.n_batches

    def reference(*arrays: Any) -> Any:
        table, claimed = interaction_columns(air, 0, *arrays)
        pieces = (table[:-4], table[-4:])
        return [piece for piece in pieces if len(piece)], claimed

    return Prepared(
        lambda *arrays: constraints.interaction(air, 0, *arrays, interpret=size.interpret),
        (words(columns, n), words(fixed, n, seed=1), {}, elements),
        reference,
        count * WORD * n,
    )


OPS: dict[str, Callable[[Size], Prepared]] = {
    "to_storage": _to_storage,
    "interpolate": _interpolate,
    "interpolate_rows": _interpolate_rows,
    "extend": _extend,
    "leaves": hashing.leaves,
    "levels": hashing.levels,
    "commit": hashing.commit,
    "interaction": _interaction,
    "constraints": _constraints,
    "out_of_domain": _out_of_domain,
    "quotients": _quotients,
    "fold": _fold,
    "fold_and_hash": _fold_and_hash,
    "commit_layer": hashing.commit_layer,
    "grind": hashing.grind,
    "channel": hashing.channel,
}
# log2 of the least rows that the kernels take, where 2^8 are too few.
LEAST = {"to_storage": STORAGE_MIN_LOG, "fold_and_hash": 7 + PACK_LOG + FOLD_STEP}
LEAST |= {"commit_layer": 8 + PACK_LOG, "interpolate_rows": STORAGE_MIN_LOG}
# What was set out for one H200: ("bytes" or "hashes", per second), bytes in every pass.
TARGETS = {
    "interpolate": ("bytes", 3e12),
    "interpolate_rows": ("bytes", 3e12),
    "extend": ("bytes", 3e12),
    "leaves": ("hashes", 15e9),
    "grind": ("hashes", 2**26 / 5e-3),
}
