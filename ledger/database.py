"""Opening a database, its transactions, and the one translation of its errors.

SQLite is opened so that nothing surprises: the driver's own transactions are off, a writer begins with `BEGIN IMMEDIATE`
(so that it waits for the lock once, at the start) and a reader with plain `BEGIN` (one consistent snapshot, no lock that
a writer would wait for). A reader opens the file read-only and an existing file is never created by a mistyped path.
Every commit is on the disk when it returns (`synchronous=FULL`, WAL).
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

from ledger.errors import StorageError, StorageFault

Mode = Literal["read", "write", "create"]

BUSY_TIMEOUT_S = 30.0
_WRITES = "netbasis_writes"
_OPEN_AS = {"read": "ro", "write": "rw", "create": "rwc"}


class Database:
    """An open database. `location` is shown in messages and never carries a password."""

    def __init__(self, engine: Engine, location: str, mode: Mode) -> None:
        self._engine = engine
        self.location = location
        self.mode = mode

    @classmethod
    def open(cls, location: str, mode: Mode, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """Open a path (SQLite). `create` makes the file when it is not there; the folder must be.

        Raises StorageError: `url_not_supported`, `database_missing`, `not_a_database`; what only shows when the file is
        read (`database_unreadable`, …) is raised by the first transaction.
        """
        if "://" in location:
            raise StorageError(
                StorageFault.URL_NOT_SUPPORTED,
                "this version keeps its ledgers in SQLite files",
                expected="a path",
                actual=without_password(location),
                advice="give the path of the file, such as live.db",
            )
        path = Path(location).absolute()
        _require_file(path, mode)
        return cls(_sqlite_engine(path, mode, busy_timeout_s), location, mode)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one consistent state and writes nothing."""
        with translated(self.location), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; it commits at the end or leaves nothing."""
        assert self.mode != "read", "a database opened for reading is not written"
        with (
            translated(self.location),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def backup_to(self, copy: sqlite3.Connection) -> None:
        """Copy the whole database, as one consistent state, into another SQLite database."""
        with self.reading() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copy)

    def close(self) -> None:
        """Close all connections; the last one of a SQLite file moves the WAL into it."""
        with translated(self.location):
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def without_password(url: str) -> str:
    """A database URL for people: the password is not shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _require_file(path: Path, mode: Mode) -> None:
    # os.path answers also for a path that is too long or that may not be looked at; Path raises.
    if os.path.isdir(path):  # noqa: PTH112
        raise StorageError(
            StorageFault.NOT_A_DATABASE, f"{path} is a folder", expected="a file", advice="give the path of the file"
        )
    if mode != "create" and not os.path.exists(path):  # noqa: PTH110
        raise StorageError(
            StorageFault.DATABASE_MISSING,
            f"there is no database at {path}",
            advice="check the path, or make a new ledger there with `netbasis init`",
        )


def _sqlite_engine(path: Path, mode: Mode, busy_timeout_s: float) -> Engine:
    uri = f"file:{quote(os.fsencode(path))}?mode={_OPEN_AS[mode]}"
    if mode == "read" and not os.access(path.parent, os.W_OK) and not os.path.exists(f"{path}-wal"):  # noqa: PTH110
        uri += "&immutable=1"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    # Without a file in the URL SQLAlchemy would share one connection among all transactions of a thread.
    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if mode == "create" and connection.execute("PRAGMA schema_version").fetchone() == (0,):
            # Only of a file that is new: the mode is written to the file, and this one may be somebody else's.
            connection.execute("PRAGMA journal_mode = WAL")
        if mode == "read":
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


# SQLite's primary result codes, and what each means to the one who called.
_FAULTS: dict[str, tuple[StorageFault, str, str]] = {
    "SQLITE_BUSY": (
        StorageFault.DATABASE_BUSY,
        "another process has held the write lock too long",
        "wait for it, or find who holds the file open; an append with a key may safely be repeated",
    ),
    "SQLITE_FULL": (
        StorageFault.DATABASE_FULL,
        "the disk is full",
        "make room and repeat the command: nothing of it was written",
    ),
    "SQLITE_READONLY": (
        StorageFault.DATABASE_NOT_WRITABLE,
        "the database cannot be written",
        "check who owns the file and its folder: SQLite writes beside the file, too",
    ),
    "SQLITE_CANTOPEN": (
        StorageFault.DATABASE_UNREADABLE,
        "the database cannot be opened",
        "check that the folder exists and who owns the file and its folder",
    ),
    "SQLITE_PERM": (StorageFault.DATABASE_UNREADABLE, "the database may not be opened", "check who owns the file"),
    "SQLITE_NOTADB": (
        StorageFault.NOT_A_DATABASE,
        "the file is not a SQLite database",
        "check the path: nothing was written to the file",
    ),
    "SQLITE_CORRUPT": (
        StorageFault.DATABASE_DAMAGED,
        "the file is damaged",
        "keep a copy of it as it is, restore a backup, and append what is missing: keys make that safe",
    ),
    "SQLITE_IOERR": (
        StorageFault.DATABASE_FAILED,
        "the disk refused to read or write",
        "check the disk, its free space and the limits of the process; nothing of the command was written",
    ),
}


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Raises the database's errors as StorageError, from the original."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise _storage_error(error, location) from error
    except UnicodeDecodeError as error:
        # sqlite3 quotes the damaged schema in its message, and that cannot be decoded.
        fault, what, advice = _FAULTS["SQLITE_CORRUPT"]
        raise StorageError(fault, f"{location}: {what}", actual=error, advice=advice) from error


def _storage_error(error: DBAPIError | sqlite3.Error, location: str) -> StorageError:
    original = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(original, "sqlite_errorname", None) or ""
    primary = "_".join(name.split("_")[:2])
    unknown = (StorageFault.DATABASE_FAILED, "the database refused", "run `netbasis check`")
    fault, what, advice = _FAULTS.get(primary, unknown)
    return StorageError(fault, f"{location}: {what}", actual=f"{original} {name}".strip(), advice=advice)
