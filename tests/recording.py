"""A channel that logs what it absorbs and gives out, to compare transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxstark.channel import Channel
from jaxstark.hash.suite import Suite


@dataclass(frozen=True)
class RecordingChannel:
    """Wraps any channel and appends ``(operation, data)`` to a log that all successors share.

    Draws are logged with their results, so that equal logs mean equal transcripts. The proof of
    work leaves the state as it is and is not logged; its nonce is, when it is mixed.
    """

    inner: Any
    log: list[tuple[str, Any]]

    def _mixed(self, op: str, data: Any, inner: Any) -> RecordingChannel:
        self.log.append((op, data))
        return RecordingChannel(inner, self.log)

    def _drawn(self, op: str, result: tuple[Any, Any]) -> tuple[Any, RecordingChannel]:
        value, inner = result
        return value, self._mixed(op, tuple(value), inner)

    def mix_felts(self, felts: Sequence[Any]) -> RecordingChannel:
        return self._mixed("mix_felts", tuple(map(tuple, felts)), self.inner.mix_felts(felts))

    def mix_u32s(self, words: Sequence[int]) -> RecordingChannel:
        return self._mixed("mix_u32s", tuple(words), self.inner.mix_u32s(words))

    def mix_u64(self, value: int) -> RecordingChannel:
        return self._mixed("mix_u64", value, self.inner.mix_u64(value))

    def mix_root(self, digest: Any) -> RecordingChannel:
        return self._mixed("mix_root", digest, self.inner.mix_root(digest))

    def draw_felt(self) -> tuple[Any, RecordingChannel]:
        return self._drawn("draw_felt", self.inner.draw_felt())

    def draw_felts(self, count: int) -> tuple[Any, RecordingChannel]:
        return self._drawn("draw_felts", self.inner.draw_felts(count))

    def draw_u32s(self) -> tuple[Any, RecordingChannel]:
        return self._drawn("draw_u32s", self.inner.draw_u32s())

    def pow_prefix(self, bits: int) -> Any:
        return self.inner.pow_prefix(bits)

    def pow_ok(self, bits: int, nonce: int) -> bool:
        return self.inner.pow_ok(bits, nonce)


def recording_suite(suite: Suite, log: list[tuple[str, Any]]) -> Suite:
    """The suite with channels that append to ``log``; put it in a profile with ``replace``."""
    inner: Callable[[], Channel] = suite.new_channel
    return replace(suite, new_channel=lambda: RecordingChannel(inner(), log))
