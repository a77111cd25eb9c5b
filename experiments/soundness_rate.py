"""How often cheating provers are accepted, measured against the prediction.

    python experiments/soundness_rate.py --out=out/soundness.json --plot=out/soundness.png

Strategies (``_soundness``): ``corrupted`` changes a fraction of a committed column,
``random`` commits to random words. Few queries and no proof of work make acceptance likely enough
to count. Exit code 1 if a rate lies more than ``--sigmas`` standard deviations off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import _record
import _script
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", None, "JSON file to write.", required=True)
flags.DEFINE_string("plot", None, "Picture to write (.png, .svg or .pdf).")
flags.DEFINE_multi_enum(
    "strategy", ["corrupted", "random"], ["corrupted", "random"], "Cheating provers to try."
)
flags.DEFINE_integer("seeds", 400, "Attempts per setting.", lower_bound=1)
flags.DEFINE_integer("log_size", 5, "log2 of the rows.", lower_bound=2, upper_bound=16)
flags.DEFINE_list("queries", ["1", "2", "3", "5", "8"], "Numbers of queries.")
flags.DEFINE_list("log_blowup", ["1"], "log2 of blow-up factors.")
flags.DEFINE_multi_float("distance", [0.125, 0.25, 0.5], "Changed fractions of the column.")
flags.DEFINE_integer("fold_step", 2, "Folds per FRI layer.", lower_bound=1, upper_bound=4)
flags.DEFINE_float("sigmas", 4.5, "Allowed deviation.", lower_bound=0.1)
_record.define_flags()


def settings() -> list[dict[str, Any]]:
    """All settings in order."""
    out = []
    for log_blowup in _script.numbers("log_blowup", FLAGS.log_blowup, 1, 8):
        for queries in _script.numbers("queries", FLAGS.queries, 1, 200):
            base = {"log_blowup": log_blowup, "queries": queries}
            if "corrupted" in FLAGS.strategy:
                for distance in FLAGS.distance:
                    if not 0 <= distance <= 1:
                        raise _script.UsageError(f"--distance: expected 0..1, got {distance}")
                    out.append({"strategy": "corrupted", "distance": distance, **base})
            if "random" in FLAGS.strategy:
                out.append({"strategy": "random", "distance": None, **base})
    return out


def measure(setting: dict[str, Any]) -> dict[str, Any]:
    """Count the accepted attempts of one setting."""
    import _soundness

    from jaxstark import ProofParams

    params = ProofParams(0, setting["log_blowup"], setting["queries"], FLAGS.fold_step)
    accepted, expected = 0, 0.0
    for seed in range(FLAGS.seeds):
        if setting["strategy"] == "corrupted":
            attempt = _soundness.corrupted(seed, FLAGS.log_size, params, setting["distance"])
        else:
            attempt = _soundness.random_column(seed, FLAGS.log_size, params)
        accepted += attempt.section() is None
        expected = attempt.expected
    off = _soundness.deviation(accepted, FLAGS.seeds, expected)
    return setting | {
        "attempts": FLAGS.seeds,
        "accepted": accepted,
        "rate": accepted / FLAGS.seeds,
        "predicted": expected,
        "sigmas": round(off, 2),
    }


def draw(rows: list[dict[str, Any]], path: str) -> None:
    """Measured rates (marks with two standard errors) and predictions (lines)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    lines: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        name = "random column" if row["distance"] is None else f"distance {row['distance']:g}"
        lines.setdefault((name, 1 << row["log_blowup"]), []).append(row)
    least = 0.5 / FLAGS.seeds
    for (name, blowup), points in lines.items():
        x = [p["queries"] for p in points]
        label = f"{name}, {blowup}x"
        (line,) = axes.plot(x, [max(p["predicted"], least / 4) for p in points], lw=1)
        errors = [2 * (p["rate"] * (1 - p["rate"]) / p["attempts"]) ** 0.5 for p in points]
        rates = [max(p["rate"], least) for p in points]
        below = [min(e, r - least / 2) for e, r in zip(errors, rates, strict=True)]
        color = line.get_color()
        axes.errorbar(x, rates, yerr=(below, errors), fmt="o", ms=4, color=color, label=label)
    axes.set(
        yscale="log",
        ylim=(least / 2, 1.5),
        xlabel="queries",
        ylabel="accepted",
        title=f"Cheating proofs accepted, of {FLAGS.seeds} (lines: predicted)",
    )
    axes.axhline(1 / FLAGS.seeds, color="grey", lw=0.5, ls=":")
    axes.legend(fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> int:
    """Measure all settings, write the results, draw them."""
    todo = settings()
    environment = _script.start()
    rows = []
    for setting in todo:
        row = measure(setting)
        rows.append(row)
        what = setting["strategy"] + (f" {setting['distance']:g}" if setting["distance"] else "")
        print(
            f"{what}, blow-up {1 << row['log_blowup']}, {row['queries']} queries: accepted "
            f"{row['accepted']} of {row['attempts']}, predicted {row['predicted']:.4g}"
        )
    worst = max(row["sigmas"] for row in rows)
    summary = {
        "experiment": "soundness_rate",
        "log_size": FLAGS.log_size,
        "fold_step": FLAGS.fold_step,
        "rows": rows,
        "worst_sigmas": worst,
        **environment,
    }
    out = Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=1) + "\n")
    if FLAGS.plot:
        draw(rows, FLAGS.plot)
    ok = worst <= FLAGS.sigmas
    _record.last_line(
        {"experiment": "soundness_rate", "settings": len(rows), "worst_sigmas": worst, "ok": ok}
    )
    return _script.OK if ok else _script.FAILED


if __name__ == "__main__":
    _script.run(main)
