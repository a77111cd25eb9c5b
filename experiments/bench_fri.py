"""Time of the DEEP quotients and of the FRI commit phase, stage by stage.

Data are random, so the last layer is not checked. Folds are timed without hashing, the commit
phase with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import _record
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxstark import circle, deep, fri
from jaxstark.channel import Blake2sChannel
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams

FLAGS = flags.FLAGS
flags.DEFINE_integer("log_size", 16, "log2 of the trace rows.")
flags.DEFINE_integer("log_blowup", 1, "log2 of the blow-up factor.")
flags.DEFINE_integer("trace_columns", 26, "One-sample columns of full size.")
flags.DEFINE_integer("interaction_columns", 4, "Two-sample columns of full size.")
flags.DEFINE_integer("fold_step", 4, "Folds per FRI layer.")
flags.DEFINE_integer("n_queries", 70, "Opened positions.")
flags.DEFINE_integer("repetitions", 10, "Warm runs; the fastest counts.")
flags.DEFINE_string("record", None, "JSON-lines file to append the result to.")
_record.define_flags()


def timed(call: Callable[[], Any], repetitions: int) -> tuple[float, float, Any]:
    """Seconds of the first run, milliseconds of the fastest warm one, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    cold, warm = time.perf_counter() - start, []
    for _ in range(repetitions):
        start = time.perf_counter()
        result = jax.block_until_ready(call())
        warm.append(time.perf_counter() - start)
    return round(cold, 3), round(min(warm) * 1e3, 3), result


def main(argv: list[str]) -> None:
    del argv
    row: dict[str, Any] = {"experiment": "bench_fri", **_record.start()}
    rng = np.random.default_rng(0)
    log_size, log_blowup = FLAGS.log_size, FLAGS.log_blowup
    log_domain = log_size + log_blowup
    params = ProofParams(0, log_blowup, FLAGS.n_queries, FLAGS.fold_step)
    n_trace, n_interaction = FLAGS.trace_columns, FLAGS.interaction_columns

    def felt() -> QM31:
        return QM31(*rng.integers(0, P, 4).tolist())

    counts = (1, n_trace, n_interaction, 8)
    columns = tuple((log_size,) * n for n in counts)
    masks = ((0,), (0,), (-1, 0), (0,))
    offsets = tuple((mask,) * n for mask, n in zip(masks, counts, strict=True))
    evaluations = [
        [jnp.asarray(rng.integers(0, P, (n, 1 << log_domain), np.uint32))] if n else []
        for n in counts
    ]
    sampled = [[[felt() for _ in mask] for mask in tree] for tree in offsets]
    z, coefficient = circle.secure_point(felt()), felt()

    stages = {}
    cold, warm, values = timed(
        lambda: deep.quotients(
            evaluations, columns, offsets, sampled, z, coefficient, log_size, log_blowup
        ),
        FLAGS.repetitions,
    )
    stages["deep"] = {"cold_s": cold, "warm_ms": warm}
    plan = deep.make_plan(columns, offsets, log_size, log_blowup)
    _, warm, _ = timed(lambda: deep.coefficients(plan, sampled, z, coefficient), FLAGS.repetitions)
    stages["deep_host_part"] = {"warm_ms": warm}

    steps = params.fri_steps(log_size)
    matrices = [fri.multipliers(felt(), step) for step in steps]
    starts = np.cumsum((0, *steps)).tolist()
    tables = [fri.inverse_twiddles(log_domain, log_domain - done) for done in starts[:-1]]

    def folds() -> Any:
        layer = values
        for table, matrix in zip(tables, matrices, strict=True):
            layer = fri.fold(layer, table, matrix)
        return layer

    cold, warm, _ = timed(folds, FLAGS.repetitions)
    stages["folds"] = {"cold_s": cold, "warm_ms": warm}
    cold, warm, (committed, _) = timed(
        lambda: fri.commit(Blake2sChannel(), values, log_size, params, check=False),
        FLAGS.repetitions,
    )
    stages["commit"] = {"cold_s": cold, "warm_ms": warm}
    positions = np.unique(rng.integers(0, 1 << log_domain, FLAGS.n_queries))
    cold, warm, _ = timed(lambda: fri.open(committed, positions, params), FLAGS.repetitions)
    stages["open"] = {"cold_s": cold, "warm_ms": warm}

    row |= {
        "log_size": log_size,
        "log_blowup": log_blowup,
        "columns": counts,
        "fold_step": FLAGS.fold_step,
        "n_queries": FLAGS.n_queries,
        "stages": stages,
    }
    if FLAGS.record:
        _record.write_record(FLAGS.record, row)
    _record.last_line(row)


if __name__ == "__main__":
    app.run(main)
