"""Compiler from a dense network of integers to a looping program.

The network: ``h = relu(x @ W + b) >> shift`` for every layer but the last one, whose logits
``h @ W + b`` decide by argmax; among equal logits the lowest class wins. Weights and biases are
initial memory, so that the hash of the program stands for the model. The public input is the
number of samples and then the samples; the public output is one class for each.

Arithmetic mod p is exact as long as no accumulator leaves the signed range. The compiler bounds
all of them from weights and input range, and refuses a network that could overflow. The bounds
hold for inputs in that range only: whoever trusts a proof compares its public input with what
``DenseProgram.public_input`` makes of the samples, which are refused outside the range.

``quantize`` makes the integers. With input scale s and f fraction bits, a feature x stands as
``round(s x)``, a weight w as ``round(2^f w)`` and a bias b as ``round(2^f s b)``; an accumulator
is then 2^f s times its float value, and the shift by f behind a ReLU brings it back to s times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstark.vm.assembler import assemble
from jaxstark.vm.isa import HALF, MAX_SHIFT
from jaxstark.vm.program import MAX_MEMORY, Program

Layer = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class DenseProgram:
    """A compiled network.

    Attributes:
      program: the program, which classifies any number of samples.
      layers: the integer weights int64 ``[n_in, n_out]`` and biases int64 ``[n_out]``.
      shifts: right shift behind the ReLU of every layer but the last.
      input_range: least and largest allowed feature.
    """

    program: Program
    layers: tuple[Layer, ...]
    shifts: tuple[int, ...]
    input_range: tuple[int, int]

    @property
    def features(self) -> int:
        """Words of a sample."""
        return self.layers[0][0].shape[0]

    @property
    def model_hash(self) -> bytes:
        """32 bytes that stand for architecture, weights and biases: the program's hash."""
        return self.program.hash

    def step_bound(self, samples: int) -> int:
        """The most steps that this number of samples can take; others differ in argmax only."""
        per_sample = _SAMPLE_STEPS
        for i, (weights, _) in enumerate(self.layers):
            inputs, outputs = weights.shape
            hidden = i < len(self.shifts)
            activation = _HIDDEN_STEPS + bool(self.shifts[i]) if hidden else _ARGMAX_STEPS
            per_sample += _LAYER_STEPS + outputs * (_NEURON_STEPS + 4 * inputs + activation)
        return _START_STEPS + samples * per_sample

    def public_input(self, samples: Any) -> np.ndarray:
        """The public input of integer samples ``[n, features]`` or ``[features]``; int64.

        ``ValueError`` for another number of features, no sample, or values outside the range.
        """
        given = np.atleast_2d(np.asarray(samples))
        if given.ndim != 2 or given.shape[1] != self.features or not len(given):
            raise ValueError(
                f"samples: expected [n, {self.features}] with n >= 1, got shape {given.shape}"
            )
        words = _integers("samples", given)
        least, largest = self.input_range
        bad = (words < least) | (words > largest)
        if bad.any():
            sample, feature = np.argwhere(bad)[0]
            raise ValueError(
                f"sample {sample}, feature {feature}: expected {least}..{largest}, got "
                f"{words[sample, feature]}"
            )
        return np.concatenate([[len(words)], words.ravel()])

    def classify(self, samples: Any) -> np.ndarray:
        """The classes that the program must give, computed in NumPy; int64 ``[n]``."""
        return np.argmax(self.logits(samples), axis=1)

    def logits(self, samples: Any) -> np.ndarray:
        """The logits in NumPy, int64 ``[n, classes]``."""
        h = self.public_input(samples)[1:].reshape(-1, self.features)
        for (weights, bias), shift in zip(self.layers[:-1], self.shifts, strict=True):
            h = np.maximum(h @ weights + bias, 0) >> shift
        weights, bias = self.layers[-1]
        return h @ weights + bias


