"""The record of stages says what the lowered programs of a proof run: kernels, or XLA."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any

import pytest

jax = pytest.importorskip("jax")
import numpy as np  # noqa: E402

from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.hash.blake2s import DIGEST_WORDS  # noqa: E402
from jaxstark.implementation import STAGES  # noqa: E402
from jaxstark.params import PRESETS, ProofParams  # noqa: E402
from jaxstark.resident import driver, ran  # noqa: E402
from jaxstark.resident.ahead import Unhashed  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.resident.protocol import protocol  # noqa: E402
from jaxstark.transcript import Transcript  # noqa: E402
from tests.resident.test_program import program  # noqa: E402

# The stage of every function that the protocol calls; others are the transcript's or move words.
FUNCTIONS = {
    "commit_trace": "commit trace",
    "commit_interaction": "commit interaction",
    "commit_composition": "commit composition",
    "sample": "evaluate out of domain",
    "defect": "DEEP quotients",
    "quotients": "DEEP quotients",
    "commit_layer": "FRI",
    "commit_tail": "FRI",
    "last_layer": "FRI",
    "grind": "proof of work",
    "open_queries": "open",
    "open_columns": "open",
}
FUNCTION = re.compile(r"func\.func (?:public |private )?@([\w.]+)\(([^{]*)")
MACHINE, _, _, PUBLIC = SHIPPED["state_machine"].example(8, 1)
CASES = {
    # Columns below the 128 lanes of a block, and columns that no kernel orders.
    "tiny": (legacy26(), (5,), {}, ProofParams(0, 1, 3, 1, 1)),
    "mixed, blow-up 4": (MACHINE, (8, 5), PUBLIC, ProofParams(3, 2, 3, 2, 0)),
    "mixed": (MACHINE, (8, 5), PUBLIC, ProofParams(0, 1, 3, 2, 0)),
    "middle": (legacy26(), (14,), {}, PRESETS["stwo-96"]),
}


class Lowered:
    """Functions of a program: what each calls, its first columns, and its calls of kernels."""

    def __init__(self, text: str) -> None:
        self.calls, self.columns, self.kernels, name = {}, {}, {}, ""
        for line in text.splitlines():
            if found := FUNCTION.search(line):
                name = found[1]
                self.columns[name] = re.findall(r"tensor<\d+x(\d+)xui32>", found[2])
                self.calls[name], self.kernels[name] = [], 0
            elif "stablehlo.custom_call @mosaic_gpu" in line:
                self.kernels[name] += 1
            elif found := re.search(r"\bcall @([\w.]+)\(", line):
                self.calls[name].append(found[1])

    def reached(self, name: str) -> list[str]:
        """A function and all that it calls."""
        return [name, *(other for called in self.calls[name] for other in self.reached(called))]

    def runs_kernels(self, name: str) -> bool:
        return any(self.kernels[one] for one in self.reached(name))

    def log_size(self, name: str) -> int:
        """log2 of the words of a column of the first operand that has columns."""
        return int(self.columns[name][0]).bit_length() - 1


def plain(name: str) -> str:
    """The Python name of a lowered function."""
    return re.sub(r"(_\d+)+$", "", name)


@lru_cache
def lowered(p: Program, transcript: str) -> list[Lowered]:
    """The programs of a proof for CUDA; the host's, whose stages are as many, in one."""
    if transcript == "device":
        return [Lowered(one.as_text()) for one in driver.lower(p, lowering_platforms=("cuda",))]
    fixed, inputs, digest = driver.abstract(p)

    def proof(tables: Any, given: Any, state: Any) -> Any:
        return protocol(p, tables, given, Transcript(state, Unhashed()))

    traced = jax.jit(proof).trace(fixed, inputs, digest)
    return [Lowered(traced.lower(lowering_platforms=("cuda",)).as_text())]


def stages_seen(p: Program, transcript: str) -> dict[str, list[tuple[Lowered, str]]]:
    """The functions of every stage, in the programs where they are."""
    seen: dict[str, list[tuple[Lowered, str]]] = {}
    for program_ in lowered(p, transcript):
        top = "on_device" if "on_device" in program_.calls else "main"
        for name in program_.calls[top]:
            if (stage := FUNCTIONS.get(plain(name))) is not None:
                seen.setdefault(stage, []).append((program_, name))
    return seen


