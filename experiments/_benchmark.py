"""The results of the benchmark: one JSON document, which is written after every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import _script

from jaxstark import ProvingError
from jaxstark.proof import write_atomically

SCHEMA = "jaxstark-benchmark/1"
# The backend of the kernels, see ``backend``.
KERNELS = "gpu/mosaic_gpu"
MEASURED, SKIPPED, FAILED = "measured", "skipped", "failed"
# What is proved and how; together with what proves, the identity of a row.
SUBJECT = (
    *("section", "workload", "log_size", "trace_of", "params", "transcript", "source"),
    *("cache", "batch", "keep_evaluations"),
)
IDENTITY = (*SUBJECT, "platform", "implementation")

Row = dict[str, Any]


def backend(row: Row) -> str:
    """What proved: ``gpu/mosaic_gpu``."""
    return f"{row.get('platform')}/{row.get('implementation')}"


def value(row: Row, name: str) -> Any:
    """A member of a row's identity; evaluations are kept where a row does not say."""
    return row.get(name, True if name == "keep_evaluations" else None)


def title(row: Row) -> str:
    """A row in words: the parts of its subject that it has."""
    size = None if row.get("log_size") is None else f"2^{row['log_size']}"
    parts = (row.get("workload"), size, row.get("params"), row.get("transcript"))
    again = None if value(row, "keep_evaluations") else "evaluations not kept"
    more = (row.get("source"), row.get("cache"), again)
    return " ".join(str(part) for part in (row["section"], *parts, *more) if part is not None)


def load(path: Path) -> dict[str, Any]:
    """The document of a file; ``UsageError`` if it is of another schema."""
    expected = f"{path}: expected a results file of schema {SCHEMA}, got"
    try:
        document = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _script.UsageError(f"{expected} a file that is no JSON") from None
    schema = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if schema != SCHEMA:
        raise _script.UsageError(f"{expected} {schema}")
    return document


class Results:
    """The document under construction. What was measured is never lost to what was not.

    Attributes:
      path: where it is written, whole, after every change.
      document: ``schema``, ``runs`` and ``rows``.
    """

    def __init__(self, path: Path, *, append: bool) -> None:
        self.path = path
        self.document: dict[str, Any] = {"schema": SCHEMA, "runs": [], "rows": []}
        if path.exists():
            if not append:
                raise _script.UsageError(
                    f"--out: expected a new file, or --append with it, got {path}, which exists"
                )
            self.document = load(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._run: int | None = None

    @property
    def rows(self) -> list[Row]:
        """All rows, those of earlier runs included."""
        return self.document["rows"]

    def begin(self, run: dict[str, Any]) -> None:
        """Note what the rows from now on were measured with, unless that is done."""
        if self._run is None:
            self._run = len(self.document["runs"])
            self.document["runs"].append(run)

    def add(self, row: Row) -> None:
        """Add a row in place of the one with its identity, and write the file.

        Raises ``ProvingError`` if the bytes of a proof depend on what made it.
        """
        if self._run is None:
            raise ValueError("results: expected a run to begin before its rows, got none")
        if row["status"] == MEASURED:
            self._compare(row)
        row = {"run": self._run, **row}
        if row["status"] == MEASURED:
            kept = [r for r in self.rows if not _same(r, row) and not _stands_for(r, row)]
        else:
            measured = [r for r in self.rows if r["status"] == MEASURED]
            if any(_stands_for(row, other) for other in measured):
                return
            kept = [r for r in self.rows if not _same(r, row)]
        self.document["rows"] = [*kept, row]
        self._forget_runs_without_rows()
        self.write()

    def _forget_runs_without_rows(self) -> None:
        """A run all of whose rows were measured again is not part of the document."""
        used = sorted({row["run"] for row in self.rows})
        place = {old: new for new, old in enumerate(used)}
        self.document["runs"] = [self.document["runs"][old] for old in used]
        self.document["rows"] = [{**row, "run": place[row["run"]]} for row in self.rows]
        self._run = used.index(self._run)

    def write(self) -> None:
        """Write the document, whole or not at all."""
        text = json.dumps(self.document, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path, text.encode())

    def _compare(self, row: Row) -> None:
        """Proofs of one statement and one set of parameters have the same bytes."""
        digest = row.get("sha256")
        if digest is None or row["section"] == "throughput":
            return
        names = ("section", "workload", "log_size", "trace_of", "params")
        for other in self.rows:
            if (first := other.get("sha256")) in (None, digest) or _same(other, row):
                continue
            if all(other.get(name) == row.get(name) for name in names):
                raise ProvingError(
                    f"{title(row)}: expected the bytes of {title(other)}, SHA-256 {first}, got "
                    f"{digest}"
                )


def _same(a: Row, b: Row) -> bool:
    return all(value(a, name) == value(b, name) for name in IDENTITY)


def _stands_for(missing: Row, measured: Row) -> bool:
    """Whether a row that was not measured is about what ``measured`` is about."""
    return missing["status"] != MEASURED and all(
        value(missing, name) in (None, value(measured, name)) for name in IDENTITY
    )
