"""Felts of the proofs of a results file: counted, estimated from a shape, packed, or given.

A row of a proof that was packed (``--submit`` of the benchmark) has them. Of others the shape must
be known, but a row has no list of component sizes: its workload is executed again, in milliseconds
and without a device, and the shape that follows counts only if its columns and committed cells are
those of the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import _script
from _benchmark import Row

from jaxstark import Proof, ProofParams, VerifyingKey
from jaxstark.air import registry
from jaxstark.air.planning import check_public_values
from jaxstark.plan import proof_size
from jaxstark.shape import ProofShape
from jaxstark.starknet import packer, sizes
from jaxstark.starknet.header import statement_values

COUNTED, ESTIMATED, PACKED, GIVEN = "counted", "estimate", "packed", "given"
# Samples that the benchmark classifies in one proof.
NETWORKS = {"iris": 1, "digits": 26}
DIGEST_FELTS = 8  # of a Blake2s digest in the Cairo layout


class Known(NamedTuple):
    """A size and where it is from.

    Attributes:
      size: what is sent, and its gas.
      kind: ``"counted"`` of the row's proof, ``"estimate"``, ``"packed"`` or ``"given"``.
      check: of an estimate, expected felts of the Cairo layout divided by those that the row
        counted, less 1; None where the row has no felts.
    """

    size: sizes.Size
    kind: str
    check: float | None = None


class Rebuilt(NamedTuple):
    """The shape of a row's proofs and the felts of its statement values."""

    shape: ProofShape
    statement: int


class Packed(NamedTuple):
    """A proof that was verified and packed: its message's size and what tells its row."""

    size: sizes.Size
    params: ProofParams
    columns: tuple[int, ...]
    cells: int
    log_size: int
    sha256: str

    def fits(self, row: Row) -> bool:
        """Whether a row is about proofs of this shape with these parameters."""
        found = (params_of(row), row.get("log_size"), row.get("committed_cells"))
        same = found == (self.params, self.log_size, self.cells)
        return same and row.get("columns") == list(self.columns)


def params_of(row: Row) -> ProofParams:
    """The parameters of a row; ``UsageError`` if it has none."""
    values = dict(row.get("params_values") or {})
    values.pop("formula_bits", None)
    try:
        return ProofParams(**values)
    except TypeError:
        got = ", ".join(values) or "nothing"
        raise _script.UsageError(f"params_values: expected parameters, got {got}") from None


def of_row(row: Row, encoding: str, max_felts: int) -> Known | str:
    """The size of a row's message: counted if the row has it, or else expected; or why neither."""
    params, record = params_of(row), row.get("starknet")
    felts = record.get("felts") if isinstance(record, dict) else None
    if isinstance(felts, dict) and type(felts.get(encoding)) is int:
        return Known(sizes.counted(encoding, felts[encoding], max_felts), COUNTED)
    found = rebuilt(row["workload"], row.get("log_size"), row.get("steps"), params)
    if isinstance(found, str):
        return found
    shape, statement = found
    counts = list(columns_of(shape))
    if (counts, cells_of(shape)) != (row.get("columns"), row.get("committed_cells")):
        return "the workload executed here has other columns than the row"
    size = sizes.estimate(shape, params, encoding, statement=statement, max_felts=max_felts)
    counted, check = row.get("felts"), None
    if counted:
        check = proof_size(shape, params, DIGEST_FELTS).total_felts / counted - 1
    return Known(size, ESTIMATED, check)


@lru_cache(maxsize=64)
def rebuilt(workload: str, log_size: int, steps: int | None, params: ProofParams) -> Rebuilt | str:
    """The shape of a workload of the benchmark, or in words why there is none."""
    if workload == "legacy26":
        from jaxstark.air.legacy26 import legacy26

        return Rebuilt(legacy26().shape((log_size,)), 0)
    try:
        if workload == "vm":
            return _machine(*_synthetic(steps or 1 << log_size), params)
        if workload in NETWORKS:
            return _machine(*_network(workload), params)
    except ImportError as error:
        return str(error)
    return f"no workload {workload!r} is known here"


def _synthetic(steps: int) -> tuple[Any, Any]:
    from jaxstark import vm
    from jaxstark.vm.workloads import synthetic

    program = synthetic(steps)
    return program, vm.execute(program, [0], step_limit=steps)


def _network(name: str) -> tuple[Any, Any]:
    """A shipped network on samples of least features: their sizes are those of any others."""
    import _networks
    import numpy as np

    from jaxstark import vm

    dense = _networks.load(name).compiled()
    samples = np.full((NETWORKS[name], dense.features), dense.input_range[0])
    return dense.program, vm.execute(dense.program, dense.public_input(samples))


def _machine(program: Any, execution: Any, params: ProofParams) -> Rebuilt:
    from jaxstark.vm.air import air_of
    from jaxstark.vm.limits import Limits

    limits = Limits.of(execution, params)
    air = air_of(program, limits)
    public = check_public_values(
        air, {"input": execution.public_input.tolist(), "output": execution.output.tolist()}
    )
    shape = air.shape(limits.log_sizes(program), public)
    return Rebuilt(shape, len(statement_values(public)))


def given(felts: int, rows: Sequence[Row], encoding: str, max_felts: int) -> Known:
    """The size of so many felts; ``UsageError`` unless all rows are of one shape."""
    kinds = {(r["workload"], r.get("log_size"), r["params"]) for r in rows}
    if len(kinds) > 1:
        raise _script.UsageError(
            f"--felts: expected rows of one workload, size and parameters with it, got {len(kinds)}"
        )
    return Known(sizes.counted(encoding, felts, max_felts), GIVEN)


def packed(
    proof_path: str,
    key_path: str,
    public_path: str | None,
    air_name: str | None,
    encoding: str,
    max_felts: int,
    insecure: bool,
) -> Packed:
    """Verify and pack a proof; raises what reading, verifying and packing raise."""
    named = VerifyingKey.load(key_path).air
    air = registry.resolve(named) if air_name is None else registry.load(air_name)
    key = VerifyingKey.load(key_path, air)
    public: Any = {}
    if public_path is not None:
        try:
            public = json.loads(Path(public_path).read_text())
        except ValueError:
            public = None
        if not isinstance(public, dict):
            raise _script.UsageError(f"--public: expected a JSON object, got {public_path}")
    values = check_public_values(air, public)
    proof = Proof.load(proof_path)
    message = packer.pack(proof, key, values, encoding, air=air, insecure=insecure)
    shape = air.shape(key.log_sizes, values)
    return Packed(
        sizes.measured(message, max_felts),
        key.params,
        columns_of(shape),
        cells_of(shape),
        shape.log_size,
        hashlib.sha256(proof.to_bytes()).hexdigest(),
    )


def columns_of(shape: ProofShape) -> tuple[int, ...]:
    """Columns of every tree, as rows of the benchmark have them."""
    return tuple(len(tree) for tree in shape.columns)


def cells_of(shape: ProofShape) -> int:
    """Committed words of trace and interaction, as rows of the benchmark have them."""
    return sum(1 << k for tree in shape.columns[1:] for k in tree)
