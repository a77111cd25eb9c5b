"""JSON form of a proof; ``stark_proof`` is exactly the serde form of upstream's ``StarkProof``.

    {"format": "jaxstark-proof/1", "profile": .., "air": .., "log_sizes": [..],
     "claimed_sums": [[[a, b], [c, d]], ..], "stark_proof": {..}}

Key order on output is the one of upstream; on input any order is accepted, and every other
liberty of JSON is refused: unknown, missing or repeated keys, floats, negative numbers, NaN.
Source: protocol section 14.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np

from jaxstark import wire
from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.profile import Profile
from jaxstark.proof import FriLayer, Proof, StarkProof, check_proof

FORMAT = "jaxstark-proof/1"
_FRI_CONFIG = ("log_blowup_factor", "log_last_layer_degree_bound", "n_queries", "fold_step")
_LAYER = ("fri_witness", "decommitment", "commitment")


def dumps(proof: Proof) -> str:
    """Canonical text, without spaces. ``ProofShapeError`` for a malformed proof."""
    check_proof(proof)
    profile = wire.wire_profile(proof.profile)
    return encode_json(
        {
            "format": FORMAT,
            "profile": proof.profile,
            "air": proof.air,
            "log_sizes": list(proof.log_sizes),
            "claimed_sums": _qm31s(proof.claimed_sums),
            "stark_proof": stark_to_json(proof.stark, profile),
        }
    )


def loads(text: str) -> Proof:
    """The proof in a text; ``ProofShapeError`` for anything malformed."""
    fields = ("format", "profile", "air", "log_sizes", "claimed_sums", "stark_proof")
    obj = members(parse_json(text), fields, "proof")
    if obj["format"] != FORMAT:
        raise ProofShapeError("format", repr(FORMAT), wire.describe(obj["format"]))
    profile = wire.wire_profile(obj["profile"])
    proof = Proof(
        profile=obj["profile"],
        air=obj["air"],
        log_sizes=tuple(_array(obj["log_sizes"], "log sizes")),
        claimed_sums=_parse_qm31s(obj["claimed_sums"], "claimed sums"),
        stark=stark_from_json(obj["stark_proof"], profile),
    )
    check_proof(proof)
    return proof


def stark_to_json(stark: StarkProof, profile: Profile) -> dict[str, Any]:
    """Upstream's serde form as Python data; the proof must be well formed."""
    codec = wire.digest_codec(profile.suite.name)
    pow_bits, *fri_config = wire.params_words(stark.params)

    def hashes(digests: tuple[Any, ...]) -> dict[str, Any]:
        return {"hash_witness": [codec.to_json(d) for d in digests]}

    def layer(item: FriLayer) -> dict[str, Any]:
        return {
            "fri_witness": _qm31s(item.fri_witness),
            "decommitment": hashes(item.hash_witness),
            "commitment": codec.to_json(item.commitment),
        }

    return {
        "config": {
            "pow_bits": pow_bits,
            "fri_config": dict(zip(_FRI_CONFIG, fri_config, strict=True)),
            profile.json_lifting_key: profile.json_lifting_value,
        },
        "commitments": [codec.to_json(d) for d in stark.commitments],
        "sampled_values": [[_qm31s(c) for c in tree] for tree in stark.sampled_values],
        "decommitments": [hashes(tree) for tree in stark.decommitments],
        "queried_values": [tree.tolist() for tree in stark.queried_values],
        "proof_of_work": stark.proof_of_work,
        "fri_proof": {
            "first_layer": layer(stark.fri_layers[0]),
            "inner_layers": [layer(item) for item in stark.fri_layers[1:]],
            "last_layer_poly": {
                "coeffs": _qm31s(stark.last_layer),
                "log_size": len(stark.last_layer).bit_length() - 1,
            },
        },
    }


