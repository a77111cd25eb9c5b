"""Which implementation proves: refusals on a machine without GPU, and the record of what ran."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jaxstark  # noqa: E402
from jaxstark import implementation  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns  # noqa: E402
from jaxstark.implementation import STAGES, Clock, choose  # noqa: E402
from jaxstark.pallas import probe  # noqa: E402
from jaxstark.proof import Proof  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.golden.cases import golden  # noqa: E402
from tests.soundness.forging import PARAMS  # noqa: E402

INSECURE: Any = {"params": PARAMS, "insecure": True}
# What is asked for, and words of the refusal.
REFUSALS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"implementation": "mosaic_gpu"},
        ("one that the default device runs", "'mosaic_gpu'", "JAX finds no GPU", "choose 'xla'"),
    ),
    (
        {"implementation": "mosaic_gpu", "transcript": "device"},
        ("one that the default device runs", "JAX finds no GPU", "choose 'xla'"),
    ),
    (
        {"implementation": "xla", "transcript": "device"},
        ("transcript: expected 'host' with implementation 'xla', got 'device'", "'mosaic_gpu'"),
    ),
    (
        {"transcript": "device"},
        ("transcript: expected 'host' with implementation 'xla', got 'device'", "'mosaic_gpu'"),
    ),
    ({"implementation": "cuda"}, ("implementation: expected one of mosaic_gpu, xla", "'cuda'")),
    ({"implementation": ""}, ("implementation: expected one of mosaic_gpu, xla", "got ''")),
    ({"transcript": "gpu"}, ("transcript: expected 'host' or 'device', got 'gpu'",)),
    ({"implementation": "xla", "transcript": None}, ("transcript: expected", "got None")),
]


def one_sentence(error: BaseException, words: tuple[str, ...]) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < 500, message
    for word in words:
        assert word in message, message


@pytest.fixture
def trace() -> Trace:
    return Trace(wide_fibonacci(26), {**wide_fibonacci_columns(26, 5, seed=1)})


def test_a_cpu_runs_xla():
    assert choose(None, "host") == choose("xla", "host") == "xla"


@pytest.mark.parametrize(("options", "words"), REFUSALS)
def test_refusals_are_one_sentence(options, words):
    options = {"implementation": None, "transcript": "host"} | options
    with pytest.raises(ValueError) as error:
        choose(**options)
    one_sentence(error.value, words)


@pytest.mark.parametrize(("options", "words"), REFUSALS)
def test_prove_and_compile_refuse_before_any_work(options, words, trace, compilations):
    shape = trace.air.shape(trace.log_sizes)
    compilations.clear()
    with pytest.raises(ValueError) as error:
        jaxstark.prove(trace, **options, **INSECURE)
    one_sentence(error.value, words)
    with pytest.raises(ValueError) as error:
        jaxstark.compile(shape, **options, **INSECURE)
    one_sentence(error.value, words)
    assert compilations == []


@pytest.mark.parametrize(("options", "words"), [r for r in REFUSALS if "transcript" not in r[0]])
def test_setup_and_batches_refuse_before_any_work(options, words, trace, compilations):
    with pytest.raises(ValueError) as error:
        trace.air.setup((5,), PARAMS, **options)
    one_sentence(error.value, words)

    def traces():
        raise AssertionError("no trace is taken")
        yield

    with pytest.raises(ValueError) as error:
        jaxstark.prove_batch(traces(), **options, **INSECURE)
    one_sentence(error.value, words)
    assert compilations == []


def test_a_folder_of_programs_needs_one_program(trace, tmp_path, compilations):
    shape = trace.air.shape(trace.log_sizes)
    compilations.clear()
    with pytest.raises(ValueError) as error:
        jaxstark.compile(shape, cache_dir=tmp_path, **INSECURE)
    one_sentence(error.value, ("cache_dir: expected", "'mosaic_gpu'", "'device'", "'xla'"))
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_fails_the_probe_is_refused_by_its_reason(monkeypatch):
    """Asked for, kernels are never replaced in silence; not asked for, XLA takes over."""
    monkeypatch.setattr(probe, "supported", lambda: (False, "Some GPU does not run the probe"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose(None, "host") == "xla"
    with pytest.raises(ValueError) as error:
        choose("mosaic_gpu", "host")
    one_sentence(error.value, ("Some GPU does not run the probe", "choose 'xla'"))
    with pytest.raises(ValueError) as error:
        choose(None, "device")
    one_sentence(error.value, ("transcript: expected 'host'",))


def test_a_gpu_that_runs_the_probe_takes_kernels(monkeypatch):
    monkeypatch.setattr(probe, "supported", lambda: (True, "Some GPU runs the probe"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose(None, "host") == choose(None, "device") == "mosaic_gpu"
    assert choose("mosaic_gpu", "device") == "mosaic_gpu"
    assert choose("xla", "host") == "xla"


# The record.


def test_provenance_is_recorded_and_is_no_part_of_a_proof(trace):
    proof = jaxstark.prove(trace, **INSECURE)
    made = proof.provenance
    assert made is not None
    assert made.device == jax.devices()[0].device_kind and made.transcript == "host"
    assert dict(made.stages) == dict.fromkeys(STAGES, "xla")
    for other in (
        Proof.from_bytes(proof.to_bytes()),
        Proof.from_json(proof.to_json()),
        replace(proof, provenance=None),
    ):
        assert other.provenance is None
        assert other == proof and hash(other) == hash(proof)
        assert other.to_bytes() == proof.to_bytes() and other.to_json() == proof.to_json()
    assert "provenance" not in repr(proof) and made.device not in proof.to_json()


def test_provenance_does_not_change_a_golden_proof():
    proof = golden("plonk").proof
    other = replace(proof, provenance=implementation.provenance("device", {"FRI": "mosaic_gpu"}))
    assert other == proof and other.sha256() == proof.sha256()
    assert other.provenance is not None and other.provenance.transcript == "device"


def test_a_clock_waits_only_if_somebody_listens(monkeypatch):
    waited, heard = [], []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)
    Clock(None).done("FRI", np.zeros(1))
    assert not waited
    clock = Clock(lambda stage, seconds: heard.append((stage, seconds)))
    clock.done("FRI", "arrays")
    clock.done("open")
    assert waited == ["arrays", None]
    assert [stage for stage, _ in heard] == ["FRI", "open"]
    assert all(seconds >= 0 for _, seconds in heard)
