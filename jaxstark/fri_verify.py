"""FRI verification (host, NumPy, no JAX): commit-phase replay and query phase.

Values live on the circle domain of size ``2^H``, ``H = log_size + log_blowup``, and after the
first fold on line domains, always in bit-reversed order. A layer folds ``2^step`` consecutive
slots, a coset, into one value; there is no factor 1/2 anywhere. Twiddles are computed for the
opened cosets only. Source: protocol section 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from jaxstark import circle
from jaxstark.channel import draw_queries as draw_queries  # part of the query phase
from jaxstark.circle import Point
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields import m31, qm31
from jaxstark.fields.m31 import LOG_ORDER
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import Suite
from jaxstark.merkle_verify import verify_opening
from jaxstark.params import ProofParams, fri_packing
from jaxstark.proof import FriLayer

_WINDOW = 8  # bits of a point index that one table of multiples covers


def check_shape(
    layers: Sequence[FriLayer], last_layer: Sequence[QM31], params: ProofParams, log_size: int
) -> None:
    """Raise ``ProofShapeError`` unless the FRI part has the sizes that the parameters fix.

    Witness lengths depend on the query positions and are checked with them.
    """
    for what, values, count in (
        ("FRI layers", layers, len(params.fri_steps(log_size))),
        ("FRI last-layer coefficients", last_layer, 1 << params.log_last_layer),
    ):
        if len(values) != count:
            raise ProofShapeError(what, count, len(values))


def replay_commit(
    channel: Any, layers: Sequence[FriLayer], last_layer: Sequence[QM31]
) -> tuple[list[QM31], Any]:
    """The folding coefficient of every layer, and the channel after the last layer."""
    alphas = []
    for layer in layers:
        alpha, channel = channel.mix_root(layer.commitment).draw_felt()
        alphas.append(alpha)
    return alphas, channel.mix_felts(last_layer)


def verify_queries(
    suite: Suite,
    layers: Sequence[FriLayer],
    last_layer: Sequence[QM31],
    params: ProofParams,
    log_size: int,
    alphas: Sequence[QM31],
    positions: Sequence[int] | np.ndarray,
    answers: np.ndarray,
) -> None:
    """Verify that the layers fold the queried values into the last-layer polynomial.

    Args:
      suite: the hash suite.
      layers: well-formed FRI layers (``proof.check_stark``) that ``check_shape`` has accepted.
      last_layer: coefficients in bit-reversed order.
      params: trusted parameters.
      log_size: log2 of the degree bound (without blow-up).
      alphas: folding coefficient of every layer.
      positions: distinct query positions, ascending.
      answers: values of the first layer there, uint32 ``[4, len(positions)]``.

    Raises ``ProofShapeError`` for witnesses of a wrong length, ``VerificationError`` for an
    opening that fails (section ``"merkle"``) or a wrong last layer (section ``"fri"``).
    """
    log_domain, folds = log_size + params.log_blowup, 0
    slots, values = np.asarray(positions, np.int64), answers
    steps = params.fri_steps(log_size)
    for i, (layer, step, alpha) in enumerate(zip(layers, steps, alphas, strict=True)):
        what, log_layer = f"FRI layer {i}", log_domain - folds
        cosets, blocks = _complete_cosets(what, layer.fri_witness, slots, values, step)
        grid = (cosets[:, None] << step) + np.arange(1 << step)
        packing = fri_packing(log_layer, step)
        verify_opening(
            suite,
            layer.commitment,
            log_layer - packing,
            grid.reshape(-1)[:: 1 << packing] >> packing,
            blocks.reshape(4, -1).T.reshape(-1, 4 << packing),
            layer.hash_witness,
            what,
        )
        slots, values = cosets, _fold(log_domain, folds, grid, blocks, alpha)
        folds += step
    x = _line_points(log_domain, folds, slots).x
    if not np.array_equal(_evaluate_line(last_layer, x), values):
        raise VerificationError("fri", "the last layer disagrees with the folded values")


def _complete_cosets(
    what: str, witness: Sequence[QM31], slots: np.ndarray, values: np.ndarray, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """The cosets of some slots and all their values, uint32 ``[4, n_cosets, 2^step]``."""
    cosets, owner = np.unique(slots >> step, return_inverse=True)
    missing = (len(cosets) << step) - len(slots)
    if len(witness) != missing:  # before anything of the size of all cosets is allocated
        raise ProofShapeError(f"{what} witness", f"{missing} QM31 elements", len(witness))
    known = np.zeros(len(cosets) << step, bool)
    known[(owner << step) | (slots & ((1 << step) - 1))] = True
    blocks = np.empty((4, len(known)), np.uint32)
    blocks[:, known] = values
    blocks[:, ~known] = np.array(witness, np.uint32).reshape(-1, 4).T
    return cosets, blocks.reshape(4, len(cosets), 1 << step)


def _fold(
    log_domain: int, folds: int, grid: np.ndarray, blocks: np.ndarray, alpha: QM31
) -> np.ndarray:
    """Fold cosets that lie at ``grid`` slots ``[n, 2^step]`` of a layer: uint32 ``[4, n]``."""
    even = grid[:, ::2]
    on_circle = folds == 0
    if on_circle:
        point = circle_points(log_domain, even)
        twiddle, x = point.y, point.x
    else:
        x = twiddle = _line_points(log_domain, folds, even).x
    values = qm31.from_array(blocks)
    while values.a.shape[1] > 1:
        left = QM31(*(w[:, ::2] for w in values))
        right = QM31(*(w[:, 1::2] for w in values))
        difference = qm31.mul_base(qm31.sub(left, right), m31.inv(twiddle))
        values = qm31.add(qm31.add(left, right), qm31.mul(alpha, difference))
        alpha = qm31.sq(alpha)
        # Slot s of a layer becomes slot s >> 1 of the next, whose point is the projection (from
        # the circle) or the double (on the line) of the point at the even slot.
        x = x[:, ::2] if on_circle else circle.double_x(x[:, ::2])
        twiddle, on_circle = x, False
    return qm31.to_array(values)[:, :, 0]


def _evaluate_line(coefficients: Sequence[QM31], x: np.ndarray) -> np.ndarray:
    """A line polynomial with bit-reversed coefficients at points ``[n]``: uint32 ``[4, n]``."""
    # In bit-reversed order the two halves differ in bit 0 of the index, the factor x; in each
    # half the next bit stands for pi(x), and so on.
    terms = np.array(coefficients, np.uint32).T[:, :, None]
    terms = np.broadcast_to(terms, (*terms.shape[:2], len(x)))
    while terms.shape[1] > 1:
        half = terms.shape[1] // 2
        low, high = qm31.from_array(terms[:, :half]), qm31.from_array(terms[:, half:])
        terms = qm31.to_array(qm31.add(low, qm31.mul_base(high, x[None, :])))
        x = circle.double_x(x)
    return terms[:, 0]


@lru_cache(maxsize=1)
def _multiples() -> list[Point]:
    """Tables of the points ``(j << 8 w) G``, ``0 <= j < 2^8``, for every window w of an index."""
    tables = []
    for shift in range(0, LOG_ORDER, _WINDOW):
        table = Point(np.ones(1, np.uint32), np.zeros(1, np.uint32))
        for bit in range(shift, shift + _WINDOW):
            moved = circle.add(table, circle.point(1 << bit))
            table = Point(np.append(table.x, moved.x), np.append(table.y, moved.y))
        tables.append(table)
    return tables


def indices_to_points(indices: np.ndarray) -> Point:
    """Circle points of an int64 array of point indices, uint32 arrays of the same shape."""
    digits = [(indices >> (_WINDOW * w)) & ((1 << _WINDOW) - 1) for w in range(len(_multiples()))]
    parts = [Point(t.x[d], t.y[d]) for t, d in zip(_multiples(), digits, strict=True)]
    return reduce(circle.add, parts)


def bit_reverse(values: np.ndarray, bits: int) -> np.ndarray:
    """The low ``bits`` bits (at most 32) of an integer array in reverse order, int64."""
    v = values.astype(np.uint64)
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        m, s = np.uint64(mask), np.uint64(shift)
        v = ((v >> s) & m) | ((v & m) << s)
    v = ((v >> np.uint64(16)) | (v << np.uint64(16))) & np.uint64(0xFFFFFFFF)
    return (v >> np.uint64(32 - bits)).astype(np.int64)


def circle_points(log_domain: int, slots: np.ndarray) -> Point:
    """Points of the circle domain at some storage slots, uint32 arrays of the same shape."""
    natural, size = bit_reverse(slots, log_domain), 1 << (log_domain - 1)
    half = circle.half_odds(log_domain - 1)
    step = circle.subgroup_generator(half.log_size)
    index = half.initial + (natural % size) * step
    return indices_to_points(np.where(natural < size, index, -index) % (1 << LOG_ORDER))


def _line_points(log_domain: int, folds: int, slots: np.ndarray) -> Point:
    """Points of the line domain after ``folds`` folds at some storage slots."""
    domain = circle.line_domain(log_domain, folds)
    natural = bit_reverse(slots, domain.log_size)
    step = circle.subgroup_generator(domain.log_size)
    return indices_to_points((domain.initial + natural * step) % (1 << LOG_ORDER))
