"""The prover's Fiat-Shamir channel over arrays: one state machine for the host and for a device.

The same steps as ``channel.Blake2sChannel``, which a verifier runs on ints: here states, roots and
challenges are uint32 arrays, NumPy on the host or traced on a device, and only the hash differs.
With the host's hash every root is fetched when it is absorbed; with a device's the whole proof is
one program without round trips. Both give the same bytes. Source: protocol section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import jax
import numpy as np

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
        """Digest uint32 ``[8]`` of vectors of uint32 words, one after the other."""
        ...

    def draw(self, digest: Array, n_draws: Array, count: int) -> tuple[Array, Array]:
        """``count`` draws of eight uniform elements, uint32 ``[count, 8]`` below p.

        Also the draw counter ``[1]`` after them.
        """
        ...

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[Array, Array, Array]:
        """Absorb words, then draw: the digest after the words, the elements, the counter.

        Elements are uint32 ``[8 draws]``.
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


@dataclass(frozen=True)
class HostHashes:
    """BLAKE2s of the standard library; arrays of a device are fetched."""

    in_kernels = False

    def hash_words(self, parts: Sequence[Array]) -> np.ndarray:
        """See ``Hashes``."""
        data = b"".join(np.asarray(part).astype("<u4").tobytes() for part in parts)
        return np.frombuffer(hashlib.blake2s(data).digest(), "<u4").astype(np.uint32)

    def draw(self, digest: Array, n_draws: Array, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Hashes``."""
        felts, channel = _on_host(digest, n_draws).draw_felts(2 * count)
        drawn = np.array(felts, np.uint32).reshape(count, 8)
        return drawn, np.array([channel.n_draws], np.uint32)

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[Array, Array, Array]:
        """See ``Hashes``."""
        mixed = self.hash_words([digest, *parts])
        drawn, n_draws = self.draw(mixed, np.zeros(1, np.uint32), draws)
        return mixed, drawn.reshape(-1), n_draws

    def mix_and_prefix(
        self, digest: Array, parts: Sequence[Array], bits: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See ``Hashes``."""
        mixed = self.hash_words([digest, *parts])
        prefix = _on_host(mixed, np.zeros(1, np.uint32)).pow_prefix(bits)
        return mixed, np.frombuffer(prefix, "<u4").astype(np.uint32)

    def mix_and_draw_blocks(self, digest: Array, parts: Sequence[Array], count: int) -> np.ndarray:
        """See ``Hashes``."""
        channel = _on_host(self.hash_words([digest, *parts]), np.zeros(1, np.uint32))
        blocks = []
        for _ in range(count):
            words, channel = channel.draw_u32s()
            blocks.append(words)
        return np.array(blocks, np.uint32)


def _on_host(digest: Array, n_draws: Array) -> Blake2sChannel:
    data = np.asarray(digest).astype("<u4").tobytes()
    return Blake2sChannel(data, int(np.asarray(n_draws)[0]))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transcript:
    """A state of the channel; a pytree. Every step returns the next state.

    A draw has two secure elements, uint32 ``[2, 4]``. Whoever needs one takes the first; the other
    is lost, as the protocol says.

    Attributes:
      digest: uint32 ``[8]``.
      n_draws: uint32 ``[1]``, draws since the last step that absorbed something.
      hashes: who hashes; static.
    """

    digest: Array
    n_draws: Array
    hashes: Any = field(metadata={"static": True})

    @staticmethod
    def of(channel: Blake2sChannel, hashes: Hashes) -> Transcript:
        """The state of a channel on the host."""
        digest = np.frombuffer(channel.digest, "<u4").astype(np.uint32)
        return Transcript(digest, np.array([channel.n_draws], np.uint32), hashes)

    @staticmethod
    def after(digest: Array, hashes: Hashes) -> Transcript:
        """The state after a step that absorbed something: nothing has been drawn since."""
        return Transcript(digest, np.zeros(1, np.uint32), hashes)

    def mix(self, *words: Array) -> Self:
        """Absorb words in one step: of secure elements, or of a 64-bit number, low word first."""
        digest = self.hashes.hash_words((self.digest, *words))
        return replace(self, digest=digest, n_draws=np.zeros(1, np.uint32))

    def mix_and_draw(self, *words: Array, draws: int = 1) -> tuple[Array, Self]:
        """Absorb words, such as those of a root, then draw: uint32 ``[2 draws, 4]``."""
        return self._stepped(self.hashes.mix_and_draw(self.digest, words, draws))

    def _stepped(self, step: Sequence[Array]) -> tuple[Array, Self]:
        digest, drawn, n_draws = step
        return drawn.reshape(-1, 4), replace(self, digest=digest, n_draws=n_draws.reshape(1))

    def commit_and_draw(
        self, commit: Callable[[Array | None], Any], draws: int = 1
    ) -> tuple[Any, Array, Self]:
        """Commit, absorb the root, draw: the elements are uint32 ``[2 draws, 4]``.

        ``commit`` takes the digest, or None from hashes that are not in kernels, and returns the
        commitment, its root ``[8]`` and, with a digest, the step, of as many draws: digest,
        elements and counter.
        """
        made, root, step = commit(self.digest if self.hashes.in_kernels else None)
        if step is None:
            return made, *self.mix_and_draw(root, draws=draws)
        return made, *self._stepped(step)

    def mix_and_draw_beside(
        self, work: Callable[[Sequence[Array] | None], Any], *words: Array
    ) -> tuple[Any, Array, Self]:
        """``mix_and_draw`` and some work, neither of which needs what the other makes.

        ``work`` takes the digest and the words, or None from hashes that are not in kernels, and
        returns its result and, with a digest, the step.
        """
        made, step = work((self.digest, *words) if self.hashes.in_kernels else None)
        if step is None:
            return made, *self.mix_and_draw(*words)
        return made, *self._stepped(step)

    def draw_felts(self, count: int) -> tuple[Array, Self]:
        """Draw ``count`` times more, at least once: uint32 ``[count, 2, 4]``."""
        drawn, n_draws = self.hashes.draw(self.digest, self.n_draws, count)
        return drawn.reshape(count, 2, 4), replace(self, n_draws=n_draws)

    def mix_for_work(self, *words: Array, bits: int) -> tuple[Array, Self]:
        """Absorb words; then the digest, uint32 ``[8]``, to which grinding appends nonces."""
        digest, prefix = self.hashes.mix_and_prefix(self.digest, words, bits)
        return prefix, replace(self, digest=digest, n_draws=np.zeros(1, np.uint32))

    def mix_and_draw_queries(self, *words: Array, log_domain: int, count: int) -> Array:
        """Absorb a nonce, then draw ``count`` positions below ``2^log_domain``, uint32.

        Positions come as drawn. Ends the transcript.
        """
        n_blocks = -(-count // DIGEST_WORDS)
        blocks = self.hashes.mix_and_draw_blocks(self.digest, words, n_blocks)
        return blocks.reshape(-1)[:count] & np.uint32((1 << log_domain) - 1)
