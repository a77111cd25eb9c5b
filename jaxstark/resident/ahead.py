"""The stages of a proof with its transcript on the host, compiled before it runs.

Every proof of a program calls the same stages in the same order, with arrays of the same shapes:
compiled, they are a list. They are lowered without a trace, from shapes alone, so that all cores
compile their kernels at once and a folder may keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from typing import Any

import jax
import numpy as np

from jaxstark import transfer
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.resident.program import Program, Tables
from jaxstark.resident.protocol import Done, Inputs, Messages, Run, pack, protocol
from jaxstark.transcript import Transcript

Array = Any


def messages_of(
    p: Program,
    t: Tables,
    inputs: Inputs,
    transcript: Transcript,
    programs: Sequence[Callable[..., Any]],
    unpack: Callable[[np.ndarray], Sequence[np.ndarray]],
    done: Done,
) -> Callable[[], Messages]:
    """``protocol`` by the compiled programs of ``lower``; what is returned waits for its end.

    ``unpack``: the ``unpacker`` of the shapes that ``lower`` returns with them.
    """
    compiled = iter(programs)

    def run(stage: Any, *arguments: Any) -> Any:
        del stage
        return next(compiled)(*_arrays(arguments))

    messages, packed = _proof(p, t, inputs, transcript, run, done)

    def fetch() -> Messages:
        leaves, tree = jax.tree.flatten(messages)
        fetched = iter(unpack(transfer.to_host(packed)))
        return tree.unflatten([x if _on_host(x) else next(fetched) for x in leaves])

    return fetch


def lower(p: Program, t: Tables, inputs: Inputs, **options: Any) -> tuple[list[Any], list[Any]]:
    """All stages, lowered for arrays of these shapes, and the shapes of what the last one packs.

    ``options`` are of ``lower``.
    """
    lowered = []

    def run(stage: Any, *arguments: Any) -> Any:
        traced = stage.trace(*arguments)
        lowered.append(traced.lower(**options))
        return traced.out_info

    transcript = Transcript(np.zeros(DIGEST_WORDS, np.uint32), Unhashed())
    messages, _ = _proof(p, t, inputs, transcript, run)
    return lowered, _on_device(jax.tree.leaves(messages))


def _proof(
    p: Program,
    t: Tables,
    inputs: Inputs,
    transcript: Transcript,
    run: Run,
    done: Done = lambda stage, arrays: None,
) -> tuple[Messages, Array]:
    """The messages, of which the host knows some, and the others in one vector."""
    messages = protocol(p, t, inputs, transcript, done, run)
    packing = _packing(transfer.result_on_host())
    return messages, run(packing, _on_device(jax.tree.leaves(messages)))


@cache
def _packing(place: Any) -> Any:
    return jax.jit(pack, out_shardings=place)


def _on_host(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray)


def _on_device(leaves: Sequence[Any]) -> list[Any]:
    return [leaf for leaf in leaves if not _on_host(leaf)]


def _arrays(arguments: Sequence[Any]) -> list[Any]:
    """The arguments of a stage but for the static ones, which come first."""
    return list(dropwhile(lambda one: isinstance(one, Program | int), arguments))


@dataclass(frozen=True)
class Unhashed:
    """Hashes of a transcript on the host where nothing runs: all zeros, see ``Hashes``."""

    in_kernels = False

    def hash_words(self, parts: Sequence[Array]) -> np.ndarray:
        """A digest."""
        del parts
        return np.zeros(DIGEST_WORDS, np.uint32)

    def mix_and_draw(
        self, digest: Array, parts: Sequence[Array], draws: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """A digest, and draws."""
        del digest
        return self.hash_words(parts), np.zeros(8 * draws, np.uint32)

    def mix_and_prefix(
        self, digest: Array, parts: Sequence[Array], bits: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two digests."""
        del digest, bits
        return self.hash_words(parts), self.hash_words(parts)

    def mix_and_draw_blocks(self, digest: Array, parts: Sequence[Array], count: int) -> np.ndarray:
        """Words of draws."""
        del digest, parts
        return np.zeros((count, DIGEST_WORDS), np.uint32)
