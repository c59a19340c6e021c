"""Rebuilding the projections from the log: fold aside, compare, swap in one transaction. Nothing is edited in place.

The fold of a long log runs in a reading transaction that holds no writer up; only what was appended meanwhile is folded
under the lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from engine.columns.choosing import Engine, fold_log
from engine.projection_store import count_rebuild, replace_rows
from engine.refolding import changes_of, folded, require_head
from engine.retrying import always, retry
from ledger import store
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.progress import OnProgress
from projections.rows import Difference, rows_of
from projections.state import EMPTY


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """A rebuild's outcome: how many events were folded, what differed, and how long it took in seconds."""

    book: Book
    head: Head
    events: int
    changes: list[Difference]
    seconds: float


def rebuild(
    database: Database,
    name: str,
    *,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
    engine: Engine = "rows",
) -> RebuildReport:
    """Fold the book's log anew and swap the projections in; the dry run only says what would change.

    `on_progress` is called with the number of events folded so far. `engine`: whether sealed ranges are folded from their
    segments. Raises Refused `book_unknown`, `segments_missing`; StorageError.
    """
    work = partial(_rebuild, database, name, dry_run=dry_run, on_progress=on_progress, engine=engine)
    return retry(work, safe_to_repeat=always)


def _rebuild(
    database: Database, name: str, *, dry_run: bool, on_progress: OnProgress | None, engine: Engine
) -> RebuildReport:
    started = time.perf_counter()
    with database.reading() as connection:
        book, head = store.require_book(connection, name)
        of_segments = fold_log(database, connection, book, head, engine, on_progress)
        state = folded(connection, name, EMPTY, on_progress) if of_segments is None else of_segments
        require_head(state, head)
        if dry_run:
            changes = changes_of(connection, rows_of(state, book), name)
            return RebuildReport(book, head, state.version, changes, time.perf_counter() - started)
    with database.writing() as connection:
        book, head = store.require_book(connection, name, lock=True)
        state = folded(connection, name, state, on_progress)
        require_head(state, head)
        wanted = rows_of(state, book)
        changes = changes_of(connection, wanted, name)
        if changes:
            replace_rows(connection, name, wanted)
            count_rebuild(connection, name)
    return RebuildReport(book, head, state.version, changes, time.perf_counter() - started)
