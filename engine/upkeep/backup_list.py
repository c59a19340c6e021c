"""`<ledger>.backups.json`: which backups were made of a ledger, newest last, so that `doctor` can say how old the newest is.

For a SQLite file it stands beside the file; for a server's database beside the backup, named after the database.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import make_url

from ledger.database.postgres import is_url
from ledger.database.whole_file import OWNER_ONLY, fsync_path
from ledger.errors import Refusal, Refused

SUFFIX = ".backups.json"
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class BackedUpBook:
    """A book in a backup: its name, and its head's version and hash (hexadecimal)."""

    book: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made.

    file:      its absolute path
    at:        when it was made, UTC
    bytes:     its size
    sha256:    of the file, hexadecimal
    revision:  of its schema
    books:     what it holds
    """

    file: str
    at: str
    bytes: int
    sha256: str
    revision: str
    books: list[BackedUpBook]


def list_file(location: str, folder: Path) -> Path:
    """Where the list of a ledger's backups stands. `folder`: of the backups, for a server's database."""
    if is_url(location):
        return folder.absolute() / f"{make_url(location).database or 'ledger'}{SUFFIX}"
    path = Path(location).resolve()  # a ledger has one list, whatever links lead to it
    return path.with_name(path.name + SUFFIX)


def read_list(file: Path) -> list[Backup]:
    """The backups in a list; none without a file. Raises Refused `file_unreadable`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES)
        return [
            Backup(**{**entry, "books": [BackedUpBook(**book) for book in entry["books"]]})
            for entry in json.loads(content)
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused(
            Refusal.FILE_UNREADABLE,
            f"the list of backups {file} cannot be read",
            actual=str(error),
            advice="move it away: the next backup begins a new one",
        ) from error


def add_to_list(file: Path, backup: Backup) -> None:
    """Add a backup to a list, which is replaced as a whole. Raises Refused `file_unreadable`; OSError."""
    with _alone(file.parent):
        backups = [*read_list(file), backup]
        made = file.with_name(f"{file.name}.{os.getpid()}")
        opened = os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, OWNER_ONLY)
        with os.fdopen(opened, "w", encoding="utf-8") as writing:
            json.dump([asdict(entry) for entry in backups], writing, indent=1)
            writing.write("\n")
            writing.flush()
            os.fsync(writing.fileno())
        made.replace(file)
        fsync_path(file.parent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time, so that two backups that end together are both in the list."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
