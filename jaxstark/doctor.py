"""What this machine has to prove with: versions, driver, devices, memory, and what to install.

Every probe is allowed to find nothing; ``diagnose`` reports an absence and never raises. It works
without JAX. Asking JAX for its devices initialises its backends, which on a GPU reserves memory as
any JAX program does.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

STAGES = ("fft", "hash", "merkle", "composition", "oods", "deep", "fri", "grind", "gather")
PACKAGES = ("jaxstark", "numpy", "jax", "jaxlib")
CPU_EXTRA, GPU_EXTRA, CUDA13_EXTRA = (
    f"pip install 'jaxstark[{extra}]'" for extra in ("cpu", "cuda12", "cuda13")
)
# What brings CUDA to JAX.
PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
# GPUs on which the kernels were run; no other one is refused, see ``jaxstark.pallas.probe``.
TESTED = ("H100", "H200")
CUDA13_DRIVER = 580  # oldest driver branch that runs CUDA 13
CUDA12_DRIVER = 525
NVIDIA_VERSION = Path("/proc/driver/nvidia/version")
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Device:
    """One JAX device; memory in bytes, None where the backend does not tell."""

    id: int
    platform: str
    kind: str
    memory_limit: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Gpu:
    """One GPU as the NVIDIA driver sees it; memory in bytes, None where it does not tell."""

    name: str
    compute_capability: str | None
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Report:
    """Findings of ``diagnose``; ``str(report)`` is the text for people.

    Attributes:
      python: version of the interpreter.
      versions: package to version, or None where it is absent.
      driver: version of the NVIDIA driver, or None.
      cuda: newest CUDA version that the driver supports, or None.
      gpus: GPUs that the driver reports.
      jax_error: why JAX has no devices, or None.
      devices: JAX devices of the default platform.
      kernels: whether JAX's GPU runs the kernels, a sentence; None without one.
      cpu_count: usable CPU cores.
      ram_total, ram_free: host memory in bytes, or None.
      stages: stage to where it would run, such as ``"xla on gpu"``, or ``"unavailable"``.
      advice: what to install or change, one sentence each; empty if nothing.
    """

    python: str
    versions: dict[str, str | None]
    driver: str | None
    cuda: str | None
    gpus: tuple[Gpu, ...]
    jax_error: str | None
    devices: tuple[Device, ...]
    kernels: str | None
    cpu_count: int
    ram_total: int | None
    ram_free: int | None
    stages: dict[str, str]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [_row("Python", self.python)]
        lines += [_row(name, self.versions[name] or "absent") for name in self.versions]
        lines += [
            _row("CPU cores", str(self.cpu_count)),
            _row("host memory", _free_of(self.ram_free, self.ram_total)),
            _row("NVIDIA driver", self.driver or "absent"),
            _row("driver's CUDA", self.cuda or ("unknown" if self.driver else "absent")),
        ]
        for gpu in self.gpus:
            capability = f", compute capability {gpu.compute_capability}"
            lines.append(
                _row(
                    "GPU",
                    f"{_labelled(gpu.name)}{capability if gpu.compute_capability else ''}, "
                    f"{_free_of(gpu.memory_free, gpu.memory_total)}",
                )
            )
        if self.jax_error:
            lines.append(_row("JAX devices", f"none: {self.jax_error}"))
        for device in self.devices:
            kind = _labelled(device.kind) if device.platform == "gpu" else device.kind
            lines.append(
                _row(
                    "JAX device",
                    f"{device.platform}:{device.id} {kind}, "
                    f"{_free_of(device.memory_free, device.memory_limit)}",
                )
            )
        if self.kernels:
            lines.append(_row("kernels", self.kernels))
        lines += ["", "Where each stage of a proof would run:"]
        lines += [_row(f"  {stage}", where) for stage, where in self.stages.items()]
        lines += ["", "Verifying runs on NumPy alone, on any machine."]
        lines += [f"To do: {sentence}" for sentence in self.advice]
        if not self.advice:
            lines.append("Nothing is missing.")
        return "\n".join(lines)


def diagnose() -> Report:
    """Look at this machine; absent or broken things are part of the report, never an error."""
    versions = {name: package_version(name) for name in PACKAGES}
    driver, cuda, gpus = nvidia()
    devices, jax_error = _jax_devices()
    ram_total, ram_free = _host_memory()
    where = xla = f"xla on {devices[0].platform}" if devices else "unavailable"
    kernels = None
    if devices and devices[0].platform == "gpu":
        good, kernels = _kernels()
        where = "mosaic_gpu on gpu" if good else xla
    return Report(
        python=platform.python_version(),
        versions=versions,
        driver=driver,
        cuda=cuda,
        gpus=gpus,
        jax_error=jax_error,
        devices=devices,
        kernels=kernels,
        cpu_count=_cpu_count(),
        ram_total=ram_total,
        ram_free=ram_free,
        stages={stage: xla if stage == "gather" else where for stage in STAGES},
        advice=_advice(driver, devices, jax_error),
    )


def package_version(name: str) -> str | None:
    """Version of an installed or importable package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
    try:
        version = getattr(importlib.import_module(name), "__version__", None)
    except Exception:  # a broken package is as good as an absent one
        return None
    return version if isinstance(version, str) else None