def compile_dense(
    layers: Iterable[tuple[Any, Any]],
    input_range: tuple[int, int],
    *,
    shifts: Sequence[int] | None = None,
) -> DenseProgram:
    """Compile a network of integer layers ``(W [n_in, n_out], b [n_out])``, at least one.

    Args:
      layers: NumPy or JAX arrays of integers; ``quantize`` makes them from floats.
      input_range: least and largest feature, integers.
      shifts: right shift behind the ReLU of every layer but the last, 0..16; by default 0.

    ``ValueError`` for floats, for sizes that do not fit, for an accumulator that could overflow,
    and for a shift that leaves nothing of its layer.
    """
    checked = tuple(_layer(i, w, b) for i, (w, b) in enumerate(_pairs(layers)))
    for i, ((w, _), (following, _)) in enumerate(zip(checked, checked[1:], strict=False), 1):
        if w.shape[1] != following.shape[0]:
            raise ValueError(
                f"layer {i}: expected {w.shape[1]} inputs, the outputs of layer {i - 1}, got "
                f"{following.shape[0]}"
            )
    ends = _range(input_range)
    shifts = tuple(shifts) if shifts is not None else (0,) * (len(checked) - 1)
    if len(shifts) != len(checked) - 1 or not all(_is_shift(shift) for shift in shifts):
        raise ValueError(
            f"shifts: expected {len(checked) - 1} integers in 0..{MAX_SHIFT}, one for every layer "
            f"but the last, got {shifts}"
        )
    words = sum(w.size + b.size for w, b in checked) + sum(len(b) for _, b in checked[:-1])
    if words > MAX_MEMORY:
        raise ValueError(
            f"network: expected at most {MAX_MEMORY} words of weights, biases and hidden values, "
            f"got {words}"
        )
    shifts = tuple(int(shift) for shift in shifts)
    _check_bounds(checked, shifts, ends)
    return DenseProgram(assemble(_text(checked, shifts)), checked, shifts, ends)


def quantize(
    layers: Iterable[tuple[Any, Any]], input_scale: float, fraction_bits: int
) -> tuple[list[Layer], list[int]]:
    """Integer layers and shifts from float layers, for ``compile_dense``.

    Args:
      layers: NumPy or JAX arrays ``(W [n_in, n_out], b [n_out])``.
      input_scale: a feature x stands as the integer ``round(x input_scale)``; the caller computes
        those, and takes the integers of the least and the largest feature as the input range.
      fraction_bits: weights are multiplied by 2^fraction_bits and rounded, biases also by
        ``input_scale``. The shifts behind the ReLUs undo the factor, rounding to nearest, so that
        all layers work at the scale of the input.

    ``ValueError`` for weights that are not finite or that leave the signed range.
    """
    if not _is_shift(fraction_bits) or not 0 < input_scale < 2**30:
        raise ValueError(
            f"quantize: expected fraction_bits in 0..{MAX_SHIFT} and input_scale in 0..2^30, got "
            f"{fraction_bits} and {input_scale}"
        )
    out: list[Layer] = []
    given = _pairs(layers)
    factor = 2**fraction_bits
    for i, (weights, bias) in enumerate(given):
        w = _scaled(f"layer {i}, W", weights, factor)
        b = _scaled(f"layer {i}, b", bias, factor * input_scale)
        if i < len(given) - 1:
            b += factor // 2  # the shift rounds down
        out.append(_layer(i, w, b))
    return out, [int(fraction_bits)] * (len(given) - 1)


def _pairs(layers: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    pairs = list(layers)
    if not pairs:
        raise ValueError("layers: expected at least one (W, b), got none")
    for i, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"layer {i}: expected a pair (W, b), got {type(pair).__name__}")
    return pairs


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_shift(value: Any) -> bool:
    return _is_integer(value) and 0 <= value <= MAX_SHIFT


def _range(given: Any) -> tuple[int, int]:
    ends = tuple(given) if isinstance(given, Sequence | np.ndarray) else (given,)
    if len(ends) != 2 or not all(_is_integer(end) for end in ends):
        raise ValueError(f"input range: expected two integers (least, largest), got {given!r}")
    least, largest = map(int, ends)
    if not -HALF <= least <= largest <= HALF:
        raise ValueError(
            f"input range: expected two ascending numbers in -{HALF}..{HALF}, got {given!r}"
        )
    return least, largest


