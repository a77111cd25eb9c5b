"""Compiled proofs on disk: a new process proves without tracing, lowering or compiling.

JAX's own compilation cache spares compiling alone; tracing and lowering a proof take longer than
reading it back. A file holds the programs of one proof as compiled for one kind of device, and its
name is a hash of everything that they depend on. Files are machine code that is run: they belong
into a folder that nobody else can write, and are made readable by the owner only.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from jaxstark.proof import write_atomically
from jaxstark.resident.kernels import compile_programs

_PACKAGE = Path(__file__).resolve().parents[1]
SUFFIX = ".jaxstark"


def load_or_compile(
    folder: str | os.PathLike[str], what: Any, lower: Callable[[], tuple[Sequence[Any], Any]]
) -> tuple[list[Callable[..., Any]], Any]:
    """The programs of a proof and what belongs to them, from the folder or made and stored there.

    Args:
      folder: made if it is missing.
      what: tells proofs apart by its ``repr``, which must name every static argument.
      lower: returns lowered programs (``jax.stages.Lowered``) and a picklable value.

    A file that cannot be read, for whatever reason, is compiled and written again.
    """
    path = Path(folder).expanduser() / (key_of(what) + SUFFIX)
    if path.exists():
        try:
            stored, extra = pickle.loads(path.read_bytes())
            return [serialize_executable.deserialize_and_load(*one) for one in stored], extra
        except Exception:  # noqa: BLE001 - cut short, or made by a build that the key cannot tell
            path.unlink(missing_ok=True)
    lowered, extra = lower()
    compiled = compile_programs(lowered)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stored = [serialize_executable.serialize(one) for one in compiled]
    write_atomically(path, pickle.dumps((stored, extra)))
    path.chmod(0o600)
    return compiled, extra


def key_of(what: Any) -> str:
    """Hash of a program's description, this code, the versions below it, device and options."""
    device = jax.devices()[0]
    parts = (
        repr(what),
        code_hash(),
        jax.__version__,
        metadata.version("jaxlib"),
        device.device_kind,
        getattr(device.client, "platform_version", ""),
        os.environ.get("XLA_FLAGS", ""),
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]


@cache
def code_hash() -> str:
    """Hash of the sources of this package."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
