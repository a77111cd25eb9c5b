"""Fees: exact amounts, bounds from estimates, caps that hold."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.starknet.fees import (
    FRI,
    MAX_L2_GAS,
    Bounds,
    FeePolicy,
    Resource,
    parse_estimate,
    parse_strk,
    require_within,
    show,
)
from jaxstark.starknet.submission_error import SubmissionError

NUMBERS = st.integers(0, 10**15)
BOUNDS = st.builds(Bounds, *[st.builds(Resource, NUMBERS, NUMBERS)] * 3)
SMALL = Bounds(Resource(0, 10), Resource(128, 2000), Resource(10**6, 8 * 10**9))


@pytest.mark.parametrize(
    ("text", "fri"),
    [("1", FRI), ("0.000000000000000001", 1), (" 12.5 ", 25 * FRI // 2), ("0", 0)],
)
def test_amounts_are_exact(text, fri):
    assert parse_strk(text) == fri


def test_no_digit_is_lost():
    assert parse_strk("999999999999.999999999999999999") == 10**30 - 1


@given(st.integers(0, 10**30 - 1))
def test_what_is_shown_is_read_back(fri):
    strk, _, rest = show(fri).partition(" STRK (")
    assert parse_strk(strk) == fri and rest == f"{fri} FRI)"


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "1.", ".5", "1,5", "0." + "0" * 19, "²"])
def test_other_amounts_are_refused(text):
    with pytest.raises(ValueError, match="amount of STRK"):
        parse_strk(text)


@given(BOUNDS, st.integers(0, 10**6), st.integers(0, 100))
def test_bounds_are_the_estimate_and_its_margin(estimate, tip, margin):
    policy = FeePolicy(FRI, tip, margin)
    if estimate.l2_gas.amount > MAX_L2_GAS:
        with pytest.raises(SubmissionError, match="l2_gas amount"):
            policy.bounds(estimate)
        return
    bounds = policy.bounds(estimate)
    for (name, used), (_, most) in zip(estimate.items(), bounds.items(), strict=True):
        for what in ("amount", "price"):
            exact = Fraction(getattr(used, what) * (100 + margin), 100)
            found = getattr(most, what)
            capped = (name, what) == ("l2_gas", "amount") and exact > MAX_L2_GAS
            assert found == MAX_L2_GAS if capped else 0 <= found - exact < 1


def test_worst_fee_has_the_tip_on_l2_gas_alone():
    assert SMALL.worst_fee() == 128 * 2000 + 8 * 10**15
    assert SMALL.worst_fee(tip=3) == SMALL.worst_fee() + 3 * 10**6


def test_a_cap_below_the_estimate_is_refused():
    with pytest.raises(SubmissionError, match="l2_gas amount: expected at most 999999, the cap"):
        FeePolicy(FRI, max_l2_gas=999_999).bounds(SMALL)
    with pytest.raises(SubmissionError, match="l2_gas price"):
        FeePolicy(FRI, max_l2_gas_price=8 * 10**9 - 1).bounds(SMALL)
    capped = FeePolicy(FRI, max_l2_gas=1_100_000, max_l2_gas_price=8 * 10**9).bounds(SMALL)
    assert capped.l2_gas == Resource(1_100_000, 8 * 10**9)


@given(BOUNDS, BOUNDS, st.integers(0, 10**9))
def test_a_replacement_pays_a_tenth_more_and_the_estimate(old, estimate, tip):
    policy = FeePolicy(FRI)
    if max(old.l2_gas.amount, estimate.l2_gas.amount) > MAX_L2_GAS:
        return
    bounds, raised = policy.replacement(old, tip, estimate)
    assert raised * 10 >= tip * 11
    for (_, was), (_, used), (_, now) in zip(
        old.items(), estimate.items(), bounds.items(), strict=True
    ):
        assert now.price * 10 >= was.price * 11 and now.price >= used.price
        assert now.amount >= was.amount and now.amount >= used.amount


def test_a_replacement_keeps_to_the_price_cap():
    policy = FeePolicy(FRI, max_l2_gas_price=9 * 10**9)
    with pytest.raises(SubmissionError, match="raise the cap"):
        policy.replacement(SMALL, 0, SMALL)


def test_all_transactions_count_towards_the_cap():
    require_within([3, 4], 3, 10)
    with pytest.raises(SubmissionError, match="for 2 transactions") as caught:
        require_within([3, 4], 4, 10)
    assert "raise --max_fee_strk" in str(caught.value)


def test_bounds_come_back_from_json():
    assert Bounds.from_json(SMALL.to_json()) == SMALL
    for bad in ({}, [], {"l1_gas": {}}, SMALL.to_json() | {"l3_gas": {}}):
        with pytest.raises(ValueError, match="resource bounds|l1_gas"):
            Bounds.from_json(bad)


def answer(**changes):
    names = ("l1_gas", "l1_data_gas", "l2_gas")
    units = {f"{n}_{what}": "0x2" for n in names for what in ("consumed", "price")}
    return units | {"overall_fee": "0xc", "unit": "FRI"} | changes


def test_estimates_are_read_strictly():
    assert parse_estimate(answer()).worst_fee() == 12
    for bad in (None, [], {}, answer(l2_gas_price=None), answer(l1_gas_consumed="0x1" + "0" * 17)):
        with pytest.raises(SubmissionError, match="fee estimate"):
            parse_estimate(bad)
    with pytest.raises(SubmissionError, match="unit FRI, got 'WEI'"):
        parse_estimate(answer(unit="WEI"))


@pytest.mark.parametrize(
    "options",
    [{"max_fee": -1}, {"tip": 1 << 64}, {"margin": -1}, {"bump": 9}, {"max_l2_gas": MAX_L2_GAS + 1}]
    + [{"max_fee": 1.5}, {"max_l2_gas_price": 0}],
)
def test_policies_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        FeePolicy(**({"max_fee": FRI} | options))
