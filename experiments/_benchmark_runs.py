"""The runs that make a benchmark of record, from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import _script

# Of a process that only compiles: its rows are thrown away.
_QUICK = ("--warm_runs=1", "--pow_runs=1", "--sources=device")
_QUICK_THROUGHPUT = ("--throughput_sources=device", "--proofs=1")


class Run(NamedTuple):
    """One run of ``benchmark_pipeline.py``.

    Attributes:
      name: for ``--only`` and for progress.
      section: what it measures.
      over: at most one list flag with its values, the programs of each of which are compiled by a
        process of its own beforehand. None for a run whose programs an earlier one has, or that
        compiles in folders of its own.
      flags: its other flags.
    """

    name: str
    section: str
    over: dict[str, list[str]]
    flags: list[str]

    def arguments(self) -> tuple[str, ...]:
        """Flags of the run."""
        chosen = (f"--{flag}={','.join(values)}" for flag, values in self.over.items())
        return (f"--sections={self.section}", *chosen, *self.flags)

    def compiling(self) -> list[tuple[str, ...]]:
        """Flags of every process that compiles for the run."""
        quick = (*_QUICK, *(_QUICK_THROUGHPUT if self.section == "throughput" else ()))
        return [
            (f"--sections={self.section}", f"--{flag}={value}", *self.flags, *quick)
            for flag, values in self.over.items()
            for value in values
        ]


def load(path: Path) -> list[Run]:
    """The runs of a JSON file, a list of objects with the attributes of ``Run``, in order.

    ``UsageError`` for anything else, and for names that are not distinct.
    """
    expected = f"{path}: expected a list of objects with {', '.join(Run._fields)}, got"
    try:
        runs = [Run(**entry) for entry in json.loads(path.read_text())]
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _script.UsageError(f"{expected} a file that is no JSON") from None
    except TypeError as error:
        raise _script.UsageError(f"{expected} another form: {error}") from None
    names = [run.name for run in runs]
    if len(set(names)) != len(names):
        raise _script.UsageError(f"{path}: expected names of runs that differ, got {names}")
    return runs
