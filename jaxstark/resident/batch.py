"""Several proofs as one program: the protocol under ``jax.vmap``, transcripts on the device.

A batch is an axis of the grid of every kernel, so that small proofs fill the device together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from jaxstark.resident.protocol import (
    Inputs,
    Messages,
    from_digest,
    pack,
    unpacker,
)
from jaxstark.shape import MAX_WORDS, ProofShape
from jaxstark.trace import Trace


class Started(NamedTuple):
    """A batch that the device is proving.

    Attributes:
      traces: its traces.
      key: their verifying key.
      program: what runs.
      unpack: the messages of one proof from its words.
      words: ``[batch, words]``, the messages; not there yet.
    """

    traces: list[Trace]
    key: VerifyingKey
    program: Program
    unpack: Callable[[np.ndarray], Messages]
    words: Any


def start(traces: Sequence[Trace], shape: ProofShape, key: VerifyingKey, batch: int) -> Started:
    """Send traces to the device and start their proofs; returns at once.

    Raises ``ValueError`` if the first batch of a shape needs more memory than is free, and
    ``MemoryError`` if memory runs out nevertheless, as does ``finish``.
    """
    # Arrays of all proofs together stay within the limit.
    program = Program(traces[0].air.structure, shape, key.params, max_words=MAX_WORDS // batch)
    with memory.explained(program, batch):
        return _start(program, traces, key, batch)


def _start(program: Program, traces: Sequence[Trace], key: VerifyingKey, batch: int) -> Started:
    fixed = tables(program)
    each = driver.inputs_of_all(traces, key)
    digests = [driver.transcript_of(trace, key).digest for trace in traces]
    unpack = unpacker(driver.messages_like(program))
    filled = [min(i, len(traces) - 1) for i in range(batch)]
    rows = [jnp.stack([each[i].rows[c] for i in filled]) for c in range(len(each[0].rows))]
    public = {name: np.stack([each[i].public[name] for i in filled]) for name in each[0].public}
    stacked = each[0]._replace(rows=rows, public=public)
    memory.check(program, batch)
    run = _compiled(program, batch, jax.config.jax_default_device)
    words = run(fixed, stacked, np.stack([digests[i] for i in filled]))
    return Started(list(traces), key, program, unpack, words)


def _together(p: Program, t: Tables, inputs: Inputs, digests: Any) -> Any:
    """Messages ``[batch, words]``."""

    def one(rows: Any, public: Any, digest: Any) -> Any:
        return pack(from_digest(p, t, inputs._replace(rows=rows, public=public), digest))

    return jax.vmap(one)(inputs.rows, inputs.public, digests)


@lru_cache(maxsize=16)
def _compiled(program: Program, batch: int, device: Any) -> Any:
    """The program for so many proofs, compiled once in a process."""
    del device

    def many(words: Any) -> Any:
        return jax.ShapeDtypeStruct((batch, *words.shape), np.uint32)

    fixed, inputs, digest = driver.abstract(program)
    rows, public, digests = jax.tree.map(many, (list(inputs.rows), inputs.public, digest))
    run = jax.jit(partial(_together, program), out_shardings=transfer.result_on_host())
    lowered = run.lower(fixed, inputs._replace(rows=rows, public=public), digests)
    return compile_programs([lowered])[0]


def finish(started: Started) -> list[Proof]:
    """Wait for a batch; the proofs of its traces."""
    with memory.explained(started.program, len(started.words)):
        table = transfer.to_host(started.words)
    return [
        driver.finisher(trace, started.program, started.key, "device", check=True)(
            started.unpack(words)
        )
        for trace, words in zip(started.traces, table, strict=False)
    ]
