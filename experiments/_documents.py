"""The tables of documents, in Markdown, from the rows of the benchmark's results.

A table stands between two comments that name it; ``filled`` writes it anew. Times are in
milliseconds, figures of three digits, rounded up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import _script
from _benchmark import KERNELS, MEASURED, Row, backend, value
from _benchmark_tables import planned_stages

from jaxstark import ProofParams

NETWORKS = {"iris": "Iris flower", "digits": "26 digits"}
BLOCK = re.compile(r"(<!-- results: ([a-z -]+) -->\n).*?(<!-- end of results -->\n)", re.DOTALL)
USUAL = {
    **{"params": "stwo-96", "transcript": "device", "source": "device"},
    "keep_evaluations": True,
}


def up(value: float, digits: int = 3) -> str:
    """So many digits of a positive number, rounded up."""
    power = math.floor(math.log10(value)) - digits + 1
    rounded = math.ceil(value / 10.0**power - 1e-9)
    if rounded == 10**digits:
        rounded, power = rounded // 10, power + 1
    return f"{rounded * 10.0**power:.{max(-power, 0)}f}"


def cells(items: Iterable[object]) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(str, items)) + " |"


def table(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table with its head."""
    return "\n".join([cells(heads), "|" + "---|" * len(heads), *map(cells, lines)])


class Figures:
    """What documents say of the rows of one backend: the kernels, if no other is named."""

    def __init__(self, document: Mapping[str, Any], of: str = KERNELS) -> None:
        self.document, self.runs = document, document["runs"]
        self.rows = [
            row for row in document["rows"] if row["status"] == MEASURED and backend(row) == of
        ]

    def some(self, **subject: Any) -> list[Row]:
        """The rows with these fields."""
        return [r for r in self.rows if all(value(r, k) == v for k, v in subject.items())]

    def proof(self, workload: str, log_size: int, **subject: Any) -> Row | None:
        """That of a proof, ``USUAL`` if not otherwise."""
        found = self.some(
            section="proof", workload=workload, log_size=log_size, **(USUAL | subject)
        )
        return found[0] if found else None

    def commits(self, rows: Iterable[Row | None]) -> str:
        """Those that rows were measured at, in their order."""
        return ", ".join(dict.fromkeys(sha[:7] for sha in self._noted(rows, "git_sha")))

    def cores(self, rows: Iterable[Row | None]) -> str:
        """The cores of the hosts that rows were measured on, in their order."""
        return ", ".join(dict.fromkeys(map(str, self._noted(rows, "cpu_count"))))

    def _noted(self, rows: Iterable[Row | None], member: str) -> Iterable[Any]:
        """A member of the environment of each row that there is."""
        return (self.runs[r["run"]]["environment"][member] for r in rows if r is not None)


def name(row: Row) -> str:
    """What a row proves."""
    if row["workload"] in NETWORKS:
        return f"{NETWORKS[row['workload']]}, {row['steps']:,} steps"
    size = f"2^{row['log_size']}"
    return f"VM, {size} steps" if row["workload"] == "vm" else f"{size} rows"


def milliseconds(seconds: float | None) -> str:
    """Three digits; nothing for None."""
    return "" if seconds is None else up(1e3 * seconds)


def spread(row: Row | None) -> str:
    """Median, least and most of warm proofs."""
    if row is None:
        return ""
    warm = row["seconds"]["warm"]
    least, most = milliseconds(warm["min"]), milliseconds(warm["max"])
    return f"{milliseconds(warm['median'])} ({least} to {most})"


def _warm(row: Row | None) -> str:
    return "" if row is None else milliseconds(row["seconds"]["warm"]["median"])


def _bound(seconds: float) -> str:
    """A limit, to the nearest microsecond."""
    return f"{1e3 * seconds:.3f}" if seconds < 1e-3 else f"{1e3 * seconds:.3g}"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g}" if count >= 1e8 else f"{count / 1e9:.3f}"


