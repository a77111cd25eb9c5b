"""Arrays between the host and a GPU, faster than one copy after the other.

A copy out of ordinary memory goes through a buffer that one thread fills, far more slowly than the
link carries: large arrays are sent in parts by several threads. What lies in page-locked memory
already is sent as it is. A result that the program itself puts into page-locked memory of the host
is there when the program ends, which saves the wait for a copy after it. But for the second of
these, nothing here is for devices other than GPUs, whose arrays take JAX's own way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

Array = Any

THREADS = 8
# Bytes below which a part is not worth its thread.
LEAST_PART = 8 << 20
_PINNED = "pinned_host"


def default_device() -> Any:
    """The device that arrays go to where nothing else is said."""
    chosen = jax.config.jax_default_device
    if isinstance(chosen, str):
        return jax.devices(chosen)[0]
    return chosen or jax.devices()[0]


def to_device(arrays: Sequence[Array]) -> list[Array]:
    """Arrays on the default device, those of NumPy sent side by side if they are large.

    Words and shapes stay as they are. Arrays of JAX are returned wherever they are, but for those
    in page-locked memory of the host, which the link takes in one piece, without a thread.
    """
    device = default_device()
    there = SingleDeviceSharding(device)
    arrays = [jax.device_put(a, there) if page_locked(a) else a for a in arrays]
    size = sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
    if device.platform != "gpu" or size <= LEAST_PART:
        return [a if isinstance(a, jax.Array) else jnp.asarray(a) for a in arrays]
    return send(arrays, device, max(size // THREADS, LEAST_PART))


def committed(arrays: Sequence[Array]) -> list[Array]:
    """The arrays bound to the devices where they are.

    Programs under ``jit`` are lowered anew where their inputs differ in nothing else, and what one
    makes passes it on to the next. Bound are arrays that were sent to a device by name, others
    not: to bind all of them leaves one kind.
    """
    return [a if a.committed else jax.device_put(a, a.sharding) for a in arrays]


def lock(array: Array) -> Array:
    """An array in page-locked memory of the host, an array of JAX.

    The copy takes longer than to send pageable memory: worth it where the array is sent again.
    """
    return jax.device_put(array, SingleDeviceSharding(default_device(), memory_kind=_PINNED))


def page_locked(array: Array) -> bool:
    """Whether an array is one of JAX in page-locked memory of the host."""
    return isinstance(array, jax.Array) and array.sharding.memory_kind == _PINNED


def send(arrays: Sequence[Array], device: Any, part: int) -> list[Array]:
    """``to_device`` in parts of about ``part`` bytes, at least a row each."""
    out: list[list[Any]] = []
    for array in arrays:
        if not isinstance(array, np.ndarray):
            out.append([jnp.asarray(array)])
            continue
        parts = np.array_split(array, max(1, min(-(-array.nbytes // part), len(array))))
        # The default device is a thread's own, so it is named.
        out.append([_threads().submit(jax.device_put, p, device) for p in parts])
    there = [[p if isinstance(p, jax.Array) else p.result() for p in parts] for parts in out]
    return [parts[0] if len(parts) == 1 else jnp.concatenate(parts) for parts in there]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "jaxstark_upload")


def result_on_host() -> Any:
    """Where a program puts a result for ``to_host``: a sharding, or None for the device itself."""
    return _host_memory(default_device())


@cache
def _host_memory(device: Any) -> SingleDeviceSharding | None:
    kinds = {memory.kind for memory in device.addressable_memories()}
    if device.platform != "gpu" or _PINNED not in kinds:
        return None
    return SingleDeviceSharding(device, memory_kind=_PINNED)


def fetch(array: Array) -> np.ndarray:
    """A small array on the host, as soon as it is there; those of NumPy are as they were.

    From a GPU by a program that puts it into page-locked memory: an ordinary copy takes several
    times as long to start and to be noticed.
    """
    if not isinstance(array, jax.Array):
        return np.asarray(array)
    (device,) = array.devices()
    place = _host_memory(device)
    return to_host(_moved(place)(array) if place is not None else array)


@cache
def _moved(place: SingleDeviceSharding) -> Any:
    return jax.jit(lambda words: words, out_shardings=place)


def to_host(array: Array) -> np.ndarray:
    """A copy of a result, once the program that makes it has ended.

    ``np.asarray`` of an array in page-locked memory is a view whose owner the runtime of JAX 0.11.2
    may free at the wrong moment, which ends the process: those words are copied by address.
    """
    if not page_locked(array):
        return np.asarray(array)
    array.block_until_ready()
    source = (ctypes.c_uint8 * array.nbytes).from_address(array.unsafe_buffer_pointer())
    # Not a view, which would outlive the array.
    return np.frombuffer(source, array.dtype).reshape(array.shape).copy()
