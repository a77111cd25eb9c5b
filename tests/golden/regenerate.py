"""Prove the golden cases again and write them with hashes and provenance.

From the root of the repository: ``python -m tests.golden.regenerate`` writes all files,
``--check`` only compares and says which differ (exit status 1), ``--only NAME`` takes one case.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jaxstark
from tests.golden.cases import CASES, MANIFEST, PROOFS

COMMAND = "python -m tests.golden.regenerate"
FORMS = ("proof.json", "proof.bin", "key.json", "public.json")


def make(name: str) -> dict[str, bytes]:
    """Content of every file of a case."""
    case = CASES[name]
    trace, log_sizes = case.example()
    proof = jaxstark.prove(trace, params=case.params, insecure=True)
    key = trace.air.setup(log_sizes, case.params)
    jaxstark.verify(proof, key, trace.public_values, insecure=True)
    public = {name: list(words) for name, words in trace.public_values.items()}
    contents = (proof.to_json(), proof.to_bytes(), key.to_json(), json.dumps(public))
    return {
        form: content.encode() if isinstance(content, str) else content
        for form, content in zip(FORMS, contents, strict=True)
    }


def describe(name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """What the manifest says of a case."""
    case, params = CASES[name], CASES[name].params
    return {
        "example": {"air": case.air, "log_size": case.log_size, "seed": case.seed},
        "params": {
            field: getattr(params, field)
            for field in ("pow_bits", "log_blowup", "n_queries", "fold_step", "log_last_layer")
        },
        "bytes": {form: len(content) for form, content in files.items()},
        "sha256": {form: hashlib.sha256(content).hexdigest() for form, content in files.items()},
    }


def provenance() -> dict[str, Any]:
    """Versions of everything that took part."""
    packages = ("jax", "jaxlib", "numpy")
    return {
        "command": COMMAND,
        "jaxstark": jaxstark.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def main() -> int:
    """Write or compare; the number of cases that differ decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--only", choices=sorted(CASES), help="one case")
    args = parser.parse_args()
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {"proofs": {}}
    differing = 0
    for name in [args.only] if args.only else CASES:
        files = make(name)
        row = describe(name, files)
        same = manifest["proofs"].get(name, {}).get("sha256") == row["sha256"]
        differing += not same
        sys.stdout.write(f"{name}: {'same' if same else 'differs'}\n")
        if not args.check:
            manifest["proofs"][name] = row
            PROOFS.mkdir(parents=True, exist_ok=True)
            for form, content in files.items():
                Path(PROOFS / f"{name}.{form}").write_bytes(content)
    if not args.check and differing:
        manifest = {"provenance": provenance(), "proofs": dict(sorted(manifest["proofs"].items()))}
        MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
    return int(args.check and differing > 0)


if __name__ == "__main__":
    sys.exit(main())
