"""Several proofs as one program: the protocol under ``jax.vmap``, transcripts on the device.

A batch is an axis of the grid of every kernel, so that small proofs fill the device together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import transfer
from jaxstark.key import VerifyingKey
from jaxstark.proof import Proof
from jaxstark.resident import driver, memory
from jaxstark.resident.kernels import compile_programs
from jaxstark.resident.program import Program, Tables, tables
from jaxstark.resident.protocol import Inputs, from_digest, pack, unpacker
from jaxstark.shape import MAX_WORDS, ProofShape
from jaxstark.trace import Trace


class Sent(NamedTuple):
    """A batch on the device.

    Attributes:
      traces: its traces.
      key: their verifying key.
      program: what will run.
      inputs: those of all traces, each array with an axis of the batch in front.
      digests: of their transcripts, uint32 ``[batch, 8]``.
    """

    traces: list[Trace]
    key: VerifyingKey
    program: Program
    inputs: Inputs
    digests: np.ndarray


class Started(NamedTuple):
    """A batch that the device is proving.

    Attributes:
      traces: its traces.
      key: their verifying key.
      program: what runs.
      words: ``[batch, words]``, the messages; not there yet.
    """

    traces: list[Trace]
    key: VerifyingKey
    program: Program
    words: Any


def send(
    traces: Sequence[Trace],
    shape: ProofShape,
    key: VerifyingKey,
    batch: int,
    keep_evaluations: bool = True,
) -> Sent:
    """Traces on the device, side by side, the last one repeated to fill the batch.

    ``keep_evaluations``: as of ``Program``.

    Raises ``MemoryError`` if memory runs out, as do ``start`` and ``finish``.
    """
    # Arrays of all proofs together stay within the limit.
    program = Program(
        *(traces[0].air.structure, shape, key.params),
        max_words=MAX_WORDS // batch,
        keep_evaluations=keep_evaluations,
    )
    with memory.explained(program, batch):
        each = driver.inputs_of_all(traces, key)
        digests = [driver.transcript_of(trace, key).digest for trace in traces]
        filled = [min(i, len(traces) - 1) for i in range(batch)]
        rows = [jnp.stack([each[i].rows[c] for i in filled]) for c in range(len(each[0].rows))]
        public = {name: np.stack([each[i].public[name] for i in filled]) for name in each[0].public}
        inputs = each[0]._replace(rows=rows, public=public)
        return Sent(list(traces), key, program, inputs, np.stack([digests[i] for i in filled]))


def start(sent: Sent) -> Started:
    """Start the proofs of a batch.

    Raises ``ValueError`` if the first batch of a shape needs more memory than is free.
    """
    batch, program = len(sent.digests), sent.program
    with memory.explained(program, batch):
        fixed = tables(program)
        memory.check(program, batch)
        run = _compiled(program, batch, jax.config.jax_default_device)
        words = run(fixed, sent.inputs, sent.digests)
        return Started(sent.traces, sent.key, program, words)


def _together(p: Program, t: Tables, inputs: Inputs, digests: Any) -> Any:
    """Messages ``[batch, words]``."""

    def one(rows: Any, public: Any, digest: Any) -> Any:
        return pack(from_digest(p, t, inputs._replace(rows=rows, public=public), digest))

    return jax.vmap(one)(inputs.rows, inputs.public, digests)


@lru_cache(maxsize=16)
def _compiled(program: Program, batch: int, device: Any) -> Any:
    """The program for so many proofs, compiled once in a process."""
    del device
    return compile_programs([lower(program, batch)])[0]


def lower(program: Program, batch: int, **options: Any) -> Any:
    """The program for so many proofs, lowered; ``options`` are of ``lower``."""

    def many(words: Any) -> Any:
        return jax.ShapeDtypeStruct((batch, *words.shape), np.uint32)

    fixed, inputs, digest = driver.abstract(program)
    rows, public, digests = jax.tree.map(many, (list(inputs.rows), inputs.public, digest))
    run = jax.jit(partial(_together, program), out_shardings=transfer.result_on_host())
    traced = run.trace(fixed, inputs._replace(rows=rows, public=public), digests)
    return traced.lower(**options)


def finish(started: Started) -> list[Proof]:
    """Wait for a batch; the proofs of its traces."""
    traces, key, program, words = started
    with memory.explained(program, len(words)):
        table = transfer.to_host(words)
    unpack = unpacker(driver.messages_like(program))
    return [
        driver.finisher(trace, program, key, "device", check=True)(unpack(row))
        for trace, row in zip(traces, table, strict=False)
    ]
