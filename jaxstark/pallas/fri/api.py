"""FRI folds on the GPU, bit for bit those of ``jaxstark.fri``.

The challenge is a traced value, so that it may come from a channel on the device. These functions
run the kernels or raise; they never fall back to XLA. ``interpret=True`` runs the kernels on a
CPU, slowly, for tests. Source: protocol section 12.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from jaxstark.fields.qm31 import DEGREE
from jaxstark.pallas.fri import mosaic_gpu
from jaxstark.pallas.fri.config import FoldConfig
from jaxstark.pallas.launch import LANES

Array = Any


@partial(jax.jit, static_argnames=("step", "config", "interpret"))
def fold(
    values: Array,
    table: Array,
    alpha: Array,
    step: int,
    *,
    config: FoldConfig = FoldConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """Fold ``step`` times: uint32 ``[4, N]`` to ``[4, N / 2^step]``, canonical.

    Args:
      values: a layer in storage order, N a power of two; words 0..p.
      table: ``twiddles.inverse_table`` of the FRI domain, its first N entries or more of them.
      alpha: the challenge, uint32 ``[4]``; fold r takes ``alpha^(2^r)``.
      step: number of folds, at least 1.
      config: sizes that do not change the result; more folds than ``max_step`` take several
        launches.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or type.
    """
    _check(values, table, alpha, step)
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
    config: FoldConfig = FoldConfig(),  # noqa: B008
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
    source = mosaic_gpu.wide_source(values, table, step)
    return mosaic_gpu.fold_and_hash(
        source, alpha, step, pack_log, config=config, interpret=interpret
    )


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
    if tuple(alpha.shape) != (DEGREE,) or alpha.dtype != np.uint32:
        raise ValueError(f"alpha: expected uint32 [4], got {alpha.dtype} {tuple(alpha.shape)}")
