"""A book, locked for the length of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from engine.commits import Commit
from engine.projector import CommitSnapshot, Projector
from ledger.appender import Appender, OnRefused, Outcome
from ledger.book import Book, Head
from ledger.event_types import EventType
from ledger.events import Event
from ledger.idempotency import find_repeated
from ledger.stored import StoredEvent
from projections.state import BookState


class Transaction:
    """A locked book: its terms, its head, what it adds up to, and appending to it. See `Bookkeeper.transaction`."""

    def __init__(self, connection: Connection, appender: Appender, projector: Projector) -> None:
        self.connection = connection
        self._appender = appender
        self._projector = projector
        self._began_at = appender.head.version

    @property
    def book(self) -> Book:
        """The book's terms."""
        return self._appender.book

    @property
    def head(self) -> Head:
        """The end of the log, with what this transaction appended."""
        return self._appender.head

    @property
    def state(self) -> BookState:
        """What the log adds up to, with what this transaction appended."""
        return self._projector.state

    def find_repeated(self, given: Event, *, refuse_reversed: bool = False) -> StoredEvent | None:
        """The event that this one is a repeat of; raises as `ledger.idempotency.find_repeated`."""
        return find_repeated(given, self._appender, refuse_reversed=refuse_reversed)

    def append(self, event: Event, *, expected_version: int | None = None, refuse_reversed: bool = False) -> Outcome:
        """Append one event; it is there when the transaction ends without an exception."""
        (outcome,) = self._appender.append([event], expected_version=expected_version, refuse_reversed=refuse_reversed)
        return outcome

    def append_all(
        self,
        events: Iterable[Event],
        *,
        expected_version: int | None = None,
        on_refused: OnRefused | None = None,
    ) -> Iterator[Outcome]:
        """Append events, a stream that is to be run to its end."""
        return self._appender.append(events, expected_version=expected_version, on_refused=on_refused)

    @property
    def event_types(self) -> frozenset[EventType]:
        """The forms of events that the ledger is known to hold."""
        return self._appender.event_types

    def save(self) -> Commit | None:
        """Write the projections of what was appended; what is about to be committed, None for nothing."""
        self._appender.require_all_written()
        last = self._appender.last
        if last is None:
            return None
        self._projector.save(self.connection)
        return Commit(self.book.name, last.version - self._began_at, last.version, last.key)

    def snapshot(self) -> CommitSnapshot:
        """What the next transaction on the book may begin with."""
        return self._projector.snapshot(self._appender.head)
