"""Reading the log. Every function runs inside a transaction that the caller owns.

Appending is in `ledger.appender`. Bots use `engine.bookkeeper`, never this module. Everything that reads rows raises
StorageError `event_unreadable` for a row that another program has damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    LargeBinary,
    Row,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
)
from sqlalchemy.sql.util import ClauseAdapter

from ledger.amounts import ZERO, total
from ledger.book import Book, Head
from ledger.database.connections import ask
from ledger.database.tables import books, events
from ledger.errors import Refusal, Refused, shown
from ledger.events import MOVES_BALANCE
from ledger.mapper import decode_row, require_sound
from ledger.stored import StoredEvent
from ledger.texts import BOOK_CHARACTERS, parse_text

ROWS_AT_ONCE = 1000

# The statements of every append, built once: building a statement takes longer than running it.
_BOOK = select(books).where(books.c.book == bindparam("of_book"))
_BOOK_LOCKED = _BOOK.with_for_update()
_AFTER = (
    select(events)
    .where(events.c.book == bindparam("of_book"), events.c.version > bindparam("version"))
    .order_by(events.c.version)
)
_AT_VERSION = select(events).where(events.c.book == bindparam("of_book"), events.c.version == bindparam("version"))
_REVERSAL_OF = select(events.c.version).where(
    events.c.book == bindparam("of_book"), events.c.reverses == bindparam("version")
)
# For one key, as in a bot's append: the statement for a list of keys has to be built each time.
_OF_KEY = select(events).where(events.c.book == bindparam("of_book"), events.c.key == bindparam("key"))
# Ordered by key, or else SQLite, which has no statistics here, reads the whole book instead of the index on keys.
_OF_KEYS = (
    select(events)
    .where(events.c.book == bindparam("of_book"), events.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(events.c.key)
)

_same_hash = events.alias("same_hash")
# The subquery uses only what the index on hashes covers, or else SQLite, without statistics, reads the whole book.
_MOVEMENTS = (
    select(events)
    .where(
        events.c.book == bindparam("of_book"),
        events.c.version.in_(
            select(_same_hash.c.version).where(
                _same_hash.c.book == bindparam("of_book"), _same_hash.c.tx_hash == bindparam("tx_hash")
            )
        ),
        events.c.type == bindparam("type"),
        events.c.asset == bindparam("asset"),
    )
    .order_by(events.c.version)
)


def book_names(connection: Connection) -> list[str]:
    """The names of all books, sorted."""
    return list(connection.scalars(select(books.c.book).order_by(books.c.book)))


def find_book(connection: Connection, name: str, *, lock: bool = False) -> tuple[Book, Head] | None:
    """A book's terms and head; None when there is no such book.

    `lock`: nobody else can append to the book until the transaction ends. Raises Refused for a name that no book can have
    (see `ledger.texts.parse_text`).
    """
    of_book = {"of_book": parse_text(name, characters=BOOK_CHARACTERS)}
    row = connection.execute(_BOOK_LOCKED if lock else _BOOK, of_book).one_or_none()
    return None if row is None else _book_of(row)


def require_book(connection: Connection, name: str, *, lock: bool = False) -> tuple[Book, Head]:
    """A book's terms and head, as `find_book`. Raises Refused `book_unknown` when there is no such book."""
    found = find_book(connection, name, lock=lock)
    if found is None:
        raise unknown_book(connection, name)
    return found


def unknown_book(connection: Connection, name: str) -> Refused:
    """The refusal of a name that no book has; it lists the books that exist."""
    there = ", ".join(shown(book) for book in book_names(connection)) or "none"
    return Refused(
        Refusal.BOOK_UNKNOWN,
        "there is no such book",
        expected=f"one of the existing books: {there}",
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
    """Stream the book's events with `after` < version ≤ `until` (None: up to the head), in order; memory stays flat.

    `where`: a further condition on the table `events`.
    """
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
        # A stream that was abandoned halfway may outlive its connection, which has closed the cursor.
        if not connection.closed:
            rows.close()


def events_after(connection: Connection, book: str, version: int) -> list[StoredEvent]:
    """The book's events after a version, in order, as a list."""
    return [decode_row(row) for row in connection.execute(_AFTER, {"of_book": book, "version": version})]


def stream(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    """Stream the rows of a query; memory stays flat.

    Streaming is an option of the statement, not of the connection: there it would remain set, and PostgreSQL cannot stream
    statements that write.
    """
    return connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})


def find_event(connection: Connection, book: str, version: int) -> StoredEvent | None:
    """The event at a version of a book; None when there is no such version."""
    row = connection.execute(_AT_VERSION, {"of_book": book, "version": version}).one_or_none()
    return None if row is None else decode_row(row)


def find_keys(connection: Connection, book: str, keys: list[str]) -> dict[str, StoredEvent]:
    """The events with these keys, by key; keys that are not in the book are left out."""
    if not keys:
        return {}
    if len(keys) == 1:
        # Nearly every append of a bot brings a new key.
        if ask(connection, events, "version", book=book, key=keys[0]) is None:
            return {}
        rows = connection.execute(_OF_KEY, {"of_book": book, "key": keys[0]})
    else:
        rows = connection.execute(_OF_KEYS, {"of_book": book, "keys": keys})
    return {row.key: decode_row(row) for row in rows}


