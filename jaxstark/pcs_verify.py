"""Verification of the polynomial commitment scheme, from the sampled values to the queries.

The caller has committed to all trees and drawn the out-of-domain point. What is checked here: the
sampled values are those of polynomials of bounded degree that the trees commit to. Everything
about sizes comes from the verifying key. Source: protocol sections 6 and 10 to 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark import circle, fri_verify
from jaxstark.channel import draw_queries
from jaxstark.circle import SecurePoint
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields import cm31, m31, qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import Suite
from jaxstark.merkle_verify import verify_opening
from jaxstark.params import ProofParams
from jaxstark.proof import StarkProof, check_stark
from jaxstark.shape import size_groups
from jaxstark.wire import digest_codec

Columns = Sequence[Sequence[int]]  # [tree][column] log sizes without blow-up
Offsets = Sequence[Sequence[Sequence[int]]]  # [tree][column] mask offsets in rows


def sample_points(
    oods_point: SecurePoint, offsets: Sequence[int], log_size: int
) -> list[SecurePoint]:
    """The points of mask offsets: the out-of-domain point moved by rows of the largest trace."""
    step = circle.subgroup_generator(log_size)
    return [circle.secure_add(oods_point, circle.point(rows * step)) for rows in offsets]


def tree_positions(positions: np.ndarray, log_domain: int, height: int) -> np.ndarray:
    """Leaf positions of tree 0 of any height for query positions (protocol section 6).

    Order and duplicates are those of the queries. The positions of a shorter tree are not
    ascending in general; a tree of height ``log_domain`` is opened at the queries themselves.
    """
    if height <= log_domain:
        return circle.lift_slot(positions, height, log_domain)
    return ((positions >> 1) << (height - log_domain + 1)) | (positions & 1)


def check_shapes(
    suite: Suite, stark: StarkProof, params: ProofParams, columns: Columns, offsets: Offsets
) -> None:
    """Raise ``ProofShapeError`` unless the proof is well-formed and of the sizes of its key.

    After it, all words and digests are canonical and every list has its expected length, except
    the witnesses and queried rows, whose lengths depend on the query positions. ``params`` inside
    the proof is not compared. Arguments as in ``verify_values``.
    """
    log_size = _log_size(params, columns, offsets)
    check_stark(stark, digest_codec(suite.name))
    _check_count("trees", len(columns), stark.commitments)
    for i, tree in enumerate(columns):
        _check_count(f"columns of tree {i}", len(tree), stark.sampled_values[i])
        for j, (mask, samples) in enumerate(zip(offsets[i], stark.sampled_values[i], strict=True)):
            _check_count(f"samples of tree {i}, column {j}", len(mask), samples)
    fri_verify.check_shape(stark.fri_layers, stark.last_layer, params, log_size)


def verify_values(
    suite: Suite,
    channel: Any,
    stark: StarkProof,
    params: ProofParams,
    columns: Columns,
    offsets: Offsets,
    oods_point: SecurePoint,
    log_size: int,
    roots: Sequence[Any] | None = None,
) -> tuple[list[int], Any]:
    """Verify the sampled values of a proof against the roots of its trees.

    Args:
      suite: the hash suite.
      channel: its state right after the out-of-domain point was drawn.
      stark: the proof; its ``params`` are not used.
      params: trusted parameters.
      columns: ``[tree][column]`` log sizes without blow-up, in column order, of all trees up to
        the composition (``ProofShape.all_columns``). Tree 0 may be empty
        or of any height; columns of it that are larger than the trace have no samples. All other
        trees hold a column of ``2^log_size`` rows and none larger.
      offsets: ``[tree][column]`` mask offsets in rows (``ProofShape.all_offsets``).
      oods_point: the out-of-domain point.
      log_size: L, log2 of the rows of the largest trace column.
      roots: the expected root of each tree; None if the caller has compared tree 0 with its key
        and mixed the other commitments.

    Returns the distinct query positions, ascending, and the channel after the queries were drawn.

    Raises ``ProofShapeError`` for a malformed proof and ``VerificationError`` with section
    ``"commitments"``, ``"proof of work"``, ``"merkle"``, ``"quotients"`` or ``"fri"`` for a false
    one; ``ValueError`` only for sizes that no key may have.
    """
    if log_size != _log_size(params, columns, offsets):
        raise ValueError(f"log_size: expected that of the largest trace column, got {log_size}")
    check_shapes(suite, stark, params, columns, offsets)
    roots = stark.commitments if roots is None else roots
    if tuple(roots) != stark.commitments:
        raise VerificationError("commitments", "not the expected roots")
    samples = [v for tree in stark.sampled_values for column in tree for v in column]
    coefficient, channel = channel.mix_felts(samples).draw_felt()
    alphas, channel = fri_verify.replay_commit(channel, stark.fri_layers, stark.last_layer)
    if not channel.pow_ok(params.pow_bits, stark.proof_of_work):
        raise VerificationError("proof of work", f"the nonce lacks {params.pow_bits} zero bits")
    channel = channel.mix_u64(stark.proof_of_work)
    log_domain = log_size + params.log_blowup
    drawn, channel = draw_queries(channel, log_domain, params.n_queries)
    positions = np.unique(np.array(drawn, np.int64))
    _verify_trees(suite, stark, params, columns, roots, positions, log_domain)
    queried = [rows for rows, tree in zip(stark.queried_values, columns, strict=True) if tree]
    answers = deep_answers(
        params.log_blowup,
        [k for tree in columns for k in tree],
        [mask for tree in offsets for mask in tree],
        [values for tree in stark.sampled_values for values in tree],
        np.concatenate(queried),
        oods_point,
        coefficient,
        log_size,
        positions,
    )
    fri_verify.verify_queries(
        suite, stark.fri_layers, stark.last_layer, params, log_size, alphas, positions, answers
    )
    return positions.tolist(), channel


def deep_answers(
    log_blowup: int,
    columns: Sequence[int],
    offsets: Sequence[Sequence[int]],
    sampled: Sequence[Sequence[QM31]],
    queried: np.ndarray,
    oods_point: SecurePoint,
    coefficient: QM31,
    log_size: int,
    positions: np.ndarray,
) -> np.ndarray:
    """The DEEP quotients at query positions: the values of the FRI input (section 9.2).

    Args:
      log_blowup: B.
      columns: log size of every column of all trees, in column order.
      offsets: mask offsets of every column.
      sampled: values of every column at its mask points.
      queried: (lifted) values of every column at the positions, uint32 ``[n_columns, n]``.
      oods_point: the out-of-domain point.
      coefficient: its powers weigh the samples.
      log_size: L.
      positions: slots of the circle domain of log size L + B, ``[n]``.

    Returns uint32 ``[4, n]``. Raises ``VerificationError`` (section ``"quotients"``) if a sample
    point lies on a line through the domain, which has negligible probability.
    """
    log_domain = log_size + log_blowup
    rows_used = sorted({rows for mask in offsets for rows in mask})
    at_offset = dict(zip(rows_used, sample_points(oods_point, rows_used, log_size), strict=True))
    periodic: dict[tuple[int, int], SecurePoint] = {}  # by column size and second offset
    # A column with two samples is also sampled where its lift must repeat the second one.
    # Members of a point: (index of the sample, which is its power; column; value).
    members: dict[SecurePoint, list[tuple[int, int, QM31]]] = {}
    count = 0
    for j, (k, mask, values) in enumerate(zip(columns, offsets, sampled, strict=True)):
        items = [(at_offset[rows], value) for rows, value in zip(mask, values, strict=True)]
        if len(items) == 2:
            key = (k, mask[1])
            if key not in periodic:
                period = circle.subgroup_generator(log_domain) << (k + log_blowup)
                periodic[key] = circle.secure_add(items[1][0], circle.point(period))
            items.insert(0, (periodic[key], values[1]))
        for point, value in items:
            members.setdefault(point, []).append((count, j, value))
            count += 1
    powers = qm31.to_array(_powers(coefficient, count))
    domain = fri_verify.circle_points(log_domain, positions)
    total = qm31.from_array(np.zeros((4, len(positions)), np.uint32))
    for point, group in members.items():
        index, column, values = zip(*group, strict=True)
        weights = qm31.from_array(powers[:, list(index)])
        term = _point_quotient(
            point,
            weights,
            qm31.from_array(np.array(values, np.uint32).T),
            queried[list(column)],
            domain,
        )
        total = qm31.add(total, term)
    return qm31.to_array(total)


def _point_quotient(
    point: SecurePoint, weights: QM31, values: QM31, queried: np.ndarray, domain: circle.Point
) -> QM31:
    """The weighted quotients of all samples at one point, arrays ``[n]``."""
    # With c = conj(y) - y, a = conj(v) - v and b = v c - a y of the sample point's y, a sample has
    # the numerator w (c f - a D.y - b). The sums over samples are taken before the products by c.
    c = qm31.sub(qm31.conj(point.y), point.y)
    f = _weighted_sum(QM31(*(w[:, None] for w in weights)), queried)
    v = qm31.mul(weights, values)
    a = qm31.mul(weights, qm31.sub(qm31.conj(values), values))
    v, a = (QM31(*(_field_sum(w[:, None]) for w in x)) for x in (v, a))
    numerator = qm31.sub(qm31.mul(c, qm31.sub(f, v)), qm31.mul_base(a, domain.y))
    numerator = qm31.add(numerator, qm31.mul(a, point.y))
    dx = cm31.CM31(m31.sub(point.x.a, domain.x), _filled(point.x.b, domain.x))
    dy = cm31.CM31(m31.sub(point.y.a, domain.y), _filled(point.y.b, domain.y))
    denominator = cm31.sub(cm31.mul(dx, point.y.second), cm31.mul(dy, point.x.second))
    if np.any((denominator.re == 0) & (denominator.im == 0)):
        raise VerificationError("quotients", "a sample point is collinear with a query")
    return qm31.mul_cm31(numerator, cm31.inv(denominator))


def _filled(value: int, like: np.ndarray) -> np.ndarray:
    return np.full_like(like, value)


def _field_sum(x: np.ndarray) -> np.ndarray:
    """The sum over the first axis (of fewer than 2^33 words) in M31."""
    return (x.sum(axis=0, dtype=np.uint64) % np.uint64(P)).astype(np.uint32)


def _weighted_sum(weights: QM31, rows: np.ndarray) -> QM31:
    """``sum_s weights[s] rows[s]`` for base rows ``[S, n]`` and weights ``[S, 1]``."""
    return QM31(*(_field_sum(m31.mul(rows, w)) for w in weights))


def _powers(x: QM31, count: int) -> QM31:
    """``x^0 .. x^(count-1)`` as arrays ``[count]``, by doubling."""
    out = np.array([[1], [0], [0], [0]], np.uint32)
    while out.shape[1] < count:
        out = np.concatenate([out, qm31.to_array(qm31.mul(qm31.from_array(out), x))], axis=1)
        x = qm31.sq(x)
    return qm31.from_array(out[:, :count])


def _verify_trees(
    suite: Suite,
    stark: StarkProof,
    params: ProofParams,
    columns: Columns,
    roots: Sequence[Any],
    positions: np.ndarray,
    log_domain: int,
) -> None:
    """Verify the openings of all trees at the query positions."""
    for i, tree in enumerate(columns):
        values, witness = stark.queried_values[i], stark.decommitments[i]
        if not tree:
            if len(witness):
                raise ProofShapeError(f"tree {i} hash witness", "0 digests", len(witness))
            continue
        if values.shape[1] != len(positions):
            what = f"queried values of tree {i}"
            raise ProofShapeError(what, f"{len(positions)} positions", values.shape[1])
        height = max(tree) + params.log_blowup
        leaves = tree_positions(positions, log_domain, height) if i == 0 else positions
        order = [j for _, members in size_groups(tuple(tree)) for j in members]
        verify_opening(suite, roots[i], height, leaves, values[order].T, witness, f"tree {i}")


def _log_size(params: ProofParams, columns: Columns, offsets: Offsets) -> int:
    """L, from the trees after tree 0; ``ValueError`` for sizes that no verifying key may have."""
    if [len(tree) for tree in columns] != [len(tree) for tree in offsets] or len(columns) < 2:
        raise ValueError("columns and offsets: expected two trees or more and a mask per column")
    sizes = {max(tree, default=0) for tree in columns[1:]}
    log_size, limit = max(sizes), circle.MAX_LOG_SIZE - params.log_blowup
    if len(sizes) > 1 or not 1 <= log_size <= limit:
        raise ValueError(
            f"largest column of each tree after tree 0: expected one log size in 1..{limit}, "
            f"got {sorted(sizes)}"
        )
    if any(k > log_size and mask for k, mask in zip(columns[0], offsets[0], strict=True)):
        raise ValueError(f"tree 0: expected no samples of columns above 2^{log_size} rows")
    return log_size


def _check_count(what: str, expected: int, values: Sequence[Any]) -> None:
    if len(values) != expected:
        raise ProofShapeError(what, expected, len(values))