def _scaled(what: str, given: Any, factor: float) -> np.ndarray:
    """``round(given factor)``, int64."""
    array = np.asarray(given, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{what}: expected finite numbers, got one that is not")
    scaled = np.rint(array * factor)
    if scaled.size and np.abs(scaled).max() > HALF:
        raise ValueError(
            f"{what}: expected at most {HALF} after scaling by {factor:g}, got "
            f"{np.abs(scaled).max():.0f}; use a smaller scale or fewer fraction bits"
        )
    return scaled.astype(np.int64)


def _integers(what: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iu":
        hint = "" if what == "samples" else " (vm.quantize makes integers from floats)"
        raise ValueError(f"{what}: expected integers, got {array.dtype}{hint}")
    if array.size and (int(array.min()) < -HALF or int(array.max()) > HALF):
        raise ValueError(
            f"{what}: expected integers in -{HALF}..{HALF}, got {array.min()}..{array.max()}"
        )
    return array.astype(np.int64)


def _layer(i: int, weights: Any, bias: Any) -> Layer:
    w, b = np.asarray(weights), np.asarray(bias)
    if w.ndim != 2 or b.shape != w.shape[1:] or not w.size:
        raise ValueError(
            f"layer {i}: expected W [n_in, n_out] and b [n_out], got shapes {w.shape} and {b.shape}"
        )
    return _integers(f"layer {i}, W", w), _integers(f"layer {i}, b", b)


def _check_bounds(
    layers: Sequence[Layer], shifts: Sequence[int], input_range: tuple[int, int]
) -> None:
    """Interval arithmetic over Python integers, which do not overflow themselves."""
    least = np.full(layers[0][0].shape[0], input_range[0], object)
    largest = np.full(layers[0][0].shape[0], input_range[1], object)
    for i, (weights, bias) in enumerate(layers):
        up, down = np.maximum(weights, 0).astype(object), np.minimum(weights, 0).astype(object)
        low, high = bias + least @ up + largest @ down, bias + largest @ up + least @ down
        for neuron, (a, b) in enumerate(zip(low, high, strict=True)):
            if a < -HALF or b > HALF:
                raise ValueError(
                    f"layer {i}, neuron {neuron}: expected sums in -{HALF}..{HALF}, but inputs "
                    f"of the range can reach {a}..{b}; use smaller weights, a narrower range or "
                    "a larger shift before this layer"
                )
        if i < len(shifts):
            least, largest = (np.maximum(x, 0) >> shifts[i] for x in (low, high))
            if shifts[i] and high.max() > 0 and not largest.any():
                raise ValueError(
                    f"layer {i}: expected a shift that leaves something of sums up to "
                    f"{high.max()}, got {shifts[i]}, behind which all outputs are 0"
                )


# Steps of the parts below, as `step_bound` adds them up: once (the final halt included), for each
# sample, for each layer and its neurons. A term of a sum takes four.
_START_STEPS, _SAMPLE_STEPS = 5, 4
_LAYER_STEPS, _NEURON_STEPS = 2, 4
_HIDDEN_STEPS, _ARGMAX_STEPS = 2, 4

# r1 samples left, r2 address of the sample, r3 neuron, r4 its row of weights, r5 input,
# r6 r7 factors, r8 accumulator, r9 comparison, r10 best logit, r11 its class.
_START = """
.input  input
    load    r1, [input]
    jumpif  r1, begin
    halt
begin:
    addi    r1, r1, -1
    loadimm r2, input + 1
sample:
"""
_LAYER = """
    loadimm r3, {outputs} - 1
    loadimm r4, {inputs} * ({outputs} - 1)
neuron{i}:
    load    r8, [r3 + bias{i}]
    loadimm r5, {inputs} - 1
sum{i}:
    load    r6, [{source}]
    load    r7, [r4 + r5 + weights{i}]
    mac     r8, r6, r7
    loop    r5, r5, sum{i}
{activation}
    addi    r4, r4, -{inputs}
    loop    r3, r3, neuron{i}
"""
_HIDDEN = """
    relu    r8, r8
{shift}
    store   r8, [r3 + hidden{i}]
"""
# Classes come in descending order: the last one that is not less than the best so far wins.
_ARGMAX = """
    lt      r9, r8, r10
    jumpif  r9, less
    addi    r10, r8, 0
    addi    r11, r3, 0
less:
"""
_END = """
    out     r11
    addi    r2, r2, {features}
    loop    r1, r1, sample
    halt
"""


def _text(layers: Sequence[Layer], shifts: Sequence[int]) -> str:
    """The program as assembler text."""
    data, code = [], [_START]
    last = len(layers) - 1
    for i, (weights, bias) in enumerate(layers):
        inputs, outputs = weights.shape
        # The offset turns signed logits into words in the same order, so that Lt compares them.
        bias = bias + HALF if i == last else bias
        data.append(f".data weights{i}, {', '.join(map(str, weights.T.ravel()))}")
        data.append(f".data bias{i}, {', '.join(map(str, bias))}")
        if i == last:
            code.append("    loadimm r10, 0\n")
            activation = _ARGMAX
        else:
            data.append(f".space hidden{i}, {outputs}")
            shift = f"    shr r8, r8, {shifts[i]}" if shifts[i] else ""
            activation = _HIDDEN.format(i=i, shift=shift)
        source = f"r5 + hidden{i - 1}" if i else "r2 + r5"
        code.append(
            _LAYER.format(i=i, inputs=inputs, outputs=outputs, source=source, activation=activation)
        )
    return "\n".join([*data, *code, _END.format(features=layers[0][0].shape[0])])
