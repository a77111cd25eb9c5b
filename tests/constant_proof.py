"""Honest openings of constant columns, of any size and at almost no cost.

Every leaf of such a tree is the same, so one hash a level makes the tree; all DEEP quotients and
FRI values are 0. Useful for sizes, shapes and timing of the verifier without a prover.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark.channel import draw_queries
from jaxstark.circle import SecurePoint
from jaxstark.fields.qm31 import ZERO, from_base
from jaxstark.hash.suite import Suite
from jaxstark.merkle_verify import witness_count
from jaxstark.params import ProofParams, fri_packing
from jaxstark.pcs_verify import tree_positions
from jaxstark.proof import FriLayer, StarkProof
from jaxstark.shape import size_groups


def constant_tree(suite: Suite, row: Sequence[int], height: int) -> list[Any]:
    """The digest of every level, leaves first, of a tree with one row under every leaf."""
    levels = [suite.leaf(row)]
    for _ in range(height):
        levels.append(suite.node(levels[-1], levels[-1]))
    return levels


def witness(levels: list[Any], positions: Sequence[int]) -> tuple[Any, ...]:
    """The witness that opens some leaves of a constant tree."""
    out, layer = [], set(positions)
    for digest in levels[:-1]:
        out += [digest] * witness_count(list(layer), 1)
        layer = {p >> 1 for p in layer}
    return tuple(out)


def constant_proof(
    suite: Suite,
    channel: Any,
    params: ProofParams,
    columns: Sequence[Sequence[int]],
    offsets: Sequence[Sequence[Sequence[int]]],
    log_size: int,
    draw_point: Any,
) -> tuple[StarkProof, SecurePoint, Any]:
    """A proof that column j of a tree is the constant j + 1 everywhere.

    ``draw_point(channel)`` gives the out-of-domain point and the next channel, once all roots
    were mixed. Returns the proof, the point and the channel right after that.
    """
    log_domain = log_size + params.log_blowup
    trees = []
    for tree in columns:
        order = [j for _, members in size_groups(tuple(tree)) for j in members]
        height = max(tree) + params.log_blowup if tree else 0
        trees.append(constant_tree(suite, [j + 1 for j in order], height))
        channel = channel.mix_root(trees[-1][-1])
    point, channel = draw_point(channel)
    start = channel
    sampled = tuple(
        tuple(tuple(from_base(j + 1) for _ in mask) for j, mask in enumerate(masks))
        for masks in offsets
    )
    channel = channel.mix_felts([v for tree in sampled for values in tree for v in values])
    _, channel = channel.draw_felt()
    layers, folds = [], 0
    for step in params.fri_steps(log_size):
        packing = fri_packing(log_domain - folds, step)
        levels = constant_tree(suite, [0] * (4 << packing), log_domain - folds - packing)
        _, channel = channel.mix_root(levels[-1]).draw_felt()
        layers.append((levels, step, packing))
        folds += step
    last = (ZERO,) * (1 << params.log_last_layer)
    channel = channel.mix_felts(last)
    nonce = next(n for n in range(1 << 32) if channel.pow_ok(params.pow_bits, n))
    drawn, _ = draw_queries(channel.mix_u64(nonce), log_domain, params.n_queries)
    positions = sorted(set(drawn))
    decommitments, queried = [], []
    for i, (levels, tree) in enumerate(zip(trees, columns, strict=True)):
        leaves = positions
        if i == 0 and tree:
            at = np.array(positions, np.int64)
            leaves = tree_positions(at, log_domain, len(levels) - 1).tolist()
        decommitments.append(witness(levels, leaves) if tree else ())
        values = np.arange(1, len(tree) + 1, dtype=np.uint32)
        queried.append(np.repeat(values[:, None], len(positions), axis=1))
    fri_layers, slots = [], positions
    for levels, step, packing in layers:
        cosets = sorted({q >> step for q in slots})
        grid = [p >> packing for c in cosets for p in range(c << step, (c + 1) << step)]
        missing = (len(cosets) << step) - len(slots)
        fri_layers.append(FriLayer((ZERO,) * missing, witness(levels, grid), levels[-1]))
        slots = cosets
    proof = StarkProof(
        params,
        tuple(levels[-1] for levels in trees),
        sampled,
        tuple(decommitments),
        tuple(queried),
        nonce,
        tuple(fri_layers),
        last,
    )
    return proof, point, start
