"""Print two results files of the benchmark side by side.

    python experiments/compare_results.py --before=results/old.json --after=results/new.json
    python experiments/compare_results.py --before=a.json --after=a.json \
        --backends=cpu/xla,gpu/mosaic_gpu

Rows are matched by section, workload, size, parameters, transcript, source and whether evaluations
were kept, whatever proved them; if a file has several backends, ``--backends`` chooses one of each
file. A ratio above 1 means that the second file is slower, or that it has fewer proofs per second.
Rows that only one file has are named. Nothing is left out: rows whose parameters differ under one
name are an error. The last line is one JSON object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _benchmark
import _record
import _script
from _benchmark import MEASURED, SUBJECT, Row, backend, title, value
from _benchmark_tables import aligned, milliseconds
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("before", None, "Results file.", required=True)
flags.DEFINE_string("after", None, "Results file to compare with it.", required=True)
flags.DEFINE_list("backends", None, "Backend of either file, such as cpu/xla,gpu/mosaic_gpu.")

Rows = dict[tuple[Any, ...], Row]


def load(path: Path, chosen: str | None) -> tuple[dict[str, Any], Rows]:
    """Document and its measured rows by subject; ``UsageError`` if a subject has two."""
    document = _benchmark.load(path)
    measured = [row for row in document["rows"] if row["status"] == MEASURED]
    known = list(dict.fromkeys(map(backend, measured)))
    if chosen is not None and chosen not in known:
        raise _script.UsageError(
            f"--backends: expected one of {', '.join(known) or 'none'} for {path}, got {chosen!r}"
        )
    if chosen is None and len(known) > 1:
        raise _script.UsageError(
            f"{path}: expected rows of one backend, or --backends with it, got {', '.join(known)}"
        )
    rows = {}
    for row in measured:
        if chosen in (None, backend(row)):
            rows[tuple(value(row, name) for name in SUBJECT)] = row
    return document, rows


def figure(row: Row) -> float:
    """What is compared: seconds, or proofs per second."""
    if row["section"] == "throughput":
        return row["per_second"]
    return (
        row["seconds"]["to_proof"] if row["section"] == "cold" else row["seconds"]["warm"]["median"]
    )


def line(before: Row, after: Row) -> tuple[tuple[str, ...], float]:
    """Cells of a pair of rows, and their ratio, above 1 if the second is slower."""
    if before["params_values"] != after["params_values"]:
        raise _script.UsageError(
            f"{title(before)}: expected one set of parameters under one name, got "
            f"{before['params_values']} and {after['params_values']}"
        )
    old, new = figure(before), figure(after)
    if before["section"] == "throughput":
        return (title(before), f"{old:.1f}/s", f"{new:.1f}/s", f"{old / new:.3f}"), old / new
    cells = (title(before), f"{milliseconds(old)} ms", f"{milliseconds(new)} ms")
    return (*cells, f"{new / old:.3f}"), new / old


def described(path: Path, document: dict[str, Any], rows: Rows) -> str:
    """A file in a line: device and commit of its last run."""
    runs = sorted({row["run"] for row in rows.values()})
    if not runs:
        return f"{path}: no measured row"
    where = document["runs"][runs[-1]]["environment"]
    kinds = ", ".join(sorted({backend(row) for row in rows.values()}))
    commit = (where.get("git_sha") or "unknown")[:12] + ("+" if where.get("git_dirty") else "")
    return f"{path}: {kinds}, {where.get('device_kind')}, commit {commit}"


def main() -> int:
    chosen: list[str | None] = [None, None]
    if FLAGS.backends is not None:
        if len(FLAGS.backends) != 2:
            raise _script.UsageError(
                f"--backends: expected one for each file, got {len(FLAGS.backends)}"
            )
        chosen = list(FLAGS.backends)
    paths = [Path(FLAGS.before), Path(FLAGS.after)]
    (old, before), (new, after) = (
        load(path, name) for path, name in zip(paths, chosen, strict=True)
    )
    print("before  " + described(paths[0], old, before))
    print("after   " + described(paths[1], new, after))
    pairs = {key: line(row, after[key]) for key, row in before.items() if key in after}
    if pairs:
        heads = ("row", "before", "after", "ratio")
        print(aligned([heads, *(cells for cells, _ in pairs.values())]))
    only = {
        "before": [title(row) for key, row in before.items() if key not in after],
        "after": [title(row) for key, row in after.items() if key not in before],
    }
    for name, titles in only.items():
        for text in titles:
            print(f"only {name}: {text}")
    _record.last_line(
        {
            "experiment": "compare_results",
            "compared": len(pairs),
            "ratios": {title(before[key]): round(ratio, 4) for key, (_, ratio) in pairs.items()},
            "only_before": only["before"],
            "only_after": only["after"],
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
