"""`backup`: a ledger into one SQLite file, while others go on writing; proved before it gets its name.

The copy is made under a temporary name, proved by `check`, put on the disk, and only then named, so that a file with a
backup's name is a whole one. Sealed segments are files of their own and no part of it, and neither are their rows in the
manifest: a segment is made from the log, and can be made again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

import migrations
from engine import schema
from engine.aside import folder_aside
from engine.bookkeeper import Bookkeeper
from engine.proof.check import LedgerReport, check_ledger
from engine.proof.request import NAMES, CheckRequest
from engine.reports.findings import finding_line
from engine.upkeep.backup_list import BackedUpBook, Backup, add_to_list, list_file, read_list
from engine.upkeep.copying import copy_book
from ledger import store
from ledger.database import whole_file
from ledger.database.connections import Database, translated
from ledger.errors import Refusal, StorageError, StorageFault, shown
from ledger.progress import OnProgress
from ledger.refusal_texts import refuse
from ledger.times import time_text

SEGMENTS = "segments"  # the manifest
HEADS = "SELECT book, head_version, head_hash FROM books ORDER BY book"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The outcome: what was made, where it was listed, and how many notes the check of the copy had."""

    backup: Backup
    listed_in: Path
    notes: list[str]


def back_up(source: Database, file: Path, *, now: datetime, on_progress: OnProgress | None = None) -> BackupReport:
    """Back a ledger up into a new file with mode 0600, and add it to the ledger's list.

    `now`: the time of the backup. Raises Refused `backup_exists`, `backup_unsound`, `book_unknown`, `file_unreadable`;
    StorageError; OSError, also for a backup that is there, and could not be listed.
    """
    file = file.absolute()
    if file.exists() or file.is_symlink() or whole_file.leftovers(file):
        refuse(Refusal.BACKUP_EXISTS, file=shown(str(file)))
    listed_in = list_file(source.location, file.parent)
    read_list(listed_in)  # before the work, not after it
    with whole_file.new_file(file, "part") as made, space_of(made):
        _copy(source, made, on_progress)
        checked = prove(made, now, on_progress)
        whole_file.in_one_file(made)
        with Database.open(str(made), "read") as copy:
            backup = _described(copy, file, made, now)
        try:
            whole_file.put_in_place(made, file)
        except FileExistsError:
            refuse(Refusal.BACKUP_EXISTS, file=shown(str(file)))
    add_to_list(listed_in, backup)
    return BackupReport(backup, listed_in, [note for book in checked.books for note in book.notes])


@contextmanager
def space_of(made: Path) -> Iterator[None]:
    """Within it a disk that is full is that of the copy, whatever the error names: nothing else is written."""
    try:
        yield
    except StorageError as error:
        if error.fault is StorageFault.DATABASE_FULL:
            error.what = f"the disk of {shown(str(made.parent))} has no room for the copy"
        raise


def _copy(source: Database, made: Path, on_progress: OnProgress | None) -> None:
    if source.dialect == "sqlite":
        with translated(source), closing(sqlite3.connect(made, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # it is put on the disk as a whole
            source.backup_to(copy)
            if copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [SEGMENTS]).fetchone():
                copy.execute(f"DELETE FROM {SEGMENTS}")  # noqa: S608
        return
    with Bookkeeper.open(str(made), "create") as copied, source.at_one_moment() as moment:
        with moment.reading() as connection:
            schema.require_newest(connection)
            names = store.book_names(connection)
        for name in names:
            copy_book(moment, copied.database, name, on_progress=on_progress)


def prove(made: Path, now: datetime, on_progress: OnProgress | None) -> LedgerReport:
    """Check a copy. One of an older schema is checked as it will be after an upgrade, which is tried on a copy of its own.

    Raises Refused `backup_unsound`, `book_unknown`; StorageError.
    """
    with Database.open(str(made), "read") as copy:
        with copy.reading() as connection:
            found = schema.current(connection)
        if found in migrations.REVISIONS[:-1]:
            with folder_aside("backup") as folder:
                aside = folder / "upgraded.db"
                with closing(sqlite3.connect(aside)) as second:
                    copy.backup_to(second)
                upgrade(aside)
                return prove(aside, now, on_progress)
        checked = check_ledger(copy, None, CheckRequest(NAMES, on_progress=on_progress, now=now))
    require_sound(checked)
    return checked


def require_sound(checked: LedgerReport, place: str = "") -> None:
    """Raises Refused `backup_unsound` with the first finding, if there is one. `place`: what to say before it."""
    if not checked.ok:
        findings = [*checked.findings, *(finding for book in checked.books for finding in book.findings)]
        refuse(Refusal.BACKUP_UNSOUND, actual=f"{place}{finding_line(findings[0])}")


def upgrade(file: Path) -> tuple[str | None, str]:
    """Migrate a copy to the newest schema; the revisions before and after. Raises StorageError."""
    with Database.open(str(file), "create") as database, database.writing() as connection:
        return schema.upgrade(connection)


def heads(database: Database) -> list[BackedUpBook]:
    """The heads of a ledger of any revision."""
    with database.reading() as connection:
        return heads_in(connection.execute(text(HEADS)))


def heads_in(rows: Iterable[Sequence[Any]]) -> list[BackedUpBook]:
    """The heads in the rows of `HEADS`."""
    return [BackedUpBook(name, version, hashed.hex()) for name, version, hashed in rows]


def _described(copy: Database, file: Path, made: Path, now: datetime) -> Backup:
    with copy.reading() as connection:
        revision = schema.current(connection)
    assert revision is not None
    with made.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Backup(str(file), time_text(now), made.stat().st_size, digest, revision, heads(copy))
