"""Opening a database, its transactions, and the only place where its errors are translated.

`sqlite` and `postgres` say how each engine is opened and what its errors mean; everything else is the same for both.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable, Table
from sqlalchemy.exc import DBAPIError

from ledger.database import postgres, sqlite
from ledger.database.driver import select_text
from ledger.database.faults import WRITES, Access, Fault
from ledger.database.interrupts import interruptible
from ledger.database.sqlite import OnWait
from ledger.errors import StorageError, StorageFault

BUSY_TIMEOUT_S = 30.0
# Up to so many rows, all statements go to a server in one round trip; above that, one round trip for each statement.
ROWS_IN_ONE_ROUND_TRIP = 20
_MISSPELT_URL = re.compile(r"postgres(ql)?(\+\w+)?(:|//)", re.IGNORECASE)
_UNKNOWN = Fault(StorageFault.DATABASE_FAILED, "the database refused", "run `netbasis check`")


class Database:
    """An open database.

    location:  for messages; never contains a password
    access:    what it was opened for
    address:   what another process opens it by, with the password if there is one; None for a moment of a database
    """

    def __init__(
        self,
        engine: Engine,
        location: str,
        access: Access,
        file: sqlite.File | None = None,
        address: str | None = None,
    ) -> None:
        self._engine = engine
        self._file = file
        self.location = location
        self.access = access
        self.address = address

    @classmethod
    def open(
        cls, location: str, access: Access, *, busy_timeout_s: float = BUSY_TIMEOUT_S, on_wait: OnWait | None = None
    ) -> Self:
        """Open a path (SQLite) or a URL (`postgresql+psycopg://…`).

        `access`: `create` makes a SQLite file if there is none; its folder, or the database on a server, must exist.
        `busy_timeout_s`: how long a writer waits for a lock. `on_wait`: called when a writer of a SQLite file has waited
        for one second. Raises StorageError: `url_not_supported`, `extra_missing`, `database_missing`, `not_a_database`.
        Faults that show only in use (`database_unreadable`, `access_denied`, …) are raised by the first transaction.
        """
        if postgres.is_url(location):
            return cls(
                postgres.open_engine(location, access, busy_timeout_s=busy_timeout_s),
                without_password(location),
                access,
                address=location,
            )
        if "://" in location or _MISSPELT_URL.match(location):
            raise StorageError(
                StorageFault.URL_NOT_SUPPORTED,
                "no such kind of database",
                expected="the path of a SQLite file, or postgresql+psycopg://…",
                actual=without_password(location),
            )
        engine, file = sqlite.open_engine(location, access, busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        return cls(engine, location, access, file, location)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction that sees one consistent state. Raises StorageError."""
        with translated(self), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits at the end; an exception rolls it back.

        On SQLite it holds the write lock from its start. Raises StorageError; `database_moved` when the SQLite file is no
        longer at its path. If that is found before the commit, nothing was written; if after it, the file that was moved
        away has what was written (`outcome_is_unknown`).
        """
        assert self.access != "read", "a database opened for reading is not written"
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
                    error.advice = "what was written is in the file that was moved: put it back, or append again"
                raise
            # With any other fault the server has answered, and has rolled back.
            is_lost = isinstance(error.__cause__, DBAPIError) and error.__cause__.connection_invalidated
            if is_committing and is_lost:
                error.leave_outcome_unknown()
            raise

    def require_in_place(self) -> None:
        """For a reader: raises StorageError `database_moved` unless a SQLite file is still at its path."""
        if self._file is not None:
            self._file.require_in_place(is_reading=True)

    @contextmanager
    def at_one_moment(self) -> Iterator[Database]:
        """This database as it is now: whatever is read from what is yielded is one consistent state. Raises StorageError."""
        with self.reading() as connection:
            yield _Moment(self, connection)

    def backup_to(self, copy: sqlite3.Connection) -> None:
        """Copy the whole database, as one consistent state, into another SQLite database."""
        with self.reading() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copy)

    def use_wal(self, *, busy_timeout_s: float, on_wait: OnWait | None) -> None:
        """Put a SQLite file into WAL mode: a copy made by `VACUUM INTO`, for example, is not. Raises StorageError."""
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
        """Close all connections; closing the last one of a SQLite file moves the WAL into the file."""
        with translated(self):
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Moment(Database):
    """A database all of whose reading happens in one transaction, which somebody else ends."""

    def __init__(self, database: Database, connection: Connection) -> None:
        super().__init__(database._engine, database.location, "read")
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with translated(self):
            yield self._connection

    def close(self) -> None:
        pass


def change_mark(connection: Connection) -> tuple[object, ...] | None:
    """What differs as soon as anybody has written to a SQLite file, by this connection or by another; None on a server.

    To be asked while the write lock is held. Equal marks: nothing was written in between.
    """
    if connection.dialect.name != "sqlite":
        return None
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    # SQLite counts the commits of all others, and the rows that this connection has changed.
    (commits_of_others,) = driver.execute("PRAGMA data_version").fetchone()
    return driver, commits_of_others, driver.total_changes


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Around statements that belong together: they go to a server in one round trip."""
    if connection.dialect.name == "postgresql":
        with postgres.together(connection):
            yield
    else:
        yield


