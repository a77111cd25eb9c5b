"""Wire types of a proof, and the one definition of a well-formed proof.

Holds data only; imports no prover code and no JAX. The three forms in which a proof leaves the
process live in ``proof_json``, ``proof_binary`` and ``proof_felts``; all three carry the claims
(profile, AIR id, log sizes, claimed sums) with the STARK proof. Source: protocol section 14.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import MAX_LOG_LAST_LAYER, ProofParams

# 32 bytes for the Blake2s suite, an int below the Starknet prime for Poseidon252.
Digest = Any


@dataclass(frozen=True)
class FriLayer:
    """One committed FRI layer: the values that complete the opened cosets, and their opening."""

    fri_witness: tuple[QM31, ...]
    hash_witness: tuple[Digest, ...]
    commitment: Digest


@dataclass(frozen=True, eq=False)
class StarkProof:
    """The part of a proof that the upstream verifier reads (protocol section 14).

    Compared by value. An array of queried values without columns is stored as ``[0, 0]``, the
    only form that every wire format can express.

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

    @staticmethod
    def deferred(make: Callable[[], StarkProof]) -> StarkProof:
        """The proof that ``make`` returns, made when one of its fields is first read.

        A prover holds its proof as arrays; the thousands of objects of this form cost more time
        than the proof itself, and whoever proves in a hurry decodes elsewhere.
        """
        proof = object.__new__(StarkProof)
        proof.__dict__["_make"] = make
        return proof

    def __getattr__(self, name: str) -> Any:
        # Called for missing attributes only: the fields of a deferred proof.
        make = self.__dict__.get("_make")
        if make is None or name.startswith("__"):
            raise AttributeError(name)
        self.__dict__.update(make().__dict__)
        self.__dict__.pop("_make", None)
        return getattr(self, name)

    def __getstate__(self) -> dict[str, Any]:
        _ = self.params  # a copy has fields
        return self.__dict__

    def __post_init__(self) -> None:
        if type(self.queried_values) is tuple:
            empty = np.zeros((0, 0), np.uint32)
            tables = (empty if _is_empty_table(t) else t for t in self.queried_values)
            object.__setattr__(self, "queried_values", tuple(tables))

    def _scalars(self) -> tuple[Any, ...]:
        return (
            self.params,
            self.commitments,
            self.sampled_values,
            self.decommitments,
            self.proof_of_work,
            self.fri_layers,
            self.last_layer,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StarkProof):
            return NotImplemented
        return (
            self._scalars() == other._scalars()
            and len(self.queried_values) == len(other.queried_values)
            and all(map(np.array_equal, self.queried_values, other.queried_values))
        )

    def __hash__(self) -> int:
        return hash(self._scalars())


@dataclass(frozen=True)
class Provenance:
    """How a proof was made; no part of it.

    Attributes:
      device: kind of the device that proved.
      transcript: who ran the Fiat-Shamir channel, ``"host"`` or ``"device"``.
      stages: implementation of every stage, by its name.
    """

    device: str
    transcript: str
    stages: Mapping[str, str]


