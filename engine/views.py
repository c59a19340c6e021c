"""Views of a book at a moment: its state, its register and the history of its basis.

`as_of` selects events that had happened by then (by version, or by `at`); `known_at` selects events that had been recorded
by then (by `recorded_at`). Together they show what had happened by the one, as it was known by the other. A view by
time folds the selected events in the order of their versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.audit import AuditRow, audit_rows
from projections.marks import Selection
from projections.register import RegisterRow, SkippedEvents, register_rows
from projections.state import BookState, fold

_MOVES_BASIS = events.c.effect_of.in_(MOVES_BASIS)


@dataclass(frozen=True, slots=True)
class Moment:
    """Which events a view counts. Times are in UTC; None means no limit.

    as_of:     up to this version, or with `at` ≤ this time
    known_at:  with `recorded_at` ≤ this time
    before:    with `at` < this time
    """

    as_of: int | datetime | None = None
    known_at: datetime | None = None
    before: datetime | None = None

    @property
    def is_now(self) -> bool:
        """Whether every event counts."""
        return self.as_of is None and self.known_at is None and self.before is None

    def version_of(self, head: Head) -> int:
        """The newest version that counts in a view by version; the head's version in any other view."""
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


# How the events of a moment are folded: from rows, or from segments where they are (`engine.columns.choosing`).
FoldOf = Callable[[Connection, Book, Head, Moment, datetime], BookState]


def fold_of_rows(connection: Connection, book: Book, head: Head, moment: Moment, until: datetime) -> BookState:
    """The events that a moment chooses, folded one by one. `until`: later marks do not count."""
    condition = moment.condition()
    reversed_marks = store.reversed_marks(connection, book.name, where=condition)
    standing = Selection(reversed_marks, until=until)
    return fold(store.read_events(connection, book.name, where=condition), standing=standing)


def view_at(
    database: Database,
    name: str,
    moment: Moment = NOW,
    *,
    now: datetime | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> View:
    """The book at a moment: from the stored projections for the present, folded from the log otherwise.

    `View.head` is always the end of the log; `View.state.version` is the newest event that counts. The marks are the newest
    standing ones among the events that count, without those ahead of the clock. `now`: the current time; None for the
    system's clock. `fold_of`: how a past moment is folded. Raises Refused `book_unknown`, `version_unknown`; StorageError.
    """
    with database.reading() as connection:
        return view_within(connection, name, moment, now=now or utc_now(), fold_of=fold_of)


def view_within(
    connection: Connection, name: str, moment: Moment, *, now: datetime, fold_of: FoldOf = fold_of_rows
) -> View:
    """As `view_at`, within a transaction of the caller, which may read more of the same state."""
    book, head = require_at(connection, name, moment)
    if moment.is_now:
        state = stored_state(load_rows(connection, book.name), book, head)
        return View(book, head, replace(state, marks=marks_now(connection, book.name, state.marks, now)))
    until = min(now, moment.known_at or now) + CLOCK_TOLERANCE
    return View(book, head, fold_of(connection, book, head, moment, until))


def _as_a_time(digits: str) -> str | None:
    """Advice for digits that look like a year or a date, but were read as a version; None for other digits."""
    match len(digits):
        case 4:
            return f"digits alone are a version; for the end of the year, give its last month, {digits}-12"
        case 8:
            return f"digits alone are a version; for a date, give {digits[:4]}-{digits[4:6]}-{digits[6:]}"
        case _:
            return None


def require_at(connection: Connection, name: str, moment: Moment) -> tuple[Book, Head]:
    """A book's terms and head. Raises Refused `book_unknown`, and `version_unknown` for a moment that it does not have."""
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
class Audit:
    """The history of a book's basis.

    book:       its terms
    version:    the newest version that could count
    net_basis:  at the end, in the numeraire
    rows:       every movement of the basis, in order
    """

    book: Book
    version: int
    net_basis: Decimal
    rows: list[AuditRow]


def audit_basis(database: Database, name: str, moment: Moment = NOW) -> Audit:
    """Every movement of the book's basis that counts at a moment. Raises as `view_at`."""
    with database.reading() as connection:
        book, head = require_at(connection, name, moment)
        condition = and_(_MOVES_BASIS, moment.condition())
        reversals = store.reversals(connection, name, where=condition)
        rows = list(audit_rows(store.read_events(connection, name, where=condition), reversals))
    return Audit(book, moment.version_of(head), rows[-1].basis_after if rows else ZERO, rows)


@dataclass(frozen=True, slots=True)
class RegisterFilter:
    """Which rows of a register are shown; the running balances count every event regardless. None means no limit.

    asset:       the row's asset
    type:        the event's type; with None, only rows that have a posting are shown
    session:     the event's session id
    start, end:  `start` ≤ `at` < `end`, UTC
    strategy:    the event's strategy
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


# The events of a register in order, of those that no row is shown of at least their sums.
EventsOf = Callable[[Connection, Book, Head, Moment, RegisterFilter], Iterator[StoredEvent | SkippedEvents]]


def events_of_rows(
    connection: Connection, book: Book, head: Head, moment: Moment, shown: RegisterFilter
) -> Iterator[StoredEvent | SkippedEvents]:
    """Every event that a moment chooses, read from its row."""
    yield from store.read_events(connection, book.name, where=moment.condition())


@contextmanager
def register(
    database: Database,
    name: str,
    moment: Moment = NOW,
    shown: RegisterFilter | None = None,
    *,
    events_of: EventsOf = events_of_rows,
) -> Iterator[tuple[Book, Head, Iterator[RegisterRow]]]:
    """The book's terms, its head, and a stream of its postings with the running balance of their asset.

    `shown`: which rows; None for all that have a posting. `events_of`: where events are read. Raises as `view_at`.
    """
    with database.reading() as connection:
        book, head = require_at(connection, name, moment)
        reversals = store.reversals(connection, name, where=moment.condition())
        chosen = shown or RegisterFilter()
        rows = register_rows(events_of(connection, book, head, moment, chosen), reversals)
        yield book, head, filter(chosen.shows, rows)
