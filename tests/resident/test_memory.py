"""Memory that is not there: refused beforehand, or one clear error and no proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import Trace  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci  # noqa: E402
from jaxstark.implementation import Clock  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.plan import plan  # noqa: E402
from jaxstark.resident import batch as resident_batch  # noqa: E402
from jaxstark.resident import driver, memory  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.setup import setup  # noqa: E402

AIR, PARAMS = wide_fibonacci(4), ProofParams(0, 1, 3, 1)
SHAPE = AIR.shape((7,))
PROGRAM = Program(AIR.structure, SHAPE, PARAMS)


class Device:
    platform = "cpu"  # whose arrays are not sent in parts

    def __init__(self, statistics) -> None:
        self.memory_stats = lambda: statistics


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch):
    """A device with so many free bytes."""
    memory.check.cache_clear()

    def set_free(free: int | None) -> None:
        found = None if free is None else {"bytes_limit": free + 1000, "bytes_in_use": 1000}
        monkeypatch.setattr(memory.jax, "devices", lambda: [Device(found)])

    yield set_free
    memory.check.cache_clear()


def test_free_memory_is_compared_once_it_is_known(device) -> None:
    planned = plan(SHAPE, PARAMS)
    needed = planned.peak_bytes - planned.argument_bytes
    device(needed - 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="memory of the device: expected .* free for 2"):
            memory.check(PROGRAM)
    device(needed)
    memory.check(PROGRAM)
    with pytest.raises(ValueError, match="this would fit: batch=1, or "):
        memory.check(PROGRAM, 8)
    device(0)
    memory.check(PROGRAM)  # passed before: its memory is in use, or free again
    device(None)
    memory.check(PROGRAM, 8)


def test_a_program_that_keeps_no_evaluations_is_planned_as_such(device) -> None:
    program = replace(PROGRAM, keep_evaluations=False)
    planned = plan(SHAPE, PARAMS, keep_evaluations=False)
    assert planned.peak_bytes != plan(SHAPE, PARAMS).peak_bytes
    device(planned.peak_bytes - planned.argument_bytes - 1)
    with pytest.raises(ValueError, match="for 2.*evaluations not kept"):
        memory.check(program)
    device(planned.peak_bytes - planned.argument_bytes)
    memory.check(program)


def exhausted() -> Exception:
    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")


def test_the_error_of_the_runtime_is_explained(device) -> None:
    device(5_000_000_000)
    with (
        pytest.raises(
            MemoryError,
            match=r"ran out, no proof was made: 2\^7 rows, 4 columns, blow-up 2 need .* GB in all, "
            "of which 5 GB are free now; this would fit",
        ) as caught,
        memory.explained(PROGRAM),
    ):
        raise exhausted()
    assert isinstance(caught.value.__cause__, jax.errors.JaxRuntimeError)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), memory.explained(PROGRAM):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


def test_prove_raises_instead_of_a_partial_proof(device, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace(AIR, {"fibonacci": np.zeros((4, 128), np.uint32)})
    key = setup(AIR, (7,), PARAMS, implementation="xla")
    device(None)

    def fail(*arguments, **options):
        raise exhausted()

    for where in ("host", "device"):
        with monkeypatch.context() as patch:
            patch.setattr(driver, "_programs", fail)
            with pytest.raises(MemoryError, match="no proof was made"):
                driver.prove(trace, SHAPE, key, where, Clock(None), check=True)
    with monkeypatch.context() as patch:
        patch.setattr(resident_batch, "_compiled", fail)
        with pytest.raises(MemoryError, match="no proof was made: 3 proofs of"):
            resident_batch.start(resident_batch.send([trace] * 2, SHAPE, key, 3))
    memory.check.cache_clear()
    device(1000)
    with pytest.raises(ValueError, match="memory of the device: expected"):
        driver.prove(trace, SHAPE, key, "device", Clock(None), check=True)
