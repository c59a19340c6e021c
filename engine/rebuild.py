"""Rebuilding the projections from the log: fold aside, compare, swap in one transaction. Nothing is edited in place.

The fold of a long log runs in a reading transaction that holds no writer up; only what was appended meanwhile is folded
under the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from engine.projection_store import Change, Rows, count_rebuild, difference, read_rows, replace_rows, rows_of
from engine.repeating import always, repeated
from engine.standing_marks import MarksOfLog
from ledger import store
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.errors import StorageError, StorageFault
from ledger.integrity.raw_rows import any_text
from ledger.stored import StoredEvent
from projections.marks import Selection, Standing
from projections.state import EMPTY, BookState, fold

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuild's outcome: how many events were folded, what differed, and how long it took in seconds."""

    book: Book
    head: Head
    events: int
    changes: list[Change]
    seconds: float


def rebuild(database: Database, name: str, *, dry_run: bool = False, on_progress: OnProgress | None = None) -> Rebuilt:
    """Fold the book's log anew and swap the projections in; the dry run only says what would change.

    `on_progress` is called with the number of events folded so far. Raises Refused `book_unknown`; StorageError.
    """
    work = partial(_rebuild, database, name, dry_run=dry_run, on_progress=on_progress)
    return repeated(work, repeatable=always)


def _rebuild(database: Database, name: str, *, dry_run: bool, on_progress: OnProgress | None) -> Rebuilt:
    started = time.perf_counter()
    with database.reading() as connection:
        book, head = store.require_book(connection, name)
        state = _fold(connection, name, EMPTY, on_progress)
        _require_head(state, head)
        if dry_run:
            changes = _changes(connection, rows_of(state, book), name)
            return Rebuilt(book, head, state.version, changes, time.perf_counter() - started)
    with database.writing() as connection:
        book, head = store.require_book(connection, name, lock=True)
        state = _fold(connection, name, state, on_progress)
        _require_head(state, head)
        wanted = rows_of(state, book)
        changes = _changes(connection, wanted, name)
        if changes:
            replace_rows(connection, name, wanted)
            count_rebuild(connection, name)
    return Rebuilt(book, head, state.version, changes, time.perf_counter() - started)


def rebuild_all(connection: Connection) -> None:
    """Fold every book anew in the connection's writing transaction, and put right what is stored otherwise.

    Raises StorageError, as when the log cannot be read.
    """
    for name in store.book_names(connection):
        book, head = store.require_book(connection, name, lock=True)
        state = _fold(connection, name, EMPTY, None)
        _require_head(state, head)
        wanted = rows_of(state, book)
        if _changes(connection, wanted, name):
            replace_rows(connection, name, wanted)
            count_rebuild(connection, name)


def _require_head(state: BookState, head: Head) -> None:
    if state.version != head.version:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            "the log does not end where the book's head says, which a rebuild cannot repair",
            expected=f"version {head.version}",
            actual=f"version {state.version}",
            advice="run `netbasis check`, and restore a backup",
        )


def _changes(connection: Connection, wanted: Rows, name: str) -> list[Change]:
    with any_text(connection):
        return difference(read_rows(connection, name), wanted)


def _fold(connection: Connection, name: str, state: BookState, on_progress: OnProgress | None) -> BookState:
    events = store.read_events(connection, name, after=state.version)
    # Of a fold that goes on from an earlier state, the log is asked which mark is the newest that is left.
    standing: Standing = MarksOfLog(connection, name)
    if state.version == 0:
        standing = Selection(store.reversed_marks(connection, name))
    return fold(_counted(events, on_progress) if on_progress else events, state, standing)


def _counted(events: Iterable[StoredEvent], on_progress: OnProgress) -> Iterator[StoredEvent]:
    for event in events:
        yield event
        if event.version % store.ROWS_AT_ONCE == 0:
            on_progress(event.version)
