"""Job files: a job in JSON.

    {"format": "jaxstark-job/1", "calls": {step: {..}}, "job": {field: value}}

A call is ``{"contract": "0x..", "entry_point": "..", "arguments": [..]}``, the last two optional.
Numbers are JSON integers or texts such as ``"0x1f"``.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from jaxstark import wire
from jaxstark.starknet.accounts import parse_address
from jaxstark.starknet.job import RECORD, TYPES, Job, Target

FORMAT = "jaxstark-job/1"


def parse_job(text: str, registry: int | None = None) -> Job:
    """The job in a JSON text.

    Args:
      text: the JSON.
      registry: address of the registry where the text has no step ``record``.

    Raises ``ValueError``.
    """
    try:
        obj = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("job: expected JSON, got something else") from None
    if not isinstance(obj, dict) or obj.get("format") != FORMAT:
        raise ValueError(f"job: expected an object with format {FORMAT!r}, got another")
    unknown = sorted(set(obj) - {"format", "calls", "job"})
    calls, about = obj.get("calls", {}), obj.get("job", {})
    if unknown or not isinstance(calls, dict) or not isinstance(about, dict):
        raise ValueError("job: expected the members format, calls and job, got others")
    targets = {step: _target(step, call) for step, call in calls.items()}
    if RECORD not in targets and registry is not None:
        targets[RECORD] = Target(registry, RECORD)
    known = {f.name for f in fields(Job)} - {"targets"}
    for name in about:
        if name not in known:
            raise ValueError(f"job: expected fields among {', '.join(sorted(known))}, got {name!r}")
    return Job(targets, **{name: _value(name, value) for name, value in about.items()})


def load_job(path: str | Path, registry: int | None = None) -> Job:
    """The job in a file, as ``parse_job``."""
    try:
        return parse_job(Path(path).read_bytes().decode("utf-8"), registry)
    except UnicodeDecodeError:
        raise ValueError(f"job {path}: expected UTF-8 text, got other bytes") from None


def _target(step: str, call: Any) -> Target:
    if not isinstance(call, dict) or set(call) - {"contract", "entry_point", "arguments"}:
        raise ValueError(f"call {step}: expected contract, entry_point and arguments, got others")
    contract, entry_point = call.get("contract"), call.get("entry_point", step)
    arguments = call.get("arguments")
    if not isinstance(contract, str):
        raise ValueError(f"call {step}: expected the address of a contract, got none")
    if arguments is not None and not (
        isinstance(arguments, list) and all(isinstance(a, str) for a in arguments)
    ):
        raise ValueError(f"call {step}: expected a list of argument names, got another value")
    address = parse_address(contract, f"call {step}: contract")
    return Target(address, entry_point, None if arguments is None else tuple(arguments))


def _value(name: str, value: Any) -> Any:
    if TYPES[name] == "bool":
        return value
    if isinstance(value, list):
        return tuple(_value_number(name, item) for item in value)
    return _value_number(name, value)


def _value_number(name: str, value: Any) -> int:
    try:
        return value if type(value) is int else int(str(value), 0)
    except ValueError:
        raise ValueError(f"{name}: expected a number, got {wire.describe(value)}") from None
