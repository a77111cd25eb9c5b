"""The fake node: a chain with contracts and a funded account, its faults, time and audits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from jaxstark.hash.poseidon252 import hash_many
from jaxstark.starknet.networks import DEPLOYER as DEPLOYER_ADDRESS
from jaxstark.starknet.networks import STRK_TOKEN as STRK_ADDRESS

from .chain import Chain, Entry
from .contracts import (
    AccountModel,
    DeployerModel,
    LogModel,
    Step,
    TokenModel,
    balance,
    balance_key,
)
from .errors import RpcError
from .faults import ERROR, Fault, Injector, RandomFaults
from .gas import Prices
from .machine import Contract, Event
from .registry_model import RegistryModel
from .rpc import SENDS, SPEC_VERSION, Rpc
from .server import Server, reply
from .state import class_key, declared_key, storage_key

INSTANT, REQUEST, MANUAL = "instant", "request", "manual"
SEPOLIA = int.from_bytes(b"SN_SEPOLIA", "big")
STRK = 10**18  # fri
MAX_TICKS = 1_000
DEFAULT_PRICES = Prices()


@dataclass(frozen=True)
class FakeAccount:
    """A funded account whose key follows from the node's seed: for tests only, never for a network.

    The key is not shown in its repr.
    """

    address: int
    public_key: int
    private_key: int = field(repr=False)


@dataclass(frozen=True)
class Sent:
    """What became of one transaction, for audits: ``fee`` and ``max_fee`` in fri."""

    hash: int
    sender: int
    nonce: int
    status: str
    reverted: str | None
    fee: int
    max_fee: int
    events: tuple[Event, ...]


class FakeNode:
    """A Starknet node for tests; a context manager that listens while it is entered.

    Args:
      seed: of keys and addresses; two nodes with one seed and the same calls answer the same.
      chain_id: as a number or as text, such as ``"SN_SEPOLIA"``.
      advance: when time passes by one ``tick``: ``"request"`` before every reading request,
        ``"instant"`` until a transaction is accepted, as soon as it is sent, ``"manual"`` only in
        ``tick`` and ``mine``.
      faults, random_faults: what goes wrong; ``inject`` adds more while it runs.
      prices: of gas, in fri.
      funds: STRK of the first account, in fri.
      spec_version: that it claims to follow.

    Attributes:
      account: the funded account.
      registry: address of the proof registry.
      requests: how many calls each method got.

    All methods may be used from any thread.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        chain_id: int | str = SEPOLIA,
        advance: str = REQUEST,
        faults: Sequence[Fault] = (),
        random_faults: RandomFaults | None = None,
        prices: Prices = DEFAULT_PRICES,
        funds: int = 1_000 * STRK,
        spec_version: str = SPEC_VERSION,
    ) -> None:
        if advance not in (INSTANT, REQUEST, MANUAL):
            raise ValueError(f"advance: expected instant, request or manual, got {advance!r}")
        if isinstance(chain_id, str):
            chain_id = int.from_bytes(chain_id.encode("ascii"), "big")
        self.seed, self.advance = seed, advance
        self.requests: dict[str, int] = {}
        self._lock = threading.RLock()
        self._made = 0
        self._chain = Chain(chain_id, verify=_verify, prices=prices)
        self._rpc = Rpc(self._chain, spec_version)
        self._injector = Injector(faults, random_faults)
        self._server = Server(self.answer)
        self._account_class = self._number("account class")
        self._chain.accounts.add(self._account_class)
        self._chain.contracts[self._account_class] = AccountModel()
        self._chain.deploy(STRK_ADDRESS, self._number("token class"), TokenModel())
        self._chain.deploy(DEPLOYER_ADDRESS, self._number("deployer class"), DeployerModel())
        self.registry = self.deploy(RegistryModel())
        self.account = self.new_account(funds)

    # ------------------------------------------------------------------ setting up

    def _number(self, *parts: int | str) -> int:
        """A felt below 2^250 that follows from the seed."""
        words = [int.from_bytes(str(part).encode(), "big") for part in (self.seed, *parts)]
        return hash_many(words) % (1 << 250) or 1

    def new_account(self, funds: int = 0) -> FakeAccount:
        """Deploy one more account and give it STRK."""
        from starknet_py.hash.address import compute_address
        from starknet_py.hash.utils import private_to_stark_key

        with self._lock:
            self._made += 1
            private = self._number("key", self._made)
            public = private_to_stark_key(private)
            address = compute_address(
                class_hash=self._account_class, constructor_calldata=[public], salt=public
            )
            self._chain.set_state(
                {
                    declared_key(self._account_class): 1,
                    class_key(address): self._account_class,
                    storage_key(address, ("public_key",)): public,
                    balance_key(STRK_ADDRESS, address): funds,
                }
            )
            return FakeAccount(address, public, private)

    def deploy(
        self, contract: Contract, address: int | None = None, class_hash: int | None = None
    ) -> int:
        """Put a contract model on the chain and give its address."""
        with self._lock:
            self._made += 1
            address = self._number("contract", self._made) if address is None else address
            if class_hash is None:
                class_hash = self._number("class", self._made)
            self._chain.deploy(address, class_hash, contract)
            return address

    def deploy_log(self, steps: Mapping[str, Step]) -> int:
        """Put a ``LogModel`` with these entry points on the chain and give its address."""
        return self.deploy(LogModel(dict(steps)))

    def know_class(self, class_hash: int, contract: Contract) -> None:
        """What contracts of a class do that is declared and deployed later, by transactions."""
        with self._lock:
            self._chain.contracts[class_hash] = contract

    def fund(self, address: int, amount: int) -> None:
        """Set the STRK balance of an address, in fri."""
        with self._lock:
            self._chain.set_state({balance_key(STRK_ADDRESS, address): amount})

    def set_prices(self, **prices: int) -> None:
        """Change some of the attributes of ``Prices`` from now on."""
        with self._lock:
            self._chain.prices = replace(self._chain.prices, **prices)

    def inject(self, fault: Fault) -> None:
        """One more fault, counting calls from now on."""
        with self._lock:
            self._injector.add(fault)

    # ------------------------------------------------------------------ time

    def tick(self, count: int = 1) -> None:
        """Let time pass."""
        with self._lock:
            for _ in range(count):
                self._chain.tick()

    def mine(self) -> None:
        """Let time pass until nothing executable waits; then close a block, empty if need be."""
        with self._lock:
            before = self._chain.latest.number
            self._settle()
            if self._chain.latest.number == before:
                self._chain.close_block()

    def _settle(self) -> None:
        for _ in range(MAX_TICKS):
            self._chain.tick()
            if not self._chain.open and not any(
                map(self._chain.will_execute, self._chain.mempool())
            ):
                return

    def reorg(self, transaction_hash: int) -> None:
        """Undo the block of a transaction and all later ones; it is forgotten, the others wait."""
        with self._lock:
            self._chain.reorg(transaction_hash)

    # ------------------------------------------------------------------ auditing

    @property
    def chain_id(self) -> int:
        """The chain's id as a number."""
        return self._chain.chain_id

    @property
    def block_number(self) -> int:
        """The number of the last closed block."""
        with self._lock:
            return self._chain.latest.number

    @property
    def struck(self) -> list[tuple[str, str]]:
        """Method and name of every fault that struck, in order."""
        with self._lock:
            return list(self._injector.struck)

    def nonce(self, address: int) -> int:
        """The nonce of an account in the pre-confirmed state."""
        with self._lock:
            return self._chain.nonce(address)

    def balance(self, address: int) -> int:
        """The STRK of an address in the pre-confirmed state, in fri."""
        with self._lock:
            return balance(self._chain.state, address)

    def transactions(self, status: str | None = None) -> list[Sent]:
        """Every transaction that the chain knows, in order of acceptance, or those of a status."""
        with self._lock:
            known = sorted(self._chain.entries.values(), key=lambda e: e.order)
            return [_sent(e) for e in known if status in (None, e.status)]

    def events(self, address: int | None = None) -> list[Event]:
        """All events of accepted blocks, in order, or those of one contract."""
        with self._lock:
            entries = [e for block in self._chain.blocks for e in block.entries]
            found = [v for e in entries if e.outcome for v in e.outcome.events]
            return [v for v in found if address in (None, v.address)]

    # ------------------------------------------------------------------ answering

    def answer(self, body: object) -> tuple[Any, Fault | None]:
        """The answer to one JSON-RPC request, and the fault that spoils its delivery, if any."""
        if not isinstance(body, dict) or not isinstance(body.get("method"), str):
            return reply(None, error=RpcError(-32600)), None
        ident, method = body.get("id"), body["method"].removeprefix("starknet_")
        with self._lock:
            self.requests[method] = self.requests.get(method, 0) + 1
            fault = self._injector.next(method)
            if fault is not None and fault.answer and not fault.after:
                if fault.answer == ERROR:
                    return reply(ident, error=RpcError(fault.code)), None
                return None, fault
            sends = method in SENDS
            if self.advance == REQUEST and not sends:
                self._chain.tick()
            try:
                fates = () if fault is None else (fault.fate,)
                result = self._rpc.call(method, body.get("params"), *fates)
            except RpcError as error:
                return reply(ident, error=error), None if fault is None else _wire(fault)
            if self.advance == INSTANT and sends:
                self._settle()
            if fault is not None and fault.answer == ERROR:
                return reply(ident, error=RpcError(fault.code)), None
            return reply(ident, result), None if fault is None else _wire(fault)

    # ------------------------------------------------------------------ serving

    @property
    def url(self) -> str:
        """Where it listens; ``ValueError`` if it does not."""
        return self._server.url

    def start(self) -> Self:
        """Listen on a free port of the loopback interface; ``url`` says where."""
        self._server.start()
        return self

    def close(self) -> None:
        """Stop listening; the chain may still be audited."""
        self._server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _verify(digest: int, signature: tuple[int, ...], public_key: int) -> bool:
    """Whether (r, s) is a Stark signature of ``digest`` by a key."""
    from starknet_py.constants import EC_ORDER
    from starknet_py.hash.utils import verify_message_signature

    if len(signature) != 2 or not all(0 < v < EC_ORDER for v in signature):
        return False
    return verify_message_signature(digest, list(signature), public_key)


def _wire(fault: Fault) -> Fault | None:
    """The fault if it touches the delivery of an answer."""
    return fault if fault.answer or fault.seconds else None


def _sent(entry: Entry) -> Sent:
    tx, outcome = entry.tx, entry.outcome
    return Sent(
        hash=entry.hash,
        sender=tx.sender,
        nonce=tx.nonce,
        status=entry.status,
        reverted=None if outcome is None else outcome.revert_reason,
        fee=entry.fee,
        max_fee=tx.max_fee,
        events=() if outcome is None else outcome.events,
    )
