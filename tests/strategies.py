"""Well-formed random proofs: any sizes at random, or the sizes that a shape demands."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.poseidon252 import F252
from jaxstark.hash.suite import Suite
from jaxstark.params import ProofParams, fri_packing
from jaxstark.profile import PROFILES, get_profile
from jaxstark.proof import FriLayer, Proof, StarkProof
from jaxstark.shape import ProofShape

Columns = tuple[tuple[int, ...], ...]
EDGE_WORDS = (0, 1, P - 1, 1 << 30)


def random_word(rng: random.Random) -> int:
    """A canonical word, often one at the edge of the range."""
    return rng.choice(EDGE_WORDS) if rng.random() < 0.3 else rng.randrange(P)


def random_qm31s(rng: random.Random, count: int) -> tuple[QM31, ...]:
    return tuple(QM31(*(random_word(rng) for _ in range(4))) for _ in range(count))


def random_digest(rng: random.Random, suite: Suite) -> Any:
    if suite.name == "poseidon252":
        return rng.choice((0, 1, F252 - 1, rng.randrange(F252)))
    return rng.randbytes(32)


def random_digests(rng: random.Random, suite: Suite, count: int) -> tuple[Any, ...]:
    return tuple(random_digest(rng, suite) for _ in range(count))


def random_table(rng: random.Random, n_columns: int, positions: int) -> np.ndarray:
    words = [random_word(rng) for _ in range(n_columns * positions)]
    return np.array(words, np.uint32).reshape(n_columns, positions)


def random_proof(rng: random.Random, profile: str = "stwo-2.2") -> tuple[Proof, Columns]:
    """A small well-formed proof with its column log sizes; nothing else about it makes sense."""
    suite = get_profile(profile).suite
    n_trees = rng.randint(1, 4)
    columns = tuple(
        tuple(rng.randint(1, 6) for _ in range(rng.choice((0, 1, 3, 5)))) for _ in range(n_trees)
    )

    def layer() -> FriLayer:
        witness = random_qm31s(rng, rng.randint(0, 3))
        hashes = random_digests(rng, suite, rng.randint(0, 3))
        return FriLayer(witness, hashes, random_digest(rng, suite))

    stark = StarkProof(
        params=ProofParams(
            rng.randint(0, 64), rng.randint(1, 16), rng.randint(1, 4096), rng.randint(1, 30)
        ),
        commitments=random_digests(rng, suite, n_trees),
        sampled_values=tuple(
            tuple(random_qm31s(rng, rng.randint(0, 2)) for _ in tree) for tree in columns
        ),
        decommitments=tuple(random_digests(rng, suite, rng.randint(0, 3)) for _ in columns),
        queried_values=tuple(random_table(rng, len(tree), rng.randint(0, 3)) for tree in columns),
        proof_of_work=rng.choice((0, 1, (1 << 64) - 1, rng.randrange(1 << 64))),
        fri_layers=tuple(layer() for _ in range(rng.randint(1, 3))),
        last_layer=random_qm31s(rng, 1 << rng.randint(0, 3)),
    )
    air = "".join(chr(rng.randint(32, 126)) for _ in range(rng.choice((1, 7, 31, 32, 62, 70, 255))))
    log_sizes = tuple(rng.randint(1, 30) for _ in range(rng.randint(1, 3)))
    claims = random_qm31s(rng, rng.randint(0, len(log_sizes)))
    return Proof(profile, air, log_sizes, claims, stark), columns


def proofs() -> st.SearchStrategy[tuple[Proof, Columns]]:
    """Proofs of every profile, with their column log sizes."""
    seeds = st.integers(0, 2**32 - 1).map(random.Random)
    return st.builds(random_proof, seeds, st.sampled_from(sorted(PROFILES)))


def lookup_shape(
    log_size: int, trace: int = 26, fixed: int = 1, interaction: int = 4
) -> ProofShape:
    """One component of ``2^log_size`` rows with one column of LogUp fractions per 4 columns."""
    one = ((0,),)
    trees = ((log_size,) * fixed, (log_size,) * trace, (log_size,) * interaction)
    offsets = (one * fixed, one * trace, ((-1, 0),) * interaction)
    n_lookups = interaction << log_size >> 1
    kept = len(trees) if interaction else 2
    return ProofShape((log_size,), trees[:kept], offsets[:kept], 30, n_lookups, 3)


def shaped_proof(rng: random.Random, shape: ProofShape, params: ProofParams) -> Proof:
    """Random content with the list lengths of a real proof for randomly drawn queries."""
    suite = get_profile("stwo-2.2").suite
    domain = shape.log_size + params.log_blowup
    queries = {rng.randrange(1 << domain) for _ in range(params.n_queries)}

    def hashes(positions: set[int], height: int) -> tuple[bytes, ...]:
        count = 0
        for _ in range(height):
            count += sum(p ^ 1 not in positions for p in positions)
            positions = {p >> 1 for p in positions}
        return random_digests(rng, suite, count)

    layers, done, known = [], 0, queries
    for step in params.fri_steps(shape.log_size):
        cosets = {q >> step for q in known}
        packing = fri_packing(domain - done, step)
        opened = {p >> packing for c in cosets for p in range(c << step, (c + 1) << step)}
        witness = random_qm31s(rng, (len(cosets) << step) - len(known))
        path = hashes(opened, domain - done - packing)
        layers.append(FriLayer(witness, path, random_digest(rng, suite)))
        known, done = cosets, done + step
    trees = shape.all_columns
    stark = StarkProof(
        params,
        random_digests(rng, suite, len(trees)),
        tuple(tuple(random_qm31s(rng, len(m)) for m in masks) for masks in shape.all_offsets),
        tuple(hashes(queries, domain) if tree else () for tree in trees),
        tuple(random_table(rng, len(tree), len(queries)) for tree in trees),
        rng.randrange(1 << 32),
        tuple(layers),
        random_qm31s(rng, 1 << params.log_last_layer),
    )
    claims = random_qm31s(rng, 1 if shape.n_lookups else 0)
    return Proof("stwo-2.2", "sixteen letters.", shape.log_sizes, claims, stark)