def find_movements(connection: Connection, book: str, kind: str, tx_hash: str, asset: str) -> list[StoredEvent]:
    """The events of a type, a normalised transaction hash and an asset, in order."""
    given = {"of_book": book, "type": kind, "tx_hash": tx_hash, "asset": asset}
    return [decode_row(row) for row in connection.execute(_MOVEMENTS, given)]


def has_standing_deposit(connection: Connection, book: str) -> bool:
    """Whether the book has a deposit that was not reversed."""
    query = select(events.c.version).where(
        events.c.book == book, events.c.effect_of == "deposit", events.c.type == "deposit", ~_is_reversed(book)
    )
    return connection.execute(query.limit(1)).first() is not None


def times_of_movements(
    connection: Connection, book: str, *, until: datetime
) -> tuple[datetime | None, datetime | None]:
    """The earliest `at` of all events that ever moved a balance, and the latest `at` ≤ `until` of those that still stand.

    Each is None when there is no such event. A reversal with an `at` other than that of the event it reverses counts as a
    movement. Reads the whole book.
    """
    reversed_event = events.alias("reversed_event")
    same_time = select(reversed_event.c.version).where(
        reversed_event.c.book == book,
        reversed_event.c.version == events.c.reverses,
        reversed_event.c.at == events.c.at,
    )
    moves = and_(events.c.book == book, events.c.effect_of.in_(MOVES_BALANCE))
    stands = or_(
        and_(events.c.type != "reversal", ~_is_reversed(book)), and_(events.c.type == "reversal", ~same_time.exists())
    )
    first = connection.scalar(select(func.min(events.c.at)).where(moves))
    last = connection.scalar(select(func.max(events.c.at)).where(moves, stands, events.c.at <= until))
    return first, last


def _is_reversed(book: str, where: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """Whether an event of the book was reversed, by one that `where` selects (None: by any), as a condition on `events`."""
    reversal = events.alias("reversal")
    found = select(reversal.c.version).where(reversal.c.book == book, reversal.c.reverses == events.c.version)
    if where is not None:
        found = found.where(ClauseAdapter(reversal).traverse(where))
    return found.exists()


def reversed_marks(connection: Connection, book: str, *, where: ColumnElement[bool] | None = None) -> frozenset[int]:
    """The versions of the marks that are reversed by an event that `where` selects (None: by any event)."""
    # Ordered by `reverses`, or else SQLite reads the whole book instead of the partial index on reversals.
    query = (
        select(events.c.reverses)
        .where(events.c.book == book, events.c.reverses.is_not(None), events.c.effect_of == "mark")
        .order_by(events.c.reverses)
    )
    return frozenset(connection.scalars(query if where is None else query.where(where)))


def newest_mark(
    connection: Connection,
    book: str,
    asset: str,
    *,
    until: datetime | None = None,
    without: int | None = None,
    where: ColumnElement[bool] | None = None,
) -> StoredEvent | None:
    """The newest standing mark of an asset; None when there is none.

    `until`: only marks with `at` ≤ `until`. `without`: a version to leave out. `where`: a condition on `events`: other marks
    and other reversals do not count.
    """
    query = (
        select(events)
        .where(events.c.book == book, events.c.type == "mark", events.c.asset == asset, ~_is_reversed(book, where))
        .order_by(events.c.at.desc(), events.c.version.desc())
        .limit(1)
    )
    if until is not None:
        query = query.where(events.c.at <= until)
    if without is not None:
        query = query.where(events.c.version != without)
    if where is not None:
        query = query.where(where)
    row = connection.execute(query).one_or_none()
    return None if row is None else decode_row(row)


def find_reversal(connection: Connection, book: str, version: int) -> int | None:
    """The version that reverses the event at `version`; None while that event stands."""
    return connection.scalar(_REVERSAL_OF, {"of_book": book, "version": version})


def reversals(connection: Connection, book: str, *, where: ColumnElement[bool] | None = None) -> dict[int, int]:
    """By the version of each reversed event, the version that reverses it; only reversals that `where` selects."""
    query = (
        select(events.c.reverses, events.c.version)
        .where(events.c.book == book, events.c.reverses.is_not(None))
        .order_by(events.c.reverses)
    )
    query = query if where is None else query.where(where)
    return {row.reverses: row.version for row in connection.execute(query)}


def body_has(connection: Connection, part: bytes) -> ColumnElement[bool]:
    """Whether an event's bytes contain others, as a condition on `events`; no index helps."""
    wanted = bindparam(None, part, type_=LargeBinary)
    if connection.dialect.name == "sqlite":
        return func.instr(events.c.body, wanted) > 0
    return func.position(wanted.op("IN")(events.c.body)) > 0


def starting_value(connection: Connection, book: str) -> Decimal:
    """The starting value at the head in the numeraire: the sum of its deltas over the log.

    Never taken from a projection, which may be wrong and can be rebuilt: a baseline's delta is stored for good.
    """
    query = select(events.c.starting_value_delta).where(events.c.book == book, events.c.starting_value_delta != ZERO)
    return total(connection.scalars(query))
