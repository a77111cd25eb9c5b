"""Wire types of a proof. Holds data only; imports no prover code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams

# 32 bytes for the Blake2s suite, an int below the Starknet prime for Poseidon252.
Digest = Any


@dataclass(frozen=True)
class FriLayer:
    """One committed FRI layer: the values that complete the opened cosets, and their opening."""

    fri_witness: tuple[QM31, ...]
    hash_witness: tuple[Digest, ...]
    commitment: Digest


@dataclass(frozen=True)
class StarkProof:
    """The part of a proof that the upstream verifier reads (protocol section 13.1).

    Attributes:
      params: the configuration that the proof claims; a verifier compares it with its own.
      commitments: root of every tree.
      sampled_values: ``[tree][column][sample]`` values at the out-of-domain points.
      decommitments: ``[tree]`` Merkle witness hashes.
      queried_values: ``[tree]`` uint32 arrays ``[columns, positions]``, columns in column order.
      proof_of_work: the nonce.
      fri_layers: first layer and inner layers.
      last_layer: coefficients of the last layer in bit-reversed order.
    """

    params: ProofParams
    commitments: tuple[Digest, ...]
    sampled_values: tuple[tuple[tuple[QM31, ...], ...], ...]
    decommitments: tuple[tuple[Digest, ...], ...]
    queried_values: tuple[np.ndarray, ...]
    proof_of_work: int
    fri_layers: tuple[FriLayer, ...]
    last_layer: tuple[QM31, ...]


@dataclass(frozen=True)
class Proof:
    """A proof with the claims that it is about.

    Attributes:
      profile: protocol profile name, such as ``"stwo-2.2"``.
      air: AIR id.
      log_sizes: log2 of the rows of every component.
      claimed_sums: LogUp total of every component that has lookups, in component order.
      stark: the STARK proof.
    """

    profile: str
    air: str
    log_sizes: tuple[int, ...]
    claimed_sums: tuple[QM31, ...]
    stark: StarkProof
