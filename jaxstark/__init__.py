"""Circle STARK proofs in stock JAX, accepted by StarkWare's stwo verifier.

``prove`` makes a proof of a ``Trace``, ``verify`` checks one against a ``VerifyingKey``. Verifying
needs NumPy alone; proving needs JAX.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jaxstark.air import (
    Air,
    Component,
    Relation,
    component,
    find_violation,
    first_row,
    last_row,
    row_index,
)
from jaxstark.errors import ProofShapeError, ProvingError, VerificationError
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.plan import plan
from jaxstark.proof import Proof
from jaxstark.trace import Trace
from jaxstark.verifier import verify

if TYPE_CHECKING:
    from jaxstark.compiled import Prover
    from jaxstark.shape import ProofShape

__version__ = "0.1.0"

__all__ = [
    "Air",
    "Component",
    "Proof",
    "ProofParams",
    "ProofShapeError",
    "ProvingError",
    "Relation",
    "Trace",
    "VerificationError",
    "VerifyingKey",
    "__version__",
    "compile",
    "component",
    "find_violation",
    "first_row",
    "last_row",
    "plan",
    "prove",
    "prove_batch",
    "row_index",
    "verify",
]


def prove(trace: Trace, **options: Any) -> Proof:
    """Prove a trace; see ``jaxstark.prover.prove``."""
    require_jax()
    from jaxstark import prover

    return prover.prove(trace, **options)


def prove_batch(traces: Iterable[Trace], **options: Any) -> list[Proof]:
    """Prove many traces of one shape; see ``jaxstark.batch.prove_batch``."""
    require_jax()
    from jaxstark import batch

    return batch.prove_batch(traces, **options)


def compile(  # noqa: A001 - the name says what it does
    shape: ProofShape, params: ProofParams | str = "stwo-96", **options: Any
) -> Prover:
    """Compile ahead of the first proof; see ``jaxstark.compiled.compile_prover``."""
    require_jax()
    from jaxstark import compiled

    return compiled.compile_prover(shape, params, **options)


def require_jax() -> None:
    """``ImportError`` with the command to run if JAX is not installed."""
    try:
        import jax  # noqa: F401
    except ImportError:
        raise ImportError(
            "proving needs JAX, which is not installed: run pip install 'jaxstark[cpu]' (or "
            "'jaxstark[cuda12]' on a machine with an NVIDIA GPU)"
        ) from None
