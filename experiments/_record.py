"""Result rows of the experiments: where and with what a figure was measured.

A row is one JSON object on one line. Rows are appended, never rewritten, so that a sweep that is
interrupted keeps what it has.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from jaxstark import doctor

REPO = Path(__file__).resolve().parent.parent
PACKAGES = ("jaxstark", "jax", "jaxlib", "numpy")


def _git(*args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(REPO), *args], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str | None]:
    """Of the packages that figures depend on; of a plug-in only if it is installed."""
    found = {name: doctor.package_version(name) for name in (*PACKAGES, *doctor.PLUGINS)}
    return {name: v for name, v in found.items() if v or name not in doctor.PLUGINS}


def _device() -> dict[str, Any]:
    """Platform and kind of the default JAX device; all None where JAX is absent or broken."""
    try:
        import jax

        devices = jax.devices()
    except Exception:  # a figure without a device beats no figure
        return {
            "platform": None,
            "device_kind": None,
            "device_count": 0,
            "platform_version": None,
            "driver": None,
        }
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "platform_version": devices[0].client.platform_version,
        "driver": doctor.nvidia()[0] if devices[0].platform == "gpu" else None,
    }


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or None


def environment() -> dict[str, Any]:
    """Everything about the machine and the code that a figure depends on.

    Keys: ``git_sha`` (None outside a clone), ``git_dirty``, ``python``, ``versions`` by package,
    ``platform``, ``device_kind`` and ``platform_version`` (of CUDA) of the default JAX device,
    ``device_count``, ``driver`` (None without a GPU), ``cpu_count`` (usable cores), ``cpu_model``,
    ``time_utc``.
    """
    sha = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain")
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return {
        "git_sha": sha,
        "git_dirty": None if status is None else bool(status),
        "python": platform.python_version(),
        "versions": _versions(),
        **_device(),
        "cpu_count": cores,
        "cpu_model": _cpu_model(),
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def compact(row: dict[str, Any]) -> str:
    """One line of JSON without spaces.

    Raises ``ValueError`` for NaN and infinities, which JSON does not have.
    """
    return json.dumps(row, separators=(",", ":"), allow_nan=False)


def write_record(path: str | os.PathLike[str], row: dict[str, Any]) -> None:
    """Append ``row`` to the JSON-lines file ``path``, making its folder.

    The file is locked meanwhile, so rows of concurrent writers do not interleave. A last line
    that a crash cut short is closed first.
    """
    line = (compact(row) + "\n").encode()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released by close
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError(f"{target}: the row was written in part (is the disk full?)")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file, in order; lines that are not whole JSON objects are left out."""
    rows = []
    for line in Path(path).read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def last_line(row: dict[str, Any]) -> None:
    """Print ``row`` as the machine-readable last line: compact JSON and nothing else."""
    sys.stdout.flush()
    print(compact(row), flush=True)


def default_cache() -> Path:
    """The user's folder for compiled programs (``XDG_CACHE_HOME`` is respected)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxstark" / "jax"


def setup_jax_cache(directory: str | os.PathLike[str] | None = "") -> Path | None:
    """Turn on JAX's persistent compilation cache for this process, however short a compilation is.

    Args:
      directory: the folder; ``""`` for the user's cache folder; None or ``"none"`` for no cache.

    Returns the folder, or None when the cache stays off or JAX is absent.
    """
    if directory is None or str(directory) == "none":
        return None
    try:
        import jax
    except ImportError:
        return None
    folder = default_cache() if str(directory) == "" else Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def define_flags() -> None:
    """Define the absl flag ``--jax_cache``, shared by the scripts, unless it is there already."""
    from absl import flags

    if "jax_cache" not in flags.FLAGS:
        flags.DEFINE_string(
            "jax_cache", "", "Folder of compiled programs; empty: the user's cache; none: no cache."
        )


def start() -> dict[str, Any]:
    """First call of a script's ``main``: set the cache up from its flag, return the environment."""
    from absl import flags

    setup_jax_cache(flags.FLAGS.jax_cache if "jax_cache" in flags.FLAGS else "")
    return environment()
