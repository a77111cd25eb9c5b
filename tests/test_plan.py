"""Plans: proof sizes against the published table and real proofs, memory and work by hand."""

import random

import pytest

from jaxstark.air.legacy26 import legacy26
from jaxstark.params import PRESETS, ProofParams
from jaxstark.plan import plan, proof_size, tree_compressions
from jaxstark.shape import ProofShape
from tests.strategies import lookup_shape, shaped_proof

# Felts for 2^20 rows, 1 + 26 + 4 + 8 columns, by fold step 1, 2, 3, 4.
SIZES = {
    (1, 70): (90_271, 64_252, 58_044, 58_419),
    (2, 35): (55_994, 38_879, 34_583, 34_500),
    (3, 23): (43_338, 29_555, 25_991, 25_680),
    (5, 14): (34_052, 22_599, 19_502, 19_044),
    (8, 9): (28_024, 18_150, 15_404, 14_649),
}


@pytest.mark.parametrize(("blowup", "queries"), SIZES)
def test_sizes_reproduce_the_table(blowup: int, queries: int) -> None:
    for fold, felts in enumerate(SIZES[blowup, queries], start=1):
        size = proof_size(lookup_shape(20), ProofParams(26, blowup, queries, fold))
        assert size.total_felts == pytest.approx(felts, rel=0.02)


def test_sizes_of_other_shapes_and_hashes() -> None:
    params = ProofParams(26, 1, 70, 4)
    for log_size, felts in ((12, 23_180), (16, 39_659), (24, 79_418)):
        assert proof_size(lookup_shape(log_size), params).total_felts == pytest.approx(
            felts, rel=0.01
        )
    poseidon = proof_size(lookup_shape(20), ProofParams(26, 3, 23, 2), hash_felts=1)
    assert poseidon.total_felts == pytest.approx(6_813, rel=0.01)
    no_lookups = proof_size(lookup_shape(20, interaction=0), params)
    assert no_lookups.total_felts == pytest.approx(50_262, rel=0.01)
    parts = proof_size(lookup_shape(20), ProofParams(27, 3, 23, 4)).felts
    assert parts["decommitments"] == pytest.approx(12_986, rel=0.01)
    assert parts["fri"] == pytest.approx(11_537, rel=0.01)
    assert parts["queried values"] == pytest.approx(902, rel=0.01)
    assert parts["sampled values"] == 216


@pytest.mark.parametrize(
    "params", [ProofParams(5, 1, 30, 1), ProofParams(5, 2, 9, 3, 2), ProofParams(5, 3, 12, 4)]
)
def test_sizes_are_the_mean_of_serialized_proofs(params: ProofParams) -> None:
    shape = lookup_shape(9, trace=5, fixed=2)
    felts, data, runs = 0, 0, 40
    for seed in range(runs):
        proof = shaped_proof(random.Random(seed), shape, params)
        prefix = 3 + 1 + 1 + len(proof.log_sizes) + 1 + 4  # version, profile, AIR id; the claims
        felts += (len(proof.to_felts(shape.all_columns)) - prefix) / runs
        data += len(proof.to_bytes()) / runs
    size = proof_size(shape, params)
    assert size.total_felts == pytest.approx(felts, rel=0.01)
    assert size.total_bytes == pytest.approx(data, rel=0.01)
    assert 4 * felts == pytest.approx(data - 4 * 15, abs=1e-6), "both forms hold the same words"


def test_binary_proofs_take_about_four_bytes_per_felt() -> None:
    size = proof_size(lookup_shape(20), PRESETS["stwo-96"])
    assert 4 <= size.total_bytes / size.total_felts < 4.01


def test_compressions_of_a_tree() -> None:
    assert tree_compressions((), 1) == 0
    # 16 words fill one block; the 17th needs a second; nodes are one compression each.
    assert tree_compressions((3,) * 16, 1) == 16 + 15
    assert tree_compressions((3,) * 17, 1) == 32 + 15
    assert tree_compressions((3,) * 32, 2) == 64 + 31
    # 16 words of small columns are absorbed at the small size, then one block per large row.
    assert tree_compressions((2,) * 16 + (5,), 1) == 8 + 64 + 63
    # A block that ends with the row is finished per leaf.
    assert tree_compressions((2,) * 8 + (5,) * 8, 1) == 64 + 63
    assert tree_compressions((5,) * 8 + (2,) * 8, 1) == 64 + 63


