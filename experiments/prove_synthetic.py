"""Prove the synthetic workload: the sound machine, and beside it the AIR that it replaces.

    python experiments/prove_synthetic.py --steps=1024,65536 --air=both --repeat=5

For every AIR and number of steps: execute jaxstark.vm.workloads.synthetic, compare its final
registers with the golden ones where there are any, prove, verify from serialized bytes, and time
warm runs. ``obelysk`` proves N - 1 instructions and the Halt; ``legacy26``, which proves nothing
and is here for timings like for like, N rows without Halt. Cells are the words that are committed
for each step before the blow-up: trace and interaction columns, and those of tree 0, which setup
commits once for a program, apart. A first proof compiles what no case above it has compiled. The
last line is one JSON object with every figure.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple

import _record
import _script
from absl import flags

import jaxstark
from jaxstark import Proof, ProofParams, Trace, VerifyingKey, require_jax, vm
from jaxstark.air.legacy26 import legacy26
from jaxstark.params import PRESETS
from jaxstark.shape import ProofShape
from jaxstark.trace import ColumnTable
from jaxstark.vm.legacy_trace import legacy26_trace
from jaxstark.vm.program import MAX_INSTRUCTIONS
from jaxstark.vm.workloads import GOLDEN, synthetic

AIRS = ("obelysk", "legacy26")
LEAST, LARGEST = 1 << 10, 1 << 24

FLAGS = flags.FLAGS
flags.DEFINE_list("steps", ["1024", "65536"], "Numbers of steps, powers of two 2^10..2^24.")
flags.DEFINE_enum("air", "obelysk", [*AIRS, "both"], "What to prove the workload with.")
flags.DEFINE_integer(
    "job", 0, "Number of the job, which sets the constants.", lower_bound=0, upper_bound=2**24
)
flags.DEFINE_enum("preset", "stwo-96", list(PRESETS), "Proof parameters.")
flags.DEFINE_integer(
    "repeat", 3, "Warm runs to time after the first.", lower_bound=1, upper_bound=1000
)
flags.DEFINE_bool("insecure", False, "Allow the test preset, which has no security.")
_record.define_flags()


class Case(NamedTuple):
    """One AIR and number of steps."""

    air: str
    steps: int

    @property
    def program(self) -> vm.Program:
        """The workload, with or without room for the Halt."""
        return synthetic(self.steps, FLAGS.job, halt_counts=self.air == "obelysk")

    def trace(self, execution: vm.Execution, params: ProofParams) -> Trace:
        """The trace of an execution, in arrays that are ready."""
        import jax

        if self.air == "obelysk":
            trace = vm.trace(execution, vm.Limits.of(execution, params))
        else:
            trace = Trace(legacy26(), legacy26_trace(execution), {})
        for table in trace.columns.values():
            whole = isinstance(table, ColumnTable)
            jax.block_until_ready(table.array if whole else list(table.values()))
        return trace

    def key(self, execution: vm.Execution, params: ProofParams) -> VerifyingKey:
        """The key, as a verifier makes it."""
        if self.air == "obelysk":
            return vm.setup(execution.program, vm.Limits.of(execution, params), params)
        return legacy26().setup((self.steps.bit_length() - 1,), params)


def cases() -> list[Case]:
    """All that the flags ask for, each of which can be proved; else ``UsageError``."""
    steps = _script.numbers("steps", FLAGS.steps, LEAST, LARGEST)
    for count in steps:
        if count & (count - 1):
            raise _script.UsageError(f"--steps: expected powers of two, got {count}")
    airs = AIRS if FLAGS.air == "both" else (FLAGS.air,)
    if "legacy26" in airs and steps[-1] >= MAX_INSTRUCTIONS:
        raise _script.UsageError(
            f"--steps: expected less than {MAX_INSTRUCTIONS} for legacy26, whose Halt is one "
            f"instruction more, got {steps[-1]}"
        )
    return [Case(air, count) for air in airs for count in steps]


def check_registers(case: Case, execution: vm.Execution) -> bool:
    """Whether there are golden values for r0..r3; raises if they are others."""
    golden = GOLDEN[case.air].get(case.steps) if FLAGS.job == 0 else None
    got = tuple(execution.registers[:4].tolist())
    if golden is not None and got != golden:
        raise jaxstark.ProvingError(
            f"{case.air}, {case.steps} steps, r0..r3: expected {golden}, got {got}"
        )
    return golden is not None


def cells(shape: ProofShape, steps: int) -> dict[str, float]:
    """Committed words for each step before the blow-up, by tree; the composition left out."""
    names = ("tree 0", "trace", "interaction")
    trees = dict.fromkeys(names, 0.0) | {
        names[i]: sum(1 << k for k in columns) / steps for i, columns in enumerate(shape.columns)
    }
    return {name: round(count, 4) for name, count in trees.items()}


def timed(run: Any) -> tuple[Any, float]:
    """What a call returns, and its seconds."""
    start = time.perf_counter()
    out = run()
    return out, time.perf_counter() - start


def repeated(run: Any) -> dict[str, Any]:
    """Spread of the seconds of ``--repeat`` calls."""
    return _script.spread([timed(run)[1] for _ in range(FLAGS.repeat)])


def measure(case: Case, params: ProofParams) -> dict[str, Any]:
    """Execute, prove, verify, time warm runs; the row of the case, printed on the way."""
    print(f"{case.air}, {case.steps} steps", flush=True)
    program, insecure = case.program, FLAGS.insecure
    run = partial(vm.execute, program, step_limit=program.words.shape[0])
    execution = run()
    compared = check_registers(case, execution)
    registers = ", ".join(map(str, execution.registers[:4].tolist()))
    print(f"  r0..r3 {registers}" + (", as golden" if compared else ", no golden ones"), flush=True)

    trace, first_trace = timed(partial(case.trace, execution, params))
    _script.show_stage(params.pow_bits, "trace", first_trace)
    key, setting_up = timed(partial(case.key, execution, params))
    _script.show_stage(params.pow_bits, "verifying key", setting_up)
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    on_stage = partial(_script.show_stage, params.pow_bits)
    first = _script.timed_prove(trace, params, insecure=insecure, on_stage=on_stage)
    binary = first.proof.to_bytes()
    verify = min(
        _script.timed_verify(Proof.from_bytes(binary), key, trace.public_values, insecure=insecure)
        for _ in range(3)
    )
    warm = _script.warm_runs(trace, params, FLAGS.repeat)
    for proved in warm:  # timings of unverified proofs are not reported
        blunt = case.key(execution, proved.proof.stark.params)
        _script.timed_verify(proved.proof, blunt, trace.public_values, insecure=True)
    report = params.security(shape)
    print("\n".join(report.lines()), flush=True)
    return {
        "air": case.air,
        "steps": case.steps,
        "registers": execution.registers[:4].tolist(),
        "golden": compared,
        "air_id": trace.air.name,
        "log_sizes": {
            c.name: k for c, k in zip(trace.air.components, trace.log_sizes, strict=True)
        },
        "cells_per_step": cells(shape, case.steps),
        "security": _script.security_row(report),
        "bytes": len(binary),
        "seconds": {
            "execute": repeated(run),
            "first_trace": round(first_trace, 4),
            "trace": repeated(partial(case.trace, execution, params)),
            "set_up": round(setting_up, 4),
            "first": round(first.proving, 4),
            "first_stages": _script.rounded(first.stages),
            "proof_of_work": round(first.grinding, 4),
            "warm": _script.spread([proved.proving for proved in warm]),
            "warm_stages": _script.rounded(warm[-1].stages),
            "verify": round(verify, 4),
        },
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The figures of all cases; times are in seconds."""
    heads = (
        *("AIR", "steps", "log sizes", "cells/step", "tree 0", "execute", "trace", "first"),
        *("warm", "verify", "bytes"),
    )
    lines = [heads]
    for row in rows:
        count, seconds = row["cells_per_step"], row["seconds"]
        lines.append(
            (
                row["air"],
                str(row["steps"]),
                " ".join(map(str, row["log_sizes"].values())),
                f"{count['trace'] + count['interaction']:.1f}",
                f"{count['tree 0']:.1f}",
                f"{seconds['execute']['median']:.4f}",
                f"{seconds['trace']['median']:.3f}",
                f"{seconds['first']:.2f}",
                f"{seconds['warm']['median']:.3f}",
                f"{seconds['verify']:.3f}",
                str(row["bytes"]),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def main() -> int:
    params = ProofParams.preset(FLAGS.preset, insecure=FLAGS.insecure)
    todo = cases()
    require_jax()
    environment = _script.start()
    print(f"synthetic workload, job {FLAGS.job}, preset {FLAGS.preset}")
    print(f"device: {environment['device_kind']}, host: {environment['cpu_model']}")
    if any(case.air == "legacy26" for case in todo):
        print("legacy26 proves nothing: it is here for its times.")
    print("stages are those of the first proof, compilation included:", flush=True)
    rows = [measure(case, params) for case in todo]
    print(table(rows))
    print(
        f"times in seconds: execute, trace and warm are medians of {FLAGS.repeat} after a first "
        "run; first and warm are proofs without proof of work"
    )
    _record.last_line(
        {
            "experiment": "prove_synthetic",
            "verified": True,
            "job": FLAGS.job,
            "preset": FLAGS.preset,
            "params": _script.params_row(params),
            "rows": rows,
            "environment": environment,
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
