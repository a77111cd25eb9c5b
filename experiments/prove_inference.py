"""Prove what a network answers: execute its program, prove the execution, verify the files.

    python experiments/prove_inference.py --sample=17             # one Iris flower
    python experiments/prove_inference.py --all                   # the 150 in one proof
    python experiments/prove_inference.py --network=digits --samples=1437:1463
    python experiments/prove_inference.py --weights=net.npz --input=x.csv --input_range=0,8

writes proof.json, proof.bin, key.json, public.json, program.bin and limits.json. The proof is
verified from the files as they were written, with a key made anew from program and limits. The last
line is one JSON object with every figure.

A network of your own is an .npz file with arrays W0 [n_in, n_out], b0 [n_out], W1, b1, ...: ReLU
between the layers, argmax behind the last one. Floats are quantised with --input_scale and
--fraction_bits; integers are taken as they are, with --shifts behind the ReLUs. The CSV file holds
a sample on a line, a header is optional. --input_range is in the units of that file.
"""

from __future__ import annotations

import json
import re
import time
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import _networks
import _record
import _script
import numpy as np
from _networks import Network
from absl import flags

import jaxstark
from jaxstark import Proof, ProofParams, VerifyingKey, plan, require_jax, vm
from jaxstark.fields.m31 import P
from jaxstark.params import PRESETS
from jaxstark.proof import write_atomically
from jaxstark.vm import isa
from jaxstark.vm.dense import DenseProgram
from jaxstark.vm.execution import MEMORY_LIMIT, STEP_LIMIT

FLAGS = flags.FLAGS
flags.DEFINE_enum("network", "iris", list(_networks.SHIPPED), "Shipped network.")
flags.DEFINE_integer("sample", None, "Number of the one sample to classify.")
flags.DEFINE_string("samples", None, "Samples A:B to classify in one proof, B excluded.")
flags.DEFINE_bool("all", False, "Classify all samples in one proof (the default with --input).")
flags.DEFINE_string("weights", None, "Network of your own: an .npz file; needs --input.")
flags.DEFINE_string("input", None, "CSV file of samples, instead of the data set.")
flags.DEFINE_string("input_range", None, "Least and largest feature, low,high (--weights).")
flags.DEFINE_float("input_scale", None, "Factor from feature to integer (--weights; default 1).")
flags.DEFINE_integer("fraction_bits", None, "Fraction bits of floats (--weights; default 8).")
flags.DEFINE_string("shifts", None, "Right shifts behind the ReLUs of integers (--weights).")
flags.DEFINE_enum("preset", "stwo-96", list(PRESETS), "Proof parameters.")
flags.DEFINE_string("out", "out/inference", "Folder for all files.")
flags.DEFINE_integer(
    "step_limit", STEP_LIMIT, "Steps that the program may make.", lower_bound=1, upper_bound=1 << 28
)
flags.DEFINE_integer(
    "repeat", 0, "Warm runs to time after the first proof.", lower_bound=0, upper_bound=1000
)
flags.DEFINE_bool("insecure", False, "Allow the test preset, which has no security.")
_record.define_flags()

FILES = ("proof.json", "proof.bin", "key.json", "public.json", "program.bin", "limits.json")
OWN = ("input_range", "input_scale", "fraction_bits", "shifts")


class Job(NamedTuple):
    """A network on the samples ``rows``; ``classes`` are what the program must answer.

    ``labels`` and ``accuracy``, the latter on the whole data set, are None for a user's samples.
    """

    network: Network
    dense: DenseProgram
    rows: range
    public_input: np.ndarray
    classes: np.ndarray
    labels: np.ndarray | None
    accuracy: dict[str, float] | None


def job() -> Job:
    """The job of the flags; all that they name is checked here."""
    network = own_network() if FLAGS.weights is not None else shipped_network()
    try:
        dense = network.compiled()
    except ValueError as error:
        raise _script.UsageError(f"{network.name}: {error}") from None
    labels = accuracy = None
    if FLAGS.input is not None:
        features, where = _networks.read_samples(Path(FLAGS.input)), FLAGS.input
    else:
        features, labels = _networks.load_data(network.name)
        where = network.name
    rows = selection(len(features))
    samples, part = network.samples(features, where), slice(rows.start, rows.stop)
    classes = dense.classify(samples)
    if labels is not None:
        accuracy = {
            "float": float((network.logits(features).argmax(axis=1) == labels).mean()),
            "quantised": float((classes == labels).mean()),
        }
        labels = labels[part]
    words = dense.public_input(samples[part])
    return Job(network, dense, rows, words, classes[part], labels, accuracy)


