"""From the messages of a proof to the proof: checks of the prover's own work, and the wire form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from jaxstark import circle, merkle
from jaxstark.air.definition import Air, Relation
from jaxstark.air.evaluate import RelationElements, relation_elements
from jaxstark.air.public_terms import PublicTerms, total_with
from jaxstark.fields import qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.proof import FriLayer, StarkProof
from jaxstark.resident.protocol import Messages
from jaxstark.shape import ProofShape, size_groups


def fault_of(air: Air, params: ProofParams, terms: PublicTerms, m: Messages) -> str | None:
    """What is wrong with a proof that was made from these messages; None if nothing is.

    ``terms``: of ``public_entries``.
    """
    if air.has_lookups:
        elements = _Elements(air.relations, m.drawn)
        if total_with(terms, elements, felts(m.claims.T)) != qm31.ZERO:
            return "the lookups do not balance"
    if m.defect.any():
        return "the constraints do not hold"
    if m.last[1 << params.log_last_layer :].any():
        return (
            f"the committed function is not low degree: its last FRI layer has more than "
            f"2^{params.log_last_layer} coefficients"
        )
    return None


class _Elements(dict[Relation, RelationElements]):
    """Made when they are asked for: public terms name few of the relations."""

    def __init__(self, relations: Sequence[Relation], drawn: Sequence[np.ndarray]) -> None:
        super().__init__()
        self._relations, self._drawn = relations, drawn

    def __missing__(self, relation: Relation) -> RelationElements:
        z, alpha = felts(self._drawn[self._relations.index(relation)].T)
        self[relation] = made = relation_elements(z, alpha, relation.arity)
        return made


def stark_proof(
    shape: ProofShape, params: ProofParams, root_of_fixed: bytes, m: Messages
) -> StarkProof:
    """The proof: distinct positions in ascending order, and the least hashes that open them."""
    positions, first = np.unique(m.positions, return_index=True)
    log_domain = shape.log_size + params.log_blowup
    tables, decommitments = [], []
    where = merkle.missing_siblings(positions, log_domain)
    for columns, opened in zip(shape.all_columns, m.rows, strict=True):
        table = np.zeros((len(columns), len(positions) if columns else 0), np.uint32)
        hashes: tuple[bytes, ...] = ()
        if opened is not None:
            groups, siblings = opened
            order = [column for _, members in size_groups(columns) for column in members]
            table[order] = np.concatenate(groups)[:, first]
            hashes = _hashes(siblings[..., first], *where)
        tables.append(table)
        decommitments.append(hashes)
    return StarkProof(
        params=params,
        commitments=(root_of_fixed, *_bytes(m.roots)),
        sampled_values=nested(shape, m.samples),
        decommitments=tuple(decommitments),
        queried_values=tuple(tables),
        proof_of_work=int(m.nonce[0]) | int(m.nonce[1]) << 32,
        fri_layers=_layers(positions, first, log_domain, params.fri_steps(shape.log_size), m),
        last_layer=felts(m.last[circle.bit_reversal(params.log_last_layer)].T),
    )


def _layers(
    positions: np.ndarray, first: np.ndarray, log_layer: int, steps: Any, m: Messages
) -> tuple[FriLayer, ...]:
    out = []
    roots = _bytes(m.layers)
    for step, root, (values, siblings) in zip(steps, roots, m.cosets, strict=True):
        cosets, some, owner = np.unique(positions >> step, return_index=True, return_inverse=True)
        known = np.zeros((len(cosets), 1 << step), bool)
        known[owner, positions & ((1 << step) - 1)] = True
        first = first[some]
        # All leaves of a coset are known: paths start at the root of its subtree.
        where = merkle.missing_siblings(cosets, log_layer - step)
        witness = felts(values[:, first][:, ~known])
        out.append(FriLayer(witness, _hashes(siblings[..., first], *where), root))
        positions, log_layer = cosets, log_layer - step
    return tuple(out)


def nested(shape: ProofShape, samples: np.ndarray) -> tuple[Any, ...]:
    """Samples ``[n, 4]`` in wire order as ``[tree][column][sample]``."""
    flat = iter(felts(samples.T))
    return tuple(
        tuple(tuple(next(flat) for _ in mask) for mask in tree) for tree in shape.all_offsets
    )


def felts(words: np.ndarray) -> tuple[QM31, ...]:
    """Columns of uint32 ``[4, n]`` as host scalars."""
    return tuple(map(tuple.__new__, repeat(QM31), zip(*words.tolist(), strict=True)))


def _hashes(siblings: np.ndarray, levels: np.ndarray, columns: np.ndarray) -> tuple[bytes, ...]:
    return _bytes(siblings[levels, :, columns])


def _bytes(digests: np.ndarray) -> tuple[bytes, ...]:
    """Digests ``[n, 8]`` as bytes."""
    data = np.ascontiguousarray(digests, "<u4").tobytes()
    return tuple(data[i : i + 32] for i in range(0, len(data), 32))
