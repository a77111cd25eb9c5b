"""Times of complete proofs beside what the device allows: the benchmark of record.

    python experiments/benchmark_pipeline.py --out=results/benchmark_results.json
    python experiments/benchmark_pipeline.py --sections=vm --vm_log_sizes=20 --append
    python experiments/benchmark_pipeline.py --plot_only=results/benchmark_results.json

Sections: ``cold``, first proofs in fresh processes; ``legacy26``, the AIR of the published
benchmark, which proves nothing, for times like for like; ``vm``, the sound machine on the same
workload; ``inference``, one Iris flower and a batch of digits; ``throughput``, many proofs of 2^16
rows. Every proof behind a figure is verified, and the run ends with exit code 1 at the first one
that is not accepted. The JSON file is written after every row; docs/benchmarking.md says what is in
it. The last line is one JSON object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import _benchmark
import _benchmark_cold
import _benchmark_jobs
import _benchmark_measure
import _benchmark_tables
import _benchmark_throughput
import _record
import _script
from _benchmark import FAILED, Row
from _benchmark_measure import PARAMS, Options
from _benchmark_record import Recorder
from absl import flags

from jaxstark import ProofParams, require_jax
from jaxstark.proof import write_atomically

SECTIONS = ("cold", "legacy26", "vm", "inference", "throughput")
TRANSCRIPTS = ("host", "device")

FLAGS = flags.FLAGS
flags.DEFINE_list("sections", list(SECTIONS), "What to measure.")
flags.DEFINE_list("log_sizes", ["10", "16", "18", "20", "22", "24"], "log2 of legacy26's rows.")
flags.DEFINE_list("vm_log_sizes", ["10", "16", "20"], "log2 of the sound machine's steps.")
flags.DEFINE_list("networks", list(_benchmark_jobs.SAMPLES), "Networks of the inference.")
flags.DEFINE_list("cold_log_sizes", ["20"], "log2 of the rows of first proofs.")
flags.DEFINE_list("cold_workloads", list(_benchmark_cold.WORKLOADS), "What is proved first.")
flags.DEFINE_list("params", ["published", "stwo-96"], f"Parameters: {', '.join(PARAMS)}.")
flags.DEFINE_list(
    "transcripts", None, "Who runs the channel: host, device; by default all that the device runs."
)
flags.DEFINE_list("sources", ["device", "numpy"], "Where traces are: device, numpy, pinned.")
flags.DEFINE_enum(
    "implementation", None, ["mosaic_gpu", "xla"], "What proves; by default the device decides."
)
flags.DEFINE_bool(
    "keep_evaluations", True, "Keep them to the openings; without, with less memory. Not of cold."
)
flags.DEFINE_enum(
    "columns", "execution", ["execution", "example"], "legacy26: of the workload, or random."
)
flags.DEFINE_string("samples", None, "Folder of iris.csv and digits.csv, for want of scikit-learn.")
flags.DEFINE_string("write_samples", None, "Write these files to a folder, and nothing else.")
flags.DEFINE_integer("warm_runs", 20, "Warm proofs of a row.", lower_bound=1, upper_bound=10000)
flags.DEFINE_integer(
    "pow_runs", 8, "Complete proofs, of different statements.", lower_bound=1, upper_bound=1000
)
flags.DEFINE_integer(
    "throughput_log_size", 16, "log2 of the rows, for throughput.", lower_bound=6, upper_bound=24
)
flags.DEFINE_list("throughput_params", ["stwo-96-lowpow", "stwo-96"], "Parameters of throughput.")
flags.DEFINE_list(
    "throughput_sources", ["device", "numpy", "execution"], "Traces of throughput; or executed."
)
flags.DEFINE_list("batches", ["8"], "Proofs at a time, for throughput.")
flags.DEFINE_integer(
    "proofs", 128, "Proofs of a throughput row.", lower_bound=1, upper_bound=1 << 16
)
flags.DEFINE_float("bandwidth", 4.3e12, "Bytes per second of the device, for the limit.")
flags.DEFINE_float("hash_rate", 20.6e9, "Compressions per second of the device, for the limit.")
flags.DEFINE_bool(
    "submit", False, "Pack and record each row's proof on the fake network, after it."
)
flags.DEFINE_integer("deadline", None, "Seconds after which no row is begun.", lower_bound=1)
flags.DEFINE_string("out", "out/benchmark_results.json", "JSON file; the picture goes beside it.")
flags.DEFINE_bool("append", False, "Merge the rows into the file of --out.")
flags.DEFINE_bool("plot", True, "Draw the picture at the end.")
flags.DEFINE_string("plot_only", None, "Only print and draw this results file.")
flags.DEFINE_list(
    "merge", None, "Only put the rows of these results files into that of --out, in place of its."
)
flags.DEFINE_string("cold_child", None, "Set by the script for its child processes.")
flags.DEFINE_float("cold_started", None, "Set by the script for its child processes.")
_record.define_flags()


class Bench:
    """The flags, checked, and where the rows go."""

    def __init__(self) -> None:
        self.sections = _script.chosen("sections", SECTIONS)
        most = 26 if FLAGS.columns == "example" else 24  # what a program's addresses reach
        self.log_sizes = _script.numbers("log_sizes", FLAGS.log_sizes, 6, most)
        self.vm_log_sizes = _script.numbers("vm_log_sizes", FLAGS.vm_log_sizes, 6, 24)
        self.cold_log_sizes = _script.numbers("cold_log_sizes", FLAGS.cold_log_sizes, 6, 24)
        self.cold_workloads = _script.chosen("cold_workloads", _benchmark_cold.WORKLOADS)
        self.networks = _script.chosen("networks", tuple(_benchmark_jobs.SAMPLES))
        self.params = _script.chosen("params", tuple(PARAMS))
        self.sources = _script.chosen("sources", _benchmark_jobs.SOURCES)
        self.many_params = _script.chosen("throughput_params", tuple(PARAMS))
        self.many_sources = _script.chosen(
            "throughput_sources", (*_benchmark_jobs.SOURCES, "execution")
        )
        self.batches = _script.numbers("batches", FLAGS.batches, 1, 4096)
        self.transcripts: list[str] | None = None
        if FLAGS.transcripts is not None:
            self.transcripts = _script.chosen("transcripts", TRANSCRIPTS)
        self.submitting = None
        if FLAGS.submit:
            import _benchmark_submit  # needs an extra

            self.submitting = _benchmark_submit.Submitting(self.sections)
        if "cold" in self.sections and not FLAGS.keep_evaluations:
            raise _script.UsageError(
                "--nokeep_evaluations: expected other sections than cold, got cold"
            )
        runs, rates = (FLAGS.warm_runs, FLAGS.pow_runs), _script.rates("bandwidth", "hash_rate")
        self.recorder = Recorder(Path(FLAGS.out), FLAGS.append, FLAGS.deadline)
        self.options = Options(
            *runs,
            FLAGS.implementation,
            *rates,
            keep_evaluations=FLAGS.keep_evaluations,
            submit=self.submitting,
        )


def settle_transcripts(bench: Bench) -> list[str]:
    """The transcripts to measure; ``ValueError`` if the device does not run one that is named."""
    from jaxstark.implementation import choose

    if bench.transcripts is not None:
        for transcript in bench.transcripts:
            choose(FLAGS.implementation, transcript, FLAGS.keep_evaluations)
        return bench.transcripts
    choose(FLAGS.implementation, "host", FLAGS.keep_evaluations)
    try:
        choose(FLAGS.implementation, "device", FLAGS.keep_evaluations)
    except ValueError as error:
        print(f"not measured: {error}", flush=True)
        return ["host"]
    return list(TRANSCRIPTS)


def cold(bench: Bench) -> None:
    """First proofs. Before this process takes the device, whose memory the children need."""
    script = str(Path(__file__).resolve())
    transcripts = bench.transcripts or TRANSCRIPTS
    for case in product(bench.cold_workloads, bench.cold_log_sizes, bench.params, transcripts):
        workload, log_size, name, transcript = case
        print(f"cold: {workload}, 2^{log_size} {name}, {transcript} transcript", flush=True)
        try:
            for row in _benchmark_cold.rows(script, *case, FLAGS.implementation):
                bench.recorder.begin(row.pop("environment"))
                bench.recorder.add(row)
        except _benchmark_cold.Refused as error:
            if bench.transcripts is not None or transcript == "host":
                raise
            print(f"not measured: {error}", flush=True)


def proofs(bench: Bench, transcripts: list[str]) -> None:
    """Sections of single proofs, in ascending size, so that the memory's peak is each row's own."""
    jobs: list[tuple[str, int | None, Callable[[], Any]]] = []
    if "legacy26" in bench.sections:
        make = partial(_benchmark_jobs.legacy, columns=FLAGS.columns)
        jobs += [("legacy26", k, partial(make, k)) for k in bench.log_sizes]
    if "vm" in bench.sections:
        jobs += [("vm", k, partial(_benchmark_jobs.sound, k)) for k in bench.vm_log_sizes]
    if "inference" in bench.sections:
        for name in bench.networks:
            samples = None if FLAGS.samples is None else str(Path(FLAGS.samples) / f"{name}.csv")
            jobs.append((name, None, partial(_benchmark_jobs.network, name, samples)))
    for name, log_size, make in jobs:
        made: list[Any] = []

        def workload(made: list[Any] = made, make: Callable[[], Any] = make) -> Any:
            if not made:
                made.append(make())
            return made[0]

        for params in bench.params:
            for transcript in transcripts:

                def run(params: str = params, transcript: str = transcript) -> Iterator[Row]:
                    return _benchmark_measure.proof_rows(
                        workload(), params, PARAMS[params], transcript, bench.sources, bench.options
                    )

                subject = {
                    "section": "proof",
                    "workload": name,
                    "log_size": log_size,
                    "params": params,
                    "transcript": transcript,
                    "keep_evaluations": FLAGS.keep_evaluations,
                }
                bench.recorder.rows(run, [subject | {"source": source} for source in bench.sources])


def throughput(bench: Bench) -> None:
    """Proofs per second."""
    log_size = FLAGS.throughput_log_size
    made: list[Any] = []

    def run(name: str, params: ProofParams, source: str, batch: int) -> Iterator[Row]:
        if not made:
            made.append(_benchmark_jobs.legacy(log_size, FLAGS.columns))
        yield _benchmark_throughput.throughput_row(
            *(made[0], name, params, source),
            batch=batch,
            count=FLAGS.proofs,
            runs=3,
            options=bench.options,
        )

    for name, source, batch in product(bench.many_params, bench.many_sources, bench.batches):
        subject = {
            "section": "throughput",
            "workload": "legacy26",
            "log_size": log_size,
            "params": name,
            "source": source,
            "batch": batch,
            "keep_evaluations": FLAGS.keep_evaluations,
        }
        bench.recorder.rows(partial(run, name, PARAMS[name], source, batch), [subject])


def plot(path: Path) -> None:
    """Draw the picture beside a results file, or say in a line why not."""
    rows = _benchmark.load(path)["rows"]
    try:
        import _benchmark_plot
    except ImportError:
        print("no picture: matplotlib is not installed (--plot_only draws it later)", flush=True)
        return
    out = path.with_suffix(".png")
    drawn = _benchmark_plot.draw(rows, out)
    print(f"picture: {out}" if drawn else "no picture: no row with stages of legacy26", flush=True)


def merge(files: Sequence[Path], out: Path) -> int:
    """Put rows that were measured elsewhere into a results file, runs and all, or none of them."""
    documents = [_benchmark.load(path) for path in files]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / out.name
        if out.exists():
            made.write_bytes(out.read_bytes())
        for document in documents:
            for index, run in enumerate(document["runs"]):
                results = _benchmark.Results(made, append=True)
                results.begin(run)
                for row in document["rows"]:
                    if row["run"] == index:
                        results.add({name: value for name, value in row.items() if name != "run"})
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, made.read_bytes())
    _record.last_line(
        {
            "experiment": "benchmark_pipeline",
            "out": str(out),
            "rows": len(_benchmark.load(out)["rows"]),
            "merged": sum(len(document["rows"]) for document in documents),
        }
    )
    return _script.OK


def child() -> int:
    """A first proof, in a process of its own."""
    workload, log_size, name, transcript = FLAGS.cold_child.split(",")
    _record.setup_jax_cache(FLAGS.jax_cache)
    _record.last_line(
        _benchmark_cold.child(
            workload, int(log_size), name, transcript, FLAGS.implementation, FLAGS.cold_started
        )
    )
    return _script.OK


def main() -> int:
    if FLAGS.plot_only is not None:
        rows = _benchmark.load(Path(FLAGS.plot_only))["rows"]
        print(_benchmark_tables.tables(rows))
        print(_benchmark_tables.details(rows))
        plot(Path(FLAGS.plot_only))
        return _script.OK
    if FLAGS.merge is not None:
        return merge([Path(name) for name in FLAGS.merge], Path(FLAGS.out))
    if FLAGS.write_samples is not None:
        for path in _benchmark_jobs.write_samples(Path(FLAGS.write_samples)):
            print(path)
        return _script.OK
    if FLAGS.cold_child is not None:
        return child()
    bench = Bench()
    require_jax()
    if "cold" in bench.sections:
        cold(bench)
    if bench.sections != ["cold"]:
        _record.setup_jax_cache(FLAGS.jax_cache)
        transcripts = settle_transcripts(bench)
        bench.recorder.begin(_record.environment())
        proofs(bench, transcripts)
        if "throughput" in bench.sections:
            throughput(bench)
    results = bench.recorder.results
    unrecorded = 0 if bench.submitting is None else bench.submitting.failed
    print(_benchmark_tables.tables(results.rows))
    if FLAGS.plot:
        plot(results.path)
    _record.last_line(
        {
            "experiment": "benchmark_pipeline",
            "out": str(results.path),
            "rows": len(results.rows),
            **bench.recorder.count,
            "unrecorded": unrecorded,
            "seconds": round(bench.recorder.seconds, 1),
        }
    )
    return _script.FAILED if bench.recorder.count[FAILED] or unrecorded else _script.OK


if __name__ == "__main__":
    _script.run(main)
