"""BLAKE2s on the GPU: leaf hashes and Merkle trees, bit for bit those of ``jaxstark.merkle``.

These functions run the kernels or raise; they never fall back to XLA. A block hashes 128 lanes at
once: fewer leaves are repeated, which repeats the nodes of their tree too. ``absorb`` alone wants
a multiple of 128 lanes. ``jaxstark.pallas.probe.supported`` tells whether the device can.

``interpret=True`` runs the kernels on a CPU, slowly, for tests. Source: protocol sections 3, 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.fields.qm31 import DEGREE
from jaxstark.hash.blake2s import BLOCK_WORDS, DIGEST_WORDS
from jaxstark.pallas.blake2s import message, mosaic_gpu, top
from jaxstark.pallas.blake2s.absorb import absorb, absorb_all_but_last, check
from jaxstark.pallas.blake2s.config import Launch, LeafConfig, TreeConfig
from jaxstark.pallas.blake2s.message import Message, Words
from jaxstark.pallas.channel import mosaic_gpu as channel
from jaxstark.pallas.channel.api import Step
from jaxstark.pallas.later import Later
from jaxstark.pallas.launch import LANES

Array = Any


def leaves(
    groups: Sequence[Array | Later],
    *,
    config: LeafConfig = LeafConfig(),  # noqa: B008
    interpret: bool = False,
) -> Array:
    """Leaf digests of columns of several sizes, uint32 ``[8, n]``.

    Args:
      groups: uint32 ``[c, 2^k]`` in ascending size, in storage order. Columns of one size may
        come as several consecutive groups. A group that comes ``Later`` is made, absorbed and
        dropped before the next one.
      config: sizes that do not change the result.
      interpret: run on a CPU.

    Each block is absorbed at the size of its last column; the state, and words of a block that
    reaches into the next size, are lifted. Raises ``ValueError`` for groups of wrong shape, type
    or order.
    """
    size = 1 << _check_groups(groups)[-1]
    last = absorb_all_but_last(groups, config, interpret).lifted()
    digests = absorb(last.arrays, **last.options, config=config, interpret=interpret)
    return digests[:, :size] if size < LANES else digests


@partial(jax.jit, static_argnames=("pack_log", "interpret"))
def value_leaves(
    values: Array,
    pack_log: int,
    *,
    interpret: bool = False,
) -> Array:
    """Leaf digests of an FRI layer, uint32 ``[8, N / 2^pack_log]``.

    Args:
      values: QM31 values, uint32 ``[4, N]``, N a power of two.
      pack_log: log2 of the consecutive values in a leaf, value by value.
      interpret: run on a CPU.

    Raises ``ValueError`` for another shape or type, or if a leaf does not fit.
    """
    size = _check_values(values, pack_log)
    hashed = message.values(values, pack_log)
    # One hash per thread: leaves of several values do not lower otherwise.
    out = mosaic_gpu.digests(hashed, config=LeafConfig(), interpret=interpret)
    return out[:, :size] if size < LANES else out


class Commitment(NamedTuple):
    """Layers of a tree, root first, and the step of the channel that mixes its root, if any."""

    levels: tuple[Array, ...]
    step: Step | None


def levels(
    digests: Array,
    *,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, ...]:
    """All layers of a tree from its leaf digests, uint32 ``[8, 2^k]``, root first, leaves last.

    Raises ``ValueError`` if the leaves are no power of two.
    """
    size = digests.shape[-1]
    check("digests", digests, size, DIGEST_WORDS)
    if size.bit_count() != 1:
        raise ValueError(f"leaves: expected a power of two, got {size}")
    # The leaves are no result of the compiled part, which would copy them.
    return (*_inner_levels(digests, config, interpret), digests)


@partial(jax.jit, static_argnames=("config", "interpret"))
def _inner_levels(digests: Array, config: TreeConfig, interpret: bool) -> tuple[Array, ...]:
    """The layers above the leaves, root first."""
    plans = config.launches(digests.shape[1].bit_length() - 1)
    layers, _ = _upper_levels([digests], plans, None, 1, interpret)
    return tuple(layers[:0:-1])


def _upper_levels(
    layers: list[Array], plans: Sequence[Launch], digest: Array | None, draws: int, interpret: bool
) -> tuple[list[Array], Step | None]:
    """Append the layers of some launches, the lowest one first, and those up to the root."""
    for plan in plans:
        nodes = layers[-1].shape[1]
        layers += mosaic_gpu.tree_levels(layers[-1], plan, nodes=nodes, interpret=interpret)
    if layers[-1].shape[1] > 1:
        layers_, *step = top.climb_from(layers[-1], digest, draws=draws, interpret=interpret)
        layers += layers_
        return layers, None if digest is None else Step(*step)
    if digest is None:
        return layers, None
    root = layers[-1].reshape(DIGEST_WORDS)
    return layers, Step(*channel.mix_and_draw(digest, [root], draws, interpret=interpret))


def commit(
    groups: Sequence[Array | Later],
    *,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    leaf_config: LeafConfig = LeafConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, ...]:
    """The layers of the tree over columns of several sizes: ``levels`` of ``MerkleTree``.

    Takes what ``leaves`` takes and raises what it raises.
    """
    return commit_and_draw(
        groups, None, config=config, leaf_config=leaf_config, interpret=interpret
    ).levels


def commit_and_draw(
    groups: Sequence[Array | Later],
    digest: Array | None,
    *,
    draws: int = 1,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    leaf_config: LeafConfig = LeafConfig(),  # noqa: B008
    interpret: bool = False,
) -> Commitment:
    """``commit``, then a mix of the root into a channel and some draws, in the last launch.

    ``digest``: the state of the channel, uint32 ``[8]``; None for the tree alone.
    ``draws``: how many, at least 1; raises ``ValueError`` for others.
    """
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    size = 1 << _check_groups(groups)[-1]
    if digest is not None:
        check("digest", digest[:, None], 1, DIGEST_WORDS)
    last = absorb_all_but_last(groups, leaf_config, interpret)
    return _commit_columns(
        last.arrays,
        digest=digest,
        **last.options,
        size=size,
        draws=draws,
        config=config,
        interpret=interpret,
    )


@partial(jax.jit, static_argnames=("words", "offset", "size", "draws", "config", "interpret"))
def _commit_columns(
    arrays: tuple[Array, ...],
    state: Array | None = None,
    digest: Array | None = None,
    *,
    words: tuple[Words, ...] | None = None,
    offset: int = 0,
    size: int,
    draws: int,
    config: TreeConfig,
    interpret: bool,
) -> Commitment:
    if words is None:
        words = tuple(Words(i, 0, a.shape[0]) for i, a in enumerate(arrays))
    hashed = message.columns(arrays, words, state, offset, True, interpret)
    return _commit_message(hashed, size, digest, draws, config, interpret)


def commit_values(
    values: Array,
    pack_log: int,
    *,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    interpret: bool = False,
) -> tuple[Array, ...]:
    """The layers of the tree of an FRI layer, root first; takes what ``value_leaves`` takes."""
    return commit_values_and_draw(values, None, pack_log, config=config, interpret=interpret).levels


@partial(jax.jit, static_argnames=("pack_log", "config", "interpret"))
def commit_values_and_draw(
    values: Array,
    digest: Array | None,
    pack_log: int,
    *,
    config: TreeConfig = TreeConfig(),  # noqa: B008
    interpret: bool = False,
) -> Commitment:
    """``commit_values``, then a mix of the root into a channel and a draw, in the last launch.

    ``digest``: the state of the channel, uint32 ``[8]``; None for the tree alone.
    """
    size = _check_values(values, pack_log)
    if digest is not None:
        check("digest", digest[:, None], 1, DIGEST_WORDS)
    if pack_log <= 2 and size <= 1 << config.top_log:
        # A leaf is the hash of two nodes of two values each, or of fewer words.
        leaf = values.reshape(DEGREE, size, 1 << pack_log).transpose(2, 0, 1).reshape(-1, size)
        words = jnp.pad(leaf, ((0, BLOCK_WORDS - len(leaf)), (0, 0)))
        nodes = words.reshape(2, DIGEST_WORDS, size).transpose(1, 2, 0).reshape(DIGEST_WORDS, -1)
        above, *step = top.climb_from(nodes, digest, first_bytes=4 * len(leaf), interpret=interpret)
        return Commitment(above[::-1], None if digest is None else Step(*step))
    return _commit_message(message.values(values, pack_log), size, digest, 1, config, interpret)


def _commit_message(
    hashed: Message,
    size: int,
    digest: Array | None,
    draws: int,
    config: TreeConfig,
    interpret: bool,
) -> Commitment:
    log = size.bit_length() - 1
    if hashed.blocks > 1 and log >= config.apart_log:
        plans = config.launches(log)
        layers = [mosaic_gpu.digests(hashed, config=LeafConfig(), interpret=interpret)]
    else:
        first, *plans = config.launches(log, leaves=True)
        layers = [*mosaic_gpu.leaves_and_levels(hashed, first, nodes=size, interpret=interpret)]
    layers, step = _upper_levels(layers, plans, digest, draws, interpret)
    return Commitment(tuple(layers[::-1]), step)


def _check_groups(groups: Sequence[Array | Later]) -> list[int]:
    """Log sizes of the groups."""
    sizes = []
    for group in groups:
        shape = tuple(group.shape)
        good = len(shape) == 2 and shape[0] > 0 and shape[1].bit_count() == 1
        if not good or group.dtype != np.uint32:
            raise ValueError(f"group: expected uint32 [columns, 2^k], got {group.dtype} {shape}")
        sizes.append(shape[1].bit_length() - 1)
    if not sizes or sizes != sorted(sizes) or (len(set(sizes)) > 1 and not sizes[0]):
        raise ValueError(
            f"log sizes of groups: expected ascending ones, above 0 if there are several, "
            f"got {sizes}"
        )
    return sizes


def _check_values(values: Array, pack_log: int) -> int:
    """Number of leaves."""
    shape = tuple(values.shape)
    good = len(shape) == 2 and shape[0] == DEGREE and shape[1].bit_count() == 1
    if not good or values.dtype != np.uint32 or pack_log < 0 or not shape[1] >> pack_log:
        raise ValueError(
            f"values: expected uint32 [4, 2^k] with 2^k at least 2^{pack_log}, "
            f"got {values.dtype} {shape}"
        )
    return shape[1] >> pack_log
