"""Time each GPU kernel against its own bound: bytes moved, or hashes.

    python experiments/bench_op.py --log_sizes=16,20 --columns=26 --out=out/bench_op.json
    python experiments/bench_op.py --ops=leaves,fold --log_sizes=8 --interpret

Of every operation: seconds to lower and compile, the median of single calls, the time of a call
among many that are dispatched together, and the time that the device is busy with one, from the
profiler, kernel by kernel. The last one, or the one before where the profiler shows no device, is
compared with the bound; of transforms also each pass. At a small size the result must equal that of
the XLA form, or nothing is reported. ``--interpret`` only checks these values, with the kernels
interpreted on a CPU. The JSON file is written after every row; the last line is one JSON object.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _benchmark_profile
import _record
import _script
from absl import flags

from jaxstark import ProvingError, require_jax
from jaxstark.proof import write_atomically

SCHEMA = "jaxstark-bench-op/3"
FLAGS = flags.FLAGS
flags.DEFINE_list("ops", None, "Operations; all by default.")
flags.DEFINE_list("log_sizes", ["16", "20"], "log2 of the rows.")
flags.DEFINE_list("columns", ["26"], "Numbers of columns.")
flags.DEFINE_integer("bits", 26, "Difficulty of the proof of work.", lower_bound=1, upper_bound=34)
flags.DEFINE_integer("runs", 20, "Single calls.", lower_bound=1, upper_bound=10000)
flags.DEFINE_integer(
    "pipelined", 50, "Calls dispatched together.", lower_bound=1, upper_bound=10000
)
flags.DEFINE_integer(
    "check_log_size", 12, "log2 of the rows of the check.", lower_bound=8, upper_bound=24
)
flags.DEFINE_float("bandwidth", 4.3e12, "Bytes per second of the device, for the bound.")
flags.DEFINE_float("hash_rate", 20.6e9, "Compressions per second of the device, for the bound.")
flags.DEFINE_bool("interpret", False, "Only check values, on a CPU.")
flags.DEFINE_string("out", "out/bench_op.json", "JSON file to write.")
_record.define_flags()

CHECK_BITS = 8
# Operations without columns are measured once.
ANY_COLUMNS = ("to_storage", "interpolate", "extend", "leaves", "commit", "out_of_domain")
ANY_COLUMNS += ("quotients", "interpolate_rows")
# Without a size either.
NO_SIZE = ("grind", "channel")
# Of calls that are dispatched together.
ROUNDS = 3


def check(name: str, size: Any) -> None:
    """Raise if the kernels' result is not that of the XLA form."""
    import jax
    import numpy as np
    from _benchmark_ops import OPS

    prepared = OPS[name](size)
    got = jax.tree.leaves(prepared.run(*prepared.inputs))
    expected = jax.tree.leaves(prepared.reference(*prepared.inputs))
    same = len(got) == len(expected) and all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(got, expected, strict=True)
    )
    if not same:
        raise ProvingError(
            f"{name}, 2^{size.log_size} rows: expected the result of the XLA form, got another"
        )


def measure(name: str, size: Any) -> dict[str, Any]:
    """Times of an operation, and its bound."""
    import jax
    from _benchmark_ops import OPS, TARGETS

    prepared = OPS[name](size)
    inputs = jax.block_until_ready(jax.tree.map(jax.device_put, prepared.inputs))
    start = time.perf_counter()
    program = jax.jit(prepared.run).lower(*inputs).compile()
    compiling = time.perf_counter() - start
    result = jax.block_until_ready(program(*inputs))
    single = []
    for _ in range(FLAGS.runs):
        start = time.perf_counter()
        jax.block_until_ready(program(*inputs))
        single.append(time.perf_counter() - start)
    # As few calls as fit into two seconds; results are dropped on the way, so memory is not.
    calls = max(1, min(FLAGS.pipelined, int(2 / statistics.median(single))))
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            out = program(*inputs)
        jax.block_until_ready(out)
        rounds.append((time.perf_counter() - start) / calls)
    pipelined = statistics.median(rounds)
    ran = _benchmark_profile.operations(lambda: jax.block_until_ready(program(*inputs)))
    busy = sum(seconds for _, seconds in ran) if ran else None
    taken = pipelined if busy is None else busy
    hashes = prepared.hashes(result) if callable(prepared.hashes) else prepared.hashes
    bound = max(prepared.moved / FLAGS.bandwidth, hashes / FLAGS.hash_rate)
    passes = passes_of(prepared.passes, ran)
    target = None
    if name in TARGETS and jax.default_backend() == "gpu":
        what, rate = TARGETS[name]
        whole = (prepared.moved if what == "bytes" else hashes) / taken
        rates = [one["bytes_per_second"] for one in passes] or [whole]
        target = {"of": what, "per_second": rate, "met": min(rates) >= rate}
    return {
        "seconds": {
            "compile": round(compiling, 4),
            "single": _script.spread(single, 8),
            "pipelined": _script.spread(rounds, 8),
            "device": None if busy is None else round(busy, 9),
        },
        "calls": calls,
        "operations": [{"name": name, "seconds": round(s, 9)} for name, s in ran],
        "passes": passes,
        "moved_bytes": prepared.moved,
        "hashes": hashes,
        "bytes_per_second": round(prepared.moved / taken),
        "hashes_per_second": round(hashes / taken),
        "bound_seconds": round(bound, 10),
        "times_bound": round(taken / bound, 3),
        "target": target,
    }


