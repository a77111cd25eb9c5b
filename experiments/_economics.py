"""What a proof costs: device time at a price per hour, a record on Starknet at a price of gas.

Pure functions of measured rows, sizes and prices. Nothing here is assumed: a price that was not
given makes the figures that need it None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import _script
from _benchmark import MEASURED, Row, title

from jaxstark.starknet.sizes import Size

HOUR = 3600.0
SECTIONS = ("proof", "throughput")
SCOPES = ("proof", "job")
REGIMES = ("formula", "johnson", "unique")
# Workloads whose traces are made in NumPy: sources of the host have their upload in the time.
HOST_TRACES = ("legacy26",)
# Members of a measured row that every table reads.
NEEDED = {
    **{"workload": str, "log_size": int, "params": str, "params_values": dict, "seconds": dict},
    **{"security": dict, "sound_air": bool, "insecure": bool, "verified": bool, "run": int},
}


@dataclass(frozen=True)
class Prices:
    """What is paid, and what for.

    Attributes:
      device_per_hour_usd: USD for an hour of the device and its host, above 0.
      utilisation: share of the paid time in which the device proves, above 0 and at most 1.
      gas_price_fri: FRI per L2 gas.
      strk_usd: USD for one STRK; None if no figure in USD is asked of the chain.
      charge_usd: USD that someone pays for a proof; None if nobody is known to.
      chain: whether proofs are recorded on Starknet.
    """

    device_per_hour_usd: float
    utilisation: float
    gas_price_fri: int
    strk_usd: float | None = None
    charge_usd: float | None = None
    chain: bool = True


@dataclass(frozen=True)
class Timing:
    """Measured seconds of one proof.

    Attributes:
      proof: a complete proof, proof of work included; of throughput the seconds for each proof.
      job: execution, trace, proof and verification one after the other; None where the row has
        not all of them.
      luck: nonces tried, divided by those expected; a mean over the proofs of the row.
    """

    proof: float
    job: float | None
    luck: float | None


@dataclass(frozen=True)
class Cost:
    """Figures of one row; None where a price or a size is missing.

    Attributes:
      seconds: of the device for each proof, as measured.
      per_hour: proofs in a paid hour, at the utilisation.
      device_usd: share of the device's price.
      chain_strk, chain_usd: of recording the proof.
      total_usd: device and chain; the least that a proof must be paid at that utilisation.
      parity_per_hour: proofs an hour at which device and chain cost the same. With fewer the
        device is the larger part.
      break_even_per_hour: proofs an hour at which charges pay for device and chain; infinite if
        the chain alone costs as much as is charged.
      break_even_utilisation: that number as a share of what the device makes; above 1 it cannot.
      profit_per_hour_usd: charges less costs of an hour at the utilisation.
    """

    seconds: float
    per_hour: float
    device_usd: float
    chain_strk: float | None
    chain_usd: float | None
    total_usd: float | None
    parity_per_hour: float | None
    break_even_per_hour: float | None
    break_even_utilisation: float | None
    profit_per_hour_usd: float | None

    def record(self) -> dict[str, Any]:
        """For a JSON record, which has no infinity: ``"never"`` stands for it."""
        return {
            name: "never" if value == math.inf else None if value is None else _rounded(value)
            for name, value in asdict(self).items()
        }


def cost(seconds: float, strk: float | None, prices: Prices) -> Cost:
    """The figures of a proof that takes the device so many seconds.

    Args:
      seconds: above 0.
      strk: of recording it; None if that is not known. Not read if nothing is recorded.
      prices: the prices.
    """
    hourly, charge = prices.device_per_hour_usd, prices.charge_usd
    per_hour = HOUR * prices.utilisation / seconds
    device = hourly / per_hour
    strk = strk if prices.chain else 0.0
    usd = None if strk is None or (strk and prices.strk_usd is None) else 0.0
    if usd is not None and strk:
        usd = strk * (prices.strk_usd or 0.0)
    parity = hourly / usd if usd else None
    even = share = profit = None
    if charge is not None and usd is not None:
        margin = charge - usd
        even = hourly / margin if margin > 0 else math.inf
        share = even * seconds / HOUR
        profit = per_hour * margin - hourly
    total = None if usd is None else device + usd
    return Cost(seconds, per_hour, device, strk, usd, total, parity, even, share, profit)


def chain_strk(size: Size, prices: Prices) -> float:
    """STRK of recording a message."""
    return size.strk(prices.gas_price_fri)


def number(row: Row, *path: str, where: str = "") -> float:
    """A positive number of a row; ``UsageError`` with its place if there is none."""
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise _script.UsageError(
            f"{where}{title(row)}, {'.'.join(path)}: expected a positive number, got {value!r}"
        )
    return float(value)


def timing(row: Row, where: str = "") -> Timing:
    """The measured times of a row; ``UsageError`` if it lacks one that all rows have."""

    def found(*path: str) -> float:
        return number(row, *path, where=where)

    if row["section"] == "throughput":
        proof = 1 / found("per_second")
        whole = row.get("source") == "execution"
        job = proof + found("seconds", "verify", "median") if whole else None
        tried = row.get("mean_nonces")
    else:
        proof, job = found("seconds", "with_proof_of_work", "mean"), None
        uploaded = row.get("source") in ("numpy", "pinned") or row["workload"] not in HOST_TRACES
        if "execute" in row["seconds"] and uploaded:
            parts = ("execute", "trace", "verify")
            job = proof + sum(found("seconds", name, "median") for name in parts)
        tried = row["seconds"]["with_proof_of_work"].get("mean_nonces")
    bits = row["params_values"].get("pow_bits")
    return Timing(proof, job, tried / 2**bits if tried and bits else None)


def usable(rows: Sequence[Row], insecure: bool) -> tuple[list[Row], dict[str, int]]:
    """Rows that a cost may be made of, in order, and how many were left out for which reason."""
    out, left = [], dict[str, int]()
    for row in rows:
        why = None
        if row.get("status") != MEASURED:
            why = "not measured"
        elif row.get("verified") is not True:
            why = "not verified"
        elif row.get("insecure") is not False and not insecure:
            why = "of parameters without security (--insecure takes them, marked !)"
        if why is None:
            out.append(row)
        else:
            left[why] = left.get(why, 0) + 1
    return out, left


def check_rows(document: dict[str, Any], where: str) -> list[Row]:
    """The rows of a document; ``UsageError`` unless measured ones have what this script reads."""
    rows, runs = document.get("rows"), document.get("runs")
    if not isinstance(rows, list) or not isinstance(runs, list):
        raise _script.UsageError(f"{where}: expected lists runs and rows, got none")
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or "section" not in row:
            raise _script.UsageError(f"{where}, row {i}: expected an object with a section")
        if row.get("status") != MEASURED:
            continue
        for name, kind in NEEDED.items():
            if not isinstance(row.get(name), kind):
                raise _script.UsageError(
                    f"{where}, row {i}, {name}: expected {kind.__name__}, got {row.get(name)!r}"
                )
        for name in REGIMES:
            if not isinstance(row["security"].get(name), dict):
                raise _script.UsageError(f"{where}, row {i}, security: expected {name}, got none")
        if not 0 <= row["run"] < len(runs):
            raise _script.UsageError(f"{where}, row {i}, run: expected one of {len(runs)} runs")
    return rows


def significant(value: float | None, digits: int = 3) -> str:
    """Plain decimals with at least so many significant digits; ``-`` for None."""
    if value is None:
        return "-"
    if value == math.inf:
        return "never"
    if not value:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def _rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")
