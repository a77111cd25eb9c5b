"""The tables of the benchmark, from the rows of its results."""

from __future__ import annotations

from collections.abc import Sequence

from _benchmark import MEASURED, Row, backend, title, value


def milliseconds(seconds: float | None) -> str:
    """Three digits or more; ``-`` for None."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def ratio(value: float) -> str:
    """A ratio with as many digits as it deserves."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def bits(row: Row) -> str:
    """Security in bits: stwo's formula, Johnson radius, unique decoding; whole bits."""
    security = row["security"]
    totals = [security[name]["total"] for name in ("formula", "johnson", "unique")]
    text = "/".join("-" if total is None else f"{total:.0f}" for total in totals)
    return text + ("" if row["sound_air"] else "*") + ("!" if row["insecure"] else "")


def aligned(lines: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """Lines of cells, right-aligned in columns of at least the given widths."""
    columns = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    columns = [max(pair) for pair in zip(columns, widths or columns, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, columns, strict=True))
        for line in lines
    )


def _size(row: Row) -> str:
    return "-" if row["log_size"] is None else f"2^{row['log_size']}"


def parameters(row: Row) -> str:
    """Their name, with ``~`` where evaluations are not kept."""
    return row["params"] + ("" if value(row, "keep_evaluations") else " ~")


PROOF_HEADS = (
    *("workload", "rows", "params", "transcript", "source", "warm", "min", "max", "limit", "x"),
    *("target", "+PoW", "verify", "bytes", "bits"),
)
PROOF_WIDTHS = (8, 4, 14, 10, 6, 7, 7, 7, 7, 6, 11, 7, 6, 7, 10)


def proof_cells(row: Row) -> tuple[str, ...]:
    """A line of the table of proofs; all times in milliseconds."""
    seconds, warm, target = row["seconds"], row["seconds"]["warm"], row["target"]
    goal = "-"
    if target is not None:
        goal = f"{milliseconds(target['seconds'])} {'met' if target['met'] else 'missed'}"
    return (
        *(row["workload"], _size(row), parameters(row), row["transcript"], row["source"]),
        *(milliseconds(warm[name]) for name in ("median", "min", "max")),
        *(milliseconds(row["limit"]["seconds"]), ratio(row["times_limit"]), goal),
        milliseconds(seconds["with_proof_of_work"]["mean"]),
        *(milliseconds(seconds["verify"]["median"]), str(row["bytes"]), bits(row)),
    )


RECORD_HEADS = ("felts", "txs", "gas (model)", "status")


def record_cells(row: Row) -> tuple[str, ...]:
    """The columns that ``--submit`` adds to a line of the table of proofs."""
    record = row.get("starknet")
    if record is None or "felts" not in record:
        return ("-", "-", "-", "-" if record is None else record["status"])
    return (
        *(str(record["felts"][record["encoding"]]), str(record["transactions"])),
        *(f"{record['l2_gas']['model'] / 1e6:.1f} M", record["status"]),
    )


# Stages of the prover that ``plan`` counts as one, or under another name.
_PLANNED = {
    "compose": "composition",
    "commit composition": "composition",
    "evaluate out of domain": "out-of-domain values",
    "DEEP quotients": "quotients",
    "proof of work": "grinding (expected)",
    "open": "openings",
}


def planned_stages(row: Row) -> dict[str, float]:
    """Seconds of a row's stages, by the stages of ``plan``; what it does not count, by its name."""
    out: dict[str, float] = {}
    for name, seconds in row["seconds"]["stages"].items():
        planned = _PLANNED.get(str(name), str(name))
        out[planned] = out.get(planned, 0.0) + seconds
    return out


def fact_line(row: Row) -> str:
    """What belongs to a proof and is no column: what came before it, cells and memory."""
    seconds, cells = row["seconds"], row["committed_cells"]
    parts = [
        f"{name} {milliseconds(seconds[key]['median'])} ms"
        for name, key in (("execution", "execute"), ("trace", "trace"))
        if key in seconds
    ]
    parts += [
        f"set-up {milliseconds(seconds['set_up'])} ms",
        f"compiling {seconds['compile']:.1f} s",
        f"{cells} cells, {row['cells_per_second'] / 1e6:.1f} M/s",
    ]
    before, after = (row["peak_bytes"][name] for name in ("before", "after"))
    if after is not None:
        bound = "" if before is None or after > before else "at most "
        parts.append(
            f"memory {bound}{after / 1e9:.2f} GB (planned {row['limit']['peak_bytes'] / 1e9:.2f})"
        )
    if "starknet" in row:
        named = zip(RECORD_HEADS, record_cells(row), strict=True)
        parts += [f"{head} {cell}" for head, cell in named]
        parts += [row["starknet"][key] for key in ("reason",) if key in row["starknet"]]
    return "  " + ", ".join(parts)


