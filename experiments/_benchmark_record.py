"""Between a measurement and the results: rows are written and printed as they come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import _benchmark_tables
from _benchmark import FAILED, MEASURED, SKIPPED, Results, Row, title


class Recorder:
    """Writes and prints rows, and says why others are missing.

    Attributes:
      results: the document.
      count: rows of this run by status.
    """

    def __init__(self, out: Path, append: bool, deadline: int | None) -> None:
        self.results = Results(out, append=append)
        self.count = {MEASURED: 0, SKIPPED: 0, FAILED: 0}
        self._began, self._deadline = time.perf_counter(), deadline

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._began

    def begin(self, environment: dict[str, Any]) -> None:
        """Note what this run measures with, the first time."""
        self.results.begin(
            {
                "arguments": sys.argv[1:],
                "xla_flags": os.environ.get("XLA_FLAGS"),
                "environment": environment,
            }
        )

    def add(self, row: Row) -> None:
        """Write a row, and print its line."""
        self.results.add(row)
        self.count[row["status"]] += 1
        if row["status"] != MEASURED:
            print(f"{row['status']}: {title(row)}: {row['reason']}", flush=True)
            return
        _, heads, cells = _benchmark_tables.TABLES[row["section"]]
        widths = _benchmark_tables.PROOF_WIDTHS if row["section"] == "proof" else ()
        print(_benchmark_tables.aligned([heads, cells(row)], widths), flush=True)
        if row["section"] == "proof":
            print(_benchmark_tables.fact_line(row), flush=True)
            if row["transcript"] == "host" and row["source"] == "device":
                print("\n".join(_benchmark_tables.stage_lines(row)), flush=True)

    def rows(self, run: Callable[[], Iterator[Row]], subjects: Sequence[Row]) -> None:
        """Add the rows of a measurement, one for each of ``subjects``, or why there is none.

        What is not installed or out of time is skipped; what the prover refuses has failed. A
        proof that is not accepted is neither: its error ends the run.
        """
        from jax.errors import JaxRuntimeError

        if self._deadline is not None and self.seconds > self._deadline:
            self._missed(SKIPPED, f"--deadline={self._deadline} was over", subjects)
            return
        done = 0
        try:
            for row in run():
                self.add(row)
                done += 1
        except ImportError as error:
            self._missed(SKIPPED, error, subjects[done:])
        except (ValueError, MemoryError, JaxRuntimeError) as error:
            self._missed(FAILED, error, subjects[done:])

    def _missed(self, status: str, reason: Any, subjects: Sequence[Row]) -> None:
        text = " ".join(str(reason).split())[:500]
        for subject in subjects:
            self.add({**subject, "status": status, "reason": text})
