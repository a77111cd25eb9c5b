"""FRI, prover side: commit to folded layers, and open them at the queries.

The input lies on the circle domain of size ``2^H``, all later layers on line domains, always in
bit-reversed order. One layer folds ``2^step`` consecutive values, a coset, into one: each of the
``step`` folds halves the function with the next square of the layer's challenge (no factor 1/2).
Layers stay on the device; the host sees roots, the last layer and the opened cosets.
Source: protocol section 12.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstark import circle, fft, merkle, twiddles
from jaxstark.channel import Channel
from jaxstark.deep import dot
from jaxstark.errors import ProvingError
from jaxstark.fft_reference import line_interpolate
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams, fri_packing
from jaxstark.proof import FriLayer

_BASIS = (QM31(1, 0, 0, 0), QM31(0, 1, 0, 0), QM31(0, 0, 1, 0), QM31(0, 0, 0, 1))


class CommittedLayer(NamedTuple):
    """The prover's data of one layer.

    Attributes:
      values: uint32 ``[4, 2^log]`` in storage order.
      tree: its Merkle tree, with ``2^packing`` values in a leaf.
      root: root of the tree.
      step: number of folds to the next layer.
      packing: log2 of the values in a leaf.
    """

    values: Any
    tree: merkle.MerkleTree
    root: bytes
    step: int
    packing: int


class FriCommitted(NamedTuple):
    """The prover's data of all layers.

    Attributes:
      layers: first layer and inner layers.
      last_layer: coefficients in bit-reversed order, QM31 of ints.
    """

    layers: tuple[CommittedLayer, ...]
    last_layer: tuple[QM31, ...]


def commit(
    channel: Channel, values: Any, log_size: int, params: ProofParams, *, check: bool = True
) -> tuple[FriCommitted, Channel]:
    """The commit phase: commit, draw, fold until the last layer, and absorb that.

    Args:
      channel: the channel before the root of the first layer.
      values: uint32 ``[4, 2^H]`` in storage order, with ``H = log_size + params.log_blowup``.
      log_size: log2 of the degree bound.
      params: protocol parameters.
      check: whether a last layer of too high degree is an error; only compiling ahead turns it
        off.

    Returns the layers and the channel after the last layer. Raises ``ProvingError`` if the
    function is not of the degree that the verifier expects.
    """
    log_domain, folds = log_size + params.log_blowup, 0
    if values.shape != (4, 1 << log_domain):
        raise ValueError(f"FRI input: expected shape {(4, 1 << log_domain)}, got {values.shape}")
    layers = []
    for step in params.fri_steps(log_size):
        packing = fri_packing(log_domain - folds, step)
        tree = merkle.commit_values(values, packing)
        root = merkle.root_bytes(tree)
        layers.append(CommittedLayer(values, tree, root, step, packing))
        alpha, channel = channel.mix_root(root).draw_felt()
        table = inverse_twiddles(log_domain, log_domain - folds)
        values = fold(values, table, multipliers(alpha, step))
        folds += step
    coefficients = line_interpolate(np.asarray(values), log_domain, folds)
    log_kept = params.log_last_layer
    if check and coefficients[:, 1 << log_kept :].any():
        raise ProvingError(
            f"the committed function is not low degree: its last FRI layer has more than "
            f"2^{log_kept} coefficients"
        )
    kept = coefficients[:, circle.bit_reversal(log_kept)]
    last_layer = _felts(kept)
    return FriCommitted(tuple(layers), last_layer), channel.mix_felts(last_layer)


def multipliers(alpha: QM31, step: int) -> np.ndarray:
    """What `fold` needs of a challenge: uint32 ``[step, 4, 4]``.

    Entry r has the products of ``alpha^(2^r)`` with 1, i, u and i u as rows: the matrix of the
    multiplication, which turns it into four dot products.
    """
    out = []
    for _ in range(step):
        out.append([qm31.mul(alpha, unit) for unit in _BASIS])
        alpha = qm31.sq(alpha)
    return np.array(out, np.uint32)


@jax.jit
def fold(values: Any, table: Any, multipliers: Any) -> Any:
    """Fold ``step`` times: uint32 ``[4, N]`` to ``[4, N / 2^step]``.

    Args:
      values: a layer in storage order.
      table: the first N entries of ``twiddles.inverse_table`` of the FRI domain. For the first
        layer its upper half has 1/y of the circle; a line of n points has 1/x in n/2 .. n-1.
      multipliers: powers of the challenge as matrices ``[step, 4, 4]``, see `multipliers`.
    """
    for matrix in multipliers:
        half = values.shape[1] // 2
        pairs = lax.optimization_barrier(values.reshape(4, half, 2))
        left, right = pairs[..., 0], pairs[..., 1]
        inverse = table[None, half : 2 * half]
        odd = lax.optimization_barrier(m31.mul(m31.sub(left, right), inverse))
        values = m31.add(m31.add(left, right), dot(matrix, list(odd)))
    return values


def fold_few(values: Any, table: Any, alpha: Any, step: int) -> Any:
    """``fold`` of a small layer with a challenge that is on the device, uint32 ``[4]``."""
    challenge = qm31.from_array(alpha[:, None])
    for _ in range(step):
        half = values.shape[1] // 2
        left, right = (qm31.from_array(values[:, side::2]) for side in range(2))
        odd = qm31.mul_base(qm31.sub(left, right), table[half : 2 * half])
        values = qm31.to_array(qm31.add(qm31.add(left, right), qm31.mul(challenge, odd)))
        challenge = qm31.sq(challenge)
    return values


@lru_cache(maxsize=64)
def inverse_twiddles(log_domain: int, log_layer: int) -> Any:
    """The table of `fold` for a layer of ``2^log_layer`` values, as a device array.

    Shorter tables for shorter layers: programs then depend on the width of a layer alone.
    """
    if log_layer == log_domain:
        return fft.inverse_twiddles(log_domain)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(twiddles.inverse_table(log_domain)[: 1 << log_layer])


def open(  # noqa: A001 - the name of the protocol step; used as fri.open
    committed: FriCommitted, positions: np.ndarray, params: ProofParams
) -> tuple[FriLayer, ...]:
    """Open every layer at the queries.

    Args:
      committed: result of `commit`.
      positions: distinct positions in the first layer, ascending; at most ``params.n_queries``.
      params: as for `commit`.

    Cosets are padded to their largest possible number, so that every proof of a shape runs the
    same programs, and all openings come to the host in one transfer.
    """
    slots = np.asarray(positions, np.int64)
    if not 1 <= len(slots) <= params.n_queries or (np.diff(slots) <= 0).any():
        raise ValueError(
            f"positions: expected 1..{params.n_queries} ascending positions, got {positions!r}"
        )
    known, gathered = [], []
    for layer in committed.layers:
        cosets, owner = np.unique(slots >> layer.step, return_inverse=True)
        in_coset = np.zeros((len(cosets), 1 << layer.step), bool)
        in_coset[owner, slots & ((1 << layer.step) - 1)] = True
        known.append((cosets, in_coset))
        gathered.append(_gather(layer, cosets, params.n_queries))
        slots = cosets
    return tuple(
        _open_layer(layer, *where, *opened)
        for layer, where, opened in zip(
            committed.layers, known, jax.device_get(gathered), strict=True
        )
    )


def _gather(layer: CommittedLayer, cosets: np.ndarray, n_queries: int) -> tuple[Any, Any]:
    """Values ``[4, m, 2^step]`` of padded cosets and the siblings of their leaves."""
    count = min(n_queries, layer.values.shape[1] >> layer.step)
    padded = np.pad(cosets, (0, count - len(cosets)), mode="edge")
    leaves = _leaves(padded, layer).astype(np.int32)
    values = _take_cosets(layer.values, padded.astype(np.int32), layer.step)
    return values, merkle.gather_siblings(layer.tree, leaves)


def _leaves(cosets: np.ndarray, layer: CommittedLayer) -> np.ndarray:
    """Leaf positions of some cosets, ascending for ascending cosets."""
    log_leaves = layer.step - layer.packing
    return ((cosets[:, None] << log_leaves) + np.arange(1 << log_leaves)).reshape(-1)


@partial(jax.jit, static_argnums=2)
def _take_cosets(values: Any, cosets: Any, step: int) -> Any:
    return jnp.take(values.reshape(4, -1, 1 << step), cosets, axis=1, mode="clip")


def _open_layer(
    layer: CommittedLayer,
    cosets: np.ndarray,
    known: np.ndarray,
    values: np.ndarray,
    siblings: np.ndarray,
) -> FriLayer:
    leaves = _leaves(cosets, layer)
    return FriLayer(
        fri_witness=_felts(values[:, : len(cosets)][:, ~known]),
        hash_witness=tuple(merkle.witness(siblings[..., : len(leaves)], leaves)),
        commitment=layer.root,
    )


def _felts(values: np.ndarray) -> tuple[QM31, ...]:
    """Columns of uint32 ``[4, n]`` as host scalars."""
    return tuple(map(QM31._make, values.T.tolist()))
