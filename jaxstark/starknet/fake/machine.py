"""Execution on the fake chain: calls of contract models, events, gas and reverts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

from jaxstark.hash.poseidon252 import F252
from jaxstark.starknet.felts import short_string

from .errors import Revert
from .gas import Gas, GasModel
from .state import State, class_key, declared_key, storage_key
from .transaction import Transaction, calls_of

MAX_DEPTH = 50


@cache
def selector(name: str) -> int:
    """The selector of an entry point or an event: Starknet's Keccak of its name."""
    from starknet_py.hash.selector import get_selector_from_name

    return get_selector_from_name(name)


class Event(NamedTuple):
    """An event that a contract emitted."""

    address: int
    keys: tuple[int, ...]
    data: tuple[int, ...]


class Called(NamedTuple):
    """One call that was made, for traces."""

    caller: int
    address: int
    selector: int
    calldata: tuple[int, ...]
    result: tuple[int, ...]
    events: tuple[Event, ...] = ()


EntryPoint = Callable[["Context", Sequence[int]], Sequence[int]]


class Contract:
    """A contract's code: what each entry point, by selector, does with its calldata."""

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """Entry points by selector; each returns felts or raises ``Revert``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Outcome:
    """What a transaction did: its events, gas and calls, or why it was reverted."""

    gas: Gas
    events: tuple[Event, ...] = ()
    calls: tuple[Called, ...] = ()
    revert_reason: str | None = None


@dataclass
class Machine:
    """One execution over a state that it may write: contracts, block and what was used."""

    state: State
    contracts: Mapping[int, Contract]  # by class hash
    model: GasModel
    block_number: int
    events: list[Event] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    spent: int = 0
    data_spent: int = 0

    def call(
        self, caller: int, address: int, entry: int, calldata: Sequence[int], depth: int = 0
    ) -> tuple[int, ...]:
        """Call a contract; ``Revert`` carries the contract's reason or the network's."""
        contract = self.contracts.get(self.state.read(class_key(address)))
        if contract is None:
            raise Revert(f"Requested contract address {address:#x} is not deployed")
        run = contract.entry_points.get(entry)
        if run is None:
            raise Revert("ENTRYPOINT_NOT_FOUND")
        if depth > MAX_DEPTH:
            raise Revert("recursion depth exceeded")
        before = len(self.events)
        result = tuple(run(Context(self, caller, address, depth), tuple(calldata)))
        own = tuple(event for event in self.events[before:] if event.address == address)
        self.calls.append(Called(caller, address, entry, tuple(calldata), result, own))
        return result


@dataclass(frozen=True)
class Context:
    """What a contract sees while it runs."""

    machine: Machine
    caller: int
    address: int
    depth: int = 0

    @property
    def block_number(self) -> int:
        """The block that is being built."""
        return self.machine.block_number

    def read(self, *key: int | str) -> int:
        """A variable of this contract."""
        return self.machine.state.read(storage_key(self.address, key))

    def write(self, value: int, *key: int | str, charged: bool = True) -> None:
        """Set a variable of this contract; ``charged=False`` if the true one has no slot for it."""
        if not 0 <= value < F252:
            raise ValueError(f"value: expected a felt, got {value}")
        model, place = self.machine.model, storage_key(self.address, key)
        if charged and value and not self.machine.state.read(place):
            self.machine.spent += model.slot
            self.machine.data_spent += model.slot_data
        self.machine.state.write(place, value)

    def emit(self, keys: Iterable[int], data: Iterable[int]) -> None:
        """Emit an event."""
        event = Event(self.address, tuple(keys), tuple(data))
        model = self.machine.model
        self.machine.spent += model.event_key * len(event.keys) + model.event_felt * len(event.data)
        self.machine.events.append(event)

    def charge(self, steps: int = 0, poseidons: int = 0) -> None:
        """Count computation."""
        model = self.machine.model
        self.machine.spent += model.step * steps + model.poseidon * poseidons

    def call(self, address: int, entry: int, calldata: Sequence[int]) -> tuple[int, ...]:
        """Call another contract as this one."""
        return self.machine.call(self.address, address, entry, calldata, self.depth + 1)

    def deploy(self, address: int, class_hash: int) -> None:
        """Put a class at a free address."""
        if not self.machine.state.read(declared_key(class_hash)):
            raise Revert("class not declared")
        if self.machine.state.read(class_key(address)):
            raise Revert("contract already deployed")
        self.machine.spent += self.machine.model.slot
        self.machine.data_spent += self.machine.model.slot_data
        self.machine.state.write(class_key(address), class_hash)


def run_calls(machine: Machine, tx: Transaction, forced: str | None = None) -> Outcome:
    """Execute the calls of an invoke transaction: all of them, or none if one reverts.

    ``forced`` makes the last call revert with that reason.
    """
    start, minimum = machine.state.mark(), machine.model.minimum(tx)
    at = (tx.sender, selector("__execute__"))
    reason = None
    try:
        for address, entry, calldata in calls_of(tx.calldata):
            at = (address, entry)
            machine.call(tx.sender, address, entry, calldata)
        if forced is not None:
            raise Revert(forced)
    except (Revert, ValueError) as error:
        place = class_key(at[0])
        reason = explain(str(error), *at, class_hash=machine.state.read(place))
        machine.state.rollback(start)
    l2 = minimum.l2_gas + machine.spent
    if l2 > machine.model.max_executed and reason is None:
        machine.state.rollback(start)
        reason = explain("Out of gas", *at, class_hash=machine.state.read(class_key(at[0])))
        l2 = machine.model.max_executed
    gas = Gas(0, minimum.l1_data_gas + (0 if reason else machine.data_spent), l2)
    if reason is not None:
        return Outcome(gas, revert_reason=reason)
    return Outcome(gas, tuple(machine.events), tuple(machine.calls))


def explain(reason: str, address: int, entry: int, class_hash: int) -> str:
    """The text of a revert, in the network's manner: where, and the panic with its felts."""
    where = (
        f"Error in the called contract (contract address: {address:#066x}, "
        f"class hash: {class_hash:#066x}, selector: {entry:#066x})"
    )
    failure = reason
    if len(reason) <= 31 and reason.isascii():
        failed = short_string("ENTRYPOINT_FAILED")
        failure = f"({short_string(reason):#x} ('{reason}'), {failed:#x} ('ENTRYPOINT_FAILED'))"
    return (
        f"Transaction execution has failed:\n0: {where}:\n"
        f"Execution failed. Failure reason:\n{failure}.\n"
    )
