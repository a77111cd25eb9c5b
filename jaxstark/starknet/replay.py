"""Sizes of the openings of a proof, from what is sent before them.

The query positions follow from the transcript: statement, roots, sampled values, last layer and
nonce. With key and shape they fix how many rows, FRI values and Merkle hashes a proof has, so that
a message need not say it. Nothing here is a check: what was read with these sizes is for the
verifier to judge. Source: protocol sections 9 to 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxstark import fri_verify, statement
from jaxstark.air.definition import Air
from jaxstark.channel import draw_queries
from jaxstark.fields.qm31 import QM31
from jaxstark.key import VerifyingKey
from jaxstark.merkle_verify import witness_count
from jaxstark.params import ProofParams
from jaxstark.profile import get_profile
from jaxstark.proof import StarkProof
from jaxstark.shape import ProofShape


@dataclass(frozen=True)
class OpeningSizes:
    """How much of a proof depends on its query positions.

    Attributes:
      positions: distinct query positions, the rows that every tree opens.
      tree_hashes: Merkle witness hashes of every tree.
      fri_values: witness values of every FRI layer.
      fri_hashes: Merkle witness hashes of every FRI layer.
    """

    positions: int
    tree_hashes: tuple[int, ...]
    fri_values: tuple[int, ...]
    fri_hashes: tuple[int, ...]


def query_positions(
    key: VerifyingKey,
    air: Air,
    public: Mapping[str, Sequence[int]],
    claimed_sums: Sequence[QM31],
    stark: StarkProof,
) -> np.ndarray:
    """The distinct query positions, ascending, int64.

    ``stark`` may lack its openings: queried values, decommitments and FRI witnesses are not read.
    Its other parts must have the sizes of the key.
    """
    profile, params = get_profile(key.profile), key.params
    channel = profile.new_channel()
    channel = statement.bind_statement(channel, profile, key.air, params, key.log_sizes, public)
    channel = channel.mix_root(key.preprocessed_root).mix_root(stark.commitments[1])
    if air.has_lookups:
        _, channel = statement.draw_relations(channel, air)
        channel = statement.bind_claims(channel, claimed_sums).mix_root(stark.commitments[2])
    _, channel = channel.draw_felt()  # weighs the constraints
    _, channel = channel.mix_root(stark.commitments[-1]).draw_felt()  # the out-of-domain point
    samples = [v for tree in stark.sampled_values for column in tree for v in column]
    _, channel = channel.mix_felts(samples).draw_felt()  # weighs the quotients
    _, channel = fri_verify.replay_commit(channel, stark.fri_layers, stark.last_layer)
    channel = channel.mix_u64(stark.proof_of_work)
    log_domain = max(key.log_sizes) + params.log_blowup
    drawn, _ = draw_queries(channel, log_domain, params.n_queries)
    return np.unique(np.array(drawn, np.int64))


def opening_sizes(shape: ProofShape, params: ProofParams, positions: np.ndarray) -> OpeningSizes:
    """The sizes of the openings at distinct, ascending positions."""
    log_domain = shape.log_size + params.log_blowup

    # Trees of the profile are empty or as tall as the domain.
    hashes = witness_count(positions.tolist(), log_domain)
    trees = tuple(hashes if tree else 0 for tree in shape.all_columns)
    values, fri_hashes, slots, log_layer = [], [], positions, log_domain
    for step in params.fri_steps(shape.log_size):
        cosets = np.unique(slots >> step)
        values.append((len(cosets) << step) - len(slots))
        # All leaves of a coset are opened, so its own subtree needs no hashes, packed or not.
        fri_hashes.append(witness_count(cosets.tolist(), log_layer - step))
        slots, log_layer = cosets, log_layer - step
    return OpeningSizes(len(positions), trees, tuple(values), tuple(fri_hashes))
