"""Obelysk: a small register machine whose executions are proved.

``assemble`` makes a ``Program`` from text, ``execute`` runs one. Programs are built, checked,
hashed and disassembled with NumPy alone; executing needs numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxstark.vm import interpreter
from jaxstark.vm.assembler import AssemblyError, assemble
from jaxstark.vm.execution import Execution, ExecutionError
from jaxstark.vm.program import Instruction, Program, decode

__all__ = [
    "AssemblyError",
    "Execution",
    "ExecutionError",
    "Instruction",
    "Program",
    "assemble",
    "decode",
    "execute",
    "interpreter",
]


def execute(
    program: Program, public_input: Sequence[int] | np.ndarray = (), **limits: Any
) -> Execution:
    """Execute a program on a public input; see ``jaxstark.vm.executor.execute``."""
    from jaxstark.vm import executor

    return executor.execute(program, public_input, **limits)
