"""A picture of a book: equity and net basis over time, the capital movements, and below them what lies between the two.

A deposit moves both lines and not the one below; when equity moves alone, that is profit or loss. Time is `at`; equity is
drawn from when every asset held has a mark. Needs matplotlib, the extra `plot`.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from sqlalchemy import Connection, Row, and_, func, select

from engine.bookkeeper import utc_now
from engine.reports.history import Point, equity_of, postings_of
from engine.reports.summarising import Summary
from ledger import store
from ledger.amounts import ZERO, add, shown_amount
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.times import CLOCK_TOLERANCE
from projections.basis import is_initial_basis

# More points than the picture has pixels across draw nothing more.
MAX_POINTS = 2000
# More labels than this would hide the lines.
MAX_LABELS = 12
_INCHES, _DOTS_PER_INCH = (11, 6.5), 110
_UNKNOWN = Decimal("NaN")
# Colours that people with any colour vision tell apart (Okabe and Ito), and shapes for who sees none.
_EQUITY, _BASIS, _PROFIT, _SHADE = "#0072B2", "#D55E00", "#333333", "#999999"
_MARKERS = {"deposit": ("^", "#009E73"), "withdrawal": ("v", "#CC79A7"), "basis_commit": ("D", "#56B4E9")}


@dataclass(frozen=True, slots=True)
class CapitalPoint(Point):
    """A book after what had happened by `at`; in the numeraire.

    capital:  the type of the capital event that it is, a reversal's being the reversed event's; None for others
    moved:    what that event moved
    """

    capital: str | None = None
    moved: Decimal = ZERO


def points(
    rows: Iterable[Row[Any]], numeraire: str, reversed_marks: Container[int] = frozenset()
) -> Iterator[CapitalPoint]:
    """A point for each event that moves equity or basis; rows in order of time, then version."""
    balances: dict[str, Decimal] = {}
    marks: dict[str, Decimal] = {numeraire: Decimal(1)}
    net_basis, unknown_bases = ZERO, 0
    initial_bases: set[int] = set()
    for row in rows:
        if row.type == "mark" and row.version not in reversed_marks:
            marks[row.asset] = row.price
        for asset, delta in postings_of(row):
            balances[asset] = add(balances.get(asset, ZERO), delta)
        net_basis = add(net_basis, row.basis_delta)
        unknown_bases += row.unknown_bases
        if is_initial_basis(row.type, row.key):
            initial_bases.add(row.version)
        initial_bases.discard(row.reverses)
        is_capital = row.effect_of in _MARKERS
        moved = row.basis_delta if row.effect_of == "basis_commit" else row.net_deposits_delta
        capital = row.effect_of if is_capital else None
        is_known = unknown_bases == 0 or bool(initial_bases)
        yield CapitalPoint(row.at, equity_of(balances, marks), net_basis, is_known, capital, moved)


def curve(connection: Connection, book: str, numeraire: str) -> list[CapitalPoint]:
    """The points of a book, in order of time: all capital movements, and of the others the last in each stretch.

    A stretch is the 2000th part of the time that the book spans, so memory is bounded by that and by capital.
    """
    # The opening moves nothing, and is as a rule later than the tape of a paper session.
    is_ahead = and_(events.c.type == "mark", events.c.at > utc_now() + CLOCK_TOLERANCE)
    moves = and_(events.c.book == book, events.c.type != "opened", ~is_ahead)
    first, last = connection.execute(select(func.min(events.c.at), func.max(events.c.at)).where(moves)).one()
    if first is None:
        return []
    stretch = max((last - first) / MAX_POINTS, timedelta(microseconds=1))
    reversed_marks = store.reversed_marks(connection, book)
    query = select(events).where(moves).order_by(events.c.at, events.c.version)
    kept: list[CapitalPoint] = []
    previous = None
    for point in points(store.stream(connection, query), numeraire, reversed_marks):
        number = (point.at - first) // stretch
        if kept and previous == number and kept[-1].capital is None:
            kept.pop()
        kept.append(point)
        previous = number
    return kept


def draw(database: Database, summary: Summary, picture: Path) -> None:
    """Draw the book of a summary; the time of the session's or strategy's fills stands out. The suffix is the format's.

    Raises StorageError; OSError when the picture cannot be written.
    """
    book, fills = summary.view.book, summary.fills
    with database.reading() as connection:
        found = [point for point in curve(connection, book.name, book.numeraire) if _is_in(point.at, summary)]
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    worth, profit = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_lines(worth, profit, found)
    _draw_capital(worth, [point for point in found if point.capital is not None], book.numeraire)
    parts = [f"{kind} {name}" for kind, name in (("session", summary.session), ("strategy", summary.strategy)) if name]
    if parts and fills.count:
        span: tuple[Any, Any] = fills.first_at, fills.last_at
        worth.axvspan(*span, color=_SHADE, alpha=0.15, label="its fills")
        profit.axvspan(*span, color=_SHADE, alpha=0.15)
    # A name is never taken for a formula.
    worth.set_title(", ".join([f"{book.name} ({book.mode})", *parts]), loc="left", parse_math=False)
    worth.legend(frameon=False)
    for axes in (worth, profit):
        axes.set_ylabel(book.numeraire, parse_math=False)
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator(tz="UTC")  # type: ignore[no-untyped-call] # without annotations in the library
    profit.xaxis.set_major_locator(locator)
    profit.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]
    profit.set_xlabel("UTC")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name may have signs that the font lacks
        figure.savefig(picture)


def _is_in(at: datetime, summary: Summary) -> bool:
    """Whether a time is in the period of a summary."""
    return (summary.start is None or at >= summary.start) and (summary.end is None or at < summary.end)


def _draw_lines(worth: Axes, profit: Axes, found: list[CapitalPoint]) -> None:
    times: Any = [point.at for point in found]
    # Decimals all the way: the library makes of them the places on the picture.
    equity: Any = [_UNKNOWN if point.equity is None else point.equity for point in found]
    basis: Any = [point.net_basis for point in found]
    gained: Any = [_UNKNOWN if point.profit is None else point.profit for point in found]
    worth.step(times, equity, where="post", color=_EQUITY, linewidth=1.4, label="equity (total value)")
    worth.step(times, basis, where="post", color=_BASIS, linewidth=1.4, linestyle="--", label="net basis")
    profit.step(times, gained, where="post", color=_PROFIT, linewidth=1.2)
    profit.axhline(0, color="black", linewidth=0.6)
    profit.set_title("equity − net basis", loc="left", fontsize=9)


def _draw_capital(axes: Axes, moved: list[CapitalPoint], numeraire: str) -> None:
    for capital, (marker, color) in _MARKERS.items():
        of_type = [point for point in moved if point.capital == capital]
        if of_type:
            times: Any = [point.at for point in of_type]
            basis: Any = [point.net_basis for point in of_type]
            label = capital.replace("_", " ")
            axes.scatter(times, basis, marker=marker, s=70, color=color, edgecolor="black", zorder=3, label=label)
    if len(moved) <= MAX_LABELS:
        for point in moved:
            sign = "+" if point.moved > 0 else ""
            place: Any = (point.at, point.net_basis)
            text = f"{sign}{shown_amount(point.moved)} {numeraire}"
            axes.annotate(text, place, xytext=(6, 8), textcoords="offset points", fontsize=8, parse_math=False)
