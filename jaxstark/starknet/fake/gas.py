"""What execution costs on the fake chain: a model, made of the network's published unit costs.

The unit costs (felt, event, storage slot, step, Poseidon) are those of Starknet 0.14.2; what a
transaction costs besides is an assumption. Estimates and charges come from the same model, so a
test may rely on their relation and not on their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .transaction import Transaction


class Gas(NamedTuple):
    """Units of the three resources."""

    l1_gas: int = 0
    l1_data_gas: int = 0
    l2_gas: int = 0


@dataclass(frozen=True)
class Prices:
    """Fri for each unit of a resource; ``minimum_l2`` is the least the protocol accepts."""

    l1_gas: int = 30_000_000_000_000
    l1_data_gas: int = 2_000
    l2_gas: int = 8_000_000_000
    minimum_l2: int = 8_000_000_000


@dataclass(frozen=True)
class GasModel:
    """L2 gas of what a transaction does, and the two limits of a transaction."""

    base: int = 900_000  # validation, the account's dispatch, the fee's transfer: an assumption
    calldata_felt: int = 5_120  # the signature's felts too
    event_felt: int = 5_120
    event_key: int = 10_240
    slot: int = 402_000  # a storage slot that was 0
    base_data: int = 128  # L1 data gas of nonce and balances: an assumption
    slot_data: int = 32  # L1 data gas of a storage slot that was 0
    step: int = 100
    poseidon: int = 491
    max_bound: int = 1_210_000_000
    max_executed: int = 1_110_000_000

    def minimum(self, tx: Transaction) -> Gas:
        """What a transaction costs at least, whatever it does."""
        felts = len(tx.calldata) + len(tx.signature) + len(tx.proof_facts)
        return Gas(0, self.base_data, self.base + self.calldata_felt * felts)


def fee(gas: Gas, prices: Prices, tip: int) -> int:
    """What gas costs in fri; the tip is paid for each unit of L2 gas."""
    l1 = gas.l1_gas * prices.l1_gas + gas.l1_data_gas * prices.l1_data_gas
    return l1 + gas.l2_gas * (prices.l2_gas + tip)


def shortage(gas: Gas, prices: Prices, tx: Transaction) -> str | None:
    """Why the bounds of ``tx`` do not cover ``gas`` at ``prices``; None if they do."""
    for name in Gas._fields:
        bound, used, price = getattr(tx, name), getattr(gas, name), getattr(prices, name)
        if used > bound.amount:
            return f"Insufficient max {name}: max amount: {bound.amount}, actual used: {used}."
        if price > bound.price and (bound.amount or used):
            return f"Max {name} price ({bound.price}) is lower than the actual price ({price})."
    return None
