"""A book's rows as the driver gives them, a thousand at once: what the fast lane and the prover read a log from.

SQLAlchemy makes an object of each row and asks each column for its type, which takes longer than SQLite takes to read it. So
a SQLite file is read with the driver's own cursor, in the same transaction. What that one cannot read, such as a text that
is not UTF-8, is read as before from the same place on.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select

from ledger import store
from ledger.database.tables import events
from ledger.integrity.raw_rows import raw_columns

RawRow = tuple[Any, ...]
COLUMNS = tuple(column.name for column in events.columns)
PLACE_OF = {name: place for place, name in enumerate(COLUMNS)}
_NamedRow = namedtuple("_NamedRow", COLUMNS)  # type: ignore[misc]
_LIST = ", ".join(f'"{name}"' for name in COLUMNS)
_SQLITE = f"SELECT {_LIST} FROM events WHERE book = ?"  # noqa: S608 - names of columns


def raw_log(connection: Connection, book: str) -> Iterator[Sequence[RawRow]]:
    """All rows of a book in order, `store.ROWS_AT_ONCE` at once, all columns in the table's order. Memory stays flat."""
    return raw_range(connection, book, None, None)


def raw_range(connection: Connection, book: str, first: int | None, last: int | None) -> Iterator[Sequence[RawRow]]:
    """As `raw_log`, of the rows from one version to another, both included. None: from the very first, to the very last.

    What stands between two whole versions belongs to the lower one, so that ranges side by side leave out no row.
    """
    query, where = _SQLITE, [events.c.book == book]
    if first is not None:
        query, where = f"{query} AND version >= ?", [*where, events.c.version >= first]
    if last is not None:
        query, where = f"{query} AND version < ?", [*where, events.c.version < last + 1]
    bounds = [bound for bound in (first, None if last is None else last + 1) if bound is not None]
    return _raw_rows(connection, f"{query} ORDER BY version", (book, *bounds), and_(*where))


def _raw_rows(
    connection: Connection, query: str, given: tuple[Any, ...], where: ColumnElement[bool]
) -> Iterator[Sequence[RawRow]]:
    stopped_at: int | None = 0
    if connection.dialect.name == "sqlite":
        stopped_at = yield from driven_rows(connection, query, given)
    if stopped_at is None:
        return
    rest = select(*raw_columns(events)).where(where).order_by(events.c.version).offset(stopped_at)
    with store.stream(connection, rest) as result:
        for partition in result.partitions(store.ROWS_AT_ONCE):
            yield [tuple(row) for row in partition]


def named(row: RawRow) -> Any:
    """A row whose values are known by the names of their columns, too."""
    return _NamedRow(*row)


def driven_rows(
    connection: Connection, query: str, given: tuple[Any, ...]
) -> Generator[list[RawRow], None, int | None]:
    """What the driver's own cursor of a SQLite file reads by a query and what it is given, `store.ROWS_AT_ONCE` at once.

    Returns how many rows that was where it could not read on, None at the end.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    lenient = driver.text_factory
    cursor = driver.cursor()
    read = 0
    try:
        cursor.execute(query, given)
        while True:
            driver.text_factory = str  # `any_text`'s is made for damaged rows, and slow
            try:
                rows = cursor.fetchmany(store.ROWS_AT_ONCE)
            finally:
                driver.text_factory = lenient
            if not rows:
                return None
            yield rows
            read += len(rows)
    except (sqlite3.Error, UnicodeError):
        return read
    finally:
        cursor.close()
