"""Whether the device runs kernels: one small one decides."""

from __future__ import annotations

import functools
import os
from typing import Any

import jax
import numpy as np
from jax.experimental import pallas as pl

from jaxstark import doctor
from jaxstark.pallas.launch import LANES, launch, load, shared, sync

Ref = Any
Array = Any


@functools.cache
def supported() -> tuple[bool, str]:
    """Whether the default GPU runs these kernels, and what was found; never raises.

    Decided by compiling and running one small kernel that uses global and shared memory, so that
    a GPU nobody tried is not refused by name. Without a GPU it is said what to install or change.
    The answer is kept for the process.
    """
    try:
        device = jax.devices("gpu")[0]
    except Exception as error:  # noqa: BLE001 - JAX raises AssertionError, too
        return False, _no_gpu(error)
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


def _no_gpu(error: Exception) -> str:
    """Why JAX has no GPU, and what to do about it."""
    found = f"JAX {jax.__version__}"
    plugin = next((f"{p} {v}" for p in doctor.PLUGINS if (v := doctor.package_version(p))), None)
    if plugin is None:
        extras = f"{doctor.GPU_EXTRA} or {doctor.CUDA13_EXTRA}"
        return f"{found} is installed without CUDA: for a GPU, {extras}"
    platforms = _platforms()
    if platforms and not {"cuda", "gpu"} & set(platforms.lower().split(",")):
        return f"JAX_PLATFORMS={platforms!r} hides GPUs from {found}: unset it"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides GPUs from {found}: unset it"
    driver, _, gpus = doctor.nvidia()
    found = f"{found} with {plugin} finds no GPU"
    if driver is None:
        return f"{found} and no NVIDIA driver: install it if there is a GPU, and try nvidia-smi"
    if (advice := doctor.old_driver(driver)) is not None:
        return f"{found}: {advice}"
    seen = gpus[0].name if gpus else "none"
    line = _first_line(error)
    return f"{found}, where driver {driver} has {seen} ({line}): reinstall with {doctor.GPU_EXTRA}"


def _platforms() -> str:
    """The platforms that JAX may use, from JAX_PLATFORMS or its configuration; empty for all."""
    return jax.config.jax_platforms or ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"


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
