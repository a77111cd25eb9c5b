"""A prover that does not check itself: it proves whatever it is told, true or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jaxstark
from jaxstark import prover
from jaxstark.air.definition import Air
from jaxstark.errors import VerificationError
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.proof import Proof
from jaxstark.trace import Trace

# No proof of work: a prover that skips its checks skips the search for a nonce, too. Twenty
# queries, so that a forgery that one query would miss is caught.
PARAMS = ProofParams(pow_bits=0, log_blowup=1, n_queries=20, fold_step=2, log_last_layer=1)


def forge(trace: Trace, key: VerifyingKey, log_sizes: Sequence[int] | None = None) -> Proof:
    """A proof for ``key`` without any check; ``log_sizes``: the sizes that the prover works with,
    if they are not those of the key.
    """
    shape = trace.air.shape(log_sizes or key.log_sizes, trace.public_values)
    proof = prover.run(trace, shape, key, prover.Clock(None), check=False)
    sampled = tuple(tuple(map(tuple, tree)) for tree in proof.stark.sampled_values)
    return replace(proof, stark=replace(proof.stark, sampled_values=sampled))


def rejected(proof: Proof, key: VerifyingKey, public: Any = None) -> str:
    """Section of the rejection by an insecure verifier; fails if it accepts."""
    with pytest.raises(VerificationError) as error:
        jaxstark.verify(proof, key, public, insecure=True)
    return error.value.section


def changed(columns: Any, component: str, column: str, change: Callable[[Any], Any]) -> Any:
    """A copy of trace columns with one column replaced by ``change`` of a copy of it."""
    tables = {name: dict(table) for name, table in columns.items()}
    result = change(np.array(tables[component][column]))
    tables[component][column] = np.asarray(result, np.uint32)
    return tables


def bumped(rows: Any, by: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """The change that adds ``by`` to some rows."""

    def change(column: np.ndarray) -> np.ndarray:
        wide = column.astype(np.uint64)
        wide[rows] += np.uint64(by % ((1 << 31) - 1))
        return (wide % np.uint64((1 << 31) - 1)).astype(np.uint32)

    return change


def key_of(air: Air, log_sizes: Sequence[int], params: ProofParams = PARAMS) -> VerifyingKey:
    """The key of a shape at the parameters of this module."""
    return air.setup(tuple(log_sizes), params)
