"""Fees: integers of FRI, bounds from an estimate, and the caps that nothing goes over.

1 STRK is 10^18 FRI. A transaction of version 3 carries, for each of three resources, the most units
it may use and the most it pays for one, and a tip for each unit of L2 gas. What it can cost at
worst is known before it is signed; that number is what caps are about. Source: the JSON-RPC
specification of Starknet, version 0.10, RESOURCE_BOUNDS_MAPPING and FEE_ESTIMATE.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxstark.starknet.submission_error import SubmissionError

FRI = 10**18
"""FRI in one STRK."""

MAX_L2_GAS = 1_210_000_000
"""L2 gas that a transaction may ask for (Starknet 0.14)."""

_U64, _U128 = 1 << 64, 1 << 128
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")


def parse_strk(text: str) -> int:
    """FRI of an amount of STRK in plain decimals, exactly; ``ValueError`` for anything else."""
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text.strip()):
        raise ValueError(
            f"amount of STRK: expected digits with at most 18 behind the point, got {text!r}"
        )
    whole, _, decimals = text.strip().partition(".")
    return int(whole) * FRI + int(decimals.ljust(18, "0"))


def show(fri: int) -> str:
    """``0.0123 STRK (12300000000000000 FRI)``."""
    whole, rest = divmod(fri, FRI)
    decimals = f"{rest:018d}".rstrip("0")
    return f"{whole}{'.' + decimals if decimals else ''} STRK ({fri} FRI)"


class Resource(NamedTuple):
    """Units of a resource and FRI for each: at most in bounds, as found in an estimate."""

    amount: int
    price: int


@dataclass(frozen=True)
class Bounds:
    """Of the three resources: what is estimated, or what a transaction allows.

    Raises ``ValueError`` for a number that the transaction format cannot carry.
    """

    l1_gas: Resource
    l1_data_gas: Resource
    l2_gas: Resource

    def __post_init__(self) -> None:
        for name, resource in self.items():
            for what, value, bound in zip(
                ("amount", "price"), resource, (_U64, _U128), strict=True
            ):
                if type(value) is not int or not 0 <= value < bound:
                    raise ValueError(
                        f"{name} {what}: expected an int in 0..2^{bound.bit_length() - 1} - 1, "
                        f"got {value!r}"
                    )

    def items(self) -> tuple[tuple[str, Resource], ...]:
        """Names, as in a transaction, and resources."""
        return (
            ("l1_gas", self.l1_gas),
            ("l1_data_gas", self.l1_data_gas),
            ("l2_gas", self.l2_gas),
        )

    def worst_fee(self, tip: int = 0) -> int:
        """FRI that a transaction with these bounds and this tip can cost at most."""
        return sum(r.amount * r.price for _, r in self.items()) + self.l2_gas.amount * tip

    def to_json(self) -> dict[str, dict[str, str]]:
        """The member ``resource_bounds`` of a transaction."""
        return {
            name: {"max_amount": hex(r.amount), "max_price_per_unit": hex(r.price)}
            for name, r in self.items()
        }

    @staticmethod
    def from_json(obj: Any) -> Bounds:
        """Inverse of ``to_json``; ``ValueError`` for anything else."""
        try:
            parts = {
                name: Resource(int(r["max_amount"], 16), int(r["max_price_per_unit"], 16))
                for name, r in obj.items()
            }
            return Bounds(**parts)
        except (KeyError, TypeError, AttributeError):
            raise ValueError("resource bounds: expected three resources, got another") from None


NO_BOUNDS = Bounds(Resource(0, 0), Resource(0, 0), Resource(0, 0))
"""Of a transaction that is signed for an estimate."""


def parse_estimate(obj: Any) -> Bounds:
    """Units and prices of a fee estimate of a node.

    Raises ``SubmissionError`` if it is malformed or not in FRI.
    """
    try:
        bounds = Bounds(
            *(
                Resource(int(obj[f"{name}_consumed"], 16), int(obj[f"{name}_price"], 16))
                for name in ("l1_gas", "l1_data_gas", "l2_gas")
            )
        )
        unit = obj["unit"]
    except (KeyError, TypeError, ValueError):
        raise SubmissionError(
            "fee estimate: expected units and prices of three resources, got another answer; use "
            "a node of specification 0.10"
        ) from None
    if unit != "FRI":
        raise SubmissionError(f"fee estimate: expected the unit FRI, got {str(unit)[:20]!r}")
    return bounds


@dataclass(frozen=True)
class FeePolicy:
    """How much a submission may cost and how bounds follow from an estimate.

    Attributes:
      max_fee: FRI that all transactions of a job may cost together at worst, tips included.
      tip: FRI for each unit of L2 gas.
      margin: percent by which amounts and prices may exceed the estimate.
      max_l2_gas: cap on the L2 gas of a transaction.
      max_l2_gas_price: cap on the price of a unit of L2 gas, in FRI; None for no cap of its own.
      bump: percent by which a replacement raises prices and tip; nodes ask for at least 10.

    Raises ``ValueError`` for a value out of range.
    """

    max_fee: int
    tip: int = 0
    margin: int = 20
    max_l2_gas: int = MAX_L2_GAS
    max_l2_gas_price: int | None = None
    bump: int = 15

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_fee", 0, _U128),
            ("tip", 0, _U64),
            ("margin", 0, 1001),
            ("max_l2_gas", 1, MAX_L2_GAS + 1),
            ("bump", 10, 1001),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value < high:
                raise ValueError(f"{name}: expected an int in {low}..{high - 1}, got {value!r}")
        price = self.max_l2_gas_price
        if price is not None and (type(price) is not int or not 0 < price < _U128):
            raise ValueError(f"max_l2_gas_price: expected a positive int or None, got {price!r}")

    def bounds(self, estimate: Bounds) -> Bounds:
        """The estimate and its margin, each number capped.

        Raises ``SubmissionError`` where a cap lies below the estimate itself: the transaction
        would be refused or fail.
        """
        caps = {
            ("l2_gas", "amount"): self.max_l2_gas,
            ("l2_gas", "price"): self.max_l2_gas_price,
        }
        out = {}
        for name, resource in estimate.items():
            numbers = []
            for what, value in zip(("amount", "price"), resource, strict=True):
                cap = caps.get((name, what))
                if cap is not None and value > cap:
                    raise SubmissionError(
                        f"{name} {what}: expected at most {cap}, the cap, but the node estimates "
                        f"{value}; raise the cap or wait; nothing more was sent"
                    )
                raised = _raise(value, self.margin)
                numbers.append(raised if cap is None else min(raised, cap))
            out[name] = Resource(*numbers)
        return Bounds(**out)

    def replacement(self, old: Bounds, tip: int, estimate: Bounds) -> tuple[Bounds, int]:
        """Bounds and tip that may replace a waiting transaction at the same nonce.

        Prices and tip grow by ``bump`` percent, more where the estimate asks for it; amounts never
        shrink. Raises ``SubmissionError`` as ``bounds`` does, and where a price is at its cap.
        """
        fresh = self.bounds(estimate)
        parts = {}
        for (name, was), (_, now) in zip(old.items(), fresh.items(), strict=True):
            price = max(_raise(was.price, self.bump), now.price)
            parts[name] = Resource(max(was.amount, now.amount), price)
        cap = self.max_l2_gas_price
        if cap is not None and parts["l2_gas"].price > cap:
            raise SubmissionError(
                f"l2_gas price: expected at most {cap}, the cap, but replacing the waiting "
                f"transaction takes {parts['l2_gas'].price}; raise the cap and run again"
            )
        return Bounds(**parts), _raise(tip, self.bump)


def _raise(value: int, percent: int) -> int:
    return -(-value * (100 + percent) // 100)


def require_within(worst: Sequence[int], spent: int, max_fee: int) -> None:
    """Refuse a job that could cost more than its cap.

    Args:
      worst: FRI at worst of every transaction that is still to land.
      spent: FRI paid already.
      max_fee: the cap.

    Raises ``SubmissionError``.
    """
    total = sum(worst) + spent
    if total > max_fee:
        paid = f", {show(spent)} of it paid already" if spent else ""
        raise SubmissionError(
            f"fee: expected at most {show(max_fee)}, got up to {show(total)} for "
            f"{len(worst)} transaction{'s' if len(worst) != 1 else ''}{paid}; raise --max_fee_strk "
            "or wait for lower prices; nothing more was sent"
        )
