"""What a command reads sealed ranges from, as `--engine` says; what reads segments is imported when there are some.

rows       the rows of the log, always
columns    segments; refused where the book has none, or where their libraries are not installed
auto       segments where there are some that can be read, else rows
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection

from engine.columns.manifest import has_segments
from engine.views import EventsOf, FoldOf, Moment, RegisterFilter, events_of_rows, fold_of_rows
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.errors import Refusal, StorageError, StorageFault
from ledger.progress import OnProgress
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from projections.register import SkippedEvents
from projections.state import BookState

if TYPE_CHECKING:
    from engine.columns.believed import TrustedSegments

Engine = Literal["rows", "columns", "auto"]


def believed(
    database: Database, connection: Connection, book: Book, head: Head, engine: Engine
) -> TrustedSegments | None:
    """The segments to use; None where rows are to be read.

    Raises Refused `segments_missing` and StorageError `extra_missing` where `engine` is `columns`.
    """
    if engine == "rows":
        return None
    if not has_segments(connection, book.name):
        if engine == "columns":
            refuse(Refusal.SEGMENTS_MISSING, actual=book.name)
        return None
    from engine.columns.believed import TrustedSegments
    from engine.columns.duck import require_extra
    from engine.columns.sealing import store_of

    try:
        require_extra()
    except StorageError as error:
        if engine == "columns" or error.fault is not StorageFault.EXTRA_MISSING:
            raise
        return None
    return TrustedSegments(connection, book, head, partial(store_of, database))


def fold_log(
    database: Database,
    connection: Connection,
    book: Book,
    head: Head,
    engine: Engine,
    on_progress: OnProgress | None = None,
) -> BookState | None:
    """The state at the head, folded from segments; None where it is left to the rows. Raises as `believed`."""
    found = believed(database, connection, book, head, engine)
    if found is None:
        return None
    from engine.columns import folding

    return folding.fold_log(connection, found, head, on_progress)


def fold_of(database: Database, engine: Engine) -> FoldOf:
    """How a view of the past is folded; see `engine.views`. Raises as `believed`."""

    def folded(connection: Connection, book: Book, head: Head, moment: Moment, until: datetime) -> BookState:
        found = believed(database, connection, book, head, engine)
        if found is None:
            return fold_of_rows(connection, book, head, moment, until)
        from engine.columns import folding

        return folding.fold_chosen(connection, found, head, moment, until)

    return folded


def events_of(database: Database, engine: Engine) -> EventsOf:
    """How the events of a register are read; see `engine.views`. Raises as `believed`."""

    def events(
        connection: Connection, book: Book, head: Head, moment: Moment, shown: RegisterFilter
    ) -> Iterator[StoredEvent | SkippedEvents]:
        found = believed(database, connection, book, head, engine)
        if found is None:
            return events_of_rows(connection, book, head, moment, shown)
        from engine.columns import registering

        return registering.events(connection, found, moment, shown)

    return events
