"""A book as it was, or as it was known: views that fold the log up to a moment, and rows that follow it event by event.

`as_of` says what was so (by version, or by `at`), `known_at` what the log had taken by then (by `recorded_at`); both
together: what was so then, as it was known then. A view by time folds, in version order, the events that qualify.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, and_, true

from engine.bookkeeper import View, utc_now
from engine.projection_store import load_rows, stored_state
from engine.standing_marks import marks_now
from ledger import store
from ledger.amounts import ZERO
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.errors import Refusal, Refused
from ledger.events import MOVES_BASIS
from ledger.times import BEGINNING, CLOCK_TOLERANCE
from projections.audit import AuditRow, audit_rows
from projections.marks import Marks, Selection
from projections.pnl import Pnl, change, pnl
from projections.register import RegisterRow, register_rows
from projections.state import fold

_MOVES_BASIS = events.c.effect_of.in_(MOVES_BASIS)


@dataclass(frozen=True, slots=True)
class Moment:
    """Which events a view counts; all of them when every field is None.

    `as_of`: a version, or a time by which it happened. `before`: a time before which it happened. `known_at`: a time by
    which the log had taken it. All times in UTC, and inclusive but for `before`.
    """

    as_of: int | datetime | None = None
    known_at: datetime | None = None
    before: datetime | None = None

    @property
    def is_now(self) -> bool:
        """Whether every event counts."""
        return self.as_of is None and self.known_at is None and self.before is None

    def version_of(self, head: Head) -> int:
        """The newest version that a view by version counts; else the head's."""
        return self.as_of if isinstance(self.as_of, int) else head.version

    def condition(self) -> ColumnElement[bool]:
        """The events that count, as a condition on `events`."""
        conditions: list[ColumnElement[bool]] = [true()]
        if isinstance(self.as_of, int):
            conditions.append(events.c.version <= self.as_of)
        elif self.as_of is not None:
            conditions.append(events.c.at <= self.as_of)
        if self.known_at is not None:
            conditions.append(events.c.recorded_at <= self.known_at)
        if self.before is not None:
            conditions.append(events.c.at < self.before)
        return and_(*conditions)


NOW = Moment()


def view_at(database: Database, name: str, moment: Moment = NOW, *, now: datetime | None = None) -> View:
    """The book at a moment: from the stored projections when that is now, else folded from the log.

    `View.head` is the log's end; `View.state.version` the newest event that counts. Its marks are the newest that stand
    among the events that count and that are not ahead of the clock; `now`: what the clock says, None for the system's.
    Raises Refused `book_unknown`, `version_unknown`; StorageError.
    """
    with database.reading() as connection:
        book, head = _require(connection, name, moment)
        return _view(connection, book, head, moment, now or utc_now())


def _view(connection: Connection, book: Book, head: Head, moment: Moment, now: datetime) -> View:
    if moment.is_now:
        state = stored_state(load_rows(connection, book.name), book, head)
        return View(book, head, replace(state, marks=marks_now(connection, book.name, state.marks, now)))
    condition = moment.condition()
    reversed_marks = store.reversed_marks(connection, book.name, where=condition)
    standing = Selection(reversed_marks, until=min(now, moment.known_at or now) + CLOCK_TOLERANCE)
    return View(book, head, fold(store.read_events(connection, book.name, where=condition), standing=standing))


def _as_a_time(digits: str) -> str | None:
    """How to say what the digits of a version may have been meant for; None where they look like nothing else."""
    match len(digits):
        case 4:
            return f"digits alone are a version; for the end of the year, give its last month, {digits}-12"
        case 8:
            return f"digits alone are a version; for a date, give {digits[:4]}-{digits[4:6]}-{digits[6:]}"
        case _:
            return None


def _require(connection: Connection, name: str, moment: Moment) -> tuple[Book, Head]:
    book, head = store.require_book(connection, name)
    if isinstance(moment.as_of, int) and not 1 <= moment.as_of <= head.version:
        raise Refused(
            Refusal.VERSION_UNKNOWN,
            "the book has no such version",
            expected=f"a version from 1 to {head.version}",
            actual=moment.as_of,
            advice=_as_a_time(str(moment.as_of)),
        )
    return book, head


@dataclass(frozen=True, slots=True)
class Period:
    """Profit and loss at the two ends of a period, and what changed: end − start; None where an end is unknown."""

    book: Book
    version: int
    start: Pnl
    end: Pnl
    change: Pnl


def pnl_of_period(
    database: Database,
    name: str,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    prices: Marks,
    *,
    now: datetime | None = None,
) -> Period:
    """Profit and loss of the events with start ≤ `at` < end, valued with the newest marks before each end.

    `prices` are more marks, for the end. Without a start the period begins with the book. `now` and errors: see `view_at`.
    """
    now = now or utc_now()
    with database.reading() as connection:
        book, head = _require(connection, name, NOW)
        first = _view(connection, book, head, Moment(before=start or BEGINNING, known_at=known_at), now)
        last = _view(connection, book, head, Moment(before=end, known_at=known_at), now)
    at_start = pnl(first.state, first.state.marks, book.numeraire)
    at_end = pnl(last.state, {**last.state.marks, **prices}, book.numeraire)
    return Period(book, last.state.version, at_start, at_end, change(at_start, at_end))


@dataclass(frozen=True, slots=True)
class Audit:
    """The history of a book's basis up to `version`; `net_basis` is what it ends at, in the numeraire."""

    book: Book
    version: int
    net_basis: Decimal
    rows: list[AuditRow]


def audit_basis(database: Database, name: str, moment: Moment = NOW) -> Audit:
    """Every movement of the book's basis that counts at the moment. Raises as `view_at`."""
    with database.reading() as connection:
        book, head = _require(connection, name, moment)
        condition = and_(_MOVES_BASIS, moment.condition())
        reversals = store.reversals(connection, name, where=condition)
        rows = list(audit_rows(store.read_events(connection, name, where=condition), reversals))
    return Audit(book, moment.version_of(head), rows[-1].basis_after if rows else ZERO, rows)


@dataclass(frozen=True, slots=True)
class RegisterFilter:
    """Which rows of a register are shown; the balances count every event all the same. None: all of them.

    `start` ≤ `at` < `end`, in UTC. An event that moves no balance is shown when its `type` is asked for.
    """

    asset: str | None = None
    type: str | None = None
    session: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    strategy: str | None = None

    def shows(self, row: RegisterRow) -> bool:
        """Whether a row is shown."""
        return (
            self.asset in (None, row.asset)
            and (row.is_posting if self.type is None else self.type == row.type)
            and self.strategy in (None, row.strategy)
            and self.session in (None, row.session_id)
            and (self.start is None or row.at >= self.start)
            and (self.end is None or row.at < self.end)
        )


@contextmanager
def register(
    database: Database, name: str, moment: Moment = NOW, shown: RegisterFilter | None = None
) -> Iterator[tuple[Book, Head, Iterator[RegisterRow]]]:
    """The postings of the book with the running balance of their asset, as a stream.

    Raises as `view_at`.
    """
    with database.reading() as connection:
        book, head = _require(connection, name, moment)
        reversals = store.reversals(connection, name, where=moment.condition())
        rows = register_rows(store.read_events(connection, name, where=moment.condition()), reversals)
        yield book, head, filter((shown or RegisterFilter()).shows, rows)
