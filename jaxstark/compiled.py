"""Provers that are compiled ahead of their first proof."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxstark import prover
from jaxstark.air.planning import check_params
from jaxstark.implementation import Clock, OnStage, choose
from jaxstark.inputs import tables
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams, require_secure
from jaxstark.proof import Proof
from jaxstark.setup import DEFAULT_PROFILE, setup
from jaxstark.shape import ProofShape
from jaxstark.trace import Trace


@dataclass(frozen=True)
class Prover:
    """A prover whose programs are compiled: call it with traces of one AIR and one size.

    Attributes:
      shape: the shape of its proofs.
      key: the verifying key of its proofs.
      implementation: ``"mosaic_gpu"`` or ``"xla"``.
      transcript: ``"host"`` or ``"device"``.
      keep_evaluations: as for ``prove``.
      program: the compiled programs, where they were loaded from a folder.
    """

    shape: ProofShape
    key: VerifyingKey
    implementation: str
    transcript: str
    keep_evaluations: bool = True
    program: Any = field(default=None, compare=False, repr=False)

    def __call__(self, trace: Trace, *, on_stage: OnStage | None = None) -> Proof:
        """Prove a trace; errors as in ``prove``."""
        air = self.shape.air
        if (trace.air is not air and trace.air != air) or trace.log_sizes != self.key.log_sizes:
            raise ValueError(
                f"trace: expected AIR {air.name} with log sizes {self.key.log_sizes}, got "
                f"{trace.air.name} with {trace.log_sizes}"
            )
        return self._run(trace, Clock(on_stage), check=True)

    def _run(self, trace: Trace, clock: Clock, check: bool) -> Proof:
        if self.implementation == "xla":
            return prover.run(trace, self.shape, self.key, clock, check)
        from jaxstark import resident

        return resident.prove(
            *(trace, self.shape, self.key, self.transcript, clock, check),
            compiled=self.program,
            keep_evaluations=self.keep_evaluations,
        )


def compile_prover(
    shape: ProofShape,
    params: ProofParams | str = "stwo-96",
    *,
    public_values: Any = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    implementation: str | None = None,
    transcript: str = "host",
    keep_evaluations: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    on_stage: OnStage | None = None,
) -> Prover:
    """Compile all programs of a shape, as made by ``air.shape``, ahead of the first proof.

    Runs every stage once on zeros; ``on_stage`` shows the progress, with a folder also "compile"
    where programs are taken from there. ``public_values`` matters only for AIRs with public vectors
    of any length; the other options are those of ``prove``, which uses the same compiled programs.

    ``cache_dir``, with kernels: a folder of compiled proofs, from which a new process takes the
    programs of a shape and of its tree 0 in a fraction of a second. Its files are code: keep it
    writable by yourself alone.
    """
    clock = Clock((lambda stage, seconds: None) if on_stage is None else on_stage)
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    air = shape.air
    if air is None:
        raise ValueError("shape: expected one made by air.shape(...), got one without its AIR")
    check_params(air, shape, params)
    require_secure(params, shape, None, insecure)
    chosen = choose(implementation, transcript, keep_evaluations)
    if cache_dir is not None and chosen != "mosaic_gpu":
        raise ValueError(
            f"cache_dir: expected implementation 'mosaic_gpu', got {chosen!r} (JAX's own "
            "compilation cache serves that)"
        )
    key = setup(
        *(air, shape.log_sizes, params),
        profile=profile,
        implementation=chosen,
        cache_dir=cache_dir,
    )
    clock.done("set-up")
    lengths = {n: 1 if length is None else length for n, length in air.public_values}
    public = public_values or {name: (0,) * length for name, length in lengths.items()}
    sizes = list(zip(air.components, shape.log_sizes, strict=True))
    whole = {c.name: np.zeros((len(c.columns), 1 << k), np.uint32) for c, k in sizes}
    apart = {c.name: dict.fromkeys(c.columns, np.zeros(1 << k, np.uint32)) for c, k in sizes}
    blank = Trace(air, whole, public)
    program = None
    if cache_dir is not None:
        from jaxstark import resident

        program = resident.load(
            resident.Program(air.structure, shape, params, keep_evaluations=keep_evaluations),
            *(transcript, cache_dir),
        )
        clock.done("compile")
    out = Prover(shape, key, chosen, transcript, keep_evaluations, program)
    out._run(blank, clock, check=False)
    tables(Trace(air, apart, public))  # columns that come one by one are put together by a program
    return out
