"""StarkWare's verifier as a test oracle: builds tests/interop once and feeds it cases."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CRATE = Path(__file__).parent / "interop"


def build() -> Path:
    """The verifier binary; workers build it once between them.

    ``CARGO_TARGET_DIR`` moves the build folder, as everywhere.
    """
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".jaxstark-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["cargo", "build", "--locked", "--quiet"]
        done = subprocess.run(command, cwd=CRATE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cargo build failed: {done.stderr[-2000:]}")
    return target / "debug" / "jaxstark-interop"


def case(name: str, key: Any, public_values: Any, proof: Any) -> dict[str, Any]:
    """One line for the verifier; key and proof may be objects of ours or their JSON data."""
    return {
        "name": name,
        "key": json.loads(key.to_json()) if hasattr(key, "to_json") else key,
        "public_values": {k: list(v) for k, v in public_values.items()},
        "proof": json.loads(proof.to_json()) if hasattr(proof, "to_json") else proof,
    }


def verify(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The verifier's answers, ``{"name", "accepted", "error"}``, in the order of the cases."""
    lines = "".join(json.dumps(c) + "\n" for c in cases)
    done = subprocess.run(
        [build(), "verify", "-"], input=lines, capture_output=True, text=True, check=False
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or [a["name"] for a in answers] != [c["name"] for c in cases]:
        raise RuntimeError(f"the upstream verifier stopped: {done.stderr[-2000:]}")
    return answers
