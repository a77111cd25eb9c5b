"""The speed of the CPU reference path: hashing, grinding, first and warm proofs, growth.

    python experiments/bench_cpu.py --out=out/bench_cpu.json

wide_fibonacci with 26 columns, blow-up 2, 70 queries, fold step 4 and no proof of work, which is
timed apart. First proofs are measured in fresh processes: one with an empty folder of compiled
programs and one with the folder that the first has filled. With ``--upstream``, the path of the
program built from tests/interop/prover, StarkWare's SIMD prover is timed on the same sizes and
parameters. No proof is reported that does not verify. Prints a table and writes JSON; the last line
is the same JSON on one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _record
import _script
import numpy as np
from absl import flags

from jaxstark import ProofParams, Trace, require_jax
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns
from jaxstark.channel import Blake2sChannel

FLAGS = flags.FLAGS
flags.DEFINE_integer("log_size", 16, "log2 of the rows.", lower_bound=5, upper_bound=22)
flags.DEFINE_integer("further", 15, "log2 of the rows of a second size.", lower_bound=5)
flags.DEFINE_integer("columns", 26, "Trace columns.", lower_bound=3, upper_bound=4096)
flags.DEFINE_integer("queries", 70, "Queries.", lower_bound=1, upper_bound=4096)
flags.DEFINE_integer("log_blowup", 1, "log2 of the blow-up factor.", lower_bound=1, upper_bound=8)
flags.DEFINE_integer("fold", 4, "Fold step.", lower_bound=1, upper_bound=8)
flags.DEFINE_integer("repeat", 7, "Warm runs.", lower_bound=5, upper_bound=1000)
flags.DEFINE_list("growth", [str(k) for k in range(10, 19)], "log2 of the rows, for the growth.")
flags.DEFINE_integer("hash_log", 18, "log2 of the leaves hashed.", lower_bound=8, upper_bound=24)
flags.DEFINE_integer("grind_bits", 23, "Proof of work timed.", lower_bound=4, upper_bound=34)
flags.DEFINE_string("out", "out/bench_cpu.json", "JSON file to write.")
flags.DEFINE_string("upstream", None, "jaxstark-interop-prover, to time upstream's prover too.")
flags.DEFINE_string("first_proof_cache", None, "Set by the script for its child processes.")

LEAF_WORDS = 128  # eight compressions a leaf
TARGETS = {
    "leaf hashing, M compressions/s": (">=", 10.0),
    "grinding, M nonces/s": (">=", 10.0),
    "first proof, nothing compiled, s": ("<=", 60.0),
    "first proof, programs on disk, s": (None, None),
    "further size, first proof, s": ("<=", 15.0),
    "warm proof, median, s": ("<=", 1.0),
    "verify, s": ("<=", 0.2),
    "compilations of a second proof": ("<=", 0),
}


def parameters() -> ProofParams:
    """The parameters under test, proof of work apart."""
    return ProofParams(0, FLAGS.log_blowup, FLAGS.queries, FLAGS.fold)


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """The compilations that happen inside, one name each."""
    import jax

    seen: list[str] = []
    active = True

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if active and event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        active = False


def example(log_size: int, seed: int = 0) -> Trace:
    """The trace under test."""
    columns = wide_fibonacci_columns(FLAGS.columns, log_size, seed)
    return Trace(wide_fibonacci(FLAGS.columns), columns)


def proved(trace: Trace) -> tuple[_script.Measured, float]:
    """A timed proof and the seconds of its verification, without which nothing is reported."""
    params = parameters()
    run = _script.timed_prove(trace, params, insecure=True)
    key = trace.air.setup(trace.log_sizes, params)
    return run, _script.timed_verify(run.proof, key, {}, insecure=True)


def first_proof() -> dict[str, Any]:
    """In a fresh process: the first proof, a second one, and one of another size."""
    with compilations() as first_compiled:
        first, _ = proved(example(FLAGS.log_size))
    with compilations() as second_compiled:
        second, _ = proved(example(FLAGS.log_size, seed=1))
    with compilations() as further_compiled:
        further, _ = proved(example(FLAGS.further))
    return {
        "first_s": round(first.seconds, 3),
        "first_stages": _script.rounded(first.stages),
        "first_compilations": len(first_compiled),
        "second_s": round(second.seconds, 3),
        "second_compilations": len(second_compiled),
        "further_s": round(further.seconds, 3),
        "further_stages": _script.rounded(further.stages),
        "further_compilations": len(further_compiled),
    }


def first_proof_in_child(cache: str) -> dict[str, Any]:
    """``first_proof`` in a new interpreter with a folder of compiled programs."""
    command = [sys.executable, os.path.abspath(__file__), f"--first_proof_cache={cache}"]
    for name in ("log_size", "further", "columns", "queries", "log_blowup", "fold"):
        command.append(f"--{name}={FLAGS[name].value}")
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    start = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=1800
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise _script.UsageError(f"child process: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"process_s": round(seconds, 3)}


def best(call: Any, count: int = 5) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def hashing() -> dict[str, Any]:
    """Compressions per second of a Merkle tree with wide leaves, its nodes included."""
    from jaxstark import merkle
    from jaxstark.fields.m31 import P
    from jaxstark.plan import tree_compressions

    rng = np.random.default_rng(0)
    group = rng.integers(0, P, (LEAF_WORDS, 1 << FLAGS.hash_log), dtype=np.uint32)
    tree = merkle.commit([group])
    leaf = merkle.BLAKE2S.leaf(group[:, :1].T.tolist()[0])
    if np.asarray(tree.levels[-1])[:, 0].astype("<u4").tobytes() != leaf:
        raise _script.UsageError("leaf hashing: expected BLAKE2s of the first row, got another")
    count = tree_compressions((FLAGS.hash_log,) * LEAF_WORDS, 0)
    seconds = best(lambda: merkle.root_bytes(merkle.commit([group])))
    return {"compressions": count, "seconds": round(seconds, 4), "per_second": count / seconds}


def grinding() -> dict[str, Any]:
    """Nonces per second until the smallest valid one is found, over a few channels."""
    from jaxstark.grind import grind

    bits, tried, seconds = FLAGS.grind_bits, 0, 0.0
    grind(Blake2sChannel().pow_prefix(8), 8)
    for salt in range(4):
        channel = Blake2sChannel().mix_u64(salt)
        start = time.perf_counter()
        nonce = grind(channel.pow_prefix(bits), bits)
        seconds += time.perf_counter() - start
        tried += nonce + 1
        if not channel.pow_ok(bits, nonce):
            raise _script.UsageError("grinding: expected a valid nonce, got another")
    return {"nonces": tried, "seconds": round(seconds, 4), "per_second": tried / seconds}


def warm(log_size: int, repeat: int) -> dict[str, Any]:
    """Warm proofs and verifications of one size."""
    trace = example(log_size)
    proved(trace)
    runs = [proved(trace) for _ in range(repeat)]
    middle = sorted(runs, key=lambda pair: pair[0].seconds)[len(runs) // 2]
    return {
        "log_size": log_size,
        "warm": _script.spread([run.seconds for run, _ in runs]),
        "verify": _script.spread([verify for _, verify in runs]),
        "stages": _script.rounded(middle[0].stages),
        "bytes": len(middle[0].proof.to_bytes()),
    }


def upstream(log_sizes: list[int]) -> dict[str, Any]:
    """Warm proofs of upstream's prover by log size, from columns in memory, as ours are."""
    p = parameters()
    config = {
        "pow_bits": p.pow_bits,
        "log_blowup_factor": p.log_blowup,
        "log_last_layer_degree_bound": p.log_last_layer,
        "n_queries": p.n_queries,
        "fold_step": p.fold_step,
    }
    air = f"wide_fibonacci/{FLAGS.columns}"
    cases = [{"air": air, "log_sizes": [k], "config": config, "seed": 0} for k in log_sizes]
    done = subprocess.run(
        [FLAGS.upstream, "bench", "-", "--runs", str(FLAGS.repeat)],
        input="\n".join(map(json.dumps, cases)) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        raise _script.UsageError(f"--upstream: {done.stderr.strip() or 'no message'}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    return {str(row["log_sizes"][0]): row for row in rows}


def table(row: dict[str, Any]) -> list[str]:
    """What was measured against what the design asks for."""
    fresh, filled = row["first_proof"]["empty_cache"], row["first_proof"]["filled_cache"]
    values = {
        "leaf hashing, M compressions/s": row["hashing"]["per_second"] / 1e6,
        "grinding, M nonces/s": row["grinding"]["per_second"] / 1e6,
        "first proof, nothing compiled, s": fresh["first_s"],
        "first proof, programs on disk, s": filled["first_s"],
        "further size, first proof, s": fresh["further_s"],
        "warm proof, median, s": row["warm"]["warm"]["median"],
        "verify, s": row["warm"]["verify"]["median"],
        "compilations of a second proof": fresh["second_compilations"],
    }
    row["targets"] = {}
    out = [f"{'figure':<36}{'measured':>12}{'asked for':>12}"]
    for name, (sign, bound) in TARGETS.items():
        value, verdict, asked = values[name], "", "-"
        if bound is not None:
            met = value >= bound if sign == ">=" else value <= bound
            row["targets"][name] = {"value": round(value, 4), "bound": bound, "met": met}
            verdict, asked = "" if met else "  missed", f"{sign} {bound:g}"
        out.append(f"{name:<36}{value:>12.3f}{asked:>12}{verdict}")
    spread = row["warm"]["warm"]
    out.append(f"warm: {spread['min']:.3f} to {spread['max']:.3f} s over {spread['runs']} runs")
    out.append("stages of the median warm proof, ms:")
    out += [f"  {name:<26}{1000 * s:>9.1f}" for name, s in row["warm"]["stages"].items()]
    theirs = row.get("upstream", {})
    header = f"{'rows':>8}{'warm, ms':>12}{'times':>8}{'verify, ms':>12}{'bytes':>10}"
    out.append(header + (f"{'upstream, ms':>14}{'ratio':>8}" if theirs else ""))
    previous = None
    for point in row["growth"]:
        median = 1000 * point["warm"]["median"]
        ratio = f"{median / previous:.2f}" if previous else "-"
        rows, verify = f"2^{point['log_size']}", 1000 * point["verify"]["median"]
        text = f"{rows:>8}{median:>12.1f}{ratio:>8}{verify:>12.1f}{point['bytes']:>10}"
        if str(point["log_size"]) in theirs:
            other = 1000 * theirs[str(point["log_size"])]["median_s"]
            text += f"{other:>14.1f}{median / other:>8.2f}"
        out.append(text)
        previous = median
    return out


def main() -> int:
    growth = _script.numbers("growth", FLAGS.growth, 5, 22)
    for size in (FLAGS.log_size, FLAGS.further, *growth):
        parameters().fri_steps(size)
    if FLAGS.upstream is not None and not os.access(FLAGS.upstream, os.X_OK):
        raise _script.UsageError(f"--upstream: expected a program, got {FLAGS.upstream!r}")
    require_jax()
    if FLAGS.first_proof_cache is not None:
        _record.setup_jax_cache(FLAGS.first_proof_cache)
        _record.last_line(first_proof())
        return _script.OK
    out = Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as cache:
        progress("first proof in a fresh process, nothing compiled")
        empty = first_proof_in_child(cache)
        progress("first proof in a fresh process, programs on disk")
        filled = first_proof_in_child(cache)
        _record.setup_jax_cache(cache)
        environment = _record.environment()
        progress("hashing and grinding")
        row: dict[str, Any] = {
            "experiment": "bench_cpu",
            "verified": True,
            "air": f"wide_fibonacci/{FLAGS.columns}",
            "log_size": FLAGS.log_size,
            "further": FLAGS.further,
            "params": _script.params_row(parameters()),
            "first_proof": {"empty_cache": empty, "filled_cache": filled},
            "hashing": hashing(),
            "grinding": grinding(),
        }
        progress(f"warm proofs of 2^{FLAGS.log_size} rows")
        row["warm"] = warm(FLAGS.log_size, FLAGS.repeat)
        row["growth"] = []
        for size in growth:
            progress(f"growth: 2^{size} rows")
            row["growth"].append(warm(size, 5))
        if FLAGS.upstream is not None:
            progress("upstream's prover")
            row["upstream"] = upstream(growth)
    shape = example(5).air.shape((FLAGS.log_size,))
    row["security"] = _script.security_row(parameters().security(shape))
    lines = table(row)
    row["environment"] = environment
    out.write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    print("\n".join(lines))
    _record.last_line(row)
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
