"""Whether the device runs kernels: one small one decides."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from jax.experimental import pallas as pl

from jaxstark.pallas.launch import LANES, launch, load, shared, sync

Ref = Any
Array = Any


@functools.cache
def supported() -> tuple[bool, str]:
    """Whether the default GPU runs these kernels, and what was found; never raises.

    Decided by compiling and running one small kernel that uses global and shared memory, so that
    a GPU nobody tried is not refused by name. The answer is kept for the process.
    """
    try:
        device = jax.devices("gpu")[0]
    except Exception as error:  # noqa: BLE001
        return False, f"JAX finds no GPU: {_first_line(error)}"
    name = f"{device.device_kind} with JAX {jax.__version__}"
    try:
        words = np.arange(2 * LANES, dtype=np.uint32)
        with jax.default_device(device):
            out = np.asarray(jax.jit(_probe)(words.reshape(LANES, 2)))
        if not np.array_equal(out, words[::2] + 3 * words[1::2]):
            return False, f"{name} ran the probe kernel with a wrong result"
    except Exception as error:  # noqa: BLE001
        return False, f"{name} does not run the probe kernel: {_first_line(error)}"
    return True, f"{name} runs the probe kernel"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _probe(words: Array) -> Array:
    def body(point: Any, source: Ref, target: Ref, memory: Ref) -> None:
        del point
        memory[:, 0] = load(source, slice(None), 0)
        memory[:, 1] = load(source, slice(None), 1)
        sync(False)
        target[:] = load(memory, pl.ds(0, LANES), 0) + np.uint32(3) * load(
            memory, pl.ds(0, LANES), 1
        )

    out = jax.ShapeDtypeStruct((LANES,), np.uint32)
    return launch(body, out, grid=(1,), scratch=(shared((LANES, 2)),))(words)