def test_memory_counts_every_resident_array() -> None:
    shape = ProofShape((3,), ((), (3, 3)), ((), ((0,), (0,))), 1, 0, 0)
    found = plan(shape, ProofParams(2, 1, 3, 1))
    stages = {s.name: s for s in found.stages}
    trace = 2 * 16 * 4 + 31 * 32  # evaluations, digests
    start = 2 * 8 * 4 + (16 + 8 + 16 + 2 * 16) * 4  # the caller's columns, twiddles, points
    assert found.argument_bytes == start
    assert "commit interaction" not in stages
    coefficients = 2 * 8 * 4
    assert stages["commit trace"].peak_bytes == start + coefficients + trace
    composition = 8 * 16 * 4 + 31 * 32
    coefficients += 8 * 8 * 4
    held = start + trace + composition
    assert stages["composition"].peak_bytes == held + coefficients
    assert stages["out-of-domain values"].peak_bytes == held + coefficients + 10 * 8 * 4 // 16
    assert stages["quotients"].peak_bytes == held + 16 * 16
    fri = 16 * (16 + 8 + 4 + 2) + 32 * (31 + 15 + 7)
    assert stages["FRI"].peak_bytes == stages["openings"].peak_bytes == held + fri
    assert stages["FRI"].compressions == 31 + 15 + 7
    assert stages["grinding (expected)"].compressions == 4
    assert found.peak_bytes == max(s.peak_bytes for s in found.stages)


def test_memory_is_what_xla_reports_for_the_program_of_a_gpu() -> None:
    """2^20 x 26: arguments of both programs, and what the second has beside them at its peak.

    Those are its other arguments, made by the first, and its temporary bytes.
    """
    found = plan(legacy26().shape((20,)), PRESETS["stwo-96"])
    assert found.argument_bytes == pytest.approx(146_800_680, rel=1e-5)
    beside = found.peak_bytes - found.argument_bytes
    assert beside == pytest.approx(457_179_104 + 268_432_984, rel=0.02)


def test_memory_of_transforms_lookups_and_batches() -> None:
    params = PRESETS["stwo-96"]
    # Two buffers of evaluations beside the coefficients: more than the digests of wide tables.
    wide = ProofShape((20,), ((), (20,) * 200), ((), ((0,),) * 200), 1, 0, 0)
    column = 4 << 20
    first = plan(wide, params).stages[0].peak_bytes
    assert first - plan(wide, params).argument_bytes == 200 * column * (1 + 2 + 2)
    # Arrays of several sizes are transformed side by side.
    sizes = (20,) * 200 + (19,) * 200
    two = ProofShape((20,), ((), sizes), ((), ((0,),) * 400), 1, 0, 0)
    first = plan(two, params).stages[0].peak_bytes
    assert first - plan(two, params).argument_bytes == 300 * column * (1 + 2 + 2)
    # Arrays beyond 2^31 words are cut: the second buffer shrinks with them.
    huge = ProofShape((26,), ((), (26,) * 200), ((), ((0,),) * 200), 1, 0, 0)
    peak = plan(huge, params).stages[0].peak_bytes - plan(huge, params).argument_bytes
    assert peak < (200 * 3 + 15 * 2 + 1) * (4 << 26) + 64 * (2 << 27)
    lookups = lookup_shape(18, fixed=1)
    names = [s.name for s in plan(lookups, params).stages]
    assert names[:2] == ["commit trace", "commit interaction"]
    # Tables and tree 0 are shared by a batch; the traces of the next one are there meanwhile, as
    # they came and side by side.
    one, eight = plan(lookups, params), plan(lookups, params, batch=8)
    rows = 4 * sum(1 << k for k in lookups.columns[1])
    shared = one.argument_bytes - rows
    assert eight.argument_bytes == shared + 8 * rows
    assert eight.peak_bytes == shared + 16 * rows + 8 * (one.peak_bytes - shared)
    assert eight.lines()[0].startswith("plan: 8 proofs of 2^18 rows")
    for batch in (0, True, 2.0):
        with pytest.raises(ValueError, match="batch: expected an int of at least 1"):
            plan(lookups, params, batch=batch)  # type: ignore[arg-type]


