"""Prove an example of a shipped AIR, verify the written files, print sizes, times and security.

    python experiments/prove.py --air=plonk --log_size=14 --preset=stwo-96 --out=out/plonk

writes proof.json, proof.bin, key.json and public.json. The proof is verified from the files as
they were written. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import _record
import _script
from absl import flags

from jaxstark import Proof, ProofParams, Trace, VerifyingKey, plan, require_jax
from jaxstark.air.planning import check_params
from jaxstark.air.registry import SHIPPED
from jaxstark.params import PRESETS

FLAGS = flags.FLAGS
flags.DEFINE_enum("air", "wide_fibonacci", list(SHIPPED), "Shipped AIR to prove an example of.")
flags.DEFINE_integer(
    "log_size", 12, "log2 of the rows of its largest free component.", lower_bound=1, upper_bound=24
)
flags.DEFINE_enum("preset", "stwo-96", list(PRESETS), "Proof parameters.")
flags.DEFINE_string("out", "out/prove", "Folder for proof, key and public values.")
flags.DEFINE_integer("seed", 0, "Seed of the example.", lower_bound=0, upper_bound=2**31 - 3)
flags.DEFINE_integer(
    "repeat", 1, "Warm runs to time after the first proof.", lower_bound=0, upper_bound=1000
)
flags.DEFINE_bool("insecure", False, "Allow the test preset, which has no security.")
_record.define_flags()

FILES = ("proof.json", "proof.bin", "key.json", "public.json")


def write(folder: Path, proof: Proof, key: VerifyingKey, public: dict[str, Any]) -> None:
    """Write all files of a proof."""
    proof.save(folder / "proof.json")
    proof.save(folder / "proof.bin")
    key.save(folder / "key.json")
    (folder / "public.json").write_text(json.dumps(public) + "\n")


def verify_files(folder: Path, *, insecure: bool) -> float:
    """Seconds to verify what the folder holds; raises if either form is not accepted."""
    key = VerifyingKey.load(folder / "key.json")
    public = json.loads((folder / "public.json").read_text())
    seconds = [
        _script.timed_verify(Proof.load(folder / name), key, public, insecure=insecure)
        for name in ("proof.json", "proof.bin")
    ]
    return min(seconds)


def main() -> int:
    params = ProofParams.preset(FLAGS.preset, insecure=FLAGS.insecure)
    require_jax()
    air, log_sizes, columns, public = SHIPPED[FLAGS.air].example(FLAGS.log_size, FLAGS.seed)
    public = {name: [int(v) for v in values] for name, values in public.items()}
    shape = air.shape(log_sizes, public)
    check_params(air, shape, params)
    folder = Path(FLAGS.out)
    folder.mkdir(parents=True, exist_ok=True)  # before the work: a bad folder is bad usage
    environment = _script.start()
    planned = plan(shape, params)
    report = params.security(shape)

    rows = ", ".join(f"2^{k}" for k in log_sizes)
    print(f"{air.name}: components of {rows} rows, preset {FLAGS.preset}")
    print(f"device: {environment['device_kind']}, host: {environment['cpu_model']}")
    print("stages of the first proof, compilation included:", flush=True)
    first = _script.timed_prove(
        Trace(air, columns, public),
        params,
        insecure=FLAGS.insecure,
        on_stage=partial(_script.show_stage, params.pow_bits),
    )
    key = air.setup(log_sizes, params)
    write(folder, first.proof, key, public)
    verify_seconds = verify_files(folder, insecure=FLAGS.insecure)
    warm = _script.warm_runs(Trace(air, columns, public), params, FLAGS.repeat)
    for run in warm:  # timings of unverified proofs are not reported
        blunt = air.setup(log_sizes, run.proof.stark.params)
        _script.timed_verify(run.proof, blunt, public, insecure=True)

    sizes = {name: (folder / name).stat().st_size for name in FILES}
    felts = _script.stark_felts(first.proof, shape.all_columns)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    warm_row = _script.spread([run.proving for run in warm])
    print(f"first proof  {first.proving:.3f} s, and proof of work {first.grinding:.3f} s")
    if warm:
        print(
            f"warm proofs  {warm_row['median']:.3f} s (median of {warm_row['runs']}; "
            f"{warm_row['min']:.3f} to {warm_row['max']:.3f}), without proof of work"
        )
    print(f"verified     {verify_seconds:.3f} s, from the files in {folder}")
    print(
        f"size         {sizes['proof.json']} bytes JSON, {sizes['proof.bin']} bytes binary, "
        f"{felts} felts"
    )
    print(
        f"plan         {planned.size.total_bytes:.0f} bytes binary, "
        f"{planned.size.total_felts:.0f} felts (expected over random queries)"
    )
    print("\n".join(report.lines()))
    _record.last_line(
        {
            "experiment": "prove",
            "verified": True,
            "air": air.name,
            "log_sizes": list(log_sizes),
            "preset": FLAGS.preset,
            "seed": FLAGS.seed,
            "params": _script.params_row(params),
            "security": _script.security_row(report),
            "bytes": {"json": sizes["proof.json"], "binary": sizes["proof.bin"]},
            "felts": felts,
            "plan": {
                "bytes": round(planned.size.total_bytes),
                "felts": round(planned.size.total_felts),
                "peak_bytes": planned.peak_bytes,
            },
            "sha256": digests,
            "seconds": {
                "first": round(first.proving, 4),
                "first_stages": _script.rounded(first.stages),
                "proof_of_work": round(first.grinding, 4),
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
