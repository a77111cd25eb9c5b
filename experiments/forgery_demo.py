"""Forged traces that the legacy AIR proves and verifies, and the rules that refuse them elsewhere.

    python experiments/forgery_demo.py --preset=stwo-96-lowpow

Each lie is told twice, in a trace of ``legacy26`` and in one of the sound Obelysk AIR. The first is
proved, and its proof verified. The second is judged by the debugger, whose finding is what
``prove`` refuses a trace with; tests/soundness/test_vm_forged_proofs.py shows that proofs of such
traces are rejected. Exits with 1 unless the legacy AIR accepts all and the sound AIR none.
"""

from __future__ import annotations

import _record
import _script
from absl import flags

from jaxstark import ProofParams, Trace, require_jax
from jaxstark.air.legacy26 import legacy26
from jaxstark.errors import ProvingError, VerificationError
from jaxstark.params import PRESETS
from tests.soundness import vm_legacy_pairs as legacy

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "stwo-96-lowpow", list(PRESETS), "Proof parameters.")
flags.DEFINE_bool("insecure", False, "Allow the test preset, which has no security.")
_record.define_flags()

HONEST = "the truth, for comparison"


def legacy_answer(table: legacy.Table, params: ProofParams) -> tuple[bool, str]:
    """Whether ``legacy26`` accepts a trace: it is proved, and the proof verified."""
    trace = Trace(legacy26(), {"steps": table})
    key = legacy26().setup(trace.log_sizes, params)
    try:
        proof = _script.timed_prove(trace, params, insecure=FLAGS.insecure).proof
        _script.timed_verify(proof, key, {}, insecure=FLAGS.insecure)
    except (ProvingError, VerificationError) as error:
        return False, str(error)
    return True, f"proved and verified, {len(proof.to_bytes())} bytes"


def sound_answer(built: legacy.Built) -> tuple[bool, str]:
    """Whether the sound AIR accepts a trace, and the rule that it breaks."""
    component, row, rule, message = legacy.finding(built)
    if not rule:
        return True, message
    kind = "" if ":" in rule else "relation "
    return False, f"{component}, row {row}, {kind}{rule}"


def main() -> int:
    params = ProofParams.preset(FLAGS.preset, insecure=FLAGS.insecure)
    require_jax()
    environment = _script.start()
    table = legacy.honest_legacy()
    rows = []
    cases = [(HONEST, table, legacy.honest_sound())]
    cases += [(pair.name, pair.legacy(dict(table)), pair.make()) for pair in legacy.PAIRS]
    print(f"{len(legacy.PAIRS)} forged traces of one run, preset {FLAGS.preset}\n")
    print("| claim | legacy26 | the sound AIR |")
    print("|---|---|---|")
    for name, forged, built in cases:
        accepts, answer = legacy_answer(forged, params)
        sound, verdict = sound_answer(built)
        print(f"| {name} | {answer} | {'' if sound else 'refused: '}{verdict} |", flush=True)
        rows.append({"claim": name, "legacy26": accepts, "sound": sound, "finding": verdict})
    truth, lies = rows[0], rows[1:]
    accepted = sum(row["legacy26"] for row in lies)
    refused = sum(not row["sound"] for row in lies)
    holds = truth["legacy26"] and truth["sound"] and accepted == refused == len(lies)
    print(
        f"\nlegacy26 accepts {accepted} of {len(lies)} forgeries, the sound AIR refuses {refused}"
    )
    _record.last_line(
        {
            "experiment": "forgery_demo",
            "preset": FLAGS.preset,
            "params": _script.params_row(params),
            "forgeries": len(lies),
            "legacy26_accepts": accepted,
            "sound_refuses": refused,
            "rows": rows,
            "environment": environment,
        }
    )
    return _script.OK if holds else _script.FAILED


if __name__ == "__main__":
    _script.run(main)
