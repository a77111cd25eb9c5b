"""T34: memory that does not suffice. T36: arrays of nearly 2^31 words."""

from __future__ import annotations

import hashlib
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

import jaxstark  # noqa: E402
from jaxstark import circle  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.fft import api as fft  # noqa: E402
from jaxstark.params import PRESETS  # noqa: E402
from jaxstark.resident import memory, points  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.gpu._reference import assert_equal  # noqa: E402

pytestmark = pytest.mark.gpu
PARAMS = PRESETS["stwo-96"]
LEFT = 1 << 30


def free() -> int:
    statistics = jax.devices()[0].memory_stats()
    return statistics["bytes_limit"] - statistics["bytes_in_use"]


def need(gigabytes: int) -> None:
    if free() < gigabytes << 30:
        pytest.skip(f"expected {gigabytes} GB of free memory, got {free() / 1e9:.0f}")


@partial(jax.jit, static_argnums=(0, 1))
def mixed_words(count: int, log_size: int):
    """Columns whose words tell rows and columns apart, made on the device."""
    row = jnp.arange(1 << log_size, dtype=np.uint32)
    column = jnp.arange(count, dtype=np.uint32)
    return (row[None, :] * np.uint32(31) + column[:, None]) & np.uint32(P)


@pytest.fixture
def little_memory():
    """All but about 1 GB is taken."""
    taken = []
    while free() > LEFT:
        size = free() - LEFT
        while True:
            try:
                taken.append(jnp.zeros(size // 4, np.uint32).block_until_ready())
                break
            except jax.errors.JaxRuntimeError:  # no piece so large
                size = size * 3 // 4
        if size < LEFT // 4:
            break
    yield
    for array in taken:
        array.delete()


def blank(log_size: int) -> Trace:
    air = legacy26()
    return Trace(air, {"steps": np.zeros((26, 1 << log_size), np.uint32)})


@pytest.mark.parametrize("transcript", ["host", "device"])
def test_t34_a_proof_that_cannot_fit_is_refused_before_it_runs(
    transcript, little_memory, compilations
):
    """The figures, and what would fit; afterwards the device proves as before."""
    stages = []
    with pytest.raises(ValueError) as error:
        jaxstark.prove(
            blank(22),
            params=PARAMS,
            implementation="mosaic_gpu",
            transcript=transcript,
            on_stage=lambda *stage: stages.append(stage),
        )
    message = str(error.value)
    assert "\n" not in message and "memory" in message and "GB" in message, message
    assert [name for name, _ in stages] == ["set-up"]


def test_t34_memory_that_runs_out_is_a_clean_error():
    program = Program(legacy26().structure, legacy26().shape((20,)), PARAMS)
    with (
        pytest.raises(MemoryError, match="no proof was made: .* GB") as error,
        memory.explained(program),
    ):
        jnp.zeros(1 << 40, np.uint32).block_until_ready()
    assert "\n" not in str(error.value)
    assert_equal(jnp.arange(5, dtype=np.uint32) + np.uint32(1), np.arange(1, 6, dtype=np.uint32))


def test_t36_the_last_of_nearly_2_31_words_are_in_their_places():
    """15 columns of 2^27 words, each its own number, in storage order."""
    log_size, count = 27, 15
    need(20)

    @jax.jit
    def numbered():
        row = jnp.arange(1 << log_size, dtype=np.uint32)
        column = jnp.arange(count, dtype=np.uint32)
        return row[None, :] | (column[:, None] << np.uint32(log_size))

    stored = fft.to_storage(numbered())
    rng, size = np.random.default_rng(0), 1 << log_size
    rows = np.array([0, 1, 2, size - 2, size - 1, *rng.integers(0, size, 500)])
    natural = np.where(rows % 2 == 0, rows // 2, (2 * size - rows) // 2)
    slots = np.array([circle.bit_reverse(int(n), log_size) for n in natural])
    got = np.asarray(stored[:, slots])
    want = rows.astype(np.uint32) | (np.arange(count, dtype=np.uint32)[:, None] << log_size)
    assert_equal(got, want.astype(np.uint32))


def test_t36_rows_of_nearly_2_31_words_are_interpolated_as_in_storage_order():
    """15 columns of 2^27 words; both ways end in the same words."""
    log_size, count = 27, 15
    need(40)
    table = points.inverse_table(log_size, points.multiples())
    rows = mixed_words(count, log_size)
    got = fft.interpolate_rows(rows, table)
    want = fft.interpolate(fft.to_storage(rows), table)
    assert bool(jax.jit(lambda x, y: (x == y).all())(got, want))


def test_t36_leaves_beyond_2_30_words_are_those_of_hashlib():
    """15 words for each of 2^26 leaves, 8 for each of their digests."""
    log_size, count = 26, 15
    need(20)
    digests = blake2s.leaves([mixed_words(count, log_size)])
    rng, size = np.random.default_rng(0), 1 << log_size
    places = np.array([0, 1, size - 1, *rng.integers(0, size, 100)])
    got = np.asarray(digests[:, places])
    for place, digest in zip(places.tolist(), got.T, strict=True):
        row = (np.uint32(place) * np.uint64(31) + np.arange(count, dtype=np.uint64)) & np.uint64(P)
        data = row.astype("<u4").tobytes()
        assert digest.tobytes() == hashlib.blake2s(data).digest()


def test_t36_2_31_words_are_refused():
    wide, table = (jax.ShapeDtypeStruct(s, np.uint32) for s in ((16, 1 << 27), (1 << 27,)))
    for run, arguments in (
        (fft.to_storage, (wide,)),
        (fft.interpolate, (wide, table)),
        (fft.interpolate_rows, (wide, table)),
    ):
        with pytest.raises(ValueError, match="fewer than 2\\^31 words, got 16 x 2\\^27"):
            jax.eval_shape(run, *arguments)
    with pytest.raises(ValueError, match="points of the FRI domain: expected at most 2\\^27"):
        Program(legacy26().structure, legacy26().shape((27,)), PARAMS)
