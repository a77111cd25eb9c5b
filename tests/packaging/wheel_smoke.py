"""The installed wheel, with JAX: every module imports from it and a small proof goes through.

Usage, outside the repository: ``python wheel_smoke.py WHEEL_FOLDER``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib import metadata
from pathlib import Path


def check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"wheel smoke test failed: {message}")


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    import jaxstark

    where = Path(jaxstark.__file__).resolve()
    check(folder in where.parents, f"imported from {where}, expected {folder}")
    check((where.parent / "py.typed").exists(), "py.typed is missing")
    top = {p.name.split("-")[0].removesuffix(".dist") for p in folder.iterdir()}
    check(top <= {"jaxstark", "bin", "__pycache__"}, f"the wheel installs more: {sorted(top)}")
    requires = metadata.distribution("jaxstark").requires or []
    base = [r for r in requires if "extra ==" not in r]
    check(len(base) == 1 and base[0].startswith("numpy"), f"base dependencies: {base}")

    names = [m.name for m in pkgutil.walk_packages(jaxstark.__path__, "jaxstark.")]
    for name in names:
        if name != "jaxstark.__main__" and not name.startswith("jaxstark.starknet"):
            importlib.import_module(name)
    prove_and_verify()
    print(f"wheel smoke test passed: {len(names)} modules")


def prove_and_verify() -> None:
    """A test-sized proof of the first shipped AIR, and its rejection under another key."""
    import jaxstark
    from jaxstark.air import registry

    air, log_sizes, columns, public = registry.SHIPPED["wide_fibonacci"].example(5, 1)
    params = jaxstark.ProofParams(pow_bits=2, log_blowup=1, n_queries=3)
    trace = jaxstark.Trace(air, columns, public)
    proof = jaxstark.prove(trace, params=params, insecure=True)
    key = air.setup(log_sizes, params)
    jaxstark.verify(proof, key, public, insecure=True)
    other = air.setup(log_sizes, jaxstark.ProofParams(pow_bits=3, log_blowup=1, n_queries=3))
    try:
        jaxstark.verify(proof, other, public, insecure=True)
    except jaxstark.VerificationError:
        return
    raise SystemExit("wheel smoke test failed: a proof was accepted under another key")


if __name__ == "__main__":
    main()
