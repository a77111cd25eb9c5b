"""Protocol profiles: which published version a proof belongs to.

A profile gathers what changes between versions: hash suite, how the configuration is mixed, and
the details of the serialized forms. Source: protocol sections 6, 14 and 15.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jaxstark.channel import Channel
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import BLAKE2S, POSEIDON252, Suite
from jaxstark.params import ProofParams


def mix_config_2_2(channel: Any, params: ProofParams) -> Any:
    """Absorb the configuration as two QM31 elements; no lifting size is set."""
    return channel.mix_felts(
        [
            QM31(params.pow_bits, params.log_blowup, params.n_queries, params.log_last_layer),
            QM31(params.fold_step, 0, 0, 0),
        ]
    )


@dataclass(frozen=True)
class Profile:
    """One version of the protocol; compared by value.

    Attributes:
      name: the name that proofs carry.
      suite: the hash suite.
      json_lifting_key: JSON key of the unused lifting size in the configuration.
      json_lifting_value: its value, ``None`` or 0.
      felt_config_fields: ``ProofParams`` fields in the order of the felt form; a field that is
        left out has the value 1 there (only ``fold_step`` may be).
      oods_pow_bits: proof-of-work bits before the out-of-domain point; 0 in every known release.
      mix_config: absorbs the configuration: ``(channel, params) -> channel``.
    """

    name: str
    suite: Suite
    json_lifting_key: str
    json_lifting_value: int | None
    felt_config_fields: tuple[str, ...]
    oods_pow_bits: int
    mix_config: Callable[[Any, ProofParams], Any]

    def new_channel(self) -> Channel:
        """The initial channel."""
        return self.suite.new_channel()


STWO_2_2 = Profile(
    name="stwo-2.2",
    suite=BLAKE2S,
    json_lifting_key="lifting_log_size",
    json_lifting_value=None,
    felt_config_fields=("pow_bits", "log_blowup", "log_last_layer", "n_queries", "fold_step"),
    oods_pow_bits=0,
    mix_config=mix_config_2_2,
)

# Verification only: no prover stage hashes with Poseidon252.
STWO_2_2_POSEIDON252 = replace(STWO_2_2, name="stwo-2.2-poseidon252", suite=POSEIDON252)

DEFAULT_PROFILE = STWO_2_2
PROFILES: dict[str, Profile] = {p.name: p for p in (STWO_2_2, STWO_2_2_POSEIDON252)}


def get_profile(name: str) -> Profile:
    """The profile of a name; ``ValueError`` for an unknown one."""
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is None:
        raise ValueError(f"profile: expected one of {', '.join(sorted(PROFILES))}, got {name!r}")
    return profile
