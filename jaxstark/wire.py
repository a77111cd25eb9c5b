"""What the wire forms of proofs and keys share: profiles, digest codecs, range checks.

Every check raises ``ProofShapeError(what, expected, got)``; the text of ``got`` is bounded, so
that a hostile input cannot blow up an error message. Source: protocol sections 1, 3 and 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstark.circle import MAX_LOG_SIZE
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.poseidon252 import F252
from jaxstark.params import ProofParams
from jaxstark.profile import PROFILES, Profile

MAX_AIR_ID = 255
HASH_BYTES = 32


def wire_profile(name: Any) -> Profile:
    """The profile of that name; ``ProofShapeError`` if there is none."""
    if type(name) is not str or name not in PROFILES:
        raise ProofShapeError("profile", f"one of {sorted(PROFILES)}", describe(name))
    return PROFILES[name]


@dataclass(frozen=True)
class DigestCodec:
    """The digests of one hash suite in every wire form; all decoders accept one spelling only.

    Attributes:
      suite: suite name.
      felts: felts per digest in the Cairo layout.
      valid: whether a value is a digest.
      to_json, from_json: JSON value; ``from_json`` returns None for anything else.
      to_bytes, from_bytes: 32 bytes; ``from_bytes`` returns None if not canonical.
      to_felts, from_felts: ``felts`` ints; ``from_felts`` returns None if not canonical.
    """

    suite: str
    felts: int
    valid: Callable[[Any], bool]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    to_bytes: Callable[[Any], bytes]
    from_bytes: Callable[[bytes], Any]
    to_felts: Callable[[Any], Sequence[int]]
    from_felts: Callable[[Sequence[Any]], Any]

    def check_all(self, digests: Iterable[Any], what: str) -> None:
        """``ProofShapeError`` unless every value is a digest."""
        for digest in digests:
            if not self.valid(digest):
                raise ProofShapeError(what, f"a {self.suite} digest", describe(digest))

    def parsed(self, digest: Any, what: str) -> Any:
        """A decoder's result; ``ProofShapeError`` where it is None."""
        if digest is None:
            raise ProofShapeError(what, f"a {self.suite} digest", "something else")
        return digest


def _is_word(value: Any, bound: int) -> bool:
    return type(value) is int and 0 <= value < bound


def _bytes_from_json(value: Any) -> bytes | None:
    if type(value) is not list or len(value) != HASH_BYTES:
        return None
    return bytes(value) if all(_is_word(v, 256) for v in value) else None


def _bytes_from_felts(felts: Sequence[Any]) -> bytes | None:
    if not all(_is_word(v, 1 << 32) for v in felts):
        return None
    return np.array(felts, "<u4").tobytes()


def _felt_from_json(value: Any) -> int | None:
    if type(value) is not str or len(value) > 66 or not value.startswith("0x"):
        return None
    digits = value[2:]
    if not digits or any(c not in "0123456789abcdef" for c in digits):
        return None
    felt = int(digits, 16)
    return felt if felt < F252 and hex(felt) == value else None


def _felt_from_bytes(data: bytes) -> int | None:
    felt = int.from_bytes(data, "little")
    return felt if felt < F252 else None


def _felt_from_felts(felts: Sequence[Any]) -> int | None:
    return felts[0] if _is_word(felts[0], F252) else None


_CODECS = {
    "blake2s": DigestCodec(
        suite="blake2s",
        felts=8,
        valid=lambda digest: type(digest) is bytes and len(digest) == HASH_BYTES,
        to_json=list,
        from_json=_bytes_from_json,
        to_bytes=lambda digest: digest,
        from_bytes=lambda data: data,
        to_felts=lambda digest: np.frombuffer(digest, "<u4").tolist(),
        from_felts=_bytes_from_felts,
    ),
    "poseidon252": DigestCodec(
        suite="poseidon252",
        felts=1,
        valid=lambda digest: _is_word(digest, F252),
        to_json=hex,
        from_json=_felt_from_json,
        to_bytes=lambda digest: digest.to_bytes(HASH_BYTES, "little"),
        from_bytes=_felt_from_bytes,
        to_felts=lambda digest: (digest,),
        from_felts=_felt_from_felts,
    ),
}


