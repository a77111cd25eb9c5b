"""Published figures recomputed: does each claim follow from the inputs beside it?

A claim is wrong if no inputs that round to those written give a figure that rounds to it. A bound
must hold for all of them. A claim whose inputs are absent is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from _economics_published import Published, rounding, written

from jaxstark.shape import ProofShape
from jaxstark.starknet import sizes

HOUR = 3600.0
ESTIMATE_ERROR = 0.05  # of estimated felts: on the benchmark of record they are within 4 %

Values = dict[str, float]


class Formula(NamedTuple):
    """How a figure follows: the inputs it needs, the function, and the function in words.

    Functions are monotone in each input.
    """

    needs: tuple[str, ...]
    run: Callable[[Values], float]
    words: str


def _device(v: Values) -> float:
    return v["device_per_hour_usd"] * v["seconds"] / HOUR / v["utilisation"]


def _strk(v: Values) -> float:
    return v["gas"] * v["gas_price_fri"] / sizes.FRI_PER_STRK


def _chain(v: Values) -> float:
    return _strk(v) * v["strk_usd"] if "gas" in v else 0.0


def _cost(v: Values) -> float:
    return _device(v) + _chain(v)


def _even(v: Values) -> float:
    margin = v["charge_usd"] - _chain(v)
    return v["device_per_hour_usd"] / margin if margin > 0 else math.inf


_RUN = ("device_per_hour_usd", "seconds")
_GAS = ("gas", "gas_price_fri")
_DEVICE_WORDS = "device_per_hour_usd x seconds / 3600 / utilisation"
_CHAIN_WORDS = "gas x gas_price_fri / 10^18 x strk_usd"
FORMULAS = {
    "proofs_per_hour": Formula(
        ("seconds",),
        lambda v: HOUR * v["utilisation"] / v["seconds"],
        "3600 x utilisation / seconds",
    ),
    "device_usd": Formula(_RUN, _device, _DEVICE_WORDS),
    "chain_strk": Formula(_GAS, _strk, "gas x gas_price_fri / 10^18"),
    "chain_usd": Formula((*_GAS, "strk_usd"), _chain, _CHAIN_WORDS),
    "cost_usd": Formula(_RUN, _cost, f"{_DEVICE_WORDS} + chain"),
    "bulk_usd": Formula((*_RUN, "proofs"), lambda v: v["proofs"] * _cost(v), "proofs x cost"),
    "savings_percent": Formula(
        (*_RUN, "baseline_usd"),
        lambda v: 100 * (1 - _cost(v) / v["baseline_usd"]),
        "100 x (1 - cost / baseline_usd)",
    ),
    "times_cheaper": Formula(
        (*_RUN, "baseline_usd"), lambda v: v["baseline_usd"] / _cost(v), "baseline_usd / cost"
    ),
    "times_faster": Formula(
        ("seconds", "baseline_seconds"),
        lambda v: v["baseline_seconds"] / v["seconds"],
        "baseline_seconds / seconds",
    ),
    "cells_per_second": Formula(
        ("seconds", "log_size", "columns"),
        lambda v: v["columns"] * 2 ** v["log_size"] / v["seconds"],
        "columns x 2^log_size / seconds",
    ),
    "break_even_per_hour": Formula(
        ("device_per_hour_usd", "charge_usd"), _even, "device_per_hour_usd / (charge_usd - chain)"
    ),
    "total_seconds": Formula(
        ("stages_seconds",), lambda v: v["stages_seconds"], "the sum of stages_seconds"
    ),
    "whole_seconds": Formula(
        ("recorded_seconds",), lambda v: v["recorded_seconds"], "recorded_seconds"
    ),
}
WITH_CHAIN = {"cost_usd", "bulk_usd", "savings_percent", "times_cheaper", "break_even_per_hour"}
FELTS = "felts"
FELTS_WORDS = "the shortest message of this project for such a proof, estimated"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
      row, claim: names.
      claimed: as written.
      value: what follows from the inputs as written, infinite for never; None if they do not tell.
      low, high: over all that rounds to them.
      follows: whether the claim agrees with them; None if it was not judged.
      why: the formula, or what is missing.
    """

    row: str
    claim: str
    claimed: str
    value: float | None
    low: float | None
    high: float | None
    follows: bool | None
    why: str


def judge(row: Published) -> list[Verdict]:
    """A verdict on every claim of a row, in order."""
    return [_judge(row, name, claim) for name, claim in row.claims.items()]


def table_shape(log_size: int, columns: int) -> ProofShape:
    """The shape of one table of so many columns, each opened at one point, without lookups."""
    trees = ((), (log_size,) * columns)
    return ProofShape((log_size,), trees, ((), ((0,),) * columns), columns, 0, 0)


def _judge(row: Published, name: str, claim: Any) -> Verdict:
    needs = ["log_size", "columns"] if name == FELTS else list(FORMULAS[name].needs)
    if name in WITH_CHAIN and "gas" in row.inputs:
        needs += ["gas_price_fri", "strk_usd"]
    missing = [need for need in needs if need not in row.inputs]
    if name == FELTS and row.params is None:
        missing.append("params")
    text = written(claim)
    if missing:
        why = f"needs {', '.join(missing)}"
        return Verdict(row.name, name, text, None, None, None, None, why)
    if name == FELTS:
        value, words = _felts(row), FELTS_WORDS
        low, high = value * (1 - ESTIMATE_ERROR), value * (1 + ESTIMATE_ERROR)
    else:
        (value, low, high), words = _range(row, FORMULAS[name]), FORMULAS[name].words
    return Verdict(row.name, name, text, value, low, high, _agrees(claim, low, high), words)


def _range(row: Published, formula: Formula) -> tuple[float, float, float]:
    """Value, and the least and largest one over all that rounds to the inputs, at their ends."""
    ends = {"utilisation": (1.0, 1.0)} | row.inputs
    inexact = {name: pair for name, pair in ends.items() if pair[0] != pair[1]}
    values = {name: low for name, (low, _) in ends.items()}
    found = [
        formula.run(values | dict(zip(inexact, corner, strict=True)))
        for corner in product(*inexact.values())
    ]
    middles = {name: sum(pair) / 2 for name, pair in ends.items()}
    return formula.run(middles), min(found), max(found)


def _felts(row: Published) -> float:
    if row.params is None:
        raise ValueError("felts: expected parameters, got none")
    shape = table_shape(*(round(row.inputs[name][0]) for name in ("log_size", "columns")))
    return sizes.estimate(shape, row.params).felts


def _agrees(claim: Any, low: float, high: float) -> bool:
    if isinstance(claim, dict):
        return high < claim["below"] if "below" in claim else low > claim["above"]
    least, largest = rounding(claim, claim=True)
    return low <= largest and high >= least
