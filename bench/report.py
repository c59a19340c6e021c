"""What a measurement yields, and the table of all of them."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["ms", "per s", "MiB"]


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of netbasis and, from the same run, the figure beside it that says what the machine can do."""

    what: str
    netbasis: float
    unit: Unit
    beside_what: str
    beside: float

    @property
    def ratio(self) -> float:
        """How many times the cost of what stands beside it; of two rates the inverse."""
        return self.beside / self.netbasis if self.unit == "per s" else self.netbasis / self.beside


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def table(lines: Sequence[Line]) -> Iterator[str]:
    """The lines of the table, aligned."""
    header = ("", "netbasis", "beside it", "", "ratio")
    cells = [
        (
            line.what,
            _figure(line.netbasis, line.unit),
            _figure(line.beside, line.unit),
            line.beside_what,
            f"{line.ratio:.2f}",
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [header, *cells]) for column in range(len(header))]
    for what, netbasis, beside, beside_what, ratio in [header, *cells]:
        yield "  ".join(
            (
                what.ljust(widths[0]),
                netbasis.rjust(widths[1]),
                beside.rjust(widths[2]),
                beside_what.ljust(widths[3]),
                ratio.rjust(widths[4]),
            )
        )


def _figure(figure: float, unit: Unit) -> str:
    return f"{figure:,.{0 if unit == 'per s' else 2 if unit == 'ms' else 1}f} {unit}"
