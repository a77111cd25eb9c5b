"""DEEP quotients on the GPU, bit for bit those of ``jaxstark.deep``.

The functions run the kernel or raise; ``fits`` tells which plans it takes. ``interpret=True`` runs
it on a CPU, slowly, for tests. Source: protocol section 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jax

from jaxstark.deep import Coefficients, DeepPlan
from jaxstark.deep_coefficients import check
from jaxstark.fields import m31
from jaxstark.fields.qm31 import DEGREE
from jaxstark.lifting import lift
from jaxstark.pallas import launch, lifted
from jaxstark.pallas.deep import coefficients as coefficient_kernel
from jaxstark.pallas.deep import mosaic_gpu
from jaxstark.pallas.deep.config import LOG_LANES, DeepConfig
from jaxstark.pallas.deep.mosaic_gpu import Columns, Source
from jaxstark.pallas.deep.schedule import Step, spread, steps
from jaxstark.pallas.later import Later, read
from jaxstark.pallas.together import Steps, run_steps, side_by_side

Array = Any
# Tree and group of an array.
Place = tuple[int, int]


def fits(plan: DeepPlan) -> bool:
    """Whether the largest domain fills the 128 lanes of a block."""
    return plan.log_domain >= LOG_LANES


@partial(jax.jit, static_argnums=0, static_argnames="interpret")
def coefficients(
    plan: DeepPlan, values: Array, z: Array, deep: Array, *, interpret: bool = False
) -> Coefficients:
    """What ``jaxstark.deep.coefficients`` returns, from traced arrays.

    Args:
      plan: of the proof shape, from ``jaxstark.deep.make_plan``.
      values: all sampled values in the order [tree][column][sample], uint32 ``[n, 4]``.
      z: x and y of the out-of-domain point, uint32 ``[2, 4]``.
      deep: the batching coefficient, uint32 ``[4]``.
      interpret: run on a CPU.

    One launch between two gathers. Raises ``ValueError`` for other shapes.
    """
    check(plan, values, z, deep)
    return coefficient_kernel.coefficients(plan, values, z, deep, interpret=interpret)


def quotients_from(
    plan: DeepPlan,
    evaluations: Sequence[Sequence[Array | Later]],
    data: Coefficients,
    x: Array,
    y: Array,
    *,
    config: DeepConfig = DeepConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """The sum of all DEEP quotients, uint32 ``[4, 2^H]`` in storage order, canonical.

    Args:
      plan: of the proof shape, from ``jaxstark.deep.make_plan``; ``fits``.
      evaluations: ``[tree][group]`` uint32, of the plan's shapes, words at most p. Those that come
        ``Later`` are made, added and dropped one after the other.
      data: coefficients, as arrays.
      x: of the domain points, uint32 ``[2^H]``.
      y: of the domain points, uint32 ``[2^H]``.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    A row where a denominator is 0, which an out-of-domain point hits with negligible probability,
    may differ from ``jaxstark.deep``. Raises ``ValueError`` for other shapes and plans.
    """
    _check(plan, evaluations, data, x, y)
    arrays = {(t, g): array for t, tree in enumerate(evaluations) for g, array in enumerate(tree)}
    if any(isinstance(array, Later) for array in arrays.values()):
        return _in_turn(plan, arrays, data, x, y, config, interpret)
    return _together(plan, arrays, data, x, y, config, interpret)


@partial(jax.jit, static_argnums=(0, 5, 6))
def _together(
    plan: DeepPlan,
    arrays: Mapping[Place, Array],
    data: Coefficients,
    x: Array,
    y: Array,
    config: DeepConfig,
    interpret: bool,
) -> Array:
    """The quotients, sums of all smaller sizes side by side."""
    *small, last = steps(plan, config)
    sums = side_by_side(
        [_numerators(step, arrays, {}, data, config, interpret) for step in small],
        interpret=interpret,
    )
    before = dict(zip(small, sums, strict=True))
    return _quotients(last, arrays, before, data, x, y, config, interpret)


def _in_turn(
    plan: DeepPlan,
    arrays: Mapping[Place, Array | Later],
    data: Coefficients,
    x: Array,
    y: Array,
    config: DeepConfig,
    interpret: bool,
) -> Array:
    """The quotients, one array after the other."""
    later = frozenset(place for place, array in arrays.items() if isinstance(array, Later))
    *others, last = steps(plan, config, later)
    sums: dict[Step, Array] = {}  # not yet in others

    def made(step: Step) -> dict[Place, Array]:
        """The arrays of a step, once the numerators before it are there."""
        nonlocal sums, data
        out = {}
        for place in dict.fromkeys((run.tree, run.group) for run in step.runs):
            out[place], (rows, data) = read(arrays[place], (list(sums.values()), data))
            sums = dict(zip(sums, rows, strict=True))
        return out

    def before(step: Step) -> dict[Step, Array]:
        """What a step starts from: the one before of its size, or all smaller sizes."""
        same = {one: rows for one, rows in sums.items() if one.log == step.log}
        return same or (sums if step.log == plan.log_domain else {})

    for step in others:
        own = made(step)
        added = before(step)
        total = run_steps(
            _numerators(step, own, added, data, config, interpret), interpret=interpret
        )
        sums = {one: rows for one, rows in sums.items() if one not in added} | {step: total}
    own = made(last)
    return _quotients(last, own, before(last), data, x, y, config, interpret)


def _quotients(
    step: Step,
    arrays: Mapping[Place, Array],
    before: Mapping[Step, Array],
    data: Coefficients,
    x: Array,
    y: Array,
    config: DeepConfig,
    interpret: bool,
) -> Array:
    """The result of the last step, which starts from the numerators of others."""
    inputs = _Inputs(step, config.cut(step.log, len(step.points))[0])
    runs = inputs.columns(arrays)
    starts = inputs.starts(before)
    quotients = mosaic_gpu.quotients(
        inputs.arrays, runs, starts, data, x, y, config=config, interpret=interpret
    )
    return run_steps(quotients, interpret=interpret)


def _numerators(
    step: Step,
    arrays: Mapping[Place, Array],
    before: Mapping[Step, Array],
    data: Coefficients,
    config: DeepConfig,
    interpret: bool,
) -> Steps[Array]:
    """Four rows for each point of a step, one after the other, uint32 ``[4 points, 2^log]``."""
    inputs = _Inputs(step, config.cut(step.log, len(step.points))[0])
    runs = inputs.columns(arrays)
    made = yield from mosaic_gpu.numerators(
        *(inputs.arrays, runs, inputs.starts(before), data, step.log),
        config=config,
        interpret=interpret,
    )
    return made.reshape(-1, made.shape[-1])


class _Inputs:
    """Arrays that a kernel reads, each once; lifted here where the kernel does not lift.

    It does with one word a thread, and where a load shows one pair.
    """

    def __init__(self, step: Step, words: int) -> None:
        self.step, self.words, self.arrays = step, words, []
        self._found: dict[int, tuple[Array, int]] = {}

    def columns(self, arrays: Mapping[Place, Array]) -> list[Columns]:
        """What the step adds."""
        return [
            Columns(
                self.source(arrays[run.tree, run.group], run.log, run.row, run.count),
                run.count,
                tuple((self.step.points.index(p), first) for p, first in run.terms),
            )
            for run in self.step.runs
        ]

    def starts(self, before: Mapping[Step, Array]) -> list[Source | None]:
        """Where the numerator of each point starts: at its sum over the steps before."""
        return [self._start(before, point) for point in self.step.points]

    def _start(self, before: Mapping[Step, Array], point: int) -> Source | None:
        found = [
            (rows, step.log, DEGREE * step.points.index(point))
            for step, rows in before.items()
            if point in step.points
        ]
        if len(found) < 2:
            return self.source(*found[0], DEGREE) if found else None
        log = max(log for _, log, _ in found)
        lifts = [lift(rows[first : first + DEGREE], log) for rows, _, first in found]
        return self.source(reduce(m31.add, lifts), log, 0, DEGREE)

    def source(self, array: Array, log: int, row: int, count: int) -> Source:
        """Rows of an array of ``2^log`` words each."""
        if (small := self._small(array, log)) is not None:
            return Source(self._index(array, small), log, row)
        self.arrays.append(lift(array[row : row + count], self.step.log))
        return Source(len(self.arrays) - 1, self.step.log, 0)

    def _small(self, rows: Array, log: int) -> Array | None:
        """Rows of ``2^log`` words as the kernel reads them; None if it does not."""
        if self.words == 1:
            return lifted.cut(rows, self.step.log - log)
        direct = log == self.step.log or spread(log, self.step.log, self.words)
        return rows if direct else None

    def _index(self, key: Array, array: Array) -> int:
        if id(key) not in self._found:
            self.arrays.append(array)
            self._found[id(key)] = (key, len(self.arrays) - 1)  # the key lives as long as its id
        return self._found[id(key)][1]


def _check(plan: DeepPlan, evaluations: Any, data: Coefficients, x: Array, y: Array) -> None:
    if not fits(plan):
        raise ValueError(f"log domain: expected at least {LOG_LANES}, got {plan.log_domain}")
    got = tuple(tuple(tuple(group.shape) for group in tree) for tree in evaluations)
    if got != plan.group_shapes:
        raise ValueError(f"evaluations: expected shapes {plan.group_shapes}, got {got}")
    n_terms = sum(len(terms) for sizes in plan.terms for _, terms in sizes)
    n_points = len(plan.points)
    shapes = ((n_terms, 4), (n_points, 4), (n_points, 4), (n_points, 3, 2))
    shapes = (*shapes, *((1 << plan.log_domain,),) * 2)
    names = (*Coefficients._fields, "x", "y")
    named = zip(names, (*data, x, y), shapes, strict=True)
    everything = [*named, *(("evaluations", g, tuple(g.shape)) for t in evaluations for g in t)]
    for name, array, shape in everything:
        if not launch.is_words(array, shape):
            raise ValueError(
                f"{name}: expected uint32 {list(shape)}, got {array.dtype} {list(array.shape)}"
            )
