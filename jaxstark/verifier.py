"""The verifier: one explicit program over host integers and NumPy; needs no JAX.

It trusts its key, its AIR and its public values, and takes nothing from the proof that these fix.
Source: protocol sections 8 to 13; section 15 items 2, 6, 7.
"""

from __future__ import annotations

from typing import Any

from jaxstark import pcs_verify, statement
from jaxstark.air.definition import Air
from jaxstark.air.evaluate import composition_at
from jaxstark.air.planning import check_params, check_public_values
from jaxstark.air.public_terms import logup_total
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields import qm31
from jaxstark.key import VerifyingKey
from jaxstark.params import require_secure
from jaxstark.profile import get_profile
from jaxstark.proof import Proof, check_proof
from jaxstark.shape import ProofShape

MINIMUM_BITS = 96


def verify(
    proof: Proof,
    key: VerifyingKey,
    public_values: Any = None,
    *,
    air: Air | None = None,
    minimum_bits: int = MINIMUM_BITS,
    insecure: bool = False,
) -> None:
    """Accept a proof by returning, or raise.

    Args:
      proof: the proof.
      key: the trusted key: profile, AIR id, sizes, root of tree 0, parameters.
      public_values: name to words, as in ``Trace``.
      air: the AIR, unless the key carries it or it is a shipped one.
      minimum_bits: refuse keys whose conjectured query-phase security is below this.
      insecure: accept any key, for tests.

    Raises:
      ValueError: the key, the AIR or the public values do not fit each other or the minimum.
      ProofShapeError: the proof is malformed.
      VerificationError: the proof does not prove the statement.
    """
    air = _resolve(key, air)
    public = check_public_values(air, public_values)
    shape = air.shape(key.log_sizes, public)
    check_params(air, shape, key.params)
    require_secure(key.params, shape, minimum_bits, insecure)
    _check_claims(proof, key, air, shape)
    profile = get_profile(key.profile)
    stark, params = proof.stark, key.params
    columns, offsets = shape.all_columns, shape.all_offsets
    pcs_verify.check_shapes(profile.suite, stark, params, columns, offsets)
    if stark.commitments[0] != key.preprocessed_root:
        raise VerificationError("key", "root of tree 0: expected the one of the key, got another")

    # 1. Bind the statement, then the committed trace.
    channel = profile.new_channel()
    channel = statement.bind_statement(channel, profile, key.air, params, key.log_sizes, public)
    channel = channel.mix_root(key.preprocessed_root)
    channel = channel.mix_root(stark.commitments[1])

    # 2. LogUp: elements are drawn after the trace; the claimed sums must balance.
    elements = {}
    if air.has_lookups:
        elements, channel = statement.draw_relations(channel, air)
        _check_balance(air, public, elements, proof.claimed_sums)
        channel = statement.bind_claims(channel, proof.claimed_sums)
        channel = channel.mix_root(stark.commitments[2])

    # 3. Combine the constraints at random, then open everything at a random point.
    coefficient, channel = channel.draw_felt()
    channel = channel.mix_root(stark.commitments[-1])
    point, channel = statement.draw_oods_point(channel)
    expected = composition_at(
        air,
        key.log_sizes,
        stark.sampled_values[:-1],
        public,
        elements,
        proof.claimed_sums,
        coefficient,
    )
    if not statement.composition_matches(stark.sampled_values[-1], expected, point, shape.log_size):
        raise VerificationError(
            "oods", "the composition polynomial does not match the constraints at the drawn point"
        )

    # 4. The sampled values belong to the committed columns: DEEP quotients and FRI.
    pcs_verify.verify_values(
        profile.suite, channel, stark, params, columns, offsets, point, shape.log_size
    )


def _resolve(key: VerifyingKey, air: Air | None) -> Air:
    if not isinstance(key, VerifyingKey):
        raise ValueError(f"key: expected a VerifyingKey, got {type(key).__name__}")
    if air is None:
        air = key.definition
    if air is None:
        from jaxstark.air.registry import resolve

        air = resolve(key.air)
    if air.name != key.air:
        raise ValueError(f"AIR: expected {key.air!r} as in the key, got {air.name!r}")
    return air


def _check_claims(proof: Proof, key: VerifyingKey, air: Air, shape: ProofShape) -> None:
    check_proof(proof)
    for what, expected, got in (
        ("profile", key.profile, proof.profile),
        ("AIR id", key.air, proof.air),
        ("log sizes", key.log_sizes, proof.log_sizes),
        ("config", key.params, proof.stark.params),
    ):
        if expected != got:
            raise VerificationError("key", f"{what}: expected {expected!r}, got {got!r}")
    claims = sum(1 for info in air.info.components if info.n_entries)
    if len(proof.claimed_sums) != claims:
        raise ProofShapeError("claimed sums", claims, len(proof.claimed_sums))


def _check_balance(air: Air, public: Any, elements: Any, claimed_sums: Any) -> None:
    try:
        total = logup_total(air, public, elements, claimed_sums)
    except ZeroDivisionError:
        raise VerificationError("logup", "a public term has denominator 0") from None
    if total != qm31.ZERO:
        raise VerificationError("logup", f"claimed sums: expected a total of 0, got {tuple(total)}")
