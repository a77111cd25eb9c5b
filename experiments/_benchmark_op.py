"""What an operation of ``bench_op.py`` is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxstark.fields.m31 import P

WORD, DIGEST, SECURE = 4, 32, 16  # bytes
FOLD_STEP, PACK_LOG, LOG_BLOWUP = 4, 2, 1  # as in the preset stwo-96


class Size(NamedTuple):
    """What to measure an operation at.

    Attributes:
      log_size: log2 of the rows.
      columns: number of columns, where the operation takes any number.
      bits: difficulty of the proof of work.
      interpret: run kernels on a CPU.
    """

    log_size: int
    columns: int
    bits: int
    interpret: bool


class Prepared(NamedTuple):
    """An operation with its inputs.

    Attributes:
      run: the kernels, a function of the inputs that can be jitted.
      inputs: NumPy arrays, or tuples of them.
      reference: the XLA form, with results equal to those of ``run``.
      moved: bytes that must be read or written, in all launches.
      hashes: Blake2s compressions, or what counts them from the result.
      passes: bytes of each pass over memory, for operations that may need several: a launch each.
    """

    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    reference: Callable[..., Any]
    moved: int
    hashes: int | Callable[[Any], int] = 0
    passes: tuple[int, ...] = ()


def words(*shape: int, seed: int = 0) -> np.ndarray:
    """Canonical random words."""
    return np.random.default_rng(seed).integers(0, P, shape, np.uint32)
