"""Parameters are bounded, presets are what they are called, and weak ones need ``insecure``."""

import dataclasses

import pytest

from jaxstark.params import PRESETS, ProofParams, fri_packing, require_secure
from tests.strategies import lookup_shape

BOUNDS = {
    "pow_bits": (0, 64),
    "log_blowup": (1, 16),
    "n_queries": (1, 4096),
    "fold_step": (1, 30),
    "log_last_layer": (0, 10),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_t6_values_out_of_range_are_refused(name: str) -> None:
    good = ProofParams(10, 1, 3)
    low, high = BOUNDS[name]
    for value in (low, high):
        assert getattr(dataclasses.replace(good, **{name: value}), name) == value
    for value in (low - 1, high + 1, -(10**9), 10**9, 2.0, True, None, "3"):
        with pytest.raises(ValueError, match=f"^{name}: expected an int in {low}..{high}, got "):
            dataclasses.replace(good, **{name: value})


def test_presets_are_the_published_settings() -> None:
    expected = {
        "stwo-96": (26, 1, 70, 4, 0),
        "compact-96": (26, 5, 14, 3, 0),
        "johnson-96": (27, 3, 46, 4, 0),
        "stwo-96-lowpow": (20, 1, 76, 4, 0),
        "test": (10, 1, 3, 1, 0),
    }
    assert {name: dataclasses.astuple(params) for name, params in PRESETS.items()} == expected
    for name in expected:
        assert ProofParams.preset(name, insecure=True) == PRESETS[name]
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["test"]  # type: ignore[index]


def test_t15_weak_presets_need_insecure() -> None:
    for name in ("stwo-96", "compact-96", "johnson-96", "stwo-96-lowpow"):
        assert ProofParams.preset(name).formula_bits >= 96
        require_secure(ProofParams.preset(name))
    with pytest.raises(ValueError, match="preset test: .*at least 96 bits.*= 13 .*insecure=True"):
        ProofParams.preset("test")


def test_unknown_presets_name_the_known_ones() -> None:
    for name in ("stwo96", "", None, ["stwo-96"]):
        with pytest.raises(ValueError, match="stwo-96, compact-96, johnson-96, .*, test, got "):
            ProofParams.preset(name)  # type: ignore[arg-type]


def test_t15_the_floor_is_enforced() -> None:
    shape = lookup_shape(8)
    exact, below = ProofParams(26, 1, 70), ProofParams(25, 1, 70)
    require_secure(exact, shape)
    with pytest.raises(ValueError, match=r"at least 96 bits, got 25 \+ 1 \* 70 = 95"):
        require_secure(below, shape)
    require_secure(below, shape, insecure=True)
    require_secure(below, shape, 95)
    require_secure(exact, shape, None)
    with pytest.raises(ValueError, match="at least 120 bits"):
        require_secure(exact, shape, 120)
    for floor in (-1, 96.0, True, "96"):
        with pytest.raises(ValueError, match="minimum_bits"):
            require_secure(exact, shape, floor)  # type: ignore[arg-type]
    for params in (None, "stwo-96", (26, 1, 70)):
        with pytest.raises(ValueError, match="params: expected ProofParams"):
            require_secure(params, shape, insecure=True)  # type: ignore[arg-type]


def test_too_small_traces_are_refused_even_if_insecure() -> None:
    params = ProofParams(26, 1, 70, fold_step=4, log_last_layer=1)
    require_secure(params, lookup_shape(5))
    with pytest.raises(ValueError, match="trace of 2\\^4 rows: expected at least 2\\^5"):
        require_secure(params, lookup_shape(4), insecure=True)


def test_fri_steps_reach_the_last_layer() -> None:
    assert ProofParams(0, 1, 1, 4, 0).fri_steps(21) == (4, 4, 4, 4, 4, 1)
    assert ProofParams(0, 1, 1, 3, 2).fri_steps(5) == (3,)
    for fold in range(1, 6):
        for last in range(3):
            for log_size in range(fold + last, 16):
                steps = ProofParams(0, 1, 1, fold, last).fri_steps(log_size)
                assert sum(steps) == log_size - last and steps[0] == fold
                assert all(1 <= s <= fold for s in steps)
    assert [fri_packing(5, 1), fri_packing(5, 2), fri_packing(1, 2), fri_packing(2, 3)] == [
        0,
        2,
        0,
        2,
    ]
