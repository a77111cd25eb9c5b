"""The launcher: the only module that names the interface of Pallas for Mosaic GPU.

Kernels use Lane semantics, where one warpgroup of 128 threads runs a block and an array of 128
words puts one word into each thread. The launcher fixes what all kernels share: the lowering, a
grid that is flat for CUDA, and the interpreter that runs a kernel on a CPU to check its values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.mosaic import gpu as mgpu
from jax.experimental.pallas import mosaic_gpu as plgpu

LANES = 128
# CUDA's limit for axis x of a grid. It is 65,535 for y and z, which stay at 1.
MAX_BLOCKS = int(np.iinfo(np.int32).max)

Ref = Any
Array = Any
Body = Callable[..., None]


def launch(
    body: Body,
    out: Any,
    *,
    grid: Sequence[int],
    scratch: Sequence[Any] = (),
    barriers: bool = True,
    interpret: bool = False,
    name: str | None = None,
) -> Callable[..., Any]:
    """A function of device arrays that runs ``body`` once for each point of ``grid``.

    Args:
      body: called with the point of the grid, a tuple of int32 scalars, then the references of
        inputs, outputs and scratch memory.
      out: ``jax.ShapeDtypeStruct`` of the output, or a list of them.
      grid: any number of axes, the last one fastest. They become one axis x of CUDA, whose other
        axes have limits that the lowering does not check. ``jax.vmap`` of the result puts a
        batch on axis y, of at most 65,535 blocks.
      scratch: shared memory of a block, from ``shared``.
      barriers: keep the barriers that are put around every store by default. Without them a
        kernel whose threads exchange words through shared memory must call ``sync`` itself.
      interpret: run on the CPU, slowly; for tests of values. The interpreter accepts more than
        the compiler does, so a kernel must be lowered for CUDA too.
      name: what profiles show; that of the body if None.

    Raises ``ValueError`` for a grid that is empty or too large for CUDA.
    """
    sizes = tuple(int(size) for size in grid)
    blocks = math.prod(sizes)
    if min(sizes, default=0) < 1 or blocks > MAX_BLOCKS:
        raise ValueError(f"grid: expected 1 to {MAX_BLOCKS} blocks, got {sizes}")

    def flat_body(*refs: Ref) -> None:
        body(point(lax.axis_index("block"), sizes), *refs)

    flat_body.__name__ = name or name_of(body)
    return plgpu.kernel(
        flat_body,
        out_type=out,
        scratch_types=tuple(scratch),
        compiler_params=plgpu.CompilerParams(
            lowering_semantics=plgpu.LoweringSemantics.Lane,
            unsafe_no_auto_barriers=not barriers,
        ),
        **schedule(blocks, interpret),
    )


def schedule(blocks: int, interpret: bool) -> dict[str, Any]:
    """Options of Pallas for so many blocks, which tests of races replace."""
    options: dict[str, Any] = {"grid": (blocks,), "grid_names": ("block",)}
    if interpret:
        options["interpret"] = plgpu.InterpretGPUParams()
    return options


def name_of(body: Body) -> str:
    """The operation's folder, and the function or class that the body is in."""
    folder, function = body.__module__.split(".")[-2], body.__qualname__.split(".")[0]
    return f"{folder}_{function.strip('_')}"


def is_words(array: Array, shape: tuple[int | None, ...]) -> bool:
    """Whether an array is uint32 of a shape, in which None stands for any extent."""
    got = tuple(array.shape)
    good = len(got) == len(shape) and all(s in (None, g) for s, g in zip(shape, got, strict=True))
    return good and array.dtype == np.uint32


def point(index: Array, sizes: tuple[int, ...]) -> tuple[Array, ...]:
    """Coordinates of a flat index, last axis fastest."""
    coordinates = []
    for size in reversed(sizes[1:]):
        coordinates.append(lax.rem(index, np.int32(size)))
        index = lax.div(index, np.int32(size))
    return (index, *reversed(coordinates))


def half_round_barrier(interpret: bool) -> Callable[[Any], Any]:
    """What keeps long straight-line code apart: nothing in a compiled kernel, XLA's under XLA."""
    return lax.optimization_barrier if interpret else lambda words: words


def shared(shape: tuple[int, ...], dtype: Any = np.uint32) -> Any:
    """Shared memory of a block, for ``scratch``."""
    return plgpu.SMEM(shape, jnp.dtype(dtype))


