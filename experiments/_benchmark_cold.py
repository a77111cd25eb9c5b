"""First proofs: a fresh process from its start to its first proof, as its parent sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import _benchmark_jobs
import _record
import _script
from _benchmark_measure import PARAMS, insecure

import jaxstark
from jaxstark import ProofParams, ProvingError, Trace, VerifyingKey, vm

CHILD_SECONDS = 1800
WORKLOADS = ("legacy26", "vm")
# Seconds from process start to a proof of 2^20 rows of legacy26 with stwo-96, by what the cache
# holds.
TARGETS = {"empty": 30.0, "filled": 8.0}


class Refused(ValueError):
    """The child process cannot prove as it was told to; its sentence says why."""


def rows(
    script: str,
    workload: str,
    log_size: int,
    params: str,
    transcript: str,
    implementation: str | None,
) -> Iterator[dict[str, Any]]:
    """Two rows: without any compiled program, and with those that the first process left.

    Raises ``Refused`` for what the device cannot run, and ``ProvingError`` if the proof failed.
    """
    with tempfile.TemporaryDirectory() as cache:
        for state in TARGETS:
            told = f"{workload},{log_size},{params},{transcript}"
            row = _child(script, cache, told, implementation)
            target = None
            aim = ("legacy26", 20, "stwo-96", "gpu")
            if (workload, log_size, params, row["platform"]) == aim:
                bound = TARGETS[state]
                target = {"seconds": bound, "met": row["seconds"]["to_proof"] <= bound}
            yield row | {"cache": state, "target": target}


def _child(script: str, cache: str, told: str, implementation: str | None) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["CUDA_CACHE_PATH"] = str(Path(cache) / "driver")  # the driver compiles, too
    started = time.time()
    command = [
        *(sys.executable, script, f"--jax_cache={cache}", f"--cold_started={started!r}"),
        f"--cold_child={told}",
        *([f"--implementation={implementation}"] if implementation else []),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=CHILD_SECONDS,
    )
    if done.returncode != _script.OK:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("error: ")
        if done.returncode == _script.USAGE:
            raise Refused(message)
        raise ProvingError(f"first proof in a fresh process: {message}")
    return json.loads(done.stdout.splitlines()[-1])


def _random(log_size: int) -> tuple[Trace, Callable[[ProofParams], VerifyingKey]]:
    """A trace of ``legacy26`` with random columns, on the device; what makes its key."""
    import jax.numpy as jnp
    import numpy as np

    from jaxstark.air.legacy26 import COLUMNS, legacy26, legacy26_columns

    air, columns = legacy26(), legacy26_columns(log_size)["steps"]
    table = jnp.asarray(np.stack([columns[c] for c in COLUMNS]))
    return Trace(air, {"steps": table}), partial(air.setup, (log_size,))


def _executed(
    log_size: int, params: ProofParams
) -> tuple[Trace, Callable[[ProofParams], VerifyingKey]]:
    """The trace of an execution by the sound machine; what makes its key."""
    from jaxstark.vm.workloads import synthetic

    steps = 1 << log_size
    program = synthetic(steps)
    execution = vm.execute(program, [0], step_limit=steps)
    limits = vm.Limits.of(execution, params)
    return vm.trace(execution, limits), partial(vm.setup, program, limits)


def child(
    workload: str,
    log_size: int,
    name: str,
    transcript: str,
    implementation: str | None,
    started: float,
) -> dict[str, Any]:
    """In the fresh process: the row of a first proof, and what it ran on under ``environment``."""
    entered = time.time()
    import jax

    from jaxstark.implementation import choose

    jax.devices()
    there = time.time()
    params, legacy = PARAMS[name], workload == "legacy26"
    trace, set_up = _random(log_size) if legacy else _executed(log_size, params)
    _benchmark_jobs.ready(trace)
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    made = time.time()
    options: dict[str, Any] = {
        "params": params,
        "insecure": insecure(params),
        "implementation": implementation,
        "transcript": transcript,
    }
    prove = partial(jaxstark.prove, **options)
    cached = _script.compiled_proofs(implementation, transcript)
    if cached:
        prove = jaxstark.compile(shape, **options, **cached)
    proof = prove(trace)
    proved = time.time()
    prove(trace)
    second = time.time() - proved
    verify = _script.timed_verify(
        proof, set_up(params), trace.public_values, insecure=insecure(params)
    )
    record = proof.provenance
    stages = {} if record is None else dict(record.stages)
    return {
        "section": "cold",
        "status": "measured",
        "verified": True,
        "workload": workload,
        "log_size": log_size,
        "trace_of": "example" if legacy else "execution",
        "params": name,
        "params_values": _script.params_row(params),
        "insecure": insecure(params),
        "sound_air": not legacy,
        "security": _script.security_row(params.security(shape)),
        "transcript": transcript,
        "source": "device",
        "platform": jax.default_backend(),
        "implementation": choose(implementation, transcript),
        "device": None if record is None else record.device,
        "provenance": stages,
        "sha256": sha256(proof.to_bytes()).hexdigest(),
        "bytes": len(proof.to_bytes()),
        "seconds": {
            "to_proof": round(proved - started, 4),
            "start": round(entered - started, 4),
            "device": round(there - entered, 4),
            "trace": round(made - there, 4),
            "proof": round(proved - made, 4),
            "second": round(second, 4),
            "verify": round(verify, 4),
        },
        "environment": _record.environment(),
    }
