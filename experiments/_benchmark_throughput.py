"""How many proofs a second: ``prove_batch`` over statements that all differ."""

from __future__ import annotations

import statistics
from hashlib import sha256
from typing import Any

import _script
from _benchmark_jobs import DIGITS, Workload
from _benchmark_measure import (
    Options,
    about,
    checked,
    insecure,
    limit,
    made_by_of,
    peak_bytes,
    timed,
)

import jaxstark
from jaxstark import Proof, ProofParams, ProvingError

# Parameters, log size and complete proofs a second of one H200, traces resident.
TARGET = ("stwo-96-lowpow", 16, 1500.0)


def throughput_row(
    workload: Workload,
    name: str,
    params: ProofParams,
    source: str,
    *,
    batch: int,
    count: int,
    runs: int,
    options: Options,
) -> dict[str, Any]:
    """Complete proofs per second of ``prove_batch``, over statements that all differ.

    With the source ``"execution"``, executing the jobs and making their traces is in the time.
    """
    from jaxstark.implementation import choose

    case, job = workload.case(params), workload.job
    if source == "execution" and job is None:
        raise ValueError("source execution: expected --columns=execution with it, got example")
    traces = [] if source == "execution" else [case.trace(i, source) for i in range(count)]

    def prove() -> list[Proof]:
        return jaxstark.prove_batch(
            map(job, range(count)) if job and not traces else iter(traces),
            params=params,
            insecure=insecure(params),
            implementation=options.implementation,
            batch=batch,
            keep_evaluations=options.keep_evaluations,
        )

    before = peak_bytes()
    proofs, first = timed(prove)
    if len(proofs) != count:
        raise ProvingError(f"prove_batch: expected {count} proofs, got {len(proofs)}")
    # legacy26 has no public values, so those of one statement are those of all.
    verify = [checked(p, case, case.public_values) for p in proofs]
    seconds = []
    for _ in range(runs):
        again, duration = timed(prove)
        if again != proofs:
            raise ProvingError("prove_batch: expected equal proofs of equal traces, got others")
        seconds.append(duration)
    rate = count / statistics.median(seconds)
    least = limit(case, options)
    bound = 1 / (least["seconds"] + least["proof_of_work"])
    aim, record = TARGET, proofs[0].provenance
    target, made_by = None, made_by_of(proofs[0], choose(options.implementation, "host"))
    aimed = (name, workload.log_size, source) == (*aim[:2], "device") and options.keep_evaluations
    if aimed and made_by["platform"] == "gpu":
        target = {"per_second": aim[2], "met": rate >= aim[2]}
    return {
        "section": "throughput",
        **about(workload, name, case),
        "transcript": None if record is None else record.transcript,
        "source": source,
        "keep_evaluations": options.keep_evaluations,
        **made_by,
        "batch": batch,
        "proofs": count,
        "seconds": {
            "first": round(first, DIGITS),
            "warm": _script.spread(seconds, DIGITS),
            "verify": _script.spread(verify, DIGITS),
        },
        "per_second": round(rate, 3),
        "mean_nonces": round(statistics.fmean(p.stark.proof_of_work + 1 for p in proofs)),
        "sha256": sha256(b"".join(p.to_bytes() for p in proofs)).hexdigest(),
        "bytes": len(proofs[0].to_bytes()),
        "limit": least | {"per_second": round(bound, 3)},
        "times_limit": round(bound / rate, 3),
        "peak_bytes": {"before": before, "after": peak_bytes()},
        "target": target,
    }
