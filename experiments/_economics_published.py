"""Files of published figures: what a row may hold, and how exactly its numbers are known.

One JSON object, ``schema`` ``jaxstark-published/1``, with ``rows``:

    name, source            required: what the row is called, where its figures stand
    device, note            optional texts
    params                  optional: a preset's name or an object of parameters
    inputs                  what is taken as it stands (``INPUTS``)
    claims                  figures that should follow from the inputs (``CLAIMS``)

Prices are exact. Measures and claims are known by the digits that they are written with: decimals
are right to half a unit of their last digit; whole numbers are exact as measures, and as claims may
be rounded to two digits or more, as their zeros tell. Inputs may be pairs ``[least, largest]``,
claims ``{"below": x}`` or ``{"above": x}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import _script

from jaxstark import ProofParams

SCHEMA = "jaxstark-published/1"
ROW = ("name", "source", "device", "note", "params", "inputs", "claims")
INPUTS = {
    "seconds": "of one proof",
    "device_per_hour_usd": "price of the device",
    "utilisation": "share of the paid time in use; 1 if absent",
    "log_size": "log2 of the rows of the table",
    "columns": "of the table",
    "gas": "L2 gas of recording a proof; none in a cost if absent",
    "gas_price_fri": "FRI per gas",
    "strk_usd": "USD for one STRK",
    "charge_usd": "what is charged for a proof",
    "baseline_usd": "cost of what a saving is compared with",
    "baseline_seconds": "time of what a speed is compared with",
    "stages_seconds": "list: stages of which a whole is made",
    "recorded_seconds": "what the publisher's own records say of a whole",
    "proofs": "number of proofs that a bulk price is for",
}
CLAIMS = (
    *("proofs_per_hour", "device_usd", "chain_strk", "chain_usd", "cost_usd", "bulk_usd"),
    *("savings_percent", "times_cheaper", "times_faster", "cells_per_second"),
    *("break_even_per_hour", "total_seconds", "whole_seconds", "felts"),
)
WHOLE = {"log_size": 30, "columns": 10_000}  # inputs that are counts, and their bounds
MEASURES = {"seconds", "baseline_usd", "baseline_seconds", "stages_seconds", "recorded_seconds"}
WHOLE_DIGITS = 2  # that are left of a whole number, however many zeros it ends in
LEAST, LARGEST = Decimal("1e-30"), Decimal("1e30")
MOST_INEXACT = 12  # inputs of a row

Interval = tuple[float, float]


@dataclass(frozen=True)
class Published:
    """A published row: its texts, its parameters, inputs as intervals, claims as they stand."""

    name: str
    source: str
    device: str | None
    note: str | None
    params: ProofParams | None
    inputs: dict[str, Interval]
    claims: dict[str, Any]

    def value(self, name: str) -> float | None:
        """The middle of an input; None if the row has none."""
        return sum(self.inputs[name]) / 2 if name in self.inputs else None


def load(path: Path) -> list[Published]:
    """The rows of a file; ``UsageError`` if it is not of the schema above."""
    try:
        document = json.loads(path.read_text(), parse_float=Decimal)
    except (json.JSONDecodeError, UnicodeDecodeError):
        document = None
    schema = document.get("schema") if isinstance(document, dict) else None
    rows = document.get("rows") if isinstance(document, dict) else None
    if schema != SCHEMA or not isinstance(rows, list) or not rows:
        raise _script.UsageError(f"{path}: expected published figures of schema {SCHEMA} with rows")
    out = [_row(f"{path}, row {i}", row) for i, row in enumerate(rows)]
    names = [row.name for row in out]
    for name in names:
        if names.count(name) > 1:
            raise _script.UsageError(f"{path}: expected names that differ, got {name!r} twice")
    return out


def rounding(number: int | Decimal, *, claim: bool) -> Interval:
    """All that rounds to a number as it is written, as an input or as a claim."""
    written = Decimal(number)
    exponent = written.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= 0:
        if not claim:
            return float(written), float(written)
        digits = str(abs(int(written)))
        exponent = min(len(digits) - len(digits.rstrip("0")), max(0, len(digits) - WHOLE_DIGITS))
    half = Decimal(10) ** exponent / 2
    return float(written - half), float(written + half)


def written(value: Any) -> str:
    """A claim or an input as it stands in the file, with commas."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {written(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return f"{value:,}" if type(value) in (int, Decimal) else repr(value)


