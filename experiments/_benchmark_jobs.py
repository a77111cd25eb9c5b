"""What the benchmark proves: workloads, and statements of one shape that differ in luck only.

A workload is executed once. A ``Case`` is that workload for one set of parameters: its verifying
key, made as a verifier makes it, and any number of traces of one shape. Trace 0 is the workload
itself; the others differ in a word that no constraint reads, or in the sample that is classified,
so that each has a proof of work of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import _networks
import _script
import numpy as np

from jaxstark import ProofParams, ProvingError, Trace, VerifyingKey, vm
from jaxstark.air.legacy26 import COLUMNS, legacy26, legacy26_columns
from jaxstark.fields.m31 import P
from jaxstark.shape import ProofShape
from jaxstark.trace import ColumnTable
from jaxstark.vm.legacy_trace import legacy26_trace
from jaxstark.vm.program import MAX_INSTRUCTIONS
from jaxstark.vm.workloads import GOLDEN, synthetic

SOURCES = ("device", "numpy", "pinned")
# Of legacy26, read by none of its constraints: another word there is another statement.
FREE_COLUMN = COLUMNS.index("reg1_next")
# The Iris flower and the held-out digits of docs/obelysk.md.
SAMPLES = {"iris": range(17, 18), "digits": range(1437, 1463)}
DIGITS = 7  # decimals of recorded seconds: stages take microseconds


@dataclass(frozen=True)
class Case:
    """A workload with parameters.

    Attributes:
      shape: of all its proofs.
      params: of the key.
      key: what its proofs are verified with.
      public_values: of statement 0; those of all others have the same lengths.
      set_up: seconds to make the key, tree 0 included, in programs that were compiled before.
      statement: trace and public values of statement ``i``, arrays wherever they were made.
    """

    shape: ProofShape
    params: ProofParams
    key: VerifyingKey
    public_values: Mapping[str, Any]
    set_up: float
    statement: Callable[[int], Trace]

    def trace(self, number: int, source: str) -> Trace:
        """Trace of statement ``number``, resident on the device or in memory of the host."""
        made = self.statement(number)
        return Trace(
            made.air,
            {name: _moved(table, source) for name, table in made.columns.items()},
            made.public_values,
        )


@dataclass
class Workload:
    """Something to prove.

    Attributes:
      name: ``legacy26``, ``vm`` or the name of a network.
      log_size: log2 of the rows of its largest component.
      steps: executed instructions that it proves; None where nothing was executed.
      trace_of: ``"execution"``, or ``"example"`` for columns of random arithmetic.
      seconds: of execution and trace generation, as spreads.
      case: makes the case for parameters.
      facts: more for the record.
      job: executes job ``i`` and makes its trace; None where nothing is executed.
    """

    name: str
    log_size: int
    steps: int | None
    trace_of: str
    seconds: dict[str, Any]
    case: Callable[[ProofParams], Case]
    facts: dict[str, Any] = field(default_factory=dict)
    job: Callable[[int], Trace] | None = None


def repeated(
    run: Callable[[], Any], at_most: int = 5, within: float = 2.0, patience: float = 30.0
) -> tuple[Any, dict[str, Any]]:
    """Result of a call, and the spread of the seconds of as many calls as fit.

    The first call may compile. It counts only if it takes longer than ``patience``, and is the only
    one then.
    """
    seconds: list[float] = []
    while True:
        start = time.perf_counter()
        out = ready(run())
        seconds.append(time.perf_counter() - start)
        if len(seconds) > at_most or sum(seconds[1:]) > within or seconds[0] > patience:
            return out, _script.spread(seconds[1:] or seconds, DIGITS)
        del out  # makes room for the next one


def legacy(log_size: int, columns: str) -> Workload:
    """``legacy26`` at ``2^log_size`` rows, of the executed workload or, by ``columns``, random.

    The largest program has room for one step less than 2^24, and the trace a zero row for it.
    """
    air, steps, seconds, job = legacy26(), None, dict[str, Any](), None
    if columns == "execution":
        steps = min(1 << log_size, MAX_INSTRUCTIONS - 1)
        program = synthetic(steps, halt_counts=False)
        execute = partial(vm.execute, program, step_limit=steps + 1)
        execution, seconds["execute"] = repeated(execute)
        _check_registers("legacy26", steps, execution)
        made, seconds["trace"] = repeated(lambda: legacy26_trace(execution))
        table = made["steps"].array
        job = partial(_legacy_job, steps)
    else:
        table, seconds["trace"] = repeated(lambda: _stacked(legacy26_columns(log_size)))

    first = int(table[FREE_COLUMN, 0])

    def statement(number: int) -> Trace:
        table[FREE_COLUMN, 0] = (first + number) % P
        return Trace(air, {"steps": table.copy()})

    def case(params: ProofParams) -> Case:
        return _case(air.shape((log_size,)), params, partial(air.setup, (log_size,)), {}, statement)

    return Workload("legacy26", log_size, steps, columns, seconds, case, job=job)


def _legacy_job(steps: int, number: int) -> Trace:
    program = synthetic(steps, number, halt_counts=False)
    execution = vm.execute(program, step_limit=steps + 1)
    return Trace(legacy26(), legacy26_trace(execution))


def sound(log_size: int) -> Workload:
    """The sound machine on the synthetic workload of ``2^log_size`` steps.

    Its input is one word that the program does not read: the number of the statement.
    """
    steps = 1 << log_size
    program = synthetic(steps)
    execute = partial(vm.execute, program, [0], step_limit=steps)
    execution, seconds = repeated(execute)
    _check_registers("obelysk", steps, execution)
    return _machine(
        "vm",
        program,
        lambda number: vm.execute(program, [number], step_limit=steps),
        execution,
        {"execute": seconds},
        {},
    )


def network(name: str, samples: str | None) -> Workload:
    """A shipped network on one flower or a batch of digits; ``samples`` is a CSV file or None.

    Raises ``ImportError`` if no file is given and scikit-learn, which has the data, is missing.
    """
    model, rows = _networks.load(name), SAMPLES[name]
    if samples is None:
        features, _ = _networks.load_data(name)
    else:
        features = _networks.read_samples(Path(samples))
        if len(features) < rows.stop:
            raise _script.UsageError(
                f"{samples}: expected the {name} data, at least {rows.stop} samples, got "
                f"{len(features)}"
            )
    dense, integers = model.compiled(), model.samples(features, name)
    classes = dense.classify(integers)

    def execute(number: int) -> vm.Execution:
        # Statement i starts i samples later; how many steps that takes fits the same limits.
        start = (rows.start + number) % (len(integers) - len(rows) + 1)
        chosen = slice(start, start + len(rows))
        execution = vm.execute(dense.program, dense.public_input(integers[chosen]))
        if execution.output.tolist() != classes[chosen].tolist():
            raise ProvingError(f"{name}: the program and the network disagree on a class")
        return execution

    execution, seconds = repeated(lambda: execute(0))
    facts = {"samples": [rows.start, rows.stop], "classes": execution.output.tolist()}
    return _machine(name, dense.program, execute, execution, {"execute": seconds}, facts)


def write_samples(folder: Path) -> list[Path]:
    """The data sets as CSV files, for machines without scikit-learn."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for name in SAMPLES:
        features, _ = _networks.load_data(name)
        out.append(folder / f"{name}.csv")
        np.savetxt(out[-1], features, delimiter=",", fmt="%.10g")
    return out


