"""From a proof to the message that Starknet carries, and back.

``pack`` verifies a proof and makes its message; ``unpack`` reads a message and verifies what it
says. Both are exact inverses: ``unpack`` refuses every list of felts that ``pack`` does not make.
``envelope.split`` cuts a message into transactions. Encodings:

    limb248    the felts of ``limb_proof``: the shortest form
    serde      claimed sums behind their number, then the Serde layout of stwo-cairo (protocol
               section 14): what Cairo verifiers deserialize

Source: docs/starknet.md, section "Format".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxstark import wire
from jaxstark.air.definition import Air
from jaxstark.air.planning import check_public_values
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import DEGREE
from jaxstark.key import VerifyingKey
from jaxstark.params import MINIMUM_BITS
from jaxstark.profile import get_profile
from jaxstark.proof import Proof
from jaxstark.proof_felts import read_stark_felts, write_stark_felts
from jaxstark.shape import ProofShape
from jaxstark.starknet import limb_proof
from jaxstark.starknet.envelope import check_whole
from jaxstark.starknet.felts import check_felts, poseidon_hash_many
from jaxstark.starknet.header import (
    ENCODINGS,
    HEADER_FELTS,
    MAX_COMPONENTS,
    Header,
    air_id,
    params_word,
    sizes_word,
    statement_hash,
    statement_values,
)
from jaxstark.verifier import verify

Public = Mapping[str, Sequence[int]]


class Unpacked(NamedTuple):
    """A verified proof and the public values of its statement, by name."""

    proof: Proof
    public_values: dict[str, tuple[int, ...]]


def pack(
    proof: Proof,
    key: VerifyingKey,
    public_values: Any = None,
    encoding: str = "limb248",
    *,
    air: Air | None = None,
    minimum_bits: int = MINIMUM_BITS,
    insecure: bool = False,
) -> list[int]:
    """The message of a proof, in one chunk; the proof is verified first.

    Args:
      proof: the proof.
      key: the trusted key.
      public_values: name to words, as for ``verify``.
      encoding: ``"limb248"`` or ``"serde"``.
      air: as for ``verify``.
      minimum_bits: as for ``verify``.
      insecure: as for ``verify``.

    Raises what ``verify`` raises, and ``ValueError`` for an unknown encoding or a key of more than
    40 components.
    """
    _check_encoding(encoding)
    _check_key(key)
    verify(proof, key, public_values, air=air, minimum_bits=minimum_bits, insecure=insecure)
    found = _resolve(key, air)
    public = check_public_values(found, public_values)
    return encode(proof, key, found, public, encoding)


def encode(
    proof: Proof, key: VerifyingKey, air: Air, public: Public, encoding: str = "limb248"
) -> list[int]:
    """``pack`` without the verification: the proof must be one that ``verify`` has accepted.

    ``public`` are canonical public values in statement order (``check_public_values``).
    """
    _check_key(key)
    felts = payload(proof, key, air, public, encoding)
    values = statement_values(public)
    return [*_header(key, encoding, values, felts).encode(), *felts]


def payload(
    proof: Proof, key: VerifyingKey, air: Air, public: Public, encoding: str = "limb248"
) -> list[int]:
    """What follows the header in ``encode``, with the same arguments; nothing is hashed."""
    _check_encoding(encoding)
    shape, suite = air.shape(key.log_sizes, public), get_profile(key.profile).suite
    values = statement_values(public)
    if encoding == "limb248":
        body = limb_proof.encode(proof, shape)
    else:
        sums = [word for value in proof.claimed_sums for word in value]
        body = [len(proof.claimed_sums), *sums]
        body += write_stark_felts(proof.stark, suite, shape.all_columns, _config_felts(key))
    return [len(values), *values, *body]


def unpack(
    message: Sequence[int],
    key: VerifyingKey,
    *,
    air: Air | None = None,
    minimum_bits: int = MINIMUM_BITS,
    insecure: bool = False,
) -> Unpacked:
    """The verified proof of a message in one chunk (``envelope.join`` makes it of several).

    The statement is the message's: compare ``public_values`` with those that you expect.

    Args:
      message: the felts.
      key: the trusted key, with the AIR of its definition, or of ``air``, or a shipped one.
      air: as for ``verify``.
      minimum_bits: as for ``verify``.
      insecure: as for ``verify``.

    Raises ``ProofShapeError`` for a malformed message, ``VerificationError`` for one of another
    key or with a false proof, and ``ValueError`` if key, AIR and minimum do not fit each other.
    """
    _check_key(key)
    felts = check_felts(message, "message")
    header = Header.decode(felts)
    expected = _header(key, header.encoding, (), ())
    for what in ("air_id", "parameters", "sizes"):
        wanted, got = getattr(expected, what), getattr(header, what)
        if wanted != got:
            name = what.replace("_", " ").replace("air", "AIR")
            raise VerificationError("key", f"{name}: expected {wanted:#x}, got {got:#x}")
    check_whole(felts)  # hashes all of it: only for a message that claims to be of this key
    found = _resolve(key, air)
    felts = felts[HEADER_FELTS:]
    end = 1 + felts[0]  # within the payload, or the message would have been refused
    public = _public_values(found, felts[1:end])
    shape = found.shape(key.log_sizes, public)
    if header.encoding == "limb248":
        proof = limb_proof.decode(felts[end:], key, found, shape, public)
    else:
        proof = _from_serde(felts[end:], key, shape)
    verify(proof, key, public, air=found, minimum_bits=minimum_bits, insecure=insecure)
    return Unpacked(proof, public)


def _header(
    key: VerifyingKey, encoding: str, values: Sequence[int], felts: Sequence[int]
) -> Header:
    suite = get_profile(key.profile).suite.name
    air = air_id(key.air, key.profile, key.preprocessed_root)
    parameters, sizes = params_word(key.params, suite), sizes_word(key.log_sizes)
    statement = statement_hash(air, parameters, sizes, values)
    digest = poseidon_hash_many(felts)
    return Header(encoding, air, key.params, suite, key.log_sizes, statement, digest, len(felts))


def _from_serde(felts: list[int], key: VerifyingKey, shape: ProofShape) -> Proof:
    count = wire.check_int(felts[0] if felts else None, P, "number of claimed sums")
    end = 1 + DEGREE * count
    if end > len(felts):
        raise ProofShapeError("claimed sums", f"{end} felts", len(felts))
    sums = wire.parse_qm31s(felts[1:end], "claimed sums")
    suite = get_profile(key.profile).suite
    stark, end = read_stark_felts(felts, end, suite, shape.all_columns, _config_felts(key))
    if end != len(felts):
        raise ProofShapeError("encoded proof", f"{end} felts", len(felts))
    return Proof(key.profile, key.air, key.log_sizes, sums, stark)


def _public_values(air: Air, values: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Public values by name; ``ProofShapeError`` unless the AIR has such a statement."""
    out, left = {}, list(values)
    for name, length in air.public_values:
        if not left or left[0] > len(left) - 1:
            expected = "a length and as many words"
            raise ProofShapeError(f"public value {name}", expected, f"{len(left)} felts")
        words, left = left[1 : 1 + left[0]], left[1 + left[0] :]
        if length is not None and len(words) != length:
            raise ProofShapeError(f"public value {name}", f"{length} words", len(words))
        out[name] = tuple(wire.check_int(word, P, f"public value {name}") for word in words)
    if left:
        raise ProofShapeError("statement values", "those of the AIR", f"{len(left)} more felts")
    return out


def _resolve(key: VerifyingKey, air: Air | None) -> Air:
    """The AIR as ``verify`` finds it."""
    found = air or key.definition
    if found is None:
        from jaxstark.air.registry import resolve

        found = resolve(key.air)
    if found.name != key.air:
        raise ValueError(f"AIR: expected {key.air!r} as in the key, got {found.name!r}")
    return found


def _config_felts(key: VerifyingKey) -> int:
    return len(get_profile(key.profile).felt_config_fields)


def _check_encoding(encoding: Any) -> None:
    if encoding not in ENCODINGS:
        raise ValueError(
            f"encoding: expected one of {', '.join(ENCODINGS)}, got {wire.describe(encoding)}"
        )


def _check_key(key: Any) -> None:
    if not isinstance(key, VerifyingKey):
        raise ValueError(f"key: expected a VerifyingKey, got {type(key).__name__}")
    if len(key.log_sizes) > MAX_COMPONENTS:
        raise ValueError(
            f"key: expected at most {MAX_COMPONENTS} components, got {len(key.log_sizes)}"
        )
