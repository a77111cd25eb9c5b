"""Reading of the conformance vectors: unit vectors, StarkWare's proofs and the mini proofs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxstark.circle import SecurePoint, secure_point
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import Suite
from jaxstark.params import ProofParams
from jaxstark.pcs_verify import verify_values
from jaxstark.profile import Profile, get_profile
from jaxstark.proof import FriLayer, StarkProof
from jaxstark.proof_felts import read_stark_felts

MASKS = {0: (), 1: (0,), 2: (-1, 0)}  # by number of samples


def load(folder: Path, name: str) -> Any:
    """The content of one JSON file."""
    return json.loads((folder / name).read_text())


class FriReader:
    """A cursor over the felts of the FRI part of a Blake2s proof (protocol section 14)."""

    def __init__(self, felts: list[int]) -> None:
        self.rest = iter(felts)

    def many(self, read: Any) -> tuple:
        return tuple(read() for _ in range(next(self.rest)))

    def felt(self) -> QM31:
        return QM31(*(next(self.rest) for _ in range(4)))

    def digest(self) -> bytes:
        return digest([next(self.rest) for _ in range(8)])

    def layer(self) -> FriLayer:
        return FriLayer(self.many(self.felt), self.many(self.digest), self.digest())

    def fri(self) -> tuple[tuple[FriLayer, ...], tuple[QM31, ...]]:
        """Layers and last layer, without the log size at the end."""
        first = self.layer()
        return (first, *self.many(self.layer)), self.many(self.felt)


def digest(words: list[int]) -> bytes:
    """A Blake2s digest from eight little-endian words."""
    return np.array(words, "<u4").tobytes()


@dataclass(frozen=True)
class Opening:
    """A proof with everything that ``verify_values`` needs, ready to be tampered with."""

    suite: Suite
    channel: Any
    stark: StarkProof
    params: ProofParams
    columns: list[list[int]]
    offsets: list[list[tuple[int, ...]]]
    oods_point: SecurePoint
    log_size: int
    roots: tuple
    expected: dict[str, Any] = field(default_factory=dict)

    def verify(self) -> tuple[list[int], Any]:
        """Run the verification."""
        return verify_values(
            self.suite,
            self.channel,
            self.stark,
            self.params,
            self.columns,
            self.offsets,
            self.oods_point,
            self.log_size,
            self.roots,
        )


def real_proof(folder: Path, name: str, profile_name: str) -> Opening:
    """A proof by StarkWare, from the channel digest before the composition coefficient on."""
    profile, meta = get_profile(profile_name), load(folder, f"{name}.meta.json")
    felts = [int(x, 16) for x in load(folder, f"{name}.felts.json")]
    columns = meta["column_log_sizes"]
    stark, end = read_stark_felts(felts, meta["stark_proof_offset"], profile.suite, columns)
    assert end == len(felts) - 1  # the salt follows
    blake = "channel_digest_hex" in meta
    state = (
        bytes.fromhex(meta["channel_digest_hex"]) if blake else int(meta["channel_digest_felt"], 16)
    )
    channel = replace(profile.suite.new_channel(), digest=state)  # type: ignore[type-var]
    return _opening(
        profile,
        channel,
        stark,
        meta["column_log_sizes"],
        meta["trace_log_degree_bound"],
        meta["expected"],
    )


def mini_proofs(folder: Path) -> dict[str, Opening]:
    """The small proofs, after the toy prologue that they were made with."""
    profile = get_profile("stwo-2.2")
    out = {}
    for case in load(folder, "mini_e2e_proofs.json")["cases"]:
        columns = case["column_log_sizes"]
        stark, _ = read_stark_felts(case["stark_proof_felts"], 0, profile.suite, columns)
        channel = profile.mix_config(profile.suite.new_channel(), stark.params)
        for root in stark.commitments[:2]:
            channel = channel.mix_root(root)
        _, channel = channel.draw_felts(2)
        sums = [QM31(*c["claimed_sum"]) for c in case["components"]]
        channel = channel.mix_felts([s for s in sums if any(s)] or [QM31(0, 0, 0, 0)])
        if len(stark.commitments) == 4:
            channel = channel.mix_root(stark.commitments[2])
        log_size = max(c["log_size"] for c in case["components"])
        out[case["name"]] = _opening(profile, channel, stark, case["column_log_sizes"], log_size)
    return out


def _opening(
    profile: Profile,
    channel: Any,
    stark: StarkProof,
    columns: list[list[int]],
    log_size: int,
    expected: dict[str, Any] | None = None,
) -> Opening:
    coefficient, channel = channel.draw_felt()
    t, channel = channel.mix_root(stark.commitments[-1]).draw_felt()
    return Opening(
        suite=profile.suite,
        channel=channel,
        stark=stark,
        params=stark.params,
        columns=columns,
        offsets=[[MASKS[len(c)] for c in tree] for tree in stark.sampled_values],
        oods_point=secure_point(t),
        log_size=log_size,
        roots=stark.commitments,
        expected=dict(expected or {}, composition=coefficient),
    )