def _order(row: Row) -> tuple[Any, ...]:
    workloads = ("legacy26", "vm", *NETWORKS)
    kept = value(row, "keep_evaluations")
    return workloads.index(row["workload"]), row["params"] != "stwo-96", row["log_size"], not kept


def proofs(f: Figures) -> str:
    """Proofs with the transcript and the trace on the device."""
    lines = []
    for row in sorted(f.some(section="proof", transcript="device", source="device"), key=_order):
        if row["insecure"]:
            continue
        what = name(row)
        if row["trace_of"] == "example" and row["workload"] == "legacy26":
            what += ", random columns"
        if row["params"] != "stwo-96":
            what += f", `{row['params']}`"
        members = ("workload", "log_size", "params", "keep_evaluations")
        own = {member: value(row, member) for member in members}
        if not own["keep_evaluations"]:
            what += ", evaluations not kept"
        others = [f.proof(**own, source=source) for source in ("numpy", "pinned")]
        goal = row["target"]
        seconds, limit = row["seconds"], row["limit"]
        peak, planned = row["peak_bytes"]["after"], limit["peak_bytes"]
        lines.append(
            (
                *(what, spread(row), "" if goal is None else milliseconds(goal["seconds"])),
                *(milliseconds(seconds["stages_sum"]), _bound(limit["seconds"])),
                milliseconds(seconds["with_proof_of_work"]["mean"]),
                *(_warm(other) for other in others),
                f"{_gigabytes(peak)} ({_gigabytes(planned)})",
                f.commits([row]),
            )
        )
    heads = ("warm", "target", "device busy", "limit", "+PoW", "from NumPy", "page-locked")
    return table(("", *heads, "peak memory, GB (planned)", "commit"), lines)


def others(f: Figures) -> str:
    """Proofs whose transcript is on the host, those without security, and those that are both."""
    lines = []
    kinds: list[dict[str, Any]] = [
        {"transcript": "host"},
        {"params": "published"},
        {"params": "published", "transcript": "host"},
    ]
    for row in sorted(f.some(section="proof", **USUAL), key=_order):
        own = {"workload": row["workload"], "log_size": row["log_size"]}
        found = [f.proof(**own, **kind, source=s) for kind in kinds for s in ("device", "numpy")]
        if any(found):
            resident, sent = map(spread, found[::2]), map(_warm, found[1::2])
            cells = (cell for pair in zip(resident, sent, strict=True) for cell in pair)
            lines.append((name(row), *cells, f.commits(found)))
    names = ("transcript on the host", "`published` parameters", "`published`, host")
    heads = (head for name in names for head in (name, "from NumPy"))
    return table(("", *heads, "commit"), lines)


def cpu(f: Figures) -> str:
    """Proofs under XLA on a CPU."""
    own = Figures(f.document, "cpu/xla")
    where = {"section": "proof", "transcript": "host", "source": "device"}
    found: dict[str, dict[str, Row]] = {}
    for row in sorted(own.some(**where), key=lambda row: (_order(row)[0], row["log_size"])):
        found.setdefault(name(row), {})[row["params"]] = row
    lines = []
    for title, of in found.items():
        stwo, published = made = of.get("stwo-96"), of.get("published")
        work = None if stwo is None else stwo["seconds"]["with_proof_of_work"]["mean"]
        times = (spread(stwo), milliseconds(work), spread(published))
        lines.append((title, *times, own.cores(made), own.commits(made)))
    return table(("CPU, ms", "`stwo-96`", "+PoW", "`published`", "cores", "commit"), lines)


def batches(f: Figures) -> str:
    """Proofs per second."""
    sources = ("device", "numpy", "pinned", "execution")
    lines = []
    for params in dict.fromkeys(row["params"] for row in f.some(section="throughput")):
        line = [f"`{params}`"]
        for source in sources:
            own = {"params": params, "source": source, "keep_evaluations": True}
            found = f.some(section="throughput", **own)
            line.append(f"{math.floor(found[0]['per_second']):,}" if found else "")
        lines.append(line)
    heads = ("resident", "from NumPy", "page-locked", "with execution")
    return table(("proofs/s", *heads), lines)


