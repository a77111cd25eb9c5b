"""An environment without JAX: import, verify, info, doctor, and one sentence from ``prove``.

Usage, outside the repository: ``python nojax_smoke.py REPOSITORY``. Raises on the first thing that
is wrong.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"no-JAX smoke test failed: {message}")


def command(*args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "jaxstark", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def golden(repo: Path) -> tuple[str, list[str]]:
    """Stem of the first golden proof, and the arguments that verify it."""
    folder = repo / "tests" / "golden" / "proofs"
    for proof in sorted(folder.glob("*.proof.json")):
        stem = str(proof).removesuffix(".proof.json")
        args = [str(proof), f"{stem}.key.json"]
        if Path(f"{stem}.public.json").exists():
            args += ["--public", f"{stem}.public.json"]
        return stem, args
    raise SystemExit(f"no-JAX smoke test failed: no *.proof.json under {folder}")


def main() -> None:
    repo = Path(sys.argv[1]).resolve()
    check(importlib.util.find_spec("jax") is None, "this environment has JAX")
    import jaxstark

    where = Path(jaxstark.__file__).resolve()
    check(repo / "jaxstark" not in where.parents, f"imported from the repository: {where}")
    check(callable(jaxstark.verify), "jaxstark.verify is not callable")

    message = ""
    try:
        jaxstark.prove(None)  # type: ignore[arg-type]
    except Exception as error:
        message = str(error)
    check("pip install" in message, f"prove without JAX names no pip command: {message!r}")
    check("\n" not in message, f"prove without JAX says more than one sentence: {message!r}")

    stem, args = golden(repo)
    code, text = command("verify", *args, "--insecure")
    check(code == 0, f"golden proof {stem}: exit code {code}: {text}")
    print(text.strip())
    code, text = command("info", args[0])
    check(code == 0 and "AIR" in text, f"info: exit code {code}: {text}")

    document = json.loads(Path(args[0]).read_text())
    nonce = _change_nonce(document)
    check(nonce, "golden proof: found no proof_of_work to change")
    with tempfile.TemporaryDirectory() as folder:
        forged = Path(folder) / "forged.proof.json"
        forged.write_text(json.dumps(document))
        code, text = command("verify", str(forged), *args[1:], "--insecure")
    check(code == 1, f"forged golden proof: expected exit code 1, got {code}: {text}")

    code, text = command("doctor")
    check(code == 0 and "jaxstark[cpu]" in text or "jaxstark[cuda12]" in text, f"doctor: {text}")
    code, text = command("--version")
    check(code == 0 and text.startswith("jaxstark "), f"--version: {text}")
    print("no-JAX smoke test passed")


def _change_nonce(node: object) -> bool:
    """Change the first ``proof_of_work`` in place; whether there was one."""
    if isinstance(node, dict):
        if isinstance(node.get("proof_of_work"), int):
            node["proof_of_work"] += 1
            return True
        return any(_change_nonce(child) for child in node.values())
    return isinstance(node, list) and any(_change_nonce(child) for child in node)


if __name__ == "__main__":
    main()
