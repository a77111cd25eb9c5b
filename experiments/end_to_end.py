"""From a network's answer to its proof on a chain, timed as a whole: one latency table.

    python experiments/end_to_end.py --preset=stwo-96-lowpow
    python experiments/end_to_end.py --network=digits --samples=1437:1463 --repeat=5
    python experiments/end_to_end.py --target=devnet --max_fee_strk=5 --registry=0x.. ..

Every run executes the program on samples of its own, makes the trace, proves, verifies the proof
from its bytes, packs it, submits it, and reads the record back; a run counts only if that succeeds.
The first run is the cold one, from the start of the process, compilation included; --repeat warm
runs follow. Each has other samples, hence a proof and a record of its own.

--target=fake is a network in this process: it needs nothing, and its time is no network's.
--target=devnet is a node as for submit.py, with its flags, environment and files. The registry
records proofs and verifies none; this script verifies before it sends. The last line is one JSON
object, which --out keeps in a file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import _end_to_end
import _end_to_end_run
import _networks
import _record
import _script
import _submit
from _end_to_end import Run
from _end_to_end_run import Chain, Model, Options, Pipeline
from absl import flags

from jaxstark import ProofParams, require_jax
from jaxstark.params import PRESETS
from jaxstark.proof import write_atomically
from jaxstark.starknet import deployments
from jaxstark.starknet.accounts import parse_address
from jaxstark.starknet.fees import FeePolicy, parse_strk
from jaxstark.starknet.header import ENCODINGS
from jaxstark.starknet.networks import NETWORKS
from jaxstark.starknet.outbox_sqlite import SqliteOutbox, default_outbox
from jaxstark.starknet.signing import require_starknet_py

FLAGS = flags.FLAGS
flags.DEFINE_enum("network", "iris", list(_networks.SHIPPED), "Shipped network.")
flags.DEFINE_string(
    "samples", None, "Samples A:B of the first run, B excluded; by default those of the benchmark."
)
flags.DEFINE_string("input", None, "CSV file of the data set, for want of scikit-learn.")
flags.DEFINE_enum("preset", "stwo-96", list(PRESETS), "Proof parameters.")
flags.DEFINE_bool("insecure", False, "Allow the test preset, which has no security.")
flags.DEFINE_enum(
    "implementation", None, ["mosaic_gpu", "xla"], "What proves; by default the device decides."
)
flags.DEFINE_enum("transcript", "host", ["host", "device"], "Who runs the channel.")
flags.DEFINE_bool("prover_stages", True, "Show the prover's stages, each waiting for its arrays.")
flags.DEFINE_integer("repeat", 3, "Warm runs.", lower_bound=0, upper_bound=1000)
flags.DEFINE_enum("encoding", "limb248", list(ENCODINGS), "Encoding of the proof.")
flags.DEFINE_enum("target", "fake", ["fake", "devnet"], "Where to submit.")
flags.DEFINE_string(
    "max_fee_strk", None, "Most STRK that a run may cost; by default, on the fake network, 20."
)
flags.DEFINE_string("outbox", None, "SQLite file of what was signed; default: one per network.")
flags.DEFINE_string("out", None, "JSON file for the record of the last line.")
_submit.define_settings(registry="Address of the registry.")
_record.define_flags()

FAKE_CAP = "20"
IMPORTED = time.perf_counter()


def process_age() -> float:
    """Seconds since this process began, to 1/100; since the imports where no system says more."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError, ValueError, IndexError):
        age = 0.0
    least = time.perf_counter() - IMPORTED
    return age if least < age < least + 600 else least  # a container may count otherwise


def fee_policy() -> FeePolicy:
    """The cap of a run; complains of flags that the target does not read."""
    given = FLAGS.max_fee_strk
    for name in (
        ("registry", *_submit.SETTINGS, "profile", "outbox") if FLAGS.target == "fake" else ()
    ):
        if FLAGS[name].value is not None:
            raise _script.UsageError(f"--{name}: expected --target=devnet with it, got fake")
    if given is None and FLAGS.target != "fake":
        raise _script.UsageError("--max_fee_strk: expected the most that may be paid, got none")
    return FeePolicy(parse_strk(FAKE_CAP if given is None else given))


def open_chain(stack: contextlib.ExitStack, policy: FeePolicy) -> Chain:
    """The network of ``--target``, its account and its registry, all of them there."""
    if FLAGS.target == "fake":
        place = stack.enter_context(_submit.fake_network(None))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        registry, path = place.registry, os.path.join(folder, "outbox.sqlite")
    else:
        place, registry = devnet()
        path = FLAGS.outbox or default_outbox(FLAGS.target)
    if registry is None:
        raise _script.UsageError(
            f"--registry: expected the address of a registry on {FLAGS.target} (or "
            "STARKNET_REGISTRY), got none; experiments/registry.py deploys one"
        )
    _end_to_end.preflight(place, registry)
    outbox = stack.enter_context(contextlib.closing(SqliteOutbox(path)))
    return Chain(place, registry, policy, outbox)


