"""Cairo felt form of a proof: a flat list of ints below the Starknet prime.

    format version (1)
    profile               one felt: its ASCII bytes, big-endian (a Cairo short string)
    AIR id                byte length; 31 bytes a felt, big-endian, the last felt shorter
    log sizes             count, values
    claimed sums          count, 4 felts each
    STARK proof           the Serde layout of stwo-cairo (protocol section 14)

Queried values are stored query by query with a tree's columns sorted by size, so reading and
writing need the column log sizes ``[tree][column]`` of the statement. The number of config felts
is not part of the list: 5, or 4 for verifiers fixed at fold step 1; None takes the profile's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import Suite
from jaxstark.profile import Profile
from jaxstark.proof import FriLayer, Proof, StarkProof, check_proof, check_stark

VERSION = 1
_CHUNK = 31  # bytes that fit a felt


def dumps(
    proof: Proof, columns: Sequence[Sequence[int]], config_felts: int | None = None
) -> list[int]:
    """The felts of a proof. ``ProofShapeError`` if malformed or not of these columns."""
    check_proof(proof)
    profile = wire.wire_profile(proof.profile)
    out = [VERSION, int.from_bytes(proof.profile.encode("ascii"), "big")]
    air = proof.air.encode("ascii")
    out.append(len(air))
    out += [int.from_bytes(air[i : i + _CHUNK], "big") for i in range(0, len(air), _CHUNK)]
    out += [len(proof.log_sizes), *proof.log_sizes]
    _put_qm31s(out, proof.claimed_sums)
    out += write_stark_felts(proof.stark, profile.suite, columns, _n_config(profile, config_felts))
    return out


def loads(
    felts: Sequence[int], columns: Sequence[Sequence[int]], config_felts: int | None = None
) -> Proof:
    """The proof in a list of felts; ``ProofShapeError`` for anything malformed."""
    reader = _Reader(felts, 0)
    version = reader.number(1 << 32, "format version")
    if version != VERSION:
        raise ProofShapeError("format version", VERSION, version)
    name = _ascii(reader.number(1 << 8 * _CHUNK, "profile"), None, "profile")
    profile = wire.wire_profile(name)
    left = reader.number(wire.MAX_AIR_ID + 1, "length of AIR id")
    air = ""
    while left:
        length = min(left, _CHUNK)
        air += _ascii(reader.number(1 << 8 * length, "AIR id"), length, "AIR id")
        left -= length
    log_sizes = tuple(reader.take(reader.count("log sizes", 1), "log sizes"))
    claimed_sums = reader.qm31s("claimed sums")
    stark, end = read_stark_felts(
        felts, reader.at, profile.suite, columns, _n_config(profile, config_felts)
    )
    if end != len(felts):
        raise ProofShapeError("felts", f"{end} in all", len(felts))
    proof = Proof(name, air, log_sizes, claimed_sums, stark)
    check_proof(proof)
    return proof


def write_stark_felts(
    stark: StarkProof,
    suite: Suite,
    columns: Sequence[Sequence[int]],
    config_felts: int = 5,
) -> list[int]:
    """The Serde layout of a STARK proof.

    Args:
      stark: the proof; ``ProofShapeError`` if malformed or not of these columns.
      suite: the hash suite.
      columns: ``[tree][column]`` log sizes in column order, composition tree included.
      config_felts: 5, or 4 to leave out ``fold_step``, which must then be 1 (``ValueError``).
    """
    _check_config_felts(config_felts)
    codec = wire.digest_codec(suite.name)
    check_stark(stark, codec)
    config = wire.params_words(stark.params)
    if config_felts == 4 and stark.params.fold_step != 1:
        raise ValueError(f"fold_step: expected 1 with 4 config felts, got {config[-1]}")
    out = list(config[:config_felts])

    def digests(values: Sequence[Any]) -> None:
        out.append(len(values))
        for digest in values:
            out.extend(codec.to_felts(digest))

    digests(stark.commitments)
    n_trees = len(stark.commitments)
    _check_trees(n_trees, columns)
    out.append(n_trees)
    for tree in stark.sampled_values:
        out.append(len(tree))
        for samples in tree:
            _put_qm31s(out, samples)
    out.append(n_trees)
    for hashes in stark.decommitments:
        digests(hashes)
    out.append(n_trees)
    for table, logs in zip(stark.queried_values, columns, strict=True):
        _check_columns(len(table), logs)
        out.append(table.size)
        out += table[_by_size(logs)].T.ravel().tolist()
    out.append(stark.proof_of_work)
    for i, layer in enumerate(stark.fri_layers):
        _put_qm31s(out, layer.fri_witness)
        digests(layer.hash_witness)
        out.extend(codec.to_felts(layer.commitment))
        if i == 0:
            out.append(len(stark.fri_layers) - 1)
    _put_qm31s(out, stark.last_layer)
    out.append(len(stark.last_layer).bit_length() - 1)
    return out


def read_stark_felts(
    felts: Sequence[int],
    offset: int,
    suite: Suite,
    columns: Sequence[Sequence[int]],
    config_felts: int = 5,
) -> tuple[StarkProof, int]:
    """A STARK proof at ``felts[offset:]`` and the offset behind it.

    Arguments as for ``write_stark_felts``. ``ProofShapeError`` for anything malformed.
    """
    _check_config_felts(config_felts)
    reader = _Reader(felts, offset, wire.digest_codec(suite.name))
    config = reader.take(config_felts, "config")
    params = wire.parse_params(*(config if config_felts == 5 else [*config, 1]))
    commitments = reader.digests("commitments")
    n_trees = len(commitments)
    _check_trees(n_trees, columns)
    reader.expect(n_trees, "trees of sampled values")
    sampled_values = tuple(
        tuple(reader.qm31s("samples") for _ in range(reader.count("columns", 1)))
        for _ in range(n_trees)
    )
    reader.expect(n_trees, "trees of decommitments")
    decommitments = tuple(reader.digests("decommitment") for _ in range(n_trees))
    reader.expect(n_trees, "trees of queried values")
    tables = []
    for samples, logs in zip(sampled_values, columns, strict=True):
        _check_columns(len(samples), logs)
        tables.append(reader.table(logs))
    nonce = reader.number(1 << 64, "proof of work")
    layers = [reader.layer()]
    layers += [reader.layer() for _ in range(reader.count("FRI layers", 2 + reader.codec.felts))]
    last_layer = reader.qm31s("last layer")
    log_last = reader.number(1 << 32, "log size of the last layer")
    wire.check_log_last(log_last, len(last_layer))
    stark = StarkProof(
        params,
        commitments,
        sampled_values,
        decommitments,
        tuple(tables),
        nonce,
        tuple(layers),
        last_layer,
    )
    check_stark(stark, reader.codec)
    return stark, reader.at


class _Reader:
    """Walks over felts; checks every length against what is left before it takes anything."""

    def __init__(
        self, felts: Sequence[Any], at: int, codec: wire.DigestCodec | None = None
    ) -> None:
        if type(felts) not in (list, tuple):
            raise ProofShapeError("felts", "a list of ints", wire.describe(felts))
        if type(at) is not int or not 0 <= at <= len(felts):
            raise ValueError(f"offset: expected an int in 0..{len(felts)}, got {at!r}")
        self.at = at
        self.codec = codec or wire.digest_codec("blake2s")
        self._felts = felts

    def take(self, n: int, what: str) -> Sequence[Any]:
        left = len(self._felts) - self.at
        if n > left:
            raise ProofShapeError(what, f"{n} more felts", left)
        self.at += n
        return self._felts[self.at - n : self.at]

    def number(self, bound: int, what: str) -> int:
        return wire.check_int(self.take(1, what)[0], bound, what)

    def expect(self, value: int, what: str) -> None:
        got = self.number(1 << 32, what)
        if got != value:
            raise ProofShapeError(what, value, got)

    def count(self, what: str, felts_each: int) -> int:
        count = self.number(1 << 32, f"number of {what}")
        left = len(self._felts) - self.at
        if count * felts_each > left:
            raise ProofShapeError(f"number of {what}", f"at most {left} felts", count)
        return count

    def qm31s(self, what: str) -> tuple[QM31, ...]:
        return wire.parse_qm31s(self.take(4 * self.count(what, 4), what), what)

    def digest(self, what: str) -> Any:
        felts = self.take(self.codec.felts, what)
        return self.codec.parsed(self.codec.from_felts(felts), what)

    def digests(self, what: str) -> tuple[Any, ...]:
        return tuple(self.digest(what) for _ in range(self.count(what, self.codec.felts)))

    def layer(self) -> FriLayer:
        witness, hashes = self.qm31s("FRI witness"), self.digests("FRI decommitment")
        return FriLayer(witness, hashes, self.digest("FRI commitment"))

    def table(self, logs: Sequence[int]) -> np.ndarray:
        """uint32 ``[columns, positions]`` in column order from rows of size-sorted columns."""
        n, count = len(logs), self.count("queried values", 1)
        if count % n if n else count:
            raise ProofShapeError("queried values", f"a multiple of {n} columns", count)
        words = self.take(count, "queried values")
        for word in words:
            wire.check_int(word, P, "queried value")
        rows = np.array(words, np.uint32).reshape(count // n if n else 0, n)
        table = np.empty(rows.shape[::-1], np.uint32)
        table[_by_size(logs)] = rows.T
        return table


def _put_qm31s(out: list[int], values: Sequence[QM31]) -> None:
    out.append(len(values))
    for value in values:
        out.extend(value)


def _by_size(logs: Sequence[int]) -> np.ndarray:
    """Column indices by ascending log size, stable: the order of a leaf."""
    return np.argsort(np.array(logs, np.int64), kind="stable")


def _ascii(value: int, length: int | None, what: str) -> str:
    """Text of a big-endian felt: of ``length`` bytes, or of as many as its value needs."""
    data = value.to_bytes((value.bit_length() + 7) // 8 if length is None else length, "big")
    if not data.isascii():
        raise ProofShapeError(what, "ASCII", "other bytes")
    return data.decode("ascii")


def _n_config(profile: Profile, config_felts: int | None) -> int:
    return len(profile.felt_config_fields) if config_felts is None else config_felts


def _check_config_felts(config_felts: int) -> None:
    if config_felts not in (4, 5):
        raise ValueError(f"config_felts: expected 4 or 5, got {config_felts!r}")


def _check_trees(n_trees: int, columns: Sequence[Sequence[int]]) -> None:
    if n_trees != len(columns):
        raise ProofShapeError("number of trees", len(columns), n_trees)


def _check_columns(n_columns: int, logs: Sequence[int]) -> None:
    if n_columns != len(logs):
        raise ProofShapeError("columns of a tree", len(logs), n_columns)
