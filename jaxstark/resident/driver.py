"""Run the protocol on a device, fetch its messages in one transfer, and make the proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxstark import transfer
from jaxstark.air.definition import Air
from jaxstark.commit import Committed
from jaxstark.implementation import Clock, provenance
from jaxstark.inputs import bound_channel, explain, read_by_constraints, tables_of
from jaxstark.key import VerifyingKey
from jaxstark.pallas.hashes import DeviceHashes
from jaxstark.params import ProofParams
from jaxstark.proof import Proof, StarkProof
from jaxstark.resident import executables, memory, stages
from jaxstark.resident.kernels import compile_program
from jaxstark.resident.program import Program, abstract_tables, tables
from jaxstark.resident.protocol import (
    Inputs,
    Messages,
    abstract_inputs,
    abstract_transcript,
    on_device,
    pack,
    protocol,
    unpack,
)
from jaxstark.resident.record import fault_of, felts, stark_proof
from jaxstark.setup import preprocessed
from jaxstark.shape import ProofShape
from jaxstark.trace import Trace
from jaxstark.transcript import HostHashes, Transcript

_pack = jax.jit(pack)


class Compiled(NamedTuple):
    """The protocol as one program, transcript on the device.

    Attributes:
      run: tables, inputs and transcript to the packed messages.
      like: the shapes of the messages.
    """

    run: Callable[..., Any]
    like: Messages


def prove(
    trace: Trace,
    shape: ProofShape,
    key: VerifyingKey,
    where: str,
    clock: Clock,
    check: bool,
    compiled: Compiled | None = None,
) -> Proof:
    """A proof of a trace whose sizes and parameters have been checked.

    Args:
      trace: the trace.
      shape: its shape.
      key: its verifying key.
      where: who runs the transcript, ``"host"`` or ``"device"``.
      clock: hears of every stage; of one, "proof", with the transcript on the device.
      check: False for compiling: a blank trace need not hold.
      compiled: the program to run with the transcript on the device, see ``load``.

    Raises ``ProvingError`` if the trace breaks a constraint, ``ValueError`` if the first proof of a
    shape needs more memory than is free, and ``MemoryError`` if memory runs out nevertheless.
    """
    program = Program(trace.air.structure, shape, key.params)
    with memory.explained(program):
        inputs = inputs_of(trace, key)
        start = transcript_of(trace, key, where)
        messages = _run(program, inputs, start, where, clock, compiled)
    proof = finish(trace, shape, key, messages, where, check)
    clock.done("assemble")
    return proof


def commit_fixed(
    air: Air, log_sizes: Sequence[int], groups: Sequence[Any], log_blowup: int
) -> Committed:
    """Tree 0 over size groups of preprocessed columns in row order."""
    program = Program(air.structure, air.shape(log_sizes), ProofParams(0, log_blowup, 1))
    return stages.commit_fixed(program, tables(program), groups)


def inputs_of(trace: Trace, key: VerifyingKey) -> Inputs:
    """The arrays of a trace and of its tree 0, on the device."""
    return inputs_of_all([trace], key)[0]


def inputs_of_all(traces: Sequence[Trace], key: VerifyingKey) -> list[Inputs]:
    """``inputs_of`` for traces of one AIR, sent together."""
    air, params = traces[0].air, key.params
    fixed = preprocessed(air, key.log_sizes, params.log_blowup, "mosaic_gpu")
    return [
        Inputs(rows, fixed.committed, fixed.columns, read_by_constraints(trace))
        for trace, rows in zip(traces, tables_of(traces), strict=True)
    ]


def transcript_of(trace: Trace, key: VerifyingKey, where: str) -> Transcript:
    """The transcript after the statement and the root of tree 0."""
    hashes = HostHashes() if where == "host" else DeviceHashes()
    return Transcript.of(bound_channel(trace, key), hashes)


def finish(
    trace: Trace, shape: ProofShape, key: VerifyingKey, m: Messages, where: str, check: bool
) -> Proof:
    """The proof of some messages, NumPy arrays, once the prover's own checks pass."""
    fault = None
    if check:
        fault = fault_of(trace.air, key.params, trace.public_values, m)
    if fault is not None:
        raise explain(trace, fault)
    return Proof(
        key.profile,
        key.air,
        key.log_sizes,
        felts(m.claims.T),
        StarkProof.deferred(partial(stark_proof, shape, key.params, key.preprocessed_root, m)),
        provenance(where, stages_of(Program(trace.air.structure, shape, key.params))),
    )


def _run(
    program: Program,
    inputs: Inputs,
    start: Transcript,
    where: str,
    clock: Clock,
    compiled: Compiled | None,
) -> Messages:
    fixed = tables(program)
    memory.check(program)
    if where == "host":
        messages = protocol(program, fixed, inputs, start, clock.done)
        return unpack(messages, np.asarray(_pack(messages)))
    if compiled is None:
        compiled = _compiled(program, jax.config.jax_default_device)
    words = compiled.run(fixed, inputs, start)
    clock.done("proof", words)
    return unpack(compiled.like, transfer.to_host(words))


def load(program: Program, folder: str | os.PathLike[str]) -> Compiled:
    """The program from a folder of compiled proofs, or compiled and stored there."""
    lower = partial(_lower, program)
    return Compiled(*executables.load_or_compile(folder, program.description(), lower))


@lru_cache(maxsize=32)
def _compiled(program: Program, device: Any) -> Compiled:
    """The program, compiled once in a process. A call of it costs less than one through jit."""
    del device
    lowered, like = _lower(program)
    return Compiled(compile_program(lowered), like)


def _lower(program: Program) -> tuple[Any, Messages]:
    run = jax.jit(partial(on_device, program), out_shardings=transfer.result_on_host())
    lowered = run.lower(*_abstract(program))
    return lowered, messages_like(program)


def _abstract(program: Program) -> tuple[Any, ...]:
    return abstract_tables(program), abstract_inputs(program), abstract_transcript(program)


@lru_cache(maxsize=32)
def messages_like(program: Program) -> Messages:
    """The shapes of the messages of a program."""
    return jax.eval_shape(partial(protocol, program), *_abstract(program))


@lru_cache(maxsize=32)
def stages_of(program: Program) -> dict[str, str]:
    """What each stage runs: kernels, and XLA for what is too small for them."""
    return program.stages()
