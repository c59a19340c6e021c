"""The pages about what is: the desk, a book at a moment, its exposure, and the last check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from cli.page.asking import PageRequest
from cli.page.drawing import MOST_MARKERS, MOST_POINTS, Chart, chart
from cli.page.rendering import Grid, grid
from cli.page.site import FOLDED, Site, SiteCache, require_short
from engine.bookkeeper import View
from engine.columns.choosing import fold_of
from engine.reports.balances import balance_table
from engine.reports.books import books_report
from engine.reports.capital import movements
from engine.reports.exposure import exposure_blocks, exposure_document, trace_of
from engine.reports.findings import COLUMNS as FINDING_COLUMNS
from engine.reports.inbox import waiting_in, waiting_lines
from engine.reports.profit import shown_figures, valued_at
from engine.reports.report import Table, age
from engine.views import Moment, view_at
from ledger import store
from ledger.stored import StoredEvent
from projections.pnl import Pnl, pnl

BIG = ("net_deposits", "total_value", "total_pnl", "trading_value")
MOST_FINDINGS = 500


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure. `value` is None when it is unknown, and `why` says why; `is_big`: whether it is one of the first four."""

    label: str
    value: Decimal | None
    why: str | None
    is_big: bool


def tiles(figures: Pnl) -> list[Tile]:
    """The figures of a book, the first four of them big."""
    why = None
    if figures.missing_marks:
        why = f"for want of a mark: {', '.join(figures.missing_marks)}"
    elif figures.retained_profit is None:
        why = "a deposit's basis is unknown"
    names = [*BIG, *(name for name in shown_figures(figures) if name not in BIG)]
    found = []
    for name in names:
        value = getattr(figures, name)
        found.append(Tile(name.replace("_", " "), value, why if value is None else None, name in BIG))
    return found


