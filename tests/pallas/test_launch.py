"""The launcher: grids fit CUDA, every point is visited, support is an answer and no error."""

from __future__ import annotations

import ast
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")
from jax.experimental import pallas as pl  # noqa: E402

from jaxstark.pallas import launch, probe  # noqa: E402

pytestmark = pytest.mark.floor
PACKAGE = Path(launch.__file__).resolve().parents[1]


def body(point, out):
    value = np.uint32(100) * point[0].astype(np.uint32) + point[1].astype(np.uint32)
    out[point[0], point[1], :] = launch.constant(7) + value


def test_every_point_of_a_grid_is_visited():
    out = jax.ShapeDtypeStruct((3, 2, 128), np.uint32)
    got = np.asarray(jax.jit(launch.launch(body, out, grid=(3, 2), interpret=True))())
    want = 7 + 100 * np.arange(3)[:, None] + np.arange(2)[None, :]
    assert np.array_equal(got, np.broadcast_to(want[:, :, None], got.shape))


def scaled(factor: int, grid: tuple[int, ...], *scratch: int, interpret: bool) -> launch.Kernel:
    """Every block multiplies its vector, if it can in shared memory, and tells its point."""
    source = np.arange(math.prod(grid) * 128, dtype=np.uint32).reshape(*grid, 128)

    def body(point, source, target, last, *memory):
        value = launch.load(source, *point, slice(None))
        assert len(memory) == len(scratch)
        if memory:
            launch.store(memory[-1], value, pl.ds(0, 128))
            launch.sync(interpret)
            value = launch.load(memory[-1], pl.ds(0, 128))
        target[(*point, slice(None))] = value * np.uint32(factor)
        last[point] = point[-1]

    out = jax.ShapeDtypeStruct(source.shape, np.uint32), jax.ShapeDtypeStruct(grid, np.int32)
    return launch.Kernel(body, out, grid, scratch, (source,))


def three(interpret: bool) -> list[launch.Kernel]:
    """Kernels of other grids and shared memory."""
    return [
        scaled(3, (2, 3), interpret=interpret),
        scaled(5, (1,), 7, 128, interpret=interpret),
        scaled(7, (4,), 300, interpret=interpret),
    ]


def test_kernels_in_one_launch_make_what_each_makes():
    together = jax.jit(lambda: launch.run_together(three(True), interpret=True))()
    for kernel, got, factor in zip(three(True), together, (3, 5, 7), strict=True):
        alone = launch.run(kernel, interpret=True)
        points = np.broadcast_to(np.arange(kernel.grid[-1]), kernel.grid)
        for one, other, want in zip(got, alone, (kernel.inputs[0] * factor, points), strict=True):
            assert np.array_equal(one, want) and np.array_equal(other, want)


def test_kernels_in_one_launch_lower_for_cuda():
    """Under the names of all."""
    text = blocks_of(lambda: launch.run_together(three(False), interpret=False))
    assert text.count("stablehlo.custom_call @mosaic_gpu") == 1
    assert "pallas_scaled_and_pallas_scaled_and_pallas_scaled" in text


def blocks_of(run) -> str:
    return jax.jit(run).trace().lower(lowering_platforms=("cuda",)).as_text()


def test_axes_beyond_65535_lower():
    """CUDA limits y and z of a grid to 65,535: a large axis that is not the last must be flat."""
    out = jax.ShapeDtypeStruct((1 << 17, 2, 128), np.uint32)
    assert "mosaic_gpu" in blocks_of(launch.launch(body, out, grid=(1 << 17, 2)))
    mesh = {}

    def kernel(*_, **options):
        mesh.update(options)

    original, launch.plgpu.kernel = launch.plgpu.kernel, kernel
    try:
        launch.launch(body, out, grid=(1 << 17, 2))
    finally:
        launch.plgpu.kernel = original
    assert mesh["grid"] == (1 << 18,)


@pytest.mark.parametrize("grid", [(), (0,), (4, 0), (1 << 31,), (1 << 16, 1 << 15)])
def test_grids_that_cuda_cannot_run_are_refused(grid):
    with pytest.raises(ValueError, match="grid: expected 1 to 2147483647 blocks"):
        launch.launch(body, jax.ShapeDtypeStruct((128,), np.uint32), grid=grid)


@pytest.mark.parametrize("lanes", [(4, 4, 2, 2, 2), (4, 2, 2, 8)], ids=str)
def test_mirrored_lanes_run_backwards(lanes):
    """In the interpreter; and the places that threads compute when compiled are the same."""
    source = np.arange(2 * 128, dtype=np.uint32).reshape(2, *lanes)
    layout = launch.stack(*lanes)

    def body(point, ref, out, *, interpret):
        del point
        words = launch.load_mirrored(
            ref, lanes, layout, lambda places: (slice(None), *places), interpret=interpret
        )
        launch.store_stack(out, words, *[slice(None)] * source.ndim)

    def call(interpret):
        out = jax.ShapeDtypeStruct(source.shape, np.uint32)
        run = partial(body, interpret=interpret)
        return launch.launch(run, out, grid=(1,), interpret=interpret, name="mirrored")

    want = source.reshape(2, 128)[:, ::-1].reshape(source.shape)
    assert np.array_equal(np.asarray(call(True)(source)), want)
    places = np.array([launch._point(np.int32(127 - thread), lanes) for thread in range(128)])
    got = source[:, *places.T]
    assert np.array_equal(got.reshape(source.shape), want)
    text = jax.jit(call(False)).trace(source).lower(lowering_platforms=("cuda",)).as_text()
    assert "mosaic_gpu" in text


def test_support_is_an_answer():
    good, reason = probe.supported()
    assert probe.supported() == (good, reason)
    if not any(d.platform == "gpu" for d in jax.devices()):
        assert not good
        assert "finds no GPU" in reason


def test_probe_lowers_for_cuda():
    shape = jax.ShapeDtypeStruct((128, 2), np.uint32)
    text = jax.jit(probe._probe).trace(shape).lower(lowering_platforms=("cuda",)).as_text()
    assert "mosaic_gpu" in text


def test_only_the_launcher_names_mosaic():
    """Everything that JAX may still rename stands behind one module."""
    guilty = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{a.name}" for a in node.names]
            if any("pallas.mosaic_gpu" in n and n.startswith("jax.") for n in names):
                guilty.append(path.relative_to(PACKAGE).as_posix())
    assert guilty == ["pallas/launch.py"]