def test_memory_that_is_not_there_is_refused_with_what_would_fit() -> None:
    found = plan(legacy26().shape((20,)), PRESETS["stwo-96"])
    found.require(found.peak_bytes)
    found.require(found.peak_bytes - found.argument_bytes, loaded=True)
    with pytest.raises(ValueError) as caught:
        found.require(800_000_000)
    assert str(caught.value) == (
        "memory of the device: expected 881 MB free for 2^20 rows, 26 columns, blow-up 2, got "
        "800 MB; this would fit: keep_evaluations=False, or 2^19 rows, or environment variable "
        "XLA_PYTHON_CLIENT_MEM_FRACTION=0.95, if it is at its default of 0.75, or a device with "
        "881 MB free"
    )
    with pytest.raises(ValueError, match="expected 734 MB free .* got 600 MB; .* 2\\^19 rows"):
        found.require(600_000_000, loaded=True)
    several = plan(legacy26().shape((22,)), ProofParams(26, 4, 18, 4), batch=8)
    with pytest.raises(
        ValueError,
        match="for 8 proofs of .* fit: batch=4, or blow-up 8 with more queries, or 2\\^21 rows",
    ):
        several.require(100_000_000_000)
    small = plan(legacy26().shape((6,)), PRESETS["stwo-96"])
    with pytest.raises(ValueError, match="got 0 B; this would fit: a device with .* free$"):
        small.require(0)


def test_memory_is_less_where_evaluations_are_not_kept() -> None:
    """At a large blow-up most of all; an AIR of few columns has nothing to gain."""
    sixteen = ProofParams(26, 4, 18, fold_step=3)
    two = PRESETS["stwo-96"]
    for log_size, params, most in ((20, sixteen, 0.73), (22, sixteen, 0.73), (26, two, 0.88)):
        shape, composed = legacy26().shape((log_size,)), {"composition"} if params == two else set()
        kept, again = (plan(shape, params, keep_evaluations=keep) for keep in (True, False))
        assert kept == plan(shape, params) and kept != again
        assert again.peak_bytes < most * kept.peak_bytes
        assert again.argument_bytes == kept.argument_bytes
        assert again.compressions == kept.compressions
        # Columns are evaluated twice more, for the quotients and for the openings, and at blow-up 2
        # once more for the constraints.
        moved = [{s.name: s.moved_bytes for s in one.stages} for one in (kept, again)]
        more = {name for name in moved[0] if moved[1][name] > moved[0][name]}
        assert more == {"quotients", "openings"} | composed
        assert "evaluations not kept" in again.title and "kept" not in kept.title
    few = ProofShape((20,), ((), (20,) * 2), ((), ((0,),) * 2), 1, 0, 0)
    assert plan(few, sixteen, keep_evaluations=False).peak_bytes > plan(few, sixteen).peak_bytes
    one, eight = (plan(shape, params, batch=n, keep_evaluations=False) for n in (1, 8))
    rows = 26 * 4 << 26
    shared = one.argument_bytes - rows
    assert eight.peak_bytes == shared + 16 * rows + 8 * (one.peak_bytes - shared)


