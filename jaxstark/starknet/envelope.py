"""Messages of a proof on Starknet: statement, payload, chunks, and the rule of the registry.

A message is a list of felts: a header of eight (``header``), then a body. The bodies of all chunks
of a proof, one after the other, are its payload:

    number of statement values, statement values, encoded proof

The statement values lie wholly in the first chunk; every chunk but the last has an even body, so
that three felts of sponge state carry the digest on. ``accept`` is what the registry contract does
with a chunk. Source: docs/starknet.md, section "Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.starknet.felts import Sponge, check_felts
from jaxstark.starknet.header import (
    ALREADY_RECORDED,
    BAD_CHUNK,
    BAD_DIGEST,
    BAD_LENGTH,
    BAD_STATEMENT,
    CHUNK_MISMATCH,
    HEADER_FELTS,
    MAX_CHUNKS,
    WRONG_CHUNK,
    Header,
    Refused,
    statement_hash,
)

MAX_CALLDATA = 5000  # felts of an invoke transaction, all calls included
# An array of one call: its length, address, selector, length of the arguments and of the message.
CALL_FELTS = 5
DEFAULT_CHUNK = 4500


def split_sizes(payload: int, max_felts: int = DEFAULT_CHUNK) -> list[int]:
    """Body lengths of the chunks of a payload when no message is longer than ``max_felts``.

    All but the last are as long as they may be. ``ValueError`` for a limit out of range or a
    payload that needs more than 65,535 chunks.
    """
    limit = MAX_CALLDATA - CALL_FELTS
    if type(max_felts) is not int or not HEADER_FELTS + 2 <= max_felts <= limit:
        raise ValueError(
            f"max_felts: expected an int in {HEADER_FELTS + 2}..{limit}, got {max_felts!r}"
        )
    if HEADER_FELTS + payload <= max_felts:
        return [payload]
    size = (max_felts - HEADER_FELTS) // 2 * 2
    count = -(-payload // size)
    if count > MAX_CHUNKS:
        raise ValueError(f"max_felts: expected at most {MAX_CHUNKS} chunks, got {count}")
    return [size] * (count - 1) + [payload - (count - 1) * size]


def split(message: Sequence[int], max_felts: int = DEFAULT_CHUNK) -> list[list[int]]:
    """The messages of the chunks of a one-chunk message, none longer than ``max_felts`` felts.

    Raises ``Refused`` for a message that the registry would not record, and ``ValueError`` for a
    limit that the statement values or a transaction do not fit.
    """
    sizes = split_sizes(max(0, len(message) - HEADER_FELTS), max_felts)
    header = check_whole(message)
    payload = list(message[HEADER_FELTS:])
    if payload[0] >= sizes[0]:
        raise ValueError(
            f"max_felts: expected room for {payload[0]} statement values, got {max_felts} felts"
        )
    chunks, at = [], 0
    for i, size in enumerate(sizes):
        head = replace(header, chunk=i, chunks=len(sizes))
        chunks.append([*head.encode(), *payload[at : at + size]])
        at += size
    return chunks


def join(chunks: Sequence[Sequence[int]]) -> list[int]:
    """The one-chunk message of chunks in order; ``Refused`` unless the registry records them."""
    if type(chunks) not in (list, tuple) or not chunks:
        raise ProofShapeError("chunks", "a list of at least 1 message", wire.describe(chunks))
    progress: Progress | None = None
    for chunk in chunks:
        progress = accept(progress, chunk)
    if progress is None or not progress.done:
        count = 0 if progress is None else progress.header.chunks
        raise Refused(WRONG_CHUNK, "number of chunks", count, len(chunks))
    header = replace(progress.header, chunk=0, chunks=1)
    return [*header.encode(), *(v for chunk in chunks for v in chunk[HEADER_FELTS:])]


def check_whole(message: Sequence[int]) -> Header:
    """The header of a message of one chunk; ``Refused`` unless the registry records it alone."""
    progress = accept(None, message)
    if not progress.done:
        raise Refused(BAD_CHUNK, "number of chunks", 1, progress.header.chunks)
    return progress.header


class Key(NamedTuple):
    """What a record is stored under, beside the address of its submitter."""

    statement: int
    digest: int


@dataclass(frozen=True)
class Progress:
    """What the registry knows of a record after some of its chunks; compared by value.

    Attributes:
      header: of the first chunk.
      chunks: received so far.
      felts: of payload received so far.
      sponge: of that payload; not meaningful once done.
    """

    header: Header
    chunks: int
    felts: int
    sponge: Sponge

    @property
    def key(self) -> Key:
        """Key of the record."""
        return Key(self.header.statement, self.header.digest)

    @property
    def done(self) -> bool:
        """Whether the record is complete."""
        return self.chunks == self.header.chunks


def accept(progress: Progress | None, message: Sequence[int]) -> Progress:
    """What the registry does with a message, given its progress under that key; None if new.

    The checks come in the order in which the contract makes them, so that a message that is wrong
    in several ways has the same reason here and there. Raises ``Refused``.
    """
    felts = check_felts(message, "message")
    header = Header.decode(felts)
    body = felts[HEADER_FELTS:]
    if progress is not None and (header.statement, header.digest) != progress.key:
        raise ValueError("progress: expected that of this statement and digest, got another")
    if progress is not None and progress.done:
        raise Refused(ALREADY_RECORDED, "record", "a new one", "a complete one")
    if progress is None:
        progress = Progress(replace(header, chunk=0), 0, 0, Sponge())
    if header.chunk != progress.chunks:
        raise Refused(WRONG_CHUNK, "chunk index", progress.chunks, header.chunk)
    if replace(header, chunk=0) != progress.header:
        raise Refused(CHUNK_MISMATCH, "header", "that of the first chunk", "another")
    if not body or len(body) % 2 and not header.last:
        raise Refused(BAD_CHUNK, "body", "an even number of felts, or a last chunk", len(body))
    total = progress.felts + len(body)
    if total > header.felts or header.last and total != header.felts:
        raise Refused(BAD_LENGTH, "payload", f"{header.felts} felts", total)
    if header.chunk == 0:
        _check_statement(header, body)
    if not header.last:
        return replace(
            progress,
            chunks=progress.chunks + 1,
            felts=total,
            sponge=progress.sponge.absorb(body),
        )
    digest = progress.sponge.finish(body)
    if digest != header.digest:
        raise Refused(BAD_DIGEST, "payload digest", hex(header.digest), hex(digest))
    return replace(progress, chunks=progress.chunks + 1, felts=total, sponge=Sponge())


def _check_statement(header: Header, body: Sequence[int]) -> None:
    if body[0] >= len(body):
        raise Refused(BAD_STATEMENT, "statement values", f"at most {len(body) - 1}", body[0])
    values = body[1 : 1 + body[0]]
    found = statement_hash(header.air_id, header.parameters, header.sizes, values)
    if found != header.statement:
        raise Refused(BAD_STATEMENT, "statement hash", hex(header.statement), hex(found))
