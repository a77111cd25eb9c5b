"""Contract models that every fake chain has or may have: account, STRK, deployer, logs.

A model does what the contract's interface promises; no Cairo code runs here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jaxstark.hash.poseidon252 import hash_many
from jaxstark.starknet.felts import short_string
from jaxstark.starknet.networks import STRK_TOKEN as STRK_ADDRESS

from .errors import Revert
from .machine import Context, Contract, EntryPoint, selector
from .state import Key, State, storage_key

_U128 = 1 << 128
MAX_EVENT_DATA = 300  # felts


def need(condition: object, reason: str) -> None:
    """Revert unless ``condition`` holds."""
    if not condition:
        raise Revert(reason)


@dataclass(frozen=True)
class AccountModel(Contract):
    """An account with one Stark key; the chain itself checks its signatures and makes its calls."""

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """The key, and whether an interface is supported (SRC-5 alone)."""
        return {
            selector("get_public_key"): lambda ctx, _: [ctx.read("public_key")],
            selector("supports_interface"): lambda _, data: [int(bool(data) and data[0] == SRC5)],
        }


SRC5 = 0x3F918D17E5EE77373B56385708F855659A07F75997F365CF87748628532A055


def balance_key(token: int, owner: int) -> Key:
    """Where a token's balance lies in the state, as one number."""
    return storage_key(token, ("balance", owner))


def balance(state: State, owner: int, token: int = STRK_ADDRESS) -> int:
    """Fri (or the token's smallest unit) that an address owns."""
    return state.read(balance_key(token, owner))


@dataclass(frozen=True)
class TokenModel(Contract):
    """An ERC-20 token with amounts below 2^128: transfer, transfer_from, approve and the views."""

    name: str = "Starknet Token"
    symbol: str = "STRK"

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """Both the snake_case and the camelCase names of the interface."""
        named = {
            "transfer": self._transfer,
            "transfer_from": self._transfer_from,
            "transferFrom": self._transfer_from,
            "approve": self._approve,
            "balance_of": lambda ctx, data: [ctx.read("balance", _one(data)), 0],
            "balanceOf": lambda ctx, data: [ctx.read("balance", _one(data)), 0],
            "allowance": lambda ctx, data: [ctx.read("allowance", *_two(data)), 0],
            "name": lambda *_: [short_string(self.name)],
            "symbol": lambda *_: [short_string(self.symbol)],
            "decimals": lambda *_: [18],
        }
        return {selector(name): run for name, run in named.items()}

    def _move(self, ctx: Context, sender: int, recipient: int, amount: int) -> list[int]:
        need(recipient, "ERC20: transfer to 0")
        held = ctx.read("balance", sender)
        need(held >= amount, "ERC20: insufficient balance")
        ctx.write(held - amount, "balance", sender)
        ctx.write(ctx.read("balance", recipient) + amount, "balance", recipient)
        ctx.emit([selector("Transfer"), sender, recipient], [amount, 0])
        return [1]

    def _transfer(self, ctx: Context, data: Sequence[int]) -> list[int]:
        recipient, amount = _amount(data, 1)
        return self._move(ctx, ctx.caller, recipient, amount)

    def _transfer_from(self, ctx: Context, data: Sequence[int]) -> list[int]:
        *(owner, recipient), amount = _amount(data, 2)
        allowed = ctx.read("allowance", owner, ctx.caller)
        need(allowed >= amount, "ERC20: insufficient allowance")
        ctx.write(allowed - amount, "allowance", owner, ctx.caller)
        return self._move(ctx, owner, recipient, amount)

    def _approve(self, ctx: Context, data: Sequence[int]) -> list[int]:
        spender, amount = _amount(data, 1)
        ctx.write(amount, "allowance", ctx.caller, spender)
        ctx.emit([selector("Approval"), ctx.caller, spender], [amount, 0])
        return [1]


def _one(data: Sequence[int]) -> int:
    need(len(data) == 1, "Failed to deserialize param #1")
    return data[0]


def _two(data: Sequence[int]) -> Sequence[int]:
    need(len(data) == 2, "Failed to deserialize param #1")
    return data


def _amount(data: Sequence[int], addresses: int) -> list[int]:
    """Addresses, then an amount made of two halves of a u256 of which the upper one is 0."""
    need(len(data) == addresses + 2, "Failed to deserialize param #1")
    need(data[-2] < _U128 and data[-1] == 0, "ERC20: insufficient balance")
    return list(data[:-1])


