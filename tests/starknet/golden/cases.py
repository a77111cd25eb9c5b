"""The proofs that are packed in the tests, and the golden vectors of their messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jaxstark.air.definition import Air
from jaxstark.air.planning import check_public_values
from jaxstark.air.registry import resolve
from jaxstark.key import VerifyingKey
from jaxstark.proof import Proof
from tests.golden.cases import CASES, SECURE, golden

FOLDER = Path(__file__).resolve().parent
VECTORS = FOLDER / "vectors.json"
IRIS = "iris_compact96"
ALL = (*CASES, IRIS)
WHOLE = ("legacy26",)  # cases whose messages are in the vectors felt by felt
ENCODINGS = ("limb248", "serde")


class Packable(NamedTuple):
    """A proof with all that packing it takes; ``insecure`` says whether its key needs that."""

    proof: Proof
    key: VerifyingKey
    air: Air
    public: Mapping[str, Sequence[int]]
    insecure: bool


@lru_cache(maxsize=16)
def packable(name: str) -> Packable:
    """The case of a name."""
    if name != IRIS:
        item = golden(name)
        public = check_public_values(item.air, item.public)
        return Packable(item.proof, item.key, item.air, public, name not in SECURE)
    key = VerifyingKey.load(FOLDER / f"{name}.key.json")
    air = resolve(key.air)
    key = VerifyingKey.load(FOLDER / f"{name}.key.json", air)
    public = json.loads((FOLDER / f"{name}.public.json").read_text())
    proof = Proof.load(FOLDER / f"{name}.proof.bin")
    return Packable(proof, key, air, check_public_values(air, public), False)


def vector(name: str, message: Sequence[int]) -> dict[str, Any]:
    """What the vectors say of a message."""
    data = b"".join(felt.to_bytes(32, "big") for felt in message)
    row: dict[str, Any] = {
        "felts": len(message),
        "header": [hex(felt) for felt in message[:8]],
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if name in WHOLE:
        row["message"] = [hex(felt) for felt in message]
    return row
