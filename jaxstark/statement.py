"""What a proof is about, and how prover and verifier bind it: the application prologue.

Both sides call these functions in this order, so that their transcripts cannot differ. Everything
is bound before the first challenge that depends on it, with length prefixes, so that two different
statements never absorb the same words. Source: protocol sections 8 and 9.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from jaxstark.air.definition import Air, Relation
from jaxstark.air.evaluate import RelationElements, relation_elements
from jaxstark.circle import SecurePoint, secure_double_x, secure_point
from jaxstark.fields import qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.profile import Profile

TAG = b"jaxstark/1"


def _words(data: bytes) -> list[int]:
    """Length in bytes, then little-endian words, zero-padded."""
    padded = data + bytes(-len(data) % 4)
    return [len(data), *struct.unpack(f"<{len(padded) // 4}I", padded)]


def bind_statement(
    channel: Any,
    profile: Profile,
    air_id: str,
    params: ProofParams,
    log_sizes: Sequence[int],
    public_values: Mapping[str, Sequence[int]],
) -> Any:
    """Tag, AIR id, configuration, sizes and public values, before any commitment."""
    channel = bind_configuration(channel, profile, air_id, params, log_sizes)
    return bind_public_values(channel, public_values)


def bind_configuration(
    channel: Any,
    profile: Profile,
    air_id: str,
    params: ProofParams,
    log_sizes: Sequence[int],
) -> Any:
    """The part of a statement that all proofs with one key share."""
    channel = channel.mix_u32s(_words(TAG))
    channel = channel.mix_u32s(_words(air_id.encode()))
    channel = profile.mix_config(channel, params)
    return channel.mix_u32s([len(log_sizes), *log_sizes])


def bind_public_values(channel: Any, public_values: Mapping[str, Sequence[int]]) -> Any:
    """The rest of a statement."""
    words = [len(public_values)]
    for vector in public_values.values():
        words += [len(vector), *vector]
    return channel.mix_u32s(words)


def draw_relations(channel: Any, air: Air) -> tuple[dict[Relation, RelationElements], Any]:
    """Random elements of every relation, once the trace is committed.

    They must not be known before the trace is: LogUp soundness rests on it.
    """
    elements = {}
    for relation in air.relations:
        (z, alpha), channel = channel.draw_felts(2)
        elements[relation] = relation_elements(z, alpha, relation.arity)
    return elements, channel


def bind_claims(channel: Any, claimed_sums: Sequence[QM31]) -> Any:
    """The claimed LogUp sums, before the interaction tree."""
    return channel.mix_felts(list(claimed_sums))


def draw_oods_point(channel: Any) -> tuple[SecurePoint, Any]:
    """The out-of-domain point, once the composition is committed."""
    t, channel = channel.draw_felt()
    return secure_point(t), channel


def composition_matches(
    sampled: Sequence[Sequence[QM31]], combined: QM31, point: SecurePoint, log_size: int
) -> bool:
    """The OODS equation ``left + v right = combined / v`` with ``v = pi^(L-1)(z.x)``.

    ``sampled`` holds the values of the eight composition columns, ``combined`` the random
    combination of the constraints at the point. Protocol section 10.
    """
    left = qm31.from_coordinates([column[0] for column in sampled[:4]])
    right = qm31.from_coordinates([column[0] for column in sampled[4:]])
    vanishing = secure_double_x(point.x, log_size - 1)
    claimed = qm31.add(left, qm31.mul(vanishing, right))
    return qm31.mul(claimed, vanishing) == combined
