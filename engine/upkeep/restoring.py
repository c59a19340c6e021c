"""`restore`: a backup becomes the ledger again, unless that would lose events or pull the ledger from under a program.

The backup is copied aside, upgraded when its schema is older, and proved by `check`. A file that is there already is held
alone meanwhile, and kept under another name. On a server the books are copied into the database, which must have no event
that the backup lacks.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, text

from engine import schema
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check_ledger
from engine.proof.request import NAMES, CheckRequest
from engine.upkeep.backup import HEADS, heads, heads_in, prove, require_sound, space_of, upgrade
from engine.upkeep.backup_list import BackedUpBook
from engine.upkeep.copying import copy_book
from ledger import store
from ledger.database import whole_file
from ledger.database.connections import Database, translated
from ledger.database.postgres import is_url
from ledger.errors import Refusal, StorageError, StorageFault, shown
from ledger.progress import OnProgress
from ledger.refusal_texts import refuse

_OTHERS = text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND application_name = 'netbasis' AND backend_type = 'client backend' ORDER BY pid"
)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The outcome of a restore.

    books:     what the ledger holds now
    revision:  of the backup's schema; another than `newest` when it was upgraded
    newest:    of the ledger's schema now
    kept:      what was there before, under its new name; None when there was nothing, and for a server
    """

    books: list[BackedUpBook]
    revision: str
    newest: str
    kept: Path | None


def restore(location: str, file: Path, *, now: datetime, on_progress: OnProgress | None = None) -> RestoreReport:
    """Make a backup the ledger at a path or URL.

    Raises Refused `restore_loses`, `ledger_in_use`, `backup_unsound`, `book_unknown`; StorageError; OSError.
    """
    target = Path(location).resolve()  # of a link, the ledger that it leads to
    beside = file.absolute() if is_url(location) else target
    with whole_file.new_file(beside, "restoring") as made, space_of(made):
        with Database.open(str(file), "read") as backup, translated(backup), closing(sqlite3.connect(made)) as copy:
            copy.execute("PRAGMA synchronous = OFF")
            with backup.reading() as connection:
                _require_ledger(connection, file)
            backup.backup_to(copy)
        before, newest = upgrade(made)
        assert before is not None
        prove(made, now, on_progress)
        whole_file.in_one_file(made)
        with Database.open(str(made), "read") as copied:
            books = heads(copied)
            if is_url(location):
                _into_server(location, copied, now, on_progress)
                return RestoreReport(books, before, newest, None)
            if target.exists():
                _require_nothing_lost(target, copied)
        kept = _into_place(target, made, now)
    return RestoreReport(books, before, newest, kept)


def _require_ledger(connection: Connection, file: Path) -> None:
    """Raises StorageError `not_a_ledger` for an empty database, which an upgrade would make a ledger of."""
    if schema.current(connection) is None:
        raise StorageError(
            StorageFault.NOT_A_LEDGER,
            f"{file} is empty",
            expected="a backup, or another SQLite ledger",
            advice="name the file that `netbasis backup` made",
        )


def _require_nothing_lost(target: Path, copied: Database) -> None:
    """Raises Refused `restore_loses`; StorageError for a file whose heads cannot be read."""
    try:
        with Database.open(str(target), "read") as there:
            with there.reading() as connection:
                if schema.current(connection) is None:
                    return
            found = heads(there)
    except StorageError as error:
        if error.fault is not StorageFault.NOT_A_LEDGER:
            error.advice = "its heads cannot be read: move it away, with its -wal if it has one, and restore again"
        raise
    require_contained(found, copied)


def require_contained(found: list[BackedUpBook], copied: Database) -> None:
    """Raises Refused `restore_loses` when a ledger with these heads has events that the backup lacks."""
    with copied.reading() as connection:
        names = store.book_names(connection)
        for there in found:
            stored = store.find_event(connection, there.book, there.version) if there.book in names else None
            if stored is not None and stored.hash.hex() == there.hash:
                continue
            if there.book not in names:
                at = "the backup does not have the book"
            elif stored is not None:
                at = "it has another event there"
            else:
                at = f"its head there is at {store.require_book(connection, there.book)[1].version}"
            refuse(Refusal.RESTORE_LOSES, book=shown(there.book), version=there.version, at=at)


def _into_place(target: Path, made: Path, now: datetime) -> Path | None:
    kept = target.with_name(f"{target.name}.replaced-{now:%Y%m%dT%H%M%S%fZ}")
    if not target.exists():
        left = whole_file.move_leftovers(target, kept)
        with suppress(FileExistsError):
            whole_file.put_in_place(made, target)
            return left
    try:
        with whole_file.held_alone(target) as held:
            there = heads_in(held.execute(HEADS)) if _has_books(held) else []
            with Database.open(str(made), "read") as copied:
                require_contained(there, copied)
            whole_file.replace(target, made, kept)
    except whole_file.InUse:
        pids = ", ".join(map(str, whole_file.holders(target)))
        refuse(Refusal.LEDGER_IN_USE, actual=f"process {pids}" if pids else None)
    return kept


def _has_books(held: sqlite3.Connection) -> bool:
    return held.execute("SELECT 1 FROM sqlite_master WHERE name = 'books'").fetchone() is not None


def _into_server(location: str, copied: Database, now: datetime, on_progress: OnProgress | None) -> None:
    with Database.open(location, "read") as there:
        with there.reading() as connection:
            others = connection.scalars(_OTHERS).all()
            if others:
                refuse(Refusal.LEDGER_IN_USE, actual=f"server process {', '.join(map(str, others))}")
            is_empty = schema.current(connection) is None
        if not is_empty:
            require_contained(heads(there), copied)
    with Bookkeeper.open(location, "create") as into:
        with copied.reading() as connection:
            names = store.book_names(connection)
        for name in names:
            copy_book(copied, into.database, name, on_progress=on_progress)
        checked = check_ledger(into.database, None, CheckRequest(NAMES, on_progress=on_progress, now=now))
    require_sound(checked, "on the server: ")
