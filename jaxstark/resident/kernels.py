"""Compile the kernels of a program side by side, before the program itself.

The compiler takes the kernels of a program one after the other, which is most of its time, but
keeps every kernel that it has compiled in this process, by the hash of its code. So each kernel
becomes a program of its own first, and those are compiled by as many threads as there are cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.mlir import ir

_TARGET = "mosaic_gpu"  # how the names of the kernels' calls begin
_WORDS = {"ui32": np.uint32, "i32": np.int32}


class Kernel(NamedTuple):
    """A kernel as a lowered program calls it.

    Attributes:
      target: name of the call.
      attributes: of the call: the code, its hash, options.
      inputs: shapes and types of its operands.
      outputs: shapes and types of its results.
    """

    target: str
    attributes: dict[str, Any]
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    outputs: tuple[jax.ShapeDtypeStruct, ...]


def compile_programs(lowered: Sequence[Any]) -> list[Any]:
    """``compile()`` of every ``jax.stages.Lowered``, on all cores, their kernels first."""
    found = {kernel.attributes["kernel_hash"]: kernel for one in lowered for kernel in kernels(one)}
    device = jax.config.jax_default_device  # a thread's own

    def compiled(one: Any) -> Any:
        with jax.default_device(device):
            return one.compile()

    most = max(len(found), len(lowered))
    with ThreadPoolExecutor(min(most, os.cpu_count() or 1), "jaxstark_compile") as pool:
        list(pool.map(partial(_compile, device), found.values()))
        return list(pool.map(compiled, lowered))


def kernels(lowered: Any) -> list[Kernel]:
    """Kernels that a lowered program calls, each once; none of those with unusual types."""
    found: dict[Any, Kernel] = {}
    module = lowered.compiler_ir("stablehlo")
    for op in _operations(module.operation):
        if op.name != "stablehlo.custom_call":
            continue
        target = ir.StringAttr(op.attributes["call_target_name"]).value
        if not target.startswith(_TARGET):
            continue
        attributes = _attributes(op)
        inputs = _shapes([operand.type for operand in op.operands])
        outputs = _shapes([result.type for result in op.results])
        if attributes is not None and inputs is not None and outputs is not None:
            found.setdefault(attributes["kernel_hash"], Kernel(target, attributes, inputs, outputs))
    return list(found.values())


def _operations(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _operations(inner.operation)


def _attributes(op: Any) -> dict[str, Any] | None:
    """The call's attributes as Python values; None if there are none, or of another kind."""
    if "mhlo.backend_config" not in op.attributes:
        return None
    out: dict[str, Any] = {}
    for named in ir.DictAttr(op.attributes["mhlo.backend_config"]):
        value = named.attr
        if isinstance(value, ir.StringAttr):
            out[named.name] = ir.StringAttr(value).value_bytes
        elif isinstance(value, ir.BoolAttr):
            out[named.name] = ir.BoolAttr(value).value
        else:
            return None
    return out if "kernel_hash" in out else None


def _shapes(types: list[Any]) -> tuple[jax.ShapeDtypeStruct, ...] | None:
    out = []
    for one in types:
        tensor = ir.RankedTensorType(one)
        dtype = _WORDS.get(str(tensor.element_type))
        if dtype is None:
            return None
        out.append(jax.ShapeDtypeStruct(tuple(tensor.shape), dtype))
    return tuple(out)


def _compile(device: Any, kernel: Kernel) -> None:
    call = partial(jax.ffi.ffi_call(kernel.target, kernel.outputs), **kernel.attributes)
    with jax.default_device(device):
        jax.jit(call).lower(*kernel.inputs).compile()
