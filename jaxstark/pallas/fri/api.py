"""FRI folds on the GPU, bit for bit those of ``jaxstark.fri``.

The challenge is a traced value, so that it may come from a channel on the device. These functions
run the kernels or raise; they never fall back to XLA. ``interpret=True`` runs the kernels on a
CPU, slowly, for tests. Source: protocol section 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.fields.qm31 import DEGREE
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.pallas import launch
from jaxstark.pallas.fri import mosaic_gpu
from jaxstark.pallas.fri import tail as fri_tail
from jaxstark.pallas.fri.config import MAX_TAIL, FoldConfig
from jaxstark.pallas.fri.tail import Tail
from jaxstark.pallas.launch import LANES

Array = Any


@partial(jax.jit, static_argnames=("step", "config", "interpret"))
def fold(
    values: Array,
    table: Array,
    alpha: Array,
    step: int,
    *,
    config: FoldConfig | None = None,
    interpret: bool = False,
) -> Array:
    """Fold ``step`` times: uint32 ``[4, N]`` to ``[4, N / 2^step]``, canonical.

    Args:
      values: a layer in storage order, N a power of two; words 0..p.
      table: ``twiddles.inverse_table`` of the FRI domain, its first N entries or more of them.
      alpha: the challenge, uint32 ``[4]``; fold r takes ``alpha^(2^r)``.
      step: number of folds, at least 1.
      config: sizes that do not change the result, by default those for the layer; more folds
        than ``max_step`` take several launches.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or type.
    """
    _check(values, table, alpha, step)
    config = config or FoldConfig.for_layer(values.shape[1], step)
    done = 0
    while done < step:
        now = min(config.max_step, step - done)
        cosets = values.shape[1] >> now
        make = mosaic_gpu.wide_source if cosets >= LANES else mosaic_gpu.narrow_source
        source = make(values, table, now)
        folded = mosaic_gpu.fold(
            source, alpha, now, squarings=done, config=config, interpret=interpret
        )
        values = folded[:, :cosets] if cosets < LANES else folded
        done += now
    return values


def fits_fold_and_hash(size: int, step: int, pack_log: int) -> bool:
    """Whether ``fold_and_hash`` takes a layer of so many values."""
    return size >> (step + pack_log) >= LANES


@partial(jax.jit, static_argnames=("step", "pack_log", "config", "interpret"))
def fold_and_hash(
    values: Array,
    table: Array,
    alpha: Array,
    step: int,
    pack_log: int,
    *,
    config: FoldConfig | None = None,
    interpret: bool = False,
) -> tuple[Array, Array]:
    """``fold``, and the digests of the folded layer's leaves, in one launch.

    Args:
      values: as for ``fold``, at least 128 leaves after the fold; see ``fits_fold_and_hash``.
      table: as for ``fold``.
      alpha: as for ``fold``.
      step: number of folds, at least 1.
      pack_log: log2 of the values in a leaf, at most 5.
      config: sizes that do not change the result; there is one launch whatever ``max_step`` says.
      interpret: run on a CPU.

    Returns uint32 ``[4, N / 2^step]`` and ``[8, N / 2^(step + pack_log)]``, the second as by
    ``blake2s.api.value_leaves``. Raises ``ValueError`` for another shape or type.
    """
    _check(values, table, alpha, step)
    if not 0 <= pack_log <= 5 or not fits_fold_and_hash(values.shape[1], step, pack_log):
        raise ValueError(
            f"leaves: expected at least {LANES} of 1 to 32 values, got {values.shape[1] >> step} "
            f"values in leaves of 2^{pack_log}"
        )
    config = config or FoldConfig.for_layer(values.shape[1], step)
    source = mosaic_gpu.wide_source(values, table, step)
    return mosaic_gpu.fold_and_hash(
        source, alpha, step, pack_log, config=config, interpret=interpret
    )


def fits_tail(size: int, steps: Sequence[int], packs: Sequence[int]) -> bool:
    """Whether ``tail`` takes a layer of so many values, its steps and packing of leaves."""
    return (
        len(steps) > 0
        and size <= MAX_TAIL
        and all(pack_log == 2 for pack_log in packs)
        and size >> sum(steps) >= 2
    )


@partial(jax.jit, static_argnames=("steps", "interpret"))
def tail(
    values: Array, table: Array, digest: Array, steps: tuple[int, ...], *, interpret: bool = False
) -> Tail:
    """Commit to a layer and to all that follow it, in one launch.

    Per layer: the tree over leaves of four values, a mix of its root and a draw, and ``fold``.

    Args:
      values: the first of the layers; see ``fits_tail``. Canonical, as they are hashed.
      table: as for ``fold``.
      digest: state of the channel, uint32 ``[8]``.
      steps: number of folds of every layer.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or type.
    """
    _check(values, table, jnp.zeros(DEGREE, np.uint32), sum(steps) if min(steps, default=0) else 0)
    if not fits_tail(values.shape[1], steps, ()):
        raise ValueError(
            f"values: expected at most {MAX_TAIL}, of which at least 2 are left after all folds, "
            f"got {values.shape[1]} and folds {steps}"
        )
    if not launch.is_words(digest, (DIGEST_WORDS,)):
        raise ValueError(f"digest: expected uint32 [8], got {digest.dtype} {tuple(digest.shape)}")
    return fri_tail.tail(values, table, digest, steps, interpret=interpret)


def _check(values: Array, table: Array, alpha: Array, step: int) -> None:
    shape = tuple(values.shape)
    good = len(shape) == 2 and shape[0] == DEGREE and shape[1].bit_count() == 1
    if not good or values.dtype != np.uint32:
        raise ValueError(f"values: expected uint32 [4, 2^k], got {values.dtype} {shape}")
    if step < 1 or not shape[1] >> step:
        raise ValueError(
            f"step: expected 1..{shape[1].bit_length() - 1} for {shape[1]} values, got {step}"
        )
    length = tuple(table.shape)
    good = len(length) == 1 and length[0] >= shape[1] and length[0].bit_count() == 1
    if not good or table.dtype != np.uint32:
        raise ValueError(
            f"table: expected uint32 [2^k] with at least {shape[1]} entries, "
            f"got {table.dtype} {length}"
        )
    if not launch.is_words(alpha, (DEGREE,)):
        raise ValueError(f"alpha: expected uint32 [4], got {alpha.dtype} {tuple(alpha.shape)}")
