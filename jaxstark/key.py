"""The verifying key: all that a verifier must trust besides the AIR and the public values.

A proof never brings its own key: root of tree 0, sizes and parameters are fixed in advance, or a
forged range table would be accepted. JSON form:

    {"format": "jaxstark-key/1", "profile": .., "air": .., "log_sizes": [..],
     "preprocessed_root": "<hex>", "config": {"pow_bits", "log_blowup_factor",
     "log_last_layer_degree_bound", "n_queries", "fold_step"}}

The root is 64 hex digits for Blake2s, "0x.." for Poseidon252. Source: protocol section 15 item 2.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.params import ProofParams
from jaxstark.proof import Digest, write_atomically
from jaxstark.proof_json import encode_json, members, parse_json

if TYPE_CHECKING:
    from jaxstark.air.definition import Air

FORMAT = "jaxstark-key/1"
_FIELDS = ("format", "profile", "air", "log_sizes", "preprocessed_root", "config")
_CONFIG = (
    "pow_bits",
    "log_blowup_factor",
    "log_last_layer_degree_bound",
    "n_queries",
    "fold_step",
)


@dataclass(frozen=True)
class VerifyingKey:
    """What a verifier demands of a proof; compared by value.

    Attributes:
      profile: protocol profile name.
      air: AIR id.
      log_sizes: log2 of the rows of every component.
      preprocessed_root: root of tree 0.
      params: proof parameters.
      definition: the AIR itself where the key was made with it; not part of the key's value or of
        its JSON form.

    Raises ``ValueError`` for a malformed field.
    """

    profile: str
    air: str
    log_sizes: tuple[int, ...]
    preprocessed_root: Digest
    params: ProofParams
    definition: Air | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            codec = _codec(self.profile)
            wire.check_air(self.air)
            if type(self.log_sizes) is not tuple:
                raise ProofShapeError("log sizes", "a tuple", wire.describe(self.log_sizes))
            wire.check_log_sizes(self.log_sizes)
            codec.check_all((self.preprocessed_root,), "root of tree 0")
            if type(self.params) is not ProofParams:
                raise ProofShapeError("params", "ProofParams", wire.describe(self.params))
        except ProofShapeError as error:
            raise _misuse(error) from None

    def to_json(self) -> str:
        """Canonical JSON text."""
        root = _codec(self.profile).to_json(self.preprocessed_root)
        return encode_json(
            {
                "format": FORMAT,
                "profile": self.profile,
                "air": self.air,
                "log_sizes": list(self.log_sizes),
                "preprocessed_root": root if type(root) is str else bytes(root).hex(),
                "config": dict(zip(_CONFIG, wire.params_words(self.params), strict=True)),
            }
        )

    @staticmethod
    def from_json(text: str, definition: Air | None = None) -> VerifyingKey:
        """The key in a JSON text; ``ValueError`` for anything malformed."""
        try:
            obj = members(parse_json(text), _FIELDS, "key")
            if obj["format"] != FORMAT:
                raise ProofShapeError("format", repr(FORMAT), wire.describe(obj["format"]))
            if type(obj["log_sizes"]) is not list:
                raise ProofShapeError("log sizes", "an array", wire.describe(obj["log_sizes"]))
            config = members(obj["config"], _CONFIG, "config")
            params = wire.parse_params(*(config[name] for name in _CONFIG))
            root = _parse_root(_codec(obj["profile"]), obj["preprocessed_root"])
        except ProofShapeError as error:
            raise _misuse(error) from None
        log_sizes = tuple(obj["log_sizes"])
        return VerifyingKey(obj["profile"], obj["air"], log_sizes, root, params, definition)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON form, whole or not at all."""
        write_atomically(path, self.to_json().encode("ascii"))

    @staticmethod
    def load(path: str | os.PathLike[str], definition: Air | None = None) -> VerifyingKey:
        """Read what ``save`` wrote; ``ValueError`` for malformed content."""
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"key {path}: expected UTF-8 text, got other bytes") from None
        return VerifyingKey.from_json(text, definition)


def _codec(profile: Any) -> wire.DigestCodec:
    return wire.digest_codec(wire.wire_profile(profile).suite.name)


def _parse_root(codec: wire.DigestCodec, value: Any) -> Any:
    if codec.suite != "blake2s":
        return codec.parsed(codec.from_json(value), "root of tree 0")
    digits = value if type(value) is str and len(value) == 2 * wire.HASH_BYTES else "-"
    if any(c not in "0123456789abcdef" for c in digits):
        raise ProofShapeError("root of tree 0", "64 lower-case hex digits", wire.describe(value))
    return bytes.fromhex(digits)


def _misuse(error: ProofShapeError) -> ValueError:
    return ValueError(f"key: {error.what}: expected {error.expected}, got {error.got}")
