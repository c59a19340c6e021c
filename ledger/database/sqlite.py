"""SQLite as an engine: how a file is opened, and what its errors mean.

The driver's own transactions are off, a writer begins with `BEGIN IMMEDIATE` (so that it waits for the lock once, at the
start) and a reader with plain `BEGIN` (one consistent snapshot, no lock that a writer would wait for). A reader opens the
file read-only and an existing file is never created by a mistyped path. Every commit is on the disk when it returns
(`synchronous=FULL`, WAL). A new file is for its owner only (mode 0600), and so are the ones that SQLite makes beside it,
which take its mode. Where the file no longer stands at its path, nothing is acknowledged (`File.require_in_place`).
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

from ledger.database.faults import WRITES, Fault, Mode
from ledger.errors import StorageError, StorageFault

OnWait = Callable[[], None]

# How long a writer waits before it says that it does.
QUIET_WAIT_S = 1.0
# How long between two attempts at a lock that SQLite does not wait for.
_PAUSE_S = 0.02
_OPEN_AS = {"read": "ro", "write": "rw", "create": "rwc"}
_OWNER_ONLY = 0o600


class File:
    """The file of an engine: the one that stood at the path when it was opened first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    @contextmanager
    def being_opened(self) -> Iterator[None]:
        """Around opening the path: what stands there before and afterwards is one file, and that of every other time.

        Raises StorageError `database_moved`.
        """
        self._opened = self._opened or self._standing()
        yield
        self._opened = self._opened or self._standing()
        self.require_in_place()

    def require_in_place(self) -> None:
        """Raises StorageError `database_moved` unless the file that was opened still stands at its path."""
        found = self._standing()
        if found == self._opened:
            return
        what = "was removed or moved away" if found is None else "was replaced: another file stands at its path"
        raise StorageError(
            StorageFault.DATABASE_MOVED,
            f"the file {self._path} {what} while it was written to",
            advice="nothing of this was written; what was committed before is in the file that stood there: put that back, "
            "or a backup if it was removed, and append what is missing: keys make that safe",
        )

    def _standing(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once for each commit
        except OSError:
            return None
        return found.st_dev, found.st_ino


def open_engine(location: str, mode: Mode, *, busy_timeout_s: float, on_wait: OnWait | None) -> tuple[Engine, File]:
    """An engine on a file, and that file. `on_wait` is called when a writer has waited for the lock for a second.

    Raises StorageError `database_missing`, `not_a_database`, `database_unreadable`.
    """
    if "\0" in location:
        raise StorageError(
            StorageFault.DATABASE_UNREADABLE, "the path has a NUL", actual=location, advice="give the path of the file"
        )
    path = Path(location).absolute()
    _require_file(path, mode)
    file = File(path)
    uri = f"file:{quote(os.fsencode(path))}?mode={_OPEN_AS[mode]}"
    writable = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    if mode == "read" and not writable and not os.path.exists(f"{path}-wal"):  # noqa: PTH110
        uri += "&immutable=1"

    def connect() -> sqlite3.Connection:
        if mode == "create":
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

    # Without a file in the URL SQLAlchemy would share one connection among all transactions of a thread.
    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if mode == "create" and connection.execute("PRAGMA schema_version").fetchone() == (0,):
            # Only of a file that is new: the mode is written to the file, and this one may be somebody else's.
            use_wal(connection, busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        if mode == "read":
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES, False):
            _begin_writing(connection, busy_timeout_s, on_wait)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine, file


def _make_for_owner(path: Path) -> None:
    """Make the file where there is none, for its owner only whatever the umask; what hinders it SQLite will say."""
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
    """Move the WAL into a file that was moved away, as far as that can be done.

    SQLite would leave it at the old path: what was committed would be missing in the file, and the next file at that path
    would be taken to be the one that it belongs to.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def use_wal(connection: sqlite3.Connection, *, busy_timeout_s: float, on_wait: OnWait | None) -> None:
    """Give the file a WAL. SQLite does not wait for the locks that this takes, so they are waited for here."""
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


# SQLite's primary result codes, and what each means to the one who called.
_FAULTS: dict[str, Fault] = {
    "SQLITE_BUSY": Fault(
        StorageFault.DATABASE_BUSY,
        "another process has held the write lock too long",
        "wait for it, or find who holds the file open, and repeat it: nothing of it was written",
    ),
    "SQLITE_FULL": Fault(
        StorageFault.DATABASE_FULL,
        "the disk is full",
        "make room and repeat the command: nothing of it was written",
    ),
    "SQLITE_READONLY": Fault(
        StorageFault.DATABASE_NOT_WRITABLE,
        "the database cannot be written",
        "check who owns the file and its folder: SQLite writes beside the file, too",
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
        "check the disk, its free space and the limits of the process; nothing of the command was written",
    ),
}


def fault_of(error: BaseException) -> Fault | None:
    """What an error of the driver means; None for one that is not known."""
    if isinstance(error, UnicodeDecodeError):
        # sqlite3 quotes the damaged schema in its message, and that cannot be decoded.
        return _FAULTS["SQLITE_CORRUPT"]
    name: str = getattr(error, "sqlite_errorname", None) or ""
    return _FAULTS.get("_".join(name.split("_")[:2]))
