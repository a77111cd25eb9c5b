"""Measures of the benchmark, one row at a time. No row is made of a proof that does not verify."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

import _benchmark_profile
import _script
from _benchmark_jobs import DIGITS, Case, Workload

import jaxstark
from jaxstark import Proof, ProofParams, ProvingError, Trace, plan
from jaxstark.params import PRESETS

# The published benchmark's parameters: no security, so every row of them says so.
PARAMS = {"published": PRESETS["test"]} | {
    name: params for name, params in PRESETS.items() if name != "test"
}
# 98 bits by stwo's formula: what memory is measured with at a large blow-up.
PARAMS["blowup-16"] = ProofParams(26, 4, 18, fold_step=3)
STAGE_RUNS = 5
# Seconds. A row of such proofs takes many minutes, and would be silent until it is there.
LONG = 5.0
# Milliseconds that a complete proof of legacy26 may take on one H200 with stwo-96, its trace
# resident and its proof of work apart, by log size; what the sound machine may take, by log size
# and as a multiple of its limit.
TARGETS = {10: 2.5, 16: 3.0, 18: 3.5, 20: 5.0, 22: 15.0, 24: 60.0}
VM_TARGET = (20, 3.0)
# What the system that this project replaces took for the same trace on an H100, without a sound
# proof, in milliseconds.
PUBLISHED = {10: 19.0, 16: 47.0, 18: 165.0, 20: 666.0}


@dataclass(frozen=True)
class Options:
    """How to measure: runs, what proves, and the device's rates for the limit.

    ``submit`` makes the member ``starknet`` of a proof's row; None for no such member.
    """

    warm_runs: int
    pow_runs: int
    implementation: str | None
    bandwidth: float
    hash_rate: float
    keep_evaluations: bool = True
    submit: Callable[[Proof, Case], dict[str, Any]] | None = None


def insecure(params: ProofParams) -> bool:
    """Whether parameters are below the security floor, so that they must be allowed."""
    from jaxstark.params import MINIMUM_BITS

    return params.formula_bits < MINIMUM_BITS


def compiled(case: Case, transcript: str, options: Options) -> tuple[Any, float]:
    """A prover for a case, and the seconds of compiling it."""
    return timed(
        partial(
            jaxstark.compile,
            case.shape,
            case.params,
            public_values=case.public_values,
            insecure=insecure(case.params),
            implementation=options.implementation,
            transcript=transcript,
            keep_evaluations=options.keep_evaluations,
            **_script.compiled_proofs(options.implementation, transcript),
        ),
        f"compile, {case.params.pow_bits} bits of proof of work",
    )


def timed(run: Callable[[], Any], what: str = "") -> tuple[Any, float]:
    """What a call returns, and its seconds. A long one is told on standard error if it is named."""
    start = time.perf_counter()
    out = run()
    seconds = time.perf_counter() - start
    if what and seconds >= LONG:
        print(f"  {what}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return out, seconds


def checked(proof: Proof, case: Case, public: Any) -> float:
    """Seconds to verify the bytes of a proof; raises if they are not accepted."""
    read = Proof.from_bytes(proof.to_bytes())
    return _script.timed_verify(read, case.key, public, insecure=insecure(case.params))


def proof_rows(
    workload: Workload,
    name: str,
    params: ProofParams,
    transcript: str,
    sources: list[str],
    options: Options,
) -> Iterator[dict[str, Any]]:
    """A row for each source of the trace: times, sizes, limits, security of verified proofs."""
    case = workload.case(params)
    blunt = workload.case(replace(params, pow_bits=0))
    before = peak_bytes()
    prover, compile_seconds = compiled(blunt, transcript, options)
    grinder, more = compiled(case, transcript, options)
    least = limit(case, options)
    for source in sources:
        trace = blunt.trace(0, source)
        warm = _warm(prover, trace, blunt, options.warm_runs)
        stages, stages_from = _stages(prover, trace, options.warm_runs)
        del trace  # one trace at a time is on the device
        ground, total = _with_proof_of_work(grinder, case, source, options.pow_runs)
        proof = ground.proof
        made_by = made_by_of(proof, prover.implementation)
        row = {
            "section": "proof",
            **about(workload, name, case),
            "transcript": transcript,
            "source": source,
            "keep_evaluations": options.keep_evaluations,
            **made_by,
            "sha256": sha256(proof.to_bytes()).hexdigest(),
            "bytes": len(proof.to_bytes()),
            "felts": _script.stark_felts(proof, case.shape.all_columns),
            "seconds": {
                **workload.seconds,
                "set_up": round(case.set_up, DIGITS),
                "compile": round(compile_seconds + more, DIGITS),
                "warm": warm,
                "stages": _script.rounded(stages, DIGITS),
                "stages_sum": round(sum(stages.values()), DIGITS),
                "stages_from": stages_from,
                "with_proof_of_work": total,
                "verify": ground.verify,
            },
            "limit": least,
            "cells_per_second": round(cells(case) / warm["median"]),
            "peak_bytes": {"before": before, "after": peak_bytes()},
            **goal(
                *(workload, name, source, warm["median"], least["seconds"], made_by["platform"]),
                kept=options.keep_evaluations,
            ),
        }
        if options.submit is not None:
            row["starknet"] = options.submit(proof, case)
        yield row


def cells(case: Case) -> int:
    """Words committed for one proof before the blow-up: trace and interaction, not tree 0."""
    return sum(1 << k for tree in case.shape.columns[1:] for k in tree)


def about(workload: Workload, name: str, case: Case) -> dict[str, Any]:
    """What was proved, and how secure that is."""
    rows = 1 << workload.log_size
    return {
        "status": "measured",
        "verified": True,
        "workload": workload.name,
        "log_size": workload.log_size,
        "steps": workload.steps,
        "trace_of": workload.trace_of,
        "facts": workload.facts,
        "columns": [len(tree) for tree in case.shape.columns],
        "committed_cells": cells(case),
        "rows": rows,
        "params": name,
        "params_values": _script.params_row(case.params),
        "insecure": insecure(case.params),
        "sound_air": workload.name != "legacy26",
        "security": _script.security_row(case.params.security(case.shape)),
    }


def made_by_of(proof: Proof, implementation: str) -> dict[str, Any]:
    """What proved, stage by stage."""
    import jax

    record = proof.provenance
    return {
        "platform": jax.default_backend(),
        "implementation": implementation,
        "device": None if record is None else record.device,
        "provenance": {} if record is None else dict(record.stages),
    }


def _warm(prover: Any, trace: Trace, case: Case, count: int) -> dict[str, Any]:
    """Spread of the seconds of ``count`` proofs, all of them equal to one that was verified."""
    first, _ = timed(lambda: prover(trace), "first proof")
    checked(first, case, trace.public_values)
    seconds = []
    for number in range(count):
        proof, duration = timed(lambda: prover(trace), f"warm proof {number + 1} of {count}")
        if proof != first:
            raise ProvingError("warm proofs: expected equal proofs of one trace, got others")
        seconds.append(duration)
    return _script.spread(seconds, DIGITS)


def _stages(prover: Any, trace: Trace, warm_runs: int) -> tuple[dict[str, float], str]:
    """Median seconds of every stage, and where they are from.

    With the transcript on the device a profile shows the stages; else each waits for its arrays.
    """
    if prover.transcript == "device":
        seen = _benchmark_profile.stages(lambda: prover(trace))
        if seen is not None:
            return seen, "profile"
    found: dict[str, list[float]] = {}
    for _ in range(min(STAGE_RUNS, warm_runs)):
        once: dict[str, float] = {}

        def note(stage: str, seconds: float, once: dict[str, float] = once) -> None:
            once[stage] = once.get(stage, 0.0) + seconds

        prover(trace, on_stage=note)
        for stage, seconds in once.items():
            found.setdefault(stage, []).append(seconds)
    return {stage: statistics.median(seconds) for stage, seconds in found.items()}, "waiting"


@dataclass(frozen=True)
class _Ground:
    proof: Proof
    verify: dict[str, Any]


def _with_proof_of_work(
    prover: Any, case: Case, source: str, count: int
) -> tuple[_Ground, dict[str, Any]]:
    """The proof of statement 0, and the seconds of complete proofs of several statements.

    How long a search for a nonce takes is luck, so that one statement says nothing: the mean of
    several is recorded, with the nonces that were tried.
    """
    seconds, verify, tried = [], [], []
    trace = case.trace(0, source)
    first, _ = timed(lambda: prover(trace), "first proof with proof of work")
    checked(first, case, trace.public_values)
    for number in range(count):
        del trace  # before the next one is made
        trace = case.trace(number, source)
        what = f"complete proof {number + 1} of {count}"
        proof, duration = timed(lambda trace=trace: prover(trace), what)
        verify.append(checked(proof, case, trace.public_values))
        seconds.append(duration)
        tried.append(proof.stark.proof_of_work + 1)
    total = {
        "mean": round(statistics.fmean(seconds), DIGITS),
        **_script.spread(seconds, DIGITS),
        "mean_nonces": round(statistics.fmean(tried)),
        "expected_nonces": 1 << case.params.pow_bits,
    }
    return _Ground(first, _script.spread(verify, DIGITS)), total


def limit(case: Case, options: Options) -> dict[str, Any]:
    """What the proof takes at least at the rates of the device, by stage; seconds and bytes."""
    planned = plan(
        case.shape,
        case.params,
        bandwidth=options.bandwidth,
        hash_rate=options.hash_rate,
        keep_evaluations=options.keep_evaluations,
    )
    stages = {s.name: s.seconds or 0.0 for s in planned.stages}
    grinding = stages["grinding (expected)"]
    return {
        "seconds": round(sum(stages.values()) - grinding, DIGITS + 4),
        "proof_of_work": round(grinding, DIGITS + 4),
        "stages": _script.rounded(stages, DIGITS + 4),
        "peak_bytes": planned.peak_bytes,
        "bandwidth": options.bandwidth,
        "hash_rate": options.hash_rate,
    }


def goal(
    workload: Workload,
    name: str,
    source: str,
    median: float,
    least: float,
    platform: str,
    kept: bool = True,
) -> dict[str, Any]:
    """The row's ratio to its limit, and the target and the published figure where there are any.

    Targets are set for one kind of GPU and for kept evaluations, and ask for a resident trace.
    """
    out: dict[str, Any] = {"times_limit": round(median / least, 3), "target": None}
    bound = None
    if name == "stwo-96" and source == "device" and platform == "gpu" and kept:
        if workload.name == "legacy26" and workload.log_size in TARGETS:
            bound = TARGETS[workload.log_size] / 1000
        if workload.name == "vm" and workload.log_size == VM_TARGET[0]:
            bound = round(VM_TARGET[1] * least, DIGITS + 4)
    if bound is not None:
        out["target"] = {"seconds": bound, "met": median <= bound}
    if workload.name == "legacy26" and name == "published" and workload.log_size in PUBLISHED:
        out["published_seconds"] = PUBLISHED[workload.log_size] / 1000
    return out


def peak_bytes() -> int | None:
    """Most bytes that this process has had on the device so far; None where it is not counted."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use")