@dataclass(frozen=True)
class DeployerModel(Contract):
    """The universal deployer: ``deployContract(class, salt, unique, calldata)``."""

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """``deployContract`` and its snake_case name."""
        return {selector(n): self._deploy for n in ("deployContract", "deploy_contract")}

    def _deploy(self, ctx: Context, data: Sequence[int]) -> list[int]:
        from starknet_py.hash.address import compute_address
        from starknet_py.hash.utils import pedersen_hash

        need(len(data) >= 4 and len(data) == 4 + data[3], "Failed to deserialize param #1")
        class_hash, salt, unique, _, *arguments = data
        address = compute_address(
            class_hash=class_hash,
            constructor_calldata=arguments,
            salt=pedersen_hash(ctx.caller, salt) if unique else salt,
            deployer_address=ctx.address if unique else 0,
        )
        ctx.deploy(address, class_hash)
        ctx.emit(
            [selector("ContractDeployed")],
            [address, ctx.caller, unique, class_hash, len(arguments), *arguments, salt],
        )
        return [address]


@dataclass(frozen=True)
class Step:
    """What one entry point of a ``LogModel`` asks of its calldata and emits.

    Attributes:
      event: name of the event; its keys are the caller and the key felts, its data the rest.
      keys, at: how many felts of the calldata name the thing that the call is about, and where
        they begin (from the end if negative).
      once: name of a mark that a call sets for its keys and that must not be set yet; "" for none.
      after: name of a mark that an earlier call must have set; "" for none.
      exists, missing: reasons of the reverts.
    """

    event: str
    keys: int = 1
    at: int = 0
    once: str = ""
    after: str = ""
    exists: str = "already registered"
    missing: str = "not registered"


@dataclass(frozen=True)
class LogModel(Contract):
    """A contract whose entry points check an order of steps and emit one event each.

    It stands for contracts of other people whose interface is a list of names: a job registry, a
    router, a marketplace. Views: ``has_<mark>(key...)`` for every mark that a step sets.
    """

    steps: Mapping[str, Step] = field(default_factory=dict)

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """One for each step, and the views."""
        out = {selector(name): self._entry(step) for name, step in self.steps.items()}
        for mark in sorted({step.once for step in self.steps.values() if step.once}):
            out[selector(f"has_{mark}")] = self._view(mark)
        return out

    @staticmethod
    def _view(mark: str) -> EntryPoint:
        return lambda ctx, data: [ctx.read(mark, *data)]

    @staticmethod
    def _entry(step: Step) -> EntryPoint:
        def run(ctx: Context, data: Sequence[int]) -> Sequence[int]:
            start = step.at if step.at >= 0 else len(data) + step.at
            need(0 <= start <= len(data) - step.keys, "Failed to deserialize param #1")
            keys, rest = (
                data[start : start + step.keys],
                (*data[:start], *data[start + step.keys :]),
            )
            need(not step.after or ctx.read(step.after, *keys), step.missing)
            if step.once:
                need(not ctx.read(step.once, *keys), step.exists)
                ctx.write(1, step.once, *keys)
            ctx.charge(steps=400 + 20 * len(data))
            # An event holds at most 300 felts: of more, the hash stands for them.
            short = len(rest) <= MAX_EVENT_DATA
            ctx.emit(
                [selector(step.event), ctx.caller, *keys], rest if short else [hash_many(rest)]
            )
            return []

        return run


def job_steps() -> dict[str, Step]:
    """The five calls of a compute marketplace, about a job whose number is a u256 (two felts).

    Their arguments: ``register_job(job_id ...)``, ``submit_proof(message, statement_hash,
    job_id)``, ``register_with_router(job_id ...)``, ``pay(amount, job_id)`` with a u256 amount and
    ``submit_result(job_id ...)``. A job is registered once and has one result.
    """
    return {
        "register_job": Step("JobRegistered", keys=2, once="job", exists="job exists"),
        "submit_proof": Step("ProofSubmitted", keys=2, at=-2, after="job", missing="no such job"),
        "register_with_router": Step("JobRouted", keys=2, after="job", missing="no such job"),
        "pay": Step("JobPaid", keys=2, at=2, after="job", missing="no such job"),
        "submit_result": Step(
            "ResultSubmitted",
            keys=2,
            once="result",
            after="job",
            exists="result exists",
            missing="no such job",
        ),
    }
