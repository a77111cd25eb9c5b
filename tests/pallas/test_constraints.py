"""Constraint kernels: the XLA stages' words in the interpreter; CUDA accepts every component."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import circle, composition  # noqa: E402
from jaxstark.air import Air, Relation, component, plonk, row_index  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.range_sum import range_sum  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci  # noqa: E402
from jaxstark.fields import m31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.interaction import interaction_columns  # noqa: E402
from jaxstark.logup import elements_shape  # noqa: E402
from jaxstark.pallas.constraints import api, logup  # noqa: E402
from jaxstark.pallas.constraints.config import InteractionConfig, QuotientConfig  # noqa: E402
from jaxstark.pallas.constraints.moved import Component  # noqa: E402
from jaxstark.pallas.constraints.reads import reads  # noqa: E402
from jaxstark.pallas.together import run_steps, side_by_side  # noqa: E402
from jaxstark.vm.air import template  # noqa: E402

pytestmark = pytest.mark.floor

ONE, THREE = Relation("one", 1), Relation("three", 3)
VM = template(15)
VM_NAMES = [c.name for c in VM.components]


@component("a unread b", preprocessed={"corner_row": row_index}, unused=("unread",))
def _corner(row, air):
    """Constants, public words and masks one row back in every place where they may stand."""
    words = air.public_values.words
    air.constrain(words[1] - 5, "public")
    air.constrain(row.a - row.prev.a * row.prev.b, "back")
    air.lookup(THREE, [row.prev.a, 0, row.corner_row], 3)
    air.lookup(THREE, [7, row.b, words[2]], 0)
    air.provide(ONE, [row.b])
    air.lookup(ONE, [0], words[2])
    air.lookup(ONE, [row.a], 0)
    air.provide(ONE, [row.b], 0)
    air.lookup(ONE, [row.a], row.b)


@component("first second")
def _plain(row, air):
    air.constrain(row.second - row.first, "rule")


def corner() -> Air:
    return Air("corner", (_plain, _corner), (THREE, ONE), (("scale", 1), ("words", 3)))


def words(rng, *shape: int) -> np.ndarray:
    """Random words, often 0 or the redundant p."""
    out = rng.integers(0, P, shape, np.uint32)
    kind = rng.integers(0, 8, shape)
    out[kind == 0] = 0
    out[kind == 1] = P
    return out


def random_elements(air: Air, rng) -> np.ndarray:
    """Random words also where no one reads."""
    if not air.relations:
        return np.zeros((0, 1, 4), np.uint32)
    elements = rng.integers(0, P, elements_shape(air), np.uint32)
    elements[:, 1] = (1, 0, 0, 0)
    return elements


def scalars(air: Air, rng) -> tuple[dict, np.ndarray]:
    public = {n: rng.integers(0, P, size or 2, np.uint32) for n, size in air.public_values}
    return public, random_elements(air, rng)


def quotient_case(air: Air, index: int, sizes: tuple[int, ...], seed: int = 0) -> tuple:
    """Arguments of ``component_quotient``."""
    rng, k = np.random.default_rng(seed), sizes[index]
    shape = air.shape(sizes, {name: [0, 0] for name, _ in air.public_values})
    counts = [sum(other == k for other in columns) for columns in shape.columns] + [0]
    groups = tuple(words(rng, n, 2 << k) if n else None for n in counts[:3])
    n = len(air.info.components[index].constraints)
    powers = rng.integers(0, P, (n, 4), np.uint32)
    back, share = circle.shifted_slots(k, k + 1, -1), rng.integers(0, P, 4, np.uint32)
    where = composition.locate(air, shape)[index]
    return (air, index, where, groups, back, powers, share, *scalars(air, rng))


def interaction_case(air: Air, index: int, k: int, seed: int = 0) -> tuple:
    """Arguments of ``interaction``."""
    rng, comp = np.random.default_rng(seed), air.components[index]
    columns = words(rng, len(comp.columns), 1 << k)
    fixed = words(rng, len(comp.preprocessed), 1 << k)
    return (air, index, columns, fixed, *scalars(air, rng))


def shapes(tree, rows: int):
    """Shapes of arrays, with ``rows`` for the last axis of columns."""
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(
            (*a.shape[:-1], rows if a.shape[-1] > 100 else a.shape[-1]), a.dtype
        ),
        tree,
    )


def lower(function, *arguments) -> str:
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def check_quotient(arguments: tuple, config: QuotientConfig) -> None:
    got = np.asarray(api.component_quotient(*arguments, config=config, interpret=True))
    assert np.array_equal(got, np.asarray(composition.component_quotient(*arguments)))


def check_interaction(arguments: tuple, config: InteractionConfig) -> np.ndarray:
    pieces, claimed = api.interaction(*arguments, config=config, interpret=True)
    got = np.concatenate(pieces), claimed
    want = interaction_columns(*arguments)
    assert [a.shape for a in got] == [a.shape for a in want]
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))
    return np.asarray(got[0])


# Values. Each case costs seconds to compile for a CPU: few of them.


@pytest.mark.parametrize(
    ("air", "index", "sizes", "config"),
    [
        (legacy26(), 0, (8,), QuotientConfig(2)),
        (range_sum(7), 0, (9, 7), QuotientConfig()),
        (corner(), 1, (7, 8), QuotientConfig(4)),
        (corner(), 1, (8, 8), QuotientConfig(gather=True)),
        # Fewer points than a block has lanes.
        (corner(), 1, (6, 6), QuotientConfig()),
        (corner(), 1, (1, 1), QuotientConfig(4)),
        (corner(), 1, (4, 4), QuotientConfig(gather=True)),
    ],
    ids=["legacy26", "range_sum", "corner", "gather", "2^6", "2^1", "gather 2^4"],
)
def test_quotients_are_those_of_xla(air, index, sizes, config):
    check_quotient(quotient_case(air, index, sizes), config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("air", "index", "sizes"),
    [
        (plonk.fibonacci_plonk(7), 0, (7,)),
        (state_machine(), 1, (9, 8)),
        (range_sum(7), 1, (9, 7)),
        (wide_fibonacci(26), 0, (8,)),
        *((VM, i, (9, 8, 8, 8, 8, 8, 8, 8, 8)) for i in range(len(VM_NAMES))),
    ],
)
def test_quotients_of_every_air_are_those_of_xla(air, index, sizes):
    check_quotient(quotient_case(air, index, sizes), QuotientConfig())


@pytest.mark.parametrize("per_inverse", [1, 3])
def test_interaction_columns_are_those_of_xla(per_inverse):
    """Also where a denominator is 0, whose neighbours share its inversion."""
    case = interaction_case(corner(), 1, 8)
    z = case[5][1][0]
    z[:] = (5, 0, 0, 0)
    case[2][0, [3, 77, 200]] = 5
    case[2][2, [77, 130]] = 5
    check_interaction(case, InteractionConfig(per_inverse))


@pytest.mark.parametrize("k", [1, 4, 6])
def test_interaction_columns_of_fewer_rows_than_lanes_are_those_of_xla(k):
    check_interaction(interaction_case(corner(), 1, k), InteractionConfig())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("air", "index", "k"),
    [
        (plonk.fibonacci_plonk(8), 0, 8),
        (state_machine(), 0, 10),
        (range_sum(7), 0, 7),
        *((VM, i, 8) for i in range(len(VM_NAMES))),
    ],
)
def test_interaction_columns_of_every_air_are_those_of_xla(air, index, k):
    check_interaction(interaction_case(air, index, k), InteractionConfig())


@pytest.mark.parametrize("count", [1, 2, 128, 4096])
def test_offsets_are_exclusive_sums(count):
    """Of the first words; what follows them in a row of 128 may be anything."""
    totals = words(np.random.default_rng(count), 4, max(count, 128))
    run = jax.jit(lambda x: run_steps(logup.offsets(x, count, interpret=True), interpret=True))
    got, whole = map(np.asarray, run(totals))
    sums = np.cumsum(totals, axis=1, dtype=np.uint64) % np.uint64(P)
    assert np.array_equal(got[:, 1:count] % P, sums[:, : count - 1])
    assert not (got[:, 0] % P).any()
    assert np.array_equal(whole, sums[:, count - 1])


@pytest.mark.parametrize("blocks", [1, 2, 16])
def test_the_last_column_is_cyclic(blocks):
    """The claimed sum is spread over the rows, and none of it is left in the last one."""
    rng, rows = np.random.default_rng(blocks), 128 * blocks
    steps = words(rng, 4, rows).astype(object)
    local = np.cumsum(steps.reshape(4, blocks, 128), axis=2) % P
    before = np.concatenate(
        [np.cumsum(local[:, :, -1], axis=1) - local[:, :, -1], words(rng, 4, 128)], axis=1
    )
    claimed = steps.sum(axis=1) % P
    share = claimed * pow(rows, -1, P) % P
    want = (np.cumsum(steps, axis=1) - share[:, None] * np.arange(1, rows + 1)) % P
    arrays = (a.astype(np.uint32) for a in (local.reshape(4, rows), before % P, claimed))
    run = jax.jit(
        lambda x, y, z: run_steps(logup.settled(x, y, z, rows, interpret=True), interpret=True)
    )
    assert np.array_equal(run(*arrays), want.astype(np.uint32))
    assert not want[:, -1].any()


def test_only_what_is_read_is_loaded():
    air = corner()
    every, lookups = (reads(air, 1, rules=rules) for rules in (True, False))
    assert every.current == {"a", "b", "corner_row"} == lookups.current
    assert every.previous == {"a", "b"}
    assert lookups.previous == {"a"}
    assert every.public == {("words", 1), ("words", 2)}
    assert lookups.public == {("words", 2)}
    assert reads(VM, 0, rules=False).previous == frozenset()


# Lowering for CUDA, which refuses forms that the interpreter takes.


@pytest.mark.parametrize(("log_rows", "points"), [(20, 1), (20, 2), (27, 1)])
def test_legacy26_lowers_for_cuda(log_rows, points):
    air, index, where, *rest = quotient_case(legacy26(), 0, (7,))
    config = QuotientConfig(points)
    text = lower(
        lambda *a: api.component_quotient(air, index, where, *a, config=config),
        *shapes(rest, 2 << log_rows),
    )
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize("name", ["steps", "program", "relu", "bytes"])
def test_machine_quotients_lower_for_cuda(name):
    index = VM_NAMES.index(name)
    air, index, where, *rest = quotient_case(VM, index, (8,) * len(VM_NAMES))
    text = lower(lambda *a: api.component_quotient(air, index, where, *a), *shapes(rest, 1 << 21))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


@pytest.mark.parametrize(
    ("name", "log_rows"), [("steps", 20), ("program", 7), ("memory", 27), ("relu", 10)]
)
def test_machine_interactions_lower_for_cuda(name, log_rows):
    air, index, *rest = interaction_case(VM, VM_NAMES.index(name), 7)
    text = lower(lambda *a: api.interaction(air, index, *a), *shapes(rest, 1 << log_rows))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 3


def several_quotients(sizes: tuple[int, ...], claims: tuple[int, ...]) -> tuple:
    """Arguments of ``quotients`` for components of ``corner``, and the quotient of each by XLA."""
    parts, want, first = [], [], 2
    air, rng = corner(), np.random.default_rng(9)
    powers, shares = words(rng, 20, 4), words(rng, 3, 4)
    public, elements = scalars(air, rng)
    for index, claim in zip(range(len(sizes)), claims, strict=True):
        _, _, where, groups, back, *_ = quotient_case(air, index, sizes, seed=sizes[index])
        count = len(air.info.components[index].constraints)
        own = powers[first : first + count]
        one = air, index, where, groups, back, own, shares[claim], public, elements
        want.append(np.asarray(composition.component_quotient(*one)))
        # Those of one size are equal, as they have to be.
        arrays = [() if g is None else (jnp.asarray(g),) for g in groups]
        parts.append(api.Part(Component(index, where, arrays, back), first, claim))
        first += count
    return air, parts, (powers, shares, public, elements), want


@pytest.mark.parametrize("sizes", [(9, 9), (7, 8), (4, 6), (5, 5)])
def test_quotients_of_several_components_come_from_one_launch(sizes):
    """Added up where they have one size; each with its own powers and share."""
    air, parts, rest, want = several_quotients(sizes, (0, 2))
    got = jax.jit(lambda *a: api.quotients(air, parts, *a, interpret=True))(*rest)
    if sizes[0] == sizes[1]:
        want = [m31.add(*want)]
    assert list(got) == list(dict.fromkeys(sizes))
    for a, b in zip(got.values(), want, strict=True):
        assert np.array_equal(np.asarray(a), b)
    text = lower(lambda *a: api.quotients(air, parts, *a), *rest)
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1


def test_lookups_of_several_components_share_three_launches():
    cases = [interaction_case(corner(), 1, 8), interaction_case(range_sum(7), 0, 9)]

    def run(interpret: bool):
        each = [api.lookups(*case, interpret=interpret) for case in cases]
        return side_by_side(each, interpret=interpret)

    for case, (pieces, claimed) in zip(cases, run(True), strict=True):
        columns, sums = interaction_columns(*case)
        assert np.array_equal(np.concatenate(pieces), np.asarray(columns))
        assert np.array_equal(claimed, sums)
    assert lower(lambda: run(False)).count("stablehlo.custom_call @mosaic_gpu") == 3


# What is refused.


def test_what_is_no_component_with_lookups_is_refused():
    _, _, where, (_, trace, _), *rest = quotient_case(legacy26(), 0, (6,))
    with pytest.raises(ValueError, match=r"trace group: expected .* a power of two from 4\]"):
        api.component_quotient(legacy26(), 0, where, (None, trace[:, :2], None), *rest)
    with pytest.raises(ValueError, match=r"columns: expected uint32 \[2, a power of two from 2"):
        api.interaction(*interaction_case(state_machine(), 0, 0))
    with pytest.raises(ValueError, match="component first: expected lookups, got none"):
        plain = component("a", name="first")(lambda row, air: air.constrain(row.a))
        api.interaction(*interaction_case(Air("plain", (plain,)), 0, 7))


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (3, lambda g: (g[0], g[1].astype(np.int32), g[2]), "trace group: expected uint32"),
        (3, lambda g: (g[0][:, :256], *g[1:]), r"fixed group: expected uint32 \[n, 512\]"),
        (3, lambda g: (*g[:2], g[2][:, :256]), r"interaction group: expected uint32 \[n, 512\]"),
        (3, lambda g: (None, *g[1:]), "fixed group: expected uint32"),
        (4, lambda b: b[:256], "back: expected 512 slots"),
        (5, lambda p: p[1:], "powers: expected 6 from number 0 on, got 5"),
        (6, lambda s: s[:3], r"share: expected uint32 \(4,\)"),
        (7, lambda p: p | {"words": p["words"][:2]}, r"public value words: expected uint32 \(3,\)"),
        (8, lambda e: e[:1], r"elements: expected uint32 \(2, 4, 4\), got uint32 \(1, 4, 4\)"),
        (8, lambda e: e[:, 1:], r"elements: expected uint32 \(2, 4, 4\), got uint32 \(2, 3, 4\)"),
    ],
)
def test_misuse_is_refused(place, change, message):
    arguments = list(quotient_case(corner(), 1, (8, 8)))
    arguments[place] = change(arguments[place])
    with pytest.raises(ValueError, match=message):
        api.component_quotient(*arguments)
