"""Obelysk: a small register machine whose executions are proved.

``assemble`` makes a ``Program`` from text, ``execute`` runs one, ``trace`` makes of an execution
what ``jaxstark.prove`` takes, ``setup`` makes the verifying key of a program. Programs are built,
checked, hashed and disassembled, and proofs verified, with NumPy alone; executing needs numba,
``trace`` and ``setup`` need JAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxstark.vm import interpreter
from jaxstark.vm.assembler import AssemblyError, assemble
from jaxstark.vm.dense import DenseProgram, compile_dense, quantize
from jaxstark.vm.execution import Execution, ExecutionError
from jaxstark.vm.limits import Limits
from jaxstark.vm.program import Instruction, Program, decode

if TYPE_CHECKING:
    from jaxstark.key import VerifyingKey
    from jaxstark.params import ProofParams
    from jaxstark.trace import Trace

__all__ = [
    "AssemblyError",
    "DenseProgram",
    "Execution",
    "ExecutionError",
    "Instruction",
    "Limits",
    "Program",
    "assemble",
    "compile_dense",
    "decode",
    "execute",
    "interpreter",
    "quantize",
    "setup",
    "trace",
]


def execute(
    program: Program, public_input: Sequence[int] | np.ndarray = (), **limits: Any
) -> Execution:
    """Execute a program on a public input; see ``jaxstark.vm.executor.execute``."""
    from jaxstark.vm import executor

    return executor.execute(program, public_input, **limits)


def trace(execution: Execution, limits: Limits | None = None) -> Trace:
    """What ``jaxstark.prove`` takes of an execution; see ``jaxstark.vm.witness``."""
    from jaxstark import require_jax
    from jaxstark.vm import witness

    require_jax()
    return witness.trace(execution, limits)


def setup(
    program: Program, limits: Limits, params: ProofParams | str = "stwo-96", **options: Any
) -> VerifyingKey:
    """The verifying key of a program within limits, for all its executions that fit.

    Anyone who has the program derives the same key: the root of tree 0 fixes its instructions and
    initial memory, the AIR id its hash. A key from somebody else proves nothing about a program
    that one knows. ``ValueError`` for a program that cannot be proved or does not fit.
    """
    from jaxstark import require_jax
    from jaxstark.params import ProofParams as Params
    from jaxstark.vm.air import air_of

    require_jax()
    params = Params.preset(params) if isinstance(params, str) else params
    return air_of(program, limits).setup(limits.log_sizes(program), params, **options)