def sync(interpret: bool) -> None:
    """Wait until all threads of the block got here; their stores to shared memory are visible.

    There is no fence for asynchronous copies, which no kernel makes.
    """
    if interpret:
        plgpu.commit_smem()
        return

    def barrier(context: Any) -> None:
        del context
        mgpu.warpgroup_barrier()

    emit: Any = plgpu.inline_mgpu()(barrier)  # its context is given when it is lowered
    emit()


def load(ref: Ref, *index: Any) -> Array:
    """An array of a multiple of 128 words; strides in ``index`` are welcome."""
    view = ref.at[index]
    return plgpu.load(view, layout=_strided(*view.shape))


def store(ref: Ref, value: Array, *index: Any) -> None:
    """Store a vector of a multiple of 128 words."""
    ref[index] = value


def constant(word: int, lanes: int = LANES) -> Array:
    """A uint32 vector of one word, as a loop may carry it."""
    return plgpu.layout_cast(jnp.full((lanes,), word, np.uint32), _strided(lanes))


def uniform(word: Array, lanes: int = LANES) -> Array:
    """A uint32 vector of one scalar, as a loop may carry it."""
    return plgpu.layout_cast(jnp.broadcast_to(word, (lanes,)), _strided(lanes))


def lane_numbers(lanes: int = LANES) -> Array:
    """The uint32 vector 0, 1, 2, ..."""
    return plgpu.broadcasted_iota(np.uint32, (lanes,), 0, layout=_strided(lanes))


def load_transposed(ref: Ref, *index: Any) -> Array:
    """The transpose of a matrix of a multiple of 128 words, at a slice of shared memory."""
    view = ref.at[index].transpose((1, 0))
    return plgpu.load(view, layout=_strided(*view.shape))


def store_transposed(ref: Ref, value: Array, *index: Any) -> None:
    """Store the transpose of a matrix of a multiple of 128 words into shared memory."""
    ref.at[index].transpose((1, 0))[...] = value