def first(f: Figures) -> str:
    """First proofs of a process."""
    lines = []
    for row in f.some(section="cold", transcript="device"):
        own = {member: row[member] for member in ("section", "workload", "log_size", "cache")}
        found = [row, *f.some(**own, params=row["params"], transcript="host")]
        goal = row["target"]
        lines.append(
            (
                *(name(row), row["cache"], "" if goal is None else up(goal["seconds"], 1)),
                *(up(one["seconds"]["to_proof"]) for one in found),
                *[""] * (2 - len(found)),
                f.commits(found),
            )
        )
    heads = ("caches", "target", "transcript on the device", "on the host", "commit")
    return table(("first proof, s from the start of the process", *heads), lines)


def stages(f: Figures) -> str:
    """Time that the device is busy in each stage, beside its limit."""
    shown = [f.proof("legacy26", 20), f.proof("legacy26", 24), f.proof("vm", 20)]
    if None in shown:
        raise _script.UsageError(
            "stages: expected rows of legacy26 at 2^20 and 2^24 and of vm at 2^20, got fewer"
        )
    rows: list[Row] = [row for row in shown if row]

    def of(busy: float, limit: float) -> tuple[str, str, str]:
        return milliseconds(busy), _bound(limit), up(busy / limit) if limit >= 1e-6 else ""

    lines: list[list[object]] = []
    busy = [planned_stages(row) for row in rows]
    for stage in busy[-1]:
        line: list[object] = [stage]
        for row, own in zip(rows, busy, strict=True):
            line += of(own[stage], row["limit"]["stages"][stage]) if stage in own else ("",) * 3
        lines.append(line)
    for title, seconds in (
        ("all stages", lambda row: row["seconds"]["stages_sum"]),
        ("proof", lambda row: row["seconds"]["warm"]["median"]),
    ):
        lines.append([title, *(x for r in rows for x in of(seconds(r), r["limit"]["seconds"]))])
    names = [head for row in rows for head in (name(row), "limit", "x")]
    return table(("stage, ms", *names), lines)


def summary(f: Figures) -> str:
    """A few sizes, for a first look."""
    sizes = (10, 16, 20, 22, 24)

    def line(what: str, workload: str, of: Callable[[Row], float]) -> list[str]:
        found = [f.proof(workload, k) for k in sizes]
        return [what, *("" if row is None else milliseconds(of(row)) for row in found)]

    def warm(row: Row) -> float:
        return row["seconds"]["warm"]["median"]

    def with_work(row: Row) -> float:
        return row["seconds"]["with_proof_of_work"]["mean"]

    bits = ProofParams.preset("stwo-96").pow_bits
    lines = [
        line("rows x 26 columns (`legacy26`, which proves nothing)", "legacy26", warm),
        line(f"with {bits} bits of proof of work, mean", "legacy26", with_work),
        line("steps of the sound machine", "vm", warm),
        line(f"with {bits} bits of proof of work, mean", "vm", with_work),
    ]
    heads = ("one H200, `stwo-96`, trace on the device, ms", *(f"2^{k}" for k in sizes))
    return table(heads, lines)


TABLES: dict[str, Callable[[Figures], str]] = {
    "proofs": proofs,
    "others": others,
    "cpu": cpu,
    "batches": batches,
    "first proofs": first,
    "stages": stages,
    "summary": summary,
}


def filled(text: str, figures: Figures) -> str:
    """A document with its tables written anew; ``UsageError`` if it names an unknown one."""

    def written(found: re.Match[str]) -> str:
        begin, which, end = found.groups()
        if which not in TABLES:
            known = ", ".join(TABLES)
            raise _script.UsageError(f"tables: expected one of {known}, got {which!r}")
        return f"{begin}{TABLES[which](figures)}\n{end}"

    return BLOCK.sub(written, text)
