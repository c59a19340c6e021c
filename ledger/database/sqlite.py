"""SQLite: how a file is opened, and what its errors mean.

The driver's own transaction handling is off. A writer begins with `BEGIN IMMEDIATE`, so it waits for the lock once, at the
start; a reader begins with `BEGIN`, sees one consistent state, and blocks no writer. Readers open the file read-only, and
only access `create` makes a file, so a mistyped path never does. A commit is on the disk when it returns
(`synchronous=FULL`, WAL). A new file has mode 0600, and so have the files that SQLite makes beside it. Once the file is no
longer at its path, nothing is acknowledged (`File.require_in_place`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from ledger.database.faults import WRITES, Access, Fault
from ledger.database.statements import COMPILED
from ledger.errors import StorageError, StorageFault

OnWait = Callable[[], None]

# How long a writer waits before `on_wait` is called.
QUIET_WAIT_S = 1.0
# The pause between two attempts at a lock that SQLite itself does not wait for.
_PAUSE_S = 0.02
# Of a writer's pages, in KiB. In a long log a thousand new keys lie on as many pages, and those that SQLite's 2 MiB cannot
# hold are written and read again before the commit.
_CACHE_KIB = 16 << 10
_OPEN_AS = {"read": "ro", "write": "rw", "create": "rwc"}
_OWNER_ONLY = 0o600


class File:
    """The database file: the one that was at the path when it was first opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    @contextmanager
    def being_opened(self) -> Iterator[None]:
        """Around opening the path. Raises StorageError `database_moved` unless it is the same file each time."""
        self._opened = self._opened or self._standing()
        yield
        self._opened = self._opened or self._standing()
        self.require_in_place()

    def require_in_place(self, *, is_reading: bool = False) -> None:
        """Raises StorageError `database_moved` unless the file that was opened is still at its path.

        `is_reading`: nobody writes, which the message says.
        """
        found = self._standing()
        if found == self._opened:
            return
        what = "was removed or moved away" if found is None else "was replaced by another file"
        raise StorageError(
            StorageFault.DATABASE_MOVED,
            f"the file {self._path} {what} {'while it was read' if is_reading else 'during the write'}",
            advice="put the original file back, or begin anew with the one that is there"
            if is_reading
            else "nothing was written; what was committed before is in the original file: put it back, "
            "or restore a backup if it was removed, and append what is missing: keys make that safe",
        )

    def _standing(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once for each commit
        except OSError:
            return None
        return found.st_dev, found.st_ino


def open_engine(location: str, access: Access, *, busy_timeout_s: float, on_wait: OnWait | None) -> tuple[Engine, File]:
    """A SQLAlchemy engine for a file, and that file. Arguments as in `Database.open`.

    Raises StorageError `database_missing`, `not_a_database`, `database_unreadable`.
    """
    if "\0" in location:
        raise StorageError(
            StorageFault.DATABASE_UNREADABLE, "the path has a NUL", actual=location, advice="give the path of the file"
        )
    path = Path(location).absolute()
    _require_file(path, access)
    file = File(path)
    uri = f"file:{quote(os.fsencode(path))}?mode={_OPEN_AS[access]}"
    writable = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    if access == "read" and not writable and not os.path.exists(f"{path}-wal"):  # noqa: PTH110
        uri += "&immutable=1"

    def connect() -> sqlite3.Connection:
        if access == "create":
            _make_for_owner(path)
        with file.being_opened():
            return sqlite3.connect(
                uri,
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )

    # The pool is named since, without a file in the URL, SQLAlchemy would use one connection for all of a thread.
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        max_overflow=-1,
        execution_options={"compiled_cache": COMPILED},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if access == "create" and connection.execute("PRAGMA schema_version").fetchone() == (0,):
            # Only for a new file: WAL mode is written into the file, and an existing one may belong to somebody else.
            use_wal(connection, busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        if access == "read":
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES, False):
            _begin_writing(connection, busy_timeout_s, on_wait)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine, file


def _make_for_owner(path: Path) -> None:
    """Create the file with mode 0600 whatever the umask, if there is none. Errors are left for SQLite to report."""
    with suppress(OSError):
        made = os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            os.fchmod(made, _OWNER_ONLY)
        finally:
            os.close(made)


def _begin_writing(connection: Connection, busy_timeout_s: float, on_wait: OnWait | None) -> None:
    driver: Any = connection.connection.dbapi_connection
    quiet = min(QUIET_WAIT_S, busy_timeout_s)
    try:
        driver.execute(f"PRAGMA busy_timeout = {int(quiet * 1000)}")
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not _is_busy(error) or busy_timeout_s <= quiet:
            raise
        if on_wait is not None:
            on_wait()
        driver.execute(f"PRAGMA busy_timeout = {int((busy_timeout_s - quiet) * 1000)}")
        driver.execute("BEGIN IMMEDIATE")


def leave_moved(connection: sqlite3.Connection) -> None:
    """Move the WAL into a file that was moved away, as far as possible.

    SQLite would leave the WAL at the old path: the file would lack what was committed, and the next file at that path would
    be taken for the WAL's owner.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def use_wal(connection: sqlite3.Connection, *, busy_timeout_s: float, on_wait: OnWait | None) -> None:
    """Put the file into WAL mode. SQLite does not wait for the locks that this takes, so this function does."""
    began = time.monotonic()
    connection.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            waited_s = time.monotonic() - began
            if not _is_busy(error) or waited_s >= busy_timeout_s:
                raise
        if on_wait is not None and waited_s >= QUIET_WAIT_S:
            on_wait()
            on_wait = None
        time.sleep(_PAUSE_S)
    connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _require_file(path: Path, access: Access) -> None:
    # os.path returns False for a path that is too long or not accessible, where Path raises.
    if os.path.isdir(path):  # noqa: PTH112
        raise StorageError(
            StorageFault.NOT_A_DATABASE, f"{path} is a folder", expected="a file", advice="give the path of the file"
        )
    if access != "create" and not os.path.exists(path):  # noqa: PTH110
        raise StorageError(
            StorageFault.DATABASE_MISSING,
            f"there is no database at {path}",
            advice="check the path, or make a new ledger there with `netbasis init`",
        )


# SQLite's primary result codes, and what each means for the caller.
_FAULTS: dict[str, Fault] = {
    "SQLITE_BUSY": Fault(
        StorageFault.DATABASE_BUSY,
        "another process has held the write lock too long",
        "wait for it, or find out who has the file open, then try again: nothing was written",
    ),
    "SQLITE_FULL": Fault(
        StorageFault.DATABASE_FULL,
        "the disk is full",
        "free some space and try again: nothing was written",
    ),
    "SQLITE_READONLY": Fault(
        StorageFault.DATABASE_NOT_WRITABLE,
        "the database cannot be written",
        "check who owns the file and its folder: SQLite also writes beside the file",
    ),
    "SQLITE_CANTOPEN": Fault(
        StorageFault.DATABASE_UNREADABLE,
        "the database cannot be opened",
        "check that the folder exists and who owns the file and its folder",
    ),
    "SQLITE_PERM": Fault(StorageFault.DATABASE_UNREADABLE, "the database may not be opened", "check who owns the file"),
    "SQLITE_NOTADB": Fault(
        StorageFault.NOT_A_DATABASE,
        "the file is not a SQLite database",
        "check the path: nothing was written to the file",
    ),
    "SQLITE_CORRUPT": Fault(
        StorageFault.DATABASE_DAMAGED,
        "the file is damaged",
        "keep a copy of it as it is, restore a backup, and append what is missing: keys make that safe",
    ),
    "SQLITE_IOERR": Fault(
        StorageFault.DATABASE_FAILED,
        "the disk refused to read or write",
        "check the disk, its free space and the limits of the process; nothing was written",
    ),
}


def fault_of(error: BaseException) -> Fault | None:
    """What an error of the driver means; None for an unknown error."""
    if isinstance(error, UnicodeDecodeError):
        # The message of sqlite3 quotes the damaged schema, which cannot be decoded.
        return _FAULTS["SQLITE_CORRUPT"]
    name: str = getattr(error, "sqlite_errorname", None) or ""
    return _FAULTS.get("_".join(name.split("_")[:2]))
