"""Opening a database, its transactions, and the one translation of its errors.

Two engines, one store: `sqlite` and `postgres` say how each is opened and what its errors mean; everything
else is the same to the byte.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError

from ledger.database import postgres, sqlite
from ledger.database.faults import WRITES, Fault, Mode
from ledger.database.sqlite import OnWait
from ledger.errors import StorageError, StorageFault

BUSY_TIMEOUT_S = 30.0
# The driver counts the rows of many only where they are a journey of their own.
ROWS_IN_ONE_JOURNEY = 20
_MISSPELT_URL = re.compile(r"postgres(ql)?(\+\w+)?(:|//)", re.IGNORECASE)
_UNKNOWN = Fault(StorageFault.DATABASE_FAILED, "the database refused", "run `netbasis check`")


class Database:
    """An open database. `location` is shown in messages and never carries a password."""

    def __init__(self, engine: Engine, location: str, mode: Mode, file: sqlite.File | None = None) -> None:
        self._engine = engine
        self._file = file
        self.location = location
        self.mode = mode

    @classmethod
    def open(
        cls, location: str, mode: Mode, *, busy_timeout_s: float = BUSY_TIMEOUT_S, on_wait: OnWait | None = None
    ) -> Self:
        """Open a path (SQLite) or a URL (`postgresql+psycopg://…`).

        `create` makes a file when it is not there; its folder, and a server's database, must be. `on_wait` is called when
        a writer of a SQLite file has waited for the lock for a second. Raises StorageError: `url_not_supported`,
        `extra_missing`, `database_missing`, `not_a_database`; what only shows when the database is used
        (`database_unreadable`, `access_denied`, …) is raised by the first transaction.
        """
        if postgres.is_url(location):
            return cls(
                postgres.open_engine(location, mode, busy_timeout_s=busy_timeout_s), without_password(location), mode
            )
        if "://" in location or _MISSPELT_URL.match(location):
            raise StorageError(
                StorageFault.URL_NOT_SUPPORTED,
                "no such kind of database",
                expected="the path of a SQLite file, or postgresql+psycopg://…",
                actual=without_password(location),
            )
        engine, file = sqlite.open_engine(location, mode, busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        return cls(engine, location, mode, file)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one consistent state and writes nothing."""
        with translated(self), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; it commits at the end or leaves nothing.

        Raises StorageError `database_moved` when a SQLite file no longer stands at its path: before the commit, then nothing
        was written; or after it, then the file that was moved away has what was written.
        """
        assert self.mode != "read", "a database opened for reading is not written"
        is_committing = False
        try:
            with (
                translated(self),
                self._engine.connect().execution_options(**{WRITES: True}) as connection,
                connection.begin(),
            ):
                yield connection
                if self._file is not None:
                    self._file.require_in_place()
                is_committing = True
            if self._file is not None:
                self._file.require_in_place()
        except StorageError as error:
            if error.fault is StorageFault.DATABASE_MOVED:
                self._leave_moved()
                if is_committing:
                    error.leave_outcome_unknown()
                    error.advice = "what was written is in the file that stood there: put that back, or append it again"
                raise
            # Any other fault is the server's answer: it has rolled back.
            is_lost = isinstance(error.__cause__, DBAPIError) and error.__cause__.connection_invalidated
            if is_committing and is_lost:
                error.leave_outcome_unknown()
            raise

    def backup_to(self, copy: sqlite3.Connection) -> None:
        """Copy the whole database, as one consistent state, into another SQLite database."""
        with self.reading() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copy)

    def use_wal(self, *, busy_timeout_s: float, on_wait: OnWait | None) -> None:
        """See to it that a SQLite file has a WAL: a copy made by `VACUUM INTO` has not, nor has one that was set back."""
        if self.dialect == "sqlite":
            with translated(self), self._engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                sqlite.use_wal(driver, busy_timeout_s=busy_timeout_s, on_wait=on_wait)

    def _leave_moved(self) -> None:
        with suppress(StorageError), translated(self), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            sqlite.leave_moved(driver)

    def close(self) -> None:
        """Close all connections; the last one of a SQLite file moves the WAL into it."""
        with translated(self):
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Around writes that belong together: to a server they go in one journey."""
    if connection.dialect.name == "postgresql":
        with postgres.together(connection):
            yield
    else:
        yield


@dataclass(frozen=True, slots=True)
class Write:
    """A statement and the rows that it is run for. `is_counted`: each must write one row, or the ledger was altered."""

    statement: Executable
    rows: Sequence[Mapping[str, Any]]
    is_counted: bool = True


def write_together(connection: Connection, writes: Sequence[Write]) -> None:
    """Run writes that belong together; to a server few rows go in one journey, many in one a statement.

    Raises StorageError `schema_altered` when the database has written another number of rows than it was given, as when a
    trigger or a rule of somebody else swallows them: nothing of the transaction may be acknowledged.
    """
    if sum(len(write.rows) for write in writes) <= ROWS_IN_ONE_JOURNEY:
        with together(connection):
            done = [(write, [connection.execute(write.statement, row) for row in write.rows]) for write in writes]
        # Of the cursor: in a journey the count comes when the result was made already.
        counts = [(write, sum(result.context.cursor.rowcount for result in results)) for write, results in done]
    else:
        kept = {"preserve_rowcount": True}  # else the cursor of many rows is closed, and its count gone
        counts = [
            (write, connection.execute(write.statement, list(write.rows), execution_options=kept).rowcount)
            for write in writes
            if write.rows
        ]
    for write, written in counts:
        if write.is_counted and written != len(write.rows):
            raise _swallowed(len(write.rows), written)


def _swallowed(given: int, written: int) -> StorageError:
    return StorageError(
        StorageFault.SCHEMA_ALTERED,
        "the database did not write the rows that it was given, so nothing of the transaction was kept",
        expected=f"{given} written",
        actual=written,
        advice="run `netbasis check`: a trigger, a rule or a policy that netbasis did not make hangs on its tables",
    )


def without_password(url: str) -> str:
    """A database URL for people: the password is not shown, neither before the host nor among the parameters."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"(/[^:/@]*):.*@", r"\1:***@", url))


@contextmanager
def translated(database: Database) -> Iterator[None]:
    """Raises the database's errors as StorageError, from the original."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        assert original is not None
        fault_of = postgres.fault_of if database.dialect == "postgresql" else sqlite.fault_of
        fault = fault_of(original) or _UNKNOWN
        name = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or ""
        # Where it could not connect to stands in the URL; a server's second line quotes the statement.
        said = str(original).strip().rpartition(" failed: ")[2].partition("\n")[0]
        actual = f"{said} {name}".strip()
        found = StorageError(fault.code, f"{database.location}: {fault.what}", actual=actual, advice=fault.advice)
        found.is_transient = fault.transient
        raise found from error
