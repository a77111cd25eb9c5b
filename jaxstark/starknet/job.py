"""Jobs: a typed description of what a submission tells the contracts, and the calls that follow.

A job is made of steps. ``record`` hands the message to the registry; it is there in every job, and
its event is what success means. Five more steps are the counterparts of a marketplace's calls and
are made where a target is configured for them: contract addresses, entry points and, if they differ
from the ones below, arguments are configuration.

========================  =========================================================  ============
step                      arguments                                                  transaction
========================  =========================================================  ============
register_job              job_id worker client amount value private                  first
record                    message                                                    every
submit_proof              message statement_hash job_id                              every
register_with_router      job_id worker private                                      last
pay                       amount job_id                                              last
submit_result             job_id worker result_hash measurement signature            last
========================  =========================================================  ============

A message of several chunks is one transaction per chunk. A ``u256`` is its low 128 bits, then its
high 128 bits; an array is its length, then its felts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from jaxstark import wire
from jaxstark.starknet.calls import CALL_HEAD_FELTS, MULTICALL_FELTS, Call, invoke_felts
from jaxstark.starknet.envelope import MAX_CALLDATA
from jaxstark.starknet.felts import PRIME, split_u256
from jaxstark.starknet.header import Header

RECORD = "record"
STEPS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "register_job": (("job_id", "worker", "client", "amount", "value", "private"), "first"),
        RECORD: (("message",), "every"),
        "submit_proof": (("message", "statement_hash", "job_id"), "every"),
        "register_with_router": (("job_id", "worker", "private"), "last"),
        "pay": (("amount", "job_id"), "last"),
        "submit_result": (
            ("job_id", "worker", "result_hash", "measurement", "signature"),
            "last",
        ),
    }
)
"""Step, in the order of the calls: default arguments, and the transactions that have it."""

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "job_id": "u256",
        "worker": "address",
        "client": "address",
        "amount": "u256",
        "value": "u256",
        "private": "bool",
        "result_hash": "felt",
        "measurement": "felt",
        "signature": "felts",
        "message": "felts",
        "statement_hash": "felt",
        "digest": "felt",
    }
)
"""Type of every argument; the last three come from the message."""


@dataclass(frozen=True)
class Target:
    """Where a step goes.

    Attributes:
      contract: address.
      entry_point: name of the function.
      arguments: names of ``TYPES`` in order; None for the default of the step.

    Raises ``ValueError`` for a malformed field.
    """

    contract: int
    entry_point: str
    arguments: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if type(self.contract) is not int or not 0 < self.contract < PRIME:
            raise ValueError(f"contract: expected an address, got {wire.describe(self.contract)}")
        if type(self.entry_point) is not str or not self.entry_point.isidentifier():
            raise ValueError(
                "entry point: expected the name of a function, got "
                f"{wire.describe(self.entry_point)}"
            )
        for name in self.arguments or ():
            if name not in TYPES:
                raise ValueError(
                    f"argument of {self.entry_point}: expected one of {', '.join(TYPES)}, got "
                    f"{name!r}"
                )


@dataclass(frozen=True)
class Job:
    """What is said about a proof beside the proof, and to whom.

    Attributes:
      targets: step to target; always with ``record``.
      job_id, amount, value: integers below 2^256.
      worker, client: addresses; 0 for none.
      private: whether the marketplace keeps the job's payment private.
      result_hash: felt; None for the statement hash of the proof.
      measurement: felt of an attestation; 0 for none.
      signature: felts of an attestation.

    Raises ``ValueError`` for a missing or unknown step or a field out of range.
    """

    targets: Mapping[str, Target]
    job_id: int = 0
    worker: int = 0
    client: int = 0
    amount: int = 0
    value: int = 0
    private: bool = False
    result_hash: int | None = None
    measurement: int = 0
    signature: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if RECORD not in self.targets:
            raise ValueError(f"targets: expected the step {RECORD}, got {sorted(self.targets)}")
        for step in self.targets:
            if step not in STEPS:
                raise ValueError(f"step: expected one of {', '.join(STEPS)}, got {step!r}")
        if "message" not in self._names(RECORD):
            raise ValueError(f"arguments of {RECORD}: expected message among them, got none")
        for name, value in self._values().items():
            encode(name, value)

    @staticmethod
    def record_only(registry: int) -> Job:
        """A job that hands the message to a registry and does nothing else."""
        return Job({RECORD: Target(registry, RECORD)})

    @property
    def registry(self) -> int:
        """Address of the registry."""
        return self.targets[RECORD].contract

    def _names(self, step: str) -> tuple[str, ...]:
        """Names of the arguments of a step that has a target."""
        names = self.targets[step].arguments
        return STEPS[step][0] if names is None else names

    def _values(self) -> dict[str, Any]:
        names = (f.name for f in fields(self) if f.name != "targets")
        return {name: getattr(self, name) for name in names} | {
            "result_hash": self.result_hash or 0
        }

    def calls(self, chunks: Sequence[Sequence[int]]) -> tuple[tuple[Call, ...], ...]:
        """The calls of every transaction, one transaction per chunk.

        Raises ``ValueError`` if a transaction would have more than 5,000 felts and
        ``ProofShapeError`` for a chunk without a good header.
        """
        out = []
        for index, chunk in enumerate(chunks):
            header = Header.decode(chunk)
            values = self._values() | {
                "message": tuple(chunk),
                "statement_hash": header.statement,
                "digest": header.digest,
            }
            if self.result_hash is None:
                values["result_hash"] = header.statement
            calls = tuple(
                Call(
                    step,
                    self.targets[step].contract,
                    self.targets[step].entry_point,
                    tuple(f for name in self._names(step) for f in encode(name, values[name])),
                )
                for step, (_, when) in STEPS.items()
                if step in self.targets
                if when == "every"
                or (when == "first" and index == 0)
                or (when == "last" and index == len(chunks) - 1)
            )
            require_room(invoke_felts(calls), f"transaction {index + 1} of {len(chunks)}")
            out.append(calls)
        return tuple(out)

    def chunk_room(self, limit: int, proof_facts: int = 0) -> int:
        """Felts of a chunk such that every transaction keeps within ``limit`` felts.

        Raises ``ValueError`` if there is no room for a chunk.
        """
        fixed, copies = MULTICALL_FELTS + proof_facts, 0
        for step in self.targets:
            fixed += CALL_HEAD_FELTS
            for name in self._names(step):
                if name == "message":
                    copies += 1
                    fixed += 1
                else:
                    fixed += len(encode(name, self._values().get(name, 0)))
        room = (limit - fixed) // copies if copies else 0
        if room < 10:
            raise ValueError(
                f"job: expected room for a chunk of 10 felts, got {max(room, 0)} of {limit} beside "
                f"{fixed} felts of other arguments"
            )
        return room


def encode(name: str, value: Any) -> list[int]:
    """The felts of an argument; ``ValueError`` if the value does not fit its type."""
    kind = TYPES[name]
    if kind == "u256":
        if type(value) is not int or not 0 <= value < 1 << 256:
            raise ValueError(f"{name}: expected an int in 0..2^256 - 1, got {wire.describe(value)}")
        return list(split_u256(value))
    if kind == "bool":
        if type(value) is not bool:
            raise ValueError(f"{name}: expected true or false, got {wire.describe(value)}")
        return [int(value)]
    items = value if kind == "felts" else (value,)
    if type(items) not in (tuple, list):
        raise ValueError(f"{name}: expected a list of felts, got {wire.describe(value)}")
    for item in items:
        if type(item) is not int or not 0 <= item < PRIME:
            raise ValueError(
                f"{name}: expected an int below the Starknet prime, got {wire.describe(item)}"
            )
    return [len(items), *items] if kind == "felts" else list(items)


def require_room(felts: int, what: str) -> None:
    """``ValueError`` if a transaction has more felts than the network takes."""
    if felts > MAX_CALLDATA:
        raise ValueError(
            f"{what}: expected at most {MAX_CALLDATA} felts of calldata and proof facts, got "
            f"{felts}; split the message into smaller chunks"
        )
