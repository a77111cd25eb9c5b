"""The prover's Fiat-Shamir channel over arrays: one state machine for the host and for a device.

The same steps as ``channel.Blake2sChannel``, which a verifier runs on ints: here states, roots and
challenges are uint32 arrays, NumPy on the host or traced on a device, and only the hash differs.
With the host's hash every message is fetched when it is absorbed; with a device's the whole proof
is one program without round trips. Both give the same bytes. Source: protocol section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import jax
import numpy as np

from jaxstark import transfer
from jaxstark.channel import Blake2sChannel
from jaxstark.hash.blake2s import DIGEST_WORDS

Array = Any


class Hashes(Protocol):
    """What a transcript needs of BLAKE2s; instances are compared by value."""

    @property
    def in_kernels(self) -> bool:
        """Whether kernels that do other work may absorb and draw, too."""
        ...

    def hash_words(self, parts: Sequence[Array]) -> Array:
        """Digest uint32 ``[8]`` of arrays of words one after the other, in row-major order."""
        ...

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[Array, Array]:
        """Absorb words, then draw: the digest after the words, and the elements.

        A draw has eight uniform elements; all are uint32 ``[8 draws]`` below p.
        """
        ...

    def mix_and_prefix(
        self, digest: Array, parts: Sequence[Array], bits: int
    ) -> tuple[Array, Array]:
        """Absorb words: the digest after them, and the digest that nonces are appended to."""
        ...

    def mix_and_draw_blocks(self, digest: Array, parts: Sequence[Array], count: int) -> Array:
        """Absorb up to 8 words: the words of the next ``count`` draws, uint32 ``[count, 8]``."""
        ...


class Made(NamedTuple):
    """A commitment, and what the channel absorbs of it.

    Attributes:
      tree: the commitment.
      root: its root, uint32 ``[8]``.
      step: the digest after the root and the elements drawn, if whoever committed had a digest.
      before: words that are absorbed in a step of their own before the root, if there are any.
    """

    tree: Any
    root: Array
    step: Sequence[Array] | None
    before: Array | None = None


@dataclass(frozen=True)
class HostHashes:
    """BLAKE2s of the standard library; arrays of a device are fetched."""

    in_kernels = False

    def hash_words(self, parts: Sequence[Array]) -> np.ndarray:
        """See ``Hashes``."""
        data = b"".join(transfer.fetch(part).astype("<u4").tobytes() for part in parts)
        return np.frombuffer(hashlib.blake2s(data).digest(), "<u4").astype(np.uint32)

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """See ``Hashes``."""
        mixed = self.hash_words([digest, *parts])
        felts, _ = _on_host(mixed).draw_felts(2 * draws)
        return mixed, np.array(felts, np.uint32).reshape(-1)

    def mix_and_prefix(
        self, digest: Array, parts: Sequence[Array], bits: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See ``Hashes``."""
        mixed = self.hash_words([digest, *parts])
        prefix = _on_host(mixed).pow_prefix(bits)
        return mixed, np.frombuffer(prefix, "<u4").astype(np.uint32)

    def mix_and_draw_blocks(self, digest: Array, parts: Sequence[Array], count: int) -> np.ndarray:
        """See ``Hashes``."""
        channel = _on_host(self.hash_words([digest, *parts]))
        blocks = []
        for _ in range(count):
            words, channel = channel.draw_u32s()
            blocks.append(words)
        return np.array(blocks, np.uint32)


def _on_host(digest: Array) -> Blake2sChannel:
    return Blake2sChannel(np.asarray(digest).astype("<u4").tobytes())


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transcript:
    """A state of the channel; a pytree. Every step returns the next state.

    Every step absorbs something, and its draws follow at once: so no count of draws is left over
    for the next step. A draw has two secure elements, uint32 ``[2, 4]``. Whoever needs one takes
    the first; the other is lost, as the protocol says.

    Attributes:
      digest: uint32 ``[8]``.
      hashes: who hashes; static.
    """

    digest: Array
    hashes: Any = field(metadata={"static": True})

    @staticmethod
    def of(channel: Blake2sChannel, hashes: Hashes) -> Transcript:
        """The state of a channel on the host."""
        return Transcript(np.frombuffer(channel.digest, "<u4").astype(np.uint32), hashes)

    def mix(self, *words: Array) -> Self:
        """Absorb words in one step: of secure elements, or of a 64-bit number, low word first."""
        return replace(self, digest=self.hashes.hash_words((self.digest, *words)))

    def mix_and_draw(self, *words: Array, draws: int = 1) -> tuple[Array, Self]:
        """Absorb words, such as those of a root, then draw: uint32 ``[2 draws, 4]``."""
        return self._stepped(self.hashes.mix_and_draw(self.digest, words, draws))

    def _stepped(self, step: Sequence[Array]) -> tuple[Array, Self]:
        digest, drawn = step
        return drawn.reshape(-1, 4), replace(self, digest=digest)

    def commit_and_draw(
        self, commit: Callable[[Array | None], Made], draws: int = 1
    ) -> tuple[Any, Array, Self]:
        """Commit, absorb the root, draw: the elements are uint32 ``[2 draws, 4]``.

        ``commit`` takes the digest, or None from hashes that are not in kernels. With a digest, its
        step is of as many draws.
        """
        made = commit(self.digest if self.hashes.in_kernels else None)
        if made.step is not None:
            return made.tree, *self._stepped(made.step)
        before = self if made.before is None else self.mix(made.before)
        return made.tree, *before.mix_and_draw(made.root, draws=draws)

    def mix_and_draw_beside(
        self, work: Callable[[Array | None], Any], words: Array
    ) -> tuple[Any, Array, Self]:
        """``mix_and_draw`` and some work, neither of which needs what the other makes.

        ``work`` takes the digest, or None from hashes that are not in kernels, and returns its
        result and, with a digest, the step that absorbs the words.
        """
        made, step = work(self.digest if self.hashes.in_kernels else None)
        if step is None:
            return made, *self.mix_and_draw(words)
        return made, *self._stepped(step)

    def mix_for_work(self, *words: Array, bits: int) -> tuple[Array, Self]:
        """Absorb words; then the digest, uint32 ``[8]``, to which grinding appends nonces."""
        digest, prefix = self.hashes.mix_and_prefix(self.digest, words, bits)
        return prefix, replace(self, digest=digest)

    def mix_and_draw_queries(self, *words: Array, log_domain: int, count: int) -> Array:
        """Absorb a nonce, then draw ``count`` positions below ``2^log_domain``, uint32.

        Positions come as drawn. Ends the transcript.
        """
        n_blocks = -(-count // DIGEST_WORDS)
        blocks = self.hashes.mix_and_draw_blocks(self.digest, words, n_blocks)
        return blocks.reshape(-1)[:count] & np.uint32((1 << log_domain) - 1)
