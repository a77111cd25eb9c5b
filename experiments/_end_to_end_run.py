"""One run of end_to_end.py: from samples to a packed proof, and on to a record on a chain."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import _benchmark_jobs
import _end_to_end
import _networks
import _script
import numpy as np
from _end_to_end import READ_BACK, Run
from _networks import Network
from _submit import Place

import jaxstark
from jaxstark import Proof, ProofParams, ProvingError, Trace, VerifyingKey, vm
from jaxstark.air.planning import check_public_values
from jaxstark.fields.m31 import P
from jaxstark.shape import ProofShape
from jaxstark.starknet import packer, sizes
from jaxstark.starknet.fees import FeePolicy
from jaxstark.starknet.header import HEADER_FELTS, Header
from jaxstark.starknet.job import Job
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.submission import make_submission
from jaxstark.vm.dense import DenseProgram
from jaxstark.vm.execution import MEMORY_LIMIT


class Batch(NamedTuple):
    """Samples of one proof.

    Attributes:
      rows: their numbers.
      integers: the samples, int64 ``[n, features]``.
      classes: what the program must answer, int64 ``[n]``.
    """

    rows: range
    integers: np.ndarray
    classes: np.ndarray


class Model(NamedTuple):
    """A network, its program, and the batches of all runs, no two of which are equal."""

    network: Network
    dense: DenseProgram
    batches: list[Batch]


def load_model(name: str, samples: str | None, file: str | None, runs: int) -> Model:
    """The network of a name, with a batch for each run.

    The first batch is that of ``samples``, ``A:B``; each later one begins where the one before
    did, and one sample on, or further where those samples were there already.

    Args:
      name: of a shipped network.
      samples: of the first batch; None for those of the benchmark.
      file: CSV file of the data set; None to take it from scikit-learn.
      runs: how many batches.

    Raises ``UsageError``, ``ValueError`` and ``ImportError``, each with what was expected.
    """
    network = _networks.load(name)
    dense = network.compiled()
    features = _networks.load_data(name)[0] if file is None else _networks.read_samples(Path(file))
    integers = network.samples(features, name if file is None else file)
    rows = _rows(name, samples, len(integers))
    found: dict[bytes, Batch] = {}
    for shift in range(len(integers) - len(rows) + 1):
        if len(found) == runs:
            break
        begin = (rows.start + shift) % (len(integers) - len(rows) + 1)
        part = integers[begin : begin + len(rows)]
        if part.tobytes() not in found:
            chosen = range(begin, begin + len(rows))
            found[part.tobytes()] = Batch(chosen, part, dense.classify(part))
    if len(found) < runs:
        raise _script.UsageError(
            f"--repeat: expected at most {len(found) - 1} warm runs, whose samples all differ, got "
            f"{runs - 1}"
        )
    return Model(network, dense, list(found.values()))


def _rows(name: str, samples: str | None, count: int) -> range:
    usual = _benchmark_jobs.SAMPLES[name]
    if samples is None:
        samples = f"{usual.start}:{usual.stop}"
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", samples)
    begin, end = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 <= begin < end <= count:
        raise _script.UsageError(
            f"--samples: expected A:B with 0 <= A < B <= {count}, got {samples!r}"
        )
    return range(begin, end)


@dataclass(frozen=True)
class Options:
    """How to prove and to pack; see the flags."""

    params: ProofParams
    insecure: bool
    implementation: str | None
    transcript: str
    prover_stages: bool
    encoding: str


class Chain(NamedTuple):
    """Where to submit, as whom, to which registry, and for how much."""

    place: Place
    registry: int
    policy: FeePolicy
    outbox: SqliteOutbox


class Lap:
    """Notes the seconds since the stage before."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.last = seconds, time.perf_counter()

    def __call__(self, stage: str) -> None:
        """A stage ended."""
        now = time.perf_counter()
        self.seconds[stage] = now - self.last
        self.last = now


