"""Take the benchmark of record: all the runs of ``benchmark_pipeline.py`` that make its file.

    python experiments/benchmark_of_record.py --out=out/record.json
    python experiments/benchmark_of_record.py --out=out/record.json --only=vm,cold --workers=14

Most of the time is compiling, so the programs of all runs are compiled first, by processes side by
side into one folder. Then the runs of ``--runs`` follow each other, alone on the machine, and add
their rows to the file of ``--out``. What is done is noted in the folder: a call that was
interrupted, or that ``--deadline`` ended, goes on where it stopped, unless the prover's code has
changed since. The last line is one JSON object; exit code 1 if a run failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import _benchmark
import _benchmark_runs
import _record
import _script
from _benchmark_runs import Run
from absl import flags

from jaxstark import ProvingError, require_jax
from jaxstark.proof import write_atomically

HERE = Path(__file__).resolve().parent
FLAGS = flags.FLAGS
flags.DEFINE_string("runs", str(HERE / "benchmark_runs.json"), "What to run.")
flags.DEFINE_list("only", None, "Names of runs; all by default.")
flags.DEFINE_bool("list", False, "Only print the runs.")
flags.DEFINE_string("out", "out/record.json", "Results file, to which rows are added.")
flags.DEFINE_string("samples", None, "Folder of iris.csv and digits.csv, for want of scikit-learn.")
flags.DEFINE_string("cache", ".jax_cache/record", "Folder of compiled programs, and what is done.")
flags.DEFINE_integer(
    "workers", None, "Processes that compile; by default most cores.", 1, upper_bound=256
)
flags.DEFINE_integer("deadline", None, "Seconds after which nothing is begun.", lower_bound=0)

SCRIPT = str(HERE / "benchmark_pipeline.py")
# The larger programs first, so that none is left over at the end.
LONGEST = ("vm", "inference", "throughput")
# For processes that have a device together.
SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class Done:
    """What was done before, by the code that there is now."""

    def __init__(self, path: Path) -> None:
        from jaxstark.resident.executables import code_hash

        self._path, self._code, self._lock = path, code_hash(), Lock()
        self._names: list[str] = []
        if path.exists():
            stored = json.loads(path.read_text())
            if stored["code"] == self._code:
                self._names = stored["done"]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Note one more; from any thread."""
        with self._lock:
            self._names.append(name)
            text = json.dumps({"code": self._code, "done": self._names}, indent=1)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text.encode())


def process(arguments: Sequence[str], out: Path, **environment: str) -> str:
    """What ``benchmark_pipeline.py`` prints that adds its rows to ``out``.

    ``ProvingError`` with its sentence if it fails.
    """
    shared = ["--noplot", f"--jax_cache={FLAGS.cache}", "--append", f"--out={out}"]
    if FLAGS.samples is not None:
        shared.append(f"--samples={FLAGS.samples}")
    done = subprocess.run(
        [sys.executable, SCRIPT, *shared, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    if done.returncode != _script.OK:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ProvingError(f"exit code {done.returncode}: {said.removeprefix('error: ')}")
    return done.stdout


class Call:
    """One call of this script.

    Attributes:
      measured: runs that added their rows.
      failed: a sentence for each run that did not.
      left: runs that there was no time for.
    """

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.failed: list[str] = []
        self.left: list[str] = []
        self._done = Done(Path(FLAGS.cache) / "done.json")
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the call began."""
        return time.perf_counter() - self._began

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return FLAGS.deadline is not None and self.seconds > FLAGS.deadline

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{self.seconds:7.1f} s  {text}", flush=True)

    def compile(self, runs: Sequence[Run], workers: int) -> None:
        """Compile what the runs need. What fails here, a run tries again."""
        wanted = [a for run in runs if run.name not in self._done for a in run.compiling()]
        todo = [a for a in dict.fromkeys(wanted) if " ".join(a) not in self._done]
        todo.sort(key=lambda a: a[0].partition("=")[2] not in LONGEST)
        self.say(f"to compile: {len(todo)} processes, {workers} at a time")

        def one(arguments: Sequence[str]) -> None:
            name = " ".join(arguments)
            if self.over:
                return
            with TemporaryDirectory() as folder:
                try:
                    out = Path(folder) / "rows.json"
                    process(arguments, out, **SHARED)
                except ProvingError as error:
                    self.say(f"compiling {name}: {error}")
                    return
            self._done.add(name)
            self.say(f"compiled {name}")

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, todo))

    def measure(self, runs: Sequence[Run], out: Path) -> None:
        """One run after the other."""
        for run in runs:
            if run.name in self._done:
                continue
            if self.over:
                self.left.append(run.name)
                continue
            self.say(f"{run.name}: {' '.join(run.arguments())}")
            try:
                print(process(run.arguments(), out), flush=True)
            except ProvingError as error:
                self.failed.append(f"{run.name}: {error}")
                self.say(f"failed: {self.failed[-1]}")
                continue
            self._done.add(run.name)
            self.measured.append(run.name)


def chosen() -> list[Run]:
    """The runs of ``--only``, in the order of the file; ``UsageError`` for an unknown name."""
    runs = _benchmark_runs.load(Path(FLAGS.runs))
    if FLAGS.only is None:
        return runs
    names = _script.chosen("only", tuple(run.name for run in runs))
    return [run for run in runs if run.name in names]


def main() -> int:
    runs = chosen()
    if FLAGS.list:
        for run in runs:
            print(f"{run.name}: {' '.join(run.arguments())}")
        return _script.OK
    require_jax()
    # What each run would find out after minutes of compiling.
    if (out := Path(FLAGS.out)).exists():
        _benchmark.load(out)
    if FLAGS.samples is not None and not Path(FLAGS.samples).is_dir():
        raise _script.UsageError(
            f"--samples: expected a folder, got {FLAGS.samples}, which is none"
        )
    call = Call()
    workers = FLAGS.workers or max(1, (os.cpu_count() or 1) - 2)
    call.compile(runs, workers)
    call.measure(runs, out)
    _record.last_line(
        {
            "experiment": "benchmark_of_record",
            "out": FLAGS.out,
            "measured": call.measured,
            "failed": call.failed,
            "left": call.left,
            "seconds": round(call.seconds, 1),
        }
    )
    return _script.FAILED if call.failed else _script.OK


if __name__ == "__main__":
    _script.run(main)
