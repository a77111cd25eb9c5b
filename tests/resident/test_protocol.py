"""The resident prover on a CPU, its kernels interpreted: the proofs of the XLA stages.

Interpreting and compiling for a CPU take about a minute a proof, hence the small AIR by default.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

# The interpreter of kernels imports this at its first launch, which puts one more setting into the
# key of every program under jit: what was traced before would be traced again.
pytest.importorskip("jax.experimental.pallas.fuser")

import jax.numpy as jnp  # noqa: E402

import jaxstark  # noqa: E402
from jaxstark.air import Air, Relation, component  # noqa: E402
from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.errors import ProvingError  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.inputs import read_by_constraints  # noqa: E402
from jaxstark.inputs import tables as device_tables  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.resident import ahead, batch, driver  # noqa: E402
from jaxstark.resident.kernels import compile_programs  # noqa: E402
from jaxstark.resident.program import Program, tables  # noqa: E402
from jaxstark.resident.protocol import Inputs, on_device, unpacker  # noqa: E402
from jaxstark.setup import preprocessed  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402

PARAMS = ProofParams(pow_bits=0, log_blowup=1, n_queries=4, fold_step=3, log_last_layer=1)


@component("a b c", name="squares")
def _squares(row, air):
    air.constrain(row.b - row.a * row.a, "square")
    air.constrain(row.c - row.a - row.b, "sum")


def squares(rows: int = 128) -> Trace:
    a = np.random.default_rng(0).integers(0, m31.P, rows, np.uint32)
    b = m31.mul(a, a)
    columns = {"a": a, "b": b, "c": m31.add(a, b)}
    return Trace(Air("squares", (_squares,)), {"squares": columns})


RELATIONS = tuple(Relation(f"of {arity}", arity) for arity in (1, 3, 2))


@component("a b c", name="readers")
def _readers(row, air):
    air.constrain(row.c - row.a - row.prev.b, "row before")
    for relation in RELATIONS:
        air.lookup(relation, [row.a, row.b, row.a][: relation.arity])


@component("a b count", name="table")
def _table(row, air):
    for relation in RELATIONS:
        air.provide(relation, [row.a, row.b, row.a][: relation.arity], row.count)


def readers(seed: int = 1) -> Trace:
    """Three relations; components of 2^8 and 2^7 rows with columns one row back."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, m31.P, (2, 128), np.uint32)
    chosen = rng.integers(0, 128, 256)
    a, b = table[:, chosen]
    columns = {
        "readers": {"a": a, "b": b, "c": m31.add(a, np.roll(b, 1))},
        "table": dict(zip("ab", table, strict=True))
        | {"count": np.bincount(chosen, minlength=128).astype(np.uint32)},
    }
    return Trace(Air("readers", (_readers, _table), RELATIONS), columns)


def shipped(name: str, log_size: int) -> Trace:
    air, _, columns, public = SHIPPED[name].example(log_size, 1)
    return Trace(air, columns, public)


def compiled(p: Program) -> driver.Compiled:
    """With the transcript on the host."""
    return driver._compiled(p, "host", None)


def prove(
    trace: Trace, params: ProofParams, where: str, keep_evaluations: bool = True
) -> jaxstark.Proof:
    """As ``driver.prove``, with interpreted kernels."""
    key = trace.air.setup(trace.log_sizes, params)
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    form = {"interpret": True, "keep_evaluations": keep_evaluations}
    p = Program(trace.air.structure, shape, params, **form)
    fixed = preprocessed(trace.air, key.log_sizes, params.log_blowup)
    public = read_by_constraints(trace)
    inputs = Inputs(device_tables(trace), fixed.committed, fixed.columns, public)
    start = driver.transcript_of(trace, key)
    if where == "host":
        messages = ahead.messages_of(p, tables(p), inputs, start, *compiled(p), lambda *_: None)()
    else:
        words = np.asarray(on_device(p, tables(p), inputs, start.digest))
        messages = unpacker(driver.messages_like(p))(words)
    return driver.finisher(trace, p, key, where, check=True)(messages)


def check(trace: Trace, params: ProofParams, where: str, keep_evaluations: bool = True) -> None:
    want = jaxstark.prove(trace, params=params, insecure=True, implementation="xla")
    got = prove(trace, params, where, keep_evaluations)
    assert got == want
    assert got.to_bytes() == want.to_bytes()
    assert got.provenance is not None and got.provenance.transcript == where


def test_t31_proofs_are_those_of_xla():
    check(squares(), PARAMS, "host")


def test_another_difficulty_compiles_no_stage_anew(compilations):
    """The same programs as above; the search alone depends on its bits.

    At first the messages are others, too: the host knows the nonce of no search.
    """
    prove(squares(), PARAMS, "host")
    for bits, more in ((1, 2), (2, 1), (1, 0)):
        harder = replace(PARAMS, pow_bits=bits)
        jaxstark.prove(squares(), params=harder, insecure=True, implementation="xla")
        compilations.clear()
        check(squares(), harder, "host")
        assert len([e for e in compilations if "jaxpr_to_mlir" in e]) == more


