"""`seal`: a book's old events are written as segments beside the log; the log itself stays as it is.

    events      1 ……………… 250000 │ 250001 ………… 500000 │ 500001 … 612345
    segments    1-250000.parquet │ 250001-500000.parquet │ the tail, which is read from the rows

A segment is read from the rows in a reading transaction that holds nobody up, written, and entered in the manifest. Its file
is whole and on the disk before its row is written. A run that is killed leaves a temporary file or a file without a row;
the next one goes on behind the last row, and clears up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from engine.columns.figures import decode_state, encode_state
from engine.columns.manifest import Segment, add_segment, segments_of
from engine.columns.segment_file import ROWS_IN_GROUP, SegmentFile, folder_of, segment_name, write_segment
from engine.columns.standing import with_standing
from engine.columns.stores import Store, open_store, told
from engine.refolding import fold_range
from ledger import store as log
from ledger.book import GENESIS_HASH, TERMS, Book
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.errors import StorageError, StorageFault
from ledger.integrity.raw_log import raw_range
from ledger.integrity.raw_rows import any_text
from ledger.progress import OnProgress
from projections.combining import plus
from projections.marks import Selection
from projections.state import EMPTY, BookState

EVENTS_IN_SEGMENT = 250_000
MANIFEST = "_manifest.json"


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a book is sealed.

    location:      the folder or URL for new segments; None for where the book's last one is, or the folder beside the file
    events:        how many events a segment has
    now:           the clock
    on_progress:   called with the version that was sealed last
    """

    location: str | None
    now: Callable[[], datetime]
    events: int = EVENTS_IN_SEGMENT
    on_progress: OnProgress | None = None
    rows_in_group: int = ROWS_IN_GROUP


@dataclass(frozen=True, slots=True)
class SealReport:
    """The outcome. `new`: the segments written now; `all`: all that the book has; `head_version`: the end of the log."""

    book: str
    new: list[Segment]
    all: list[Segment]
    head_version: int

    @property
    def sealed_until(self) -> int:
        """The last version that stands in a segment; 0 for none."""
        return self.all[-1].last_version if self.all else 0


def default_location(database: Database) -> str:
    """The folder beside a ledger's file. Raises StorageError `url_not_supported` for a server."""
    if database.dialect != "sqlite":
        raise StorageError(
            StorageFault.URL_NOT_SUPPORTED,
            "a ledger on a server has no file beside which segments could stand",
            expected="a folder or a URL",
            advice="say where with --to",
        )
    return f"{database.location}.segments"


def store_of(database: Database, location: str | None) -> Store:
    """The store at a manifest's location. Raises StorageError."""
    return open_store(default_location(database) if location is None else location)


def seal(database: Database, name: str, how: Sealing) -> SealReport:
    """Write every whole segment that the book has beyond its last one; the manifest file is written anew in any case.

    Raises Refused `book_unknown`; StorageError, `event_unreadable` where the rows are not sound.
    """
    new: list[Segment] = []
    if how.location is None:
        with database.reading() as connection:
            before = segments_of(connection, name)
        how = replace(how, location=before[-1].location if before else None)
    store = store_of(database, how.location)
    if store.is_local and how.location is not None:  # the next command may stand in another folder
        how = replace(how, location=store.root)
    while (segment := _seal_next(database, store, name, how)) is not None:
        new.append(segment)
        if how.on_progress is not None:
            how.on_progress(segment.last_version)
    with database.reading() as connection:
        book, head = log.require_book(connection, name)
        found = segments_of(connection, name)
    with told(store):
        _sweep(store, name, found)
        _write_manifest(store, book, [each for each in found if each.location == how.location])
    return SealReport(name, new, found, head.version)


def _seal_next(database: Database, store: Store, name: str, how: Sealing) -> Segment | None:
    """Write the next segment; None when the rest of the log does not fill one."""
    with database.reading() as connection:
        book, head = log.require_book(connection, name)
        before = segments_of(connection, name)
        first = before[-1].last_version + 1 if before else 1
        last = first + how.events - 1
        if last > head.version:
            return None
        start_hash = before[-1].end_hash if before else GENESIS_HASH
        with any_text(connection), told(store):
            rows = raw_range(connection, name, first, last)
            file = write_segment(store, name, rows, first=first, start_hash=start_hash, rows_in_group=how.rows_in_group)
        segment = _described(connection, book, how, before, file, start_hash)
    with database.writing() as connection:
        log.require_book(connection, name, lock=True)
        if segments_of(connection, name) == before:  # else another run was quicker, and its row stands
            add_segment(connection, segment)
    return segment


def _sweep(store: Store, name: str, found: list[Segment]) -> None:
    """Remove the files of runs that were killed: who reads the folder as it is would count their events twice.

    A file beyond the last segment may be that of a run that is about to enter it, and is left.
    """
    known = {segment_name(name, each.first_version, each.last_version) for each in found}
    until = found[-1].last_version if found else 0
    store.forget_killed(folder_of(name))
    for path in store.names(folder_of(name)):
        first, _, rest = path.rpartition("/")[2].partition("-")
        if path not in known and rest.endswith(".parquet") and first.isdecimal() and int(first) <= until:
            store.remove(path)


def _described(
    connection: Connection, book: Book, how: Sealing, before: list[Segment], file: SegmentFile, start_hash: bytes
) -> Segment:
    """The manifest's row of a file that was written."""
    first, last = file.first, file.last
    no_marks = Selection(range(first, last + 1))
    sums = fold_range(connection, book.name, EMPTY, no_marks, after=first - 1, until=last)
    earlier = _state_before(connection, book, before)
    state = with_standing(connection, book.name, plus(earlier, sums), where=events.c.version <= last)
    return Segment(
        book=book.name,
        first_version=first,
        last_version=last,
        location=how.location,
        least_at=file.least_at,
        greatest_at=file.greatest_at,
        recorded_until=file.recorded_until,
        size=file.size,
        sha256=file.sha256,
        start_hash=start_hash,
        end_hash=file.end_hash,
        widest=file.widest,
        unfit=file.unfit,
        sums=encode_state(plus(EMPTY, sums), book),
        state=encode_state(state, book),
        sealed_at=how.now(),
    )


def _state_before(connection: Connection, book: Book, before: list[Segment]) -> BookState:
    """The state at the end of the last segment, or the fold of the rows where the manifest's cannot be read."""
    if not before:
        return EMPTY
    known = decode_state(before[-1].state, book)
    if known is not None and known.version == before[-1].last_version:
        return known
    last = before[-1].last_version
    return fold_range(connection, book.name, EMPTY, Selection(range(1, last + 1)), until=last)


def manifest_document(book: Book, found: Sequence[Segment]) -> dict[str, Any]:
    """What `_manifest.json` says of the segments of a book in one place."""
    terms = {term: getattr(book, term) for term in TERMS}
    return {"book": book.name, "terms": terms, "segments": [each.as_document() for each in found]}


def _write_manifest(store: Store, book: Book, found: list[Segment]) -> None:
    """Write `_manifest.json` beside the segments: what a reader without the database has to know of them."""
    if not found:
        return
    document = manifest_document(book, found)
    folder = folder_of(book.name)
    with store.writing(folder) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
        store.publish(temporary, f"{folder}/{MANIFEST}")
