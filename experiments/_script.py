"""What the proving scripts share: flags and exit codes, and the figures of a proof.

Exit codes: 0 for success, 1 if a proof could not be made or does not verify, 2 for bad usage.
Whatever is the caller's to mend is one sentence on stderr, without a traceback.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import _record
from absl import app, flags, logging

if TYPE_CHECKING:
    from jaxstark import Proof, ProofParams, Trace, VerifyingKey
    from jaxstark.security import SecurityReport

OK, FAILED, USAGE = 0, 1, 2
REPO = str(Path(__file__).resolve().parent.parent)
if REPO not in sys.path:  # a clone works without an installation
    sys.path.insert(0, REPO)


class UsageError(Exception):
    """A mistake in the flags; its message is the sentence that the caller reads."""


def run(main: Callable[[], int]) -> NoReturn:
    """Parse the flags, run ``main`` and exit with its code."""

    def guarded(argv: Sequence[str]) -> int:
        from jaxstark.errors import ProvingError, VerificationError

        logging.set_verbosity(logging.WARNING)  # JAX tells at length which devices it did not find
        if len(argv) > 1:
            return _complain(f"arguments: expected flags only, got {argv[1]!r}", USAGE)
        try:
            return main()
        except (ProvingError, VerificationError) as error:
            return _complain(str(error), FAILED)
        except OSError as error:
            return _complain(f"{error.filename or 'file'}: {error.strerror or error}", USAGE)
        except (UsageError, ValueError, ImportError) as error:
            return _complain(str(error), USAGE)

    def main_of_app(argv: Sequence[str]) -> None:
        sys.exit(guarded(argv))

    app.run(main_of_app, flags_parser=_parse)
    raise SystemExit(OK)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(_complain(str(error), USAGE))


def _complain(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code


def numbers(name: str, texts: Sequence[str], low: int, high: int) -> list[int]:
    """The distinct integers of a list flag in ascending order; ``UsageError`` if one is none."""
    out = set()
    for text in texts:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise UsageError(f"--{name}: expected integers in {low}..{high}, got {text!r}")
        out.add(int(text))
    if not out:
        raise UsageError(f"--{name}: expected at least one integer, got none")
    return sorted(out)


def chosen(name: str, allowed: tuple[str, ...]) -> list[str]:
    """The values of a list flag in the order of ``allowed``; ``UsageError`` for others."""
    given: list[str] = flags.FLAGS[name].value or []
    for text in given:
        if text not in allowed:
            raise UsageError(f"--{name}: expected some of {', '.join(allowed)}, got {text!r}")
    if not given:
        raise UsageError(f"--{name}: expected at least one, got none")
    return [value for value in allowed if value in given]


def rates(*names: str) -> list[float]:
    """The values of float flags; ``UsageError`` if one is not positive and finite."""
    out = []
    for name in names:
        rate = float(flags.FLAGS[name].value or 0)
        if not 0 < rate < math.inf:
            raise UsageError(f"--{name}: expected a positive number, got {rate:g}")
        out.append(rate)
    return out


class Measured(NamedTuple):
    """One timed ``prove``: the proof, seconds in all and by stage (``"proof of work"`` apart)."""

    proof: Proof
    seconds: float
    stages: dict[str, float]

    @property
    def grinding(self) -> float:
        """Seconds of the proof of work."""
        return self.stages.get("proof of work", 0.0)

    @property
    def proving(self) -> float:
        """Seconds without the proof of work."""
        return self.seconds - self.grinding


def show_stage(pow_bits: int, stage: str, seconds: float) -> None:
    """A line per finished stage, and one before the search that may take longest."""
    print(f"  {stage:<24}{seconds:9.3f} s", flush=True)
    if stage == "FRI" and pow_bits:
        print(f"  searching a {pow_bits}-bit nonce: about {2**pow_bits:,} hashes", flush=True)


def timed_prove(
    trace: Trace,
    params: ProofParams,
    *,
    insecure: bool = False,
    on_stage: Callable[[str, float], None] | None = None,
) -> Measured:
    """Prove, with the time of every stage; nothing is left pending on the device."""
    import jaxstark

    stages: dict[str, float] = {}

    def note(stage: str, seconds: float) -> None:
        stages[stage] = stages.get(stage, 0.0) + seconds
        if on_stage is not None:
            on_stage(stage, seconds)

    start = time.perf_counter()
    proof = jaxstark.prove(trace, params=params, insecure=insecure, on_stage=note)
    return Measured(proof, time.perf_counter() - start, stages)


def warm_runs(trace: Trace, params: ProofParams, count: int) -> list[Measured]:
    """Proofs of a compiled shape without proof of work, which is luck and not proving.

    One more comes before them: with kernels another difficulty is another program to compile.
    """
    blunt = replace(params, pow_bits=0)
    runs = [timed_prove(trace, blunt, insecure=True) for _ in range(count + 1)] if count else []
    return runs[1:]


def spread(values: Sequence[float], digits: int = 5) -> dict[str, Any]:
    """Median, least, largest and number of runs, in seconds of so many decimals."""
    if not values:
        return {"runs": 0}
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "runs": len(values),
    }


def rounded(stages: dict[str, float], digits: int = 5) -> dict[str, float]:
    """Stage times for a record."""
    return {name: round(seconds, digits) for name, seconds in stages.items()}


def timed_verify(
    proof: Proof, key: VerifyingKey, public_values: Any, *, insecure: bool = False
) -> float:
    """Seconds to verify; raises if the proof is not accepted."""
    import jaxstark

    start = time.perf_counter()
    jaxstark.verify(proof, key, public_values, insecure=insecure)
    return time.perf_counter() - start


def stark_felts(proof: Proof, columns: Sequence[Sequence[int]]) -> int:
    """Felts of the STARK proof in the Cairo layout, which is what ``plan`` estimates."""
    from jaxstark.profile import get_profile
    from jaxstark.proof_felts import write_stark_felts

    return len(write_stark_felts(proof.stark, get_profile(proof.profile).suite, columns))


def params_row(params: ProofParams) -> dict[str, int]:
    """Parameters for a record."""
    return asdict(params) | {"formula_bits": params.formula_bits}


def security_row(report: SecurityReport) -> dict[str, Any]:
    """All terms of all regimes for a record, in bits; None where there is no such step."""
    from jaxstark.security import TERMS

    def bits(value: float) -> float | None:
        return None if math.isinf(value) else round(value, 2)

    return {
        r.regime: {term: bits(getattr(r, term)) for term in ("limit", *TERMS, "total")}
        | {"status": r.status, "weakest": r.weakest, "multiplicity": r.multiplicity}
        for r in report.regimes
    }


def compiled_proofs(implementation: str | None, transcript: str) -> dict[str, Any]:
    """Options of ``jaxstark.compile`` that keep whole compiled proofs beside JAX's own cache.

    Empty where the cache is off, or where XLA proves.
    """
    import jax

    from jaxstark.implementation import choose

    folder = jax.config.jax_compilation_cache_dir
    if not folder or choose(implementation, transcript) != "mosaic_gpu":
        return {}
    return {"cache_dir": Path(folder) / "proofs"}


def start() -> dict[str, Any]:
    """Compilation cache and environment, once all flags are known to be good."""
    return _record.start()


def human_bytes(count: float) -> str:
    """``12.3 kB``."""
    return f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"
