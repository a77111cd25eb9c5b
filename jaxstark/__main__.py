"""Command line: ``python -m jaxstark verify PROOF KEY``, ``info PROOF``, ``doctor``.

Exit codes: 0 for success (``verify``: accepted), 1 for a rejected proof, 2 for bad usage, an
unreadable file or something missing. Nothing here needs JAX.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from jaxstark.errors import VerificationError

ACCEPTED, REJECTED, UNUSABLE = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxstark",
        description="Circle STARK proofs in stock JAX, compatible with StarkWare's stwo.",
        epilog="Exit codes: 0 success or accepted, 1 rejected, 2 bad usage or unreadable file.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    verify = commands.add_parser("verify", help="check a proof against its key")
    verify.add_argument("proof", metavar="PROOF", help="proof file")
    verify.add_argument("key", metavar="KEY", help="key file that the verifier trusts")
    verify.add_argument(
        "--public", metavar="FILE", help='JSON object of public values, as {"start": [1]}'
    )
    verify.add_argument("--air", metavar="MODULE:ATTRIBUTE", help="an AIR that is not shipped")
    verify.add_argument(
        "--minimum-bits", metavar="N", type=int, help="security that the verifier demands"
    )
    verify.add_argument(
        "--insecure", action="store_true", help="accept parameters that are for tests only"
    )

    info = commands.add_parser("info", help="say what a proof file claims; verifies nothing")
    info.add_argument("proof", metavar="PROOF", help="proof file")
    info.add_argument("--public", metavar="FILE", help="JSON object of public values")
    info.add_argument("--air", metavar="MODULE:ATTRIBUTE", help="an AIR that is not shipped")

    doctor = commands.add_parser("doctor", help="what this machine has, and what to install")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.version:
            from jaxstark.doctor import package_version

            print(f"jaxstark {package_version('jaxstark') or '(not installed)'}")
            return ACCEPTED
        if args.command is None:
            parser.print_usage(sys.stderr)
            return UNUSABLE
        return {"verify": _verify, "info": _info, "doctor": _doctor}[args.command](args)
    except VerificationError as error:
        print(f"rejected: {error}", file=sys.stderr)
        return REJECTED
    except OSError as error:
        name = error.filename or "file"
        print(f"error: {name} cannot be read: {error.strerror or error}", file=sys.stderr)
        return UNUSABLE
    except (ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE


def _verify(args: argparse.Namespace) -> int:
    import jaxstark
    from jaxstark.key import VerifyingKey
    from jaxstark.proof import Proof

    try:
        key = VerifyingKey.load(args.key)
    except VerificationError as error:
        # A bad key is the caller's mistake, not a rejected proof.
        raise ValueError(f"key {args.key}: {error}") from None
    public = _public_values(args.public)
    options: dict[str, Any] = {"air": _air(args.air, key.air)}
    if args.minimum_bits is not None:
        options["minimum_bits"] = args.minimum_bits
    if args.insecure:
        options["insecure"] = True
    proof = Proof.load(args.proof)
    jaxstark.verify(proof, key, public, **options)
    print(f"accepted: {args.proof} proves its statement for AIR {key.air}")
    return ACCEPTED


def _info(args: argparse.Namespace) -> int:
    from jaxstark.proof import Proof

    proof = Proof.load(args.proof)
    stark, params = proof.stark, proof.stark.params
    rows = ", ".join(f"2^{k}" for k in proof.log_sizes)
    print(f"file              {args.proof} ({os.path.getsize(args.proof)} bytes)")
    print(f"profile           {proof.profile}")
    print(f"AIR               {proof.air}")
    print(f"component rows    {rows}")
    print(
        f"parameters        {params.pow_bits} PoW bits, blow-up {1 << params.log_blowup}, "
        f"{params.n_queries} queries, fold step {params.fold_step}, "
        f"{1 << params.log_last_layer} last-layer coefficients"
    )
    print(f"commitments       {len(stark.commitments)} trees, {len(stark.fri_layers)} FRI layers")
    print(f"sampled values    {sum(len(c) for t in stark.sampled_values for c in t)}")
    print(f"claimed sums      {len(proof.claimed_sums)}")
    for line in _security_lines(proof, args):
        print(line)
    print("These are the proof's own claims; nothing was verified.")
    return ACCEPTED


def _security_lines(proof: Any, args: argparse.Namespace) -> list[str]:
    """The security terms of the claimed shape, or why they cannot be given."""
    try:
        shape = _air(args.air, proof.air).shape(
            proof.log_sizes, _public_values(args.public) if args.public else None
        )
        report = proof.stark.params.security(shape)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        return [f"security          not computed ({error})"]
    return str(report).splitlines()


def _doctor(args: argparse.Namespace) -> int:
    from jaxstark.doctor import diagnose

    report = diagnose()
    print(json.dumps(report.to_dict(), indent=2) if args.json else str(report))
    return ACCEPTED


def _air(reference: str | None, air_id: str) -> Any:
    """The AIR of a key: a shipped one by id, or the user's own, whose id must agree."""
    from jaxstark.air import registry

    if reference is None:
        return registry.resolve(air_id)
    # ``python -m`` looks modules up beside the caller, the installed command does not.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        air = registry.load(reference)
    except TypeError as error:
        raise ValueError(
            f"AIR {reference}: expected an Air or a function without arguments that makes one, "
            f"got an error ({error})"
        ) from None
    if air.name != air_id:
        raise ValueError(f"AIR {reference}: expected id {air_id!r}, got {air.name!r}")
    return air


def _public_values(path: str | None) -> dict[str, Any]:
    """Public values by name; none without a file."""
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"public values {path}: expected JSON, got {error}") from None
    if not isinstance(values, dict):
        raise ValueError(
            f"public values {path}: expected a JSON object of lists, got {type(values).__name__}"
        )
    return values


if __name__ == "__main__":
    sys.exit(main())