def _machine(
    name: str,
    program: vm.Program,
    execute: Callable[[int], vm.Execution],
    execution: vm.Execution,
    seconds: dict[str, Any],
    facts: dict[str, Any],
) -> Workload:
    least = vm.Limits.of(execution)
    trace, seconds["trace"] = repeated(lambda: vm.trace(execution, least))
    log_size = max(trace.log_sizes)
    del trace  # nothing of it stays on the device

    def case(params: ProofParams) -> Case:
        limits = vm.Limits.of(execution, params)

        def statement(number: int) -> Trace:
            return vm.trace(execution if number == 0 else execute(number), limits)

        # Public vectors of any length are part of a shape, so it is made from a trace.
        first = statement(0)
        shape = first.air.shape(first.log_sizes, first.public_values)
        return _case(
            shape, params, partial(vm.setup, program, limits), first.public_values, statement
        )

    return Workload(name, log_size, execution.steps, "execution", seconds, case, facts)


def _case(
    shape: ProofShape,
    params: ProofParams,
    setup: Callable[[ProofParams], VerifyingKey],
    public_values: Mapping[str, Any],
    statement: Callable[[int], Trace],
) -> Case:
    from jaxstark.setup import forget_preprocessed

    setup(params)
    forget_preprocessed()
    start = time.perf_counter()
    key = setup(params)
    seconds = time.perf_counter() - start
    return Case(shape, params, key, public_values, seconds, statement)


def _check_registers(air: str, steps: int, execution: vm.Execution) -> None:
    """Raise if the registers are not the golden ones, where there are any."""
    golden = GOLDEN[air].get(steps)
    got = tuple(execution.registers[:4].tolist())
    if golden is not None and got != golden:
        raise ProvingError(f"{air}, {steps} steps, r0..r3: expected {golden}, got {got}")


def _stacked(columns: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    """Columns of ``legacy26`` as one array ``[26, rows]``."""
    return np.stack([columns["steps"][name] for name in COLUMNS])


def _moved(table: Any, source: str) -> Any:
    """A component's columns as one array: on the device, in NumPy or in page-locked memory."""
    import jax
    import jax.numpy as jnp

    from jaxstark import transfer

    if not isinstance(table, ColumnTable):
        table = ColumnTable(tuple(table), jnp.stack(list(table.values())))
    if source == "numpy":
        return np.asarray(table.array)
    if source == "pinned":
        return jax.block_until_ready(transfer.lock(np.asarray(table.array)))
    return jax.block_until_ready(jnp.asarray(table.array))


def ready(out: Any) -> Any:
    """``out``, once the arrays of a trace are there."""
    import jax

    if isinstance(out, Trace):
        tables = out.columns.values()
        whole = [t.array if isinstance(t, ColumnTable) else list(t.values()) for t in tables]
        jax.block_until_ready(whole)
    return out
