"""Reading the log. Everything takes the connection of a transaction that the caller owns.

Appending is in `ledger.appender`. Bots call the engine, never this.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Row, Select, and_, bindparam, func, or_, select

from ledger.amounts import ZERO, total
from ledger.book import Book, Head
from ledger.database.tables import books, events
from ledger.errors import Refusal, Refused, shown
from ledger.mapper import decode_row, require_sound
from ledger.stored import StoredEvent
from ledger.texts import BOOK_CHARACTERS, parse_text

ROWS_AT_ONCE = 1000
_MOVERS = ("fill", "deposit", "withdrawal", "adjustment")

# What every append asks, made once: to make a statement takes longer than to run it.
_BOOK = select(books).where(books.c.book == bindparam("of_book"))
_BOOK_LOCKED = _BOOK.with_for_update()
_AFTER = (
    select(events)
    .where(events.c.book == bindparam("of_book"), events.c.version > bindparam("version"))
    .order_by(events.c.version)
)
# Of one key, as of a bot's append: a list of them is made into a statement each time.
_OF_KEY = select(events).where(events.c.book == bindparam("of_book"), events.c.key == bindparam("key"))
# In the order of the keys, or SQLite, which keeps no statistics, reads the whole book instead of the keys' index.
_OF_KEYS = (
    select(events)
    .where(events.c.book == bindparam("of_book"), events.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(events.c.key)
)

_same_hash = events.alias("same_hash")


def book_names(connection: Connection) -> list[str]:
    """The names of all books, sorted."""
    return list(connection.scalars(select(books.c.book).order_by(books.c.book)))


def find_book(connection: Connection, name: str, *, lock: bool = False) -> tuple[Book, Head] | None:
    """A book's terms and the end of its log; with `lock`, until the transaction ends nobody else appends to it.

    Raises Refused for a name that no book can have (see `ledger.texts.parse_text`).
    """
    of_book = {"of_book": parse_text(name, characters=BOOK_CHARACTERS)}
    row = connection.execute(_BOOK_LOCKED if lock else _BOOK, of_book).one_or_none()
    return None if row is None else _book_of(row)


def require_book(connection: Connection, name: str, *, lock: bool = False) -> tuple[Book, Head]:
    """Like `find_book`; raises Refused `book_unknown`."""
    found = find_book(connection, name, lock=lock)
    if found is None:
        raise unknown_book(connection, name)
    return found


def unknown_book(connection: Connection, name: str) -> Refused:
    """The refusal of a name that no book has."""
    there = ", ".join(shown(book) for book in book_names(connection)) or "none"
    return Refused(
        Refusal.BOOK_UNKNOWN,
        "there is no such book",
        expected=f"one of the books that are there: {there}",
        actual=name,
        advice="check --book, or open it with `netbasis --book NAME init`",
    )


def _book_of(row: Row[Any]) -> tuple[Book, Head]:
    require_sound(row, books)
    book = Book.on_terms_of(row.book, row)
    return book, Head(row.head_version, row.head_hash, row.head_recorded_at)


def read_events(
    connection: Connection,
    book: str,
    *,
    after: int = 0,
    until: int | None = None,
    where: ColumnElement[bool] | None = None,
) -> Iterator[StoredEvent]:
    """The book's events with `after` < version ≤ `until`, in order, as a stream: memory stays flat."""
    query = select(events).where(events.c.book == book, events.c.version > after).order_by(events.c.version)
    if until is not None:
        query = query.where(events.c.version <= until)
    if where is not None:
        query = query.where(where)
    rows = stream(connection, query)
    try:
        for row in rows:
            yield decode_row(row)
    finally:
        # A stream that was left in the middle may be closed after its connection, which took the cursor along.
        if not connection.closed:
            rows.close()


def events_after(connection: Connection, book: str, version: int) -> list[StoredEvent]:
    """The book's events after a version, in order, all at once."""
    return [decode_row(row) for row in connection.execute(_AFTER, {"of_book": book, "version": version})]


def stream(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    """The rows of a query as they are read: memory stays flat.

    An option of the statement, not of the connection: there it would stay, and PostgreSQL cannot stream what writes.
    """
    return connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})


def find_event(connection: Connection, book: str, version: int) -> StoredEvent | None:
    """The event at a version of a book."""
    row = connection.execute(select(events).where(events.c.book == book, events.c.version == version)).one_or_none()
    return None if row is None else decode_row(row)


def find_keys(connection: Connection, book: str, keys: list[str]) -> dict[str, StoredEvent]:
    """Those of the keys that are in the book, with their events."""
    if not keys:
        return {}
    if len(keys) == 1:
        rows = connection.execute(_OF_KEY, {"of_book": book, "key": keys[0]})
    else:
        rows = connection.execute(_OF_KEYS, {"of_book": book, "keys": keys})
    return {row.key: decode_row(row) for row in rows}