def digest_codec(suite: str) -> DigestCodec:
    """The codec of a suite; ``ValueError`` for an unknown name."""
    if suite not in _CODECS:
        raise ValueError(f"hash suite: expected one of {sorted(_CODECS)}, got {suite!r}")
    return _CODECS[suite]


def describe(value: Any) -> str:
    """A short text for ``got``: small ints and short strings as they are, else the type."""
    small = type(value) is int and abs(value) < 1 << 256
    if small or type(value) is str and len(value) <= 40:
        return ascii(value)
    if type(value) is np.ndarray:
        return f"{value.dtype} array {list(value.shape)}"
    return f"a {type(value).__name__}"


def check_int(value: Any, bound: int, what: str) -> int:
    """The value if it is an int in ``0..bound-1`` (a bool is not an int)."""
    if not _is_word(value, bound):
        raise ProofShapeError(what, f"an int in 0..{bound - 1}", describe(value))
    return value


def check_qm31s(values: Sequence[Any], what: str) -> None:
    """Every value is a ``QM31`` of four canonical Python ints (T25)."""
    for value in values:
        if type(value) is not QM31:
            raise ProofShapeError(what, "QM31 values", describe(value))
        for word in value:
            if type(word) is not int or not 0 <= word < P:
                raise ProofShapeError(what, "words below 2^31 - 1", describe(word))


def check_air(air: Any) -> None:
    """An AIR id is 1 to 255 printable ASCII characters: the same bytes in every form."""
    ok = type(air) is str and 1 <= len(air) <= MAX_AIR_ID
    if not ok or not all(" " <= c <= "~" for c in air):
        expected = f"1 to {MAX_AIR_ID} printable ASCII characters"
        raise ProofShapeError("AIR id", expected, describe(air))


def check_log_sizes(log_sizes: Sequence[Any]) -> None:
    """At least one component, each with a log size that a circle domain can have."""
    if not log_sizes:
        raise ProofShapeError("log sizes", "at least 1", 0)
    for k in log_sizes:
        if not _is_word(k, MAX_LOG_SIZE + 1) or k < 1:
            raise ProofShapeError("log sizes", f"ints in 1..{MAX_LOG_SIZE}", describe(k))


def parse_params(
    pow_bits: Any, log_blowup: Any, log_last_layer: Any, n_queries: Any, fold_step: Any
) -> ProofParams:
    """The configuration in wire order; ``ProofShapeError`` for a value out of range."""
    for value in (pow_bits, log_blowup, log_last_layer, n_queries, fold_step):
        check_int(value, 1 << 32, "config")
    try:
        return ProofParams(pow_bits, log_blowup, n_queries, fold_step, log_last_layer)
    except ValueError as error:
        raise ProofShapeError("config", "values in range", str(error)) from None


def params_words(params: ProofParams) -> tuple[int, int, int, int, int]:
    """The configuration in wire order (protocol section 14)."""
    return (
        params.pow_bits,
        params.log_blowup,
        params.log_last_layer,
        params.n_queries,
        params.fold_step,
    )


def parse_qm31s(words: Sequence[Any], what: str) -> tuple[QM31, ...]:
    """QM31 values from ``4 n`` canonical words."""
    values = tuple(QM31(*words[i : i + 4]) for i in range(0, len(words), 4))
    check_qm31s(values, what)
    return values


def check_log_last(log_size: int, count: int) -> None:
    """The stated log size of the last layer is that of its number of coefficients."""
    if log_size > 63 or count != 1 << log_size:
        raise ProofShapeError("log size of the last layer", f"log2 of {count}", log_size)
