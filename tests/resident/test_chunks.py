"""Evaluations that are not kept: the same proofs, a few columns at a time in every stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jax.extend import core  # noqa: E402

from jaxstark.air import Air, Relation, component  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.plan import plan  # noqa: E402
from jaxstark.resident import driver, stages  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.resident.protocol import on_device  # noqa: E402
from jaxstark.shape import CHUNK_COLUMNS  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.resident.test_program import program  # noqa: E402
from tests.resident.test_protocol import PARAMS, check, readers, shipped  # noqa: E402

# Proofs.

PAIR = Relation("pair", 2)
NARROW, WIDE = 19, 14  # columns: a block of a hash and 3 words, then parts of 5, 8 and 1 columns


@component([f"c{i}" for i in range(WIDE)], name="wide")
def _wide(row, air):
    columns = [getattr(row, f"c{i}") for i in range(WIDE)]
    air.lookup(PAIR, columns[:2])
    for i in range(2, WIDE):
        air.constrain(columns[i] - columns[i - 1] * columns[i - 2], f"product {i}")


@component([*(f"c{i}" for i in range(NARROW - 1)), "count"], name="narrow")
def _narrow(row, air):
    columns = [getattr(row, f"c{i}") for i in range(NARROW - 1)]
    air.provide(PAIR, columns[:2], row.count)
    for i in range(2, NARROW - 1):
        air.constrain(columns[i] - columns[i - 1] - columns[i - 2], f"sum {i}")


def mixed() -> Trace:
    """Components of 2^8 and 2^7 rows; the columns of the smaller one end within a block."""
    rng = np.random.default_rng(3)
    small = [*rng.integers(0, m31.P, (2, 128), np.uint32)]
    chosen = rng.integers(0, 128, 256)
    large = [column[chosen] for column in small]
    while len(large) < WIDE:
        large.append(m31.mul(large[-1], large[-2]))
    while len(small) < NARROW - 1:
        small.append(m31.add(small[-1], small[-2]))
    count = np.bincount(chosen, minlength=128).astype(np.uint32)
    columns = {
        "wide": {f"c{i}": column for i, column in enumerate(large)},
        "narrow": {f"c{i}": column for i, column in enumerate(small)} | {"count": count},
    }
    return Trace(Air("mixed", (_wide, _narrow), (PAIR,)), columns)


def test_t31_proofs_of_several_chunks_and_sizes_are_those_of_xla():
    trace = mixed()
    p = Program(trace.air.structure, trace.air.shape(trace.log_sizes), PARAMS)
    counts = [(k, len(members)) for k, members in replace(p, keep_evaluations=False).groups[1]]
    assert counts == [(7, 16), (7, 3), (8, 5), (8, 8), (8, 1)]
    assert [(k, len(members)) for k, members in p.groups[1]] == [(7, 19), (8, 14)]
    check(trace, PARAMS, "host", keep_evaluations=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "params", "where"),
    [
        (mixed, replace(PARAMS, log_blowup=2), "device"),
        (readers, PARAMS, "device"),
        (lambda: shipped("legacy26", 7), PARAMS, "device"),
        (lambda: shipped("legacy26", 7), replace(PARAMS, log_blowup=2, pow_bits=2), "host"),
        (lambda: shipped("legacy26", 7), replace(PARAMS, log_blowup=4, fold_step=2), "host"),
        (lambda: shipped("legacy26", 5), PARAMS, "host"),  # transforms under XLA
        (lambda: shipped("range_sum", 7), PARAMS, "host"),  # tree 0, which is kept
        (lambda: shipped("plonk", 7), PARAMS, "device"),
    ],
)
def test_t31_proofs_without_kept_evaluations_are_those_of_xla(make, params, where):
    check(make(), params, where, keep_evaluations=False)


# Arrays that are there at once.


class Operation(NamedTuple):
    """One that is no call of a function: its name, what it reads, what it makes."""

    name: str
    reads: tuple[Any, ...]
    makes: tuple[Any, ...]


class Word:
    """An array of a program."""

    def __init__(self, aval: Any) -> None:
        self.bytes = 4 * math.prod(aval.shape)


VIEWS = ("reshape", "squeeze", "expand_dims", "optimization_barrier")
CALLS = ("jit", "pjit", "closed_call")


def whole(p: Program) -> Any:
    """A proof as one program."""
    return jax.make_jaxpr(on_device, static_argnums=0)(p, *driver.abstract(p)).jaxpr


def commitment(p: Program) -> Any:
    """Its first stage."""
    tables, inputs, digest = driver.abstract(p)
    commit = jax.make_jaxpr(stages.commit_trace, static_argnums=0)
    return commit(p, tables, inputs.rows, digest).jaxpr


def operations(traced: Any) -> tuple[list[Operation], list[Any], list[Any]]:
    """Those of a program, functions in their places; its arguments and results."""
    found: list[Operation] = []

    def walk(jaxpr: Any, known: dict[Any, Any]) -> list[Any]:
        known |= dict.fromkeys(jaxpr.constvars)

        def of(variables: Sequence[Any]) -> list[Any]:
            return [None if isinstance(v, core.Literal) else known[v] for v in variables]

        for eqn in jaxpr.eqns:
            if eqn.primitive.name in CALLS:
                inner = eqn.params["jaxpr"].jaxpr
                made = walk(inner, dict(zip(inner.invars, of(eqn.invars), strict=True)))
            else:
                made = [Word(v.aval) for v in eqn.outvars]
                reads = tuple(a for a in of(eqn.invars) if a is not None)
                found.append(Operation(eqn.primitive.name, reads, tuple(made)))
            known |= zip(eqn.outvars, made, strict=True)
        return of(jaxpr.outvars)

    arguments = [Word(v.aval) for v in traced.invars]
    results = walk(traced, dict(zip(traced.invars, arguments, strict=True)))
    return found, arguments, results


def as_written(found: list[Operation]) -> list[Operation]:
    return found


def as_soon_as_possible(found: list[Operation]) -> list[Operation]:
    """The order of a compiler that starts everything early: what needs nothing comes first."""
    depth: dict[Any, int] = {}
    for one in found:
        depth |= dict.fromkeys(one.makes, 1 + max((depth.get(a, 0) for a in one.reads), default=0))
    return sorted((one for one in found if one.makes), key=lambda one: depth[one.makes[0]])


def peak(traced: Any, order: Callable[[list[Operation]], list[Operation]]) -> int:
    """Most bytes at once beside the arguments, each array from when it is made to its last use."""
    found, arguments, results = operations(traced)
    found = order(found)
    base: dict[Any, Any] = {}  # of views
    for one in found:
        if one.name in VIEWS:
            base |= {new: base.get(old, old) for new, old in zip(one.makes, one.reads)}  # noqa: B905
    ends = {base.get(a, a): i for i, one in enumerate(found) for a in one.reads}
    ends |= dict.fromkeys((base.get(a, a) for a in results), len(found))
    ends = {array: end for array, end in ends.items() if array not in arguments}
    freed: dict[int, int] = {}
    now = most = 0
    for i, one in enumerate(found):
        for array in one.makes:
            if array in ends and array not in base:
                now += array.bytes
                freed[ends[array]] = freed.get(ends[array], 0) + array.bytes
        most = max(most, now)
        now -= freed.pop(i, 0)
    return most


@pytest.mark.parametrize("order", [as_written, as_soon_as_possible])
@pytest.mark.parametrize(
    ("name", "log_blowup", "share"),
    [("legacy26", 4, 0.75), ("legacy26", 1, 0.8), ("plonk", 3, 1), ("range_sum", 2, 1.15)],
)
def test_chunks_are_there_one_after_the_other_in_any_order_of_a_program(
    name, log_blowup, share, order
):
    """What is there at once is what the plan says, also if a compiler starts all it can early."""
    p = program(name, 18, ProofParams(26, log_blowup, 18, fold_step=3))
    again = replace(p, keep_evaluations=False)
    planned = plan(p.shape, p.params, keep_evaluations=False)
    found = peak(whole(again), order)
    assert found < 1.03 * (planned.peak_bytes - planned.argument_bytes)
    assert found < share * peak(whole(p), order)


@pytest.mark.parametrize("order", [as_written, as_soon_as_possible])
@pytest.mark.parametrize(("name", "log_blowup"), [("legacy26", 4), ("legacy26", 1), ("mixed", 1)])
def test_chunks_of_a_commitment_are_there_one_after_the_other(name, log_blowup, order):
    params = ProofParams(26, log_blowup, 18, fold_step=3)
    if name == "mixed":
        air = mixed().air
        p = Program(air.structure, air.shape((17, 16)), params)
    else:
        p = program(name, 16, params)
    planned = plan(p.shape, params, keep_evaluations=False)
    found = peak(commitment(replace(p, keep_evaluations=False)), order)
    assert found < 1.03 * (planned.stages[0].peak_bytes - planned.argument_bytes)
    assert found < 0.8 * peak(commitment(p), order)


@pytest.mark.parametrize("log_blowup", [3, 5])
def test_no_array_of_a_program_has_more_words_than_a_chunk(log_blowup):
    p = program("legacy26", 12, ProofParams(26, log_blowup, 18, fold_step=3))

    def largest(p: Program) -> int:
        return max(array.bytes for one in operations(whole(p))[0] for array in one.makes)

    chunk = 4 * CHUNK_COLUMNS << p.log_domain
    assert largest(replace(p, keep_evaluations=False)) == chunk < largest(p)
