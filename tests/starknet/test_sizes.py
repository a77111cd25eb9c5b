"""The size report: counted where there is a proof, estimated and marked so where there is none."""

from __future__ import annotations

import random

import pytest

from jaxstark.params import PRESETS, ProofParams
from jaxstark.starknet import envelope, limb_proof, packer, sizes
from jaxstark.starknet.sizes import Row
from tests.golden.cases import CASES
from tests.starknet.golden.cases import ENCODINGS, IRIS, packable
from tests.strategies import lookup_shape, shaped_proof

BOTH = pytest.mark.parametrize("encoding", ENCODINGS)


def shape_of(name: str):
    item = packable(name)
    return item.air.shape(item.key.log_sizes, item.public)


def felts_of(name: str, encoding: str) -> int:
    item = packable(name)
    return 8 + len(packer.payload(item.proof, item.key, item.air, item.public, encoding))


@BOTH
@pytest.mark.parametrize("name", [*CASES, IRIS])
def test_an_estimate_is_near_the_proof(name, encoding):
    """Golden proofs have few queries, so that one may be 15 % off its expectation."""
    item = packable(name)
    statement = sum(1 + len(vector) for vector in item.public.values())
    found = sizes.estimate(shape_of(name), item.key.params, encoding, statement=statement)
    assert found.estimated
    assert found.felts == pytest.approx(felts_of(name, encoding), rel=0.15)


@pytest.mark.parametrize("params", [PRESETS["compact-96"], ProofParams(0, 1, 9, 1, 2)], ids=str)
def test_an_estimate_is_the_mean_over_random_queries(params):
    rng, shape = random.Random(3), lookup_shape(12)
    counts = [len(limb_proof.encode(shaped_proof(rng, shape, params), shape)) for _ in range(40)]
    found = sizes.estimate(shape, params)
    assert found.felts - 9 == pytest.approx(sum(counts) / len(counts), rel=0.01)


@BOTH
def test_what_is_counted_is_what_is_sent(encoding):
    item = packable("range_sum_stwo96")
    message = packer.encode(item.proof, item.key, item.air, item.public, encoding)
    size = sizes.measured(message, 500)
    assert (size.encoding, size.felts, size.bytes) == (encoding, len(message), 32 * len(message))
    assert not size.estimated
    chunks = envelope.split(message, 500)
    assert size.chunks == tuple(map(len, chunks))
    assert size.transactions == len(chunks)
    assert sizes.counted(encoding, len(message), 500) == size


def test_gas_is_the_sum_of_its_parts():
    one = sizes.gas_of([1479])
    sent = 1479 + 5
    # Calldata and a signature of two felts; event with 4 keys at twice the price and 5 felts.
    assert one["data"] == (sent + 2) * 5120 + (2 * 4 + 5) * 5120
    assert one["storage"] == 402_000
    assert one["transaction"] == 463_192 + 660_000 + sent * 1591 // 2
    assert one["execution"] == 1479 * 2950
    two = sizes.gas_of([4500, 100])
    assert two["storage"] == 5 * 402_000
    assert sum(two.values()) > sum(sizes.gas_of([4600]).values())
    size = sizes.counted("limb248", 1479)
    assert size.total_gas == sum(one.values())
    assert size.strk() == pytest.approx(size.total_gas * 8e9 / 1e18)
    assert size.strk(16 * 10**9) == pytest.approx(2 * size.strk())


@pytest.mark.parametrize(
    ("chunks", "measured"),
    [([100], 2.5e6), ([1000], 10.5e6), ([4400], 40.7e6), ([4000, 4000, 26], 77.7e6)],
)
def test_the_model_of_gas_is_near_what_a_node_charged(chunks, measured):
    """L2 gas of messages of these lengths on starknet-devnet 0.8.1."""
    assert sum(sizes.gas_of(chunks).values()) == pytest.approx(measured, rel=0.03)


def test_the_report_has_every_preset_and_marks_estimates():
    found = tuple(sizes.counted(e, felts_of(IRIS, e)) for e in ENCODINGS)
    this = Row("this proof", packable(IRIS).key.params, found)
    report = sizes.report(shape_of(IRIS), proof=this, statement=9, price=9 * 10**9)
    assert [row.name for row in report.rows] == ["this proof", *PRESETS]
    assert all(len(row.sizes) == 2 for row in report.rows)
    by_name = {row.name: row for row in report.rows}
    assert not any(size.estimated for size in by_name["this proof"].sizes)
    assert all(size.estimated for name in PRESETS for size in by_name[name].sizes)
    estimate, real = by_name["compact-96"].sizes[0], by_name["this proof"].sizes[0]
    assert estimate.felts == pytest.approx(real.felts, rel=0.05)
    lines = str(report).splitlines()
    assert len(lines) == 1 + 2 * len(report.rows) + 1
    assert "9 gFri" in lines[-1] and "model" in lines[-1]
    for line in lines[1:-1]:
        assert ("~" in line) is not line.startswith("this proof")


def test_a_preset_that_does_not_fit_the_shape_is_said_to_be_so():
    report = sizes.report(lookup_shape(3))
    by_name = {row.name: row for row in report.rows}
    assert by_name["stwo-96"].sizes == ()
    assert len(by_name["compact-96"].sizes) == 2
    assert "stwo-96         needs components of 2^4 rows or more" in str(report)


def test_poseidon_digests_are_smaller_still():
    shape, params = lookup_shape(10), PRESETS["compact-96"]
    for encoding in ENCODINGS:
        blake = sizes.estimate(shape, params, encoding)
        poseidon = sizes.estimate(shape, params, encoding, suite="poseidon252")
        assert poseidon.felts < blake.felts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: sizes.estimate(s, PRESETS["test"], "felts"), "encoding: expected one of"),
        (lambda s: sizes.estimate(s, PRESETS["test"], suite="sha256"), "suite: expected one of"),
        (lambda s: sizes.estimate(s, ProofParams(0, 1, 1, 20)), "rows: expected at least 2\\^20"),
        (lambda s: sizes.estimate(s, PRESETS["test"], max_felts=9), "max_felts"),
        (lambda s: sizes.counted("limb248", 8), "felts: expected an int above 8"),
        (lambda s: sizes.counted("felts", 80), "encoding: expected one of"),
        (lambda s: sizes.report(s, price=0), "price: expected a positive int"),
        (lambda s: sizes.report(s, price=True), "price: expected a positive int"),
        (lambda s: sizes.counted("serde", 80).strk(-1), "price: expected a positive int"),
    ],
)
def test_misuse_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(lookup_shape(6))
