"""The tables of the economics: measured rows, first proofs, and what they need to be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _benchmark import MEASURED, Row, backend, title
from _benchmark_tables import aligned, bits, milliseconds, parameters
from _economics import HOUR, Cost, Prices, Timing, number, significant
from _economics_felts import ESTIMATED, Known

MARKS = {"counted": "", "estimate": "~", "packed": "", "given": "="}
LUCKY, UNLUCKY = 0.8, 1.25  # nonces tried, as a share of those expected, that are worth a word


class Line(NamedTuple):
    """A line of a table: its name, its cells, its figures, and all of them for the record.

    ``subject`` is what it can be compared by: rows, columns, time of a proof that is made alone
    (None of a batch), device.
    """

    label: str
    cells: tuple[str, ...]
    cost: Cost
    published: bool
    record: dict[str, Any]
    subject: tuple[Any, Any, float | None, str]


class Start(NamedTuple):
    """What the first proof of a process costs: in words, and for the record."""

    text: str
    record: dict[str, Any]


def measured(row: Row, times: Timing, size: Known | str, found: Cost) -> Line:
    """The line of a measured row."""
    batch = row.get("batch")
    how = f"batch {batch}" if batch is not None else str(row.get("transcript"))
    where = f"2^{row['log_size']}"
    mark = ("" if row["sound_air"] else "*") + ("!" if row["insecure"] else "")
    label = f"{row['workload']} {where} {parameters(row)}, {how}, {row['source']}{mark}"
    felts, sent, known = "-", "-", None
    if not isinstance(size, str):
        felts = f"{MARKS[size.kind]}{size.size.felts:,}"
        sent = f"{MARKS[size.kind]}{size.size.transactions}"
        known = {
            "felts": size.size.felts,
            "from": size.kind,
            "estimate_of_counted": None if size.check is None else round(1 + size.check, 4),
            "transactions": size.size.transactions,
            "l2_gas": size.size.total_gas,
        }
    cells = (
        *(row["workload"], where, parameters(row), how, str(row["source"])),
        *(milliseconds(times.proof), milliseconds(times.job), felts, sent),
        *(money(found), bits(row)),
    )
    record = {
        "row": title(row),
        "batch": batch,
        "backend": backend(row),
        "device": row.get("device"),
        "insecure": row["insecure"],
        "sound_air": row["sound_air"],
        "verified": row["verified"],
        "security": {name: row["security"][name]["total"] for name in ("formula", "johnson")},
        "proof_seconds": float(f"{times.proof:.6g}"),
        "job_seconds": None if times.job is None else float(f"{times.job:.6g}"),
        "nonces_of_expected": None if times.luck is None else round(times.luck, 3),
        "message": known if known is not None else {"unknown": size},
        **found.record(),
    }
    alone = times.proof if batch is None else None
    columns = row.get("columns") or [0, 0]
    subject = (row["log_size"], columns[1], alone, str(row.get("device")))
    return Line(label, flat(cells), found, False, record, subject)


def starts(rows: Sequence[Row], among: Sequence[Row], paid: Prices, where: str) -> list[Start]:
    """The first proofs in fresh processes of the kinds of proof that are ``among`` these."""

    def kind(row: Row) -> tuple[Any, ...]:
        return row["workload"], row["params"], row.get("transcript")

    kinds = set(map(kind, among))
    out = []
    for row in rows:
        if row.get("section") != "cold" or row.get("status") != MEASURED:
            continue
        if row.get("verified") is not True or kind(row) not in kinds:
            continue
        seconds = number(row, "seconds", "to_proof", where=where)
        usd = paid.device_per_hour_usd * seconds / HOUR
        text = (
            f"start        {row['workload']} 2^{row['log_size']} {row['params']}, transcript on "
            f"the {row.get('transcript')}, cache of programs {row.get('cache')}: "
            f"{seconds:.1f} s to the first proof of a process, {significant(usd)} USD"
        )
        record = {"row": title(row), "seconds": seconds, "device_usd": float(f"{usd:.6g}")}
        out.append(Start(text, record))
    return out


def commits(document: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Commits that the rows were measured at, ``+`` for a changed tree."""
    found = []
    for row in rows:
        where = document["runs"][row["run"]]["environment"]
        found.append((where.get("git_sha") or "unknown")[:12] + "+" * bool(where.get("git_dirty")))
    return list(dict.fromkeys(found))


