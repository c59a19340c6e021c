"""`copy`: a book from one database into another, byte for byte, in batches that can be resumed.

A batch is one transaction of the target: its events, the head, the projections. Committed batches stay; an interrupted copy
resumes from the target's head, and so does a batch that is retried after a transient fault. A log only grows, so no
transaction of the source needs to last longer than a batch. At the end both heads are read again and compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from engine import projection_store
from engine.inbox import copy_entries
from engine.projection_store import stored_state
from engine.retrying import always, retry
from engine.standing_marks import MarksOfLog
from ledger import store
from ledger.adoption import adopt, before_copy, begin_copy, require_prefix, require_terms
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.errors import StorageError, StorageFault
from ledger.progress import OnProgress
from projections.rows import rows_of
from projections.state import EMPTY, fold

EVENTS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The outcome of copying a book.

    book:      its terms
    copied:    how many events were copied now
    existed:   how many were in the target already, or were copied meanwhile by another process
    head:      the target's head
    is_ahead:  the target has more events than the source had; otherwise both have the same head
    """

    book: Book
    copied: int
    existed: int
    head: Head
    is_ahead: bool


def copy_book(source: Database, target: Database, name: str, *, on_progress: OnProgress | None = None) -> CopyReport:
    """Copy a book up to its present head, starting where an earlier copy ended.

    `on_progress`: called with the number of events copied. Raises Refused `book_unknown`, `copy_differs`; StorageError.
    """
    book, end = retry(partial(_read_book, source, name), safe_to_repeat=always)
    head = retry(partial(_begin, target, book, end), safe_to_repeat=always)
    copied = 0
    while head.version < end.version:
        head, adopted = retry(partial(_copy_batch, source, target, book, end, head), safe_to_repeat=always)
        copied += adopted
        if on_progress is not None:
            on_progress(copied)
    head = retry(partial(_compare, source, target, book, end), safe_to_repeat=always)
    if head.version == end.version:
        retry(partial(_copy_inbox, source, target, book.name), safe_to_repeat=always)
    return CopyReport(book, copied, end.version - copied, head, is_ahead=head.version > end.version)


def _read_book(source: Database, name: str) -> tuple[Book, Head]:
    with source.reading() as reading:
        return store.require_book(reading, name)


def _begin(target: Database, book: Book, end: Head) -> Head:
    with target.reading() as reading:
        found = store.find_book(reading, book.name)
    if found is None:
        return before_copy(end)
    there, head = found
    require_terms(there, book)
    return head


def _copy_batch(source: Database, target: Database, book: Book, end: Head, head: Head) -> tuple[Head, int]:
    """Copy the next batch after the target's head; returns the head afterwards and how many events were copied."""
    until = min(head.version + EVENTS_AT_ONCE, end.version)
    with source.reading() as reading:
        require_prefix(head, store.find_event(reading, book.name, head.version))
        batch = list(store.read_events(reading, book.name, after=head.version, until=until))
    with target.writing() as writing:
        before = begin_copy(writing, book, end)
        if before != head:  # this batch was committed after all, or another copy is running
            return before, 0
        after = adopt(writing, book.name, before, batch)
        if after.version != until:
            raise _ends_early(after, end)
        rows = projection_store.load_rows(writing, book.name)
        state = stored_state(rows, book, before) if before.version else EMPTY
        folded = fold(batch, state, MarksOfLog(writing, book.name))
        projection_store.save_rows(writing, book.name, rows, rows_of(folded, book))
    return after, len(batch)


def _compare(source: Database, target: Database, book: Book, end: Head) -> Head:
    """Compare both heads; returns the target's. Raises Refused `copy_differs`; StorageError `event_unreadable`."""
    with target.reading() as reading:
        _, head = store.require_book(reading, book.name)
        last = store.find_event(reading, book.name, end.version)
    with source.reading() as reading:
        require_prefix(head, store.find_event(reading, book.name, head.version))
    if last is None or last.hash != end.hash:
        raise _ends_early(head, end)
    return head


def _copy_inbox(source: Database, target: Database, name: str) -> None:
    """Copy the inbox, settled entries too, so that an import into the copy does what it does in the original."""
    with source.reading() as reading, target.writing() as writing:
        copy_entries(reading, writing, name)


def _ends_early(found: Head, end: Head) -> StorageError:
    return StorageError(
        StorageFault.EVENT_UNREADABLE,
        "the source's last event is not the one at its head",
        expected=str(end),
        actual=str(found),
        advice="run `netbasis check` on the source",
    )
