"""Adopting a book that was recorded in another database: same versions, times, bodies and hashes, verified on the way in.

The other way to write to the log is `ledger.appender`, which seals new events. Every function here runs inside a
transaction that the caller owns.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, update

from ledger import store
from ledger.appender import insert_book, insertion
from ledger.book import GENESIS_HASH, TERMS, Book, Head
from ledger.database.connections import Write, write_together
from ledger.database.tables import books
from ledger.errors import Refusal, Refused, StorageError, StorageFault
from ledger.event_types import announce
from ledger.stored import StoredEvent, chain_hash, split_type


def begin_copy(connection: Connection, book: Book, source_head: Head) -> Head:
    """Lock a book's copy, creating it if it does not exist; returns its head.

    Raises Refused `copy_differs` when the target has a book of that name on other terms.
    """
    found = store.find_book(connection, book.name, lock=True)
    there, head = found or insert_book(connection, book, before_copy(source_head))
    require_terms(there, book)
    return head


def before_copy(source_head: Head) -> Head:
    """The head of a copy that has no events yet."""
    return Head(0, GENESIS_HASH, source_head.recorded_at)


def require_terms(there: Book, book: Book) -> None:
    """Raises Refused `copy_differs` when the target's book (`there`) has other terms than the source's."""
    for term in TERMS:
        if getattr(there, term) != getattr(book, term):
            raise Refused(
                Refusal.COPY_DIFFERS,
                f"the target has a book of that name that was opened with another {term}",
                expected=getattr(book, term),
                actual=getattr(there, term),
                advice="copy into another database",
            )


def require_prefix(head: Head, source: StoredEvent | None) -> None:
    """Raises Refused `copy_differs` unless the copy's head is the source's event at that version.

    `source`: that event; None when the source has no such version.
    """
    if head.version > 0 and (source is None or source.hash != head.hash):
        raise Refused(
            Refusal.COPY_DIFFERS,
            "the target holds another history of this book",
            expected=f"{source.version}:{source.hash.hex()}" if source else "a copy that is not longer than its source",
            actual=str(head),
            advice="copy into another database; compare the two with `netbasis head` and `netbasis check`",
        )


def adopt(connection: Connection, book: str, head: Head, sealed: Sequence[StoredEvent]) -> Head:
    """Insert sealed events after the head, byte for byte; returns the new head.

    Raises StorageError `event_unreadable` when an event's version or hash does not follow from its predecessor, and
    whatever `write_together` raises.
    """
    for stored in sealed:
        if stored.version != head.version + 1 or stored.hash != chain_hash(head.hash, stored.body):
            raise StorageError(
                StorageFault.EVENT_UNREADABLE,
                f"version {stored.version} of the source does not follow from its predecessor",
                advice="run `netbasis check` on the source",
            )
        head = Head(stored.version, stored.hash, stored.recorded_at)
    if sealed:
        announce(connection, {split_type(orjson.loads(stored.body)["type"]) for stored in sealed})
        moved = {"head_version": head.version, "head_hash": head.hash, "head_recorded_at": head.recorded_at}
        inserted = insertion(connection, sealed)
        write_together(connection, [inserted, Write(update(books).where(books.c.book == book), [moved])])
    return head