def test_memory_of_a_chunk_by_hand() -> None:
    """26 columns of 2^16 rows at blow-up 16: chunks of 8, 8, 8 and 2."""
    params, shape = ProofParams(26, 4, 18, fold_step=3), legacy26().shape((16,))
    found = plan(shape, params, keep_evaluations=False)
    stages = {s.name: s.peak_bytes - found.argument_bytes for s in found.stages}
    row, column = 4 << 16, 4 << 20
    tree = 32 * ((2 << 20) - 1)
    # One pending, one made of coefficients in two buffers, and the state of the hash.
    assert stages["commit trace"] == 26 * row + (8 + 8 + 2) * column + tree
    held = 2 * tree + (26 + 8) * row
    # A chunk in two buffers and the four words of the numerators.
    assert stages["quotients"] == held + (2 * 8 + 4) * column
    fri = stages["FRI"] - held
    assert stages["openings"] == max(held + fri, (26 + 8) * row + tree + 16 * column)


def test_evaluations_that_need_not_be_kept_are_advised_where_that_fits() -> None:
    sixteen = ProofParams(26, 4, 18, fold_step=3)
    found = plan(legacy26().shape((22,)), sixteen)
    again = plan(legacy26().shape((22,)), sixteen, keep_evaluations=False)
    option = "this would fit: keep_evaluations=False, or "
    assert found.advice(again.peak_bytes).startswith(option)
    assert "keep_evaluations" not in found.advice(again.peak_bytes - 1)
    loaded = again.peak_bytes - again.argument_bytes
    assert found.advice(loaded, loaded=True).startswith(option)
    assert "keep_evaluations" not in found.advice(loaded - 1, loaded=True)
    # It is no advice to those that follow it already; what else fits is computed without keeping.
    with pytest.raises(
        ValueError, match="evaluations not kept, got .*: blow-up 8 .* or 2\\^21"
    ) as caught:
        again.require(again.peak_bytes - 1)
    assert "keep_evaluations" not in str(caught.value)
    for keep in (0, 1, None, "no"):
        with pytest.raises(ValueError, match="keep_evaluations: expected True or False, got"):
            plan(legacy26().shape((22,)), sixteen, keep_evaluations=keep)  # type: ignore[arg-type]


def test_stage_times_are_the_larger_of_both_bounds() -> None:
    """Against the stage limits worked out for a 4.3 TB/s, 20.6 G compressions/s device."""
    shape = lookup_shape(20, interaction=0)
    found = plan(shape, ProofParams(26, 1, 70, 1), bandwidth=4.3e12, hash_rate=20.6e9)
    stages = {s.name: s for s in found.stages}
    for name, mem, alu in (
        ("commit trace", 0.36, 0.31),
        ("composition", 0.20, 0.20),
        ("out-of-domain values", 0.03, 0),
        ("quotients", 0.07, 0),
        ("FRI", 0.09, 0.41),
    ):
        stage = stages[name]
        assert 1e3 * stage.moved_bytes / 4.3e12 == pytest.approx(mem, abs=0.02)
        assert 1e3 * stage.compressions / 20.6e9 == pytest.approx(alu, abs=0.01)
        assert stage.seconds == max(stage.moved_bytes / 4.3e12, stage.compressions / 20.6e9)
    assert found.seconds == sum(s.seconds or 0 for s in found.stages)


def test_plan_lines_and_bad_rates() -> None:
    found = plan(lookup_shape(20), PRESETS["stwo-96"])
    lines = found.lines()
    assert str(found) == "\n".join(lines) and max(map(len, lines)) <= 100
    assert lines[1] == "proof: about 234 kB, 58.5 kfelts"
    assert found.seconds is None and all(line.endswith(" -") for line in lines[3:])
    timed = plan(lookup_shape(20), PRESETS["stwo-96"], bandwidth=1e12, hash_rate=1e9)
    assert timed.lines()[-1].endswith(" ms") and timed.peak_bytes == found.peak_bytes
    for rate in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="bandwidth: expected a positive number"):
            plan(lookup_shape(20), PRESETS["stwo-96"], bandwidth=rate)
    with pytest.raises(ValueError, match="expected at least"):
        plan(lookup_shape(3), PRESETS["stwo-96"])


def test_t30_plans_of_huge_shapes_compute_nothing_large() -> None:
    found = plan(lookup_shape(29), PRESETS["stwo-96"])
    assert found.peak_bytes > 1 << 38
