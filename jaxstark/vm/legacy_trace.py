"""Trace of the unsound ``legacy26`` AIR from an execution; for timings like for like only.

The final Halt is left out, as the original did. One pass over the steps on the host, compiled where
numba is installed, as it is where programs are executed fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from jaxstark.air.legacy26 import COLUMNS, MIN_LOG_SIZE
from jaxstark.fields.m31 import P
from jaxstark.trace import ColumnTable
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
# What an instruction does, by bit of its flags: the selectors, then these.
_LOADS, _STORES, _WRITES, _IMMEDIATE = 4, 5, 6, 7
_BLOCK = 500  # steps
# Where the columns are.
_SELECTED = tuple(map(COLUMNS.index, _SELECTORS))
_BITS = tuple(COLUMNS.index(f"dst_b{bit}") for bit in range(5))
_PC, _NEXT, _OPCODE, _ONE = map(COLUMNS.index, ("pc_curr", "pc_next", "opcode", "one"))
_DST_BEFORE, _DST_AFTER, _RESULT = map(COLUMNS.index, ("reg0_curr", "reg0_next", "result"))
_FIRST_BEFORE, _FIRST_AFTER = map(COLUMNS.index, ("reg1_curr", "reg1_next"))
_SRC1, _SRC2, _PRODUCT = map(COLUMNS.index, ("src1_val", "src2_val", "product"))
_ADDRESS, _WORD, _DST = map(COLUMNS.index, ("mem_addr", "mem_val", "dst_idx"))


def legacy26_trace(execution: Execution) -> dict[str, ColumnTable]:
    """Columns of ``legacy26`` for all steps but the Halt, zero rows up to a power of two >= 2^6.

    ``reg0_curr`` and ``reg0_next`` are the destination register before and after the step,
    ``reg1_curr`` and ``reg1_next`` register 1; nothing constrains three of the four. A store's
    source counts as src1. A taken jump violates C1: such executions have no legacy trace.
    """
    rows = execution.steps - 1
    size = 1 << max((rows - 1).bit_length(), MIN_LOG_SIZE)
    table = np.zeros((len(COLUMNS), size), np.uint32)
    flags, legacy = _instructions()
    witness = execution.pcs, execution.values, execution.addresses
    _compiled()(*witness, execution.program.words, flags, legacy, table)
    return {"steps": ColumnTable(COLUMNS, table)}


@cache
def _instructions() -> tuple[np.ndarray, np.ndarray]:
    """Flags of every opcode and its number in the original, ``[256]``."""
    flags, legacy = np.zeros(256, np.int64), np.zeros(256, np.uint32)
    for row in isa.INSTRUCTIONS:
        does = [row.name in names for names in _SELECTORS.values()]
        does += [row.writes_register, "imm" in row.fields and "src2" not in row.fields]
        flags[row.code] = sum(1 << bit for bit, said in enumerate(does) if said)
        legacy[row.code] = row.legacy
    return flags, legacy


@cache
def _compiled() -> Callable[..., None]:
    try:
        import numba
    except ImportError:
        return _fill
    return numba.njit(cache=True)(_fill)


def _fill(
    pcs: Any, values: Any, addresses: Any, words: Any, flags: Any, legacy: Any, table: Any
) -> None:
    """Write the rows of a table ``[26, size]`` of zeros, one for each step but the last.

    Columns a power of two apart would share a few lines of a cache, so rows are made in a block
    that has none of this.
    """
    registers = np.zeros(isa.REGISTERS, np.int64)
    steps, block = len(pcs) - 1, np.zeros((table.shape[0], _BLOCK), table.dtype)
    for start in range(0, steps, _BLOCK):
        count = min(_BLOCK, steps - start)
        for i in range(count):
            step = start + i
            head, imm = np.int64(words[pcs[step], 0]), np.int64(words[pcs[step], 1])
            opcode, dst = head & 255, (head >> 8) & 31
            does = flags[opcode]
            before, first, second = registers[dst], registers[1], registers[(head >> 24) & 31]
            stores = (does >> _STORES) & 1
            src1 = second if stores else registers[(head >> 16) & 31]
            src2 = imm if (does >> _IMMEDIATE) & 1 else second
            result = before
            if (does >> _WRITES) & 1:
                result = np.int64(values[step])
                registers[dst] = result
            on_memory = stores | ((does >> _LOADS) & 1)
            block[_PC, i], block[_NEXT, i] = pcs[step], pcs[step + 1]
            block[_DST_BEFORE, i], block[_DST_AFTER, i] = before, result
            block[_FIRST_BEFORE, i], block[_FIRST_AFTER, i] = first, registers[1]
            block[_OPCODE, i], block[_ONE, i], block[_DST, i] = legacy[opcode], 1, dst
            block[_SRC1, i], block[_SRC2, i], block[_RESULT, i] = src1, src2, result
            block[_PRODUCT, i] = src1 * src2 % P
            block[_ADDRESS, i] = addresses[step] if on_memory else 0
            block[_WORD, i] = values[step] if on_memory else 0
            for bit in range(len(_SELECTED)):
                block[_SELECTED[bit], i] = (does >> bit) & 1
            for bit in range(len(_BITS)):
                block[_BITS[bit], i] = (dst >> bit) & 1
        table[:, start : start + count] = block[:, :count]