def _row(where: str, row: Any) -> Published:
    _names(where, row, ROW)
    for name in ROW[:4]:
        text, needed = row.get(name), name in ROW[:2]
        if not isinstance(text, str if needed else str | None) or text == "":
            raise _script.UsageError(f"{where}, {name}: expected a text, got {text!r}")
    where += f" ({row['name']})"
    parts = {"inputs": row.get("inputs", {}), "claims": row.get("claims", {})}
    _names(f"{where}, inputs", parts["inputs"], tuple(INPUTS))
    _names(f"{where}, claims", parts["claims"], CLAIMS)
    inputs = {k: _input(f"{where}, {k}", k, v) for k, v in parts["inputs"].items()}
    for name, claim in parts["claims"].items():
        _check_claim(f"{where}, {name}", claim)
    if sum(low != high for low, high in inputs.values()) > MOST_INEXACT:
        raise _script.UsageError(f"{where}, inputs: expected at most {MOST_INEXACT} inexact ones")
    params = _params(f"{where}, params", row.get("params"))
    texts = (row["name"], row["source"], row.get("device"), row.get("note"))
    return Published(*texts, params, inputs, parts["claims"])


def _names(where: str, given: Any, known: tuple[str, ...]) -> None:
    expected = f"{where}: expected an object with some of {', '.join(known)}, got"
    if not isinstance(given, dict):
        raise _script.UsageError(f"{expected} {type(given).__name__}")
    for name in given:
        if name not in known:
            raise _script.UsageError(f"{expected} {name!r}")


def _params(where: str, given: Any) -> ProofParams | None:
    if given is None:
        return None
    try:
        if isinstance(given, dict):
            return ProofParams(**given)
        return ProofParams.preset(given, insecure=True)
    except (TypeError, ValueError) as error:
        raise _script.UsageError(f"{where}: {error}") from None


def _input(where: str, name: str, given: Any) -> Interval:
    if name == "stages_seconds":
        if not isinstance(given, list) or not given:
            raise _script.UsageError(f"{where}: expected a list of numbers, got {written(given)}")
        stages = [_positive(where, stage) for stage in given]
        return sum(low for low, _ in stages), sum(high for _, high in stages)
    if name in WHOLE and (type(given) is not int or not 1 <= given <= WHOLE[name]):
        raise _script.UsageError(
            f"{where}: expected an int in 1..{WHOLE[name]}, got {written(given)}"
        )
    if isinstance(given, list):
        if len(given) != 2 or _positive(where, given[0]) > _positive(where, given[1]):
            raise _script.UsageError(f"{where}: expected [least, largest], got {written(given)}")
        low, high = map(float, given)
    else:
        low, high = _positive(where, given)
        if name not in MEASURES:
            low = high = float(given)
    if name == "utilisation" and high > 1:
        raise _script.UsageError(f"{where}: expected at most 1, got {written(given)}")
    return low, high


def _positive(where: str, given: Any) -> Interval:
    if type(given) not in (int, Decimal) or not LEAST < given < LARGEST:
        raise _script.UsageError(f"{where}: expected a positive number, got {written(given)}")
    return rounding(given, claim=False)


def _check_claim(where: str, claim: Any) -> None:
    value = claim
    if isinstance(claim, dict) and len(claim) == 1 and set(claim) <= {"below", "above"}:
        (value,) = claim.values()
    if type(value) not in (int, Decimal) or not -LARGEST < value < LARGEST:
        raise _script.UsageError(
            f"{where}: expected a number, or one of below and above with one, got {written(claim)}"
        )
