"""Upstream's plonk example: one gate per row, wires tied by a lookup relation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, Component, Relation
from jaxstark.fields import m31

WIRE = Relation("wire", 2)


def _evaluate(row: Any, air: Any) -> None:
    a, b, c, op = row.a_val, row.b_val, row.c_val, row.plonk_op
    air.constrain(c - op * (a + b) - (1 - op) * (a * b), "gate")
    air.lookup(WIRE, [row.plonk_a_wire, a])
    air.lookup(WIRE, [row.plonk_b_wire, b])
    air.provide(WIRE, [row.plonk_c_wire, c], row.mult)


@dataclass(frozen=True, eq=False)
class Circuit:
    """The fixed part of a plonk proof, which its key commits to.

    Attributes:
      name: identifies the circuit in the AIR id.
      wires: uint32 ``[3, 2^k]``: wire numbers of a, b and c of every gate.
      op: uint32 ``[2^k]``: 1 adds, 0 multiplies.
      inputs: ``(wire, number of uses)`` of every public input; no gate provides these wires.
      outputs: wires whose values are public; the gate that provides one counts that use too.
    """

    name: str
    wires: np.ndarray
    op: np.ndarray
    inputs: tuple[tuple[int, int], ...]
    outputs: tuple[int, ...]


def plonk(circuit: Circuit) -> Air:
    """The AIR of one circuit, with public values ``inputs`` and ``outputs``.

    Upstream's example leaves its input wires unbalanced; here the verifier provides them, so that
    the statement is "this circuit maps these inputs to these outputs".
    """
    size = len(circuit.op)
    if size < 2 or size & (size - 1) or circuit.wires.shape != (3, size):
        raise ValueError(
            f"plonk: expected a power of two of gates with three wires each, got {size} gates and "
            f"wires of shape {circuit.wires.shape}"
        )
    table = {
        "plonk_a_wire": circuit.wires[0],
        "plonk_b_wire": circuit.wires[1],
        "plonk_c_wire": circuit.wires[2],
        "plonk_op": circuit.op,
    }
    fixed = tuple((name, _constant(column)) for name, column in table.items())

    def public_terms(air: Any) -> None:
        values = air.public_values
        for (wire, uses), value in zip(circuit.inputs, _vector(values.inputs), strict=True):
            air.public(WIRE, [wire, value], -uses)
        for wire, value in zip(circuit.outputs, _vector(values.outputs), strict=True):
            air.public(WIRE, [wire, value], 1)

    gates = Component(
        "gates",
        ("mult", "a_val", "b_val", "c_val"),
        _evaluate,
        fixed,
        log_size=size.bit_length() - 1,
    )
    public = (("inputs", len(circuit.inputs)), ("outputs", len(circuit.outputs)))
    return Air(f"plonk/{circuit.name}", (gates,), (WIRE,), public, public_terms)


def _vector(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _constant(column: np.ndarray) -> Any:
    return lambda log_size: column


@lru_cache(maxsize=32)
def fibonacci_plonk(log_size: int) -> Air:
    """Upstream's circuit: gate i adds wires i and i + 1 into wire i + 2.

    Public inputs are the first two numbers, the public output is the last.
    """
    if not 1 <= log_size <= 24:
        raise ValueError(f"fibonacci_plonk: expected a log size in 1..24, got {log_size}")
    i = np.arange(1 << log_size, dtype=np.uint32)
    wires = np.stack([i, i + np.uint32(1), i + np.uint32(2)])
    last = (1 << log_size) + 1
    name = f"fibonacci/{log_size}"
    return plonk(Circuit(name, wires, np.ones_like(i), ((0, 1), (1, 2)), (last,)))


def fibonacci_trace(
    log_size: int, first: int = 1, second: int = 1
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[int]]]:
    """Columns in row order and public values of the Fibonacci circuit."""
    n = 1 << log_size
    values = [first % m31.P, second % m31.P]
    while len(values) < n + 2:
        values.append((values[-1] + values[-2]) % m31.P)
    table = np.array(values, np.uint32)
    mult = np.full(n, 2, np.uint32)
    mult[-2:] = 1
    columns = {"mult": mult, "a_val": table[:n], "b_val": table[1 : n + 1], "c_val": table[2:]}
    return {"gates": columns}, {"inputs": values[:2], "outputs": values[-1:]}
