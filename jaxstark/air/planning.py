"""From an AIR and component sizes to the shape of its proofs, with every size checked.

Source: protocol sections 6, 10 and 15 (items 1, 3, 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jaxstark.air.definition import Air
from jaxstark.air.public_terms import public_entries
from jaxstark.circle import MAX_LOG_SIZE
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import DEGREE
from jaxstark.params import ProofParams
from jaxstark.shape import ProofShape


def proof_shape(
    air: Air, log_sizes: Sequence[int], public_values: Mapping[str, Sequence[int]] | None = None
) -> ProofShape:
    """The shape of a proof of ``air`` with these component sizes.

    ``public_values`` matters only for AIRs with public vectors of any length. Raises ``ValueError``
    for sizes that the profile cannot prove; see ``check_params`` for sizes against parameters.
    """
    sizes = tuple(log_sizes)
    if any(type(k) is not int for k in sizes):
        raise ValueError(f"log sizes: expected ints, got {list(log_sizes)!r}")
    lengths = tuple(
        length if length is not None else len((public_values or {}).get(name, ()))
        for name, length in air.public_values
    )
    return _shape(air, sizes, lengths)


@lru_cache(maxsize=256)
def _shape(air: Air, sizes: tuple[int, ...], lengths: tuple[int, ...]) -> ProofShape:
    title = f"AIR {air.name}"
    if len(sizes) != len(air.components):
        names = ", ".join(c.name for c in air.components)
        raise ValueError(
            f"{title}: expected {len(air.components)} log sizes ({names}), got {len(sizes)}"
        )
    for comp, k in zip(air.components, sizes, strict=True):
        if comp.log_size is not None and k != comp.log_size:
            raise ValueError(
                f"{title}, component {comp.name}: expected 2^{comp.log_size} rows, got 2^{k}"
            )
        if not 1 <= k < MAX_LOG_SIZE:
            raise ValueError(
                f"{title}, component {comp.name}: expected a log size in 1..{MAX_LOG_SIZE - 1}, "
                f"got {k}"
            )
    largest = max(sizes)
    fixed = _preprocessed_sizes(air, sizes)
    if fixed and max(fixed) != largest:
        raise ValueError(
            f"{title}: expected tree 0 empty or with a preprocessed column of the largest size "
            f"2^{largest}, got a largest preprocessed column of 2^{max(fixed)}"
        )
    infos = air.info.components
    trace, trace_masks, inter, inter_masks = [], [], [], []
    for info, k in zip(infos, sizes, strict=True):
        trace += [k] * len(info.offsets)
        trace_masks += info.offsets
        inter += [k] * (DEGREE * info.n_batches)
        inter_masks += [(0,)] * (DEGREE * max(info.n_batches - 1, 0))
        inter_masks += [(-1, 0)] * (DEGREE if info.n_batches else 0)
    if largest not in trace:
        raise ValueError(
            f"{title}: expected a trace column in the largest component (2^{largest} rows), "
            "got none"
        )
    if inter and largest not in inter:
        raise ValueError(
            f"{title}: expected a lookup in the largest component (2^{largest} rows) because other "
            "components have lookups, got none"
        )
    public = {name: (0,) * n for (name, _), n in zip(air.public_values, lengths, strict=True)}
    n_lookups = sum(info.n_entries << k for info, k in zip(infos, sizes, strict=True))
    terms, blocks = public_entries(air, public)
    n_lookups += len(terms) + sum(len(block.columns[0]) for block in blocks)
    if n_lookups >= P:
        raise ValueError(f"{title}: expected fewer than {P} lookups in all, got {n_lookups}")
    columns = [fixed, tuple(trace)]
    offsets = [((0,),) * len(fixed), tuple(trace_masks)]
    if inter:
        columns.append(tuple(inter))
        offsets.append(tuple(inter_masks))
    return ProofShape(
        sizes,
        tuple(columns),
        tuple(offsets),
        air.info.n_constraints,
        n_lookups,
        max((r.arity for r in air.relations), default=0),
        air,
    )


def _preprocessed_sizes(air: Air, sizes: tuple[int, ...]) -> tuple[int, ...]:
    found: dict[str, tuple[int, str]] = {}
    for comp, k in zip(air.components, sizes, strict=True):
        for name in comp.preprocessed_names:
            other, owner = found.setdefault(name, (k, comp.name))
            if other != k:
                raise ValueError(
                    f"AIR {air.name}: expected preprocessed column {name} to have the size of every"
                    f" component that reads it, got 2^{other} rows in {owner} and 2^{k} in "
                    f"{comp.name}"
                )
    return tuple(k for k, _ in found.values())


def check_params(air: Air, shape: ProofShape, params: ProofParams) -> None:
    """``ValueError`` unless these parameters can prove this shape."""
    if not isinstance(params, ProofParams):
        raise ValueError(f"params: expected ProofParams, got {type(params).__name__}")
    smallest = params.fold_step + params.log_last_layer
    for comp, k in zip(air.components, shape.log_sizes, strict=True):
        if k < smallest:
            raise ValueError(
                f"AIR {air.name}, component {comp.name}: expected at least 2^{smallest} rows "
                f"(fold step {params.fold_step} + last-layer bound {params.log_last_layer}), "
                f"got 2^{k}"
            )
    if shape.log_size + params.log_blowup > MAX_LOG_SIZE:
        raise ValueError(
            f"AIR {air.name}: expected log size + log blow-up at most {MAX_LOG_SIZE}, got "
            f"{shape.log_size} + {params.log_blowup}"
        )


def check_public_values(air: Air, values: Any) -> dict[str, tuple[int, ...]]:
    """Public values as canonical ints in statement order; ``ValueError`` if they do not fit.

    A vector may be given as a sequence or array of ints, one of length 1 also as an int.
    """
    given = dict(values or {})
    names = [name for name, _ in air.public_values]
    if set(given) != set(names):
        raise ValueError(
            f"public values of {air.name}: expected {names or 'none'}, got {sorted(given)}"
        )
    out = {}
    for name, length in air.public_values:
        vector = given[name]
        items = [vector] if isinstance(vector, int) or not hasattr(vector, "__len__") else vector
        try:
            words = tuple(int(v) for v in items)
            exact = all(w == v for w, v in zip(words, items, strict=True))
        except (TypeError, ValueError, OverflowError):
            words, exact = (), False
        if not exact or any(not 0 <= w < P for w in words):
            raise ValueError(
                f"public value {name}: expected integers in 0..{P - 1}, got {_short(vector)}"
            )
        if length is not None and len(words) != length:
            raise ValueError(f"public value {name}: expected {length} words, got {len(words)}")
        out[name] = words
    return out


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
