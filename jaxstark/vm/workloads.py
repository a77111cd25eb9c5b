"""The synthetic workload of the benchmarks: straight-line arithmetic of an exact length.

16 LoadImm fill r0..r15; then three phases of arithmetic on them, each with its own counter i:

1. half of the rest: Mul r(i), r(i+1), r(i+3) and Add r(i), r(i), r(i+2) in turns, indices mod 16;
2. 35 % of the rest: Mul r(i), r(i), r(i)+8; Add r(i), r(i), r(i+1); Sub r(i), r(i), r(i+3) in
   turns, indices mod 8;
3. what is left: Add r0, r0, r(i+1), indices mod 16.
"""

from __future__ import annotations

import numpy as np

from jaxstark.vm.isa import BY_NAME
from jaxstark.vm.program import Program

LOADS = 16
MIN_STEPS = 32
_JOB_STRIDE = 17
_MODULUS = 2**30 - 1

# Final r0..r3 of job 0, by what the Halt counts for and the number of steps. legacy26: the Halt is
# one more step; published for the original system. obelysk: the Halt is the last step, and the
# last phase, which is one step shorter, changes r0 only; from the executor, equal to the reference
# interpreter at 1,024 and 65,536 steps.
GOLDEN: dict[str, dict[int, tuple[int, int, int, int]]] = {
    "legacy26": {
        1_024: (231529579, 906272913, 619981004, 1493129201),
        65_536: (1950002433, 1119237938, 1258347647, 1521179047),
        262_144: (1754587590, 1022891160, 1734400814, 442889659),
        1_048_576: (1541448991, 1991993707, 1490877255, 1115067383),
    },
    "obelysk": {
        1_024: (364997343, 906272913, 619981004, 1493129201),
        65_536: (1178217016, 1119237938, 1258347647, 1521179047),
        262_144: (386646176, 1022891160, 1734400814, 442889659),
        1_048_576: (721427401, 1991993707, 1490877255, 1115067383),
    },
}


def synthetic(steps: int, job: int = 0, *, halt_counts: bool = True) -> Program:
    """The workload program of ``steps`` steps.

    Args:
      steps: executed instructions, at least 32.
      job: number of the job, which sets the constants of the 16 loads.
      halt_counts: whether the final Halt is one of the ``steps`` (the sound VM), or one more that
        the trace leaves out (the legacy AIR, which proves ``steps`` rows without Halt).
    """
    if steps < MIN_STEPS or job < 0:
        raise ValueError(
            f"synthetic workload: expected at least {MIN_STEPS} steps and a job >= 0, got {steps} "
            f"and {job}"
        )
    rest = steps - LOADS
    phases = (rest // 2, rest * 35 // 100)
    phases += (rest - sum(phases),)
    i = np.arange(LOADS, dtype=np.int64)
    parts = [_words("LoadImm", i, imm=(i + 1 + _JOB_STRIDE * job) % _MODULUS)]

    i = np.arange(phases[0])
    mul = _words("Mul", i % 16, (i + 1) % 16, (i + 3) % 16)
    add = _words("Add", i % 16, i % 16, (i + 2) % 16)
    parts.append(np.where(i[:, None] % 2 == 0, mul, add))

    i = np.arange(phases[1])
    mul = _words("Mul", i % 8, i % 8, i % 8 + 8)
    add = _words("Add", i % 8, i % 8, (i + 1) % 8)
    sub = _words("Sub", i % 8, i % 8, (i + 3) % 8)
    parts.append(np.choose(i[:, None] % 3, [mul, add, sub]))

    i = np.arange(phases[2])
    parts.append(_words("Add", 0 * i, 0 * i, (i + 1) % 16))
    words = np.concatenate(parts)
    halt = _words("Halt", np.zeros(1, np.int64))
    return Program(np.concatenate([words[: steps - 1] if halt_counts else words, halt]))


def _words(
    name: str,
    dst: np.ndarray,
    src1: np.ndarray | int = 0,
    src2: np.ndarray | int = 0,
    imm: np.ndarray | int = 0,
) -> np.ndarray:
    """Encoded instructions int64 ``[n, 2]``."""
    head = BY_NAME[name].code + (dst << 8) + (src1 << 16) + (src2 << 24)
    return np.stack([head, np.broadcast_to(imm, head.shape)], axis=1)
