"""Plot a sweep: size, time and security by configuration.

    python experiments/plot.py --input=out/sweep.jsonl --out=out/sweep.png

A line per configuration: colour for the blow-up, marker for the fold step, dashes for further
numbers of queries. The security panel shows the least term of each regime at the largest size.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import _record
import _script
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("input", None, "JSON-lines file of sweep.py.", required=True)
flags.DEFINE_string("out", "out/sweep.png", "Picture to write (.png, .svg or .pdf).")
flags.DEFINE_string("air", None, "Only rows of this AIR; needed if the file has several.")
flags.DEFINE_integer("dpi", 110, "Resolution.", lower_bound=30, upper_bound=600)

REGIMES = {"formula": "s", "elias": "^", "johnson": "o", "unique": "D"}
MARKERS = "osv^DPX*<>"
DASHES = ("-", "--", ":", "-.")
MAX_LINES = 24


class Line(NamedTuple):
    """One configuration over all sizes."""

    log_blowup: int
    n_queries: int
    fold_step: int
    pow_bits: int
    log_last_layer: int

    @property
    def label(self) -> str:
        """Its text in the legend."""
        last = f", last 2^{self.log_last_layer}" if self.log_last_layer else ""
        return (
            f"{1 << self.log_blowup}x, {self.n_queries} q, fold {self.fold_step}, "
            f"PoW {self.pow_bits}{last}"
        )


Rows = dict[Line, dict[int, dict[str, Any]]]


def load() -> tuple[str, Rows]:
    """AIR and rows by configuration and log size; the last row of a configuration counts."""
    path = Path(FLAGS.input)
    lines: Rows = defaultdict(dict)
    found = [r for r in _record.read_records(path) if r.get("experiment") == "sweep"]
    found = [r for r in found if r.get("verified") is True]
    airs = sorted({r["air"] for r in found})
    if FLAGS.air is not None:
        airs = [a for a in airs if a == FLAGS.air]
    if len(airs) != 1:
        named = ", ".join(airs) or "none"
        raise _script.UsageError(f"{path}: expected rows of one AIR (--air), got {named}")
    for row in found:
        if row["air"] == airs[0]:
            p = row["params"]
            line = Line(*(p[name] for name in Line._fields))
            lines[line][row["log_size"]] = row
    if len(lines) > MAX_LINES:
        raise _script.UsageError(
            f"{path}: expected at most {MAX_LINES} configurations in one picture, got {len(lines)}"
        )
    return airs[0], dict(sorted(lines.items()))


def draw(air: str, rows: Rows, out: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    blowups = sorted({line.log_blowup for line in rows})
    folds = sorted({line.fold_step for line in rows})
    colours = plt.get_cmap("viridis")
    queries = {b: sorted({ln.n_queries for ln in rows if ln.log_blowup == b}) for b in blowups}

    def style(line: Line) -> dict[str, Any]:
        rank = blowups.index(line.log_blowup) / max(1, len(blowups) - 1)
        dashes = DASHES[queries[line.log_blowup].index(line.n_queries) % len(DASHES)]
        marker = MARKERS[folds.index(line.fold_step) % len(MARKERS)]
        return {"color": colours(0.85 * rank), "marker": marker, "linestyle": dashes, "ms": 5}

    height = max(5.0, 0.27 * len(rows) + 2.2)
    figure, (size, time, bits) = plt.subplots(
        1, 3, figsize=(16, height), layout="constrained", width_ratios=(1, 1, 1.25)
    )
    for line, by_size in rows.items():
        at = sorted(by_size)
        size.plot(at, [by_size[k]["bytes"]["binary"] / 1000 for k in at], **style(line))
        warm = [1000 * by_size[k]["seconds"]["warm"]["median"] for k in at]
        time.plot(at, warm, label=line.label, **style(line))
    log_sizes = sorted({k for by_size in rows.values() for k in by_size})
    for axes, title, unit in (
        (size, "size of the binary proof", "kB"),
        (time, "warm proving time, without proof of work", "ms"),
    ):
        axes.set(title=title, xlabel="log2 of the rows", ylabel=unit, xticks=log_sizes)
        axes.grid(alpha=0.3)
    size.set_ylim(bottom=0)
    time.set_yscale("log")
    time.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    time.yaxis.set_major_formatter("{x:g}")
    time.yaxis.set_minor_formatter(ticker.NullFormatter())
    figure.legend(
        *time.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8
    )

    for y, by_size in enumerate(rows.values()):
        report = by_size[max(by_size)]["security"]
        totals = [report[name]["total"] for name in REGIMES]
        bits.plot([min(totals), max(totals)], [y, y], color="0.8", zorder=1)
        for index, (name, marker) in enumerate(REGIMES.items()):
            bits.scatter(
                [report[name]["total"]],
                [y],
                marker=marker,
                s=34,
                color=f"C{index}",
                label=f"{name} ({report[name]['status']})" if y == 0 else None,
                zorder=2,
            )
    bits.set_yticks(range(len(rows)), [line.label for line in rows], fontsize=8)
    bits.set_ylim(-0.7, 1.18 * len(rows) + 0.3)  # room for the legend
    bits.set_xlim(left=0)
    bits.set(title=f"security at 2^{max(log_sizes)} rows: least term", xlabel="bits")
    bits.grid(axis="x", alpha=0.3)
    bits.legend(fontsize=8, loc="upper left", framealpha=0.9)
    environment = next(iter(next(iter(rows.values())).values()))["environment"]
    platform = environment.get("platform")
    device = environment.get("cpu_model" if platform == "cpu" else "device_kind")
    figure.suptitle(f"{air}, {environment.get('cpu_count')} cores, {device}")
    figure.savefig(out, dpi=FLAGS.dpi)
    plt.close(figure)


def main() -> int:
    out = Path(FLAGS.out)
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise _script.UsageError(f"--out: expected a .png, .svg or .pdf file, got {out.name!r}")
    air, rows = load()
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(air, rows, out)
    points = sum(map(len, rows.values()))
    print(f"{points} proofs of {air}, {len(rows)} configurations: {out}")
    _record.last_line(
        {
            "experiment": "plot",
            "input": FLAGS.input,
            "out": str(out),
            "air": air,
            "configurations": len(rows),
            "points": points,
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