def _advice(
    driver: str | None, devices: tuple[Device, ...], jax_error: str | None
) -> tuple[str, ...]:
    """What to do next, from what was found."""
    major = _major(driver)
    if driver is None:
        command = CPU_EXTRA
    elif (old := old_driver(driver)) is not None:
        return (old,)
    else:
        command = GPU_EXTRA
        if major is not None and major >= CUDA13_DRIVER:
            command += f" (or, not both, {CUDA13_EXTRA})"
    if not devices and jax_error == "JAX is not installed":
        return (f"to prove, install JAX: {command}",)
    if not devices:
        return (f"JAX is installed but has no device; reinstall it: {command}",)
    if driver is not None and all(device.platform == "cpu" for device in devices):
        if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
            return ("JAX_PLATFORMS=cpu keeps JAX off the GPU; unset it to use the GPU",)
        return (f"a GPU is present but JAX does not use it: {command}",)
    return ()


def old_driver(driver: str) -> str | None:
    """What to do about a driver that no supported CUDA runs on; None for others."""
    major = _major(driver)
    if major is None or major >= CUDA12_DRIVER:
        return None
    return (
        f"update the NVIDIA driver: expected version {CUDA12_DRIVER} or newer, got {driver}; "
        f"then {GPU_EXTRA}"
    )


def _kernels() -> tuple[bool, str]:
    """Whether JAX's GPU runs the kernels, and a sentence about it."""
    try:
        from jaxstark.pallas.probe import supported

        return supported()
    except Exception as error:  # a JAX without Pallas, say
        return False, _sentence(error)


def _labelled(name: str) -> str:
    """The name of a GPU, and whether it is one that nobody ran the kernels on."""
    return name if set(TESTED) & set(re.findall(r"\w+", name)) else f"{name}, untested"


def _jax_devices() -> tuple[tuple[Device, ...], str | None]:
    """Devices of JAX's default platform, or why there are none."""
    try:
        import jax
    except ModuleNotFoundError as error:
        if error.name == "jax":
            return (), "JAX is not installed"
        return (), _sentence(error)
    except Exception as error:  # a broken installation may fail in any way
        return (), _sentence(error)
    try:
        return tuple(_jax_device(device) for device in jax.devices()), None
    except Exception as error:  # so may a backend
        return (), _sentence(error)


def _jax_device(device: Any) -> Device:
    try:
        stats = device.memory_stats() or {}
    except Exception:  # not every backend has figures
        stats = {}
    limit, used = stats.get("bytes_limit"), stats.get("bytes_in_use")
    free = limit - used if limit is not None and used is not None else None
    if device.platform == "cpu" and limit is None:
        limit, free = _host_memory()
    return Device(device.id, device.platform, device.device_kind, limit, free)


def nvidia() -> tuple[str | None, str | None, tuple[Gpu, ...]]:
    """Driver version, its CUDA version and its GPUs, from nvidia-smi and /proc."""
    query = "name,compute_cap,memory.total,memory.free,driver_version"
    rows = _output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits")
    gpus, driver = [], None
    for row in rows.splitlines():
        cells = [cell.strip() for cell in row.split(",")]
        if len(cells) == 5 and re.fullmatch(r"\d+(\.\d+)+", cells[4]):
            capability = cells[1] if re.fullmatch(r"\d+\.\d+", cells[1]) else None
            gpus.append(Gpu(cells[0], capability, _mebibytes(cells[2]), _mebibytes(cells[3])))
            driver = cells[4]
    cuda = re.search(r"CUDA Version:\s*(\d+\.\d+)", _output("nvidia-smi"))
    if driver is None:
        found = re.search(r"(?:Module|x86_64|aarch64)\s+(\d+(?:\.\d+)+)", _read(NVIDIA_VERSION))
        driver = found.group(1) if found else None
    return driver, cuda.group(1) if cuda else None, tuple(gpus)


def _host_memory() -> tuple[int | None, int | None]:
    """Total and available host memory in bytes."""
    figures = dict(re.findall(r"(\w+):\s+(\d+) kB", _read(MEMINFO)))
    if "MemTotal" in figures and "MemAvailable" in figures:
        return int(figures["MemTotal"]) << 10, int(figures["MemAvailable"]) << 10
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (OSError, ValueError, AttributeError):
        return None, None


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _output(program: str, *args: str) -> str:
    """Standard output of a program; empty if it is absent, fails or hangs."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *args],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _major(version: str | None) -> int | None:
    found = re.match(r"\d+", version or "")
    return int(found.group()) if found else None


def _mebibytes(text: str) -> int | None:
    return int(text) << 20 if text.isdecimal() else None


def _sentence(error: BaseException) -> str:
    """First line of an error, of bounded length."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _free_of(free: int | None, total: int | None) -> str:
    if total is None:
        return "memory unknown"
    size = f"{total / 2**30:.1f} GiB"
    return f"{size}, free unknown" if free is None else f"{free / 2**30:.1f} of {size} free"


def _row(name: str, value: str) -> str:
    return f"{name:<16} {value}"
