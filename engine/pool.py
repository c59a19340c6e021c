"""One book, or a desk's books looked at as one: a pool. Its books have one numeraire and one mode.

Within a pool a transfer is nothing: capital has not moved, and lots keep their date and cost. Its sides are left out, both
of them, or the one that a selection by time holds: then it counts as not yet made. So a pool's figures do not depend on
which of its books holds what. An asset is valued by the newest standing mark of any of them.

A pool of one book is that book, transfers included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from sqlalchemy import Connection, and_

from engine.bookkeeper import View, utc_now
from engine.pairing import transfer_of
from engine.views import NOW, FoldOf, Moment, fold_of_rows, view_within
from ledger import store
from ledger.book import Book
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.errors import Refusal
from ledger.events import TRANSFER
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.times import BEGINNING, CLOCK_TOLERANCE
from projections.combining import pooled
from projections.marks import Marks, Selection
from projections.pnl import Pnl, change, pnl
from projections.state import BookState, fold


@dataclass(frozen=True, slots=True)
class Pool:
    """One book or several at a moment.

    books:     their terms, sorted by name
    versions:  of each book, the newest version that counts
    state:     what they add up to; its version is a book's own, and 0 of several
    """

    books: tuple[Book, ...]
    versions: tuple[int, ...]
    state: BookState

    @property
    def numeraire(self) -> str:
        """What value is counted in."""
        return self.books[0].numeraire

    @property
    def is_several(self) -> bool:
        """Whether there is more than one book."""
        return len(self.books) > 1

    @property
    def place(self) -> dict[str, Any]:
        """Which books at which versions, as the first members of a JSON document."""
        return place_of(self.books, self.versions)

    def unit(self, *more: str, currency: str | None = None) -> str:
        """The first line of a report for people; see `unit_line`."""
        return unit_line(self.books, *more, currency=currency)


def place_of(books: Sequence[Book], versions: Sequence[int]) -> dict[str, Any]:
    """`book` and `version` of one book; of several these are None, and `books` lists them."""
    if len(books) == 1:
        return {"book": books[0].name, "version": versions[0]}
    listed = [{"book": book.name, "version": version} for book, version in zip(books, versions, strict=True)]
    return {"book": None, "version": None, "books": listed}


def unit_line(books: Sequence[Book], *more: str, currency: str | None = None) -> str:
    """`in RLUSD, fifo`, or in another currency than the numeraire; of several books also their names."""
    names = () if len(books) == 1 else ("the books " + ", ".join(book.name for book in books),)
    return ", ".join((f"in {currency or books[0].numeraire}", *more, *names))


def require_books(connection: Connection, names: Iterable[str]) -> tuple[list[Book], list[int]]:
    """The terms and newest versions of books, by name. Raises Refused `book_unknown`, `pool_mixed`."""
    found = [store.require_book(connection, name) for name in sorted(set(names))]
    books = [book for book, _ in found]
    for what in ("numeraire", "mode"):
        first = next((book for book in books if getattr(book, what) != getattr(books[0], what)), None)
        if first is not None:
            ours, theirs = getattr(books[0], what), getattr(first, what)
            refuse(Refusal.POOL_MIXED, expected=ours, actual=theirs, what=what, one=books[0].name, other=first.name)
    return books, [head.version for _, head in found]


def pool_at(
    database: Database,
    names: Iterable[str],
    moment: Moment = NOW,
    *,
    now: datetime | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> Pool:
    """The books at a moment. Raises as `engine.views.view_at`, and Refused `pool_mixed`.

    `fold_of`: how the past of one book is folded; that of several is always folded from rows.
    """
    with database.reading() as connection:
        return pool_within(connection, names, moment, now=now or utc_now(), fold_of=fold_of)


def pool_within(
    connection: Connection, names: Iterable[str], moment: Moment, *, now: datetime, fold_of: FoldOf = fold_of_rows
) -> Pool:
    """As `pool_at`, within a transaction of the caller."""
    books, _ = require_books(connection, names)
    if len(books) == 1 or moment.is_now:
        return pool_of([view_within(connection, book.name, moment, now=now, fold_of=fold_of) for book in books])
    states = [_state_at(connection, book.name, moment, books, now) for book in books]
    return Pool(tuple(books), tuple(state.version for state in states), reduce(pooled, states))


def pool_of(views: Sequence[View]) -> Pool:
    """Books of one numeraire and mode, sorted by name, at their heads: there every transfer has both sides, which cancel.

    The views of one book may be of any moment.
    """
    states = [view.state for view in views]
    return Pool(tuple(view.book for view in views), tuple(state.version for state in states), reduce(pooled, states))


def _state_at(connection: Connection, name: str, moment: Moment, books: Sequence[Book], now: datetime) -> BookState:
    """A book's state at a moment without its transfers within the pool."""
    condition = moment.condition()
    reversed_marks = store.reversed_marks(connection, name, where=condition)
    standing = Selection(reversed_marks, until=min(now, moment.known_at or now) + CLOCK_TOLERANCE)
    counted = read_pooled(connection, name, moment, {book.name for book in books})
    return fold(counted, standing=standing)


def read_pooled(
    connection: Connection, name: str, moment: Moment, pool: set[str], types: Sequence[str] | None = None
) -> Iterator[StoredEvent]:
    """A book's events that count at a moment, in order, without the sides of transfers to other books of the pool."""
    condition = moment.condition()
    if types is not None:
        condition = and_(events.c.type.in_(types), condition)
    found = store.read_events(connection, name, where=condition)
    return found if len(pool) == 1 else _without_sides(connection, found, pool)


def _without_sides(connection: Connection, found: Iterable[StoredEvent], pool: set[str]) -> Iterator[StoredEvent]:
    sides: dict[int, bool] = {}  # by version, whether a transfer's side stays within the pool
    for stored in found:
        if stored.reason != TRANSFER or stored.effects.effect_of not in ("deposit", "withdrawal"):
            yield stored
            continue
        version = stored.version if stored.reverses is None else stored.reverses
        if version not in sides:
            side = stored if stored.reverses is None else store.find_event(connection, stored.book, version)
            of = None if side is None else transfer_of(side.event)
            sides[version] = of is not None and of.book in pool
        if not sides[version]:
            yield stored


@dataclass(frozen=True, slots=True)
class Period:
    """Profit and loss at both ends of a period.

    pool:        the books at its end
    start, end:  profit and loss at either end
    change:      end − start, figure by figure; None where either is unknown
    """

    pool: Pool
    start: Pnl
    end: Pnl
    change: Pnl


def pnl_of_period(
    database: Database,
    names: Iterable[str],
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    prices: Marks,
    *,
    now: datetime | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> Period:
    """Profit and loss of the events with `start` ≤ `at` < `end`, each end valued at the newest marks before it.

    `start`: None for the beginning. `end`: None for no limit. `prices`: take precedence over the marks at the end.
    `known_at`: see `engine.views.Moment`. `now`, `fold_of` and what is raised: see `pool_at`.
    """
    now, named = now or utc_now(), list(names)
    with database.reading() as connection:
        until_start = Moment(before=start or BEGINNING, known_at=known_at)
        first = pool_within(connection, named, until_start, now=now, fold_of=fold_of)
        last = pool_within(connection, named, Moment(before=end, known_at=known_at), now=now, fold_of=fold_of)
    at_start = pnl(first.state, first.state.marks, first.numeraire)
    at_end = pnl(last.state, {**last.state.marks, **prices}, last.numeraire)
    return Period(last, at_start, at_end, change(at_start, at_end))
