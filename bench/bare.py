"""The floor to compare with: the same rows through the standard library's sqlite3, as durable, and nothing else.

One table with the columns of `events` and its primary key: no hash, no projections, no other index, no trigger.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ledger.database.tables import events

RawRow = tuple[Any, ...]
_COLUMNS = ", ".join(f'"{column.name}"' for column in events.columns)
_INSERT = f"INSERT INTO bare VALUES ({', '.join('?' * len(events.columns))})"


def connect(path: Path) -> sqlite3.Connection:
    """A file, opened as netbasis opens its own: WAL, and every commit on the disk when it returns."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def rows_of(ledger: Path) -> list[RawRow]:
    """The rows of a ledger's log as SQLite holds them, book and version first."""
    with closing(connect(ledger)) as connection:
        return list(connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY book, version"))


def insert_all(path: Path, rows: Sequence[RawRow]) -> float:
    """The seconds of one transaction that inserts the rows into a new file."""
    path.unlink(missing_ok=True)
    with closing(connect(path)) as connection:
        connection.execute(f"CREATE TABLE bare ({_COLUMNS}, PRIMARY KEY (book, version)) WITHOUT ROWID")
        started = time.perf_counter()
        insert(connection, rows)
        return time.perf_counter() - started


def insert(connection: sqlite3.Connection, rows: Sequence[RawRow]) -> None:
    """Insert rows in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")


def newest_row(connection: sqlite3.Connection) -> RawRow:
    """The last row."""
    row: RawRow = connection.execute("SELECT * FROM bare ORDER BY book DESC, version DESC LIMIT 1").fetchone()
    return row


def read(connection: sqlite3.Connection) -> None:
    """Read all rows in order."""
    for _ in connection.execute("SELECT * FROM bare ORDER BY book, version"):
        pass
