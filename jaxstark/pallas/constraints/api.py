"""Constraints on the GPU, bit for bit as ``jaxstark.composition`` and ``jaxstark.interaction``.

These functions run an AIR's own constraint function inside a kernel or raise; they never fall back
to XLA. A block evaluates 128 rows or points at once: ``fits`` tells beforehand whether a component
is large enough. ``jaxstark.pallas.probe.supported`` tells whether the device can.

``interpret=True`` runs the kernels on a CPU, slowly, for tests. Source: protocol sections 8, 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
from jaxstark.pallas.constraints.moved import Component, columns_back, one_row_back
from jaxstark.pallas.constraints.point_program import program as point_program
from jaxstark.pallas.constraints.reads import Reads, reads
from jaxstark.pallas.launch import LANES
from jaxstark.shape import ProofShape

Array = Any


def fits(rows: int) -> bool:
    """Whether a component with so many rows can be evaluated."""
    return rows >= LANES and rows.bit_count() == 1


@partial(
    jax.jit,
    static_argnames=("air", "index", "where", "first", "claim", "places", "config", "interpret"),
)
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
    first: int = 0,
    claim: int | None = None,
    start: Array | None = None,
    moved: Array | None = None,
    places: tuple[int, ...] = (),
    config: QuotientConfig = QuotientConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """The quotient of one component's constraints on its domain, uint32 ``[4, 2^(k+1)]``.

    Args:
      air: the AIR.
      index: of the component, which has ``2^k`` rows, at least 128.
      where: rows of its columns in the groups, from ``jaxstark.composition.locate``.
      groups: per tree, the evaluations of the size group of its log size k, uint32
        ``[columns, 2^(k+1)]`` in storage order, or a tuple of such arrays whose rows are numbered
        through; only those that the component reads matter.
      back: slots one row back: ``circle.shifted_slots(k, k + 1, -1)``.
      powers: powers of the composition coefficient, uint32 ``[n, 4]``.
      share: claimed sum divided by the number of rows, uint32 ``[4]``; read if it has lookups.
      public: public vectors by name, uint32.
      elements: as ``jaxstark.logup.encode_elements`` makes them; not read without relations.
      first: which power belongs to its first constraint; the others follow.
      claim: the row of ``share`` that is its own, where that has the shares of several
        components, uint32 ``[n, 4]``: a slice for each would be a launch for each.
      start: what the quotient is added to, such as that of another component, of the same shape.
      moved: masks one row back, made together with those of other components by
        ``moved.one_row_back``; None to make them here.
      places: which rows of ``moved`` are of this component, from there too.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Raises ``ValueError`` for other shapes and types.
    """
    comp, info = air.components[index], air.info.components[index]
    read = reads(air, index, rules=True)
    parts = [group if isinstance(group, list | tuple) else (group,) for group in groups]
    size = _columns("trace group", parts[1][0], 2 * LANES)
    if start is not None:
        _check("start", start, (qm31.DEGREE, size))
    if not info.constraints:
        return jnp.zeros((qm31.DEGREE, size), jnp.uint32) if start is None else start
    powers, back = jnp.asarray(powers), jnp.asarray(back)
    _check("powers", powers, (None, qm31.DEGREE))
    if not 0 <= first <= len(powers) - len(info.constraints):
        raise ValueError(
            f"powers: expected {len(info.constraints)} from number {first} on, got {len(powers)}"
        )
    if back.shape != (size,):
        raise ValueError(f"back: expected {size} slots, got shape {back.shape}")
    arrays: dict[Any, Any] = {"trace": tuple(parts[1]), "powers": powers}
    if start is not None:
        arrays["start"] = start
    if set(comp.preprocessed_names) & read.current:
        arrays["fixed"] = tuple(parts[0])
    if info.n_entries:
        share = jnp.asarray(share)
        _check("share", share, (qm31.DEGREE,) if claim is None else (None, qm31.DEGREE))
        arrays["interaction"], arrays["shares"] = tuple(parts[2]), share.reshape(-1, qm31.DEGREE)
    for name in {"fixed", "trace", "interaction"} & set(arrays):
        for part in arrays[name]:
            _columns(f"{name} group", part, 2 * LANES, size)
    if wanted := columns_back(air, index, where):
        if moved is None:
            own = Component(index, where, parts, back)
            moved, places = one_row_back(air, [own], config=config)[index]
        if len(places) != len(wanted):
            raise ValueError(f"places: expected {len(wanted)} rows, got {len(places)}")
        _check("moved", moved, (None, size if config.gather else 2 * config.lanes(size)))
        arrays["moved"] = moved
    arrays |= _scalars(air, info, read, public, elements)
    return quotient.quotient(
        *(air, index, read, where, arrays, places, size, first, claim or 0),
        config=config,
        interpret=interpret,
    )


@partial(jax.jit, static_argnames=("air", "index", "config", "interpret"))
def interaction(
    air: Air,
    index: int,
    columns: Array,
    fixed: Sequence[Array],
    public: Mapping[str, Array],
    elements: Array,
    *,
    config: InteractionConfig = InteractionConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[list[Array], Array]:
    """LogUp columns of a component, ``4 batches`` in all, and its claimed sum, uint32 ``[4]``.

    Columns are uint32 ``[4 (batches - 1), 2^k]``, if there are several batches, and the four of the
    last one, ``[4, 2^k]``.

    Args:
      air: the AIR.
      index: of the component, which has lookups and ``2^k`` rows, at least 128.
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
    rows = _columns("columns", columns, LANES, count=len(comp.columns))
    arrays: dict[Any, Array] = {"columns": columns}
    for name, column in zip(comp.preprocessed_names, fixed, strict=True):
        if name in read.current:
            arrays["fixed", name] = column
            _check(f"fixed column {name}", column, (rows,))
    back = [i for i, name in enumerate(comp.columns) if name in read.previous]
    if back:
        arrays["back"] = jnp.stack([jnp.roll(columns[i], 1) for i in back])
    arrays |= _scalars(air, info, read, public, elements)
    *before_last, local, totals = logup.fractions(
        air, index, read, arrays, rows, config=config, interpret=interpret
    )
    before = logup.offsets(totals, interpret=interpret)
    claimed = m31.add(before[:, -1], totals[:, -1])
    # Subtracting an equal share at every row makes the last entry 0 and the sum cyclic.
    share = m31.mul(claimed, pow(rows, -1, m31.P))
    steps = jax.lax.broadcasted_iota(jnp.uint32, local.shape, 1) + np.uint32(1)
    prefix = m31.add(local, jnp.repeat(before, LANES, axis=1))
    shares = m31.mul(jnp.broadcast_to(share[:, None], local.shape), steps)
    return [*before_last, m31.sub(prefix, shares)], claimed


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
        (parts,) = launch.run(check, interpret=interpret)
        return point.total(parts), None
    digest, *words = mixed
    step = channel.step_kernel(digest, words, interpret=interpret)
    after, (parts,) = launch.run_together([step, check], interpret=interpret)
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