def stark_from_json(data: Any, profile: Profile) -> StarkProof:
    """The STARK proof in parsed JSON data; ``ProofShapeError`` for anything malformed."""
    codec = wire.digest_codec(profile.suite.name)
    fields = (
        *("config", "commitments", "sampled_values", "decommitments"),
        *("queried_values", "proof_of_work", "fri_proof"),
    )
    obj = members(data, fields, "stark proof")
    fri_fields = ("first_layer", "inner_layers", "last_layer_poly")
    fri = members(obj["fri_proof"], fri_fields, "fri_proof")
    last = members(fri["last_layer_poly"], ("coeffs", "log_size"), "last_layer_poly")
    last_layer = _parse_qm31s(last["coeffs"], "last layer")
    log_size = wire.check_int(last["log_size"], 1 << 32, "log size of the last layer")
    wire.check_log_last(log_size, len(last_layer))

    def digest(value: Any, what: str) -> Any:
        return codec.parsed(codec.from_json(value), what)

    def hashes(value: Any, what: str) -> tuple[Any, ...]:
        witness = members(value, ("hash_witness",), what)["hash_witness"]
        return tuple(digest(v, what) for v in _array(witness, what))

    def layer(value: Any) -> FriLayer:
        item = members(value, _LAYER, "FRI layer")
        return FriLayer(
            _parse_qm31s(item["fri_witness"], "FRI witness"),
            hashes(item["decommitment"], "FRI decommitment"),
            digest(item["commitment"], "FRI commitment"),
        )

    return StarkProof(
        params=_parse_config(obj["config"], profile),
        commitments=tuple(digest(v, "root") for v in _array(obj["commitments"], "commitments")),
        sampled_values=tuple(
            tuple(_parse_qm31s(c, "samples") for c in _array(tree, "sampled values of a tree"))
            for tree in _array(obj["sampled_values"], "sampled values")
        ),
        decommitments=tuple(
            hashes(tree, "decommitment") for tree in _array(obj["decommitments"], "decommitments")
        ),
        queried_values=tuple(
            _parse_table(tree) for tree in _array(obj["queried_values"], "queried values")
        ),
        proof_of_work=obj["proof_of_work"],
        fri_layers=(
            layer(fri["first_layer"]),
            *(layer(item) for item in _array(fri["inner_layers"], "inner layers")),
        ),
        last_layer=last_layer,
    )


def encode_json(data: Any) -> str:
    """The one spelling that this package writes: ASCII, no spaces."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse_json(text: Any) -> Any:
    """JSON data without floats, negative numbers and repeated keys, else ``ProofShapeError``."""
    if type(text) is not str:
        raise ProofShapeError("JSON", "text", wire.describe(text))
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_parse_int,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except RecursionError:
        raise ProofShapeError("JSON", "shallow nesting", "deep nesting") from None
    except ValueError as error:
        raise ProofShapeError("JSON", "valid JSON", ascii(str(error)[:80])) from None


def members(value: Any, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    """The object, if it has exactly these keys."""
    if type(value) is not dict:
        raise ProofShapeError(what, "an object", wire.describe(value))
    if value.keys() != set(keys):
        wrong = sorted(value.keys() ^ set(keys), key=len)[:3]
        got = ", ".join(("unknown " if k in value else "missing ") + ascii(k)[:40] for k in wrong)
        raise ProofShapeError(f"keys of {what}", list(keys), got)
    return value


def _array(value: Any, what: str) -> list[Any]:
    if type(value) is not list:
        raise ProofShapeError(what, "an array", wire.describe(value))
    return value


def _qm31s(values: tuple[QM31, ...]) -> list[list[list[int]]]:
    return [[[x.a, x.b], [x.c, x.d]] for x in values]


def _parse_qm31s(data: Any, what: str) -> tuple[QM31, ...]:
    values = []
    for item in _array(data, what):
        pair = type(item) is list and len(item) == 2
        if not pair or any(type(half) is not list or len(half) != 2 for half in item):
            raise ProofShapeError(what, "QM31 as [[a,b],[c,d]]", wire.describe(item))
        values.append(QM31(*item[0], *item[1]))
    wire.check_qm31s(values, what)
    return tuple(values)


def _parse_config(data: Any, profile: Profile) -> ProofParams:
    key, only = profile.json_lifting_key, profile.json_lifting_value
    config = members(data, ("pow_bits", "fri_config", key), "config")
    if type(config[key]) is not type(only) or config[key] != only:
        raise ProofShapeError(key, "null" if only is None else only, wire.describe(config[key]))
    fri = members(config["fri_config"], _FRI_CONFIG, "fri_config")
    return wire.parse_params(config["pow_bits"], *(fri[name] for name in _FRI_CONFIG))


def _parse_table(data: Any) -> np.ndarray:
    """uint32 ``[columns, positions]`` from a list of columns of one length."""
    columns = [_array(c, "queried values of a column") for c in _array(data, "queried values")]
    if len({len(c) for c in columns}) > 1:
        raise ProofShapeError("queried values of a tree", "columns of one length", "several")
    for column in columns:
        for word in column:
            wire.check_int(word, P, "queried value")
    width = len(columns[0]) if columns else 0
    return np.array(columns, dtype=np.uint32).reshape(len(columns), width)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ProofShapeError("JSON object", "every key once", "a repeated key")
    return out


def _parse_int(text: str) -> int:
    # Longer texts exceed every range of the format, and Python's conversion is quadratic.
    if text.startswith("-") or len(text) > 20:
        _refuse_number(text)
    return int(text)


def _refuse_number(text: str) -> NoReturn:
    raise ProofShapeError("JSON number", "an integer in 0..2^64-1", ascii(text[:24]))
