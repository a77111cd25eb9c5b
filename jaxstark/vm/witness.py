"""From the witness of an execution, 12 bytes a step, to all trace columns, on the device.

The host ships counters, written words and addresses. Everything else follows from them and from
the program: decoded instructions by a gather; the word that an access finds and the time of the
access before it by one stable sort of all accesses by cell; the rest row by row. Multiplicities of
tables are counted from the lookups of the AIR itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.air.definition import Air, Component, Relation
from jaxstark.air.evaluate import Entry, run
from jaxstark.air.felt import Felt
from jaxstark.fields import m31
from jaxstark.trace import Trace
from jaxstark.vm import isa
from jaxstark.vm.air import AGE, air_of, cell_table, made, rom_table
from jaxstark.vm.circuit import FIELDS
from jaxstark.vm.execution import Execution
from jaxstark.vm.limits import VALUE_OPS, Limits, value_components
from jaxstark.vm.program import Program
from jaxstark.vm.values import TABLES, VALUE_COMPONENTS

_NOWHERE = np.uint32(2**32 - 1)  # the cell of an access that is not made
Columns = dict[str, Any]


def trace(execution: Execution, limits: Limits | None = None) -> Trace:
    """The trace of an execution within limits, by default the smallest.

    Its columns are JAX arrays on the default device. ``ValueError`` if the execution does not fit.
    """
    if not isinstance(execution, Execution):
        raise ValueError(f"execution: expected an Execution, got {type(execution).__name__}")
    program = execution.program
    limits = Limits.of(execution) if limits is None else limits
    air = air_of(program, limits)
    _check_fit(execution, limits)
    log_sizes = limits.log_sizes(program)
    rows = 1 << limits.log_steps
    rom, cells = _tables(program, limits, log_sizes)
    begin = limits.cells - limits.memory_size + program.input_address
    initial = cells.at[begin : begin + limits.input_size].set(execution.public_input)
    # Behind the end the machine repeats its Halt.
    shipped = [
        _padded(execution.pcs, rows, execution.pcs[-1]),
        _padded(execution.values, rows, 0),
        _padded(execution.addresses, rows, 0),
    ]
    columns = _derive(
        air.structure, log_sizes, rom, initial, np.uint32(limits.stack_size), *shipped
    )
    public = {"input": execution.public_input, "output": execution.output}
    return Trace(air, columns, public)


def _check_fit(execution: Execution, limits: Limits) -> None:
    least = Limits.of(execution)
    for name in ("log_steps", "memory_size", "stack_size", *VALUE_OPS):
        if name in VALUE_OPS and name not in value_components(execution.program):
            continue
        needed, have = getattr(least, name), getattr(limits, name)
        if name == "log_steps":
            needed = max(execution.steps - 1, 0).bit_length()
        if name in VALUE_OPS:
            have = max(have, limits.min_log)
        if have < needed:
            raise ValueError(f"limits, {name}: expected at least {needed}, got {have}")
    if len(execution.public_input) != limits.input_size:
        raise ValueError(
            f"limits, input_size: expected {len(execution.public_input)} words as in the public "
            f"input, got {limits.input_size}"
        )


@lru_cache(maxsize=4)
def _tables(program: Program, limits: Limits, log_sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """ROM uint32 ``[len(FIELDS), 2^k]`` and initial words uint32 ``[2^k]``, on the device."""
    rom = made(rom_table, (program,), log_sizes[1])[:-1]
    return jnp.asarray(rom), jnp.asarray(made(cell_table, (program, limits), log_sizes[2])[2])


def _padded(words: np.ndarray, rows: int, last: int) -> np.ndarray:
    if len(words) == rows:
        return words
    out = np.full(rows, last, np.uint32)
    out[: len(words)] = words
    return out


@partial(jax.jit, static_argnames=("air", "log_sizes"))
def _derive(
    air: Air,
    log_sizes: tuple[int, ...],
    rom: Any,
    initial: Any,
    stack_size: Any,
    pcs: Any,
    values: Any,
    addresses: Any,
) -> dict[str, Any]:
    """All columns by component, uint32 ``[columns, 2^k]``, from the shipped words."""
    step: Columns = dict(zip(FIELDS, jnp.take(rom, pcs, axis=1, mode="clip"), strict=True))
    accesses = _accesses(step, initial, stack_size, values, addresses)
    step |= _operands(step, accesses, pcs, values)
    sizes = {comp.name: 1 << k for comp, k in zip(air.components, log_sizes, strict=True)}
    components = {comp.name: comp for comp in air.components}
    clk = {"step_clk": jnp.arange(len(pcs), dtype=jnp.uint32)}
    step["age_uses"] = jnp.zeros_like(pcs)
    ages = _lookups(air, components["steps"], step | clk, AGE)[:-1]  # the last one provides
    step["age_uses"] = _count(ages, len(pcs))
    out = {
        "steps": step,
        "program": {"uses": _histogram(pcs, sizes["program"])},
        "memory": {"time": accesses.last_time, "word": accesses.last_word},
    }
    for comp, fill, uses in VALUE_COMPONENTS.values():
        if comp.name in components:
            out[comp.name] = _value_columns(step, fill, uses, sizes[comp.name])
    filled = [comp for comp in air.components if comp.name in out]
    for name, (_, relation) in TABLES.items():
        if name in components:
            found = [_lookups(air, comp, out[comp.name], relation) for comp in filled]
            out[name] = {"uses": _count(sum(found, []), sizes[name])}
    return {
        comp.name: jnp.stack([out[comp.name][name] for name in comp.columns])
        for comp in air.components
    }


class _Accesses(NamedTuple):
    """What the memory argument says of the accesses to src1, src2, dst and memory, in this order.

    Attributes:
      words: the word that the access finds, uint32 ``[4, steps]``; 0 without access.
      times: time of the access before it, uint32 ``[4, steps]``; 0 if there is none.
      last_time, last_word: of every cell at the end, uint32 ``[cells]``.
    """

    words: Any
    times: Any
    last_time: Any
    last_word: Any


def _accesses(
    step: Columns, initial: Any, stack_size: Any, values: Any, addresses: Any
) -> _Accesses:
    rows = len(values)
    on_stack = step["stack"] == 1
    cells = [
        jnp.where(step["use1"] == 1, step["src1"], _NOWHERE),
        jnp.where(step["use2"] == 1, step["src2"], _NOWHERE),
        jnp.where(step["access_d"] == 1, step["dst"], _NOWHERE),
        jnp.where(
            step["mem"] == 1,
            addresses + np.uint32(isa.REGISTERS) + jnp.where(on_stack, np.uint32(0), stack_size),
            _NOWHERE,
        ),
    ]
    written = [
        step["use1"] != step["keep1"],
        step["use2"] != step["keep2"],
        step["access_d"] == 1,
        (step["mem"] == 1) & (step["v_x"] == 0),
    ]
    # Time goes first, so that a stable sort by cell leaves every cell's accesses in order.
    cell = jnp.stack(cells, axis=1).reshape(-1)
    count = len(cell)
    place = jnp.arange(count, dtype=jnp.uint32)
    cell, order = jax.lax.sort((cell, place), num_keys=1, is_stable=True)
    writes = jnp.take(jnp.stack(written, axis=1).reshape(-1), order, mode="clip")
    time = (order >> np.uint32(2)) + np.uint32(1)
    begins = jnp.concatenate([jnp.ones(1, bool), cell[1:] != cell[:-1]])
    ends = jnp.concatenate([begins[1:], jnp.ones(1, bool)])
    # 2s for a cell's first access at place s, 2s + 1 for a write there: the running maximum is odd
    # if the last of them was a write.
    mark = jnp.where(writes, 2 * place + np.uint32(1), jnp.where(begins, 2 * place, np.uint32(0)))
    mark = jax.lax.cummax(mark)
    start = jnp.take(initial, cell, mode="clip")
    written_word = jnp.take(values, jnp.take(time, mark >> np.uint32(1)) - np.uint32(1))
    after = jnp.where(mark & np.uint32(1) == 1, written_word, start)
    before = jnp.where(begins, start, jnp.roll(after, 1))
    previous = jnp.where(begins, np.uint32(0), jnp.roll(time, 1))
    real = cell != _NOWHERE

    def unsorted(column: Any) -> Any:
        column = jnp.where(real, column, np.uint32(0))
        placed = jnp.zeros(count, jnp.uint32).at[order].set(column, unique_indices=True)
        return placed.reshape(rows, 4).T

    # Where a cell ends; all other places are outside and dropped.
    target = jnp.where(ends & real, cell, _NOWHERE)
    return _Accesses(
        unsorted(before),
        unsorted(previous),
        jnp.zeros_like(initial).at[target].set(time, mode="drop"),
        initial.at[target].set(after, mode="drop"),
    )


def _operands(step: Columns, accesses: _Accesses, pcs: Any, values: Any) -> Columns:
    """The columns of the step component that are no ROM columns, but for ``age_uses``."""
    a, b, d, x = accesses.words
    b = jnp.where(step["same"] == 1, a, b)
    d = jnp.where(step["use1"] != step["keep1"], a, d)
    d = jnp.where(step["use2"] != step["keep2"], b, d)
    x = jnp.where(step["co"] == 1, values, x)
    pops = step["stack"] * step["v_x"]
    depth = _before(step["stack"] - pops - pops)
    terms = (
        m31.mul(step["r_ab"], m31.mul(a, b)),
        m31.mul(step["r_a"], a),
        m31.mul(step["r_b"], b),
        m31.mul(step["r_d"], d),
        step["stack"] * depth,
        step["r_1"],
    )
    r = terms[0]
    for term in terms[1:]:
        r = m31.add(r, term)
    r = m31.canonical(r)
    time_a, time_b, time_d, time_x = accesses.times
    return {
        **{"next_pc": jnp.concatenate([pcs[1:], pcs[-1:]]), "a": a, "b": b, "d": d, "r": r},
        **{"x": x, "value": values, "inverse": m31.inv(r), "depth": depth},
        **{"time_a": time_a, "time_b": time_b, "time_d": time_d, "time_x": time_x},
        "out_index": _before(step["out"]),
    }


def _before(change: Any) -> Any:
    """Running sum of what came before each row; words may be negative mod 2^32."""
    return jnp.cumsum(change, dtype=jnp.uint32) - change


def _value_columns(step: Columns, fill: Any, uses: Mapping[str, int], rows: int) -> Columns:
    """The columns of a value component: the steps that need it, one a row, then padding."""
    steps = len(step["op"])
    needs = (step["co"] == 1) & jnp.isin(step["op"], jnp.array(list(uses.values()), jnp.uint32))
    (chosen,) = jnp.nonzero(needs, size=rows, fill_value=steps)
    chosen = chosen.astype(jnp.uint32)

    def pick(name: str) -> Any:
        return jnp.take(step[name], chosen, mode="fill", fill_value=0)

    op = pick("op")
    counts = {name: (op == code).astype(jnp.uint32) for name, code in uses.items()}
    return fill(pick("a"), pick("r")) | counts


def _lookups(air: Air, comp: Component, columns: Columns, relation: Relation) -> list[Entry]:
    """The entries of a relation in a component, in order."""
    current = {name: Felt(column) for name, column in columns.items()}
    current |= {name: Felt(0) for name in comp.preprocessed_names if name not in columns}
    _, entries = run(air, comp, current, current, {})
    return [entry for entry in entries if entry.relation == relation]


def _count(entries: Sequence[Entry], rows: int) -> Any:
    """How often each row of a table is used; the table holds 0 .. rows - 1 or pairs of nibbles."""
    total = jnp.zeros(rows, jnp.uint32)
    for _, values, multiplicity in entries:
        index = _word(values[0]) if len(values) == 1 else _word(values[0] * 16 + values[1])
        weight = jnp.broadcast_to(jnp.asarray(_word(multiplicity), jnp.uint32), index.shape)
        # An unused entry may hold anything.
        total = total.at[index].add(weight, mode="drop")
    return total


def _word(value: Any) -> Any:
    word = value.value if isinstance(value, Felt) else value
    return word if isinstance(word, int) else m31.canonical(word)


def _histogram(index: Any, rows: int) -> Any:
    return jnp.zeros(rows, jnp.uint32).at[index].add(np.uint32(1), mode="drop")
