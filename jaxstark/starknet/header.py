"""The header of a Starknet message: eight felts that say what a proof claims.

    0  "jaxstark" << 32 | version << 16 | encoding (0 limb248, 1 serde)
    1  AIR id: 31 bytes of a Blake2s hash of name, profile and root of tree 0 (``air_id``)
    2  parameter word (``params_word``)
    3  log sizes (``sizes_word``)
    4  statement hash: Poseidon over felts 1 to 3 and the statement values
    5  payload digest: Poseidon over the payload
    6  payload length in felts, over all chunks
    7  chunk index | number of chunks << 16

Every field is bounded and has one spelling. Source: docs/starknet.md, section "Format".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.params import ProofParams
from jaxstark.starknet.felts import check_felts, poseidon_hash_many

MAGIC = int.from_bytes(b"jaxstark", "big")
VERSION = 1
ENCODINGS = ("limb248", "serde")
SUITES = ("blake2s", "poseidon252")
HEADER_FELTS = 8
MAX_COMPONENTS = 40
AIR_ID_BITS = 248
MAX_PAYLOAD = 1 << 32
MAX_CHUNKS = (1 << 16) - 1

BAD_MAGIC = "bad magic"
BAD_VERSION = "bad version"
BAD_HEADER = "bad header"
BAD_STATEMENT = "bad statement"
BAD_CHUNK = "bad chunk"
WRONG_CHUNK = "wrong chunk"
CHUNK_MISMATCH = "chunk mismatch"
BAD_LENGTH = "bad length"
BAD_DIGEST = "bad digest"
ALREADY_RECORDED = "already recorded"


class Refused(ProofShapeError):
    """A message that the registry reverts.

    Attributes:
      reason: the short string of the revert, one of the constants of this module.
    """

    def __init__(self, reason: str, what: str, expected: object, got: object) -> None:
        super().__init__(f"{reason}: {what}", expected, got)
        self.reason = reason


@dataclass(frozen=True)
class Header:
    """The eight felts in front of a message, decoded; compared by value.

    Attributes:
      encoding: ``"limb248"`` or ``"serde"``.
      air_id: ``air_id`` of the key.
      params: proof parameters.
      suite: ``"blake2s"`` or ``"poseidon252"``.
      log_sizes: log2 of the rows of every component, at most 40.
      statement: hash of the statement.
      digest: hash of the payload.
      felts: length of the payload over all chunks.
      chunk, chunks: number of this chunk, from 0, and of chunks.

    Raises ``ProofShapeError`` for a value that the header cannot hold.
    """

    encoding: str
    air_id: int
    params: ProofParams
    suite: str
    log_sizes: tuple[int, ...]
    statement: int
    digest: int
    felts: int
    chunk: int = 0
    chunks: int = 1

    def __post_init__(self) -> None:
        for what, value, known in (
            ("encoding", self.encoding, ENCODINGS),
            ("hash suite", self.suite, SUITES),
        ):
            if value not in known:
                raise ProofShapeError(what, f"one of {', '.join(known)}", wire.describe(value))
        wire.check_int(self.air_id, 1 << AIR_ID_BITS, "AIR id")
        if type(self.params) is not ProofParams:
            raise ProofShapeError("parameters", "ProofParams", wire.describe(self.params))
        sizes_word(self.log_sizes)
        check_felts((self.statement, self.digest), "statement hash and digest")
        wire.check_int(self.felts, MAX_PAYLOAD, "payload length")
        wire.check_int(self.chunks, MAX_CHUNKS + 1, "number of chunks")
        wire.check_int(self.chunk, self.chunks, "chunk index")

    @property
    def parameters(self) -> int:
        """Felt 2: the parameter word."""
        return params_word(self.params, self.suite)

    @property
    def sizes(self) -> int:
        """Felt 3: the log sizes."""
        return sizes_word(self.log_sizes)

    @property
    def last(self) -> bool:
        """Whether this is the last chunk."""
        return self.chunk == self.chunks - 1

    def encode(self) -> list[int]:
        """The eight felts."""
        return [
            MAGIC << 32 | VERSION << 16 | ENCODINGS.index(self.encoding),
            self.air_id,
            self.parameters,
            self.sizes,
            self.statement,
            self.digest,
            self.felts,
            self.chunk | self.chunks << 16,
        ]

    @staticmethod
    def decode(message: Sequence[int]) -> Header:
        """The header of a message; ``Refused`` unless ``encode`` gives these felts.

        Raises ``ProofShapeError`` for something else than felts.
        """
        if len(message) < HEADER_FELTS:
            raise Refused(BAD_HEADER, "felts", f"at least {HEADER_FELTS}", len(message))
        words = check_felts(list(message[:HEADER_FELTS]), "header")
        first, air, params, sizes, statement, digest, felts, chunk = words
        if first >> 32 != MAGIC:
            raise Refused(BAD_MAGIC, "magic", hex(MAGIC), hex(first >> 32))
        if first >> 16 & 0xFFFF != VERSION:
            raise Refused(BAD_VERSION, "version", VERSION, first >> 16 & 0xFFFF)
        try:
            encoding = ENCODINGS[wire.check_int(first & 0xFFFF, len(ENCODINGS), "encoding")]
            parameters, suite = read_params_word(params)
            log_sizes = read_sizes_word(sizes)
            head = Header(
                encoding, air, parameters, suite, log_sizes, statement, digest, felts, 0, 1
            )
        except ProofShapeError as error:
            raise Refused(BAD_HEADER, error.what, error.expected, error.got) from None
        index, count = chunk & 0xFFFF, chunk >> 16
        if not index < count <= MAX_CHUNKS:
            raise Refused(BAD_CHUNK, "chunk", f"index below count <= {MAX_CHUNKS}", (index, count))
        return replace(head, chunk=index, chunks=count)


def params_word(params: ProofParams, suite: str) -> int:
    """One felt: ``pow_bits``, then at bits 8, 16, 24, 32 and 64 ``log_blowup``, ``log_last_layer``,
    ``fold_step``, ``n_queries`` and the hash id (0 Blake2s, 1 Poseidon252).
    """
    return (
        params.pow_bits
        | params.log_blowup << 8
        | params.log_last_layer << 16
        | params.fold_step << 24
        | params.n_queries << 32
        | SUITES.index(suite) << 64
    )


def read_params_word(word: int) -> tuple[ProofParams, str]:
    """Parameters and suite; ``ProofShapeError`` for a word that ``params_word`` does not make."""
    suite = SUITES[wire.check_int(word >> 64, len(SUITES), "hash id")]
    pow_bits, log_blowup, log_last, fold = (word >> 8 * i & 0xFF for i in range(4))
    queries = word >> 32 & 0xFFFFFFFF
    return wire.parse_params(pow_bits, log_blowup, log_last, queries, fold), suite


def sizes_word(log_sizes: tuple[int, ...]) -> int:
    """``count | size << 8 + 5 i``; ``ProofShapeError`` for sizes that no proof has, or over 40."""
    if type(log_sizes) is not tuple or len(log_sizes) > MAX_COMPONENTS:
        expected = f"a tuple of at most {MAX_COMPONENTS} components"
        got = len(log_sizes) if type(log_sizes) is tuple else wire.describe(log_sizes)
        raise ProofShapeError("log sizes", expected, got)
    wire.check_log_sizes(log_sizes)
    word = len(log_sizes)
    for i, size in enumerate(log_sizes):
        word |= size << 8 + 5 * i
    return word


def read_sizes_word(word: int) -> tuple[int, ...]:
    """The log sizes; ``ProofShapeError`` for a word that ``sizes_word`` does not make."""
    count = wire.check_int(word & 0xFF, MAX_COMPONENTS + 1, "number of components")
    if word >> 8 + 5 * count:
        raise ProofShapeError("log sizes", f"{count} components", "more bits")
    log_sizes = tuple(word >> 8 + 5 * i & 31 for i in range(count))
    wire.check_log_sizes(log_sizes)
    return log_sizes


def air_id(name: str, profile: str, root: Any) -> int:
    """The number that names an AIR with its profile and its root of tree 0.

    The first 31 bytes, big-endian, of the Blake2s-256 hash of the AIR id, NUL, the profile, NUL
    and the 32 bytes of the root (a Poseidon root is little-endian). For a machine the root commits
    to its program. Names are printable ASCII, so that the parts cannot be read in two ways.
    """
    wire.check_air(name)
    codec = wire.digest_codec(wire.wire_profile(profile).suite.name)
    codec.check_all((root,), "root of tree 0")
    data = b"\0".join((name.encode("ascii"), profile.encode("ascii"), codec.to_bytes(root)))
    return int.from_bytes(hashlib.blake2s(data).digest()[: AIR_ID_BITS // 8], "big")


def statement_values(public: Mapping[str, Sequence[int]]) -> list[int]:
    """Public values in statement order, each vector behind its length."""
    out: list[int] = []
    for vector in public.values():
        out += [len(vector), *vector]
    return out


def statement_hash(air: int, parameters: int, sizes: int, values: Iterable[int]) -> int:
    """Felt 4 of the header from felts 1 to 3 and the statement values."""
    return poseidon_hash_many([air, parameters, sizes, *values])
