"""A SQLite file as a thing on the disk: who has it open, holding it alone, and putting another in its place.

A program that has a ledger open holds a shared lock on the file for as long as it is connected (WAL). So whoever gets the
file alone knows that nobody else is at it, and keeps others waiting until he lets go.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

OWNER_ONLY = 0o600
_ENDS = ("-wal", "-journal", "-shm")
_LOCKS = Path("/proc/locks")
_LOCK_WORDS = 8
# Where SQLite's locks lie on a database file, and on the -shm beside it; https://sqlite.org/walformat.html
_FIRST_LOCK_BYTE = 0x40000000
_WRITER_BYTE = 120
_READER_BYTES = range(123, 128)


def holders(path: Path) -> list[int]:
    """The processes that hold a lock of SQLite on a file, as far as the system tells: Linux does, others give none."""
    return sorted({pid for pid, first, _ in _locks(path) if first >= _FIRST_LOCK_BYTE})


def in_transaction(path: Path) -> tuple[list[int], list[int]]:
    """The processes in a writing transaction of a file in WAL mode, and those in a reading one; as `holders`."""
    locks = _locks(Path(f"{path}-shm"))
    writers = {pid for pid, first, is_alone in locks if first == _WRITER_BYTE and is_alone}
    readers = {pid for pid, first, is_alone in locks if first in _READER_BYTES and not is_alone}
    return sorted(writers), sorted(readers)


def _locks(path: Path) -> list[tuple[int, int, bool]]:
    """The locks on a file: process, first byte, and whether nobody else can have it at the same time."""
    found: list[tuple[int, int, bool]] = []
    with suppress(OSError):
        file = path.stat()
        place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in _LOCKS.read_text("utf-8").splitlines():
            words = line.split()  # 4: POSIX  ADVISORY  READ 6717 fe:00:2146957 1073741826 1073742335
            if len(words) == _LOCK_WORDS and words[5] == place:
                found.append((int(words[4]), int(words[6]), words[3] == "WRITE"))
    return found


def fsync_path(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def new_file(path: Path, purpose: str) -> Iterator[Path]:
    """A new, empty file with mode 0600 beside `path`, named after it; at the end it is gone, unless it was moved."""
    made = path.with_name(f"{path.name}.{purpose}-{os.getpid()}")
    try:
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, OWNER_ONLY))
    except FileExistsError:
        raise
    except OSError as error:
        error.filename = str(path.parent)  # it is what is missing, or what nobody may write to
        raise
    try:
        made.chmod(OWNER_ONLY)
        yield made
    finally:
        for name in (made, *leftovers(made)):
            name.unlink(missing_ok=True)


def in_one_file(path: Path) -> None:
    """Move a database's WAL into it and leave WAL mode, so that the file alone is all of it; it is on the disk then."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = DELETE")
    fsync_path(path)


def put_in_place(made: Path, path: Path) -> None:
    """Give a new file its name. Raises FileExistsError when there is a file of that name."""
    try:
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        made.rename(path)
    made.unlink(missing_ok=True)
    fsync_path(path.parent)


def leftovers(path: Path) -> list[Path]:
    """What lies beside a path as if it belonged to a database there: SQLite would take it for that of a new file."""
    return [found for end in _ENDS if (found := Path(f"{path}{end}")).exists()]


def move_leftovers(path: Path, kept: Path) -> Path | None:
    """Give what another database has left beside a path other names; one of them, None when there was nothing."""
    moved = None
    for found in leftovers(path):
        moved = Path(f"{kept}{str(found).removeprefix(str(path))}")
        found.rename(moved)
    return moved


class InUse(Exception):
    """Somebody else has the file open."""


@contextmanager
def held_alone(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that nobody else can read or write beside; the file is in one piece, without a WAL.

    Raises InUse; sqlite3.Error for a file that is damaged or not a database.
    """
    uri = f"file:{quote(os.fsencode(path))}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)) as file:
        try:
            file.execute("PRAGMA locking_mode = EXCLUSIVE")
            file.execute("PRAGMA journal_mode = DELETE")
            file.execute("PRAGMA locking_mode = NORMAL")
            # From here on there is no journal that a name belongs to.
            file.execute("SELECT count(*) FROM sqlite_master")
            file.execute("BEGIN EXCLUSIVE")
            mode = file.execute("PRAGMA journal_mode").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise InUse from error
            raise
        if mode != ("delete",):  # somebody has opened it for writing in between
            raise InUse
        yield file
        file.execute("ROLLBACK")


def replace(path: Path, made: Path, kept: Path) -> None:
    """Put `made` at `path`, and keep the file that was there as `kept`: at every moment there is a whole file at `path`."""
    try:
        os.link(path, kept)
    except OSError:  # a file system without links: for a moment there is none
        path.rename(kept)
    made.replace(path)
    fsync_path(path.parent)
