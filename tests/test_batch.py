"""Many proofs at once: those of ``prove``, in order, from traces that are taken as needed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jaxstark  # noqa: E402
from jaxstark import batch as batches  # noqa: E402
from jaxstark import prover  # noqa: E402
from jaxstark.air import Air, Relation, component  # noqa: E402
from jaxstark.air.range_sum import range_sum, range_sum_trace  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns  # noqa: E402
from jaxstark.errors import ProvingError  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.soundness.forging import PARAMS  # noqa: E402

INSECURE: Any = {"params": PARAMS, "insecure": True}
AIR = wide_fibonacci(5)


def fibonacci(seed: int, log_size: int = 5) -> Trace:
    return Trace(AIR, wide_fibonacci_columns(5, log_size, seed=seed))


def sums(seed: int) -> Trace:
    columns, public = range_sum_trace(5, 4, seed=seed)
    return Trace(range_sum(4), columns, public)


def broken(seed: int) -> Trace:
    columns = dict(wide_fibonacci_columns(5, 5, seed=seed)["fibonacci"])
    columns["c4"] = np.roll(columns["c4"], 1)
    return Trace(AIR, {"fibonacci": columns})


@pytest.mark.parametrize("make", [fibonacci, sums])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_proofs_are_those_of_prove_in_order(make, size):
    traces = [make(seed) for seed in range(3)]
    proofs = jaxstark.prove_batch(traces, batch=size, **INSECURE)
    assert [p.sha256() for p in proofs] == [jaxstark.prove(t, **INSECURE).sha256() for t in traces]
    assert len(set(proofs)) == 3
    key = traces[0].air.setup(traces[0].log_sizes, PARAMS)
    for proof, trace in zip(proofs, traces, strict=True):
        jaxstark.verify(proof, key, trace.public_values, insecure=True)
    assert jaxstark.prove_batch(iter(traces), key=key, **INSECURE) == proofs


def test_no_trace_gives_no_proof(compilations):
    assert jaxstark.prove_batch([], **INSECURE) == []
    assert compilations == []


@pytest.fixture
def events(monkeypatch):
    """What happens, in order: a trace is taken, a proof is made."""
    seen: list[Any] = []
    prove = prover.prove

    def recorded(trace, **options):
        seen.append(("prove", trace.seed))
        return prove(trace, **options)

    monkeypatch.setattr(prover, "prove", recorded)
    return seen


def numbered(events, count: int):
    for seed in range(count):
        events.append(("take", seed))
        trace = fibonacci(seed)
        object.__setattr__(trace, "seed", seed)
        yield trace


def test_a_generator_is_consumed_group_by_group(events):
    """Later traces are not made, nor kept, before the ones in front of them are proved."""
    jaxstark.prove_batch(numbered(events, 5), batch=2, implementation="xla", **INSECURE)
    expected = []
    for group in ((0, 1), (2, 3), (4,)):
        expected += [("take", seed) for seed in group] + [("prove", seed) for seed in group]
    assert events == expected


class Device:
    """Stands for the kernels: programs that do not end before later traces are there."""

    def __init__(self, events: list[Any]) -> None:
        self.events, self.started, self.fault, self.patience = events, [], "", 10
        self.sent: list[Any] = []
        self.kept: set[bool] = set()

    def send(self, traces, shape, key, size, keep_evaluations):
        seeds = [t.seed for t in traces]
        self.kept.add(keep_evaluations)
        self.sent.append(seeds)
        return seeds, size

    def start(self, sent):
        seeds, size = sent
        deadline = time.monotonic() + self.patience
        # The last group is of one trace.
        while len(self.sent) == len(self.started) + 1 < 3:
            if time.monotonic() > deadline:
                self.fault = f"no traces were sent while {seeds} were proved"
                break
            time.sleep(0.001)
        self.started.append((seeds, size))
        return seeds

    def finish(self, seeds):
        self.events.append(("finish", *seeds))
        return seeds


@pytest.fixture
def device(monkeypatch):
    from jaxstark.resident import batch as resident

    setup, made = batches.setup, Device([])
    monkeypatch.setattr(batches, "choose", lambda *options: "mosaic_gpu")
    monkeypatch.setattr(
        batches, "setup", lambda *a, **options: setup(*a, **(options | {"implementation": "xla"}))
    )
    monkeypatch.setattr(resident, "send", made.send)
    monkeypatch.setattr(resident, "start", made.start)
    monkeypatch.setattr(resident, "finish", made.finish)
    return made


def test_with_kernels_the_next_group_is_made_and_sent_while_the_device_proves(device):
    """Every group is one program; no more than one group is made ahead."""
    proofs = jaxstark.prove_batch(numbered(device.events, 5), batch=2, **INSECURE)
    assert proofs == [0, 1, 2, 3, 4] and not device.fault
    assert device.started == [([0, 1], 2), ([2, 3], 2), ([4], 2)]
    assert device.events == [
        *(("take", seed) for seed in range(4)),
        ("finish", 0, 1),
        ("take", 4),
        ("finish", 2, 3),
        ("finish", 4),
    ]
    assert device.kept == {True}


def test_with_kernels_evaluations_need_not_be_kept(device):
    jaxstark.prove_batch(numbered(device.events, 1), keep_evaluations=False, **INSECURE)
    assert device.kept == {False}


def test_with_kernels_an_error_of_a_later_group_is_raised(device):
    device.patience = 0
    first = list(numbered(device.events, 2))

    def failing():
        yield from first
        raise ZeroDivisionError

    with pytest.raises(ValueError, match="traces: expected all of AIR wide_fibonacci/5"):
        jaxstark.prove_batch([*first, sums(2)], batch=2, **INSECURE)
    with pytest.raises(ZeroDivisionError):
        jaxstark.prove_batch(failing(), batch=2, **INSECURE)


@pytest.mark.parametrize("bad", [0, -1, 1.0, "8", None, True, 65536])
def test_batch_sizes_are_checked_before_any_trace_is_taken(bad, events):
    with pytest.raises(ValueError, match="batch: expected an int of 1 to 65535, got"):
        jaxstark.prove_batch(numbered(events, 1), batch=bad, **INSECURE)
    assert events == []


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize(
    ("traces", "words"),
    [
        (lambda: [fibonacci(0), sums(1)], "traces: expected all of AIR wide_fibonacci/5"),
        (
            lambda: [fibonacci(0), Trace(wide_fibonacci(6), wide_fibonacci_columns(6, 5))],
            r"got wide_fibonacci/6 with \(5,\)",
        ),
        (lambda: [fibonacci(0), fibonacci(1, 6)], r"with log sizes \(5,\), got .* with \(6,\)"),
        (lambda: [fibonacci(0), "trace"], "traces: expected jaxstark.Trace objects, got str"),
        (lambda: [None], "traces: expected jaxstark.Trace objects, got NoneType"),
    ],
    ids=["AIR", "AIR of equal sizes", "sizes", "no trace", "None"],
)
def test_traces_that_do_not_belong_together_are_refused(traces, words, size):
    with pytest.raises(ValueError, match=words) as error:
        jaxstark.prove_batch(traces(), batch=size, **INSECURE)
    assert "\n" not in str(error.value)


WORDS = Relation("words", 1)


@component("a", name="first")
def _first(row, air):
    air.lookup(WORDS, [row.a])


def _terms(air):
    for word in air.public_values.words:
        air.public(WORDS, [word])


def test_public_values_of_other_lengths_are_refused():
    """Vectors of any length have one length in a batch."""
    air = Air("free", (_first,), (WORDS,), (("words", None),), _terms)
    one, two = (
        Trace(air, {"first": np.zeros((1, 8), np.uint32)}, {"words": words})
        for words in ([1], [1, 2])
    )
    with pytest.raises(ValueError, match="public values: expected lengths .* got .*'words': 2"):
        jaxstark.prove_batch([one, two], **INSECURE)


def test_another_key_is_refused_before_any_proof(events):
    other = AIR.setup((5,), replace(PARAMS, n_queries=PARAMS.n_queries + 1))
    with pytest.raises(ValueError, match="key: expected the key of these traces"):
        jaxstark.prove_batch(numbered(events, 2), key=other, **INSECURE)
    assert not [event for event in events if event[0] == "prove"]


def test_parameters_are_checked_before_any_trace_is_taken(events):
    for options, words in (
        ({"params": PARAMS}, "at least 96 bits"),
        ({"params": "test"}, "preset test"),
        ({"params": "stwo-97"}, "preset: expected one of"),
        ({"params": None, "insecure": True}, "params: expected ProofParams"),
    ):
        with pytest.raises(ValueError, match=words):
            jaxstark.prove_batch(numbered(events, 1), **options)
    assert events == []
    small = replace(PARAMS, fold_step=6)
    with pytest.raises(ValueError, match=r"at least 2\^7 rows.* got 2\^5"):
        jaxstark.prove_batch([fibonacci(0)], params=small, insecure=True)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_trace_that_breaks_a_constraint_is_a_proving_error(size):
    traces = [fibonacci(0), fibonacci(1), broken(2), fibonacci(3)]
    with pytest.raises(ProvingError, match="component fibonacci, row 0, c4: expected 0, got"):
        jaxstark.prove_batch(traces, batch=size, **INSECURE)
