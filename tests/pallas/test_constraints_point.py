"""The check at the out-of-domain point: the words of ``composition_at``, and CUDA accepts it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import statement, verifier  # noqa: E402
from jaxstark.air import Air, component, plonk  # noqa: E402
from jaxstark.air.evaluate import composition_at, relation_elements  # noqa: E402
from jaxstark.air.legacy26 import UNCONSTRAINED, legacy26  # noqa: E402
from jaxstark.air.range_sum import range_sum  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci  # noqa: E402
from jaxstark.circle import secure_double_x  # noqa: E402
from jaxstark.fields import qm31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.logup import encode_elements  # noqa: E402
from jaxstark.pallas.channel import api as channel  # noqa: E402
from jaxstark.pallas.constraints import api  # noqa: E402
from jaxstark.pallas.constraints.config import PointConfig  # noqa: E402
from jaxstark.pallas.constraints.point_program import Program, program  # noqa: E402
from jaxstark.transcript import HostHashes  # noqa: E402
from jaxstark.vm.air import template  # noqa: E402
from tests.golden.cases import CASES, golden  # noqa: E402
from tests.pallas.test_constraints import corner, lower  # noqa: E402

pytestmark = pytest.mark.floor

VM = template(15)
VM_SIZES = (20, 20, 12, 16, 16, 16, 16, 8, 8)
ONE_BLOCK = PointConfig(1 << 20, 1)


class Case(NamedTuple):
    """A check on host values, as ``composition_at`` takes them."""

    air: Air
    shape: Any
    sampled: Any
    vanishing: QM31
    coefficient: QM31
    public: dict[str, Any]
    elements: dict[Any, Any]
    claims: list[QM31]


def secure(rng) -> QM31:
    """Coordinates are often 0."""
    return QM31(*(int(w) for w in rng.integers(0, P, 4) * (rng.integers(0, 4, 4) > 0)))


def random_case(air: Air, sizes: tuple[int, ...], seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    public = {n: rng.integers(0, P, size or 2).tolist() for n, size in air.public_values}
    shape = air.shape(sizes, public)
    elements = {r: relation_elements(secure(rng), secure(rng), r.arity) for r in air.relations}
    sampled = [[[secure(rng) for _ in mask] for mask in tree] for tree in shape.all_offsets]
    claims = [secure(rng) for info in air.info.components if info.n_entries]
    return Case(air, shape, sampled, secure(rng), secure(rng), public, elements, claims)


@lru_cache
def honest_case(name: str) -> Case:
    """What the verifier of a golden proof passes to ``composition_at``."""
    item, calls = golden(name), []

    def record(*arguments):
        calls.append(arguments)
        return composition_at(*arguments)

    def record_point(sampled, combined, point, log_size):
        calls.append((secure_double_x(point.x, log_size - 1),))
        return matches(sampled, combined, point, log_size)

    matches = statement.composition_matches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier, "composition_at", record)
        patch.setattr(statement, "composition_matches", record_point)
        verifier.verify(item.proof, item.key, item.public, insecure=True)
    (air, sizes, _, public, elements, claims, coefficient), (vanishing,) = calls
    shape, sampled = air.shape(sizes, public), item.proof.stark.sampled_values
    return Case(air, shape, sampled, vanishing, coefficient, public, elements, list(claims))


def expected(case: Case) -> list[int]:
    air, shape, sampled, v, coefficient, public, elements, claims = case
    sizes = shape.log_sizes
    combined = composition_at(air, sizes, sampled[:-1], public, elements, claims, coefficient)
    first = [column[0] for column in sampled[-1]]
    left, right = qm31.from_coordinates(first[:4]), qm31.from_coordinates(first[4:])
    return list(qm31.sub(combined, qm31.mul(v, qm31.add(left, qm31.mul(v, right)))))


def flat(sampled) -> list[QM31]:
    return [value for tree in sampled for column in tree for value in column]


def on_host(code: Program, case: Case) -> list[int]:
    """A program run on host scalars."""
    values: Any = {
        "samples": flat(case.sampled),
        "claims": case.claims,
        "coefficient": [case.coefficient],
        "vanishing": [case.vanishing],
    }
    if case.elements:
        rows = encode_elements(case.air, case.elements).reshape(-1, 4).tolist()
        values["elements"] = [QM31(*row) for row in rows]
    values |= {("public", n): [qm31.from_base(w) for w in v] for n, v in case.public.items()}
    fixed = [value for key, _ in code.inputs for value in values[key]] + list(code.constants)
    total = qm31.ZERO
    for block in code.code.tolist():
        slots = list(fixed)

        def operand(field, slots=slots):
            return qm31.neg(slots[field >> 2]) if field & 1 else slots[field >> 2]

        for first, second in block:
            fields = (first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16)
            a, b, c, d = map(operand, fields)
            slots.append(qm31.add(qm31.mul(qm31.add(a, b), c), d))
        total = qm31.add(total, slots[-1])
    return list(total)


def arguments(case: Case) -> tuple:
    """Arguments of ``api.defect``, with the redundant word p for every 0."""

    def words(*values):
        array = np.array(values, np.uint32)
        return np.where(array == 0, np.uint32(P), array)

    return (
        case.air,
        case.shape,
        words(*flat(case.sampled)),
        words(*case.vanishing),
        words(*case.coefficient),
        {name: words(*vector) for name, vector in case.public.items()},
        words(*encode_elements(case.air, case.elements)) if case.elements else (),
        words(*case.claims).reshape(-1, 4),
    )


def on_device(case: Case, config: PointConfig) -> list[int]:
    found, step = api.defect(*arguments(case), config=config, interpret=True)
    assert step is None
    return np.asarray(found).tolist()


AIRS = {
    "legacy26": (legacy26(), (20,)),
    "wide_fibonacci": (wide_fibonacci(26), (6,)),
    "plonk": (plonk.fibonacci_plonk(7), (7,)),
    "state_machine": (state_machine(), (9, 8)),
    "range_sum": (range_sum(8), (10, 8)),
    "corner": (corner(), (7, 8)),
    "obelysk": (VM, VM_SIZES),
}


# Programs.


@pytest.mark.parametrize("name", AIRS)
@pytest.mark.parametrize("config", [ONE_BLOCK, PointConfig(), PointConfig(8, 5), PointConfig(1)])
def test_programs_compute_the_difference(name, config):
    case = random_case(*AIRS[name])
    code = program(case.air, case.shape, config)
    assert code.code.shape[0] <= config.blocks
    assert on_host(code, case) == expected(case)
    assert any(expected(case))


@pytest.mark.parametrize(
    ("name", "steps", "blocks"), [("legacy26", 57, 1), ("obelysk", 706, 1), ("obelysk", 80, 12)]
)
def test_programs_are_short(name, steps, blocks):
    """Steps are time, and legacy26 is one launch without a sum behind it."""
    air, sizes = AIRS[name]
    config = ONE_BLOCK if (steps, blocks) == (706, 1) else PointConfig()
    code = program(air, random_case(air, sizes).shape, config).code
    assert code.shape[0] <= blocks
    assert code.shape[1] <= steps


def with_sample_changed(case: Case, tree: int, column: int, i: int) -> Case:
    sampled = [[list(samples) for samples in table] for table in case.sampled]
    value = sampled[tree][column][i]
    sampled[tree][column][i] = value._replace(c=(value.c + 1) % P)
    return case._replace(sampled=sampled)


@pytest.mark.parametrize("name", CASES)
def test_honest_samples_pass_and_changed_ones_do_not(name):
    case = honest_case(name)
    code = program(case.air, case.shape, PointConfig())
    assert on_host(code, case) == [0, 0, 0, 0] == expected(case)
    places = [
        (tree, column, i)
        for tree, masks in enumerate(case.shape.all_offsets)
        for column, mask in enumerate(masks)
        for i in range(len(mask))
    ]
    names = [name for comp in case.air.components for name in comp.columns]
    # Nothing tells these apart: no constraint reads them, or all that do multiply them by 0.
    free = {*UNCONSTRAINED, "mem_val"} if name == "legacy26" else set()
    for tree, column, i in places[:: 1 if len(places) < 100 else 9]:
        changed = with_sample_changed(case, tree, column, i)
        got = on_host(code, changed)
        assert got == expected(changed)
        if name != "obelysk":
            assert any(got) == (tree != 1 or names[column] not in free)


def test_one_rule_of_degree_one():
    """No product, no lookup: also a constraint that is a mask, 0 or a number."""

    @component("a b", name="few")
    def few(row, air):
        air.constrain(row.a)
        air.constrain(row.a * 0)
        air.constrain(row.b)
        air.constrain(row.a * 0 + 7)

    case = random_case(Air("few", (few,)), (7,))
    for config in (ONE_BLOCK, PointConfig(1, 3)):
        assert on_host(program(case.air, case.shape, config), case) == expected(case)


# Values of the kernel.


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("legacy26", PointConfig()),
        ("wide_fibonacci", PointConfig(8, 3)),
        ("plonk", PointConfig()),
        ("state_machine", PointConfig()),
        ("range_sum", PointConfig(30)),
        ("corner", PointConfig()),
    ],
)
def test_kernel_computes_the_difference(name, config):
    case = random_case(*AIRS[name], seed=1)
    assert on_device(case, config) == expected(case)


@pytest.mark.parametrize("name", ["legacy26", "range_sum"])
def test_kernel_passes_honest_samples(name):
    case = honest_case(name)
    assert on_device(case, PointConfig()) == [0, 0, 0, 0]
    wrong = with_sample_changed(case, 1, 0, 0)
    assert on_device(wrong, PointConfig()) == expected(wrong) != [0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("air", "sizes"), [(VM, VM_SIZES), (wide_fibonacci(300), (6,))], ids=["obelysk", "wide"]
)
def test_kernel_computes_the_difference_of_large_airs(air, sizes):
    """Also with more samples than one run of vectors copies."""
    case = random_case(air, sizes)
    assert on_device(case, PointConfig()) == expected(case)


@pytest.mark.parametrize(
    ("name", "config", "blocks"),
    [("legacy26", PointConfig(), 1), ("range_sum", PointConfig(20, 2), 2)],
)
def test_a_step_of_the_channel_in_the_same_launch(name, config, blocks):
    """Also beside several blocks: neither changes the other."""
    case = random_case(*AIRS[name], seed=2)
    given = arguments(case)
    assert program(*given[:2], config).code.shape[0] == blocks
    digest = np.arange(8, dtype=np.uint32) << 28
    words = given[2].reshape(-1)
    got, step = api.defect(*given, (digest, words), config=config, interpret=True)
    assert np.asarray(got).tolist() == expected(case)
    mixed, drawn = channel.mix_and_draw(digest, words, interpret=True)
    assert [step.digest.tolist(), step.drawn.tolist()] == [mixed.tolist(), drawn.tolist()]


def test_a_batch_of_checks_and_steps_is_that_of_each():
    """Blocks of every member are told apart; some hold the channel."""
    cases = [random_case(*AIRS["range_sum"], seed=seed) for seed in range(2)]
    static, options = arguments(cases[0])[:2], {"config": PointConfig(20, 2), "interpret": True}
    given = [arguments(case)[2:] for case in cases]
    mixed = [
        (np.full(8, i, np.uint32), samples.reshape(-1)) for i, (samples, *_) in enumerate(given)
    ]
    run = jax.vmap(lambda arrays, words: api.defect(*static, *arrays, words, **options))
    stacked = [jax.tree.map(lambda *each: np.stack(each), *trees) for trees in (given, mixed)]
    got, steps = run(*stacked)
    assert got.tolist() == [expected(case) for case in cases]
    for i, (digest, words) in enumerate(mixed):
        want = HostHashes().mix_and_draw(digest, [words])
        assert all(map(np.array_equal, jax.tree.map(lambda a, i=i: a[i], steps), want))


# Lowering for CUDA.


@pytest.mark.parametrize("name", [*AIRS, "wide"])
def test_one_launch_lowers_for_cuda(name):
    air, sizes = (wide_fibonacci(1000), (20,)) if name == "wide" else AIRS[name]
    _, shape, *arrays = arguments(random_case(air, sizes))
    mixed = np.zeros(8, np.uint32), arrays[0].reshape(-1)
    for text in (
        lower(lambda *a: api.defect(air, shape, *a), *arrays),
        lower(lambda *a: api.defect(air, shape, *a), *arrays, mixed),
    ):
        assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


# What is refused.


def test_airs_too_large_for_a_block_are_refused():
    case = random_case(wide_fibonacci(26), (6,))
    with pytest.raises(ValueError, match="check at the point: expected up to 1000 bytes"):
        program(case.air, case.shape, PointConfig(memory=1000))


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (2, lambda s: s[1:], r"samples: expected uint32 \(\d+, 4\)"),
        (2, lambda s: s.astype(np.int32), r"samples: expected uint32"),
        (3, lambda v: v[:3], r"vanishing: expected uint32 \(4,\)"),
        (4, lambda c: c[None], r"coefficient: expected uint32 \(4,\)"),
        (5, lambda p: p | {"words": p["words"][:2]}, r"public value words: expected uint32 \(3,\)"),
        (6, lambda e: e[:1], r"elements: expected uint32 \(2, 4, 4\), got uint32 \(1, 4, 4\)"),
        (6, lambda e: e[:, 1:], r"elements: expected uint32 \(2, 4, 4\), got uint32 \(2, 3, 4\)"),
        (7, lambda c: c[:0], r"claims: expected uint32 \(1, 4\)"),
    ],
)
def test_misuse_is_refused(place, change, message):
    given = list(arguments(random_case(*AIRS["corner"])))
    given[place] = change(given[place])
    with pytest.raises(ValueError, match=message):
        api.defect(*given)
