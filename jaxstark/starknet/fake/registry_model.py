"""The proof registry as a contract model: the same checks, views, events and reasons.

What a message must satisfy is ``envelope.accept``, the reference of the Cairo contract; here are
its storage and its interface. Source: docs/starknet.md, section "Registry contract".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxstark.errors import ProofShapeError
from jaxstark.starknet.envelope import Progress, accept
from jaxstark.starknet.felts import Sponge
from jaxstark.starknet.header import ALREADY_RECORDED, BAD_HEADER, HEADER_FELTS, Header, Refused
from jaxstark.starknet.registry import NOTHING_TO_ABANDON, Status

from .contracts import need
from .errors import Revert
from .machine import Context, Contract, EntryPoint, selector

Key = tuple[int, ...]  # submitter, statement hash, digest


@dataclass(frozen=True)
class RegistryModel(Contract):
    """``record``, ``abandon`` and the views ``record_of`` and ``chunks_received``."""

    @cached_property
    def entry_points(self) -> Mapping[int, EntryPoint]:
        """The four entry points by selector."""
        return {
            selector("record"): self._record,
            selector("abandon"): self._abandon,
            selector("record_of"): self._record_of,
            selector("chunks_received"): lambda ctx, data: self._record_of(ctx, data)[2:3],
        }

    def _record(self, ctx: Context, data: Sequence[int]) -> Sequence[int]:
        need(data and len(data) == data[0] + 1, "Failed to deserialize param #1")
        message = list(data[1:])
        body = max(len(message) - HEADER_FELTS, 0)
        ctx.charge(steps=3_000 + 60 * body, poseidons=4 + body // 2)
        try:
            header = Header.decode(message)
            key = (ctx.caller, header.statement, header.digest)
            need(_status(ctx, key) != Status.RECORDED, ALREADY_RECORDED)
            progress = accept(_load(ctx, key), message)
        except Refused as error:
            raise Revert(error.reason) from None
        except ProofShapeError:  # a felt out of range, which calldata cannot hold
            raise Revert(BAD_HEADER) from None
        if progress.done:
            _clear(ctx, key)
            _write_record(
                ctx, key, Status.RECORDED, progress.felts, progress.chunks, ctx.block_number
            )
            words = [header.air_id, header.parameters, header.sizes]
            ctx.emit([selector("Recorded"), *key], [*words, progress.felts, progress.chunks])
        else:
            _store(ctx, key, progress, message)
        return []

    def _abandon(self, ctx: Context, data: Sequence[int]) -> Sequence[int]:
        need(len(data) == 2, "Failed to deserialize param #1")
        key = (ctx.caller, *data)
        need(_status(ctx, key) == Status.OPEN, NOTHING_TO_ABANDON)
        _clear(ctx, key)
        _write_record(ctx, key, Status.ABSENT, 0, 0, 0)
        return []

    def _record_of(self, ctx: Context, data: Sequence[int]) -> Sequence[int]:
        need(len(data) == 3, "Failed to deserialize param #1")
        word = ctx.read("record", *data)
        return [word & 0xFF, word >> 8 & 0xFFFFFFFF, word >> 40 & 0xFFFFFFFF, word >> 72]


def _status(ctx: Context, key: Key) -> int:
    return ctx.read("record", *key) & 0xFF


def _write_record(ctx: Context, key: Key, status: int, felts: int, chunks: int, block: int) -> None:
    ctx.write(status | felts << 8 | chunks << 40 | block << 72, "record", *key)


def _load(ctx: Context, key: Key) -> Progress | None:
    """What an open record holds; None if there is none."""
    if _status(ctx, key) != Status.OPEN:
        return None
    word = ctx.read("record", *key)
    header = Header.decode([ctx.read("header", i, *key) for i in range(HEADER_FELTS)])
    a, b, c = (ctx.read("sponge", i, *key) for i in range(3))
    return Progress(header, word >> 40 & 0xFFFFFFFF, word >> 8 & 0xFFFFFFFF, Sponge((a, b, c)))


def _store(ctx: Context, key: Key, progress: Progress, message: Sequence[int]) -> None:
    """Keep the sponge, and the first chunk's header, of which the contract keeps a hash."""
    for i, word in enumerate(progress.sponge.state):
        ctx.write(word, "sponge", i, *key)
    if progress.chunks == 1:
        ctx.write(1, "shared", *key)
        for i, word in enumerate(message[:HEADER_FELTS]):
            ctx.write(word, "header", i, *key, charged=False)
    _write_record(ctx, key, Status.OPEN, progress.felts, progress.chunks, 0)


def _clear(ctx: Context, key: Key) -> None:
    for i in range(3):
        ctx.write(0, "sponge", i, *key)
    ctx.write(0, "shared", *key)
    for i in range(HEADER_FELTS):
        ctx.write(0, "header", i, *key)
