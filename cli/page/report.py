"""A period as one file to send: the page's own templates and styles, all in it, and nothing that is loaded or run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from markupsafe import Markup

from cli.page.asking import PageRequest
from cli.page.drawing import MOST_MARKERS, MOST_POINTS, chart
from cli.page.log import basis_table
from cli.page.now import tiles
from cli.page.rendering import Block, blocks, environment, grid, static
from engine.columns.choosing import fold_of
from engine.cost_basis import CostMethod
from engine.pool import pnl_of_period
from engine.proof.check import LedgerReport
from engine.reports.balances import balance_table
from engine.reports.capital import movements
from engine.reports.findings import finding_line
from engine.reports.gains import gains, income
from engine.reports.history import History
from engine.reports.profit import period_report
from engine.reports.returns import returns
from engine.views import Moment, audit_basis
from ledger import store
from ledger.database.connections import Database
from ledger.progress import OnProgress

MOST_FINDINGS = 100
_EVENTS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is of.

    book:        its name
    start, end:  `start` ≤ `at` < `end`, UTC; None for no limit
    known_at:    what had been recorded by then; None for all
    method:      how cost basis is counted
    zone:        of days and months
    said:        the period in the words of whoever asked for it
    """

    book: str
    start: datetime | None
    end: datetime | None
    known_at: datetime | None
    method: CostMethod
    zone: tzinfo
    said: str


def report_page(
    database: Database, of: Period, checked: LedgerReport, *, now: datetime, on_progress: OnProgress | None = None
) -> str:
    """The file. `checked`: what a check of the ledger has found. Raises Refused `book_unknown`; StorageError."""
    moment = Moment(known_at=of.known_at, before=of.end)
    with database.reading() as connection:
        book, head = store.require_book(connection, of.book)
    found = pnl_of_period(
        database, [of.book], of.start, of.end, of.known_at, {}, now=now, fold_of=fold_of(database, "auto")
    )
    history = History(book, moment)
    while history.take_in(database, _EVENTS_AT_ONCE):
        if on_progress is not None:
            on_progress(history.version)
    points = history.points(start=of.start, end=of.end, now=now, most=MOST_POINTS)
    moved = movements(database, of.book, moment, start=of.start, end=of.end, most=MOST_MARKERS)
    times: Any = {"start": of.start, "end": of.end, "known_at": of.known_at, "now": now}
    earned = income(database, [of.book], **times)
    rows = [row for row in audit_basis(database, of.book, moment).rows if of.start is None or row.at >= of.start]
    style = _sealed("page.css")
    return (
        environment()
        .get_template("report.html")
        .render(
            {
                "asked": PageRequest("", {}, now, of.zone),
                "title": f"Report, {of.said}",
                "book": book,
                "head": head,
                "last": None,
                "pages": {},
                "is_report": True,
                "said": of.said,
                "style": style[0],
                "style_digest": style[1],
                "tiles": tiles(found.end),
                "period": blocks(period_report(found, of.start, of.end), "Figures of the period"),
                "balances": grid(balance_table(found.pool.state.inventory), "Balances at the end"),
                "chart": chart(points, moved, book.numeraire),
                "capital": grid(basis_table(rows), "Capital movements"),
                "gains": blocks(gains(database, [of.book], of.method, **times, zone=of.zone), "Gains"),
                "income": blocks(earned, "Income") if earned.rows is not None and earned.rows.rows else [],
                "returns": blocks(returns(database, [of.book], **times), "Periods between capital movements"),
                "check": _outcome(checked),
            }
        )
    )


def _sealed(name: str) -> tuple[Markup, str]:
    """A style sheet to stand in the file, and the digest by which the file's own policy lets it."""
    text = static(name).decode()
    assert "</" not in text
    return Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()  # noqa: S704 - it is ours


def _outcome(checked: LedgerReport) -> dict[str, Any]:
    found = [*checked.findings, *(finding for book in checked.books for finding in book.findings)]
    lines: Sequence[Block] = [Block(line=finding_line(finding)) for finding in found[:MOST_FINDINGS]]
    notes = [note for book in checked.books for note in book.notes]
    return {"is_ok": checked.ok, "count": len(found), "lines": lines, "notes": notes[:MOST_FINDINGS]}
