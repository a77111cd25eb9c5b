"""Sizes, times and security over log size x blow-up x queries x fold step, as JSON lines.

    python experiments/sweep.py --log_sizes=10,12 --blowups=2,4,8 --folds=1,3 --out=out/sweep.jsonl

One line per configuration, written once its proof has been verified. Configurations that the file
has already are skipped, so an interrupted sweep goes on where it stopped. ``--queries=auto`` takes
the fewest queries that reach ``--bits`` by stwo's formula; a configuration below the security floor
needs ``--insecure``.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any, NamedTuple

import _record
import _script
from absl import flags

from jaxstark import Proof, ProofParams, Trace, plan, require_jax
from jaxstark.air.planning import check_params
from jaxstark.air.registry import SHIPPED
from jaxstark.params import MAX_QUERIES, MINIMUM_BITS, require_secure

FLAGS = flags.FLAGS
flags.DEFINE_enum("air", "wide_fibonacci", list(SHIPPED), "Shipped AIR.")
flags.DEFINE_list("log_sizes", ["10", "12"], "log2 of the rows.")
flags.DEFINE_list("blowups", ["2", "4", "8", "16"], "Blow-up factors, powers of two.")
flags.DEFINE_list("queries", ["auto"], "Numbers of queries, or auto.")
flags.DEFINE_list("folds", ["1", "2", "3", "4"], "Fold steps.")
flags.DEFINE_integer("pow_bits", 20, "Proof-of-work bits.", lower_bound=0, upper_bound=40)
flags.DEFINE_integer("log_last_layer", 0, "log2 of the last layer.", lower_bound=0, upper_bound=10)
flags.DEFINE_integer(
    "bits", MINIMUM_BITS, "What --queries=auto reaches.", lower_bound=1, upper_bound=512
)
flags.DEFINE_integer("repeat", 3, "Warm runs.", lower_bound=1, upper_bound=1000)
flags.DEFINE_integer("seed", 0, "Seed of the example.", lower_bound=0, upper_bound=2**31 - 3)
flags.DEFINE_string("out", "out/sweep.jsonl", "JSON-lines file to append to.")
flags.DEFINE_bool("insecure", False, "Allow configurations below the security floor.")
_record.define_flags()


class Case(NamedTuple):
    """One configuration of the sweep."""

    log_size: int
    params: ProofParams

    def __str__(self) -> str:
        p = self.params
        return (
            f"2^{self.log_size} rows, blow-up {1 << p.log_blowup}, {p.n_queries} queries, "
            f"fold {p.fold_step}"
        )


def cases() -> list[Case]:
    """All configurations of the flags, each of which can be proved; else ``UsageError``."""
    log_sizes = _script.numbers("log_sizes", FLAGS.log_sizes, 1, 24)
    blowups = _script.numbers("blowups", FLAGS.blowups, 2, 1 << 16)
    for blowup in blowups:
        if blowup & (blowup - 1):
            raise _script.UsageError(f"--blowups: expected powers of two, got {blowup}")
    automatic = FLAGS.queries == ["auto"]
    queries = [0] if automatic else _script.numbers("queries", FLAGS.queries, 1, MAX_QUERIES)
    folds = _script.numbers("folds", FLAGS.folds, 1, 30)
    out = []
    for k, blowup, n_queries, fold in itertools.product(log_sizes, blowups, queries, folds):
        log_blowup = blowup.bit_length() - 1
        if automatic:
            n_queries = max(1, -(-(FLAGS.bits - FLAGS.pow_bits) // log_blowup))
        params = ProofParams(FLAGS.pow_bits, log_blowup, n_queries, fold, FLAGS.log_last_layer)
        require_secure(params, insecure=FLAGS.insecure)
        out.append(Case(k, params))
    example = {k: SHIPPED[FLAGS.air].example(k, FLAGS.seed) for k in log_sizes}
    for case in out:
        air, sizes, _, public = example[case.log_size]
        check_params(air, air.shape(sizes, public), case.params)
    return out


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two rows the same configuration."""
    return (row.get("air"), row.get("log_size"), row.get("seed"), *_values(row.get("params")))


def _values(params: Any) -> tuple[Any, ...]:
    return tuple(sorted(params.items())) if isinstance(params, dict) else ()


def measure(case: Case, environment: dict[str, Any]) -> dict[str, Any]:
    """Prove, verify from bytes, time warm runs; the row of the configuration."""
    air, sizes, columns, public = SHIPPED[FLAGS.air].example(case.log_size, FLAGS.seed)
    trace, params = Trace(air, columns, public), case.params
    shape = air.shape(sizes, public)
    first = _script.timed_prove(trace, params, insecure=FLAGS.insecure)
    binary, text = first.proof.to_bytes(), first.proof.to_json()
    key = air.setup(sizes, params)
    verify = [
        _script.timed_verify(Proof.from_bytes(binary), key, public, insecure=FLAGS.insecure)
        for _ in range(3)
    ]
    warm = _script.warm_runs(trace, params, FLAGS.repeat)
    last = warm[-1]
    blunt = air.setup(sizes, last.proof.stark.params)
    _script.timed_verify(last.proof, blunt, public, insecure=True)
    planned = plan(shape, params).size
    return {
        "experiment": "sweep",
        "verified": True,
        "air": FLAGS.air,
        "log_size": case.log_size,
        "log_sizes": list(sizes),
        "seed": FLAGS.seed,
        "params": _script.params_row(params),
        "security": _script.security_row(params.security(shape)),
        "bytes": {"json": len(text), "binary": len(binary)},
        "felts": _script.stark_felts(first.proof, shape.all_columns),
        "plan": {"bytes": round(planned.total_bytes), "felts": round(planned.total_felts)},
        "seconds": {
            "first": round(first.proving, 4),
            "proof_of_work": round(first.grinding, 4),
            "warm": _script.spread([run.proving for run in warm]),
            "warm_stages": _script.rounded(last.stages),
            "verify": _script.spread(verify),
        },
        "environment": environment,
    }


def main() -> int:
    todo = cases()
    require_jax()
    out = Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    known = {identity(row) for row in _record.read_records(out)} if out.exists() else set()
    environment = _script.start()
    started, skipped = time.perf_counter(), 0
    for number, case in enumerate(todo, 1):
        label = f"[{number}/{len(todo)}] {case}"
        mark = {
            "air": FLAGS.air,
            "log_size": case.log_size,
            "seed": FLAGS.seed,
            "params": _script.params_row(case.params),
        }
        if identity(mark) in known:
            skipped += 1
            print(f"{label}: in {out} already", flush=True)
            continue
        row = measure(case, environment)
        _record.write_record(out, row)
        print(
            f"{label}: {_script.human_bytes(row['bytes']['binary'])}, "
            f"{row['seconds']['warm']['median']:.3f} s warm, {row['seconds']['first']:.1f} s first,"
            f" verified in {row['seconds']['verify']['median']:.3f} s",
            flush=True,
        )
    _record.last_line(
        {
            "experiment": "sweep",
            "out": str(out),
            "configurations": len(todo),
            "measured": len(todo) - skipped,
            "skipped": skipped,
            "seconds": round(time.perf_counter() - started, 1),
            "environment": environment,
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
