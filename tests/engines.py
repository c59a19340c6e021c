"""The two engines that everything must run on, and access to either past the program, as an intruder has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg

from ledger.database.postgres import is_url
from tests.ledger.database.store_support import tampering
from tests.postgres_support import connect, database_of, drop_database, fresh_database, url_of
from tests.support import ledger_file

Engine = Literal["sqlite", "postgres"]
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")


def new_ledger(engine: Engine, folder: Path, name: str = "ledger.db") -> str:
    """The location of a new, migrated ledger without a book; `name` is that of the file."""
    return url_of(fresh_database()) if engine == "postgres" else str(ledger_file(folder, name))


def forget(location: str) -> None:
    """Drop a server's database, so that a long run of tests does not fill the disk; a file goes with its folder."""
    if is_url(location):
        drop_database(database_of(location))


class Raw(Protocol):
    """A connection past the program; placeholders are `?` on both engines, and every statement commits."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""

    def tables(self) -> list[str]:
        """The names of all tables."""

    def guards(self) -> list[tuple[str, str]]:
        """The triggers: names and definitions."""


class _RawSqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def tables(self) -> list[str]:
        return [name for (name,) in self.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]

    def guards(self) -> list[tuple[str, str]]:
        rows = self.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1")
        return [(name, sql) for name, sql in rows]


class _RawPostgres:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        query = statement.replace("%", "%%").replace("?", "%s")
        cursor = self._connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    def tables(self) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return [name for (name,) in self.execute(query)]

    def guards(self) -> list[tuple[str, str]]:
        query = (
            "SELECT tgname, pg_get_triggerdef(pg_trigger.oid) || tgenabled::text || prosrc"
            " FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal ORDER BY 1"
        )
        return [(name, definition) for name, definition in self.execute(query)]


@contextmanager
def raw_access(location: str) -> Iterator[Raw]:
    """A connection to the ledger at a location that knows nothing of the program."""
    if is_url(location):
        with connect(database_of(location)) as server:
            yield _RawPostgres(server)
    else:
        with closing(sqlite3.connect(location, isolation_level=None)) as file:
            yield _RawSqlite(file)


def rows_of(raw: Raw, *, without: str = "") -> list[tuple[Any, ...]]:
    """Every row of every table (but one), in an order that does not depend on where they lie."""
    tables = [table for table in raw.tables() if table != without]
    return [(table, *row) for table in tables for row in sorted(raw.execute(f'SELECT * FROM "{table}"'), key=repr)]


def contents(location: str) -> list[tuple[Any, ...]]:
    """All that a ledger holds, its triggers included."""
    with raw_access(location) as raw:
        return [*raw.guards(), *rows_of(raw)]


@contextmanager
def intruding(location: str) -> Iterator[Raw]:
    """As an intruder has it: no trigger, foreign key or other guard stands in the way; they are back at the end."""
    if is_url(location):
        with raw_access(location) as raw:
            raw.execute("SET session_replication_role = replica")  # a superuser's: no trigger fires
            yield raw
    else:
        with tampering(Path(location)) as connection:
            yield _RawSqlite(connection)


@contextmanager
def writing_meanwhile(location: str) -> Iterator[Raw]:
    """Somebody who is in the middle of a write, for as long as the context is open; nothing comes of it."""
    with raw_access(location) as raw:
        raw.execute("BEGIN" if is_url(location) else "BEGIN IMMEDIATE")
        if is_url(location):
            raw.execute("SELECT * FROM books FOR UPDATE")
        yield raw
        raw.execute("ROLLBACK")