def shipped_network() -> Network:
    """The network of ``--network``."""
    for name in OWN:
        if FLAGS[name].value is not None:
            raise _script.UsageError(f"--{name}: expected --weights with it, got none")
    return _networks.load(FLAGS.network)


def own_network() -> Network:
    """The network of ``--weights``."""
    if FLAGS["network"].present:
        raise _script.UsageError("--weights: expected no --network beside it, got both")
    for name, what in (("input", "a CSV file"), ("input_range", "low,high")):
        if FLAGS[name].value is None:
            raise _script.UsageError(f"--{name}: expected {what} with --weights, got none")
    path = Path(FLAGS.weights)
    layers = _networks.read_weights(path)
    floating = any(array.dtype.kind == "f" for pair in layers for array in pair)
    kind, other = ("floats", "integers") if floating else ("integers", "floats")
    for name in ("shifts",) if floating else ("input_scale", "fraction_bits"):
        if FLAGS[name].value is not None:
            raise _script.UsageError(f"--{name}: expected weights of {other}, got {kind}")
    ends = numbers("input_range", float)
    if len(ends) != 2 or not -isa.HALF <= ends[0] <= ends[1] <= isa.HALF:
        raise _script.UsageError(
            f"--input_range: expected two ascending numbers low,high, got {FLAGS.input_range!r}"
        )
    if floating:
        scale = 1.0 if FLAGS.input_scale is None else FLAGS.input_scale
        bits = 8 if FLAGS.fraction_bits is None else FLAGS.fraction_bits
        return Network(path.name, layers, (ends[0], ends[1]), scale, bits)
    shifts = None if FLAGS.shifts is None else numbers("shifts", int)
    return Network(path.name, layers, (ends[0], ends[1]), shifts=shifts)


def numbers(name: str, kind: type) -> list[Any]:
    """The numbers of a flag, separated by commas."""
    given = str(FLAGS[name].value)
    try:
        return [kind(text) for text in given.split(",") if text]
    except ValueError:
        raise _script.UsageError(
            f"--{name}: expected numbers separated by commas, got {given!r}"
        ) from None


def selection(count: int) -> range:
    """The samples that ``--sample``, ``--samples`` or ``--all`` choose of ``count``."""
    chosen = {"sample": FLAGS.sample is not None, "samples": FLAGS.samples is not None}
    given = [f"--{name}" for name, yes in (chosen | {"all": FLAGS.all}).items() if yes]
    if len(given) > 1 or not (given or FLAGS.input is not None):
        raise _script.UsageError(
            "samples: expected one of --sample, --samples and --all, got "
            f"{' and '.join(given) or 'none'}"
        )
    if FLAGS.sample is not None:
        if not 0 <= FLAGS.sample < count:
            raise _script.UsageError(f"--sample: expected 0..{count - 1}, got {FLAGS.sample}")
        return range(FLAGS.sample, FLAGS.sample + 1)
    if FLAGS.samples is None:
        return range(count)
    match = re.fullmatch(r"(\d*):(\d*)", FLAGS.samples)
    begin, end = (int(match[1] or 0), int(match[2] or count)) if match else (0, 0)
    if not 0 <= begin < end <= count:
        raise _script.UsageError(
            f"--samples: expected A:B with 0 <= A < B <= {count}, got {FLAGS.samples!r}"
        )
    return range(begin, end)


def count(job: Job) -> str:
    """How many samples there are, in words."""
    return f"{len(job.rows)} sample{'s' * (len(job.rows) > 1)}"