@dataclass(frozen=True)
class Proof:
    """A proof with the claims that it is about.

    Attributes:
      profile: protocol profile name, such as ``"stwo-2.2"``.
      air: AIR id: 1 to 255 printable ASCII characters.
      log_sizes: log2 of the rows of every component.
      claimed_sums: LogUp total of every component that has lookups, in component order.
      stark: the STARK proof.
      provenance: how this process made it; None for a proof from elsewhere. Not part of its value.
    """

    profile: str
    air: str
    log_sizes: tuple[int, ...]
    claimed_sums: tuple[QM31, ...]
    stark: StarkProof
    provenance: Provenance | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> str:
        """Canonical JSON text (``proof_json``). ``ProofShapeError`` if malformed."""
        from jaxstark import proof_json

        return proof_json.dumps(self)

    @staticmethod
    def from_json(text: str) -> Proof:
        """The proof in a JSON text; ``ProofShapeError`` for anything malformed."""
        from jaxstark import proof_json

        return proof_json.loads(text)

    def to_bytes(self) -> bytes:
        """Canonical binary form (``proof_binary``). ``ProofShapeError`` if malformed."""
        from jaxstark import proof_binary

        return proof_binary.dumps(self)

    @staticmethod
    def from_bytes(data: bytes) -> Proof:
        """The proof in a binary form; ``ProofShapeError`` for anything malformed."""
        from jaxstark import proof_binary

        return proof_binary.loads(data)

    def to_felts(
        self, columns: Sequence[Sequence[int]], *, config_felts: int | None = None
    ) -> list[int]:
        """Cairo felts (``proof_felts``); ``columns`` is ``shape.all_columns``."""
        from jaxstark import proof_felts

        return proof_felts.dumps(self, columns, config_felts)

    @staticmethod
    def from_felts(
        felts: Sequence[int],
        columns: Sequence[Sequence[int]],
        *,
        config_felts: int | None = None,
    ) -> Proof:
        """The proof in Cairo felts; ``ProofShapeError`` for anything malformed."""
        from jaxstark import proof_felts

        return proof_felts.loads(felts, columns, config_felts)

    def sha256(self) -> str:
        """Hex SHA-256 of the binary form."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the form named by the suffix, ``.json`` or ``.bin``, whole or not at all."""
        suffix = _suffix(path)
        data = self.to_json().encode("ascii") if suffix == ".json" else self.to_bytes()
        write_atomically(path, data)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Proof:
        """Read what ``save`` wrote; ``ProofShapeError`` for malformed content."""
        suffix = _suffix(path)
        data = Path(path).read_bytes()
        if suffix == ".bin":
            return Proof.from_bytes(data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ProofShapeError("JSON proof", "UTF-8 text", "other bytes") from None
        return Proof.from_json(text)


def check_proof(proof: Proof) -> None:
    """``ProofShapeError`` unless the proof has the types, ranges and inner consistency of a proof.

    Knows nothing of a statement: whether the sizes are those of the key is the verifier's to say.
    Never raises anything else, whatever the fields hold.
    """
    if type(proof) is not Proof:
        raise ProofShapeError("proof", "a Proof", wire.describe(proof))
    codec = wire.digest_codec(wire.wire_profile(proof.profile).suite.name)
    wire.check_air(proof.air)
    wire.check_log_sizes(_tuple(proof.log_sizes, "log sizes"))
    wire.check_qm31s(_tuple(proof.claimed_sums, "claimed sums"), "claimed sums")
    check_stark(proof.stark, codec)


def check_stark(stark: StarkProof, codec: wire.DigestCodec) -> None:
    """As ``check_proof``, for the STARK proof alone, with digests of one suite."""
    if type(stark) is not StarkProof:
        raise ProofShapeError("stark proof", "a StarkProof", wire.describe(stark))
    if type(stark.params) is not ProofParams:
        raise ProofShapeError("config", "ProofParams", wire.describe(stark.params))
    n_trees = len(_tuple(stark.commitments, "commitments"))
    codec.check_all(stark.commitments, "commitments")
    for what in ("sampled_values", "decommitments", "queried_values"):
        trees = len(_tuple(getattr(stark, what), what))
        if trees != n_trees:
            raise ProofShapeError(f"trees of {what}", n_trees, trees)
    for i, columns in enumerate(stark.sampled_values):
        for samples in _tuple(columns, f"sampled values of tree {i}"):
            wire.check_qm31s(_tuple(samples, f"samples of tree {i}"), f"samples of tree {i}")
        hashes = _tuple(stark.decommitments[i], f"decommitment of tree {i}")
        codec.check_all(hashes, f"decommitment of tree {i}")
        _check_table(stark.queried_values[i], len(columns), f"queried values of tree {i}")
    wire.check_int(stark.proof_of_work, 1 << 64, "proof of work")
    if not _tuple(stark.fri_layers, "FRI layers"):
        raise ProofShapeError("FRI layers", "at least 1", 0)
    for i, layer in enumerate(stark.fri_layers):
        if type(layer) is not FriLayer:
            raise ProofShapeError(f"FRI layer {i}", "a FriLayer", wire.describe(layer))
        wire.check_qm31s(_tuple(layer.fri_witness, f"witness of FRI layer {i}"), "FRI witness")
        codec.check_all(_tuple(layer.hash_witness, f"hashes of FRI layer {i}"), "FRI hashes")
        codec.check_all((layer.commitment,), f"commitment of FRI layer {i}")
    wire.check_qm31s(_tuple(stark.last_layer, "last layer"), "last layer")
    count = len(stark.last_layer)
    if count & (count - 1) or not 1 <= count <= 1 << MAX_LOG_LAST_LAYER:
        expected = f"a power of two up to 2^{MAX_LOG_LAST_LAYER} coefficients"
        raise ProofShapeError("last layer", expected, count)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then a rename."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix
    if suffix not in (".json", ".bin"):
        raise ValueError(f"proof file: expected a name ending in .json or .bin, got {suffix!r}")
    return suffix


def _tuple(value: Any, what: str) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise ProofShapeError(what, "a tuple", wire.describe(value))
    return value


def _is_empty_table(table: Any) -> bool:
    return isinstance(table, np.ndarray) and table.ndim == 2 and table.shape[0] == 0


def _check_table(table: Any, n_columns: int, what: str) -> None:
    if not isinstance(table, np.ndarray) or table.dtype != np.uint32 or table.ndim != 2:
        raise ProofShapeError(what, "a uint32 array [columns, positions]", wire.describe(table))
    if table.shape[0] != n_columns:
        raise ProofShapeError(what, f"{n_columns} columns", table.shape[0])
    if (table >= P).any():
        raise ProofShapeError(what, "words below 2^31 - 1", "a larger word")