def stack(*lanes: int, vector: int = 1) -> Any:
    """Layout of ``[..., *lanes]``: a thread holds one word, or ``vector`` neighbours, per index.

    One operation on such an array stands for many on vectors, and is traced and lowered once. The
    leading axes number the words of a thread: slices, concatenations and reshapes of them cost
    nothing.

    Args:
      lanes: (128 vector,), the lanes in order; (rows, words), in order too unless (4, 32); three
        axes or more of which the first is 4, in order, with a warp for each of those; or
        (2, 2, 32), in order, which may lie in rows of shared memory at any word. Of other lanes,
        four neighbours move as a row of a matrix instruction, which wants multiples of 16 bytes.
      vector: neighbouring words of a thread.
    """
    if len(lanes) == 1:
        tiles, warps, threads = ((1, *lanes), (32 * vector,), (vector,)), (-3,), (-2,)
    elif len(lanes) == 2 and lanes[0] > 4:
        tiles = (1, *lanes), (lanes[0] // 4, lanes[1]), (1,)
        warps, threads = (-5,), (-3, -2)
    elif lanes[0] == 2:
        tiles, warps, threads = ((1, *lanes), (2,), (1,)), (-5, -4), (-3, -2)
    else:
        tiles, warps = ((1, *lanes), (1,)), (-len(lanes) - 1,)
        threads = tuple(range(-len(lanes), -1))
    return plgpu.Layout.TILED(
        plgpu.Tiling(tiles), warp_dims=warps, lane_dims=threads, vector_dim=-1
    )


def load_stack(ref: Ref, layout: Any, *index: Any, axes: tuple[int, ...] | None = None) -> Array:
    """Words in a layout from ``stack``; ``axes`` transposes the view of the reference."""
    view = ref.at[index]
    if axes is not None:
        view = view.transpose(axes)
    return plgpu.load(view, layout=layout, optimized=False)


def spread_stack(
    ref: Ref,
    lanes: tuple[int, ...],
    layout: Any,
    *index: Any,
    axes: tuple[int, ...] | None = None,
) -> Array:
    """``[n, *lanes]`` in a layout from ``stack``; the view may lack last axes, and is repeated."""
    view = ref.at[index]
    if axes is not None:
        view = view.transpose(axes)
    rank, missing = len(view.shape), range(len(view.shape), len(lanes) + 1)
    words = plgpu.load(view, layout=layout.reduce(tuple(missing)), optimized=False)
    shape = (view.shape[0], *lanes)
    return plgpu.layout_cast(lax.broadcast_in_dim(words, shape, tuple(range(rank))), layout)


def load_mirrored(
    ref: Ref,
    lanes: tuple[int, ...],
    layout: Any,
    index: Callable[[Sequence[Any]], tuple[Any, ...]],
    *,
    interpret: bool,
) -> Array:
    """``[n, *lanes]`` in a layout from ``stack``, end to end along the lanes, which are in order.

    No layout runs backwards. Every thread computes where its words are instead, and a load of the
    same words for all lanes takes them there.

    Args:
      ref: global memory.
      lanes: 128 in all, three axes or more.
      layout: ``stack(*lanes)``.
      index: of indices or slices along the axes of ``lanes``, the index of a view
        ``[n, *lanes]``.
      interpret: as for ``launch``.
    """
    if interpret:
        words = load_stack(ref, layout, *index([slice(None)] * len(lanes)))
        return lax.rev(words, tuple(range(1, words.ndim)))

    def number(context: Any) -> Any:
        """Of a thread, although a scalar is meant to be the same in all."""
        del context
        return mgpu.FragmentedArray.splat(mgpu.thread_idx(), (), is_signed=True)

    out = plgpu.ShapeDtypeStruct((), np.dtype(np.int32), layout=plgpu.Layout.WG_SPLAT)
    run: Any = plgpu.inline_mgpu(return_type=out)(number)
    return spread_stack(ref, lanes, layout, *index(point(np.int32(LANES - 1) - run(), lanes)))


def load_repeated(
    ref: Ref, lanes: tuple[int, ...], axis: int, *index: Any, interpret: bool
) -> Array:
    """A vector of 128 words in order, of a view that lacks an axis of ``lanes``: it is repeated.

    ``lanes`` as of ``stack``, 128 in all; the view is ``[1, *lanes]`` without the axis.
    """
    layout, shape = stack(*lanes), (1, *lanes)
    kept = tuple(i for i in range(len(shape)) if i != axis + 1)
    words = plgpu.load(ref.at[index], layout=layout.reduce((axis + 1,)), optimized=False)
    words = plgpu.layout_cast(lax.broadcast_in_dim(words, shape, kept), layout)
    if interpret:
        return words.reshape(LANES)

    def relabel(context: Any, array: Any) -> Any:
        """The same word in every thread, as a vector of ``load``."""
        del context
        strided = mgpu.WGStridedFragLayout((LANES,), 1)
        return mgpu.FragmentedArray(
            _registers=array.registers.reshape(1), _layout=strided, _is_signed=False
        )

    out = plgpu.ShapeDtypeStruct((LANES,), np.dtype(np.uint32), layout=_strided(LANES))
    run: Any = plgpu.inline_mgpu(arg_types=(layout,), return_type=out)(relabel)
    return run(words)


def store_stack(ref: Ref, value: Array, *index: Any, axes: tuple[int, ...] | None = None) -> None:
    """Store words in a layout from ``stack``; ``axes`` transposes the view of the reference."""
    view = ref.at[index]
    if axes is not None:
        view = view.transpose(axes)
    if hasattr(plgpu, "store"):
        plgpu.store(view, value, optimized=False)
    else:  # JAX 0.11, where stores do not insist on whole cache lines
        view[...] = value


def copy_pairs(source: Ref, target: Ref, source_index: tuple, target_index: tuple, n: int) -> None:
    """Copy the transpose of ``[2, n]`` words of shared memory to global memory.

    n is a power of two, 2 to 64. All threads of the block take part; more than one thread may write
    a word, with one value.
    """
    if 2 * n == LANES:
        target[target_index] = load_transposed(source, *source_index)
        return
    copies = plgpu.Replicated(32 // n)
    layout = plgpu.Layout.TILED(
        plgpu.Tiling(((n, 2), (n, 1))),
        warp_dims=(plgpu.Replicated(4),),
        lane_dims=(-2,) if n == 32 else (-2, copies),
        vector_dim=-1,
    )
    view = source.at[source_index].transpose((1, 0))
    value = plgpu.load(view, layout=layout, optimized=False)
    if hasattr(plgpu, "store"):
        plgpu.store(target.at[target_index], value, optimized=False)
    else:  # JAX 0.11, where stores do not insist on whole cache lines
        target[target_index] = value


def _strided(*shape: int) -> Any:
    return plgpu.Layout.WG_STRIDED(shape, vec_size=math.prod(shape) // LANES)
