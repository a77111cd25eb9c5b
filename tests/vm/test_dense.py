"""Compiled dense networks: the program against NumPy, bounds, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.vm import execute
from jaxstark.vm.dense import compile_dense, quantize
from jaxstark.vm.isa import HALF

pytest.importorskip("numba", reason="numba is missing: the executor was not run")


def network(sizes, seed=0, least=-9, largest=9):
    rng = np.random.default_rng(seed)
    pairs = zip(sizes, sizes[1:], strict=False)
    return [
        (rng.integers(least, largest + 1, pair), rng.integers(-99, 100, pair[1])) for pair in pairs
    ]


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99), st.integers(0, 5))
def test_program_classifies_as_numpy_does(sizes, seed, shift):
    dense = compile_dense(network(sizes, seed), (-20, 80), shifts=[shift] * (len(sizes) - 2))
    samples = np.random.default_rng(seed).integers(-20, 81, (5, sizes[0]))
    output = execute(dense.program, dense.public_input(samples)).output
    assert output.tolist() == dense.classify(samples).tolist()


def test_the_lowest_of_equal_logits_wins():
    dense = compile_dense([(np.zeros((2, 4), np.int64), np.array([-7, -3, -3, -5]))], (0, 1))
    assert execute(dense.program, dense.public_input([0, 1])).output.tolist() == [1]


@pytest.mark.parametrize("logits", [(-HALF, HALF), (HALF, -HALF), (-1, 0), (0, -1), (HALF, HALF)])
def test_argmax_over_the_whole_signed_range(logits):
    dense = compile_dense([(np.zeros((1, 2), np.int64), np.array(logits))], (0, 0))
    assert execute(dense.program, dense.public_input([0])).output.tolist() == [np.argmax(logits)]


def test_iris_sizes_fit_two_to_the_nine_steps():
    dense = compile_dense(network((4, 8, 3)), (0, 80))
    assert execute(dense.program, dense.public_input([50, 33, 14, 2])).steps <= 2**9


def test_program_does_not_grow_with_the_batch():
    dense = compile_dense(network((4, 8, 3)), (0, 80))
    samples = np.random.default_rng(1).integers(0, 81, (150, 4))
    one, many = (execute(dense.program, dense.public_input(x)) for x in (samples[:1], samples))
    assert one.program is many.program and len(many.output) == 150
    assert many.steps < 150 * one.steps * 1.05


def test_every_input_and_weight_matters():
    # Weight 1 on every path and positive activations: each change moves a logit.
    layers = [(np.ones((3, 4), np.int64), np.ones(4, np.int64)), network((4, 2))[0]]
    dense = compile_dense(layers, (1, 9))
    base = dense.logits([4, 5, 6])
    for feature in range(3):
        changed = [4, 5, 6]
        changed[feature] += 1
        assert (dense.logits(changed) != base).any()
    for i, pair in enumerate(layers):
        for part, array in enumerate(pair):
            for at in np.ndindex(array.shape):
                other = [tuple(a.copy() for a in p) for p in layers]
                other[i][part][at] += 1
                altered = compile_dense(other, (1, 9))
                assert (altered.logits([4, 5, 6]) != base).any()
                assert altered.model_hash != dense.model_hash


@pytest.mark.parametrize(("weight", "refused"), [(HALF, False), (HALF + 1, True), (-HALF, False)])
def test_bounds_are_exact(weight, refused):
    # One input in 0..1 and a weight split over two layers' worth of sums.
    layers = [(np.array([[weight // 3], [weight // 3], [weight - 2 * (weight // 3)]]), [0])]
    if refused:
        with pytest.raises(ValueError, match=f"layer 0, neuron 0: .* can reach 0..{weight};"):
            compile_dense(layers, (0, 1))
    else:
        dense = compile_dense(layers, (0, 1))
        assert dense.logits([1, 1, 1]) == weight


def test_a_shift_makes_room():
    layers = [(np.array([[1 << 20]]), [0]), (np.array([[1 << 16]]), [0])]
    with pytest.raises(ValueError, match="layer 1, neuron 0"):
        compile_dense(layers, (-7, 7))
    assert compile_dense(layers, (-7, 7), shifts=[10]).logits([7]) == 7 << 26


W, B = np.ones((2, 3), np.int64), np.zeros(3, np.int64)
BAD = [
    (([], (0, 1)), "at least one"),
    (([(W, B), (W, B)], (0, 1)), "layer 1: expected 3 inputs, the outputs of layer 0, got 2"),
    (([(W, B[:2])], (0, 1)), r"layer 0: expected W \[n_in, n_out\]"),
    (([(W * 0.5, B)], (0, 1)), "layer 0, W: expected integers, got float64"),
    (([(W * 2**40, B)], (0, 1)), "layer 0, W: expected integers in"),
    (([(W, B)], (1, 0)), "input range"),
    (([(W, B)], (0, 1), [3]), "shifts: expected 0 numbers"),
    (([(W, B), (W.T, B[:2])], (0, 1), [17]), "shifts: expected 1 numbers"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compile_dense(*arguments[:2], shifts=arguments[2] if len(arguments) > 2 else None)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([1, 2, 3], r"expected \[n, 2\] with n >= 1, got shape \(1, 3\)"),
        (np.zeros((0, 2), np.int64), "n >= 1"),
        ([[1, 2], [1, 6]], r"sample 1, feature 1: expected -5\.\.5, got 6"),
        ([0.5, 1.0], "expected integers, got float64"),
    ],
)
def test_bad_samples_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        compile_dense([(W, B)], (-5, 5)).public_input(samples)


def test_quantized_network_is_close_to_the_float_one():
    rng = np.random.default_rng(5)
    layers = [(rng.normal(size=p) * 0.5, rng.normal(size=p[1])) for p in ((4, 8), (8, 8), (8, 3))]
    x = rng.uniform(0, 8, (200, 4))
    h = x
    for w, b in layers[:-1]:
        h = np.maximum(h @ w + b, 0)
    logits = h @ layers[-1][0] + layers[-1][1]
    integers, shifts = quantize(layers, 100, 10)
    dense = compile_dense(integers, (0, 800), shifts=shifts)
    samples = np.rint(x * 100).astype(np.int64)
    assert np.abs(dense.logits(samples) / (100 * 2**10) - logits).max() < 0.2
    assert (dense.classify(samples) == logits.argmax(axis=1)).mean() > 0.97
    assert execute(dense.program, dense.public_input(samples)).output.tolist() == (
        dense.classify(samples).tolist()
    )


@pytest.mark.parametrize(
    "arguments", [([(W, B)], 1, 17), ([(W, B)], 0, 4), ([(W * np.inf, B)], 1, 4)]
)
def test_quantize_refuses(arguments):
    with pytest.raises(ValueError, match="expected"):
        quantize(*arguments)
