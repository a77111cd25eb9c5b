"""Memory of the device: refuse what cannot fit before it runs, explain what ran out.

Source: the plan of ``jaxstark.plan``, and the statistics that JAX keeps of a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import jax

from jaxstark import transfer
from jaxstark.plan import Plan, plan
from jaxstark.resident.program import Program

_EXHAUSTED = "RESOURCE_EXHAUSTED"  # the status code in the message of the runtime


@lru_cache(maxsize=64)
def check(program: Program, batch: int = 1) -> None:
    """Compare the plan of ``batch`` proofs with the free memory, once they would fit.

    The arguments of the program are on the device already. Raises ``ValueError`` with the figures
    and what would fit. Devices that keep no statistics, such as CPUs, are not checked. What passed
    is not checked again, so that a warm proof does not pay for it.
    """
    free = _free_bytes()
    if free is not None:
        _plan(program, batch).require(free, loaded=True)


@contextmanager
def explained(program: Program, batch: int = 1) -> Iterator[None]:
    """Turn the runtime's error where memory runs out into ``MemoryError``, with the figures."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if _EXHAUSTED not in str(error):
            raise
        planned, free = _plan(program, batch), _free_bytes()
        left = "" if free is None else f", of which {free / 1e9:.3g} GB are free now"
        raise MemoryError(
            f"memory of the device ran out, no proof was made: {planned.title} need "
            f"{planned.peak_bytes / 1e9:.3g} GB in all{left}; {planned.advice(free or 0)}"
        ) from error


def _plan(program: Program, batch: int) -> Plan:
    return plan(
        *(program.shape, program.params), batch=batch, keep_evaluations=program.keep_evaluations
    )


def _free_bytes() -> int | None:
    """Bytes of the default device that JAX may still take; None if it does not tell."""
    statistics = transfer.default_device().memory_stats() or {}
    if "bytes_limit" not in statistics:
        return None
    return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
