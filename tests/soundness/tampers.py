"""Targeted tampers of a proof in its JSON form, so that any verifier can be fed the same ones.

``TAMPERS`` is a list of ``(name, function)``. A function takes the JSON data of a proof and
returns a tampered copy, or None where the proof has nothing to tamper with in that way (no claimed
sums, say). Every tampered copy differs from the proof, and every one must be rejected. Functions
depend on nothing but the data, so that equal proofs give equal tampers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

P = (1 << 31) - 1

Tamper = Callable[[dict[str, Any]], "dict[str, Any] | None"]
Path = tuple[Any, ...]

STARK = "stark_proof"
FIRST = (STARK, "fri_proof", "first_layer")
INNER = (STARK, "fri_proof", "inner_layers")
LAST = (STARK, "fri_proof", "last_layer_poly")


class Absent(Exception):
    """The proof has nothing at this place."""


def get(data: Any, path: Path) -> Any:
    """The value at a path of keys and indices; ``Absent`` if there is none."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            raise Absent from None
    return data


def put(data: Any, path: Path, value: Any) -> None:
    """Replace the value at a path."""
    get(data, path[:-1])[path[-1]] = value


def at(path: Path, change: Callable[[Any, Any], Any]) -> Tamper:
    """The tamper that replaces the value at a path by ``change(value, proof)``."""

    def tamper(proof: dict[str, Any]) -> dict[str, Any] | None:
        changed = copy.deepcopy(proof)
        try:
            value = change(copy.deepcopy(get(proof, path)), proof)
        except (Absent, IndexError):
            return None
        put(changed, path, value)
        return changed if changed != proof else None

    return tamper


def _need(items: Any, count: int) -> Any:
    if len(items) < count:
        raise Absent
    return items


# Changes of a list, whatever it holds.
def _drop_first(v: Any, _: Any) -> Any:
    return _need(v, 1)[1:]


def _drop_last(v: Any, _: Any) -> Any:
    return _need(v, 1)[:-1]


def _duplicate_first(v: Any, _: Any) -> Any:
    return [_need(v, 1)[0], *v]


def _duplicate_last(v: Any, _: Any) -> Any:
    return [*v, _need(v, 1)[-1]]


def _swap(v: Any, _: Any) -> Any:
    for i in range(len(v) - 1):
        if v[i] != v[i + 1]:
            return [*v[:i], v[i + 1], v[i], *v[i + 2 :]]
    raise Absent


def _reverse(v: Any, _: Any) -> Any:
    return v[::-1]


def _copy_over(v: Any, _: Any) -> Any:
    return [_need(v, 2)[-1], *v[1:]]


def _empty(v: Any, _: Any) -> Any:
    return type(_need(v, 1))()


def _null(v: Any, _: Any) -> Any:
    return None


LIST = {
    "drop first": _drop_first,
    "drop last": _drop_last,
    "duplicate first": _duplicate_first,
    "duplicate last": _duplicate_last,
    "swap": _swap,
    "reverse": _reverse,
    "first from last": _copy_over,
    "empty": _empty,
    "null": _null,
}


