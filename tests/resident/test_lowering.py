"""CUDA accepts the proof of every shipped configuration, and it stays one of few launches."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import Any

import pytest

jax = pytest.importorskip("jax")

from jax.extend.mlir import ir  # noqa: E402
from jax.interpreters import mlir  # noqa: E402

from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.pallas import together  # noqa: E402
from jaxstark.params import PRESETS, ProofParams  # noqa: E402
from jaxstark.resident import ahead, batch, driver, stages  # noqa: E402
from jaxstark.resident.kernels import kernels  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402
from jaxstark.shape import MAX_WORDS  # noqa: E402
from jaxstark.vm.air import template  # noqa: E402
from tests.resident.test_program import VM_SIZES, call_sites, kernels_of, program  # noqa: E402

CUDA: Any = {"lowering_platforms": ("cuda",)}
# What the benchmarks take, beside the presets; "test" is what the published system was timed with.
PARAMS = {**PRESETS, "blowup-16": ProofParams(26, 4, 18, fold_step=3)}
# Call sites of kernels at 2^10 rows. ``test_program`` counts what is missing here.
COUNTED_THERE = {"legacy26", "range_sum", "stwo-96"}
OF_AIRS = {"wide_fibonacci": 18, "plonk": 25, "state_machine": 26}
OF_PARAMS = {
    "compact-96": 23,
    "johnson-96": 22,
    "stwo-96-lowpow": 18,
    "test": 35,  # folds once in every layer of FRI
    "blowup-16": 23,
}
# Sizes of the machine's components where it runs a network: on one flower, on 26 digits. Nothing
# is bitwise there.
IRIS, DIGITS = (9, 6, 7, 4, 4, 4, 8), (18, 6, 13, 10, 9, 10, 8)


def machine(sizes: tuple[int, ...], values: int = 15) -> Program:
    """A proof of an execution; ``values``: as in an AIR id, which value components there are."""
    air = template(values)
    shape = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    return Program(air.structure, shape, PARAMS["stwo-96"])


def grids(lowered: Any) -> list[list[int]]:
    """Blocks along the axes x, y and z of CUDA, of every kernel by what its code launches."""
    context, found = mlir.make_ir_context(), []
    context.allow_unregistered_dialects = True
    for kernel in kernels(lowered):
        module = ir.Module.parse(kernel.attributes["module"], context=context)
        (launched,) = launches(module.operation)
        # After a token: the grid, then the threads of a block.
        sizes = [operand.owner.attributes["value"] for operand in list(launched.operands)[1:4]]
        found.append([ir.IntegerAttr(size).value for size in sizes])
    return found


def launches(op: Any) -> list[Any]:
    """The launches in an operation. What is in one of them is the code of a kernel."""
    if op.name.endswith("gpu.launch"):
        return [op]
    inner = [one for region in op.regions for block in region.blocks for one in block.operations]
    return [found for one in inner for found in launches(one.operation)]


def test_every_shipped_configuration_is_counted():
    """A new AIR or preset gets its number here."""
    assert {*OF_AIRS, *OF_PARAMS} | COUNTED_THERE == {*SHIPPED, *PARAMS}


@pytest.mark.floor
@pytest.mark.parametrize("name", OF_AIRS)
def test_proofs_of_every_air_lower_for_cuda(name):
    assert kernels_of(program(name, 10)) == [OF_AIRS[name]]


@pytest.mark.floor
@pytest.mark.parametrize("name", OF_PARAMS)
def test_proofs_with_every_preset_lower_for_cuda(name):
    assert kernels_of(program("legacy26", 10, PARAMS[name])) == [OF_PARAMS[name]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "log_size", "params", "expected"),
    [
        ("wide_fibonacci", 20, "stwo-96", [7, 24]),
        ("plonk", 20, "stwo-96", [40]),
        ("range_sum", 20, "stwo-96", [40]),
        ("legacy26", 26, "stwo-96", [51]),  # the most rows: arrays of one size in parts
        ("legacy26", 20, "compact-96", [8, 34]),
        ("legacy26", 20, "johnson-96", [8, 30]),
        ("legacy26", 20, "test", [7, 67]),
        ("legacy26", 22, "blowup-16", [9, 40]),
    ],
)
def test_large_proofs_lower_for_cuda(name, log_size, params, expected):
    assert kernels_of(program(name, log_size, PARAMS[params])) == expected


@pytest.mark.floor
@pytest.mark.parametrize(
    ("name", "log_size", "params", "expected"),
    [("legacy26", 10, "stwo-96", [43]), ("range_sum", 12, "blowup-16", [53])],
)
def test_proofs_that_keep_no_evaluations_lower_for_cuda(name, log_size, params, expected):
    """A chunk is evaluated three times, each time in launches of its own."""
    p = replace(program(name, log_size, PARAMS[params]), keep_evaluations=False)
    assert kernels_of(p) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log_size", "params", "expected"),
    [(20, "stwo-96", [20, 56]), (22, "blowup-16", [25, 70]), (26, "stwo-96", [109])],
)
def test_large_proofs_that_keep_no_evaluations_lower_for_cuda(log_size, params, expected):
    """At 2^26 rows no array of a chunk reaches the limit of words."""
    p = replace(program("legacy26", log_size, PARAMS[params]), keep_evaluations=False)
    assert kernels_of(p) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "values", "expected"),
    [(IRIS, 7, [35]), (DIGITS, 7, [54]), (VM_SIZES, 15, [10, 44])],
    ids=["iris", "digits", "2^20"],
)
def test_large_proofs_of_the_machine_lower_for_cuda(sizes, values, expected):
    assert kernels_of(machine(sizes, values)) == expected


@pytest.mark.slow
def test_launches_of_the_machine_beyond_44_are_due_to_the_limit_of_code(monkeypatch, request):
    """The others follow one another."""
    monkeypatch.setattr(together, "MAX_CODE", 1 << 20)
    jax.clear_caches()  # of stages with the limit
    request.addfinalizer(jax.clear_caches)
    assert sum(kernels_of(machine(VM_SIZES))) == 44


@pytest.mark.floor
def test_a_proof_of_all_components_of_the_machine_lowers_for_cuda():
    """So do the quotients and the lookups of each."""
    p = machine((8,) * 9)
    assert len(p.air.components) == 9
    assert kernels_of(p) == [31]


@pytest.mark.floor
def test_a_transcript_on_the_host_lowers_for_cuda():
    """Its stages absorb nothing, and FRI has no tail. Also tree 0, which comes before a proof."""
    p = program("range_sum", 10)
    fixed, inputs, _ = driver.abstract(p)
    lowered, packed = ahead.lower(p, fixed, inputs, **CUDA)
    # Two commitments to columns, the composition, samples and their check, quotients; layers of
    # FRI; the last one, proof of work, openings, messages.
    counts = [4, 7, 5, 2, 1, 3, *(2, 2, 2), 0, 1, 0, 0]
    assert [call_sites(one.as_text()) for one in lowered] == counts
    # What a program returns as it was given is copied.
    returned = [re.findall(r"\n    return ([^:]*) :", one.as_text())[0] for one in lowered]
    assert all("%" in text and "%arg" not in text for text in returned)
    columns = [jax.ShapeDtypeStruct((1, *c.shape), c.dtype) for c in inputs.fixed_rows.values()]
    tree_0 = stages.commit_fixed.trace(p, fixed, columns).lower(**CUDA)
    assert call_sites(tree_0.as_text()) == 4
    kept = [(one.in_tree, one.out_tree) for one in lowered], packed
    assert pickle.loads(pickle.dumps(kept)) == kept  # as a folder of compiled proofs does


@pytest.mark.floor
@pytest.mark.parametrize(
    ("name", "log_size", "size", "expected"), [("legacy26", 10, 32, 18), ("range_sum", 8, 5, 26)]
)
def test_batches_lower_for_cuda_as_axis_y_of_every_grid(name, log_size, size, expected):
    """A batch adds no launch. It is at most 65,535, CUDA's limit for y, which no one checks."""
    p = program(name, log_size)
    lowered = batch.lower(replace(p, max_words=MAX_WORDS // size), size, **CUDA)
    assert call_sites(lowered.as_text()) == expected
    found = grids(lowered)
    assert found and all(sizes[1:] == [size, 1] for sizes in found)
