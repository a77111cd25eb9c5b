"""The stages of a proof that show a low degree: DEEP quotients, FRI, proof of work; see ``stages``.

A stage of FRI takes the values of the layer before and its challenge, or none and the values of its
own layer. Source: protocol sections 5, 11 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax

from jaxstark import circle, deep, fft, fri
from jaxstark.commit import Committed
from jaxstark.grind import masks_of
from jaxstark.merkle import MerkleTree
from jaxstark.pallas.blake2s import api as blake2s
from jaxstark.pallas.deep import api as deep_kernels
from jaxstark.pallas.fri import api as fri_kernels
from jaxstark.pallas.fri.api import Tail
from jaxstark.pallas.fri.config import most_in_tail
from jaxstark.pallas.grind import api as grind_kernels
from jaxstark.pallas.later import read
from jaxstark.params import fri_packing
from jaxstark.resident import commitments
from jaxstark.resident.commitments import root_of
from jaxstark.resident.program import Program, Tables
from jaxstark.resident.stages import stage
from jaxstark.transcript import Made

Array = Any
# Layers of so many values fold under XLA: a launch takes as long, and longer to compile.
FEW_VALUES = 64


@stage
def quotients(
    p: Program,
    t: Tables,
    trees: Sequence[Committed],
    samples: Array,
    multiples: Array,
    batching: Array,
) -> Array:
    """The sum of all DEEP quotients, uint32 ``[4, 2^H]``; ``multiples``: see ``stages.sample``."""
    plan = p.deep_plan
    data = deep_kernels.coefficients(plan, samples, multiples[0], batching, interpret=p.interpret)
    evaluations = tuple(tuple(commitments.values(p, t, tree)) for tree in trees)
    if not deep_kernels.fits(plan):
        few = tuple(tuple(read(array, None)[0] for array in tree) for tree in evaluations)
        return deep.quotients_from(plan, few, data, t.x, t.y)
    return deep_kernels.quotients_from(plan, evaluations, data, t.x, t.y, interpret=p.interpret)


@partial(jax.jit, static_argnums=(0, 1))
def commit_layer(
    p: Program,
    index: int,
    t: Tables,
    values: Array,
    alpha: Array | None,
    digest: Array | None = None,
) -> Made:
    """The values of FRI layer ``index``, None if they were given, and their tree.

    A program that returns what it is given copies it.
    """
    values = _folded(p, index, t, values, alpha)
    step = p.params.fri_steps(p.log_size)[index]
    packing = fri_packing(values.shape[1].bit_length() - 1, step)
    levels, after = blake2s.commit_values_and_draw(values, digest, packing, interpret=p.interpret)
    tree = MerkleTree(levels)
    return Made((None if alpha is None else values, tree), root_of(tree), after)


def tail_layers(p: Program, index: int) -> int:
    """How many FRI layers from ``index`` on one kernel commits to; 0 for none."""
    steps = p.params.fri_steps(p.log_size)
    logs = [p.log_domain - sum(steps[:i]) for i in range(len(steps))]
    packs = [fri_packing(log, step) for log, step in zip(logs, steps, strict=True)]
    if 1 << logs[index] > most_in_tail(p.log_domain):
        return 0
    for end in range(len(steps), index, -1):
        if fri_kernels.fits_tail(1 << logs[index], steps[index:end], packs[index:end]):
            return end - index
    return 0


@partial(jax.jit, static_argnums=(0, 1))
def commit_tail(
    p: Program, index: int, t: Tables, values: Array, alpha: Array | None, digest: Array
) -> Tail:
    """``tail_layers`` FRI layers from ``index`` on, their challenges and folds."""
    values = _folded(p, index, t, values, alpha)
    steps = p.params.fri_steps(p.log_size)[index : index + tail_layers(p, index)]
    table = t.inverse[p.log_domain]
    return fri_kernels.tail(values, table, digest, steps, interpret=p.interpret)


def _folded(p: Program, index: int, t: Tables, values: Array, alpha: Array | None) -> Array:
    """The values of layer ``index``, folded with the challenge of the one before if it has one."""
    return values if alpha is None else fold(p, index - 1, t, values, alpha)


@partial(jax.jit, static_argnums=(0, 1))
def fold(p: Program, index: int, t: Tables, values: Array, alpha: Array) -> Array:
    """Layer ``index`` folded to the next one."""
    step = p.params.fri_steps(p.log_size)[index]
    table = t.inverse[p.log_domain]
    if values.shape[1] <= FEW_VALUES:
        return fri.fold_few(values, table, alpha, step)
    return fri_kernels.fold(values, table, alpha, step, interpret=p.interpret)


@stage
def last_layer(p: Program, t: Tables, values: Array, alpha: Array | None) -> tuple[Array, Array]:
    """All coefficients of the last layer in natural order, uint32 ``[2^m, 4]``.

    And those that are sent, in bit-reversed order.
    """
    values = _folded(p, len(p.params.fri_steps(p.log_size)), t, values, alpha)
    last = values.T if values.shape[1] == 1 else fft.interpolate_with(values, t.last).T
    return last, last[circle.bit_reversal(p.params.log_last_layer)]


@partial(jax.jit, static_argnums=(0, 1))
def grind(p: Program, bits: int, prefix: Array) -> Array:
    """The lowest nonce of so many bits after a prefix ``[8]``: uint32 ``[2]``, low word first."""
    return grind_kernels.grind(prefix, masks_of(bits), bits=bits, interpret=p.interpret)
