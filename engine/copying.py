"""`copy`: a book from one database into another, byte for byte, in batches that can be resumed.

A batch is one transaction of the target: its events, the head, the projections. What was copied stays; a copy that was cut
short goes on from the target's head. At the end both heads are the same, or the copy says that they are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection

from engine import projection_store
from engine.bookkeeper import stored_state
from ledger import store
from ledger.adoption import adopt, open_copy, require_prefix
from ledger.book import Book, Head
from ledger.database import Database
from ledger.stored import StoredEvent
from projections.state import EMPTY, fold

EVENTS_AT_ONCE = 2000
OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A book's copy: how many events were copied now, how many were there already, and the head of both."""

    book: Book
    copied: int
    existed: int
    head: Head


def copy_book(source: Database, target: Database, name: str, *, on_progress: OnProgress | None = None) -> Copied:
    """Copy a book, from where an earlier copy ended.

    Raises Refused `book_unknown`, `copy_differs`; StorageError.
    """
    with source.reading() as reading:
        book, source_head = store.require_book(reading, name)
        head = _begin(reading, target, book, source_head)
        existed = head.version
        following = store.read_events(reading, name, after=head.version, until=source_head.version)
        while batch := list(islice(following, EVENTS_AT_ONCE)):
            head = _copy_batch(target, book, source_head, batch)
            if on_progress is not None:
                on_progress(head.version - existed)
    assert head.hash == source_head.hash  # every event was proved on the way
    return Copied(book, head.version - existed, existed, head)


def _begin(reading: Connection, target: Database, book: Book, source_head: Head) -> Head:
    with target.writing() as writing:
        head = open_copy(writing, book, source_head)
        require_prefix(head, store.find_event(reading, book.name, head.version))
    return head


def _copy_batch(target: Database, book: Book, source_head: Head, batch: list[StoredEvent]) -> Head:
    with target.writing() as writing:
        before = open_copy(writing, book, source_head)
        head = adopt(writing, book.name, before, batch)
        rows = projection_store.load_rows(writing, book.name)
        state = stored_state(rows, book, before) if before.version else EMPTY
        projection_store.save_rows(writing, book.name, rows, projection_store.rows_of(fold(batch, state), book))
    return head
