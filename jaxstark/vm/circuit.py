"""From instructions to what the AIR knows of them: the columns of the program ROM.

Every instruction is a set of coefficients of one step formula, so that the step component needs no
selector per opcode. With a, b, d the words of src1, src2 and dst before the step and ``1/r`` read
as 0 for r = 0:

    r       = r_ab a b + r_a a + r_b b + r_d d + stack depth + r_1
    value   = v_r r + v_x x + v_b b + v_q a (1/r) + v_z r (1/r) + v_1
    next_pc = seq + delta r (1/r) + stack v_x value

where x is the word that the step reads from memory or gets from a value component. The columns and
their order are ``FIELDS``. Host code in NumPy, the same for prover and verifier.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxstark.fields.m31 import P
from jaxstark.vm import isa
from jaxstark.vm.isa import OUTPUT, Opcode
from jaxstark.vm.program import Program

FIELDS = (
    # The instruction: program counter, opcode, register numbers.
    *"pc op src1 src2 dst".split(),
    # Accesses to registers. `same`: src2 is src1 and needs no access of its own. A source that is
    # the destination too is not kept: the written word takes the place of the read one. `access_d`:
    # the destination is no source.
    *"use1 keep1 use2 keep2 same access_d write".split(),
    # Coefficients of r, of the value and of the next program counter.
    *"r_ab r_a r_b r_d r_1 stack v_r v_x v_b v_q v_z v_1".split(),
    # Accesses to memory (or stack), value components, public output.
    *"mem co out seq delta".split(),
)
_COEFFICIENTS = {*FIELDS[12:], "op", "swap"} - {"mem", "out"}


def rom_columns(program: Program) -> np.ndarray:
    """The decoded instructions, uint32 ``[len(FIELDS), n]``; the program must pass ``check``."""
    out = np.zeros((len(FIELDS), len(program)), np.uint32)
    opcodes = program.opcodes
    for row in isa.INSTRUCTIONS:
        where = np.flatnonzero(opcodes == row.code)
        if where.size:
            for name, words in _decode(row, program, where).items():
                out[FIELDS.index(name), where] = words
    return out


def _decode(row: Opcode, program: Program, where: np.ndarray) -> dict[str, Any]:
    """Words of the instructions of one opcode by column, where they are not 0."""
    src1, src2, dst = (program.field(name)[where] for name in ("src1", "src2", "dst"))
    imm = program.field("imm")[where].astype(np.int64)
    terms = {"op": row.code, "seq": where + 1} | coefficients(row, imm, where)
    uses1, uses2 = "src1" in row.fields, "src2" in row.fields
    if terms.pop("swap", 0):
        src1, src2, uses1, uses2 = src2, src1, uses2, uses1
    same = (src1 == src2) & (uses1 and uses2)
    use2 = uses2 & ~same
    # At most one access of a step is to the destination, and that one writes.
    writes = row.writes_register
    over1 = (dst == src1) & (uses1 and writes)
    over2 = (dst == src2) & use2 & ~over1 & writes
    return terms | {
        **{"pc": where, "src1": src1, "src2": src2, "dst": dst},
        **{"use1": uses1, "keep1": uses1 & ~over1, "use2": use2, "keep2": use2 & ~over2},
        **{"same": same, "access_d": writes & ~over1 & ~over2, "write": writes},
        "mem": row.address is not None,
        "out": row.effect == OUTPUT,
    }


def coefficients(row: Opcode, imm: np.ndarray, pc: np.ndarray) -> dict[str, Any]:
    """The coefficients that ``row.circuit`` names, by name, for immediates and counters.

    Words below p: ints, or arrays where they depend on the int64 arguments.
    """
    out = {}
    for term in row.circuit.split():
        name, _, expression = term.partition("=")
        if name not in _COEFFICIENTS:
            raise ValueError(f"instruction {row.name}, circuit: got unknown coefficient {name!r}")
        out[name] = eval(expression, {"__builtins__": {}}, {"imm": imm, "pc": pc}) % P
    return out