class Pipeline:
    """Runs of one model: the first makes key and prover, which the others use.

    Attributes:
      key: of all runs; as a verifier makes it, from program and limits.
      shape: of all proofs.
    """

    def __init__(self, dense: DenseProgram, options: Options, chain: Chain) -> None:
        self.dense, self.options, self.chain = dense, options, chain
        self._limits: vm.Limits | None = None
        self._prover: Callable[..., Proof] | None = None
        self.key: VerifyingKey | None = None
        self.shape: ProofShape | None = None

    def run(self, batch: Batch, before: Mapping[str, float]) -> Run:
        """Everything, once; ``before`` are the seconds of stages that came before.

        Raises ``ProvingError``, ``VerificationError`` and ``SubmissionError``.
        """
        out, options = Run(dict(before)), self.options
        began = time.perf_counter()
        lap = Lap(out.seconds)
        execution = self._execute(batch)
        lap("inference")
        if self._limits is None:
            self._limits = self._limits_of(execution, len(batch.rows))
        trace = _benchmark_jobs.ready(vm.trace(execution, self._limits))
        lap("trace")
        if self.key is None:
            self.key = vm.setup(
                execution.program,
                self._limits,
                options.params,
                implementation=options.implementation,
            )
            self.shape = trace.air.shape(trace.log_sizes, trace.public_values)
            lap("set-up")
        if self._prover is None:
            self._prover, compiled = self._make_prover(self.shape, self.key, trace)
            if compiled:
                lap("compile")
        stages: dict[str, float] = {}

        def note(stage: str, seconds: float) -> None:
            stages[stage] = stages.get(stage, 0.0) + seconds

        proof = self._prover(trace, on_stage=note if options.prover_stages else None)
        lap("prove")
        out.inside["prove"] = stages
        data = proof.to_bytes()
        read = Proof.from_bytes(data)
        # The statement of one who knows the samples and was told the classes.
        words = [int(word) % P for word in self.dense.public_input(batch.integers)]
        public = {"input": words, "output": batch.classes.tolist()}
        jaxstark.verify(read, self.key, public, insecure=options.insecure)
        lap("verify")
        canonical = check_public_values(trace.air, public)
        message = packer.encode(read, self.key, trace.air, canonical, options.encoding)
        submission = make_submission(message, Job.record_only(self.chain.registry))
        lap("pack")
        found = _end_to_end.submit(
            self.chain.place, submission, self.chain.policy, self.chain.outbox
        )
        out.seconds |= {"submit": found.submit, READ_BACK: found.read_back}
        out.inside["submit"] = found.parts
        out.seconds["total"] = sum(before.values()) + time.perf_counter() - began

        header, size = Header.decode(message), sizes.measured(message)
        out.facts = {
            "recorded": True,
            "samples": [batch.rows.start, batch.rows.stop],
            "classes": execution.output.tolist(),
            "steps": execution.steps,
            "bytes": len(data),
            "sha256": sha256(data).hexdigest(),
            "nonces_tried": proof.stark.proof_of_work + 1,
            "encoding": options.encoding,
            "felts": len(message),
            "payload_felts": len(message) - HEADER_FELTS,
            "calldata_felts": list(submission.felts),
            "transactions": [
                {"hash": hex(t.tx_hash), "block": t.block, "fee_fri": t.fee}
                for t in found.result.transactions
            ],
            "fee_fri": found.result.fee,
            "model_l2_gas": size.total_gas,
            "gas": _end_to_end.gas_used(self.chain.place.node, found.result),
            "statement_hash": hex(header.statement),
            "digest": hex(header.digest),
            "provenance": None if proof.provenance is None else dict(proof.provenance.stages),
        }
        return out

    def _execute(self, batch: Batch) -> vm.Execution:
        """The program's answer, which must be that of the network in NumPy."""
        words = self.dense.public_input(batch.integers)
        program = self.dense.program
        execution = vm.execute(
            program,
            words,
            step_limit=self.dense.step_bound(len(batch.rows)),
            memory_limit=max(MEMORY_LIMIT, program.input_address + len(words)),
        )
        if execution.output.tolist() != batch.classes.tolist():
            raise ProvingError("the program and the network disagree on a class")
        return execution

    def _limits_of(self, execution: vm.Execution, samples: int) -> vm.Limits:
        """Sizes that any samples fit: they differ in the steps of argmax only."""
        limits = vm.Limits.of(execution, self.options.params)
        bound = (self.dense.step_bound(samples) - 1).bit_length()
        return replace(limits, log_steps=max(limits.log_steps, bound))

    def _make_prover(
        self, shape: ProofShape | None, key: VerifyingKey, trace: Trace
    ) -> tuple[Callable[..., Proof], bool]:
        """What proves, and whether it was compiled ahead, as kernels are with a cache."""
        options: dict[str, Any] = {
            "params": self.options.params,
            "insecure": self.options.insecure,
            "implementation": self.options.implementation,
            "transcript": self.options.transcript,
        }
        cached = _script.compiled_proofs(self.options.implementation, self.options.transcript)
        if cached and shape is not None:
            public = trace.public_values
            return jaxstark.compile(shape, public_values=public, **options, **cached), True
        return partial(jaxstark.prove, key=key, **options), False
