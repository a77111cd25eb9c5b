"""Proof parameters: bounds, presets and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxstark.security import SecurityReport
    from jaxstark.shape import ProofShape

# Least conjectured query-phase bits that prove, verify and setup take without ``insecure=True``.
MINIMUM_BITS = 96
MAX_LOG_BLOWUP = 16
MAX_LOG_LAST_LAYER = 10
MAX_QUERIES = 4096
MAX_POW_BITS = 64
MAX_FOLD_STEP = 30


@dataclass(frozen=True)
class ProofParams:
    """Configuration of the polynomial commitment scheme; compared by value.

    Attributes:
      pow_bits: proof-of-work bits before the queries.
      log_blowup: B, log2 of the blow-up factor.
      n_queries: number of drawn query positions (duplicates count).
      fold_step: how many times each FRI layer is folded.
      log_last_layer: log2 of the number of last-layer coefficients.

    Raises ``ValueError`` for a value out of range. Source: protocol section 6.
    """

    pow_bits: int
    log_blowup: int
    n_queries: int
    fold_step: int = 1
    log_last_layer: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pow_bits", 0, MAX_POW_BITS),
            ("log_blowup", 1, MAX_LOG_BLOWUP),
            ("n_queries", 1, MAX_QUERIES),
            ("fold_step", 1, MAX_FOLD_STEP),
            ("log_last_layer", 0, MAX_LOG_LAST_LAYER),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name}: expected an int in {low}..{high}, got {value!r}")

    @staticmethod
    def preset(name: str, *, insecure: bool = False) -> ProofParams:
        """The parameters of ``PRESETS`` under that name.

        Raises ``ValueError`` for an unknown name, and for a preset below ``MINIMUM_BITS`` unless
        ``insecure``.
        """
        params = PRESETS.get(name) if isinstance(name, str) else None
        if params is None:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
        if not insecure and params.formula_bits < MINIMUM_BITS:
            raise ValueError(f"preset {name}: {_refusal(params, MINIMUM_BITS)}")
        return params

    @property
    def formula_bits(self) -> int:
        """``pow_bits + log_blowup * n_queries``, stwo's own figure, which the floor is set in.

        It rests on a conjecture up to capacity that is refuted as stated, and covers the query
        phase alone: use it to compare settings, and ``security(shape)`` to say what they give.
        """
        return self.pow_bits + self.log_blowup * self.n_queries

    def security(self, shape: ProofShape) -> SecurityReport:
        """All soundness terms for proofs of this shape; see ``jaxstark.security``."""
        from jaxstark.security import security

        return security(self, shape)

    def fri_steps(self, log_size: int) -> tuple[int, ...]:
        """Fold count of every FRI layer for a trace of ``2^log_size`` rows (protocol section 12).

        Raises ``ValueError`` if the trace is smaller than the first fold plus the last layer.
        """
        smallest = self.fold_step + self.log_last_layer
        if log_size < smallest:
            raise ValueError(
                f"trace of 2^{log_size} rows: expected at least 2^{smallest} "
                f"(fold step {self.fold_step} + last-layer bound {self.log_last_layer})"
            )
        steps, degree = [self.fold_step], log_size - self.fold_step
        while degree > self.log_last_layer:
            step = min(self.fold_step, degree - self.log_last_layer)
            steps.append(step)
            degree -= step
        return tuple(steps)


def fri_packing(log_layer: int, step: int) -> int:
    """log2 of the number of values in one leaf of an FRI layer (protocol section 12)."""
    return 2 if log_layer >= 2 and step > 1 else 0


# Bits of the query phase: up to capacity (stwo's formula) / at the Johnson radius. Conjectured
# but for johnson-96, whose figure still leaves out the commit phase (docs/soundness.md).
PRESETS: Mapping[str, ProofParams] = MappingProxyType(
    {
        "stwo-96": ProofParams(26, 1, 70, fold_step=4),  # 96 / 61
        "compact-96": ProofParams(26, 5, 14, fold_step=3),  # 96 / 61, a third of the bytes
        "johnson-96": ProofParams(27, 3, 46, fold_step=4),  # 165 / 96
        "stwo-96-lowpow": ProofParams(20, 1, 76, fold_step=4),  # 96 / 58, less grinding
        "test": ProofParams(10, 1, 3, fold_step=1),  # 13: upstream's default, no security
    }
)


def require_secure(
    params: ProofParams,
    shape: ProofShape | None = None,
    minimum_bits: int | None = None,
    insecure: bool = False,
) -> None:
    """Refuse parameters below a floor, in the one place that prover, verifier and setup share.

    The floor is one on stwo's formula (``formula_bits``), as in the Cairo verifier: a coarse guard
    against test settings, not a statement of security. Proof of work beyond what anyone can grind
    is not counted: at most 64 bits exist.

    Args:
      params: the parameters; ``ValueError`` for anything else.
      shape: if given, its trace must have room for the first fold (``fri_steps``).
      minimum_bits: the floor; None takes ``MINIMUM_BITS``.
      insecure: accept any parameters.
    """
    if not isinstance(params, ProofParams):
        raise ValueError(f"params: expected ProofParams, got {type(params).__name__}")
    if shape is not None:
        params.fri_steps(shape.log_size)
    floor = MINIMUM_BITS if minimum_bits is None else minimum_bits
    if type(floor) is not int or floor < 0:
        raise ValueError(f"minimum_bits: expected an int of at least 0, got {minimum_bits!r}")
    if not insecure and params.formula_bits < floor:
        raise ValueError(f"params: {_refusal(params, floor)}")


def _refusal(params: ProofParams, floor: int) -> str:
    return (
        f"expected pow_bits + log_blowup * n_queries of at least {floor} bits, got "
        f"{params.pow_bits} + {params.log_blowup} * {params.n_queries} = {params.formula_bits} "
        "(insecure=True accepts it, for tests)"
    )
