"""Kernels are found in a lowered program, whatever calls them, so that they compile ahead."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from jaxstark.pallas import launch  # noqa: E402
from jaxstark.resident import kernels  # noqa: E402


def add(number: int):
    """A kernel that adds a number to 256 words."""

    def body(point, source, target):
        del point
        at = jax.experimental.pallas.ds(0, 256)
        launch.store(target, launch.load(source, at) + np.uint32(number), at)

    out = jax.ShapeDtypeStruct((256,), np.uint32)
    return jax.jit(launch.launch(body, out, grid=(1,)))


def lower(function):
    words = jax.ShapeDtypeStruct((256,), np.uint32)
    return jax.jit(function).trace(words).lower(lowering_platforms=("cuda",))


@pytest.mark.floor
def test_every_kernel_is_found_once():
    one, two = add(1), add(2)

    def program(words):
        def body(i, w):
            del i
            return two(one(w))

        return one(jax.lax.fori_loop(0, 3, body, one(words) + jnp.uint32(1)))

    found = kernels.kernels(lower(program))
    assert len(found) == 2
    words = (jax.ShapeDtypeStruct((256,), np.uint32),)
    for kernel in found:
        assert kernel.target.startswith("mosaic_gpu")
        assert (kernel.inputs, kernel.outputs) == (words, words)


@pytest.mark.floor
def test_a_kernel_alone_has_the_same_hash():
    """That is what its compiled code is found by."""
    (kernel,) = kernels.kernels(lower(add(3)))
    call = jax.ffi.ffi_call(kernel.target, kernel.outputs)
    alone = lower(lambda *arrays: call(*arrays, **kernel.attributes))
    assert kernels.kernels(alone) == [kernel]


def test_a_program_without_kernels_is_compiled_alone():
    lowered = jax.jit(lambda x: x + 1).lower(jnp.zeros(3))
    assert kernels.kernels(lowered) == []
    (run,) = kernels.compile_programs([lowered])
    np.testing.assert_array_equal(run(jnp.zeros(3)), np.ones(3))


def test_kernels_are_compiled_before_the_programs(monkeypatch):
    """A kernel of several programs once; what is returned is in their order."""
    order = []
    monkeypatch.setattr(kernels, "_compile", lambda device, kernel: order.append(kernel))

    def program(name, run):
        return SimpleNamespace(
            compiler_ir=lower(run).compiler_ir, compile=lambda: order.append(name) or name
        )

    two = program("first", lambda words: add(1)(add(2)(words))), program("second", add(2))
    assert kernels.compile_programs(two) == ["first", "second"]
    assert len(order) == 4 and set(order[2:]) == {"first", "second"}


def test_a_kernel_that_does_not_compile_is_not_passed_over(monkeypatch):
    def fail(device, kernel):
        raise RuntimeError("no code")

    monkeypatch.setattr(kernels, "_compile", fail)
    with pytest.raises(RuntimeError, match="no code"):
        kernels.compile_programs([lower(add(1))])
