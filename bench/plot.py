"""The cost of an event by the size of the log, on two logarithmic axes: a level line is linear time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.report import Line

MICROSECONDS = 1_000_000


def draw(path: Path, by_size: Sequence[tuple[int, Sequence[Line]]]) -> None:
    """Draw every rate that was measured at each size, as microseconds an event, with what stood beside it."""
    from matplotlib.figure import Figure

    curves: dict[str, list[tuple[int, float]]] = {}
    for size, lines in by_size:
        for line in lines:
            if line.unit == "per s":
                curves.setdefault(line.what, []).append((size, MICROSECONDS / line.netbasis))
                curves.setdefault(line.beside_what, []).append((size, MICROSECONDS / line.beside))
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel="events in the log", ylabel="µs an event")
    for name, points in curves.items():
        sizes, costs = zip(*dict(points).items(), strict=True)
        is_beside = any(line.beside_what == name for _, lines in by_size for line in lines)
        axes.plot(sizes, costs, marker="o", linestyle="--" if is_beside else "-", label=name)
    axes.grid(which="both", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
