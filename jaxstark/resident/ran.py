"""What each stage of a proof runs, for the record of the proof.

Named is what computes a stage. Beside its kernels XLA always copies, gathers and lifts arrays, adds
up what blocks and sizes leave, and makes the powers of challenges. Hashes of the transcript run
where the record says that the transcript does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from jaxstark.pallas.deep import api as deep_kernels
from jaxstark.pallas.fft import api as fft_kernels
from jaxstark.resident import low_degree
from jaxstark.resident.program import Program
from jaxstark.shape import INTERACTION, TRACE


@lru_cache(maxsize=32)
def stages(p: Program, transcript: str) -> dict[str, str]:
    """``"mosaic_gpu"``, what XLA does beside it, ``"xla"`` or ``"none"``, by name of the stage.

    The constraints are composed in the stage that commits to them.
    """
    *trees, last = p.shape.all_columns
    # Evaluations that are made again where they are read.
    again = [] if p.keep_evaluations else [k for tree in (*trees[TRACE:], last) for k in tree]
    out = {"commit trace": _kernels(*_of_rows(trees[TRACE]))}
    if len(trees) > INTERACTION:
        out["commit interaction"] = _kernels(*_of_rows(trees[INTERACTION]))
    transformed = [p.log_size, *again]
    if p.params.log_blowup > 1:  # columns are evaluated again, on the domain of the quotients
        transformed += [k for tree in trees for k in tree]
    points = [] if deep_kernels.fits(p.deep_plan) else [p.log_domain]
    return out | {
        "commit composition": _kernels(_named("{} rows", _small(transformed))),
        "evaluate out of domain": _kernels(),
        "DEEP quotients": _kernels(_named("{} rows", _small(again)), _named("{} points", points)),
        "FRI": _kernels(
            _named("folds of {} values", _folds_under_xla(p, transcript)), "the last layer"
        ),
        "proof of work": _kernels() if p.params.pow_bits else "none",
        "open": _kernels(_named("{} rows", _small(again)))
        if any(map(fft_kernels.fits, again))
        else "xla",
    }


def _kernels(*under_xla: str) -> str:
    """Kernels, and what is not theirs."""
    some = [text for text in under_xla if text]
    return f"mosaic_gpu, xla for {' and '.join(some)}" if some else "mosaic_gpu"


def _named(text: str, logs: Iterable[int]) -> str:
    """``text`` with powers of two in it; empty without any."""
    powers = ", ".join(f"2^{k}" for k in sorted(set(logs)))
    return text.format(powers) if powers else ""


def _small(sizes: Sequence[int]) -> list[int]:
    """Sizes that the transforms of ``commitments`` leave to XLA."""
    return [k for k in sizes if not fft_kernels.fits(k)]


def _of_rows(sizes: Sequence[int]) -> tuple[str, str]:
    """What XLA does of a commitment to rows; of the smallest ones everything before the tree."""
    small = _small(sizes)
    ordered = {k for k in sizes if not fft_kernels.to_storage_fits(k)}.difference(small)
    return _named("{} rows", small), _named("the order of {} rows", ordered)


def _folds_under_xla(p: Program, transcript: str) -> list[int]:
    """Log sizes of the FRI layers that fold under XLA; none of those that a tail has."""
    steps, out, log, index = p.params.fri_steps(p.log_size), [], p.log_domain, 0
    while index < len(steps):
        in_tail = low_degree.tail_layers(p, index) if transcript == "device" else 0
        if not in_tail and 1 << log <= low_degree.FEW_VALUES:
            out.append(log)
        end = index + max(in_tail, 1)
        log, index = log - sum(steps[index:end]), end
    return out
