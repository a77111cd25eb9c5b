"""Kernels that share launches: those that need nothing of each other run in one.

A launch costs a few microseconds of a proof, and a call site time to compile; arrays of several
sizes, or constraints of several components, would need one each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from functools import partial, wraps
from itertools import accumulate, count, zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from jaxstark.pallas import launch
from jaxstark.pallas.launch import Body

Array = Any
Ref = Any
# Most code of a launch of several kernels, whose times to compile add up: at most 4.4 s on the host
# of an H200, tracing included. A test allows 5, and hosts differ by half.
MAX_CODE = 210
# A computation of kernels that follow each other: yields a kernel, is sent its outputs, and
# returns its result.
type Steps[T] = Generator[Kernel, list[Array], T]


class Kernel(NamedTuple):
    """A kernel that is not launched yet: it has no barriers, and may share its launch.

    Attributes:
      body: as for ``launch``.
      out: the outputs.
      grid: as for ``launch``.
      scratch: shape of each array of shared memory, uint32. One with one axis may be longer where
        the launch is shared: a body must not go by its shape.
      inputs: device arrays.
      code: how long the body takes to trace and compile, about, in units of 15 to 22 ms on hosts of
        H200s, or 10 on a newer one: one column of an AIR, read and used.
    """

    body: Body
    out: tuple[jax.ShapeDtypeStruct, ...]
    grid: tuple[int, ...]
    scratch: tuple[tuple[int, ...], ...]
    inputs: tuple[Array, ...]
    code: int = 20


def run(kernel: Kernel, *, interpret: bool) -> list[Array]:
    """The outputs of a kernel that has a launch of its own."""
    call = launch.launch(
        kernel.body,
        kernel.out,
        grid=kernel.grid,
        scratch=[launch.shared(shape) for shape in kernel.scratch],
        barriers=False,
        interpret=interpret,
    )
    return list(call(*kernel.inputs))


def run_together(kernels: Sequence[Kernel], *, interpret: bool) -> list[list[Array]]:
    """The outputs of each of some kernels, from one launch: of several, each waits for the last.

    Blocks of the first kernel come first, then those of the second, and so on. No kernel may need
    what another one makes. A block runs one body, so that they share registers and shared memory.
    """
    if len(kernels) == 1:
        return [run(kernels[0], interpret=interpret)]
    ends = list(accumulate(math.prod(kernel.grid) for kernel in kernels))
    scratch = _memory(kernels, interpret)

    def body(point: Any, *refs: Ref) -> None:
        left = iter(refs)
        inputs = [[next(left) for _ in kernel.inputs] for kernel in kernels]
        outputs = [[next(left) for _ in kernel.out] for kernel in kernels]
        memory, first = list(left), 0
        for kernel, end, *own in zip(kernels, ends, inputs, outputs, strict=True):
            mine = memory[: len(kernel.scratch)]
            if interpret:  # which has an array for each
                memory = memory[len(kernel.scratch) :]
            block = launch.point(point[0] - np.int32(first), kernel.grid)
            shared = map(_view, mine, kernel.scratch)
            start = partial(kernel.body, block, *own[0], *own[1], *shared)
            pl.when((point[0] >= np.int32(first)) & (point[0] < np.int32(end)))(start)
            first = end

    call = launch.launch(
        body,
        [out for kernel in kernels for out in kernel.out],
        grid=(ends[-1],),
        scratch=[launch.shared(shape) for shape in scratch],
        barriers=False,
        interpret=interpret,
        name="_and_".join(dict.fromkeys(launch.name_of(kernel.body) for kernel in kernels)),
    )
    results = iter(call(*(array for kernel in kernels for array in kernel.inputs)))
    return [[next(results) for _ in kernel.out] for kernel in kernels]


def _memory(kernels: Sequence[Kernel], interpret: bool) -> list[tuple[int, ...]]:
    """Shapes of the shared memory of a launch: every kernel finds its own at the same places.

    The interpreter cannot cut memory into another shape, and has as much as there are kernels.
    """
    if interpret:
        return [shape for kernel in kernels for shape in kernel.scratch]
    words = zip_longest(*(map(math.prod, kernel.scratch) for kernel in kernels), fillvalue=0)
    return [(max(sizes),) for sizes in words]


def _view(memory: Ref, shape: tuple[int, ...]) -> Ref:
    if len(shape) == 1 or tuple(memory.shape) == shape:
        return memory
    return memory.at[pl.ds(0, math.prod(shape))].reshape(*shape)


def run_steps[T](steps: Steps[T], *, interpret: bool) -> T:
    """The result of one computation, each of its kernels in a launch of its own."""
    (result,) = side_by_side([steps], interpret=interpret)
    return result


def alone[**P, T](computation: Callable[P, Steps[T]]) -> Callable[P, T]:
    """A function that runs a computation by itself; ``interpret`` is one of its keywords."""

    @wraps(computation)
    def run_alone(*arguments: P.args, **options: P.kwargs) -> T:
        interpret = bool(options.get("interpret", False))
        return run_steps(computation(*arguments, **options), interpret=interpret)

    return run_alone


def side_by_side[T](
    computations: Sequence[Steps[T]], *, interpret: bool, delays: Sequence[int] = ()
) -> list[T]:
    """The results of computations that need nothing of each other.

    Their first kernels share launches, then their second ones, and so on; see ``launches``. With
    delays, they start so many rounds late.
    """
    delays = delays or [0] * len(computations)
    results: dict[int, T] = {}
    waiting: dict[int, Kernel] = {}

    def go_on(index: int, outputs: list[Array] | None) -> None:
        try:
            # A computation starts with nothing to be sent.
            waiting[index] = (
                next(computations[index]) if outputs is None else computations[index].send(outputs)
            )
        except StopIteration as end:
            results[index] = end.value

    for turn in count():
        for index in range(len(computations)):
            if delays[index] == turn:
                go_on(index, None)
        if len(results) == len(computations):
            break
        indices, kernels = list(waiting), list(waiting.values())
        made: dict[int, list[Array]] = {}
        for some in launches(kernels):
            outputs = run_together([kernels[i] for i in some], interpret=interpret)
            made |= zip((indices[i] for i in some), outputs, strict=True)
        waiting.clear()
        for index, outputs in made.items():
            go_on(index, outputs)
    return [results[index] for index in range(len(computations))]


def launches(kernels: Sequence[Kernel]) -> list[list[int]]:
    """Which kernels share a launch.

    Of a launch, kernels of one block come first, which may be long chains, then those with the most
    blocks, so that small ones fill its end.
    """
    groups = bundles([kernel.code for kernel in kernels])
    return [sorted(some, key=lambda i: _place(kernels[i])) for some in groups]


def bundles(codes: Sequence[int]) -> list[list[int]]:
    """Lengths of code in few bundles, those of several with ``MAX_CODE`` at most.

    Of as many bundles, those whose longest is shortest: what one launch could take, another has.
    """
    few = _fewest(codes)
    longest = max((code for code in codes if code <= MAX_CODE), default=MAX_CODE)
    found = (_first_fit(codes, most) for most in range(longest, MAX_CODE + 1))
    return next(some for some in found if len(some) == few)


def _fewest(codes: Sequence[int]) -> int:
    """How many bundles lengths of code need."""
    return len(_first_fit(codes, MAX_CODE))


def _first_fit(codes: Sequence[int], most: int) -> list[list[int]]:
    """The longest go first, each into the first bundle with room for it."""
    out: list[list[int]] = []
    for index in sorted(range(len(codes)), key=lambda i: -codes[i]):
        for some in out:
            if codes[index] + sum(codes[i] for i in some) <= most:
                some.append(index)
                break
        else:
            out.append([index])
    return [sorted(some) for some in out]


def _place(kernel: Kernel) -> tuple[bool, int]:
    blocks = math.prod(kernel.grid)
    return blocks > 1, -blocks


def in_few_launches[T](makes: Sequence[Callable[[], Steps[T]]], *, interpret: bool) -> list[T]:
    """``side_by_side`` of what some functions make, short ones started where launches have room."""
    delays = starts([codes(make) for make in makes])
    return side_by_side([make() for make in makes], interpret=interpret, delays=delays)


def starts(each: Sequence[Sequence[int]]) -> list[int]:
    """Rounds in which computations start, given the codes of their kernels.

    The longest choose first. Each adds as few launches as it can to those before it, and starts
    late, which leaves room: first kernels take longest to compile.
    """
    rounds: list[list[int]] = []
    out = [0] * len(each)
    for index in sorted(range(len(each)), key=lambda i: (-len(each[i]), -sum(each[i]))):
        choices = range(len(rounds), -1, -1)
        made = {start: _started(rounds, each[index], start) for start in choices}
        out[index] = min(choices, key=lambda s: sum(map(_fewest, made[s])))
        rounds = made[out[index]]
    return out


def _started(rounds: Sequence[list[int]], codes: Sequence[int], start: int) -> list[list[int]]:
    """Rounds with a computation that starts in one of them, or after them."""
    out = [*map(list, rounds), *([] for _ in range(start + len(codes) - len(rounds)))]
    for some, code in zip(out[start:], codes, strict=False):
        some.append(code)
    return out


def codes(make: Callable[[], Steps[Any]]) -> list[int]:
    """Those of the kernels of a computation, by one that is made for it and computes nothing."""
    found: list[int] = []

    def run() -> None:
        steps = make()
        try:
            kernel = next(steps)
            while True:
                found.append(kernel.code)
                kernel = steps.send([jnp.zeros(out.shape, out.dtype) for out in kernel.out])
        except StopIteration:
            pass

    jax.eval_shape(run)
    return found


def in_turn[T](computations: Sequence[Steps[T]]) -> Steps[list[T]]:
    """One computation after the other."""
    results = []
    for steps in computations:
        results.append((yield from steps))
    return results