def stage_lines(row: Row) -> list[str]:
    """Stages of a proof beside their limits, and their sum beside the unblocked proof."""
    measured, least = planned_stages(row), row["limit"]["stages"]
    lines = [("stage", "ms", "limit", "x")]
    for name, seconds in measured.items():
        # Warm proofs have no proof of work: their grinding has no limit either.
        bound = None if name.startswith("grinding") else least.get(name)
        times = ratio(seconds / bound) if bound else "-"
        lines.append((name, milliseconds(seconds), milliseconds(bound), times))
    total, warm = row["seconds"]["stages_sum"], row["seconds"]["warm"]["median"]
    busy = row["seconds"].get("stages_from") == "profile"
    label = "sum, device busy" if busy else "sum, stage by stage"
    lines.append((label, milliseconds(total), "-", "-"))
    bound = row["limit"]["seconds"]
    lines.append(("proof", milliseconds(warm), milliseconds(bound), ratio(warm / bound)))
    return [f"  {line}" for line in aligned(lines).splitlines()]


def details(rows: Sequence[Row]) -> str:
    """Of every measured proof what its line has no room for: facts, bytes and stages."""
    out = []
    for row in rows:
        if row["status"] == MEASURED and row["section"] == "proof":
            size = f"{row['bytes']} bytes, {row['felts']} felts, SHA-256 {row['sha256']}"
            out += [f"\n{title(row)}; {backend(row)}", fact_line(row), f"  {size}"]
            out += stage_lines(row) if row["seconds"]["stages"] else []
    return "\n".join(out)


COLD_HEADS = (
    *("workload", "rows", "params", "transcript", "cache", "to proof", "start", "device", "trace"),
    *("proof", "second", "target", "bits"),
)


def cold_cells(row: Row) -> tuple[str, ...]:
    """A line of the table of first proofs; all times in seconds."""
    seconds, target = row["seconds"], row["target"]
    names = ("to_proof", "start", "device", "trace", "proof", "second")
    goal = "-"
    if target is not None:
        goal = f"{target['seconds']:g} {'met' if target['met'] else 'missed'}"
    return (
        *(row["workload"], _size(row), row["params"], row["transcript"], row["cache"]),
        *(f"{seconds[name]:.2f}" for name in names),
        *(goal, bits(row)),
    )


THROUGHPUT_HEADS = (
    *("workload", "rows", "params", "source", "batch", "proofs", "proofs/s", "limit", "x"),
    *("target", "bits"),
)


def throughput_cells(row: Row) -> tuple[str, ...]:
    """A line of the table of throughput, proof of work included."""
    target, goal = row["target"], "-"
    if target is not None:
        goal = f"{target['per_second']:g} {'met' if target['met'] else 'missed'}"
    return (
        *(row["workload"], _size(row), parameters(row), row["source"], str(row["batch"])),
        *(str(row["proofs"]), f"{row['per_second']:.1f}", f"{row['limit']['per_second']:.1f}"),
        *(ratio(row["times_limit"]), goal, bits(row)),
    )


TABLES = {
    "proof": ("complete proofs, milliseconds", PROOF_HEADS, proof_cells),
    "cold": ("first proofs in a fresh process, seconds", COLD_HEADS, cold_cells),
    "throughput": ("proofs per second", THROUGHPUT_HEADS, throughput_cells),
}


def _limited(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "limit" in row]


def tables(rows: Sequence[Row]) -> str:
    """All tables of a document, by what proved."""
    out = []
    measured = [row for row in rows if row["status"] == MEASURED]
    for made_by in dict.fromkeys(map(backend, measured)):
        for section, (heading, heads, cells) in TABLES.items():
            chosen = [r for r in measured if r["section"] == section and backend(r) == made_by]
            if chosen:
                out.append(f"\n{heading}; {made_by}, {chosen[-1]['device']}")
                lines = [heads, *map(cells, chosen)]
                if any("starknet" in row for row in chosen):
                    more = [RECORD_HEADS, *map(record_cells, chosen)]
                    lines = [(*line, *extra) for line, extra in zip(lines, more, strict=True)]
                out.append(aligned(lines))
    for row in rows:
        if row["status"] != MEASURED:
            out.append(f"{row['status']}: {title(row)}: {row['reason']}")
    rates = dict.fromkeys(
        (r["limit"]["bandwidth"], r["limit"]["hash_rate"]) for r in _limited(rows)
    )
    if any("starknet" in row for row in measured):
        out.append(
            "felts: limb248, header included; gas (model): L2 gas to record them, a model; status: "
            "on the fake network, which verifies no proof"
        )
    if not all(value(row, "keep_evaluations") for row in measured):
        out.append("~: evaluations are not kept, but made again, which takes less memory")
    out += [
        "warm: median of proofs without proof of work; +PoW: mean of complete ones; x: times the "
        "limit",
        "bits: stwo's formula/Johnson radius/unique decoding; *: the AIR proves nothing; !: "
        "parameters without security",
        *(
            f"limit: bytes and hashes at {bandwidth / 1e12:g} TB/s and {hash_rate / 1e9:g} G "
            "compressions/s, without launches and field arithmetic"
            for bandwidth, hash_rate in rates
        ),
    ]
    return "\n".join(out)
