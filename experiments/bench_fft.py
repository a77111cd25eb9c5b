"""Time the circle FFT and the out-of-domain evaluation of one batch of columns.

    python experiments/bench_fft.py --columns=26 --log_size=16 --log_blowup=1

Reports the first call (tracing, compiling, running) and the best of the warm calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import _record
import jax
import numpy as np
from absl import app, flags

from jaxstark import circle, fft, fft_reference, oods
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31

_COLUMNS = flags.DEFINE_integer("columns", 26, "Columns in the batch.", lower_bound=1)
_LOG_SIZE = flags.DEFINE_integer("log_size", 16, "log2 of the rows.", 1, 28)
_LOG_BLOWUP = flags.DEFINE_integer("log_blowup", 1, "log2 of the blow-up factor.", 0, 16)
_REPEATS = flags.DEFINE_integer("repeats", 10, "Warm calls.", lower_bound=1)
_CHECK = flags.DEFINE_bool("check", True, "Compare the results with the NumPy reference.")
_OUT = flags.DEFINE_string("out", "", "JSON-lines file to append the row to.")
_record.define_flags()


def _timed(call: Callable[[], jax.Array]) -> tuple[np.ndarray, dict[str, float]]:
    """Result and milliseconds of the first call and of the best of the following ones."""
    elapsed, result = [], None
    for _ in range(_REPEATS.value + 1):
        start = time.perf_counter()
        result = jax.block_until_ready(call())
        elapsed.append(round(1e3 * (time.perf_counter() - start), 3))
    return np.asarray(result), {"first_ms": elapsed[0], "warm_ms": min(elapsed[1:])}


def main(argv: list[str]) -> None:
    del argv
    row: dict[str, Any] = _record.start()
    k, e = _LOG_SIZE.value, _LOG_SIZE.value + _LOG_BLOWUP.value
    row |= {"experiment": "fft", "columns": _COLUMNS.value, "log_size": k, "log_domain": e}
    shape = (_COLUMNS.value, 1 << k)
    host = np.random.default_rng(0).integers(0, P, shape, dtype=np.uint32)
    points = [circle.secure_point(QM31(1, 2, 3, t)) for t in (4, 5)]

    start = time.perf_counter()
    jax.block_until_ready((fft.inverse_twiddles(k), fft.forward_twiddles(e)))
    row["tables_ms"] = round(1e3 * (time.perf_counter() - start), 3)
    values = jax.device_put(host)
    coefficients, row["interpolate"] = _timed(lambda: fft.interpolate(values))
    polynomials = jax.device_put(coefficients)
    extended, row["evaluate"] = _timed(lambda: fft.evaluate(polynomials, e))
    _, row["one_point"] = _timed(lambda: oods.evaluate_columns(polynomials, points[0]))
    sampled, row["two_points"] = _timed(lambda: oods.evaluate_columns_many(polynomials, points))
    if _CHECK.value:
        some = slice(0, 2)
        row["equals_reference"] = bool(
            (coefficients[some] == fft_reference.interpolate(host[some])).all()
            and (extended[some] == fft_reference.evaluate(coefficients[some], e)).all()
            and (
                sampled[1][:, some] == fft_reference.evaluate_at(coefficients[some], points[1])
            ).all()
        )
    if _OUT.value:
        _record.write_record(_OUT.value, row)
    _record.last_line(row)
    if not row.get("equals_reference", True):
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
