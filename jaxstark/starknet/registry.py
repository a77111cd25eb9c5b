"""The registry contract: its class, the calls to it, its views and its event.

The contract records who published which payload; it does not verify proofs. Its source is in
``contracts/registry``; what the compiler made of it is in ``artifacts``, so that declaring needs no
compiler. Nothing here talks to a node or needs starknet-py. Source: docs/starknet.md, section
"Registry contract".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from importlib import resources

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.starknet.calls import Call
from jaxstark.starknet.felts import check_felt, check_felts
from jaxstark.starknet.header import Header
from jaxstark.starknet.rpc import Event

CLASS_HASH = 0x1D11EA7B8B29C53B4A8B49C48510892A35FF98DF3570DDA4BEBA0235D842C3D
# By Blake2s, as from Starknet 0.14.1 on.
COMPILED_CLASS_HASH = 0x454F83F6F6BF9E1128E4B766B73F665FDB3E6279461F791D6B47117B981E90E

# The first 250 bits of the keccak hash of the name.
RECORDED_SELECTOR = 0x1C816CDC93166EEAADF0155D46178A5413A3EC651370B5432CF6A795B2C6F2B
NOTHING_TO_ABANDON = "nothing to abandon"  # beside the reasons of ``header``

_U32, _U64 = 1 << 32, 1 << 64
_KEYS, _DATA = 4, 5


class Status(IntEnum):
    """How far a record is."""

    ABSENT = 0
    OPEN = 1
    RECORDED = 2


@dataclass(frozen=True)
class Record:
    """What the view ``record_of`` says of a key; compared by value.

    Attributes:
      status: absent, open (chunks are missing) or recorded.
      felts: of payload received so far.
      chunks: received so far.
      block: number of the block that completed the record, 0 before.
    """

    status: Status
    felts: int
    chunks: int
    block: int

    @staticmethod
    def decode(felts: Sequence[int]) -> Record:
        """The answer of ``record_of``; ``ProofShapeError`` for anything that it cannot be."""
        words = check_felts(felts, "record")
        if len(words) != 4:
            raise ProofShapeError("record", "4 felts", len(words))
        status, length, chunks, block = words
        return Record(
            Status(wire.check_int(status, len(Status), "record: status")),
            wire.check_int(length, _U32, "record: felts"),
            wire.check_int(chunks, _U32, "record: chunks"),
            wire.check_int(block, _U64, "record: block"),
        )


@dataclass(frozen=True)
class Recorded:
    """The event of a complete record; compared by value.

    Attributes:
      submitter: address of the account that called.
      statement_hash, digest, air_id, parameters, log_sizes: felts of the header.
      felts: of the payload.
      chunks: in which it came.
    """

    submitter: int
    statement_hash: int
    digest: int
    air_id: int
    parameters: int
    log_sizes: int
    felts: int
    chunks: int

    @staticmethod
    def expected(message: Sequence[int], submitter: int) -> Recorded:
        """The event that recording a message, or the chunks of which this is one, ends in.

        Raises ``Refused`` for a message with a bad header.
        """
        header = Header.decode(message)
        return Recorded(
            submitter,
            header.statement,
            header.digest,
            header.air_id,
            header.parameters,
            header.sizes,
            header.felts,
            header.chunks,
        )

    @staticmethod
    def decode(keys: Sequence[int], data: Sequence[int]) -> Recorded:
        """The event of these keys and data; ``ProofShapeError`` if it is another or malformed."""
        keys, data = check_felts(keys, "event keys"), check_felts(data, "event data")
        if not keys or keys[0] != RECORDED_SELECTOR:
            raise ProofShapeError("event", "Recorded", hex(keys[0]) if keys else "no keys")
        if (len(keys), len(data)) != (_KEYS, _DATA):
            raise ProofShapeError(
                "event Recorded", f"{_KEYS} keys, {_DATA} felts of data", (len(keys), len(data))
            )
        _, submitter, statement_hash, digest = keys
        air_id, parameters, log_sizes, felts, chunks = data
        wire.check_int(felts, _U32, "event Recorded: felts")
        wire.check_int(chunks, _U32, "event Recorded: chunks")
        return Recorded(
            submitter, statement_hash, digest, air_id, parameters, log_sizes, felts, chunks
        )

    def encode(self) -> tuple[list[int], list[int]]:
        """Keys and data of the event."""
        words = astuple(self)
        return [RECORDED_SELECTOR, *words[: _KEYS - 1]], list(words[_KEYS - 1 :])


def record_call(registry: int, message: Sequence[int]) -> Call:
    """The call that records a message or one of its chunks.

    Args:
      registry: address of the contract.
      message: with its header, which is decoded to refuse what the contract would revert.
    """
    Header.decode(message)
    return _call(registry, "record", (len(message), *message))


def abandon_call(registry: int, statement_hash: int, digest: int) -> Call:
    """The call that forgets the chunks of an incomplete record of the caller."""
    return _call(registry, "abandon", _key(statement_hash, digest))


def record_of_call(registry: int, submitter: int, statement_hash: int, digest: int) -> Call:
    """The view whose answer ``Record.decode`` reads."""
    return _call(registry, "record_of", (submitter, *_key(statement_hash, digest)))


def chunks_received_call(registry: int, submitter: int, statement_hash: int, digest: int) -> Call:
    """The view that says, in one felt, how many chunks of a record there are."""
    return _call(registry, "chunks_received", (submitter, *_key(statement_hash, digest)))


def recorded_events(events: Iterable[Event], registry: int) -> list[Recorded]:
    """The events ``Recorded`` of one contract among those of a receipt, in order.

    Events of other contracts are skipped; ``ProofShapeError`` for a malformed one of this contract.
    """
    return [
        Recorded.decode(event.keys, event.data)
        for event in events
        if event.contract == registry and event.keys[:1] == (RECORDED_SELECTOR,)
    ]


def sierra_class() -> str:
    """JSON text of the class, which is declared."""
    return _artifact("registry.sierra.json")


def casm_class() -> str:
    """JSON text of the class as it is executed; its hash is part of a declaration."""
    return _artifact("registry.casm.json")


def _artifact(name: str) -> str:
    return (resources.files("jaxstark.starknet") / "artifacts" / name).read_text("utf-8")


def _call(registry: int, entry_point: str, arguments: tuple[int, ...]) -> Call:
    check_felt(registry, "registry: address")
    check_felts(arguments, f"arguments of {entry_point}")
    return Call(entry_point, registry, entry_point, arguments)


def _key(statement_hash: int, digest: int) -> tuple[int, int]:
    return (check_felt(statement_hash, "statement hash"), check_felt(digest, "digest"))