# Changes of one QM31, ``[[a, b], [c, d]]``.
def _coordinate(i: int, change: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    def changed(v: Any, _: Any) -> Any:
        v[i // 2][i % 2] = change(v[i // 2][i % 2])
        return v

    return changed


FELT = {
    **{f"+1 in coordinate {i}": _coordinate(i, lambda w: (w + 1) % P) for i in range(4)},
    "zero": lambda v, _: [[0, 0], [0, 0]],
    "negated": lambda v, _: [[-w % P for w in half] for half in v],
    "halves swapped": lambda v, _: v[::-1],
    "coordinates swapped": lambda v, _: [half[::-1] for half in v],
    "non-canonical, + p": _coordinate(0, lambda w: w + P),
    "p for a coordinate": _coordinate(3, lambda w: P),
    "2^32 for a coordinate": _coordinate(1, lambda w: 1 << 32),
    "negative coordinate": _coordinate(2, lambda w: -1),
    "three coordinates": lambda v, _: [v[0], v[1][:1]],
    "null": _null,
}


# Changes of one digest, 32 bytes.
def _byte(i: int, change: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    def changed(v: Any, _: Any) -> Any:
        v[i] = change(v[i])
        return v

    return changed


DIGEST = {
    "first bit": _byte(0, lambda b: b ^ 1),
    "last bit": _byte(31, lambda b: b ^ 128),
    "zero": lambda v, _: [0] * 32,
    "root of tree 0": lambda v, proof: proof[STARK]["commitments"][0],
    "FRI root": lambda v, proof: get(proof, FIRST)["commitment"],
    "reversed": _reverse,
    "31 bytes": _drop_last,
    "33 bytes": _duplicate_last,
    "byte 256": _byte(5, lambda b: 256),
    "null": _null,
}

# Changes of one integer.
WORD = {
    "+1": lambda v, _: v + 1,
    "-1": lambda v, _: v - 1,
    "zero": lambda v, _: 0,
    "2^31": lambda v, _: 1 << 31,
    "2^64": lambda v, _: 1 << 64,
    "float": lambda v, _: float(v),
    "string": lambda v, _: str(v),
    "boolean": lambda v, _: True,
    "null": _null,
}

# Changes of one queried word of M31.
BASE = {
    "+1": lambda v, _: (v + 1) % P,
    "zero": lambda v, _: 0,
    "negated": lambda v, _: -v % P,
    "non-canonical, + p": lambda v, _: v + P,
    "p": lambda v, _: P,
    "negative": lambda v, _: -1,
    "null": _null,
}

TEXT = {
    "empty": lambda v, _: "",
    "other": lambda v, _: v + "x",
    "number": lambda v, _: 1,
    "null": _null,
}


def _with(extra: dict[str, Any], base: dict[str, Any] = LIST) -> dict[str, Any]:
    return {**base, **extra}


def _appended(item: Any) -> dict[str, Any]:
    return {"append zero": lambda v, _: [*v, copy.deepcopy(item)]}


ZERO_FELT = [[0, 0], [0, 0]]
FELTS = _with(_appended(ZERO_FELT))
HASHES = _with(_appended([0] * 32))

# Name, path, changes. Trees: 0 preprocessed, 1 trace, -2 interaction (or trace), -1 composition.
FIELDS: list[tuple[str, Path, dict[str, Any]]] = [
    ("format", ("format",), TEXT),
    ("profile", ("profile",), TEXT),
    ("AIR id", ("air",), TEXT),
    ("log sizes", ("log_sizes",), _with({"append 5": lambda v, _: [*v, 5]})),
    ("log size 0", ("log_sizes", 0), WORD),
    ("log size -1", ("log_sizes", -1), WORD),
    ("claimed sums", ("claimed_sums",), FELTS),
    ("claimed sum 0", ("claimed_sums", 0), FELT),
    ("claimed sum -1", ("claimed_sums", -1), FELT),
    ("pow_bits", (STARK, "config", "pow_bits"), WORD),
    *(
        (name, (STARK, "config", "fri_config", name), WORD)
        for name in (
            "log_blowup_factor",
            "log_last_layer_degree_bound",
            "n_queries",
            "fold_step",
        )
    ),
    ("lifting size", (STARK, "config", "lifting_log_size"), {"7": lambda v, _: 7}),
    ("commitments", (STARK, "commitments"), HASHES),
    *((f"root of tree {t}", (STARK, "commitments", t), DIGEST) for t in (0, 1, -2, -1)),
    ("sampled values", (STARK, "sampled_values"), _with(_appended([]))),
    *(
        (f"sampled values of tree {t}", (STARK, "sampled_values", t), _with(_appended([ZERO_FELT])))
        for t in (0, 1, -2, -1)
    ),
    *(
        (f"samples of tree {t}, column {c}", (STARK, "sampled_values", t, c), FELTS)
        for t, c in ((0, 0), (1, 0), (1, -1), (-2, 0), (-2, -1), (-1, 0), (-1, -1))
    ),
    *(
        (f"sample of tree {t}, column {c}, {i}", (STARK, "sampled_values", t, c, i), FELT)
        for t, c, i in ((0, 0, 0), (1, 0, 0), (1, -1, -1), (-2, -1, 0), (-2, -1, -1), (-1, 0, 0))
    ),
    ("decommitments", (STARK, "decommitments"), _with(_appended({"hash_witness": []}))),
    *(
        (f"witness of tree {t}", (STARK, "decommitments", t, "hash_witness"), HASHES)
        for t in (0, 1, -2, -1)
    ),
    *(
        (f"witness hash {i} of tree {t}", (STARK, "decommitments", t, "hash_witness", i), DIGEST)
        for t in (0, 1, -1)
        for i in (0, -1)
    ),
    ("queried values", (STARK, "queried_values"), _with(_appended([]))),
    *(
        (f"queried values of tree {t}", (STARK, "queried_values", t), _with(_appended([0])))
        for t in (0, 1, -2, -1)
    ),
    *(
        (f"queried column {c} of tree {t}", (STARK, "queried_values", t, c), _with(_appended(0)))
        for t, c in ((0, 0), (1, 0), (1, -1), (-2, -1), (-1, 0))
    ),
    *(
        (f"queried value {i} of tree {t}, column {c}", (STARK, "queried_values", t, c, i), BASE)
        for t, c, i in ((0, 0, 0), (0, -1, -1), (1, 0, 0), (1, -1, -1), (-2, -1, 0), (-1, -1, -1))
    ),
    ("proof of work", (STARK, "proof_of_work"), WORD),
    ("inner layers", INNER, LIST),
    *(
        (f"witness of {name}", (*path, "fri_witness"), FELTS)
        for name, path in (("first layer", FIRST), ("inner layer 0", (*INNER, 0)))
    ),
    *(
        (f"value {i} of the witness of {name}", (*path, "fri_witness", i), FELT)
        for name, path in (("first layer", FIRST), ("inner layer -1", (*INNER, -1)))
        for i in (0, -1)
    ),
    *(
        (f"hashes of {name}", (*path, "decommitment", "hash_witness"), HASHES)
        for name, path in (("first layer", FIRST), ("inner layer 0", (*INNER, 0)))
    ),
    *(
        (f"hash {i} of {name}", (*path, "decommitment", "hash_witness", i), DIGEST)
        for name, path in (("first layer", FIRST), ("inner layer 0", (*INNER, 0)))
        for i in (0, -1)
    ),
    *(
        (f"root of {name}", (*path, "commitment"), DIGEST)
        for name, path in (
            ("first layer", FIRST),
            ("inner layer 0", (*INNER, 0)),
            ("inner layer -1", (*INNER, -1)),
        )
    ),
    ("last layer", (*LAST, "coeffs"), FELTS),
    *((f"last-layer coefficient {i}", (*LAST, "coeffs", i), FELT) for i in (0, -1)),
    ("log size of the last layer", (*LAST, "log_size"), WORD),
]


def _both_claims(v: Any, _: Any) -> Any:
    """Two claims changed so that their total stays."""
    _need(v, 2)
    v[0][0][0] = (v[0][0][0] + 1) % P
    v[1][0][0] = (v[1][0][0] - 1) % P
    return v


def _extra_column(tree: int) -> Tamper:
    """One more column in a tree, in all places at once."""

    def tamper(proof: dict[str, Any]) -> dict[str, Any] | None:
        changed = copy.deepcopy(proof)
        stark = changed[STARK]
        if not stark["queried_values"][tree]:
            return None
        for key in ("sampled_values", "queried_values"):
            stark[key][tree].append(copy.deepcopy(stark[key][tree][-1]))
        return changed

    return tamper


def _exchange(first: Path, second: Path) -> Tamper:
    """Two parts of the proof in each other's place."""

    def tamper(proof: dict[str, Any]) -> dict[str, Any] | None:
        changed = copy.deepcopy(proof)
        try:
            a, b = get(proof, first), get(proof, second)
            put(changed, first, copy.deepcopy(b))
            put(changed, second, copy.deepcopy(a))
        except Absent:
            return None
        return changed if changed != proof else None

    return tamper


def _less_position(proof: dict[str, Any]) -> dict[str, Any] | None:
    """The last query position left out of every tree."""
    changed = copy.deepcopy(proof)
    for tree in changed[STARK]["queried_values"]:
        for column in tree:
            column.pop()
    return changed


def _longer_last_layer(proof: dict[str, Any]) -> dict[str, Any] | None:
    """A last layer of twice the length with zeros, and its log size to match."""
    changed = copy.deepcopy(proof)
    last = get(changed, LAST)
    last["coeffs"] += [copy.deepcopy(ZERO_FELT) for _ in last["coeffs"]]
    last["log_size"] += 1
    return changed


def _without(path: Path) -> Tamper:
    def tamper(proof: dict[str, Any]) -> dict[str, Any] | None:
        changed = copy.deepcopy(proof)
        try:
            del get(changed, path[:-1])[path[-1]]
        except (KeyError, Absent):
            return None
        return changed

    return tamper


def _surplus_key(path: Path) -> Tamper:
    def tamper(proof: dict[str, Any]) -> dict[str, Any] | None:
        changed = copy.deepcopy(proof)
        get(changed, path)["surplus"] = 0
        return changed

    return tamper


_SAMPLED, _QUERIED = (STARK, "sampled_values"), (STARK, "queried_values")
WHOLE: list[tuple[str, Tamper]] = [
    ("claimed sums: total unchanged", at(("claimed_sums",), _both_claims)),
    *((f"tree {t}: a column more", _extra_column(t)) for t in (0, 1, -1)),
    ("trees: a position less", _less_position),
    ("last layer: twice as long", _longer_last_layer),
    (
        "roots of tree 1 and composition exchanged",
        _exchange((STARK, "commitments", 1), (STARK, "commitments", -1)),
    ),
    (
        "samples of two columns exchanged",
        _exchange((*_SAMPLED, 1, 0), (*_SAMPLED, 1, 1)),
    ),
    (
        "halves of the composition exchanged",
        _exchange((*_SAMPLED, -1, 0), (*_SAMPLED, -1, 4)),
    ),
    ("queried columns exchanged", _exchange((*_QUERIED, 1, 0), (*_QUERIED, 1, 1))),
    ("queried trees exchanged", _exchange((*_QUERIED, 1), (*_QUERIED, -1))),
    ("FRI layers exchanged", _exchange(FIRST, (*INNER, 0))),
    (
        "FRI roots exchanged",
        _exchange((*FIRST, "commitment"), (*INNER, 0, "commitment")),
    ),
    (
        "last layer and FRI witness exchanged",
        _exchange((*LAST, "coeffs"), (*FIRST, "fri_witness")),
    ),
    *(
        (f"missing key {'.'.join(map(str, path))}", _without(path))
        for path in (
            ("format",),
            ("claimed_sums",),
            (STARK, "proof_of_work"),
            (STARK, "config", "lifting_log_size"),
            (*FIRST, "commitment"),
            (*LAST, "log_size"),
        )
    ),
    *(
        (f"surplus key in {'.'.join(map(str, path)) or 'the proof'}", _surplus_key(path))
        for path in ((), (STARK,), (STARK, "config"), FIRST, LAST)
    ),
]


def _all() -> Iterator[tuple[str, Tamper]]:
    for field, path, changes in FIELDS:
        for kind, change in changes.items():
            yield f"{field}: {kind}", at(path, change)
    yield from WHOLE


TAMPERS: list[tuple[str, Tamper]] = list(_all())
