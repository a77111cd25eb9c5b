"""The picture of the economics: cost of a proof by part, and over the proofs made in an hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
from _economics import HOUR, Cost, Prices  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib import ticker  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

POINTS = 60
MAX_CURVES = 10


class Line(NamedTuple):
    """A row of the picture; ``published`` ones are not measured here."""

    label: str
    cost: Cost
    published: bool


def draw(lines: Sequence[Line], prices: Prices, title: str, out: Path, dpi: int) -> None:
    """Write the picture; axes are logarithmic, since device and chain differ by orders."""
    height = max(4.5, 0.3 * len(lines) + 2.2)
    figure, (parts, curves) = plt.subplots(
        1, 2, figsize=(15, height), layout="constrained", width_ratios=(1.15, 1)
    )
    _parts(parts, lines)
    _curves(curves, [line for line in lines if not line.published], prices)
    figure.suptitle(title, fontsize=10)
    figure.savefig(out, dpi=dpi)
    plt.close(figure)


def _parts(axes: Axes, lines: Sequence[Line]) -> None:
    places = range(len(lines))
    kinds = (("device", "o", "C0"), ("chain", "s", "C1"), ("total", "|", "black"))
    for name, marker, colour in kinds:
        values = [getattr(line.cost, f"{name}_usd") for line in lines]
        points = [(value, at) for value, at in zip(values, places, strict=True) if value]
        if points:
            size = 120 if marker == "|" else 28
            axes.scatter(*zip(*points, strict=True), s=size, marker=marker, c=colour, label=name)
    axes.set_yticks(places, [line.label for line in lines], fontsize=8)
    axes.invert_yaxis()
    axes.set(title="cost of a proof", xlabel="USD", xscale="log")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _curves(axes: Axes, lines: Sequence[Line], prices: Prices) -> None:
    """Cost when so many proofs are made in an hour of the device, up to all that it can make."""
    for i, line in enumerate(lines[:MAX_CURVES]):
        most = HOUR / line.cost.seconds
        rates = [most ** (k / (POINTS - 1)) for k in range(POINTS)]
        chain = line.cost.chain_usd or 0.0
        costs = [prices.device_per_hour_usd / rate + chain for rate in rates]
        axes.plot(rates, costs, color=f"C{i % 10}", label=line.label)
        axes.plot(rates[-1:], costs[-1:], "o", color=f"C{i % 10}", ms=5)
    if prices.charge_usd is not None:
        axes.axhline(prices.charge_usd, color="black", ls="--", lw=1, label="charged")
    without = any(line.cost.chain_usd is None for line in lines)
    more = f", the first {MAX_CURVES} of {len(lines)} rows" if len(lines) > MAX_CURVES else ""
    axes.set(
        title="device paid by the hour" + (", without chain" if without else "") + more,
        xlabel="proofs an hour (dot: all that the device makes)",
        ylabel="USD for a proof",
        xscale="log",
        yscale="log",
    )
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