def as_database_error(connection: Connection) -> AbstractContextManager[None]:
    """Within it, errors of a server's driver are raised as SQLAlchemy does; those of SQLite's are known as they are."""
    return postgres.as_database_error() if connection.dialect.name == "postgresql" else nullcontext()


def ask(connection: Connection, table: Table, name: str, **by: object) -> Any:
    """A column of the first row in which others are what is given, as the driver has it: not decoded. None for no row."""
    query = select_text(table, connection.dialect.name, name, tuple(by))
    driver: Any = connection.connection.driver_connection
    with as_database_error(connection):
        row = driver.execute(query, tuple(by.values())).fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Write:
    """A statement and the rows to run it for: by name for SQLAlchemy, or for a text as the driver takes them.

    is_counted:  each row must write exactly one row, or else somebody has altered the ledger
    copy:        the COPY by which a server takes many of these rows in half the time; None where there is none
    """

    statement: Executable | str
    rows: Sequence[Any]
    is_counted: bool = True
    copy: str | None = None

    def one_by_one(self, connection: Connection, driver: Any) -> list[Any]:
        """Run it for each row; the cursors, whose counts stand once the answers are there."""
        if isinstance(self.statement, str):
            return [driver.execute(self.statement, row) for row in self.rows]
        return [connection.execute(self.statement, row).context.cursor for row in self.rows]

    def at_once(self, connection: Connection, driver: Any) -> int:
        """Run it for all rows; how many were written."""
        if isinstance(self.statement, str):
            cursor = driver.cursor()
            if self.copy is not None and connection.dialect.name == "postgresql":
                with cursor.copy(self.copy) as copy:
                    for row in self.rows:
                        copy.write_row(row)
            else:
                cursor.executemany(self.statement, self.rows)
            return int(cursor.rowcount)
        # With preserve_rowcount, since otherwise the cursor is closed, and its count lost.
        result = connection.execute(self.statement, list(self.rows), execution_options={"preserve_rowcount": True})
        return result.rowcount


def write_together(connection: Connection, writes: Sequence[Write]) -> None:
    """Run writes that belong together, in as few round trips as possible.

    Raises StorageError `schema_altered` when the database wrote fewer or more rows than it was given, for example because
    somebody's trigger or rule swallows them. The transaction must then be rolled back.
    """
    driver = connection.connection.driver_connection
    if sum(len(write.rows) for write in writes) <= ROWS_IN_ONE_ROUND_TRIP:
        with together(connection):
            done = [(write, write.one_by_one(connection, driver)) for write in writes]
        counts = [(write, sum(cursor.rowcount for cursor in cursors)) for write, cursors in done]
    else:
        with as_database_error(connection):
            counts = [(write, write.at_once(connection, driver)) for write in writes if write.rows]
    for write, written in counts:
        if write.is_counted and written != len(write.rows):
            raise _swallowed(len(write.rows), written)


def _swallowed(given: int, written: int) -> StorageError:
    return StorageError(
        StorageFault.SCHEMA_ALTERED,
        "the database did not write the rows that it was given, so the transaction was rolled back",
        expected=f"{given} written",
        actual=written,
        advice="run `netbasis check`: its tables have a trigger, a rule or a policy that netbasis did not make",
    )


def without_password(url: str) -> str:
    """A database URL with its password replaced by `***`, both before the host and among the parameters."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"(/[^:/@]*):.*@", r"\1:***@", url))


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that may fail by itself: on a server, an error outside of one ends the transaction."""
    with interruptible(), connection.begin_nested():
        yield


@contextmanager
def translated(database: Database) -> Iterator[None]:
    """Within it, errors of the database's driver are raised as StorageError."""
    try:
        with interruptible():
            yield
    except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        assert original is not None
        fault_of = postgres.fault_of if database.dialect == "postgresql" else sqlite.fault_of
        fault = fault_of(original) or _UNKNOWN
        name = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or ""
        # Without the address, which is in the location, and without the second line, which quotes the statement.
        said = str(original).strip().rpartition(" failed: ")[2].partition("\n")[0]
        actual = f"{said} {name}".strip()
        found = StorageError(fault.code, f"{database.location}: {fault.what}", actual=actual, advice=fault.advice)
        found.is_transient = fault.transient
        raise found from error
