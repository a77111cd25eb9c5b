"""The golden proofs: what they prove and with which parameters.

One small proof of every shipped AIR and of the VM, each with other parameters, and one at a secure
preset with mixed column sizes. They need no JAX to be read, so that verifier tests run without
proving.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxstark import vm
from jaxstark.air.definition import Air
from jaxstark.air.registry import SHIPPED, resolve
from jaxstark.key import VerifyingKey
from jaxstark.params import PRESETS, ProofParams
from jaxstark.proof import Proof
from jaxstark.trace import Trace

FOLDER = Path(__file__).resolve().parent
PROOFS = FOLDER / "proofs"
MANIFEST = FOLDER / "golden.json"


@dataclass(frozen=True)
class Case:
    """An example of a shipped AIR and the parameters of its proof."""

    air: str
    log_size: int
    seed: int
    params: ProofParams

    def example(self) -> tuple[Trace, tuple[int, ...]]:
        """The trace, with public values, and the log sizes."""
        air, log_sizes, columns, public = SHIPPED[self.air].example(self.log_size, self.seed)
        return Trace(air, columns, public), log_sizes


FIBONACCI = """
    .input  x
        load    r1, [x]
        load    r2, [x + 1]
        loadimm r3, 8
    again:
        add     r4, r1, r2
        move    r1, r2
        move    r2, r4
        loop    r3, r3, again
        out     r1
        out     r2
        halt
"""


@dataclass(frozen=True)
class VmCase(Case):
    """A loop of at most ``2^log_size`` steps; the seed is its input."""

    def example(self) -> tuple[Trace, tuple[int, ...]]:
        execution = vm.interpreter.run(vm.assemble(FIBONACCI), [self.seed, self.seed + 1])
        trace = vm.trace(execution, vm.Limits.of(execution, self.params))
        assert trace.log_sizes[0] == self.log_size
        return trace, trace.log_sizes


CASES = {
    "legacy26": Case("legacy26", 6, 1, ProofParams(8, 1, 3, 2, 0)),
    "obelysk": VmCase("obelysk", 6, 7, ProofParams(4, 1, 4, 2, 0)),
    "plonk": Case("plonk", 6, 2, ProofParams(0, 2, 5, 1, 1)),
    # Blow-up 2, tree 0 and two component sizes; no proof of work stands before the later checks.
    "range_sum": Case("range_sum", 6, 3, ProofParams(0, 1, 6, 2, 1)),
    "range_sum_stwo96": Case("range_sum", 8, 4, PRESETS["stwo-96"]),
    "state_machine": Case("state_machine", 6, 5, ProofParams(5, 3, 4, 3, 0)),
    "wide_fibonacci": Case("wide_fibonacci", 6, 6, ProofParams(10, 1, 3, 1, 0)),
}
SECURE = ("range_sum_stwo96",)
SMALL = tuple(name for name in CASES if name not in SECURE)


@dataclass(frozen=True)
class Golden:
    """A committed proof with all that its verification needs."""

    proof: Proof
    key: VerifyingKey
    public: dict[str, Any]
    text: str

    @property
    def air(self) -> Air:
        """The AIR of the key."""
        assert self.key.definition is not None
        return self.key.definition

    @property
    def data(self) -> Any:
        """A fresh copy of the JSON form as Python data."""
        return json.loads(self.text)


@lru_cache(maxsize=16)
def golden(name: str) -> Golden:
    """The golden proof of a name, read without JAX."""
    stem = PROOFS / name
    text = Path(f"{stem}.proof.json").read_text()
    key = VerifyingKey.load(f"{stem}.key.json")
    key = VerifyingKey.load(f"{stem}.key.json", resolve(key.air))
    public = json.loads(Path(f"{stem}.public.json").read_text())
    return Golden(Proof.from_json(text), key, public, text)
