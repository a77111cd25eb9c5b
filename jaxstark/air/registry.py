"""The shipped AIRs by id, for the command line and the experiments.

A new AIR is one file beside this one and one row in ``SHIPPED``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxstark.air import legacy26 as legacy
from jaxstark.air import plonk, range_sum, state_machine, wide_fibonacci
from jaxstark.air.definition import Air


@dataclass(frozen=True)
class Shipped:
    """How to make an AIR and an example of it.

    Attributes:
      resolve: the AIR from the numbers after its name in an id such as ``wide_fibonacci/26``.
      example: ``example(log_size, seed)`` gives (AIR, log sizes, columns, public values).
      summary: one line.
    """

    resolve: Callable[..., Air]
    example: Callable[[int, int], tuple[Air, tuple[int, ...], Any, dict[str, Any]]]
    summary: str


def _fibonacci(log_size: int, seed: int) -> Any:
    columns = wide_fibonacci.wide_fibonacci_columns(26, log_size, seed)
    return wide_fibonacci.wide_fibonacci(26), (log_size,), columns, {}


def _plonk(log_size: int, seed: int) -> Any:
    columns, public = plonk.fibonacci_trace(log_size, seed + 1, seed + 2)
    return plonk.fibonacci_plonk(log_size), (log_size,), columns, public


def _state_machine(log_size: int, seed: int) -> Any:
    sizes = (log_size, log_size - 1)
    columns, public = state_machine.state_machine_trace(sizes, (seed, seed + 1))
    return state_machine.state_machine(), sizes, columns, public


def _legacy26(log_size: int, seed: int) -> Any:
    return legacy.legacy26(), (log_size,), legacy.legacy26_columns(log_size, seed), {}


def _range_sum(log_size: int, seed: int) -> Any:
    bits = max(min(8, log_size - 1), 4)
    columns, public = range_sum.range_sum_trace(log_size, bits, seed=seed)
    return range_sum.range_sum(bits), (log_size, bits), columns, public


SHIPPED = {
    "wide_fibonacci": Shipped(
        wide_fibonacci.wide_fibonacci, _fibonacci, "26 columns, every row its own sequence"
    ),
    "plonk": Shipped(plonk.fibonacci_plonk, _plonk, "a Fibonacci circuit of plonk gates"),
    "state_machine": Shipped(
        state_machine.state_machine, _state_machine, "two components that pass a state on"
    ),
    "legacy26": Shipped(legacy.legacy26, _legacy26, "the unsound 26-column AIR, for timings only"),
    "range_sum": Shipped(
        range_sum.range_sum, _range_sum, "boundaries, a previous-row rule and a range table"
    ),
}


def resolve(air_id: str) -> Air:
    """The AIR of an id: a shipped one, or that of a VM program; ``ValueError`` if there is none."""
    name, *rest = air_id.split("/")
    try:
        air = _vm(*rest) if name == "obelysk" else SHIPPED[name].resolve(*_numbers(rest))
    except (KeyError, TypeError):
        air = None
    if air is None or air.name != air_id:
        known = ", ".join([*SHIPPED, "obelysk"])
        raise ValueError(f"AIR id: expected one of {known}, got {air_id!r}")
    return air


def _numbers(parts: list[str]) -> list[int]:
    return [int(part) for part in parts if part.isdecimal() and len(part) < 10]


def _vm(features: str, input_address: str, digest: str) -> Air:
    from jaxstark.vm.air import without_program

    number, address = (int(text) if text.isdecimal() else -1 for text in (features, input_address))
    return without_program(number, address, digest)


def load(reference: str) -> Air:
    """The AIR at ``module:attribute`` (a factory without arguments is called)."""
    module, _, attribute = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        air = found if isinstance(found, Air) else found()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"AIR: expected module:attribute that can be imported, got {reference!r} ({error})"
        ) from None
    if not isinstance(air, Air):
        raise ValueError(f"AIR {reference}: expected an Air, got {type(air).__name__}")
    return air
