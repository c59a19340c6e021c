"""A book, locked for the duration of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from engine.commits import Commit
from engine.pairing import Side
from engine.projector import CommitSnapshot, Projector
from ledger.appender import Appender, OnRefused, Outcome
from ledger.book import Book, Head
from ledger.event_types import EventType
from ledger.events import Event
from ledger.given import GivenEvent
from ledger.idempotency import find_duplicate
from ledger.stored import StoredEvent
from projections.state import BookState


class Transaction:
    """A locked book: reading it and appending to it. See `Bookkeeper.transaction`."""

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
        """The end of the log, including what this transaction has appended."""
        return self._appender.head

    @property
    def state(self) -> BookState:
        """What the log adds up to, including what this transaction has appended."""
        return self._projector.state

    def find_duplicate(self, given: Event, *, refuse_reversed: bool = False) -> StoredEvent | None:
        """The stored event that `given` duplicates; see `ledger.idempotency.find_duplicate`."""
        return find_duplicate(given, self._appender, refuse_reversed=refuse_reversed)

    def append(self, event: Event, *, expected_version: int | None = None, refuse_reversed: bool = False) -> Outcome:
        """Append one event; it is committed when the transaction ends without an exception. See `Bookkeeper.append`."""
        (outcome,) = self._appender.append([event], expected_version=expected_version, refuse_reversed=refuse_reversed)
        return outcome

    def append_all(
        self,
        events: Iterable[GivenEvent],
        *,
        expected_version: int | None = None,
        on_refused: OnRefused | None = None,
    ) -> Iterator[Outcome]:
        """Append many events, yielding an outcome for each. The caller must exhaust the iterator."""
        return self._appender.append(events, expected_version=expected_version, on_refused=on_refused)

    def find_key(self, key: str) -> StoredEvent | None:
        """The event with a key; None when the book has none."""
        return self._appender.find_key(key)

    def find_movements(self, kind: str, tx_hash: str, asset: str) -> list[StoredEvent]:
        """The standing events of a type, a normalised transaction hash and an asset, in order."""
        found = self._appender.find_movements(kind, tx_hash, asset)
        return [stored for stored in found if self._appender.reversal_of(stored.version) is None]

    @property
    def transfers(self) -> list[Side]:
        """The sides of transfers that were appended, and their reversals."""
        return self._projector.transfers

    @property
    def event_types(self) -> frozenset[EventType]:
        """The (type, version) pairs that the ledger is known to hold."""
        return self._appender.event_types

    def save(self) -> Commit | None:
        """Write the projections. Returns what is about to be committed; None when nothing was appended."""
        self._appender.require_all_written()
        last = self._appender.last
        if last is None:
            return None
        self._projector.save(self.connection)
        return Commit(self.book.name, last.version - self._began_at, last.version, last.key)

    def snapshot(self, mark: tuple[object, ...] | None) -> CommitSnapshot:
        """The snapshot that the next transaction on the book can begin with. `mark`: see `change_mark`."""
        return self._projector.snapshot(self._appender.head, mark)
