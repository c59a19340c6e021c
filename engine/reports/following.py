"""`follow`: the events of a book as they come, in order, each once, from a version on.

A follower asks for the book's head, and reads the events that are new to it: by version, never the whole log. No transaction
is open while it waits or while its reader is busy, so it holds nobody up. Each event must follow from the one before it by
its hash: a log that was restored or replaced meanwhile is not taken for the one that was followed so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.reports.event import event_fields
from engine.retrying import always, retry
from ledger import store
from ledger.book import GENESIS_HASH
from ledger.database.connections import Database
from ledger.errors import Refusal, Refused, StorageError, StorageFault, shown
from ledger.stored import StoredEvent, chain_hash

EVENTS_AT_ONCE = 500


def follow(database: Database, book: str, start: int | None, pause: Callable[[], bool]) -> Iterator[list[StoredEvent]]:
    """The events from the version `start` on (None: those that come from now on), some at once, as soon as they are there.

    `pause`: called when nothing is new; waits for a moment, and returns False to end. A transient fault of a server is
    ridden out. Raises Refused `book_unknown`; `version_unknown` when the log ends before what was to come next;
    StorageError, among them `database_moved`, and `database_damaged` when an event does not follow from the one before.
    """
    seen, digest = retry(lambda: _place_before(database, book, start), safe_to_repeat=always)
    while True:
        found = retry(lambda: _events_after(database, book, seen), safe_to_repeat=always)  # noqa: B023 - called at once
        for stored in found:
            if chain_hash(digest, stored.body) != stored.hash:
                raise _broken(book, stored)
            digest = stored.hash
        if found:
            seen = found[-1].version
            yield found
        elif not pause():
            return


def _place_before(database: Database, book: str, start: int | None) -> tuple[int, bytes]:
    """The version and hash of the event before the first one that is wanted."""
    with database.reading() as connection:
        _, head = store.require_book(connection, book)
        if start is None:
            return head.version, head.hash
        before = store.find_event(connection, book, start - 1)
        if before is None and start > 1:
            raise _too_short(start, head.version)
        return start - 1, GENESIS_HASH if before is None else before.hash


def _events_after(database: Database, book: str, seen: int) -> list[StoredEvent]:
    database.require_in_place()
    with database.reading() as connection:
        _, head = store.require_book(connection, book)
        if head.version < seen:
            raise _too_short(seen + 1, head.version)
        until = min(head.version, seen + EVENTS_AT_ONCE)
        return list(store.read_events(connection, book, after=seen, until=until)) if until > seen else []


def followed_fields(stored: StoredEvent) -> dict[str, Any]:
    """An event as `follow` prints it: its place in the log, and its own fields."""
    place = {
        "book": stored.book,
        "version": stored.version,
        "hash": stored.hash,
        "event_id": stored.event_id,
        "recorded_at": stored.recorded_at,
    }
    return {**place, **event_fields(stored.event)}


def _too_short(wanted: int, newest: int) -> Refused:
    return Refused(
        Refusal.VERSION_UNKNOWN,
        "the book ends before the version that is to come next",
        expected=f"a version from 1 to {newest + 1}",
        actual=wanted,
        advice="is it the same ledger? An older copy of it may have been restored",
    )


def _broken(book: str, stored: StoredEvent) -> StorageError:
    return StorageError(
        StorageFault.DATABASE_DAMAGED,
        f"the event at version {stored.version} of {shown(book)} does not follow from the one before it",
        advice="was the ledger replaced while it was followed? run `netbasis check`",
    )