def devnet() -> tuple[_submit.Place, int | None]:
    """Node and account of the settings, and the registry that they or the deployments name."""
    target = NETWORKS["devnet"]
    settings = _submit.settings()
    named = settings.get("registry")
    if named is not None:
        registry = parse_address(named, "registry")
    else:
        found = deployments.load_deployment(target)
        registry = None if found is None else found.address
    node, account = _submit.connect(settings, target, allow_mainnet=False)
    return _submit.Place(target, node, account, registry, None, _end_to_end.QUICK), registry


def out_file() -> Path | None:
    """The file of ``--out``; its folder is made before the work, so that a bad one is bad usage."""
    if FLAGS.out is None:
        return None
    path = Path(FLAGS.out)
    if path.is_dir():
        raise _script.UsageError(f"--out: expected a file, got the folder {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def compiled_before(folder: Path | None) -> int:
    """Files in the folder of compiled programs."""
    return 0 if folder is None else sum(1 for path in folder.iterdir() if path.is_file())


def main() -> int:
    params = ProofParams.preset(FLAGS.preset, insecure=FLAGS.insecure)
    policy, out = fee_policy(), out_file()
    model = _end_to_end_run.load_model(FLAGS.network, FLAGS.samples, FLAGS.input, 1 + FLAGS.repeat)
    require_jax()
    require_starknet_py()
    options = Options(
        params,
        FLAGS.insecure,
        FLAGS.implementation,
        FLAGS.transcript,
        FLAGS.prover_stages,
        FLAGS.encoding,
    )
    return _submit.attempt(
        lambda: measure(model, options, policy, out), "what was signed is in the outbox"
    )


def measure(model: Model, options: Options, policy: FeePolicy, out: Path | None) -> int:
    """All runs, the table, the record."""
    import jax

    from jaxstark.implementation import choose

    cached = compiled_before(_record.setup_jax_cache(FLAGS.jax_cache))
    chosen = choose(options.implementation, options.transcript)
    device = jax.devices()[0].device_kind
    before = {"start": process_age()}
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        chain = open_chain(stack, policy)
        before["connect"] = time.perf_counter() - began
        layers = "-".join(map(str, model.network.sizes))
        count = len(model.batches[0].rows)
        print(f"{model.network.name}: a {layers} network, {count} to a proof")
        print(f"preset {FLAGS.preset}; {device}, {chosen}, {options.transcript} transcript")
        print(f"chain  {FLAGS.target}, account {chain.place.account.address:#x}", flush=True)
        pipeline, runs = Pipeline(model.dense, options, chain), list[Run]()
        for number, batch in enumerate(model.batches):
            runs.append(pipeline.run(batch, {} if number else before))
            name = f"warm {number}" if number else "cold"
            print(_end_to_end.run_line(name, runs[-1], model.network.class_name), flush=True)
    if pipeline.shape is None or pipeline.key is None:
        raise ValueError("runs: expected at least one, got none")
    report = options.params.security(pipeline.shape)
    print("\n".join(_end_to_end.table(runs[0], runs[1:])))
    fake = FLAGS.target == "fake"
    print("\n".join(_end_to_end.notes(runs, options.params.pow_bits, cached, fake)))
    print("\n".join(report.lines()))
    cold, warm = runs[0], runs[1:]
    inside = cold.inside
    row: dict[str, Any] = {
        "experiment": "end_to_end",
        "verified": True,
        "recorded": True,
        "network": model.network.name,
        "model_hash": model.dense.model_hash.hex(),
        "target": FLAGS.target,
        "chain_in_process": fake,
        "preset": FLAGS.preset,
        "params": _script.params_row(options.params),
        "security": _script.security_row(report),
        "implementation": chosen,
        "transcript": options.transcript,
        "log_sizes": list(pipeline.key.log_sizes),
        "compiled_before": cached,
        "seconds": {
            "cold": _script.rounded(cold.seconds, _end_to_end.DIGITS),
            "warm": _end_to_end.spreads([run.seconds for run in warm]),
            "cold_inside": {
                name: _script.rounded(parts, _end_to_end.DIGITS) for name, parts in inside.items()
            },
            "warm_inside": {
                name: _end_to_end.spreads([run.inside[name] for run in warm]) for name in inside
            },
            "published": _end_to_end.PUBLISHED,
        },
        "runs": [run.row() for run in runs],
        "environment": _record.environment(),
    }
    if out is not None:
        write_atomically(out, (_record.compact(row) + "\n").encode())
    _record.last_line(row)
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
