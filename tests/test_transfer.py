"""Words arrive as they were, however they are sent and fetched."""

from __future__ import annotations

import gc

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jax.sharding import SingleDeviceSharding  # noqa: E402

from jaxstark import transfer  # noqa: E402


@pytest.mark.parametrize("part", [1, 40, 100, 1 << 20])
def test_arrays_that_are_cut_come_back_whole(part):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 1 << 31, shape, np.uint32)
        for shape in [(26, 16), (1, 64), (7,), (1,), (3, 0), (16, 26)]
    ]
    arrays[-1] = arrays[-1].T  # not contiguous
    arrays.insert(2, jax.numpy.asarray(arrays[0]))
    sent = transfer.send(arrays, jax.devices()[0], part)
    assert len(sent) == len(arrays)
    for got, want in zip(sent, arrays, strict=True):
        assert isinstance(got, jax.Array) and (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_array_equal(got, want)


def test_arrays_of_jax_on_a_device_are_not_copied():
    array = jax.numpy.arange(8, dtype=np.uint32)
    elsewhere = [*map(SingleDeviceSharding, jax.devices()[-1:])]
    arrays = [array, *(jax.device_put(array, place) for place in elsewhere)]
    sent = transfer.to_device([*arrays, np.arange(8)])
    assert all(got is want for got, want in zip(sent, arrays, strict=False))
    assert isinstance(sent[-1], jax.Array)


def test_arrays_in_page_locked_memory_are_sent():
    want = np.arange(8, dtype=np.uint32)
    array = transfer.lock(want)
    assert transfer.page_locked(array)
    (sent,) = transfer.to_device([array])
    assert sent.sharding == SingleDeviceSharding(jax.devices()[0])
    assert not transfer.page_locked(sent) and not transfer.page_locked(want)
    np.testing.assert_array_equal(sent, want)


def test_a_result_in_page_locked_memory_outlives_its_array():
    device = jax.devices()[0]
    place = SingleDeviceSharding(device, memory_kind="pinned_host")
    for shape in [(5,), (3, 7)]:
        want = np.random.default_rng(1).integers(0, 1 << 32, shape, np.uint32)
        array = jax.device_put(want, place)
        got = transfer.to_host(array)
        assert got.base is None and got.flags.writeable and got.dtype == np.uint32
        array.delete()
        gc.collect()
        np.testing.assert_array_equal(got, want)


def test_results_of_other_devices_are_fetched():
    assert jax.devices()[0].platform != "cpu" or transfer.result_on_host() is None
    np.testing.assert_array_equal(transfer.to_host(jax.numpy.arange(4)), np.arange(4))


def test_the_default_device_is_the_one_that_was_chosen():
    chosen = jax.devices()[-1]
    with jax.default_device(chosen):
        assert transfer.default_device() is chosen
    assert transfer.default_device() is jax.devices()[0]


@pytest.mark.parametrize("locked", [True, False])
def test_a_small_array_is_fetched_wherever_it_is(locked, monkeypatch):
    """By way of page-locked memory where a GPU has it, which stands in here for a CPU's."""
    place = SingleDeviceSharding(jax.devices()[0], memory_kind="pinned_host")
    monkeypatch.setattr(transfer, "_host_memory", lambda device: place if locked else None)
    for shape in [(8,), (3, 4)]:
        want = np.random.default_rng(2).integers(0, 1 << 32, shape, np.uint32)
        for given in (want, jax.numpy.asarray(want), jax.device_put(want, place)):
            got = transfer.fetch(given)
            assert isinstance(got, np.ndarray) and got.dtype == np.uint32
            np.testing.assert_array_equal(got, want)
    moved = transfer._moved(place)(jax.numpy.asarray(want))
    assert transfer.page_locked(moved)