def described(stage: str, functions: list[tuple[Lowered, str]], p: Program) -> str:
    """What the record should say, from what was lowered."""
    calls = [(one, name, other) for one, name in functions for other in one.reached(name)]
    kernels = any(one.kernels[other] for one, _, other in calls)
    under_xla = partial(_logs, calls)
    rows = under_xla("_evaluate") | {
        # The composition is interpolated before it is split.
        k - (stage == "commit composition")
        for k in under_xla("interpolate_with")
    }
    parts = [("{} rows", rows), ("the order of {} rows", under_xla("take_rows") - rows)]
    if stage == "DEEP quotients":
        slow = any(plain(o) == "quotients_from" and not one.runs_kernels(o) for one, _, o in calls)
        parts = [("{} rows", rows), ("{} points", {p.log_domain} if slow else set())]
    if stage == "FRI":
        folds = {
            one.log_size(other)
            for one, _, other in calls
            if plain(other) == "fold" and not one.runs_kernels(other)
        }
        last = bool(under_xla("interpolate_with"))
        parts = [("folds of {} values", folds), ("the last layer", {0} if last else set())]
    texts = [text.format(", ".join(f"2^{k}" for k in sorted(logs))) for text, logs in parts if logs]
    if not kernels:
        return "xla"
    return f"mosaic_gpu, xla for {' and '.join(texts)}" if texts else "mosaic_gpu"


def _logs(calls: list[tuple[Lowered, str, str]], function: str) -> set[int]:
    """log2 of the columns that an operation of the XLA prover gets."""
    return {one.log_size(other) for one, _, other in calls if plain(other) == function}


@pytest.mark.parametrize(
    ("case", "transcript", "keep"),
    [
        ("tiny", "host", True),
        ("tiny", "device", True),
        ("mixed, blow-up 4", "device", True),
        ("middle", "host", True),
        ("tiny", "host", False),
        ("mixed, blow-up 4", "device", False),
        ("mixed", "host", False),
    ],
)
def test_the_record_is_what_the_lowered_stages_run(case, transcript, keep):
    air, sizes, public, params = CASES[case]
    p = Program(air.structure, air.shape(sizes, public), params, keep_evaluations=keep)
    record = ran.stages(p, transcript)
    seen = stages_seen(p, transcript)
    if not params.pow_bits:
        assert record.pop("proof of work") == "none" and "proof of work" not in seen
    assert record == {stage: described(stage, some, p) for stage, some in seen.items()}


def test_the_record_of_several_sizes_and_lookups_is_what_the_lowered_stages_run():
    p = program("range_sum", 12)
    seen = stages_seen(p, "device")
    found = {stage: described(stage, some, p) for stage, some in seen.items()}
    assert ran.stages(p, "device") == found
    assert found["commit interaction"] == "mosaic_gpu, xla for the order of 2^7 rows"


@pytest.mark.parametrize("transcript", ["host", "device"])
def test_no_stage_claims_a_kernel_that_it_does_not_run(transcript):
    """The words of the record of a large proof, as they are written into results."""
    air = legacy26()
    p = Program(air.structure, air.shape((20,)), PRESETS["stwo-96"])
    record = ran.stages(p, transcript)
    folds = "folds of 2^5 values and " if transcript == "host" else ""
    assert record.pop("open") == "xla"
    assert record.pop("FRI") == f"mosaic_gpu, xla for {folds}the last layer"
    assert set(record.values()) == {"mosaic_gpu"}


@pytest.mark.parametrize("name", SHIPPED)
def test_records_have_the_stages_of_the_clock_in_order(name):
    """``compose`` is a part of the stage that commits."""
    names = [n for n in STAGES if n != "compose"]
    p = program(name, 9)
    if not p.air.has_lookups:
        names.remove("commit interaction")
    assert list(ran.stages(p, "host")) == list(ran.stages(p, "device")) == names


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("case", ["tiny", "mixed, blow-up 4", "middle"])
def test_nothing_but_stages_runs_with_the_transcript_on_the_host(case, keep):
    """An operation of JAX between two of them would be a program more, and a wait for some."""
    air, sizes, public, params = CASES[case]
    p = Program(air.structure, air.shape(sizes, public), params, keep_evaluations=keep)
    fixed, inputs, _ = driver.abstract(p)
    transcript = Transcript(np.zeros(DIGEST_WORDS, np.uint32), Unhashed())
    traced = jax.make_jaxpr(lambda t, given: protocol(p, t, given, transcript))(fixed, inputs)
    called = [eqn.params.get("name", eqn.primitive.name) for eqn in traced.eqns]
    assert not [name for name in called if name not in FUNCTIONS]
    assert len(called) == len(set(called)) + len(params.fri_steps(p.log_size)) - 1
