"""The doctor describes what is there, says what is absent, and never fails."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest

from jaxstark import doctor

SMI_QUERY = "NVIDIA H100 80GB HBM3, 9.0, 81559, 81079, 570.86.15\n"
SMI_TABLE = "| NVIDIA-SMI 570.86.15   Driver Version: 570.86.15   CUDA Version: 12.8 |\n"


def fake_output(query: str, table: str):
    return lambda program, *args: query if args else table


class FakeDevice:
    id, platform, device_kind = 0, "gpu", "NVIDIA H100"

    def __init__(self, stats):
        self.stats = stats

    def memory_stats(self):
        if isinstance(self.stats, Exception):
            raise self.stats
        return self.stats


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_output", fake_output("", ""))
    monkeypatch.setattr(doctor, "NVIDIA_VERSION", tmp_path / "absent")


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(doctor, "_output", fake_output(SMI_QUERY, SMI_TABLE))


def use_jax(monkeypatch, devices):
    def answer():
        if isinstance(devices, Exception):
            raise devices
        return devices

    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(devices=answer))


def test_this_machine_is_described():
    report = doctor.diagnose()
    assert report.cpu_count >= 1
    assert report.versions["numpy"]
    assert set(report.stages) == set(doctor.STAGES)
    assert json.loads(json.dumps(report.to_dict()))["python"] == report.python
    text = str(report)
    for name in (*doctor.PACKAGES, *doctor.STAGES, "NVIDIA driver"):
        assert name in text


def test_cpu_only_machine_with_jax_lacks_nothing(no_driver):
    pytest.importorskip("jax")
    report = doctor.diagnose()
    assert report.driver is None
    assert report.cuda is None
    assert report.advice == ()
    assert set(report.stages.values()) == {"xla on cpu"}
    assert "absent" in str(report)


def test_missing_jax_names_the_pip_command(monkeypatch, no_driver):
    monkeypatch.setitem(sys.modules, "jax", None)
    report = doctor.diagnose()
    assert report.devices == ()
    assert report.advice == ("to prove, install JAX: pip install 'jaxstark[cpu]'",)
    assert set(report.stages.values()) == {"unavailable"}


def test_missing_jax_beside_a_gpu_names_the_cuda_extra(monkeypatch, driver):
    monkeypatch.setitem(sys.modules, "jax", None)
    report = doctor.diagnose()
    assert report.driver == "570.86.15"
    assert report.cuda == "12.8"
    assert report.gpus[0].compute_capability == "9.0"
    assert report.gpus[0].memory_free == 81079 << 20
    assert report.advice == ("to prove, install JAX: pip install 'jaxstark[cuda12]'",)


def test_new_driver_may_choose_cuda13(monkeypatch):
    query = SMI_QUERY.replace("570.86.15", "580.12")
    monkeypatch.setattr(doctor, "_output", fake_output(query, ""))
    monkeypatch.setitem(sys.modules, "jax", None)
    (advice,) = doctor.diagnose().advice
    assert "cuda12" in advice
    assert "cuda13" in advice


def test_old_driver_is_to_be_updated(monkeypatch):
    query = SMI_QUERY.replace("570.86.15", "470.57.02")
    monkeypatch.setattr(doctor, "_output", fake_output(query, ""))
    monkeypatch.setitem(sys.modules, "jax", None)
    (advice,) = doctor.diagnose().advice
    assert "expected version 525 or newer, got 470.57.02" in advice


def test_gpu_in_use_reports_free_memory(monkeypatch, driver):
    use_jax(monkeypatch, [FakeDevice({"bytes_limit": 80 << 30, "bytes_in_use": 30 << 30})])
    report = doctor.diagnose()
    assert report.devices[0].memory_free == 50 << 30
    assert report.advice == ()
    assert "50.0 of 80.0 GiB free" in str(report)


@pytest.mark.parametrize("good", [True, False])
def test_a_gpu_runs_kernels_if_it_runs_the_probe(monkeypatch, driver, good):
    use_jax(monkeypatch, [FakeDevice({})])
    monkeypatch.setattr(doctor, "_kernels", lambda: (good, "what the probe found"))
    report = doctor.diagnose()
    rest = dict(report.stages)
    assert rest.pop("gather") == "xla on gpu"
    assert set(rest.values()) == {"mosaic_gpu on gpu" if good else "xla on gpu"}
    assert "what the probe found" in str(report)


def test_a_probe_that_cannot_be_imported_is_reported(monkeypatch, driver):
    use_jax(monkeypatch, [FakeDevice({})])
    monkeypatch.setitem(sys.modules, "jaxstark.pallas.probe", None)
    report = doctor.diagnose()
    assert report.kernels is not None and "probe" in report.kernels
    assert set(report.stages.values()) == {"xla on gpu"}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("NVIDIA H100 80GB HBM3", ""),
        ("NVIDIA H200", ""),
        ("NVIDIA GH200 480GB", ", untested"),
        ("NVIDIA A100-SXM4-80GB", ", untested"),
        ("NVIDIA L40S", ", untested"),
        ("NVIDIA B200", ", untested"),
    ],
)
def test_gpus_that_nobody_tried_are_labelled_and_not_refused(monkeypatch, name, label):
    query = SMI_QUERY.replace("NVIDIA H100 80GB HBM3", name)
    monkeypatch.setattr(doctor, "_output", fake_output(query, SMI_TABLE))
    device = FakeDevice({})
    device.device_kind = name
    use_jax(monkeypatch, [device])
    monkeypatch.setattr(doctor, "_kernels", lambda: (True, "runs"))
    report = doctor.diagnose()
    assert f"GPU              {name}{label}, compute capability 9.0" in str(report)
    assert f"gpu:0 {name}{label}, memory unknown" in str(report)
    assert report.stages["fft"] == "mosaic_gpu on gpu" and report.advice == ()


@pytest.mark.parametrize("stats", [None, {}, RuntimeError("not supported")])
def test_unknown_device_memory_is_said(monkeypatch, driver, stats):
    use_jax(monkeypatch, [FakeDevice(stats)])
    report = doctor.diagnose()
    assert report.devices[0].memory_free is None
    assert "gpu:0 NVIDIA H100, memory unknown" in str(report)


def test_gpu_that_jax_ignores_is_pointed_out(monkeypatch, driver):
    pytest.importorskip("jax")
    monkeypatch.setenv("JAX_PLATFORMS", "")
    (advice,) = doctor.diagnose().advice
    assert advice == ("a GPU is present but JAX does not use it: pip install 'jaxstark[cuda12]'")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    (advice,) = doctor.diagnose().advice
    assert "unset it" in advice


@pytest.mark.parametrize(
    "error", [RuntimeError("no backend\nsecond line"), OSError("libcuda"), AssertionError()]
)
def test_broken_jax_is_reported_not_raised(monkeypatch, no_driver, error):
    use_jax(monkeypatch, error)
    report = doctor.diagnose()
    assert report.devices == ()
    assert report.jax_error is not None
    assert "\n" not in report.jax_error
    assert "reinstall" in report.advice[0]


def test_driver_is_found_without_nvidia_smi(monkeypatch, tmp_path):
    proc = tmp_path / "version"
    proc.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun 6\n")
    monkeypatch.setattr(doctor, "_output", fake_output("", ""))
    monkeypatch.setattr(doctor, "NVIDIA_VERSION", proc)
    report = doctor.diagnose()
    assert report.driver == "535.54.03"
    assert "unknown" in str(report)


@pytest.mark.parametrize("query", ["No devices were found\n", "a,b\n", "x, [N/A], [N/A], 1, \n"])
def test_garbage_from_nvidia_smi_is_ignored(monkeypatch, no_driver, query):
    monkeypatch.setattr(doctor, "_output", fake_output(query, "garbage"))
    report = doctor.diagnose()
    assert report.gpus == ()
    assert report.driver is None


def test_memory_that_the_gpu_does_not_tell_is_unknown(monkeypatch):
    query = "NVIDIA GB10, 12.1, [N/A], [N/A], 580.95.05\n"
    monkeypatch.setattr(doctor, "_output", fake_output(query, ""))
    report = doctor.diagnose()
    assert report.gpus[0].memory_total is None
    assert "memory unknown" in str(report)


def test_failing_program_gives_no_output():
    assert doctor._output("false") == ""
    assert doctor._output("surely-absent-program") == ""


def test_works_in_a_process_without_jax():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from jaxstark.doctor import diagnose\n"
        "print(diagnose())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'jaxstark[" in done.stdout
