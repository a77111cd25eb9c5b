"""Compiled dense networks: the program against NumPy, bounds, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.fields.m31 import P
from jaxstark.vm import Execution, Program, execute
from jaxstark.vm.dense import DenseProgram, compile_dense, quantize
from jaxstark.vm.isa import BY_NAME, HALF

pytest.importorskip("numba", reason="numba is missing: the executor was not run")


def network(sizes, seed=0, least=-9, largest=9):
    rng = np.random.default_rng(seed)
    pairs = zip(sizes, sizes[1:], strict=False)
    return [
        (rng.integers(least, largest + 1, pair), rng.integers(-99, 100, pair[1])) for pair in pairs
    ]


def program_logits(dense: DenseProgram, execution: Execution) -> np.ndarray:
    """Logits int64 ``[n, classes]`` as the program computed them.

    They are what the last `mac` of each output neuron wrote, classes in descending order.
    """
    macs = execution.program.opcodes[execution.pcs] == BY_NAME["Mac"].code
    pcs, sums = execution.pcs[macs], execution.values[macs].astype(np.int64)
    inputs, outputs = dense.layers[-1][0].shape
    last = sums[pcs == pcs.max()].reshape(-1, outputs, inputs)[:, ::-1, -1]
    return last - HALF  # the offset that makes signed comparisons unsigned


def with_data(program: Program, at: int, change: int) -> Program:
    """The program with one word of its initial memory, a weight or a bias, changed."""
    data = program.data.astype(np.int64)
    data[at] = (data[at] + change) % P
    return Program(program.words, data, program.input_address)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99), st.integers(0, 5))
def test_program_classifies_as_numpy_does(sizes, seed, shift):
    dense = compile_dense(network(sizes, seed), (-20, 80), shifts=[shift] * (len(sizes) - 2))
    samples = np.random.default_rng(seed).integers(-20, 81, (5, sizes[0]))
    execution = execute(dense.program, dense.public_input(samples))
    assert program_logits(dense, execution).tolist() == dense.logits(samples).tolist()
    assert execution.output.tolist() == dense.classify(samples).tolist()
    assert 0.9 * dense.step_bound(5) - 20 <= execution.steps <= dense.step_bound(5)


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


def test_every_input_and_weight_matters_to_the_program():
    # Weight 1 on every path and positive activations: each change moves a logit.
    layers = [(np.ones((3, 4), np.int64), np.ones(4, np.int64)), network((4, 2), least=1)[0]]
    dense = compile_dense(layers, (1, 9))

    def logits(program, sample):
        return program_logits(dense, execute(program, dense.public_input(sample)))

    base = logits(dense.program, [4, 5, 6])
    assert len(dense.program.data) == 3 * 4 + 4 + 4 * 2 + 2
    for feature in range(3):
        changed = [4, 5, 6]
        changed[feature] += 1
        assert (logits(dense.program, changed) != base).any()
    for at in range(len(dense.program.data)):
        altered = with_data(dense.program, at, 1)
        assert (logits(altered, [4, 5, 6]) != base).any()
        assert altered.hash != dense.model_hash


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


def test_a_shift_that_leaves_nothing_is_refused():
    layers = [(np.array([[3, -5]]), [0, 9]), (np.array([[1], [1]]), [0])]
    with pytest.raises(ValueError, match="layer 0: expected a shift .* sums up to 30, got 5"):
        compile_dense(layers, (0, 10), shifts=[5])
    assert compile_dense(layers, (0, 10), shifts=[4]).logits([10]).tolist() == [[1]]


def test_jax_arrays_compile_like_numpy_ones():
    jnp = pytest.importorskip("jax.numpy")
    layers = network((4, 8, 3), seed=3)
    there = [(jnp.asarray(w, jnp.int32), jnp.asarray(b, jnp.int32)) for w, b in layers]
    assert compile_dense(there, (0, 9)).program == compile_dense(layers, (0, 9)).program
    floats = [(jnp.asarray(w / 8, jnp.float32), jnp.asarray(b, jnp.float32)) for w, b in layers]
    integers, shifts = quantize(floats, 1, 3)
    assert shifts == [3]
    for (w, b), (wanted, bias) in zip(integers, layers, strict=True):
        assert (w == wanted).all()
        assert set((b - 8 * bias).tolist()) <= {0, 4}
    with pytest.raises(ValueError, match=r"got float32 \(vm.quantize makes integers"):
        compile_dense(floats, (0, 9))


W, B = np.ones((2, 3), np.int64), np.zeros(3, np.int64)
BAD = [
    (([], (0, 1)), "at least one"),
    (([(W, B), (W, B)], (0, 1)), "layer 1: expected 3 inputs, the outputs of layer 0, got 2"),
    (([(W, B[:2])], (0, 1)), r"layer 0: expected W \[n_in, n_out\]"),
    ((["Wb"], (0, 1)), r"layer 0: expected a pair \(W, b\), got str"),
    (([(W * 0.5, B)], (0, 1)), r"layer 0, W: expected integers, got float64 \(vm.quantize"),
    (([(W, B > 0)], (0, 1)), "layer 0, b: expected integers, got bool"),
    (([(W * 2**40, B)], (0, 1)), "layer 0, W: expected integers in"),
    (([(W, B)], (1, 0)), "input range"),
    (([(W, B)], (0, 0.5)), "input range: expected two integers"),
    (([(W, B)], 7), "input range: expected two integers"),
    (([(W, B)], (0, 1, 2)), "input range: expected two integers"),
    (([(W, B)], (0, 1), [3]), "shifts: expected 0 integers"),
    (([(W, B), (W.T, B[:2])], (0, 1), [17]), "shifts: expected 1 integers"),
    (([(W, B), (W.T, B[:2])], (0, 1), [-1]), "shifts: expected 1 integers"),
    (([(W, B), (W.T, B[:2])], (0, 1), [0.5]), "shifts: expected 1 integers"),
    (([(W, B), (W.T, B[:2])], (0, 1), [True]), "shifts: expected 1 integers"),
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
    ("arguments", "message"),
    [
        (([(W, B)], 1, 17), r"fraction_bits in 0\.\.16"),
        (([(W, B)], 1, 2.5), "fraction_bits"),
        (([(W, B)], 0, 4), "input_scale"),
        (([], 1, 4), "at least one"),
        (([(W * np.inf, B)], 1, 4), "layer 0, W: expected finite"),
        (([(W, B * np.nan)], 1, 4), "layer 0, b: expected finite"),
        (([(W * 1e300, B)], 1, 4), "layer 0, W: expected at most"),
        (([(W, B + 1e8)], 100, 4), "layer 0, b: expected at most"),
        (([(W[0], B)], 1, 4), r"layer 0: expected W \[n_in, n_out\]"),
    ],
)
def test_quantize_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        quantize(*arguments)


def test_a_network_too_large_for_the_memory_is_refused():
    wide = np.broadcast_to(np.int64(0), (1 << 13, 1 << 11))
    with pytest.raises(ValueError, match="network: expected at most 16777216 words"):
        compile_dense([(wide, np.zeros(1 << 11, np.int64))], (0, 1))
