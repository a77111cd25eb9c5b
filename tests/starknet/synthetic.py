"""Proofs without a prover: a true one with Poseidon digests, and random ones of the right sizes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component
from jaxstark.fields.qm31 import ZERO, from_base
from jaxstark.hash.suite import POSEIDON252
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams, fri_packing
from jaxstark.profile import get_profile
from jaxstark.proof import FriLayer, Proof, StarkProof
from jaxstark.starknet.replay import opening_sizes, query_positions
from tests.constant_proof import constant_tree, witness
from tests.strategies import random_digest, random_digests, random_qm31s, random_table

TRACE = (3, 6)  # the constants of the two columns
COMPOSITION = (0,) * 8


def _doubles(row: Any, air: Any) -> None:
    air.constrain(row.b - 2 * row.a, "doubles")


CONSTANT = Air("constant", (Component("doubles", ("a", "b"), _doubles),))


def poseidon_proof(params: ProofParams, log_size: int) -> tuple[Proof, VerifyingKey]:
    """A proof that verifies, of constant columns, in the profile with Poseidon digests.

    All leaves of a tree are the same, the composition and all FRI values are 0. There is no search
    for a nonce: ``params`` must not ask for proof of work.
    """
    suite, profile = POSEIDON252, "stwo-2.2-poseidon252"
    key = VerifyingKey(profile, "constant", (log_size,), suite.empty_root, params, CONSTANT)
    height = log_size + params.log_blowup
    trees = [constant_tree(suite, row, height) for row in (TRACE, COMPOSITION)]
    fri, level = [], height
    for step in params.fri_steps(log_size):
        packing = fri_packing(level, step)
        fri.append((constant_tree(suite, [0] * (4 << packing), level - packing), step, packing))
        level -= step
    sampled = [tuple((from_base(word),) for word in row) for row in (TRACE, COMPOSITION)]
    bare = StarkProof(
        params,
        (suite.empty_root, *(levels[-1] for levels in trees)),
        ((), *sampled),
        ((), (), ()),
        (np.zeros((0, 0), np.uint32),) * 3,
        0,
        tuple(FriLayer((), (), levels[-1]) for levels, _, _ in fri),
        (ZERO,) * (1 << params.log_last_layer),
    )
    positions = query_positions(key, CONSTANT, {}, (), bare)
    tables = [
        np.repeat(np.array(row, np.uint32)[:, None], len(positions), axis=1)
        for row in (TRACE, COMPOSITION)
    ]
    layers, slots = [], set(positions.tolist())
    for levels, step, packing in fri:
        cosets = sorted({slot >> step for slot in slots})
        grid = [p >> packing for c in cosets for p in range(c << step, (c + 1) << step)]
        missing = (len(cosets) << step) - len(slots)
        layers.append(FriLayer((ZERO,) * missing, witness(levels, grid), levels[-1]))
        slots = set(cosets)
    stark = replace(
        bare,
        decommitments=((), *(witness(levels, positions.tolist()) for levels in trees)),
        queried_values=(bare.queried_values[0], *tables),
        fri_layers=tuple(layers),
    )
    return Proof(profile, "constant", (log_size,), (), stark), key


def random_consistent(
    rng: random.Random, key: VerifyingKey, air: Air, public: Mapping[str, Sequence[int]]
) -> Proof:
    """Random content in the sizes that its own transcript gives; it proves nothing."""
    suite, params = get_profile(key.profile).suite, key.params
    shape = air.shape(key.log_sizes, public)
    columns = shape.all_columns
    sums = random_qm31s(rng, sum(1 for info in air.info.components if info.n_entries))
    bare = StarkProof(
        params,
        (key.preprocessed_root, *random_digests(rng, suite, len(columns) - 1)),
        tuple(tuple(random_qm31s(rng, len(m)) for m in tree) for tree in shape.all_offsets),
        ((),) * len(columns),
        (np.zeros((0, 0), np.uint32),) * len(columns),
        rng.choice((0, 1, (1 << 64) - 1, rng.randrange(1 << 64))),
        tuple(
            FriLayer((), (), random_digest(rng, suite)) for _ in params.fri_steps(shape.log_size)
        ),
        random_qm31s(rng, 1 << params.log_last_layer),
    )
    positions = query_positions(key, air, public, sums, bare)
    sizes = opening_sizes(shape, params, positions)
    stark = replace(
        bare,
        decommitments=tuple(random_digests(rng, suite, n) for n in sizes.tree_hashes),
        queried_values=tuple(random_table(rng, len(tree), len(positions)) for tree in columns),
        fri_layers=tuple(
            FriLayer(
                random_qm31s(rng, values), random_digests(rng, suite, hashes), layer.commitment
            )
            for layer, values, hashes in zip(
                bare.fri_layers, sizes.fri_values, sizes.fri_hashes, strict=True
            )
        ),
    )
    return Proof(key.profile, key.air, key.log_sizes, sums, stark)
