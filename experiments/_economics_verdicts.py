"""Published rows beside measured ones, and the verdicts on their claims, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from _benchmark_tables import aligned, milliseconds
from _economics import Prices, cost, significant
from _economics_claims import Verdict
from _economics_published import Published
from _economics_tables import Line, flat, money, money_heads

from jaxstark.params import MINIMUM_BITS
from jaxstark.starknet.sizes import FRI_PER_STRK


def published(row: Published, paid: Prices) -> Line | None:
    """The line of a published row at its own prices, those of the flags where it has none.

    None for a row without the time of a proof.
    """
    seconds = row.value("seconds")
    if seconds is None:
        return None
    own = {
        name: row.value(name) for name in ("device_per_hour_usd", "utilisation", "gas_price_fri")
    }
    prices = Prices(
        own["device_per_hour_usd"] or paid.device_per_hour_usd,
        own["utilisation"] or paid.utilisation,
        round(own["gas_price_fri"] or paid.gas_price_fri),
        row.value("strk_usd") or paid.strk_usd,
        paid.charge_usd,
        paid.chain,
    )
    gas = row.value("gas")
    found = cost(
        seconds, None if gas is None else gas * prices.gas_price_fri / FRI_PER_STRK, prices
    )
    log_size = row.value("log_size")
    size = "-" if log_size is None else f"2^{log_size:.0f}"
    security = "?"
    if row.params is not None:
        least = row.params.formula_bits
        security = f"{least}{'!' if least < MINIMUM_BITS else ''}?"
    cells = (
        *(row.name, size, row.device or "-", milliseconds(seconds)),
        *(significant(prices.device_per_hour_usd), *money(found), security),
    )
    record = {
        "row": row.name,
        "source": row.source,
        "device": row.device,
        "verified": False,
        "proof_seconds": float(f"{seconds:.6g}"),
        "device_per_hour_usd": prices.device_per_hour_usd,
        "utilisation": prices.utilisation,
        **found.record(),
    }
    subject = (log_size, row.value("columns"), seconds, row.device or "a device not named")
    return Line(f"{row.name} (published)?", flat(cells), found, True, record, subject)


def published_text(
    lines: Sequence[Line],
    rows: Sequence[Published],
    verdicts: Sequence[Verdict],
    ours: Sequence[Line],
    paid: Prices,
) -> str:
    """Published rows, what of ours they stand beside, and the verdict on every claim."""
    out = ["", "published, not measured or verified here (?)"]
    if lines:
        heads = ("published", "rows", "device", "ms", "USD/h", *money_heads(paid), "bits")
        out.append(aligned([heads, *(line.cells for line in lines)]))
    for line in lines:
        out += [text for mine in ours if (text := _beside(line, mine)) is not None]
    judged = [v for v in verdicts if v.follows is not None]
    if verdicts:
        heads = ("published", "claim", "claimed", "from inputs", "verdict")
        cells = [
            (v.row, v.claim, v.claimed, significant(v.value, 4), verdict_word(v)) for v in verdicts
        ]
        out.append(aligned([heads, *cells]))
    for v in verdicts:
        if v.follows is False:
            out.append(f"wrong        {v.row}, {v.claim}: {_wrong(v)}")
        elif v.follows is None:
            out.append(f"not judged   {v.row}, {v.claim}: {v.why}")
    wrong = sum(v.follows is False for v in judged)
    out.append(f"claims       {len(judged)} judged, {wrong} wrong, {len(verdicts)} in all")
    for row in rows:
        out.append(f"source       {row.name}: {row.source}" + (f"; {row.note}" if row.note else ""))
    return "\n".join(out)


def verdict_word(verdict: Verdict) -> str:
    """A verdict in a word or two."""
    return {True: "follows", False: "does not follow", None: "not judged"}[verdict.follows]


def claim_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict for the record."""
    value: Any = "never" if verdict.value == math.inf else verdict.value
    return {
        "row": verdict.row,
        "claim": verdict.claim,
        "claimed": verdict.claimed,
        "from_inputs": float(f"{value:.6g}") if isinstance(value, float) else value,
        "verdict": verdict_word(verdict),
        "why": verdict.why,
    }


def _wrong(verdict: Verdict) -> str:
    value, low, high = (significant(x, 4) for x in (verdict.value, verdict.low, verdict.high))
    between = "" if low == high else f" ({low} to {high})"
    return f"claimed {verdict.claimed}, but its inputs give {value}{between}: {verdict.why}"


def _beside(line: Line, mine: Line) -> str | None:
    """Two times for a table of one size, where there are two; no more than a ratio of both."""
    theirs, here = line.subject[2], mine.subject[2]
    if theirs is None or here is None or None in line.subject[:2]:
        return None
    if line.subject[:2] != mine.subject[:2]:
        return None
    return (
        f"beside       {line.label.removesuffix(' (published)?')}, {milliseconds(theirs)} ms on "
        f"{line.subject[3]}: {mine.label}, {milliseconds(here)} ms on {mine.subject[3]}; ratio "
        f"{significant(theirs / here)}, device and parameters differ"
    )
