"""The fake chain: mempool, blocks, finality and time.

A transaction is RECEIVED when it is accepted, PRE_CONFIRMED after the ``tick`` that executes it,
ACCEPTED_ON_L2 after the one that closes its block. A fate (see ``faults``) makes it do otherwise.
What may enter the mempool is in ``gateway``. The same hash is a duplicate until its block is
accepted, and then its nonce is too low; a transaction behind a gap of nonces waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from jaxstark.hash.poseidon252 import hash_many
from jaxstark.starknet.networks import STRK_TOKEN as STRK_ADDRESS

from . import gas, gateway
from .contracts import balance, balance_key
from .errors import RpcError
from .gas import Gas, GasModel, Prices
from .machine import Contract, Event, Machine, Outcome, run_calls, selector
from .state import Key, State, class_key, declared_key, nonce_key, storage_key
from .transaction import DECLARE, INVOKE, Transaction, transaction_hash

RECEIVED, PRE_CONFIRMED, ACCEPTED = "RECEIVED", "PRE_CONFIRMED", "ACCEPTED_ON_L2"
SEQUENCER = 0x1176A1BD84444C89232EC27754698E5D2E7E1A7F1539F12027F28B23EC9F3D8
GENESIS_TIME, BLOCK_SECONDS = 1_750_000_000, 4


@dataclass(frozen=True)
class Fate:
    """What happens to an accepted transaction; ticks are counted from its acceptance.

    Attributes:
      revert: reason with which its execution is reverted, or None.
      wait_execution, wait_block: extra ticks as RECEIVED, as PRE_CONFIRMED.
      hide: for so many ticks nobody is told of it, as by a node that lags behind.
      evict: it is dropped from the mempool at the next tick, without a trace.
      reorg: ``PRE_CONFIRMED`` or ``ACCEPTED_ON_L2``: one tick after it gets there its block and
        all later ones are undone; it is forgotten, the others return to the mempool.
    """

    revert: str | None = None
    wait_execution: int = 0
    wait_block: int = 0
    hide: int = 0
    evict: bool = False
    reorg: str | None = None


NO_FATE = Fate()


@dataclass
class Entry:
    """An accepted transaction and what became of it."""

    tx: Transaction
    hash: int
    order: int
    accepted_at: int
    fate: Fate
    status: str = RECEIVED
    status_since: int = 0
    block: int | None = None
    index: int = 0
    outcome: Outcome | None = None
    fee: int = 0


@dataclass
class Block:
    """A closed block; ``mark`` is the state's journal before its first transaction."""

    number: int
    hash: int
    parent: int
    mark: int
    end: int
    entries: list[Entry]
    prices: Prices


