"""`books`: every book of the ledger on a line, and what the desk has over all books of one numeraire and mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from engine import inbox
from engine.bookkeeper import View
from engine.inbox import Waiting
from engine.pool import pool_of
from engine.reports.inbox import waiting_document
from engine.reports.profit import FIGURES, shown_figures
from engine.reports.report import Block, Report, Table, or_unknown, shown
from engine.views import NOW, view_within
from ledger import store
from ledger.database.connections import Database
from ledger.stored import StoredEvent
from projections.pnl import Pnl, pnl
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class BookNow:
    """A book at its head.

    view:     its terms, head and state
    newest:   the newest event
    pnl:      its profit and loss at the newest marks
    waiting:  what waits in its inbox
    """

    view: View
    newest: StoredEvent
    pnl: Pnl
    waiting: Waiting


def book_now(connection: Connection, name: str, now: datetime) -> BookNow:
    """A book at its head, within a transaction of the caller. Raises as `engine.views.view_at`."""
    view = view_within(connection, name, NOW, now=now)
    newest = store.find_event(connection, name, view.head.version)
    assert newest is not None  # a book has its opening
    figures = pnl(view.state, view.state.marks, view.book.numeraire)
    return BookNow(view, newest, figures, inbox.waiting(connection, name))


def books_now(database: Database, now: datetime) -> list[BookNow]:
    """All books of a ledger by name, read in one transaction. Raises StorageError."""
    with database.reading() as connection:
        return [book_now(connection, name, now) for name in store.book_names(connection)]


def books_report(database: Database, *, now: datetime) -> Report:
    """The books, and the desk's totals. `now`: marks ahead of it do not count. Raises StorageError."""
    found = books_now(database, now)
    books = [_document(book) for book in found]
    columns = tuple(books[0]) if books else ("book",)
    desks = list(_desks(found))
    rows = Table(columns, [tuple(book.values()) for book in books])
    body = list(_body(found, desks)) if found else ["the ledger has no book yet; open one with `netbasis init`"]
    return Report({"books": books, "desks": desks}, body, rows)


def _document(found: BookNow) -> dict[str, Any]:
    book, head = found.view.book, found.view.head
    return {
        "book": book.name,
        "mode": book.mode,
        "numeraire": book.numeraire,
        "base_asset": book.base_asset,
        "withdrawal_policy": book.withdrawal_policy,
        "version": head.version,
        "head": head.hash,
        "newest_type": found.newest.type,
        "newest_at": found.newest.at,
        "recorded_at": found.newest.recorded_at,
        "balances": balances_of(found.view.state),
        **{name: getattr(found.pnl, name) for name in FIGURES},
        "missing_marks": found.pnl.missing_marks,
        "inbox": waiting_document(found.waiting),
    }


def balances_of(state: BookState) -> list[dict[str, Any]]:
    """What a book holds, by asset; what adds up to 0 is there, too."""
    return [{"asset": asset, "total": holding.total} for asset, holding in sorted(state.inventory.items())]


def _desks(found: Sequence[BookNow]) -> Iterator[dict[str, Any]]:
    """The totals over the books of one mode and numeraire; a transfer between them adds up to nothing."""
    groups: dict[tuple[str, str], list[View]] = {}
    for book in found:
        groups.setdefault((book.view.book.mode, book.view.book.numeraire), []).append(book.view)
    for (mode, numeraire), views in sorted(groups.items()):
        state = pool_of(views).state
        figures = pnl(state, state.marks, numeraire)
        yield {
            "mode": mode,
            "numeraire": numeraire,
            "books": [view.book.name for view in views],
            "balances": balances_of(state),
            **{name: getattr(figures, name) for name in FIGURES},
            "missing_marks": figures.missing_marks,
        }


def _body(found: Sequence[BookNow], desks: Sequence[dict[str, Any]]) -> Iterator[Block]:
    columns = ("book", "mode", "numeraire", "version", "head", "newest event", "balances")
    yield Table(columns, [_line(book) for book in found])
    figures = shown_figures(*(book.pnl for book in found))
    for desk in desks:
        yield f"the desk, {desk['mode']}, in {desk['numeraire']} ({', '.join(desk['books'])}):"
        yield Table(tuple(name.replace("_", " ") for name in figures), [[or_unknown(desk[name]) for name in figures]])
        if desk["missing_marks"]:
            yield f"unknown for want of a mark: {', '.join(desk['missing_marks'])}"


def _line(found: BookNow) -> tuple[Any, ...]:
    book, head, newest = found.view.book, found.view.head, found.newest
    holdings = found.view.state.inventory.items()
    balances = ", ".join(f"{shown(holding.total)} {asset}" for asset, holding in sorted(holdings) if holding.total)
    newest_event = f"{newest.type} of {shown(newest.at)}"
    return (book.name, book.mode, book.numeraire, head.version, head.hash, newest_event, balances or None)
