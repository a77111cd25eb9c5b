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
from jaxstark.air.public_terms import public_entries
from jaxstark.commit import Committed
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.implementation import Clock, provenance
from jaxstark.inputs import bound_channel, explain, read_by_constraints, tables_of
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.proof import Proof, StarkProof
from jaxstark.resident import ahead, executables, memory, ran, stages
from jaxstark.resident.kernels import compile_programs
from jaxstark.resident.program import Program, Tables, abstract_tables, tables
from jaxstark.resident.protocol import (
    Inputs,
    Messages,
    abstract_inputs,
    from_digest,
    on_device,
    unpacker,
)
from jaxstark.resident.record import fault_of, felts, stark_proof
from jaxstark.setup import preprocessed
from jaxstark.shape import ProofShape, begins_apart
from jaxstark.trace import Trace
from jaxstark.transcript import HostHashes, Transcript


class Compiled(NamedTuple):
    """The protocol, compiled for one of the transcripts.

    Attributes:
      programs: with the transcript on the device, the last one makes the packed messages; one
        before it, see ``lower``, tree 1. With that on the host, those of ``ahead.lower``.
      unpack: fetched words to the messages, or to those that the host has not.
    """

    programs: Sequence[Callable[..., Any]]
    unpack: Callable[[np.ndarray], Any]

    def run(self, t: Tables, inputs: Inputs, digest: Callable[[], Any]) -> Any:
        """The packed messages by the device; ``digest`` is not asked for before it is needed."""
        *begin, last = self.programs
        trees = [commit(t, inputs.rows).tree for commit in begin]
        return last(t, inputs, digest(), *trees)


def prove(
    trace: Trace,
    shape: ProofShape,
    key: VerifyingKey,
    where: str,
    clock: Clock,
    check: bool,
    compiled: Compiled | None = None,
    keep_evaluations: bool = True,
) -> Proof:
    """A proof of a trace whose sizes and parameters have been checked.

    Args:
      trace: the trace.
      shape: its shape.
      key: its verifying key.
      where: who runs the transcript, ``"host"`` or ``"device"``.
      clock: hears of every stage, "compile" before them in the first proof of a shape; of one,
        "proof", with the transcript on the device.
      check: False for compiling: a blank trace need not hold.
      compiled: the programs to run, see ``load``.
      keep_evaluations: as of ``Program``.

    Raises ``ProvingError`` if the trace breaks a constraint, ``ValueError`` if the first proof of a
    shape needs more memory than is free, and ``MemoryError`` if memory runs out nevertheless.
    """
    program = Program(trace.air.structure, shape, key.params, keep_evaluations=keep_evaluations)
    with memory.explained(program):
        inputs = inputs_of(trace, key)
        fetch = _start(program, inputs, trace, key, where, clock, compiled)
        finish = finisher(trace, program, key, where, check)
        messages = fetch()
    proof = finish(messages)
    clock.done("assemble")
    return proof


def commit_fixed(
    air: Air,
    log_sizes: Sequence[int],
    groups: Sequence[Any],
    log_blowup: int,
    folder: str | os.PathLike[str] | None = None,
) -> Committed:
    """Tree 0 over size groups of preprocessed columns in row order.

    With a folder its program is taken from there, or compiled and stored.
    """
    program = Program(air.structure, air.shape(log_sizes), ProofParams(0, log_blowup, 1))
    arguments = tables(program), groups
    if folder is None:
        return stages.commit_fixed(program, *arguments)

    def make() -> tuple[Any, None]:
        return [stages.commit_fixed.trace(program, *arguments).lower()], None

    # Sizes, of which tables are made, too; no rule of the AIR.
    shape = program.shape
    what = "tree 0", shape.log_sizes, shape.all_columns, shape.offsets, program.params
    (commit,), _ = executables.load_or_compile(folder, what, make)
    return commit(*arguments)


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


def transcript_of(trace: Trace, key: VerifyingKey) -> Transcript:
    """The transcript after the statement and the root of tree 0.

    A device goes on from its digest, see ``protocol.from_digest``.
    """
    return Transcript.of(bound_channel(trace, key), HostHashes())


def digest_of(trace: Trace, key: VerifyingKey) -> Any:
    """The digest of ``transcript_of``, uint32 ``[8]``.

    Without public values it is the same for all traces of a key, and stays on the device: to send
    32 bytes delays the start of a program by more than hashing them takes.
    """
    digest = transcript_of(trace, key).digest
    if trace.public_values:
        return digest
    return _kept(np.asarray(digest).tobytes(), transfer.default_device())


