"""Which implementation proves: refusals on a machine without GPU, and the record of what ran."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jaxstark  # noqa: E402
from jaxstark import compiled, implementation, prover  # noqa: E402
from jaxstark.air.range_sum import range_sum, range_sum_trace  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns  # noqa: E402
from jaxstark.implementation import STAGES, Clock, choose  # noqa: E402
from jaxstark.pallas import probe  # noqa: E402
from jaxstark.proof import Proof  # noqa: E402
from jaxstark.setup import setup  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.golden.cases import golden  # noqa: E402
from tests.soundness.forging import PARAMS  # noqa: E402

INSECURE: Any = {"params": PARAMS, "insecure": True}
# What is asked for, and words of the refusal.
REFUSALS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"implementation": "mosaic_gpu"},
        ("one that the default device runs", "'mosaic_gpu'", "NO GPU FOUND", "choose 'xla'"),
    ),
    (
        {"implementation": "mosaic_gpu", "transcript": "device"},
        ("one that the default device runs", "NO GPU FOUND", "choose 'xla'"),
    ),
    (
        {"implementation": "xla", "transcript": "device"},
        ("transcript: expected 'host' with implementation 'xla', got 'device'", "'mosaic_gpu'"),
    ),
    (
        {"transcript": "device"},
        ("transcript: expected 'host' with implementation 'xla', got 'device'", "NO GPU FOUND"),
    ),
    ({"implementation": "cuda"}, ("implementation: expected one of mosaic_gpu, xla", "'cuda'")),
    ({"implementation": ""}, ("implementation: expected one of mosaic_gpu, xla", "got ''")),
    ({"transcript": "gpu"}, ("transcript: expected 'host' or 'device', got 'gpu'",)),
    ({"implementation": "xla", "transcript": None}, ("transcript: expected", "got None")),
    (
        {"implementation": "xla", "keep_evaluations": False},
        ("keep_evaluations: expected True with implementation 'xla'", "got False", "'mosaic_gpu'"),
    ),
    (
        {"keep_evaluations": False},
        ("keep_evaluations: expected True with implementation 'xla'", "got False"),
    ),
    ({"keep_evaluations": 1}, ("keep_evaluations: expected True or False, got 1",)),
    ({"keep_evaluations": None}, ("keep_evaluations: expected True or False, got None",)),
]


def one_sentence(error: BaseException, words: tuple[str, ...]) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < 500, message
    for word in words:
        assert word in message, message


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """A machine without GPU, whatever this one has; no warning was given yet."""
    monkeypatch.setattr(probe, "supported", lambda: (False, "NO GPU FOUND"))
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    implementation._warn.cache_clear()


@pytest.fixture
def bad_gpu(monkeypatch, no_gpu):
    monkeypatch.setattr(probe, "supported", lambda: (False, "Some GPU does not run the probe"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


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
    if "keep_evaluations" not in options:  # tree 0 is the same
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


def test_a_folder_of_programs_needs_kernels(trace, tmp_path, compilations):
    shape = trace.air.shape(trace.log_sizes)
    compilations.clear()
    with pytest.raises(ValueError) as error:
        jaxstark.compile(shape, cache_dir=tmp_path, **INSECURE)
    one_sentence(error.value, ("cache_dir: expected", "'mosaic_gpu'", "'xla'"))
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_fails_the_probe_is_refused_by_its_reason(bad_gpu):
    """Asked for, kernels are never replaced."""
    for options, words in (
        (("mosaic_gpu", "host"), ("Some GPU does not run the probe", "choose 'xla'")),
        ((None, "device"), ("transcript: expected 'host'", "Some GPU does not run the probe")),
    ):
        with warnings.catch_warnings(action="error"), pytest.raises(ValueError) as error:
            choose(*options)
        one_sentence(error.value, words)


def test_a_gpu_that_fails_the_probe_is_warned_of_once(bad_gpu):
    """Not asked for, XLA takes over, but not in silence; chosen, it needs no warning."""
    with warnings.catch_warnings(action="error"):
        assert choose("xla", "host") == "xla"
    with pytest.warns(RuntimeWarning) as caught:
        assert choose(None, "host") == choose(None, "host") == "xla"
    (warning,) = caught
    for words in ("Some GPU does not run the probe", "XLA proves", "implementation='xla'"):
        assert words in str(warning.message)


def test_the_warning_points_at_the_caller_of_prove(bad_gpu, trace):
    with pytest.warns(RuntimeWarning, match="XLA proves") as caught:
        jaxstark.prove(trace, **INSECURE)
    assert [w.filename for w in caught if w.category is RuntimeWarning] == [__file__]


def test_a_gpu_that_is_not_the_default_platform_is_no_reason(monkeypatch):
    monkeypatch.setattr(probe, "supported", lambda: (True, "Some GPU runs the probe"))
    with pytest.raises(ValueError) as error:
        choose(None, "device")
    one_sentence(error.value, ("transcript: expected", "JAX's default platform is 'cpu'"))


@pytest.mark.parametrize("wanted", [None, "xla", "mosaic_gpu"])
def test_a_jax_without_any_device_is_one_sentence(monkeypatch, wanted):
    """JAX itself raises an ``AssertionError`` without words if JAX_PLATFORMS has nothing."""

    def broken() -> str:
        raise AssertionError

    monkeypatch.setattr(jax, "default_backend", broken)
    with pytest.raises(ValueError) as error:
        choose(wanted, "host")
    one_sentence(error.value, ("device: expected", "JAX_PLATFORMS='cpu'", "NO GPU FOUND", "unset"))


def test_a_gpu_that_runs_the_probe_takes_kernels(monkeypatch):
    monkeypatch.setattr(probe, "supported", lambda: (True, "Some GPU runs the probe"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose(None, "host") == choose(None, "device") == "mosaic_gpu"
    assert choose("mosaic_gpu", "device") == "mosaic_gpu"
    assert choose("xla", "host") == "xla"
    assert choose(None, "host", False) == choose("mosaic_gpu", "device", False) == "mosaic_gpu"
    with pytest.raises(ValueError, match="keep_evaluations: expected True"):
        choose("xla", "host", False)


@pytest.mark.parametrize("keep", [True, False])
def test_evaluations_are_kept_or_not_as_asked_for(keep, trace, monkeypatch, tmp_path):
    """By ``prove``, by a compiled prover and by its program in a folder; kept by default.

    What takes programs from a folder is heard as a stage, like set-up before it.
    """
    from jaxstark import resident

    monkeypatch.setattr(probe, "supported", lambda: (True, "Some GPU runs the probe"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for module in (prover, compiled):
        monkeypatch.setattr(
            module,
            "setup",
            lambda *a, **options: setup(*a, **(options | {"implementation": "xla"})),
        )
    seen, loaded, heard, transcripts = [], [], [], ("host", "device")
    monkeypatch.setattr(
        resident, "prove", lambda *a, **options: seen.append(options["keep_evaluations"])
    )
    monkeypatch.setattr(
        resident,
        "load",
        lambda program, where, folder: loaded.append((program.keep_evaluations, where, folder)),
    )
    options: Any = INSECURE | ({} if keep else {"keep_evaluations": False})
    jaxstark.prove(trace, **options)
    shape = trace.air.shape(trace.log_sizes)
    for where in transcripts:
        made = jaxstark.compile(
            shape,
            transcript=where,
            cache_dir=tmp_path,
            on_stage=lambda stage, _: heard.append(stage),
            **options,
        )
        assert made.keep_evaluations is keep
        made(trace)
    assert seen == [keep] * 5
    assert loaded == [(keep, where, tmp_path) for where in transcripts]
    assert heard == ["set-up", "compile"] * len(transcripts)


# The record.


def test_provenance_is_recorded_and_is_no_part_of_a_proof(trace):
    proof = jaxstark.prove(trace, **INSECURE)
    made = proof.provenance
    assert made is not None
    assert made.device == jax.devices()[0].device_kind and made.transcript == "host"
    assert {**made.stages} == ran(PARAMS.pow_bits, "commit interaction")
    for other in (
        Proof.from_bytes(proof.to_bytes()),
        Proof.from_json(proof.to_json()),
        replace(proof, provenance=None),
    ):
        assert other.provenance is None
        assert other == proof and hash(other) == hash(proof)
        assert other.to_bytes() == proof.to_bytes() and other.to_json() == proof.to_json()
    assert "provenance" not in repr(proof) and made.device not in proof.to_json()


def ran(bits: int, *without: str) -> dict[str, str]:
    """What the prover under XLA runs."""
    stages = {stage: "xla" for stage in STAGES if stage not in without}
    return stages if bits else stages | {"proof of work": "none"}


@pytest.mark.parametrize("bits", [0, 2])
def test_provenance_names_the_stages_that_there_were(bits):
    """Lookups have a stage of their own; without bits nothing is searched."""
    columns, public = range_sum_trace(5, 4, seed=1)
    params = replace(PARAMS, pow_bits=bits)
    lookups = Trace(range_sum(4), columns, public)
    made = jaxstark.prove(lookups, params=params, insecure=True).provenance
    assert made is not None and {**made.stages} == ran(bits)


def test_provenance_does_not_change_a_golden_proof():
    proof = golden("plonk").proof
    other = replace(proof, provenance=implementation.provenance("device", {"FRI": "mosaic_gpu"}))
    assert other == proof and other.sha256() == proof.sha256()
    assert other.provenance is not None and other.provenance.transcript == "device"


@pytest.mark.parametrize("wrong", [0, "print"])
def test_who_hears_of_stages_is_a_function(wrong, trace):
    for call in (
        lambda: jaxstark.prove(trace, on_stage=wrong, **INSECURE),
        lambda: jaxstark.compile(trace.air.shape(trace.log_sizes), on_stage=wrong, **INSECURE),
    ):
        with pytest.raises(ValueError, match="on_stage: expected") as error:
            call()
        one_sentence(error.value, ("on_stage: expected a function", repr(wrong)))


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