def passes_of(moved: Sequence[int], ran: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """Rate of each pass, if each was one kernel of the device; else nothing is known of them."""
    kernels = [(name, seconds) for name, seconds in ran if name.startswith("fft_")]
    if len(moved) != len(kernels):
        return []
    return [
        {
            "name": name,
            "moved_bytes": some,
            "seconds": round(seconds, 9),
            "bytes_per_second": round(some / seconds),
        }
        for some, (name, seconds) in zip(moved, kernels, strict=True)
    ]


HEADS = (
    "op",
    "rows",
    "columns",
    "compile s",
    "single ms",
    "ms",
    "device",
    "bound",
    "x",
    "TB/s",
    "G hashes/s",
)
WIDTHS = (13, 5, 7, 9, 9, 8, 8, 8, 7, 6, 10)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    target = row["target"]
    return (
        *(row["op"], "-" if row["log_size"] is None else f"2^{row['log_size']}"),
        str(row["columns"] or "-"),
        f"{row['seconds']['compile']:.2f}",
        f"{1000 * row['seconds']['single']['median']:.4f}",
        f"{1000 * row['seconds']['pipelined']['median']:.4f}",
        "-" if (busy := row["seconds"]["device"]) is None else f"{1000 * busy:.4f}",
        *(f"{1000 * row['bound_seconds']:.4f}", f"{row['times_bound']:.2f}"),
        f"{row['bytes_per_second'] / 1e12:.2f}",
        f"{row['hashes_per_second'] / 1e9:.2f}"
        + ("" if target is None else " met" if target["met"] else " missed"),
    )


def pass_lines(row: dict[str, Any]) -> list[str]:
    """A line for each pass of an operation that has several."""
    if len(row["passes"]) < 2:
        return []
    return [
        f"    {one['name']}: {1e6 * one['seconds']:.3g} us, "
        f"{one['bytes_per_second'] / 1e12:.2f} TB/s"
        for one in row["passes"]
    ]


def cases(names: list[str]) -> list[tuple[str, int | None, int | None]]:
    """Operation, log size and columns; None where the operation has none."""
    log_sizes = _script.numbers("log_sizes", FLAGS.log_sizes, 8, 27)
    columns = _script.numbers("columns", FLAGS.columns, 1, 4096)
    out: list[tuple[str, int | None, int | None]] = []
    for name in names:
        for k in [None] if name in NO_SIZE else log_sizes:
            out += [(name, k, c) for c in (columns if name in ANY_COLUMNS else [None])]
    return out


def main() -> int:
    require_jax()
    from _benchmark_ops import LEAST, OPS, Size

    from jaxstark.pallas.probe import supported

    names = list(OPS) if FLAGS.ops is None else FLAGS.ops
    for name in names:
        if name not in OPS:
            raise _script.UsageError(f"--ops: expected some of {', '.join(OPS)}, got {name!r}")
    _script.rates("bandwidth", "hash_rate")
    todo = cases(names)
    good, found = (True, "") if FLAGS.interpret else supported()
    if not good:
        raise _script.UsageError(
            f"device: expected one that runs the kernels, or --interpret, got none: {found}"
        )
    out = Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "environment": _script.start(),
        "bandwidth": FLAGS.bandwidth,
        "hash_rate": FLAGS.hash_rate,
        "rows": [],
    }
    from _benchmark_tables import aligned

    checked: set[tuple[str, int | None]] = set()
    for name, log_size, columns in todo:
        least = LEAST.get(name, 0)
        if log_size is not None and log_size < least:
            print(f"{name}, 2^{log_size} rows: skipped, its kernels take 2^{least} or more")
            continue
        small_log = max(least, min(log_size or FLAGS.check_log_size, FLAGS.check_log_size))
        small = Size(small_log, columns or 1, CHECK_BITS, FLAGS.interpret)
        if (name, columns) not in checked:
            check(name, small)
            checked.add((name, columns))
        row: dict[str, Any] = {"op": name, "log_size": log_size, "columns": columns}
        row["checked_log_size"] = small.log_size
        if FLAGS.interpret:
            print(
                f"{name}: the result is that of the XLA form, 2^{small.log_size} rows", flush=True
            )
        else:
            size = Size(log_size or FLAGS.check_log_size, columns or 1, FLAGS.bits, False)
            row |= measure(name, size)
            heads = [] if document["rows"] else [HEADS]
            print("\n".join([aligned([*heads, cells(row)], WIDTHS), *pass_lines(row)]), flush=True)
        document["rows"].append(row)
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        write_atomically(out, text.encode())
    _record.last_line({"experiment": "bench_op", "out": str(out), "rows": len(document["rows"])})
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
