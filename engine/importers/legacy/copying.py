"""A consistent copy of a SQLite database that another process may be writing to.

The original is only read, as bytes. SQLite never opens it, so no lock is taken, no file appears beside it and no WAL is
moved into it. The database is copied first, then its WAL and its rollback journal. A copy that was taken while the files
changed may be torn, so they are read a second time: if the database and its journal are unchanged and the WAL has only
grown, the copy is the state at one moment between the two readings, as after a crash, and SQLite can recover it. Otherwise
the copy is taken again.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from engine.aside import folder_aside
from ledger.database import sqlite
from ledger.errors import StorageError, StorageFault

PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_MAGIC = b"SQLite format 3\0"
_WAL = "-wal"
_SIDES = ("", _WAL, "-journal")
_BYTES_AT_ONCE = 1 << 20
_ADVICE = "the original was only read; check it with the engine that writes it, or import a backup of it"


@contextmanager
def copied_aside(file: str) -> Iterator[Path]:
    """The path of a consistent copy of a SQLite file, in a temporary folder that is removed at the end.

    Raises StorageError: `database_missing`, `not_a_database` (also for an empty file), `database_unreadable`,
    `database_damaged`, and `database_busy` when the file kept changing while it was copied.
    """
    source = _require_file(file)
    with folder_aside("legacy") as folder:
        try:
            copy = _sound_copy(source, folder)
        except PermissionError as error:
            raise StorageError(
                StorageFault.DATABASE_UNREADABLE,
                f"{source} may not be read",
                actual=error,
                advice="check who owns the file",
            ) from error
        yield copy


def _require_file(file: str) -> Path:
    # os.path returns False for a path that is too long or not accessible, where Path raises.
    if not os.path.exists(file):  # noqa: PTH110
        raise StorageError(StorageFault.DATABASE_MISSING, f"there is no file {file}", advice="check the path")
    if not os.path.isfile(file):  # noqa: PTH113
        raise StorageError(StorageFault.NOT_A_DATABASE, f"{file} is not a file", expected="a SQLite file")
    return Path(file).resolve()  # the WAL is beside the file that a link points to


def _sound_copy(source: Path, folder: Path) -> Path:
    for number, pause in enumerate(PAUSES_S):
        time.sleep(pause)
        copy = folder / f"{number}.db"
        if take_copy(source, copy) and is_still(source, copy):
            _require_sound(copy, source)
            return copy
    raise StorageError(
        StorageFault.DATABASE_BUSY,
        f"{source} kept changing while it was copied",
        advice="import when the engine writes less, or import a backup of it; nothing was written",
    )


def take_copy(source: Path, copy: Path) -> bool:
    """Copy a database with its WAL and journal; False when a file disappeared meanwhile."""
    for side in _SIDES:
        beside = Path(f"{source}{side}")
        if side == "" or beside.exists():
            try:
                shutil.copyfile(beside, f"{copy}{side}")
            except FileNotFoundError:
                return False
    return True


def is_still(source: Path, copy: Path) -> bool:
    """Whether a source is still what was copied, except that its WAL may have grown."""
    return all(_is_still(Path(f"{source}{side}"), Path(f"{copy}{side}"), side) for side in _SIDES)


def _is_still(source: Path, copy: Path, side: str) -> bool:
    if not copy.exists():
        return side == _WAL or not source.exists()
    try:
        return _starts_with(source, copy) if side == _WAL else filecmp.cmp(source, copy, shallow=False)
    except FileNotFoundError:
        return False


def _starts_with(longer: Path, beginning: Path) -> bool:
    with longer.open("rb") as whole, beginning.open("rb") as part:
        while read := part.read(_BYTES_AT_ONCE):
            if whole.read(len(read)) != read:
                return False
    return True


def _require_sound(copy: Path, source: Path) -> None:
    """Raises StorageError unless the copy is a SQLite database without damage."""
    with copy.open("rb") as opened:
        start = opened.read(len(_MAGIC))
    if start != _MAGIC:
        what = "is not a SQLite database" if start else "is empty"
        raise StorageError(
            StorageFault.NOT_A_DATABASE, f"{source} {what}", expected="a SQLite file", advice="check the path"
        )
    with reading(copy, source) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
    if found != ["ok"]:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED, f"{source} is damaged", actual="; ".join(found), advice=_ADVICE
        )


@contextmanager
def reading(copy: Path, source: str | Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy. Bytes that are not UTF-8 become surrogates; SQLite's errors are raised as StorageError."""
    try:
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute(
                "PRAGMA trusted_schema = OFF"
            )  # whoever made the file may have put anything into its views
            connection.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        fault = sqlite.fault_of(error)
        code = fault.code if fault else StorageFault.DATABASE_FAILED
        raise StorageError(code, f"{source} cannot be read", actual=error, advice=_ADVICE) from error
