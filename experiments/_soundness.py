"""Cheating provers of the commitment scheme, and how often each should get away with it.

Both prove values of a column that is not of low degree. There is no AIR here and no proof of work:
what is measured is the query phase of FRI and nothing else. Predictions are exact for these
strategies, not bounds on all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxstark import deep, fri, merkle, pcs_verify
from jaxstark.channel import draw_queries
from jaxstark.circle import SecurePoint, secure_point
from jaxstark.commit import Committed, commit_coefficients, commit_rows
from jaxstark.errors import VerificationError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.fri_verify import replay_commit
from jaxstark.opening import open_rows, sample
from jaxstark.params import ProofParams
from jaxstark.profile import STWO_2_2
from jaxstark.proof import FriLayer, StarkProof
from jaxstark.shape import ProofShape

COLUMNS = 3


@dataclass(frozen=True)
class Attempt:
    """A proof with what its verification needs.

    Attributes:
      stark: the proof.
      channel: its state when the out-of-domain point was drawn.
      point: the out-of-domain point.
      shape: sizes.
      params: parameters.
      expected: probability that a cheating proof like this one is accepted.
    """

    stark: StarkProof
    channel: Any
    point: SecurePoint
    shape: ProofShape
    params: ProofParams
    expected: float

    def section(self) -> str | None:
        """None if the verifier accepts, else the section of its rejection."""
        try:
            pcs_verify.verify_values(
                STWO_2_2.suite,
                self.channel,
                self.stark,
                self.params,
                self.shape.all_columns,
                self.shape.all_offsets,
                self.point,
                self.shape.log_size,
            )
        except VerificationError as error:
            return error.section
        return None


def shape_of(log_size: int) -> ProofShape:
    """A few columns of one size, one sample each."""
    columns, offsets = ((), (log_size,) * COLUMNS), ((), ((0,),) * COLUMNS)
    return ProofShape((log_size,), columns, offsets, 0, 0, 0)


def corrupted(seed: int, log_size: int, params: ProofParams, distance: float) -> Attempt:
    """Commit to a codeword with a fraction ``distance`` of one column changed, and hide it.

    The prover runs everything after the commitment on the codeword. Changed leaves then disagree
    with the first FRI layer, and nothing else does: accepted iff no query meets one.
    """
    rng = np.random.default_rng((seed, 1))
    trees, coefficients = _honest(rng, log_size, params)
    evaluations = np.array(trees[1].evaluations[0])
    size = evaluations.shape[1]
    count = round(distance * size)
    places = rng.choice(size, count, replace=False)
    noise = rng.integers(1, P, count, dtype=np.uint64)
    wrong = evaluations[0, places].astype(np.uint64) + noise
    evaluations[0, places] = (wrong % np.uint64(P)).astype(np.uint32)
    committed = _committed(coefficients, evaluations)
    expected = (1 - count / size) ** params.n_queries
    return _prove(log_size, params, [trees[0], committed, trees[2]], trees, False, expected)


def random_column(seed: int, log_size: int, params: ProofParams) -> Attempt:
    """Commit to a column of random words and claim that its value is 0.

    The quotients have no structure and neither has any FRI layer. The prover folds them honestly
    and makes the last layer agree with one of its ``2^B`` points: accepted iff all queries lead
    there, with probability ``2^-(B q)``.
    """
    if params.log_last_layer:
        raise ValueError("log_last_layer: expected 0 for this strategy")
    rng = np.random.default_rng((seed, 2))
    trees, coefficients = _honest(rng, log_size, params)
    evaluations = np.array(trees[1].evaluations[0])
    evaluations[0] = rng.integers(0, P, evaluations.shape[1], dtype=np.uint32)
    trees = [trees[0], _committed(coefficients, evaluations), trees[2]]
    expected = 2.0 ** -(params.log_blowup * params.n_queries)
    return _prove(log_size, params, trees, trees, True, expected)


def _honest(rng: Any, log_size: int, params: ProofParams) -> tuple[list[Committed], np.ndarray]:
    """An empty tree, some columns and eight columns in the place of the composition."""
    columns, composition = (
        rng.integers(0, P, (count, 1 << log_size), dtype=np.uint32) for count in (COLUMNS, 8)
    )
    trees = [
        commit_rows([], params.log_blowup),
        *(commit_coefficients([jnp.asarray(c)], params.log_blowup) for c in (columns, composition)),
    ]
    return trees, columns


def _committed(coefficients: np.ndarray, evaluations: np.ndarray) -> Committed:
    groups = (jnp.asarray(evaluations),)
    return Committed((jnp.asarray(coefficients),), groups, merkle.commit(groups))


def _prove(
    log_size: int,
    params: ProofParams,
    shown: list[Committed],
    used: list[Committed],
    fit_last_layer: bool,
    expected: float,
) -> Attempt:
    """``shown`` is committed and opened; the quotients come from ``used``."""
    shape, channel = shape_of(log_size), STWO_2_2.new_channel()
    roots = tuple(merkle.root_bytes(tree.tree) for tree in shown)
    for root in roots:
        channel = channel.mix_root(root)
    t, channel = channel.draw_felt()
    point, after_point = secure_point(t), channel
    sampled = sample(used, shape, point)
    if fit_last_layer:
        zero = (QM31(0, 0, 0, 0),)
        sampled = (sampled[0], (zero, *sampled[1][1:]), *sampled[2:])
    channel = channel.mix_felts([v for tree in sampled for column in tree for v in column])
    batching, channel = channel.draw_felt()
    quotients = deep.quotients(
        [tree.evaluations for tree in used],
        shape.all_columns,
        shape.all_offsets,
        sampled,
        point,
        batching,
        log_size,
        params.log_blowup,
    )
    layers, after = fri.commit(channel, quotients, log_size, params, check=not fit_last_layer)
    if fit_last_layer:
        layers, after = _fit_last_layer(channel, layers, log_size, params)
    drawn, _ = draw_queries(after.mix_u64(0), log_size + params.log_blowup, params.n_queries)
    positions = np.unique(drawn)
    queried, witnesses = open_rows(shown, shape, positions, params)
    stark = StarkProof(
        params=params,
        commitments=roots,
        sampled_values=sampled,
        decommitments=witnesses,
        queried_values=queried,
        proof_of_work=0,
        fri_layers=fri.open(layers, positions, params),
        last_layer=tuple(layers.last_layer),
    )
    return Attempt(stark, after_point, point, shape, params, expected)


def _fit_last_layer(channel: Any, layers: Any, log_size: int, params: ProofParams) -> Any:
    """The constant last layer that agrees with the folded values at slot 0."""
    roots = [FriLayer((), (), layer.root) for layer in layers.layers]
    alphas, _ = replay_commit(channel, roots, layers.last_layer)
    last, log_domain = layers.layers[-1], log_size + params.log_blowup
    log_layer = last.values.shape[1].bit_length() - 1
    table = fri.inverse_twiddles(log_domain, log_layer)
    values = np.asarray(fri.fold(last.values, table, fri.multipliers(alphas[-1], last.step)))
    fitted = layers._replace(last_layer=(QM31(*values[:, 0].tolist()),))
    return fitted, replay_commit(channel, roots, fitted.last_layer)[1]


def deviation(accepted: int, attempts: int, expected: float) -> float:
    """How many standard deviations a count lies from its expectation."""
    spread = math.sqrt(attempts * expected * (1 - expected))
    return abs(accepted - attempts * expected) / spread if spread else float(accepted > 0)
