"""Templates, and tables whose numbers are aligned at the point and never cut.

Every text goes through Jinja's escaping. Invisible characters and those that change the direction of text are shown escaped,
as on a terminal, so that two names that differ look different.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, TypeAlias

from jinja2 import DictLoader, Environment, StrictUndefined

from cli.page.drawing import Chart
from cli.shared.output import harmless
from engine.reports import report
from engine.reports.report import NOTHING, UNKNOWN, Figures, Report, Table, age, counted

MOST_PAD = 40
# So long a text stands on one line: a generated key, which is a UUID behind a word, breaks into five lines otherwise.
SHORT = 48
# A difference or a rate, which its report has made a text of.
_SIGNED = re.compile(r"[+-]?\d+\.\d+( %)?", re.ASCII)
STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
Links: TypeAlias = Mapping[str, Callable[[Any], str]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    text:    as people read it
    kind:    `number`, `time`, `short` or `long` for a text, or `none`
    pad:     for a number, how many digits it lacks after the point, the point included
    link:    where it leads; None for nowhere
    is_low:  whether it is a number below 0
    """

    text: str
    kind: str
    pad: int = 0
    link: str | None = None
    is_low: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table to be shown.

    columns:  each with whether it is of numbers
    rows:     the cells
    caption:  what it is of, for those who cannot see where it stands
    """

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    caption: str


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a report: one of these, the others None.

    line:     a sentence
    figures:  names and their values, aligned
    grid:     a table
    """

    line: str | None = None
    figures: Sequence[tuple[str, Cell]] | None = None
    grid: Grid | None = None

    def cut(self, skip: int, most: int) -> Block:
        """The block with at most so many of the rows of its table, after the first `skip`."""
        if self.grid is None or len(self.grid.rows) <= most:
            return self
        return Block(grid=Grid(self.grid.columns, self.grid.rows[skip : skip + most], self.grid.caption))


def blocks(found: Report, caption: str, links: Links | None = None) -> list[Block]:
    """What a report says to people. `caption`: of its tables."""
    made = []
    for block in found.body:
        match block:
            case Table():
                made.append(Block(grid=grid(block, caption, links)))
            case Figures():
                made.append(Block(figures=figures(block)))
            case str():
                made.append(Block(line=block))
    return made


def figures(block: Figures) -> list[tuple[str, Cell]]:
    """Names and values, the numbers aligned at the point."""
    column = grid(Table(("value",), [(value,) for _, value in block.items]), "Figures").rows
    return [(name, cell) for (name, _), (cell,) in zip(block.items, column, strict=True)]


def grid(table: Table, caption: str, links: Links | None = None) -> Grid:
    """A table as it is shown. `links`: by column, where a value leads."""
    rows = [list(row) for row in table.rows]
    cells = [[_cell(value, name, links or {}) for name, value in zip(table.columns, row, strict=True)] for row in rows]
    columns = []
    for index, name in enumerate(table.columns):
        column = [row[index] for row in cells]
        is_numeric = any(cell.kind == "number" for cell in column)
        columns.append((name.replace("_", " "), is_numeric))
        if is_numeric:
            widest = max(_decimals(cell) for cell in column if cell.kind == "number")
            for row in cells:
                row[index] = _padded(row[index], widest)
    return Grid(columns, cells, caption)


def _decimals(cell: Cell) -> int:
    """How many places a number takes from its point on."""
    _, point, decimals = cell.text.partition(".")
    return len(point) + len(decimals)


def _padded(cell: Cell, widest: int) -> Cell:
    if cell.kind != "number":
        return cell
    pad = min(widest - _decimals(cell), MOST_PAD)
    return Cell(cell.text, cell.kind, pad, cell.link, cell.is_low)


def _cell(value: Any, column: str, links: Links) -> Cell:
    text = shown(value)
    if value is None or value == "":
        return Cell(NOTHING, "none")
    link = links[column](value) if column in links else None
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return Cell(text, "number", link=link, is_low=value < 0)
    if isinstance(value, str) and _SIGNED.fullmatch(value):
        return Cell(text, "number", link=link, is_low=value.startswith("-"))
    if value == UNKNOWN:
        return Cell(text, "none", link=link)
    return Cell(text, "time" if isinstance(value, datetime) else "short" if len(text) <= SHORT else "long", link=link)


def shown(value: Any) -> str:
    """A value as people read it, harmless; a list on one line."""
    if isinstance(value, list | tuple):
        return ", ".join(shown(each) for each in value)
    return harmless(report.shown(value))


def chart_rows(of: Chart, numeraire: str) -> Grid:
    """Some points of a chart as a table."""
    rows = [(at, *map(report.or_unknown, figures)) for at, *figures in of.rows]
    columns = ("at", f"equity, {numeraire}", "net basis", "equity − net basis")
    return grid(Table(columns, rows), "The chart in figures")


@cache
def environment() -> Environment:
    """The templates; every text is escaped, and a name that is not there is an error."""
    texts = {entry.name: entry.read_text("utf-8") for entry in files("cli.page").joinpath("templates").iterdir()}
    made = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["shown"] = shown
    made.filters["harmless"] = harmless
    made.globals["age"] = age
    made.globals["counted"] = counted
    made.globals["chart_rows"] = chart_rows
    made.globals["static"] = static_address
    made.globals["version"] = version("netbasis")
    return made


@cache
def static(name: str) -> bytes:
    """The bytes of a style sheet or a script."""
    return files("cli.page").joinpath("static", name).read_bytes()


@cache
def static_address(name: str) -> str:
    """Its address, which names its content: a browser may keep it for good."""
    return f"/static/{hashlib.sha256(static(name)).hexdigest()[:16]}/{name}"
