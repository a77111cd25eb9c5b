"""Proof parameters: bounds, presets and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

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

    Raises ``ValueError`` for a value out of range. Source: protocol section 7.1.
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

    def fri_steps(self, log_size: int) -> tuple[int, ...]:
        """Fold count of every FRI layer for a trace of ``2^log_size`` rows (protocol section 8).

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
    """log2 of the number of values in one leaf of an FRI layer (protocol section 8)."""
    return 2 if log_layer >= 2 and step > 1 else 0