@dataclass
class Chain:
    """State, contracts, mempool and blocks; no threads, no clock, nothing on disk.

    ``verify`` tells whether a signature (r, s) of a hash is of a public key.
    """

    chain_id: int
    verify: Callable[[int, tuple[int, ...], int], bool]
    prices: Prices = Prices()
    model: GasModel = GasModel()
    state: State = field(default_factory=State)
    contracts: dict[int, Contract] = field(default_factory=dict)
    classes: dict[int, dict] = field(default_factory=dict)  # declared, by class hash
    accounts: set[int] = field(default_factory=set)  # class hashes that are accounts
    entries: dict[int, Entry] = field(default_factory=dict)  # all that are known, by hash
    pool: dict[int, Entry] = field(default_factory=dict)  # those that are RECEIVED
    fated: dict[int, Entry] = field(default_factory=dict)  # those that a reorg will undo
    blocks: list[Block] = field(default_factory=list)
    open: list[Entry] = field(default_factory=list)  # the pre-confirmed block
    time: int = 0
    counter: int = 0
    reorgs: int = 0

    def __post_init__(self) -> None:
        self._append_block([], self.state.mark())

    # ------------------------------------------------------------------ reading

    @property
    def latest(self) -> Block:
        """The last closed block."""
        return self.blocks[-1]

    @property
    def accepted(self) -> State:
        """The state after the last closed block."""
        return self.state.view(self.latest.end) if self.open else self.state

    def nonce(self, address: int, state: State | None = None) -> int:
        """The nonce of an account, of the pre-confirmed state unless given another."""
        return (self.state if state is None else state).read(nonce_key(address))

    def known(self, digest: int) -> Entry | None:
        """A transaction, unless nobody is told of it yet."""
        entry = self.entries.get(digest)
        if entry is None or 0 < entry.fate.hide >= self.time - entry.accepted_at:
            return None
        return entry

    def mempool(self) -> list[Entry]:
        """Transactions that wait for execution, by tip and then age."""
        return sorted(self.pool.values(), key=lambda e: (-e.tx.tip, e.order))

    # ------------------------------------------------------------------ setting up

    def deploy(self, address: int, class_hash: int, contract: Contract) -> None:
        """Put a contract model at an address, as if it had always been there."""
        self.contracts[class_hash] = contract
        self.set_state({declared_key(class_hash): 1, class_key(address): class_hash})

    def set_state(self, values: Mapping[Key, int]) -> None:
        """Change the state outside any transaction; closes the open block first."""
        if self.open:
            self.close_block()
        for key, value in values.items():
            self.state.write(key, value)
        self.latest.end = self.state.mark()

    # ------------------------------------------------------------------ accepting

    def submit(self, tx: Transaction, fate: Fate = NO_FATE) -> int:
        """Accept a transaction into the mempool and give its hash; ``RpcError`` if refused."""
        gateway.check_form(tx, self.prices, self.model)
        digest = transaction_hash(tx, self.chain_id)
        gateway.check_state(tx, self.accepted, self.accounts, self.prices, self.model)
        self.check_signature(tx, digest)
        known = self.entries.get(digest)
        if known is not None and known.status != ACCEPTED:
            raise RpcError(59)
        if tx.nonce < self.nonce(tx.sender):
            raise gateway.bad_nonce(tx, self.nonce(tx.sender))
        rival = next(
            (e for e in self.mempool() if (e.tx.sender, e.tx.nonce) == (tx.sender, tx.nonce)), None
        )
        if rival is not None:
            gateway.check_replacement(tx, rival.tx)
            self._forget(rival)
        self.counter += 1
        entry = Entry(tx, digest, self.counter, self.time, fate)
        self.entries[digest] = self.pool[digest] = entry
        if fate.reorg is not None:
            self.fated[digest] = entry
        return digest

    def check_signature(self, tx: Transaction, digest: int) -> None:
        """RPC error 55 unless the sender's key signed the hash."""
        if not self.verify(digest, tx.signature, gateway.public_key(tx, self.state)):
            raise RpcError(55, "Account: invalid signature")

    def _forget(self, entry: Entry) -> None:
        for known in (self.entries, self.pool, self.fated):
            known.pop(entry.hash, None)

    # ------------------------------------------------------------------ executing

    def machine(self, state: State | None = None) -> Machine:
        """An execution over the pre-confirmed state, or another."""
        state = self.state if state is None else state
        return Machine(state, self.contracts, self.model, self.latest.number + 1)

    def execute(self, tx: Transaction, state: State, forced: str | None = None) -> Outcome:
        """Run a transaction over a state, nonce included and fee not."""
        machine = self.machine(state)
        state.write(nonce_key(tx.sender), tx.nonce + 1)
        if tx.kind == INVOKE:
            return run_calls(machine, tx, forced)
        used = self.model.minimum(tx)
        if tx.kind == DECLARE:
            state.write(declared_key(tx.class_hash), 1)
            return Outcome(Gas(0, used.l1_data_gas + 64, used.l2_gas + 2 * self.model.slot))
        state.write(class_key(tx.sender), tx.class_hash)
        key = tx.calldata[0] if tx.calldata else 0
        state.write(storage_key(tx.sender, ("public_key",)), key)
        return Outcome(Gas(0, used.l1_data_gas + 64, used.l2_gas + 2 * self.model.slot))

    def run(
        self, tx: Transaction, state: State, forced: str | None = None, pays: bool = True
    ) -> tuple[Outcome, int]:
        """Execute and charge, as the network does; gives the outcome and the fee.

        An execution that the bounds or the balance do not cover is undone; it costs what was used,
        at most the bounds. ``pays=False`` charges nothing and ignores the bounds.
        """
        start = state.mark()
        outcome = self.execute(tx, state, forced)
        due = gas.fee(outcome.gas, self.prices, tx.tip)
        if not pays:
            return outcome, due
        short = gas.shortage(outcome.gas, self.prices, tx)
        if short is None and due > balance(state, tx.sender):
            short = f"Insufficient fee token balance: the fee is {due}."
        if short is not None:
            state.rollback(start)
            state.write(nonce_key(tx.sender), tx.nonce + 1)
            bounds = (tx.l1_gas.amount, tx.l1_data_gas.amount, tx.l2_gas.amount)
            used = Gas(*(min(a, b) for a, b in zip(outcome.gas, bounds, strict=True)))
            outcome = Outcome(used, revert_reason=outcome.revert_reason or short)
            due = gas.fee(used, self.prices, tx.tip)
        for owner, change in ((tx.sender, -due), (SEQUENCER, due)):
            state.write(balance_key(STRK_ADDRESS, owner), balance(state, owner) + change)
        moved = Event(STRK_ADDRESS, (selector("Transfer"), tx.sender, SEQUENCER), (due, 0))
        return replace(outcome, events=(*outcome.events, moved)), due

    # ------------------------------------------------------------------ time

    def tick(self) -> None:
        """Let time pass once: undo what is fated to, close the open block, execute what waits."""
        self.time += 1
        self._undo_fated()
        if self.open and all(self.time > e.status_since + e.fate.wait_block for e in self.open):
            self.close_block()
        if not self.open:
            self._execute_waiting()

    def close_block(self) -> None:
        """Close the open block, which may be empty."""
        entries, self.open = self.open, []
        self._append_block(entries, self.latest.end)
        for entry in entries:
            entry.status, entry.status_since = ACCEPTED, self.time

    def _append_block(self, entries: list[Entry], mark: int) -> None:
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else 0
        digest = hash_many([parent, number, self.reorgs, *(e.hash for e in entries)])
        self.blocks.append(
            Block(number, digest, parent, mark, self.state.mark(), entries, self.prices)
        )

    def _execute_waiting(self) -> None:
        for entry in [e for e in self.mempool() if e.fate.evict]:
            self._forget(entry)
        progress = True
        while progress:
            progress = False
            for entry in self.mempool():
                if self._executable(entry):
                    self._include(entry)
                    progress = True

    def _executable(self, entry: Entry) -> bool:
        waited = self.time > entry.accepted_at + entry.fate.wait_execution
        return waited and self.will_execute(entry)

    def will_execute(self, entry: Entry) -> bool:
        """Whether a waiting transaction needs only time: not an earlier nonce, nor lower prices."""
        tx = entry.tx
        return (
            tx.nonce == self.nonce(tx.sender)
            and gas.shortage(self.model.minimum(tx), self.prices, tx) is None
        )

    def _include(self, entry: Entry) -> None:
        if entry.tx.max_fee > balance(self.state, entry.tx.sender):
            self._forget(entry)  # the sender can no longer pay: it is rejected
            return
        del self.pool[entry.hash]
        entry.outcome, entry.fee = self.run(entry.tx, self.state, entry.fate.revert)
        entry.status, entry.status_since = PRE_CONFIRMED, self.time
        entry.block, entry.index = len(self.blocks), len(self.open)
        self.open.append(entry)

    def _undo_fated(self) -> None:
        for entry in list(self.fated.values()):
            if entry.fate.reorg == entry.status and self.time > entry.status_since:
                self.reorg(entry.hash)

    def reorg(self, digest: int) -> None:
        """Undo the block of a transaction and all later ones, and forget the transaction.

        The other transactions of those blocks return to the mempool.
        """
        entry = self.entries[digest]
        if entry.block is None:
            raise ValueError(f"transaction: expected one in a block, got {digest:#x}")
        self.reorgs += 1
        undone = [e for block in self.blocks[entry.block :] for e in block.entries] + self.open
        if entry.block < len(self.blocks):
            mark = self.blocks[entry.block].mark
        else:
            mark = self.latest.end
        self.state.rollback(mark)
        del self.blocks[entry.block :]
        self.open = []
        for other in undone:
            other.status, other.block, other.outcome, other.fee = RECEIVED, None, None, 0
            other.accepted_at = self.time
            self.pool[other.hash] = other
        self._forget(entry)
