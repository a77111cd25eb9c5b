"""The 26-column AIR of the system that this project replaces. It proves nothing.

Its 21 constraints are local to a row and accept, among many forgeries, the all-zero trace. It is
kept, under this name only, so that timings compare like for like.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jaxstark.air.definition import Air, component
from jaxstark.fields import m31

COLUMNS: tuple[str, ...] = tuple(
    "pc_curr reg0_curr reg1_curr pc_next reg0_next reg1_next opcode src1_val src2_val result one "
    "is_add is_sub is_mul is_load_imm product is_load is_store mem_addr mem_val "
    "dst_b0 dst_b1 dst_b2 dst_b3 dst_b4 dst_idx".split()
)
# Columns that no constraint reads: part of why the AIR proves nothing.
UNCONSTRAINED = ("reg0_curr", "reg1_curr", "reg1_next", "opcode", "mem_addr")
MIN_LOG_SIZE = 6


@component(COLUMNS, unused=UNCONSTRAINED, name="steps")
def _steps(row: Any, air: Any) -> None:
    one, result, src1, src2 = row.one, row.result, row.src1_val, row.src2_val
    air.constrain(row.pc_next - row.pc_curr - one, "C1")
    air.constrain(row.reg0_next - result, "C2")
    selectors = ("is_add", "is_sub", "is_mul", "is_load_imm", "is_load", "is_store")
    for number, name in enumerate(selectors, 3):
        air.constrain(row[name] * (one - row[name]), f"C{number}")
    air.constrain(row.is_add * (result - src1 - src2), "C9")
    air.constrain(row.is_sub * (result - src1 + src2), "C10")
    air.constrain(row.product - src1 * src2, "C11")
    air.constrain(row.is_mul * (result - row.product), "C12")
    air.constrain(row.is_load_imm * (result - src2), "C13")
    air.constrain(row.is_load * (result - row.mem_val), "C14")
    air.constrain(row.is_store * (row.mem_val - src1), "C15")
    bits = [row[f"dst_b{i}"] for i in range(5)]
    for number, bit in enumerate(bits, 16):
        air.constrain(bit * (one - bit), f"C{number}")
    total, weight = bits[0], one
    for bit in bits[1:]:
        weight = weight + weight  # 2, 4, 8, 16 as sums of `one`
        total = total + weight * bit
    air.constrain(row.dst_idx - total, "C21")


@lru_cache(maxsize=1)
def legacy26() -> Air:
    """The AIR: one component, 26 columns, 21 constraints of degree at most 2."""
    return Air("legacy26", (_steps,))


def legacy26_columns(log_size: int, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """A satisfying trace of random arithmetic steps, in row order; all rows are real."""
    n = 1 << log_size
    rng = np.random.default_rng(seed)
    zero, one = np.zeros(n, np.uint32), np.ones(n, np.uint32)
    columns: dict[str, np.ndarray] = dict.fromkeys(COLUMNS, zero)
    kind = rng.integers(0, 4, n)
    src1, src2 = (rng.integers(0, m31.P, n, dtype=np.uint32) for _ in range(2))
    product = m31.mul(src1, src2)
    choices = [m31.add(src1, src2), m31.sub(src1, src2), product, src2]
    result = np.choose(kind, choices).astype(np.uint32)
    dst = rng.integers(0, 32, n, dtype=np.uint32)
    pc = np.arange(n, dtype=np.uint32)
    columns |= {
        "pc_curr": pc,
        "pc_next": pc + np.uint32(1),
        "reg0_next": result,
        "opcode": (kind + 1).astype(np.uint32),
        "src1_val": src1,
        "src2_val": src2,
        "result": result,
        "one": one,
        "product": product,
        "dst_idx": dst,
    }
    for index, name in enumerate(("is_add", "is_sub", "is_mul", "is_load_imm")):
        columns[name] = (kind == index).astype(np.uint32)
    for bit in range(5):
        columns[f"dst_b{bit}"] = (dst >> np.uint32(bit)) & np.uint32(1)
    return {"steps": columns}