@lru_cache(maxsize=32)
def _kept(digest: bytes, device: Any) -> Any:
    return jax.device_put(np.frombuffer(digest, np.uint32), device)


def finisher(
    trace: Trace, program: Program, key: VerifyingKey, where: str, check: bool
) -> Callable[[Messages], Proof]:
    """Makes the proof of some messages, NumPy arrays, once the prover's own checks pass.

    What these need no message for is done at once, while a device still works.
    """
    terms = public_entries(trace.air, trace.public_values) if check else ([], [])
    record = provenance(where, ran.stages(program, where))

    def finish(m: Messages) -> Proof:
        fault = fault_of(trace.air, key.params, terms, m) if check else None
        if fault is not None:
            raise explain(trace, fault)
        stark = partial(stark_proof, program.shape, key.params, key.preprocessed_root, m)
        claimed = felts(m.claims.T)
        return Proof(
            key.profile, key.air, key.log_sizes, claimed, StarkProof.deferred(stark), record
        )

    return finish


def _start(
    program: Program,
    inputs: Inputs,
    trace: Trace,
    key: VerifyingKey,
    where: str,
    clock: Clock,
    compiled: Compiled | None,
) -> Callable[[], Messages]:
    """Start a proof; what is returned waits for its messages."""
    fixed = tables(program)
    memory.check(program)
    made = compiled or _programs(program, where, clock)
    if where == "host":
        transcript = transcript_of(trace, key)
        return ahead.messages_of(program, fixed, inputs, transcript, *made, clock.done)
    words = made.run(fixed, inputs, partial(digest_of, trace, key))

    def fetch() -> Messages:
        clock.done("proof", words)
        return made.unpack(transfer.to_host(words))

    return fetch


def load(program: Program, where: str, folder: str | os.PathLike[str]) -> Compiled:
    """The programs from a folder of compiled proofs, or compiled and stored there."""
    what = where, program.description()
    programs, like = executables.load_or_compile(folder, what, partial(_lowered, program, where))
    return Compiled(programs, unpacker(like))


def _programs(program: Program, where: str, clock: Clock) -> Compiled:
    """The programs. Where they have to be compiled first, that is a stage of the proof."""
    misses = _compiled.cache_info().misses
    made = _compiled(program, where, jax.config.jax_default_device)
    if _compiled.cache_info().misses > misses:
        clock.done("compile")
    return made


@lru_cache(maxsize=32)
def _compiled(program: Program, where: str, device: Any) -> Compiled:
    """The programs, compiled once in a process. A call of one costs less than through jit."""
    del device
    lowered, like = _lowered(program, where)
    return Compiled(compile_programs(lowered), unpacker(like))


def _lowered(program: Program, where: str) -> tuple[list[Any], Any]:
    """The programs, lowered, and the shapes of the messages that they pack."""
    if where == "host":
        fixed, inputs, _ = abstract(program)
        return ahead.lower(program, fixed, inputs)
    return lower(program), messages_like(program)


def lower(program: Program, **options: Any) -> list[Any]:
    """The programs of a proof by the device, lowered: one, or two where the first keeps it busy.

    The first commits to the trace. It is small, so that the device starts sooner, and works while
    the host hashes the statement and starts the other program. ``options`` are of ``lower``.
    """
    fixed, inputs, digest = abstract(program)
    last = jax.jit(partial(on_device, program), out_shardings=transfer.result_on_host())
    if not begins_apart(program.shape):
        return [last.trace(fixed, inputs, digest).lower(**options)]
    begin = stages.commit_trace.trace(program.without_work, fixed, inputs.rows)
    traced = begin, last.trace(fixed, inputs, digest, begin.out_info.tree)
    return [one.lower(**options) for one in traced]


def abstract(program: Program) -> tuple[Any, ...]:
    """The shapes of what proofs are made from: tables, inputs and digest."""
    digest = jax.ShapeDtypeStruct((DIGEST_WORDS,), np.uint32)
    return abstract_tables(program), abstract_inputs(program), digest


@lru_cache(maxsize=32)
def messages_like(program: Program) -> Messages:
    """The shapes of the messages of a program."""
    return jax.eval_shape(partial(from_digest, program), *abstract(program))