def prices_text(paid: Prices) -> str:
    """The prices in a line."""
    parts = [
        f"device {paid.device_per_hour_usd:g} USD/h, {100 * paid.utilisation:g} % in use",
        f"gas {paid.gas_price_fri / 1e9:g} gFri",
    ]
    if paid.strk_usd is not None:
        parts.append(f"STRK {paid.strk_usd:g} USD")
    if paid.charge_usd is not None:
        parts.append(f"charged {paid.charge_usd:g} USD")
    return ", ".join(parts)


def heading(
    document: dict[str, Any],
    rows: Sequence[Row],
    path: Path,
    paid: Prices,
    scope: str,
    encoding: str,
) -> str:
    """What the table is of."""
    devices = ", ".join(dict.fromkeys(f"{backend(r)}, {r.get('device')}" for r in rows))
    counted = {
        "proof": "complete proofs, proof of work included",
        "job": "execution, trace, complete proof and verification, one after the other",
    }
    return "\n".join(
        (
            f"results      {path}: {devices}, commit {', '.join(commits(document, rows))}",
            f"prices       {prices_text(paid)}",
            f"time         {counted[scope]}",
            f"record       {encoding}" if paid.chain else "record       none",
        )
    )


def table(lines: Sequence[Line], paid: Prices) -> str:
    """The table of measured rows."""
    heads = (
        *("proof of", "rows", "params", "how", "trace", "prove ms", "job ms", "felts", "tx"),
        *(*money_heads(paid), "bits"),
    )
    return aligned([heads, *(line.cells for line in lines)])


def notes(
    lines: Sequence[Line], left: dict[str, int], begun: Sequence[Start], paid: Prices
) -> list[str]:
    """What the table needs to be read, and what is not in it."""
    out = [start.text for start in begun]
    sizes = [line.record["message"] for line in lines]
    if any(size.get("from") == ESTIMATED for size in sizes):
        checks = [c for s in sizes if (c := s.get("estimate_of_counted")) is not None]
        text = "~: expected over random queries, not counted"
        if checks:
            worst = max(abs(check - 1) for check in checks)
            text += f"; of the felts counted in the Cairo layout it is within {100 * worst:.1f} %"
        out.append(text)
    if any("evaluations not kept" in line.record["row"] for line in lines):
        out.append("params ~: proved without keeping evaluations")
    if any(size.get("from") == "given" for size in sizes):
        out.append("=: --felts, neither counted nor estimated")
    for why in dict.fromkeys(s["unknown"] for s in sizes if "unknown" in s):
        if paid.chain:
            out.append(f"felts unknown: {why}; give --proof and --key, or --felts")
    if paid.chain:
        out.append("gas is a model of a record, L1 data gas left out: recorded, not verified")
        out.append("proofs/h is what the device makes, which may be more than the chain takes")
    if paid.chain and paid.strk_usd is None:
        out.append("no cost of the chain in USD, and no total: --strk_usd was not given")
    if paid.charge_usd is not None:
        out.append("break-even/h: in brackets as a share of what the device makes in full use")
    elif paid.chain and paid.strk_usd is not None:
        out.append("device=chain/h: with fewer proofs an hour the device costs more than the chain")
    luck = [x for line in lines if (x := line.record["nonces_of_expected"]) is not None]
    if luck and (min(luck) < LUCKY or max(luck) > UNLUCKY):
        out.append(
            f"proof of work is luck: the rows tried {min(luck):.2f} to {max(luck):.2f} times the "
            "nonces that are expected"
        )
    out.append(
        "bits: stwo's formula/Johnson radius/unique decoding; *: the AIR proves nothing; !: "
        "parameters without security"
    )
    out += [f"left out     {count} {why}" for why, count in left.items()]
    return out


def money_heads(paid: Prices) -> tuple[str, ...]:
    """Heads of ``money``."""
    even = "device=chain" if paid.charge_usd is None else "break-even"
    return ("proofs/h", "STRK", "device USD", "chain USD", "total USD", f"{even}/h")


def money(found: Cost) -> tuple[str, ...]:
    """The cells of a cost."""
    even = significant(found.parity_per_hour)
    if found.break_even_per_hour is not None:
        even = significant(found.break_even_per_hour)
        share = found.break_even_utilisation
        if share is not None and share < math.inf:
            even += f" ({significant(100 * share, 2)} %)"
    return (
        f"{found.per_hour:,.0f}",
        significant(found.chain_strk),
        *(significant(usd) for usd in (found.device_usd, found.chain_usd, found.total_usd)),
        even,
    )


def flat(cells: Sequence[Any]) -> tuple[str, ...]:
    """Cells, with those of groups in their place."""
    out: list[str] = []
    for cell in cells:
        out += cell if isinstance(cell, tuple) else (cell,)
    return tuple(out)
