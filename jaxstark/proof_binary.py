"""Binary form of a proof: little-endian u32 words, about four bytes per felt.

    magic "jaxstark", version
    profile, AIR id                         strings: byte length, ASCII bytes, zeros to a word
    log sizes, claimed sums                 count, words; count, 4 words each
    config                                  pow bits, blow-up, last layer, queries, fold step
    roots                                   tree count, 32 bytes each
    per tree: sampled values                column count; per column: count, 4 words each
    per tree: decommitment                  count, 32 bytes each
    per tree: queried values                positions, words column by column (column order)
    proof of work                           low word, high word
    FRI layers                              count; each: count, 4 words each; count, 32 bytes
                                            each; root
    last layer                              log size, 4 words each

A Blake2s digest is its 32 bytes, a Poseidon252 digest 32 bytes little-endian. The form is
canonical: every accepted input is what ``dumps`` writes for its proof. A length prefix is compared
with the rest of the input before anything is allocated (T30).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import MAX_LOG_LAST_LAYER
from jaxstark.proof import FriLayer, Proof, StarkProof, check_proof

MAGIC = b"jaxstark"
VERSION = 1
_HASH_WORDS = wire.HASH_BYTES // 4


def dumps(proof: Proof) -> bytes:
    """The binary form. ``ProofShapeError`` for a malformed proof."""
    check_proof(proof)
    out = _Writer(wire.digest_codec(wire.wire_profile(proof.profile).suite.name))
    out.raw(MAGIC)
    out.words((VERSION,))
    out.string(proof.profile)
    out.string(proof.air)
    out.words((len(proof.log_sizes), *proof.log_sizes))
    out.qm31s(proof.claimed_sums)
    _write_stark(out, proof.stark)
    return b"".join(out.parts)


def loads(data: bytes) -> Proof:
    """The proof in a binary form; ``ProofShapeError`` for anything malformed."""
    if type(data) is not bytes:
        raise ProofShapeError("binary proof", "bytes", wire.describe(data))
    if data[: len(MAGIC)] != MAGIC:
        raise ProofShapeError("magic", MAGIC, data[: len(MAGIC)])
    if len(data) % 4:
        raise ProofShapeError("binary proof", "whole 32-bit words", f"{len(data)} bytes")
    reader = _Reader(np.frombuffer(data, "<u4"))
    reader.take(len(MAGIC) // 4, "magic")
    version = reader.word("version")
    if version != VERSION:
        raise ProofShapeError("format version", VERSION, version)
    profile, air = reader.string("profile"), reader.string("AIR id")
    reader.codec = wire.digest_codec(wire.wire_profile(profile).suite.name)
    log_sizes = tuple(reader.take(reader.count("log sizes", 1), "log sizes").tolist())
    claimed_sums = reader.qm31s("claimed sums")
    proof = Proof(profile, air, log_sizes, claimed_sums, _read_stark(reader))
    if reader.remaining:
        raise ProofShapeError("binary proof", "its end", f"{reader.remaining} more words")
    check_proof(proof)
    return proof


def _write_stark(out: _Writer, stark: StarkProof) -> None:
    out.words(wire.params_words(stark.params))
    out.digests(stark.commitments)
    for columns in stark.sampled_values:
        out.words((len(columns),))
        for samples in columns:
            out.qm31s(samples)
    for hashes in stark.decommitments:
        out.digests(hashes)
    for table in stark.queried_values:
        out.words((table.shape[1],))
        out.raw(table.astype("<u4").tobytes())
    out.words((stark.proof_of_work & 0xFFFFFFFF, stark.proof_of_work >> 32))
    out.words((len(stark.fri_layers),))
    for layer in stark.fri_layers:
        out.qm31s(layer.fri_witness)
        out.digests(layer.hash_witness)
        out.raw(out.codec.to_bytes(layer.commitment))
    out.words((len(stark.last_layer).bit_length() - 1,))
    for value in stark.last_layer:
        out.words(value)


def _read_stark(reader: _Reader) -> StarkProof:
    params = wire.parse_params(*reader.take(5, "config").tolist())
    commitments = reader.digests("commitments")
    trees = range(len(commitments))
    sampled_values = tuple(
        tuple(reader.qm31s("samples") for _ in range(reader.count("columns", 1))) for _ in trees
    )
    decommitments = tuple(reader.digests("decommitment") for _ in trees)
    queried_values = tuple(reader.table(len(columns)) for columns in sampled_values)
    low, high = reader.take(2, "proof of work").tolist()
    layers = []
    for _ in range(reader.count("FRI layers", 2 + _HASH_WORDS)):
        witness, hashes = reader.qm31s("FRI witness"), reader.digests("FRI decommitment")
        layers.append(FriLayer(witness, hashes, reader.digest("FRI commitment")))
    log_last = reader.word("log size of the last layer")
    if log_last > MAX_LOG_LAST_LAYER:
        raise ProofShapeError("log size of the last layer", f"0..{MAX_LOG_LAST_LAYER}", log_last)
    return StarkProof(
        params,
        commitments,
        sampled_values,
        decommitments,
        queried_values,
        low | high << 32,
        tuple(layers),
        reader.qm31_block(1 << log_last, "last layer"),
    )


class _Writer:
    """Collects the parts of one proof."""

    def __init__(self, codec: wire.DigestCodec) -> None:
        self.codec = codec
        self.parts: list[bytes] = []

    def raw(self, data: bytes) -> None:
        self.parts.append(data)

    def words(self, values: Iterable[int]) -> None:
        self.parts.append(np.array(tuple(values), "<u4").tobytes())

    def string(self, text: str) -> None:
        self.words((len(text),))
        self.raw(text.encode("ascii") + bytes(-len(text) % 4))

    def qm31s(self, values: tuple[QM31, ...]) -> None:
        self.words((len(values),))
        self.raw(np.array(values, "<u4").tobytes())

    def digests(self, digests: tuple[Any, ...]) -> None:
        self.words((len(digests),))
        self.parts.extend(map(self.codec.to_bytes, digests))


class _Reader:
    """Walks over words; checks every length against what is left before it takes anything."""

    def __init__(self, words: np.ndarray) -> None:
        self.codec = wire.digest_codec("blake2s")
        self._words = words
        self._at = 0

    @property
    def remaining(self) -> int:
        return len(self._words) - self._at

    def take(self, n_words: int, what: str) -> np.ndarray:
        if n_words > self.remaining:
            raise ProofShapeError(what, f"{n_words} more words", self.remaining)
        self._at += n_words
        return self._words[self._at - n_words : self._at]

    def word(self, what: str) -> int:
        return int(self.take(1, what)[0])

    def count(self, what: str, words_each: int) -> int:
        """A length prefix of items that take at least ``words_each`` words."""
        count = self.word(f"number of {what}")
        if count * words_each > self.remaining:
            raise ProofShapeError(f"number of {what}", f"at most {self.remaining} words", count)
        return count

    def string(self, what: str) -> str:
        length = self.word(f"length of {what}")
        data = self.take((length + 3) // 4, what).tobytes()
        if any(data[length:]):
            raise ProofShapeError(f"padding of {what}", "zeros", "something else")
        try:
            return data[:length].decode("ascii")
        except UnicodeDecodeError:
            raise ProofShapeError(what, "ASCII", "other bytes") from None

    def qm31_block(self, count: int, what: str) -> tuple[QM31, ...]:
        words = self.take(4 * count, what)
        if (words >= P).any():
            _refuse_word(what)
        return tuple(map(QM31._make, words.reshape(-1, 4).tolist()))

    def qm31s(self, what: str) -> tuple[QM31, ...]:
        return self.qm31_block(self.count(what, 4), what)

    def digest(self, what: str) -> Any:
        data = self.take(_HASH_WORDS, what).tobytes()
        return self.codec.parsed(self.codec.from_bytes(data), what)

    def digests(self, what: str) -> tuple[Any, ...]:
        return tuple(self.digest(what) for _ in range(self.count(what, _HASH_WORDS)))

    def table(self, n_columns: int) -> np.ndarray:
        positions = self.word("queried positions")
        if not n_columns and positions:
            raise ProofShapeError("queried positions of an empty tree", 0, positions)
        words = self.take(n_columns * positions, "queried values")
        if (words >= P).any():
            _refuse_word("queried values")
        return words.reshape(n_columns, positions).astype(np.uint32)


def _refuse_word(what: str) -> NoReturn:
    raise ProofShapeError(what, "words below 2^31 - 1", "a larger word")
