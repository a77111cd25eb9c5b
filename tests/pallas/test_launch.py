"""The launcher: grids fit CUDA, every point is visited, support is an answer and no error."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")

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
    places = np.array([launch.point(np.int32(127 - thread), lanes) for thread in range(128)])
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
