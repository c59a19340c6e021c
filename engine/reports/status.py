"""`status`: what a desk watches of each book, for people, for programs, and for Prometheus (`engine.reports.prometheus`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from engine.reports.books import BookNow, balances_of, book_now
from engine.reports.inbox import waiting_document, waiting_lines
from engine.reports.profit import FIGURES, figure_items
from engine.reports.report import Block, Figures, Report, Table, age, counted, shown
from ledger import store
from ledger.database.connections import Database


def read_status(database: Database, name: str | None, now: datetime) -> list[BookNow]:
    """One book, or for None all of them, read in one transaction. Raises Refused `book_unknown`; StorageError."""
    with database.reading() as connection:
        if name is not None:
            store.require_book(connection, name)
        names = store.book_names(connection) if name is None else [name]
        return [book_now(connection, each, now) for each in names]


def status_report(found: Sequence[BookNow], now: datetime) -> Report:
    """What `read_status` has found; ages are as of `now`."""
    documents = [_document(book, now) for book in found]
    rows = Table(tuple(documents[0]) if documents else ("book",), [tuple(each.values()) for each in documents])
    body = [block for book in found for block in _body(book, now)]
    return Report({"books": documents}, body or ["the ledger has no book yet"], rows)


def seconds_since(at: datetime, now: datetime) -> int:
    """Whole seconds; negative for a time that is ahead."""
    return int((now - at).total_seconds())


def negative_balances(found: BookNow) -> list[str]:
    """The assets of which a book holds less than nothing."""
    return [asset for asset, holding in sorted(found.view.state.inventory.items()) if holding.total < 0]


def _document(found: BookNow, now: datetime) -> dict[str, Any]:
    book, head, newest = found.view.book, found.view.head, found.newest
    marks = found.view.state.marks
    newest_mark = max((mark.at for mark in marks.values()), default=None)
    return {
        "book": book.name,
        "mode": book.mode,
        "numeraire": book.numeraire,
        "version": head.version,
        "head": head.hash,
        "newest_type": newest.type,
        "newest_at": newest.at,
        "recorded_at": newest.recorded_at,
        "event_age_seconds": seconds_since(newest.recorded_at, now),
        "mark_age_seconds": None if newest_mark is None else seconds_since(newest_mark, now),
        "balances": balances_of(found.view.state),
        **{name: getattr(found.pnl, name) for name in FIGURES},
        "missing_marks": found.pnl.missing_marks,
        "marks": [
            {"asset": asset, "price": mark.price, "source": mark.source, "at": mark.at}
            | {"age_seconds": seconds_since(mark.at, now)}
            for asset, mark in sorted(marks.items())
        ],
        "negative_balances": negative_balances(found),
        "unknown_fees": found.pnl.unknown_fees,
        "inbox": waiting_document(found.waiting),
    }


def _body(found: BookNow, now: datetime) -> Iterator[Block]:
    book, head, newest = found.view.book, found.view.head, found.newest
    yield f"{book.name} ({book.mode}, in {book.numeraire}), head {head}"
    yield f"newest event: {newest.type}, {age(now, newest.recorded_at)}"
    balances = [(asset, holding.total) for asset, holding in sorted(found.view.state.inventory.items())]
    yield Figures([*balances, *figure_items(found.pnl)])
    for asset, mark in sorted(found.view.state.marks.items()):
        yield f"mark: {asset} {shown(mark.price)} ({mark.source or 'no source'}, {age(now, mark.at)})"
    if found.pnl.missing_marks:
        yield f"unknown for want of a mark: {', '.join(found.pnl.missing_marks)}"
    negative = negative_balances(found)
    if negative:
        yield f"negative: {', '.join(negative)}"
    if found.pnl.unknown_fees:
        yield f"not counted: {counted(found.pnl.unknown_fees, 'fee')} not reported"
    yield from waiting_lines(found.waiting)
