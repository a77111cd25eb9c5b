"""The launcher: grids fit CUDA, every point is visited, support is an answer and no error."""

from __future__ import annotations

import ast
import tomllib
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
    assert "\n" not in reason
    assert good == reason.endswith("runs the probe kernel")


@pytest.fixture
def asked(monkeypatch):
    """``supported`` without what it kept, on a machine with a CUDA plug-in and nothing else."""
    probe.supported.cache_clear()
    versions = {"jax-cuda13-plugin": "9.8.7"}
    monkeypatch.setattr(probe.doctor, "package_version", versions.get)
    monkeypatch.setattr(probe.doctor, "nvidia", lambda: (None, None, ()))
    monkeypatch.setattr(probe, "_platforms", lambda: "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(jax, "devices", lambda *_: broken("no backend\nsecond line"))
    yield probe.supported
    probe.supported.cache_clear()


def broken(text: str):
    raise RuntimeError(text)


def refused(answer: tuple[bool, str], *words: str) -> None:
    good, reason = answer
    assert not good and "\n" not in reason
    for word in words:
        assert word in reason, reason


def test_a_jax_without_cuda_names_what_to_install(asked, monkeypatch):
    monkeypatch.setattr(probe.doctor, "package_version", lambda name: None)
    extras = ("pip install 'jaxstark[cuda12]'", "pip install 'jaxstark[cuda13]'")
    refused(asked(), f"JAX {jax.__version__} is installed without CUDA", *extras)
    declared = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert {"cuda12", "cuda13"} <= set(declared["optional-dependencies"])


@pytest.mark.parametrize(
    ("platforms", "hidden"), [("cpu", True), ("tpu,cpu", True), ("cpu,cuda", False), ("GPU", False)]
)
def test_platforms_that_hide_a_gpu_are_named(asked, monkeypatch, platforms, hidden):
    monkeypatch.setattr(probe, "_platforms", lambda: platforms)
    words = f"JAX_PLATFORMS={platforms!r} hides GPUs"
    _, reason = asked()
    assert (words in reason) == hidden
    assert ("no NVIDIA driver" in reason) != hidden


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_variable_that_hides_all_gpus_is_named(asked, monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    refused(asked(), f"CUDA_VISIBLE_DEVICES={value!r} hides GPUs", "unset it")


def test_a_plug_in_without_driver_says_so(asked):
    plugin = f"JAX {jax.__version__} with jax-cuda13-plugin 9.8.7 finds no GPU"
    refused(asked(), plugin, "no NVIDIA driver", "nvidia-smi")


def test_an_old_driver_is_to_be_updated(asked, monkeypatch):
    monkeypatch.setattr(probe.doctor, "nvidia", lambda: ("470.57.02", None, ()))
    refused(asked(), "finds no GPU: update the NVIDIA driver", "525 or newer, got 470.57.02")


def test_a_gpu_that_only_the_driver_sees_is_named(asked, monkeypatch):
    gpu = probe.doctor.Gpu("NVIDIA H100 NVL", "9.0", None, None)
    monkeypatch.setattr(probe.doctor, "nvidia", lambda: ("580.12", "13.0", (gpu,)))
    words = ("driver 580.12 has NVIDIA H100 NVL", "RuntimeError: no backend", "reinstall")
    refused(asked(), *words)


def test_a_gpu_that_runs_the_probe_is_supported(asked, monkeypatch):
    """Whatever its name."""
    real = jax.local_devices(backend="cpu")[0]
    monkeypatch.setattr(jax, "devices", lambda *_: [real])
    monkeypatch.setattr(probe, "_probe", lambda w: w[:, 0] + np.uint32(3) * w[:, 1])
    assert asked() == (True, f"{real.device_kind} with JAX {jax.__version__} runs the probe kernel")


@pytest.mark.parametrize("wrong", [False, True], ids=["raises", "wrong"])
def test_a_gpu_that_fails_the_probe_is_named(asked, monkeypatch, wrong):
    """Of what a compiler says, which may be long, the first line."""
    real = jax.local_devices(backend="cpu")[0]
    monkeypatch.setattr(jax, "devices", lambda *_: [real])
    monkeypatch.setattr(
        probe, "_probe", lambda w: w[:, 0] if wrong else broken("no sm_75\n" + "x" * 999)
    )
    reason = "a wrong result" if wrong else "does not run the probe kernel: RuntimeError: no sm_75"
    refused(asked(), f"{real.device_kind} with JAX {jax.__version__}", reason)


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