def read_view(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> View:
    """A book at the moment that is asked for. Raises Refused; StorageError; TooLong; Busy."""
    moment = asked.moment()
    if moment.is_now:
        return view_at(site.database, name, moment, now=asked.now)
    if not site.is_sealed(name):
        _, head = site.terms(name)
        require_short(moment.version_of(head), FOLDED, "netbasis pnl --as-of …")
    with kept.heavy():
        return view_at(site.database, name, moment, now=asked.now, fold_of=fold_of(site.database, "auto"))


def overview(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """A book at a moment: its figures, balances, marks, course and exposure."""
    view = read_view(site, kept, asked, name)
    moment = asked.moment()
    at = valued_at(moment, asked.now)
    figures = pnl(view.state, view.state.marks, view.book.numeraire)
    drawn, read = draw(site, kept, asked, name, moment) if may_draw(view, moment) else (None, 0)
    return {
        "view": view,
        "tiles": tiles(figures),
        "figures": figures,
        "balances": grid(
            balance_table(view.state.inventory),
            "Balances",
            {"asset": lambda asset: asked.link("/register", asset=asset)},
        ),
        "marks": grid(_marks(view, at), "Marks", {"version": lambda version: asked.link("/event", version=version)}),
        "chart": drawn,
        "may_draw": may_draw(view, moment),
        "chart_read": read,
        "newest": _newest(site, name, view),
        "at": at,
        "waiting": list(waiting_lines(waiting_in(site.database, [view.book]))),
        "exposure": None if site.strategy is None else exposure_document(trace_of(view, site.strategy)),
    }


def may_draw(view: View, moment: Moment) -> bool:
    """Whether the course up to a moment is read for a request; that of the present is kept."""
    return moment.is_now or moment.version_of(view.head) <= FOLDED


def draw(site: Site, kept: SiteCache, asked: PageRequest, name: str, moment: Moment) -> tuple[Chart | None, int]:
    """The chart of a book, and the version up to which its course was read."""
    start, end = asked.start(), asked.end()
    with kept.history(name, moment) as history:
        points = history.points(start=start, end=end, now=asked.now, most=MOST_POINTS)
        read, numeraire = history.version, history.book.numeraire
    moved = movements(site.database, name, moment, start=start, end=end, most=MOST_MARKERS)
    return chart(points, moved, numeraire), read


def _newest(site: Site, name: str, view: View) -> StoredEvent | None:
    with site.database.reading() as connection:
        return store.find_event(connection, name, view.state.version)


def _marks(view: View, now: datetime) -> Table:
    rows = [
        (asset, mark.price, age(now, mark.at), mark.at, mark.source, mark.version)
        for asset, mark in sorted(view.state.marks.items())
    ]
    return Table(("asset", "price", "age", "at", "source", "version"), rows)


def desk(site: Site, asked: PageRequest) -> dict[str, Any]:
    """All books, and the totals of the desk."""
    report = books_report(site.database, now=asked.now)
    document: Any = report.document
    shown = [each for each in document["books"] if site.book in (None, each["book"])]
    columns = (
        "book",
        "mode",
        "numeraire",
        "version",
        "newest_at",
        *BIG,
        "net_basis",
        "retained_profit",
        "withdrawn_profit",
    )
    rows = [[each[column] for column in columns] for each in shown]
    figures = (*BIG, "net_basis", "retained_profit", "withdrawn_profit")
    totals = [_totals(each, figures) for each in document["desks"]] if site.book is None else []
    return {
        "books": grid(Table(columns, rows), "Books", {"book": lambda name: asked.link("/", book=name)}),
        "holdings": [(each["book"], _holdings(each, asked), each["missing_marks"]) for each in shown],
        "desks": totals,
    }


def _totals(of: dict[str, Any], figures: Sequence[str]) -> dict[str, Any]:
    rows = [[of[name] for name in figures]]
    balances = Table(("asset", "total"), [(each["asset"], each["total"]) for each in of["balances"]])
    title = f"{of['mode']}, in {of['numeraire']}"
    return {
        "title": title,
        "books": of["books"],
        "figures": grid(Table(figures, rows), f"Totals: {title}"),
        "balances": grid(balances, f"Balances: {title}"),
        "missing": of["missing_marks"],
    }


def _holdings(of: dict[str, Any], asked: PageRequest) -> Grid:
    rows = [(each["asset"], each["total"]) for each in of["balances"] if each["total"]]
    links = {"asset": lambda asset: asked.link("/register", book=of["book"], asset=asset)}
    return grid(Table(("asset", "total"), rows), f"Balances of {of['book']}", links)


def exposure(site: Site, kept: SiteCache, asked: PageRequest, name: str) -> dict[str, Any]:
    """The exposure gate at a moment; nothing without a strategy's configuration."""
    view = read_view(site, kept, asked, name)
    if site.strategy is None:
        return {"view": view, "exposure": None, "blocks": []}
    found = trace_of(view, site.strategy)
    return {"view": view, "exposure": exposure_document(found), "blocks": list(exposure_blocks(found, view))}


def last_check(site: Site, kept: SiteCache, asked: PageRequest) -> dict[str, Any]:
    """What the last check has found, of the ledger and of each book."""
    last = kept.last_check
    found = None if last is None else last.found
    parts = [] if found is None else list(_parts(found, asked))
    return {
        "last": last,
        "since": kept.checking_since,
        "parts_found": parts,
        "is_ok": found is not None and found.ok,
        "most": MOST_FINDINGS,
    }


def _parts(found: Any, asked: PageRequest) -> Iterator[dict[str, Any]]:
    if found.findings:
        yield {"title": "The ledger", "head": None, "notes": [], **_findings(found.findings, "The ledger", asked, None)}
    for book in found.books:
        title = book.book or "No book"
        yield {
            "title": title,
            "head": book.head,
            "notes": book.notes,
            **_findings(book.findings, title, asked, book.book),
        }


def _findings(found: Sequence[Any], title: str, asked: PageRequest, book: str | None) -> dict[str, Any]:
    rows = [[getattr(finding, column) for column in FINDING_COLUMNS] for finding in found[:MOST_FINDINGS]]
    links = {"version": lambda version: asked.link("/event", book=book, version=version)} if book else {}
    return {"count": len(found), "findings": grid(Table(FINDING_COLUMNS, rows), f"Findings: {title}", links)}
