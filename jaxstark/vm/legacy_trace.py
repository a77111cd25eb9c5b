"""Trace of the unsound ``legacy26`` AIR from an execution; for timings like for like only.

The final Halt is left out, as the original did. Host code in NumPy.
"""

from __future__ import annotations

import numpy as np

from jaxstark.air.legacy26 import COLUMNS, MIN_LOG_SIZE
from jaxstark.fields import m31
from jaxstark.vm import isa
from jaxstark.vm.execution import Execution

_SELECTORS = {
    "is_add": ("Add",),
    "is_sub": ("Sub",),
    "is_mul": ("Mul",),
    "is_load_imm": ("LoadImm",),
    "is_load": ("Load", "LoadInd", "LoadIdx"),
    "is_store": ("Store", "StoreInd"),
}


def register_before(execution: Execution, register: np.ndarray) -> np.ndarray:
    """The word of a register before every step, uint32 ``[steps]``.

    ``register`` is the number of the register at every step, ``[steps]``.
    """
    program, pcs, values = execution.program, execution.pcs, execution.values
    writing = np.zeros(256, bool)
    writing[[row.code for row in isa.INSTRUCTIONS if row.writes_register]] = True
    writes = writing[program.opcodes][pcs]
    written = program.field("dst")[pcs]
    out = np.zeros(len(pcs), np.uint32)
    for number in range(isa.REGISTERS):
        steps = np.flatnonzero(register == number)
        made = np.flatnonzero(writes & (written == number))
        if not steps.size or not made.size:
            continue
        last = np.searchsorted(made, steps) - 1  # the last write before the step
        out[steps] = np.where(last >= 0, values[made[last]], np.uint32(0))
    return out


def legacy26_trace(execution: Execution) -> dict[str, dict[str, np.ndarray]]:
    """Columns of ``legacy26`` for all steps but the Halt, zero rows up to a power of two >= 2^6.

    ``reg0_curr`` and ``reg0_next`` are the destination register before and after the step,
    ``reg1_curr`` and ``reg1_next`` register 1; nothing constrains three of the four. A store's
    source counts as src1. A taken jump violates C1: such executions have no legacy trace.
    """
    program, rows = execution.program, execution.steps - 1
    pcs, pc_next = execution.pcs[:-1], execution.pcs[1:]
    opcodes = program.opcodes[pcs]
    dst, src1, src2, imm = (
        program.field(name)[execution.pcs] for name in ("dst", "src1", "src2", "imm")
    )

    def codes(names: tuple[str, ...]) -> np.ndarray:
        return np.isin(opcodes, [isa.BY_NAME[name].code for name in names])

    writing = tuple(row.name for row in isa.INSTRUCTIONS if row.writes_register)
    uses_imm = tuple(
        row.name for row in isa.INSTRUCTIONS if "imm" in row.fields and "src2" not in row.fields
    )
    selectors = {name: codes(names) for name, names in _SELECTORS.items()}
    values, dst_before = execution.values[:-1], register_before(execution, dst)[:-1]
    result = np.where(codes(writing), values, dst_before)
    second = register_before(execution, src2)[:-1]
    src1_val = np.where(selectors["is_store"], second, register_before(execution, src1)[:-1])
    src2_val = np.where(codes(uses_imm), imm[:-1], second)
    reg1 = register_before(execution, np.ones_like(dst))
    on_memory = selectors["is_load"] | selectors["is_store"]
    legacy = np.zeros(256, np.uint32)
    for row in isa.INSTRUCTIONS:
        legacy[row.code] = row.legacy
    columns = {
        "pc_curr": pcs,
        "reg0_curr": dst_before,
        "reg1_curr": reg1[:-1],
        "pc_next": pc_next,
        "reg0_next": result,
        "reg1_next": reg1[1:],
        "opcode": legacy[opcodes],
        "src1_val": src1_val,
        "src2_val": src2_val,
        "result": result,
        "one": np.ones(rows, np.uint32),
        "product": m31.mul(src1_val, src2_val),
        "mem_addr": np.where(on_memory, execution.addresses[:-1], np.uint32(0)),
        "mem_val": np.where(on_memory, values, np.uint32(0)),
        "dst_idx": dst[:-1],
        **selectors,
        **{f"dst_b{bit}": (dst[:-1] >> np.uint32(bit)) & np.uint32(1) for bit in range(5)},
    }
    size = 1 << max((rows - 1).bit_length(), MIN_LOG_SIZE)
    padded = {name: np.zeros(size, np.uint32) for name in COLUMNS}
    for name, column in columns.items():
        padded[name][:rows] = column
    return {"steps": padded}