def execute(job: Job) -> vm.Execution:
    """Run the program; its answers must be those of the same network in NumPy."""
    program = job.dense.program
    cells = program.input_address + len(job.public_input)
    limits = {"step_limit": FLAGS.step_limit, "memory_limit": max(MEMORY_LIMIT, cells)}
    try:
        execution = vm.execute(program, job.public_input, **limits)
    except vm.ExecutionError as error:
        if error.reason != isa.STEP_LIMIT:
            raise
        raise _script.UsageError(
            f"--step_limit: expected up to {job.dense.step_bound(len(job.rows))} for "
            f"{count(job)}, got {FLAGS.step_limit}, after which the program runs still"
        ) from None
    if execution.output.tolist() != job.classes.tolist():
        raise jaxstark.ProvingError("the program and the network disagree on a class")
    return execution


class Stages:
    """Times of all stages, with a line for each when it is done."""

    def __init__(self, pow_bits: int) -> None:
        self.pow_bits, self.seconds = pow_bits, dict[str, float]()
        self.start = time.perf_counter()

    def __call__(self, stage: str, seconds: float) -> None:
        """Note a stage that took so long."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        _script.show_stage(self.pow_bits, stage, seconds)
        self.start = time.perf_counter()

    def done(self, stage: str) -> None:
        """Note a stage that began when the one before ended."""
        self(stage, time.perf_counter() - self.start)


def write(
    folder: Path, proof: Proof, key: VerifyingKey, trace: jaxstark.Trace, job: Job, limits: Any
) -> None:
    """Write all files, each whole or not at all."""
    public = {name: [int(v) for v in values] for name, values in trace.public_values.items()}
    write_atomically(folder / "program.bin", job.dense.program.encode())
    write_atomically(folder / "limits.json", (limits.to_json() + "\n").encode())
    write_atomically(folder / "public.json", (json.dumps(public) + "\n").encode())
    key.save(folder / "key.json")
    proof.save(folder / "proof.json")
    proof.save(folder / "proof.bin")


def verify_files(folder: Path, params: ProofParams, job: Job) -> float:
    """Seconds to verify what the folder holds; raises if either form is not accepted.

    As one who is given the files does: the key follows from program and limits, and the input in
    the statement is the one that these samples make.
    """
    program = vm.decode((folder / "program.bin").read_bytes())
    limits = vm.Limits.from_json((folder / "limits.json").read_text())
    key = vm.setup(program, limits, params)
    if VerifyingKey.load(folder / "key.json") != key:
        raise jaxstark.VerificationError("key", "expected the key of the program, got another")
    public = json.loads((folder / "public.json").read_text())
    if public["input"] != [word % P for word in job.public_input.tolist()]:
        raise jaxstark.VerificationError("public values", "expected the samples as the input")
    return min(
        _script.timed_verify(Proof.load(folder / name), key, public, insecure=FLAGS.insecure)
        for name in ("proof.json", "proof.bin")
    )


def show_classes(job: Job) -> None:
    """Class and true label of every sample; neighbours that agree share a line."""
    name = job.network.class_name

    def key(i: int) -> tuple[int, int | None]:
        return int(job.classes[i]), None if job.labels is None else int(job.labels[i])

    for (found, label), run in groupby(range(len(job.rows)), key):
        numbers = [job.rows[i] for i in run]
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}..{numbers[-1]}"
        true = "true label unknown" if label is None else f"true label {name(label)}"
        wrong = "" if label in (None, found) else "  (wrong)"
        print(f"sample {span:<11}{name(found)}, {true}{wrong}")
    if job.labels is not None and job.accuracy is not None:
        right, whole = int((job.classes == job.labels).sum()), job.accuracy
        print(
            f"accuracy     {right} of these {len(job.rows)}; on the whole data set "
            f"{100 * whole['quantised']:.2f} %, before quantising {100 * whole['float']:.2f} %"
        )


def main() -> int:
    began = time.perf_counter()
    params = ProofParams.preset(FLAGS.preset, insecure=FLAGS.insecure)
    todo = job()
    require_jax()
    stages = Stages(params.pow_bits)
    execution = execute(todo)
    program, executed = todo.dense.program, time.perf_counter() - stages.start
    limits = vm.Limits.of(execution, params)
    folder = Path(FLAGS.out)
    folder.mkdir(parents=True, exist_ok=True)  # before the work: a bad folder is bad usage
    environment = _script.start()

    layers = "-".join(map(str, todo.network.sizes))
    print(f"{todo.network.name}: a {layers} network on {count(todo)}")
    print(f"model hash   {todo.dense.model_hash.hex()} (the program's, weights included)")
    print(f"preset {FLAGS.preset}; {environment['device_kind']}, host {environment['cpu_model']}")
    print("The proof hides nothing: whoever holds it may learn the input.")
    print("stages, compilation included:", flush=True)
    stages("execute", executed)
    trace = vm.trace(execution, limits)
    stages.done("trace")
    air, log_sizes = trace.air, trace.log_sizes
    names = [c.name for c in air.components]
    shape = air.shape(log_sizes, trace.public_values)
    key = vm.setup(program, limits, params)
    stages.done("verifying key")
    started = time.perf_counter()
    options: dict[str, Any] = {"params": params, "key": key, "insecure": FLAGS.insecure}
    proof = jaxstark.prove(trace, **options, on_stage=stages)
    proving = time.perf_counter() - started
    write(folder, proof, key, trace, todo, limits)
    stages.done("write")
    verify_seconds = verify_files(folder, params, todo)
    stages.done("verify")
    total = time.perf_counter() - began
    warm = _script.warm_runs(trace, params, FLAGS.repeat)
    for run in warm:  # timings of unverified proofs are not reported
        blunt = vm.setup(program, limits, run.proof.stark.params)
        _script.timed_verify(run.proof, blunt, trace.public_values, insecure=True)

    report, planned = params.security(shape), plan(shape, params)
    sizes = {name: (folder / name).stat().st_size for name in FILES}
    felts = _script.stark_felts(proof, shape.all_columns)
    grinding = stages.seconds.get("proof of work", 0.0)
    warm_row = _script.spread([run.proving for run in warm])
    show_classes(todo)
    print(f"steps        {execution.steps}")
    rows = ", ".join(f"{name} 2^{k}" for name, k in zip(names, log_sizes, strict=True))
    print(f"components   {rows}")
    print(f"proved       {proving - grinding:.3f} s, and proof of work {grinding:.3f} s")
    if warm:
        print(
            f"warm proofs  {warm_row['median']:.3f} s (median of {warm_row['runs']}; "
            f"{warm_row['min']:.3f} to {warm_row['max']:.3f}), without proof of work"
        )
    print(f"verified     {verify_seconds:.3f} s, from the files in {folder}")
    print(f"in all       {total:.1f} s, from the flags to the verified proof")
    print(
        f"size         {sizes['proof.json']} bytes JSON, {sizes['proof.bin']} bytes binary, "
        f"{felts} felts"
    )
    print("\n".join(report.lines()))
    _record.last_line(
        {
            "experiment": "prove_inference",
            "verified": True,
            "network": todo.network.name,
            "layers": list(todo.network.sizes),
            "samples": [todo.rows.start, todo.rows.stop],
            "classes": todo.classes.tolist(),
            "accuracy": todo.accuracy,
            "labels": None if todo.labels is None else todo.labels.tolist(),
            "model_hash": todo.dense.model_hash.hex(),
            "program_hash": program.hash.hex(),
            "steps": execution.steps,
            "air": air.name,
            "log_sizes": dict(zip(names, log_sizes, strict=True)),
            "preset": FLAGS.preset,
            "params": _script.params_row(params),
            "security": _script.security_row(report),
            "bytes": {"json": sizes["proof.json"], "binary": sizes["proof.bin"]},
            "felts": felts,
            "plan": {
                "bytes": round(planned.size.total_bytes),
                "felts": round(planned.size.total_felts),
                "peak_bytes": planned.peak_bytes,
            },
            "sha256": {n: sha256((folder / n).read_bytes()).hexdigest() for n in FILES},
            "seconds": {
                "total": round(total, 4),
                "stages": _script.rounded(stages.seconds),
                "proving": round(proving - grinding, 4),
                "proof_of_work": round(grinding, 4),
                "warm": warm_row,
                "warm_stages": _script.rounded(warm[-1].stages) if warm else {},
                "verify": round(verify_seconds, 4),
            },
            "files": {name: str(folder / name) for name in FILES},
            "environment": environment,
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
