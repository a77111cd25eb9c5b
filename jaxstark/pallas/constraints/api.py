"""Constraints on the GPU, bit for bit as ``jaxstark.composition`` and ``jaxstark.interaction``.

These functions run an AIR's own constraint function inside a kernel or raise; they never fall back
to XLA. A block evaluates 128 rows or points at once, those of a smaller component several times.
``jaxstark.pallas.probe.supported`` tells whether the device can.

``interpret=True`` runs the kernels on a CPU, slowly, for tests. Source: protocol sections 8, 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.air.definition import Air
from jaxstark.fields import m31, qm31
from jaxstark.logup import elements_shape
from jaxstark.pallas import launch
from jaxstark.pallas.channel import api as channel
from jaxstark.pallas.channel.api import Step
from jaxstark.pallas.constraints import logup, point, quotient
from jaxstark.pallas.constraints.config import InteractionConfig, PointConfig, QuotientConfig
from jaxstark.pallas.constraints.moved import Component, gathered, one_row_back, spread
from jaxstark.pallas.constraints.point_program import program as point_program
from jaxstark.pallas.constraints.reads import Reads, reads
from jaxstark.pallas.launch import LANES
from jaxstark.pallas.together import (
    Steps,
    alone,
    bundles,
    run,
    run_together,
    side_by_side,
)
from jaxstark.shape import ProofShape

Array = Any


class Part(NamedTuple):
    """A component of ``quotients``.

    Attributes:
      component: the component and what is evaluated of it.
      first: which power of the composition coefficient belongs to its first constraint; the others
        follow.
      claim: which share is its own, if it has lookups.
    """

    component: Component
    first: int = 0
    claim: int = 0


def quotients(
    air: Air,
    parts: Sequence[Part],
    powers: Array,
    shares: Array,
    public: Mapping[str, Array],
    elements: Array,
    *,
    config: QuotientConfig = QuotientConfig(),  # noqa: B008
    interpret: bool = False,
) -> dict[int, Array]:
    """The quotients of components on their domains, added up for each size; in few launches.

    Args:
      air: the AIR.
      parts: components, of ``2^k`` rows each, k at least 1. Of their ``groups``, evaluations of
        the size group in each tree, only those that the component reads matter; one without arrays
        is empty.
      powers: powers of the composition coefficient, uint32 ``[n, 4]``.
      shares: claimed sums of components, each divided by its number of rows, uint32 ``[m, 4]``;
        read by components with lookups.
      public: public vectors by name, uint32.
      elements: as ``jaxstark.logup.encode_elements`` makes them; not read without relations.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Returns uint32 ``[4, 2^(k+1)]`` by k. Raises ``ValueError`` for other shapes and types.
    """
    by_size: dict[int, list[quotient.Part]] = {}
    checked = {p.component.index: _checked(air, p, powers, shares) for p in parts}
    moved = one_row_back(air, [p.component for p in parts], config=config)
    for part in parts:
        index, where, *_ = part.component
        info, read = air.info.components[index], reads(air, index, rules=True)
        size, arrays = checked[index]
        some = by_size.setdefault(size, [])
        if not info.constraints:
            continue
        table, places = moved.get(index, (None, ()))
        if table is not None:
            arrays["moved"] = table
        arrays |= _scalars(air, info, read, public, elements)
        some.append(quotient.Part(index, read, where, arrays, places, part.first, part.claim))
    make = partial(quotient.quotient, air, config=config, interpret=interpret)
    kernels = [
        (size, [some[i] for i in bundle])
        for size, some in by_size.items()
        for bundle in bundles([quotient.code(air, part) for part in some])
    ]
    made = side_by_side(
        [make(some, max(size, 2 * LANES)) for size, some in kernels], interpret=interpret
    )
    out: dict[int, Array] = {}
    for (size, _), own in zip(kernels, made, strict=True):
        k, own = size.bit_length() - 2, gathered(own, size)
        out[k] = m31.add(out[k], own) if k in out else own
    for size, some in by_size.items():
        if not some:  # no constraints
            out[size.bit_length() - 2] = jnp.zeros((qm31.DEGREE, size), np.uint32)
    return out


def _checked(air: Air, part: Part, powers: Array, shares: Array) -> tuple[int, dict[Any, Any]]:
    """Points of the domain of a component, and the arrays that its quotient reads."""
    index, _, groups, back = part.component
    comp, info = air.components[index], air.info.components[index]
    size = _columns("trace group", groups[1][0], 4)
    _check("powers", powers, (None, qm31.DEGREE))
    if not 0 <= part.first <= len(powers) - len(info.constraints):
        raise ValueError(
            f"powers: expected {len(info.constraints)} from number {part.first} on, "
            f"got {len(powers)}"
        )
    if back.shape != (size,):
        raise ValueError(f"back: expected {size} slots, got shape {back.shape}")
    arrays: dict[Any, Any] = {"trace": tuple(groups[1]), "powers": powers}
    if set(comp.preprocessed_names) & reads(air, index, rules=True).current:
        arrays["fixed"] = tuple(groups[0])
    if info.n_entries:
        _check("shares", shares, (None, qm31.DEGREE))
        if not 0 <= part.claim < len(shares):
            raise ValueError(f"shares: expected number {part.claim}, got {len(shares)}")
        arrays["interaction"], arrays["shares"] = tuple(groups[2]), shares
    for name in {"fixed", "trace", "interaction"} & set(arrays):
        for array in arrays[name] or (None,):
            _columns(f"{name} group", array, 4, size)
        arrays[name] = tuple(map(spread, arrays[name]))
    return size, arrays


@partial(jax.jit, static_argnames=("air", "index", "where", "config", "interpret"))
def component_quotient(
    air: Air,
    index: int,
    where: Any,
    groups: Sequence[Any],
    back: Array,
    powers: Array,
    share: Array,
    public: Mapping[str, Array],
    elements: Array,
    *,
    config: QuotientConfig = QuotientConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """The quotient of one component's constraints on its domain, uint32 ``[4, 2^(k+1)]``.

    Args:
      air: the AIR.
      index: of the component, which has ``2^k`` rows, k at least 1.
      where: rows of its columns in the groups, from ``jaxstark.composition.locate``.
      groups: per tree, the evaluations of the size group of its log size k, uint32
        ``[columns, 2^(k+1)]`` in storage order, or a tuple of such arrays whose rows are numbered
        through; only those that the component reads matter.
      back: slots one row back: ``circle.shifted_slots(k, k + 1, -1)``.
      powers: powers of the composition coefficient for its constraints, uint32 ``[n, 4]``.
      share: claimed sum divided by the number of rows, uint32 ``[4]``; read if it has lookups.
      public: public vectors by name, uint32.
      elements: as ``jaxstark.logup.encode_elements`` makes them; not read without relations.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Raises ``ValueError`` for other shapes and types.
    """
    parts = [group if isinstance(group, list | tuple) else (group,) for group in groups]
    if air.info.components[index].n_entries:
        _check("share", share, (qm31.DEGREE,))
        share = share[None]
    (made,) = quotients(
        air,
        [Part(Component(index, where, parts, back))],
        *(powers, share, public, elements),
        config=config,
        interpret=interpret,
    ).values()
    return made


def lookups(
    air: Air,
    index: int,
    columns: Array,
    fixed: Sequence[Array],
    public: Mapping[str, Array],
    elements: Array,
    *,
    config: InteractionConfig = InteractionConfig(),  # noqa: B008
    interpret: bool = False,
) -> Steps[tuple[list[Array], Array]]:
    """LogUp columns of a component, ``4 batches`` in all, and its claimed sum, uint32 ``[4]``.

    A computation of kernels, which may share their launches; ``interaction`` is that alone.

    Columns are uint32 ``[4 (batches - 1), 2^k]``, if there are several batches, and the four of the
    last one, ``[4, 2^k]``.

    Args:
      air: the AIR.
      index: of the component, which has lookups and ``2^k`` rows, k at least 1.
      columns: trace columns in row order, uint32 ``[n, 2^k]``.
      fixed: its preprocessed columns in row order, each uint32 ``[2^k]``.
      public: public vectors by name, uint32.
      elements: as ``jaxstark.logup.encode_elements`` makes them; not read without relations.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Raises ``ValueError`` for other shapes and types, and for a component without lookups.
    """
    comp, info = air.components[index], air.info.components[index]
    if not info.n_entries:
        raise ValueError(f"component {comp.name}: expected lookups, got none")
    read = reads(air, index, rules=False)
    rows = _columns("columns", columns, 2, count=len(comp.columns))
    arrays: dict[Any, Array] = {"columns": columns}
    for name, column in zip(comp.preprocessed_names, fixed, strict=True):
        if name in read.current:
            arrays["fixed", name] = column
            _check(f"fixed column {name}", column, (rows,))
    back = [i for i, name in enumerate(comp.columns) if name in read.previous]
    if back:
        arrays["back"] = jnp.stack([jnp.roll(columns[i], 1) for i in back])
    if rows < LANES:  # repeated: a block has no fewer lanes
        arrays = {name: jnp.tile(a, LANES // rows) for name, a in arrays.items()}
    arrays |= _scalars(air, info, read, public, elements)
    *before_last, local, totals = yield from logup.fractions(
        air, index, read, arrays, rows, config=config, interpret=interpret
    )
    blocks = local.shape[1] // LANES
    before, claimed = yield from logup.offsets(totals, blocks, interpret=interpret)
    last = yield from logup.settled(local, before, claimed, rows, interpret=interpret)
    return [piece[:, :rows] for piece in (*before_last, last)], claimed


interaction = jax.jit(alone(lookups), static_argnames=("air", "index", "config", "interpret"))


@partial(jax.jit, static_argnames=("air", "shape", "config", "interpret"))
def defect(
    air: Air,
    shape: ProofShape,
    samples: Array,
    vanishing: Array,
    coefficient: Array,
    public: Mapping[str, Array],
    elements: Array,
    claims: Array,
    mixed: Sequence[Array] | None = None,
    *,
    config: PointConfig = PointConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, Step | None]:
    """The prover's own check at the out-of-domain point, uint32 ``[4]``: 0 if it passes.

    With v for ``vanishing``, this is ``composition_at(..) - v (left + v right)``: 0 exactly if
    ``jaxstark.statement.composition_matches``. Beside it in its launch, a step of the channel.

    Args:
      air: the AIR.
      shape: of the proof.
      samples: sampled values of all trees, uint32 ``[n_samples, 4]`` in wire order.
      vanishing: ``pi^(L-1)(z.x)``, uint32 ``[4]``.
      coefficient: the composition coefficient, uint32 ``[4]``.
      public: public vectors by name, uint32.
      elements: as ``jaxstark.logup.encode_elements`` makes them; not read without relations.
      claims: claimed sum of every component with lookups, uint32 ``[n, 4]``.
      mixed: the digest of a channel, uint32 ``[8]``, then words to mix into it before a draw, as
        for ``channel.api.mix_and_draw``; None for the check alone.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Returns the check and, with ``mixed``, the step. Raises ``ValueError`` for other shapes and
    types, and for an AIR too large for a block.
    """
    code = point_program(air, shape, config)
    given: dict[Any, tuple[str, Array]] = {
        "samples": ("samples", samples),
        "elements": ("elements", elements),
        "claims": ("claims", claims),
        "coefficient": ("coefficient", coefficient),
        "vanishing": ("vanishing", vanishing),
    }
    given |= {("public", name): (f"public value {name}", w) for name, w in public.items()}
    arrays = []
    for key, count in code.inputs:
        title, array = given[key][0], jnp.asarray(given[key][1])
        expected: tuple[int, ...] = (count, qm31.DEGREE)
        if key in ("coefficient", "vanishing"):
            expected = (qm31.DEGREE,)
        elif key == "elements":
            expected = elements_shape(air)
        elif key[0] == "public":
            expected = (count,)
        _check(title, array, expected)
        arrays.append(array)
    check = point.check(code, arrays, interpret=interpret)
    if mixed is None:
        (parts,) = run(check, interpret=interpret)
        return point.total(parts), None
    digest, *words = mixed
    step = channel.step_kernel(digest, words, interpret=interpret)
    after, (parts,) = run_together([step, check], interpret=interpret)
    return point.total(parts), Step(*after)


def _scalars(air: Air, info: Any, read: Reads, public: Any, elements: Any) -> dict[Any, Array]:
    """Public vectors and relation elements that a component reads."""
    out: dict[Any, Array] = {}
    lengths = dict(air.public_values)
    for name in read.public_names:
        out["public", name] = jnp.asarray(public[name])
        _check(f"public value {name}", out["public", name], (lengths[name],))
    if info.n_entries:
        out["elements"] = jnp.asarray(elements)
        _check("elements", out["elements"], elements_shape(air))
    return out


def _columns(
    name: str, array: Any, least: int, size: int | None = None, count: int | None = None
) -> int:
    """Words of a column of an array of columns."""
    shape: Any = tuple(getattr(array, "shape", ()))
    good = len(shape) == 2 and shape[1] >= least and shape[1].bit_count() == 1
    good = good and size in (None, shape[1]) and count in (None, shape[0])
    if not good or array.dtype != np.uint32:
        words = f"a power of two from {least}" if size is None else size
        raise ValueError(
            f"{name}: expected uint32 [{'n' if count is None else count}, {words}], got "
            f"{getattr(array, 'dtype', type(array).__name__)} {shape}"
        )
    return shape[1]


def _check(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    if not launch.is_words(array, shape):
        expected, got = str(shape).replace("None", "n"), tuple(array.shape)
        raise ValueError(f"{name}: expected uint32 {expected}, got {array.dtype} {got}")
