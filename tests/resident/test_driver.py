"""What a program is started with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")

from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.implementation import Clock  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.resident import batch, driver  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402

PARAMS = ProofParams(0, 1, 3, 2, 1)


def example(name: str, seed: int):
    air, sizes, columns, public = SHIPPED[name].example(5, seed)
    return Trace(air, columns, public), air.setup(sizes, PARAMS)


def test_the_digest_of_a_key_without_public_values_stays_on_the_device():
    (trace, key), (other, _) = example("legacy26", 1), example("legacy26", 2)
    assert not trace.public_values
    first = driver.digest_of(trace, key)
    assert driver.digest_of(other, key) is first
    assert np.array_equal(first, driver.transcript_of(trace, key).digest)
    wider = SHIPPED["legacy26"].example(6, 1)
    larger = wider[0].setup(wider[1], PARAMS)
    assert not np.array_equal(driver.digest_of(trace, larger), first)


def test_the_digest_of_public_values_is_that_of_each_statement():
    (trace, key), (other, _) = example("state_machine", 1), example("state_machine", 2)
    assert trace.public_values != other.public_values
    digests = [np.asarray(driver.digest_of(t, key)) for t in (trace, other)]
    assert not np.array_equal(digests[0], digests[1])
    assert np.array_equal(digests[1], driver.transcript_of(other, key).digest)


@pytest.mark.parametrize("keep", [True, False])
def test_a_program_keeps_evaluations_or_not_as_it_is_told(keep, monkeypatch):
    trace, key = example("legacy26", 1)
    shape, seen = trace.air.shape(trace.log_sizes), []
    monkeypatch.setattr(driver, "finisher", lambda *arguments: lambda messages: messages)

    def start(program, *arguments):
        seen.append(program.keep_evaluations)
        return lambda: None

    monkeypatch.setattr(driver, "_start", start)
    option: Any = {} if keep else {"keep_evaluations": False}
    driver.prove(trace, shape, key, "host", Clock(None), True, **option)
    assert seen == [keep]
    assert batch.send([trace], shape, key, 2, keep).program.keep_evaluations is keep


@pytest.mark.parametrize("where", ["host", "device"])
def test_compiling_is_a_stage_of_the_first_proof_of_a_shape(where, monkeypatch):
    trace, key = example("legacy26", 1)
    program = Program(trace.air.structure, trace.air.shape(trace.log_sizes), key.params)
    heard: list[str] = []
    clock = Clock(lambda stage, seconds: heard.append(stage))
    monkeypatch.setattr(driver, "_compiled", lru_cache(driver._compiled.__wrapped__))
    monkeypatch.setattr(driver, "_lowered", lambda program, where: ([], []))
    monkeypatch.setattr(driver, "compile_programs", lambda lowered: [])
    first = driver._programs(program, where, clock)
    assert heard == ["compile"]
    assert driver._programs(program, where, clock) is first and heard == ["compile"]