@pytest.mark.parametrize("trace_of", [squares, pytest.param(readers, marks=pytest.mark.slow)])
def test_the_host_drops_coefficients_once_they_are_evaluated_out_of_domain(trace_of):
    """The same programs as above. Of every tree the proof made; it would keep their memory."""
    trace = trace_of()
    key = trace.air.setup(trace.log_sizes, PARAMS)
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    p = Program(trace.air.structure, shape, PARAMS, interpret=True)
    fixed = preprocessed(trace.air, key.log_sizes, PARAMS.log_blowup)
    inputs = Inputs(device_tables(trace), fixed.committed, fixed.columns, {})
    seen: list[Any] = []
    left: list[str] = []

    def done(stage: str, made: Any) -> None:
        if stage.startswith("commit"):
            seen.extend((stage, weakref.ref(array)) for array in made.coefficients)
        if stage == "evaluate out of domain":
            left.extend(tree for tree, array in seen if array() is not None)

    start = driver.transcript_of(trace, key)
    ahead.messages_of(p, tables(p), inputs, start, *compiled(p), done)
    assert len({stage for stage, _ in seen}) == 2 + trace.air.has_lookups and not left


def test_a_broken_trace_is_found():
    """The same programs as above: the check at the point fails, and the debugger names the row."""
    trace = squares()
    columns = {n: np.array(c) for n, c in trace.columns["squares"].items()}
    columns["b"][77] ^= 1
    broken = Trace(trace.air, {"squares": columns})
    with pytest.raises(ProvingError, match="component squares, row 77, square: expected 0, got"):
        prove(broken, PARAMS, "host")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params", "where"),
    [
        ("range_sum", replace(PARAMS, pow_bits=2), "host"),  # tree 0; two sizes, one below 2^7
        ("state_machine", replace(PARAMS, pow_bits=2), "device"),
        ("plonk", replace(PARAMS, log_blowup=2, fold_step=1), "host"),
    ],
)
def test_t31_proofs_of_every_form_are_those_of_xla(name, params, where):
    check(shipped(name, 7), params, where)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["host", "device"])
def test_t31_relations_are_drawn_after_each_other(where):
    """And bases of two sizes, at the point and one row back, come from one launch."""
    check(readers(), PARAMS, where)


@pytest.mark.slow
@pytest.mark.parametrize("keep_evaluations", [True, False])
def test_t31_a_batch_with_lookups_gives_the_proofs_of_xla(keep_evaluations):
    """Relation elements and masks one row back differ from proof to proof of one program."""
    traces = [readers(1), readers(2)]
    key = traces[0].air.setup(traces[0].log_sizes, PARAMS)
    form = {"interpret": True, "keep_evaluations": keep_evaluations}
    p = Program(traces[0].air.structure, traces[0].air.shape(key.log_sizes), PARAMS, **form)
    each = driver.inputs_of_all(traces, key)
    rows = [jnp.stack(some) for some in zip(*(inputs.rows for inputs in each), strict=True)]
    digests = np.stack([driver.transcript_of(trace, key).digest for trace in traces])
    inputs = each[0]._replace(rows=rows)
    table = np.asarray(jax.jit(partial(batch._together, p))(tables(p), inputs, digests))
    unpack = unpacker(driver.messages_like(p))
    for trace, words in zip(traces, table, strict=True):
        got = driver.finisher(trace, p, key, "device", check=True)(unpack(words))
        want = jaxstark.prove(trace, params=PARAMS, insecure=True, implementation="xla")
        assert got.to_bytes() == want.to_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("trace_of", [squares, readers])
def test_t31_a_trace_may_be_committed_to_by_a_program_of_its_own(trace_of, monkeypatch):
    """Before the host hashes the statement, which the second program asks for."""
    trace, order = trace_of(), []
    key = trace.air.setup(trace.log_sizes, PARAMS)
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    p = Program(trace.air.structure, shape, PARAMS, interpret=True)
    monkeypatch.setattr(driver, "begins_apart", lambda shape: True)
    begin, last = compile_programs(driver.lower(p))
    compiled = driver.Compiled(
        [lambda *x: order.append("begin") or begin(*x), last], unpacker(driver.messages_like(p))
    )

    def digest():
        order.append("digest")
        return driver.transcript_of(trace, key).digest

    inputs = driver.inputs_of(trace, key)
    messages = compiled.unpack(np.asarray(compiled.run(tables(p), inputs, digest)))
    got = driver.finisher(trace, p, key, "device", check=True)(messages)
    assert order == ["begin", "digest"]
    assert got == jaxstark.prove(trace, params=PARAMS, insecure=True, implementation="xla")


@pytest.mark.slow
def test_t31_the_transcript_on_the_device_gives_the_same_proof():
    check(squares(), replace(PARAMS, pow_bits=3), "device")
