"""The picture of a results file: stage times of legacy26 against the limit, and whole proofs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from _benchmark import KERNELS, MEASURED, backend, value  # noqa: E402
from _benchmark_tables import planned_stages  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402

COLUMNS = 3
PARAMS = "stwo-96"


def draw(rows: Sequence[dict[str, Any]], out: Path) -> bool:
    """Write the picture; False if there is nothing to draw.

    Rows of ``stwo-96`` with a resident trace and kept evaluations are drawn, or, if there are none,
    of the parameters that the file has, and of one backend: kernels if there are such rows, or the
    last one. Stages are those of the device's transcript, from a profile, or else of the host's.
    """
    chosen = [
        row
        for row in rows
        if row["status"] == MEASURED
        and (row["section"], row["workload"]) == ("proof", "legacy26")
        and row["source"] == "device"
        and value(row, "keep_evaluations")
    ]
    names = list(dict.fromkeys(row["params"] for row in chosen))
    if not names:
        return False
    params = PARAMS if PARAMS in names else names[-1]
    chosen = [row for row in chosen if row["params"] == params]
    backends = [backend(row) for row in chosen]
    drawn = KERNELS if KERNELS in backends else backends[-1]
    chosen = [row for row in chosen if backend(row) == drawn]
    staged = {r["log_size"]: r for r in chosen if r["transcript"] == "host"}
    staged |= {r["log_size"]: r for r in chosen if r["seconds"].get("stages_from") == "profile"}
    panels = len(staged) + 1
    lines = -(-panels // COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(6 * COLUMNS, 3.6 * lines), layout="constrained", squeeze=False
    )
    flat = list(axes.flat)
    for panel, (log_size, row) in zip(flat, sorted(staged.items()), strict=False):
        _stages(panel, log_size, row)
    _sizes(flat[len(staged)], chosen)
    for panel in flat[panels:]:
        panel.axis("off")
    last = chosen[-1]
    figure.suptitle(f"legacy26, {params}, trace resident; {backend(last)}, {last['device']}")
    figure.savefig(out, dpi=110)
    plt.close(figure)
    return True


def _stages(axes: Any, log_size: int, row: dict[str, Any]) -> None:
    """Bars of a row's stages, and marks for their limits."""
    times = {name: 1000 * seconds for name, seconds in planned_stages(row).items()}
    times.pop("grinding (expected)", None)  # without proof of work
    names = list(times)
    axes.barh(names, [times[name] for name in names], color="C0", label="measured")
    limits = [(i, 1000 * row["limit"]["stages"].get(name, 0)) for i, name in enumerate(names)]
    marks = [(i, least) for i, least in limits if least]
    axes.plot(
        [least for _, least in marks], [i for i, _ in marks], "D", color="C3", ms=5, label="limit"
    )
    warm = 1000 * row["seconds"]["warm"]["median"]
    total = 1000 * row["seconds"]["stages_sum"]
    axes.set(
        title=f"2^{log_size}: sum {total:.3g} ms, proof {warm:.3g} ms",
        xlabel="ms",
        xscale="log",
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _sizes(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Whole proofs over the size, beside limit and target."""
    for transcript in sorted({row["transcript"] for row in rows}):
        points = {r["log_size"]: r for r in rows if r["transcript"] == transcript}
        at = sorted(points)
        warm = [1000 * points[k]["seconds"]["warm"]["median"] for k in at]
        axes.plot(at, warm, "o-", label=f"{transcript} transcript")
    points = {row["log_size"]: row for row in rows}
    at = sorted(points)
    axes.plot(at, [1000 * points[k]["limit"]["seconds"] for k in at], "D--", label="limit")
    aims = [(k, 1000 * points[k]["target"]["seconds"]) for k in at if points[k]["target"]]
    if aims:
        axes.plot(*zip(*aims, strict=True), "_", ms=16, mew=2, color="black", label="target")
    axes.set(
        title="warm proofs, without proof of work",
        xlabel="log2 of the rows",
        ylabel="ms",
        yscale="log",
        xticks=at,
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