def find_movements(connection: Connection, book: str, kind: str, tx_hash: str, asset: str) -> list[StoredEvent]:
    """The events of a type and an asset that one transaction (its hash normalised) made, in order."""
    # The hash's index is named by what it covers: else SQLite, which keeps no statistics, reads the whole book.
    of_hash = select(_same_hash.c.version).where(_same_hash.c.book == book, _same_hash.c.tx_hash == tx_hash)
    query = (
        select(events)
        .where(events.c.book == book, events.c.version.in_(of_hash), events.c.type == kind, events.c.asset == asset)
        .order_by(events.c.version)
    )
    return [decode_row(row) for row in connection.execute(query)]


def has_standing_deposit(connection: Connection, book: str) -> bool:
    """Whether a deposit stands in the book."""
    query = select(events.c.version).where(
        events.c.book == book, events.c.effect_of == "deposit", events.c.type == "deposit", ~_is_reversed(book)
    )
    return connection.execute(query.limit(1)).first() is not None


def times_of_movements(
    connection: Connection, book: str, *, until: datetime
) -> tuple[datetime | None, datetime | None]:
    """The least `at` of all events that ever moved a balance, and the greatest, up to `until`, of those that stand.

    A reversal at another time than what it reverses stands for a movement of its own. Reads the whole book.
    """
    reversed_event = events.alias("reversed_event")
    same_time = select(reversed_event.c.version).where(
        reversed_event.c.book == book,
        reversed_event.c.version == events.c.reverses,
        reversed_event.c.at == events.c.at,
    )
    moves = and_(events.c.book == book, events.c.effect_of.in_(_MOVERS))
    stands = or_(
        and_(events.c.type != "reversal", ~_is_reversed(book)), and_(events.c.type == "reversal", ~same_time.exists())
    )
    first = connection.scalar(select(func.min(events.c.at)).where(moves))
    last = connection.scalar(select(func.max(events.c.at)).where(moves, stands, events.c.at <= until))
    return first, last


def _is_reversed(book: str) -> ColumnElement[bool]:
    """Whether an event of the book was reversed, as a condition on `events`."""
    reversal = events.alias("reversal")
    found = select(reversal.c.version).where(reversal.c.book == book, reversal.c.reverses == events.c.version)
    return found.exists()


def reversed_marks(connection: Connection, book: str, *, where: ColumnElement[bool] | None = None) -> frozenset[int]:
    """The versions of the marks whose reversal is among the events that `where` selects."""
    # In the order of `reverses`, or SQLite reads the whole book instead of the partial index of the reversals.
    query = (
        select(events.c.reverses)
        .where(events.c.book == book, events.c.reverses.is_not(None), events.c.effect_of == "mark")
        .order_by(events.c.reverses)
    )
    return frozenset(connection.scalars(query if where is None else query.where(where)))


def newest_mark(
    connection: Connection, book: str, asset: str, *, until: datetime | None = None, without: int | None = None
) -> StoredEvent | None:
    """The newest mark of an asset that stands, with `at` ≤ `until`, leaving out the one at version `without`."""
    query = (
        select(events)
        .where(events.c.book == book, events.c.type == "mark", events.c.asset == asset, ~_is_reversed(book))
        .order_by(events.c.at.desc(), events.c.version.desc())
        .limit(1)
    )
    if until is not None:
        query = query.where(events.c.at <= until)
    if without is not None:
        query = query.where(events.c.version != without)
    row = connection.execute(query).one_or_none()
    return None if row is None else decode_row(row)


def find_reversal(connection: Connection, book: str, version: int) -> int | None:
    """The version of the reversal of an event, when it was reversed."""
    return connection.scalar(select(events.c.version).where(events.c.book == book, events.c.reverses == version))


def reversals(connection: Connection, book: str, *, where: ColumnElement[bool] | None = None) -> dict[int, int]:
    """By the version of each event that was reversed, the version of its reversal."""
    query = (
        select(events.c.reverses, events.c.version)
        .where(events.c.book == book, events.c.reverses.is_not(None))
        .order_by(events.c.reverses)
    )
    query = query if where is None else query.where(where)
    return {row.reverses: row.version for row in connection.execute(query)}


def starting_value(connection: Connection, book: str) -> Decimal:
    """The starting value after the newest event: the sum of its deltas over the log, in the numeraire.

    Summed from the log and not from a projection, since a baseline's delta is stored for good.
    """
    query = select(events.c.starting_value_delta).where(events.c.book == book, events.c.starting_value_delta != ZERO)
    return total(connection.scalars(query))
