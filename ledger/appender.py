"""Appending: given events become sealed rows at the end of a book's chain, inside the caller's transaction.

The book's row stays locked until the transaction ends, so versions have no gaps and the order of commits is the order of
the log. Idempotency is checked first (`ledger.idempotency`): an event that is already in the book is compared and returned,
never written again, so a duplicate append succeeds even if the expected version has passed. After a refusal the caller
rolls the transaction back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from ledger import store
from ledger.amounts import add, total
from ledger.book import GENESIS_HASH, Book, Head
from ledger.database.connections import Write, savepoint, write_together
from ledger.database.driver import as_driver_row, copy_text, driver_values, encoders, insert_text, update_text
from ledger.database.tables import books, events
from ledger.effects import Effects, effects_of
from ledger.errors import NetbasisError, Refusal, StorageError, VersionPassed
from ledger.event_types import ANNOUNCE, EventType, announcements
from ledger.events import EVENT_TYPES, REVERSIBLE, Event, Mark, Opened, Reversal
from ledger.given import FileEvent, GivenEvent, keys_of
from ledger.idempotency import default_key, find_duplicate
from ledger.mapper import row_values, stored_event
from ledger.refusal_texts import refuse
from ledger.rules import complete, require_not_ahead
from ledger.stored import StoredEvent, chain_hash, encode_body

Clock = Callable[[], datetime]
NewId = Callable[[], str]
OnRecorded = Callable[[StoredEvent, Event], None]
OnRefused = Callable[[NetbasisError], None]

_HEAD_COLUMNS = ("head_version", "head_hash", "head_recorded_at")
EVENTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event.

    stored:   the event as the log holds it
    existed:  True when it was already in the book, False when it was recorded now
    """

    stored: StoredEvent
    existed: bool

    @property
    def version(self) -> int:
        """The event's version in its book."""
        return self.stored.version

    def __repr__(self) -> str:
        done = "existed" if self.existed else "appended"
        return f"<Outcome {done}: {self.stored.type} at version {self.version}, key {self.stored.key!r}>"


class Appender:
    """Appends to one book in one transaction.

    event_types:  the (type, version) pairs that the ledger is known to hold, including those written by this transaction
    last:         the newest event that this transaction has recorded; None before the first
    book, head:   the book's terms, and the end of its log including what this transaction has recorded
    """

    def __init__(
        self,
        connection: Connection,
        book: Book,
        head: Head,
        *,
        clock: Clock,
        new_id: NewId,
        on_recorded: OnRecorded,
        event_types: frozenset[EventType] = frozenset(),
    ) -> None:
        """`connection` must hold the book's lock. `on_recorded` sees each new event in order, and may refuse it."""
        self.event_types = event_types
        self.last: StoredEvent | None = None
        self.book = book
        self.head = head
        self._connection = connection
        self._clock = clock
        self._new_id = new_id
        self._on_recorded = on_recorded
        self._unwritten: dict[int, StoredEvent] = {}
        # The keys that were looked up: the event of each, or None when the book has none.
        self._keys: dict[str, StoredEvent | None] = {}
        self._history = _History(self)

    def append(
        self,
        given: Iterable[GivenEvent],
        *,
        expected_version: int | None = None,
        refuse_reversed: bool = False,
        on_refused: OnRefused | None = None,
    ) -> Iterator[Outcome]:
        """Append the events that are new, in order, and yield an outcome for each. The caller must exhaust the iterator.

        `on_refused`: called with the error of an event that is refused or conflicts; that event is skipped. When it is
        None, the error is raised. `refuse_reversed`: see `ledger.idempotency.find_duplicate`. Raises VersionPassed when an
        event is new and the head is not at `expected_version`; Refused; Conflict. The error's `index` is the event's
        position in `given`.
        """
        self.require_all_written()
        passed = None
        if expected_version is not None and expected_version != self.head.version:
            passed = VersionPassed(self.book.name, expected_version, self.head.version)
        recorded_at = max(self._clock(), self.head.recorded_at)
        numbered = enumerate(given)
        while chunk := list(islice(numbered, EVENTS_AT_ONCE)):
            self._look_up(key for _, event in chunk for key in keys_of(event))
            for index, event in chunk:
                try:
                    outcome = self._append_one(event, recorded_at, passed, refuse_reversed=refuse_reversed)
                except NetbasisError as error:
                    error.index = index
                    if on_refused is None or isinstance(error, StorageError | VersionPassed):
                        raise
                    on_refused(error)
                    continue
                yield outcome
            self._write()

    def _append_one(
        self, from_caller: GivenEvent, recorded_at: datetime, passed: VersionPassed | None, *, refuse_reversed: bool
    ) -> Outcome:
        of_file = from_caller if isinstance(from_caller, FileEvent) else None
        given = of_file.resolved(self) if of_file is not None else from_caller
        assert isinstance(given, Event)
        there = find_duplicate(given, self, refuse_reversed=refuse_reversed)
        if there is not None:
            return Outcome(there, existed=True)
        if passed is not None:
            raise passed
        if isinstance(given, Mark | Reversal) and not (of_file is not None and of_file.is_taken_back):
            require_not_ahead(given.at, self._clock())
        event = complete(given, self.book)
        if event.key is None:
            event = event.model_copy(update={"key": default_key(event, self)})
        stored, completed = self._seal(event, recorded_at)
        self._on_recorded(stored, completed)
        self._unwritten[stored.version] = stored
        self.last = stored
        self._keys[stored.key] = stored
        self.head = Head(stored.version, stored.hash, stored.recorded_at)
        self._history.moved(stored.effects)
        return Outcome(stored, existed=False)

    def _seal(self, event: Event, recorded_at: datetime) -> tuple[StoredEvent, Event]:
        """The stored form of a new event, and the event with its time and key filled in."""
        if isinstance(event, Opened) and self.head.version > 0:
            refuse(Refusal.BOOK_ALREADY_OPEN)
        corrected = self._require_correctable(event)
        reversed_event = self._reversible(event.reverses) if isinstance(event, Reversal) else None
        if reversed_event is not None and reversed_event.type == "mark":
            self._write()  # the mark that counts again is looked up in the log
        event_id = self._new_id()
        taken_over = reversed_event or corrected
        at = event.at or (taken_over.at if taken_over else recorded_at)
        if event.at is None or event.key is None:
            event = event.model_copy(update={"at": at, "key": event.key or event_id})
        effects = effects_of(event, self.book, self._history)
        stored = seal(
            event,
            effects,
            book=self.book,
            head=self.head,
            event_id=event_id,
            recorded_at=recorded_at,
            reversed_event=reversed_event,
        )
        return stored, event

    def _look_up(self, keys: Iterable[str]) -> None:
        """Look up a list of keys in one query, and remember the answer for each."""
        wanted = list(keys)
        there = store.find_keys(self._connection, self.book.name, wanted)
        self._keys = {key: there.get(key) for key in wanted}

    def _require_correctable(self, event: Event) -> StoredEvent | None:
        """The event that this one corrects; None when it corrects none. Raises Refused."""
        if event.corrects is None:
            return None
        corrected = self.find(event.corrects)
        if corrected is None:
            refuse(Refusal.CORRECTED_VERSION_UNKNOWN, field="corrects", actual=event.corrects, newest=self.head.version)
        if self.reversal_of(event.corrects) is None:
            refuse(Refusal.CORRECTED_NOT_REVERSED, field="corrects", version=event.corrects)
        return corrected

    def _reversible(self, version: int) -> StoredEvent:
        return require_reversible(version, self.find(version), self.reversal_of(version), self.head.version)

    def find(self, version: int) -> StoredEvent | None:
        """The event at a version, including events not written yet."""
        return self._unwritten.get(version) or store.find_event(self._connection, self.book.name, version)

    def find_key(self, key: str) -> StoredEvent | None:
        """The event with a key, including events not written yet."""
        if key not in self._keys:
            self._keys[key] = store.find_keys(self._connection, self.book.name, [key]).get(key)
        return self._keys[key]

    def find_movements(self, kind: str, tx_hash: str, asset: str) -> Sequence[StoredEvent]:
        """The events of a type, a normalised hash and an asset, including events not written yet."""
        unwritten = (
            stored
            for stored in self._unwritten.values()
            if (stored.type, stored.tx_hash, stored.asset) == (kind, tx_hash, asset)
        )
        return [*store.find_movements(self._connection, self.book.name, kind, tx_hash, asset), *unwritten]

    def reversal_of(self, version: int) -> int | None:
        """The version that reverses an event, including events not written yet; None while the event stands."""
        unwritten = (stored.version for stored in self._unwritten.values() if stored.reverses == version)
        return next(unwritten, None) or store.find_reversal(self._connection, self.book.name, version)

    def starting_value(self) -> Decimal:
        """The starting value at the head in the numeraire, summed over the log."""
        unwritten = total(stored.effects.starting_value_delta for stored in self._unwritten.values())
        return add(store.starting_value(self._connection, self.book.name), unwritten)

    def require_all_written(self) -> None:
        """Raises RuntimeError when an iterator of `append` was not exhausted: some of its events are not written yet."""
        if self._unwritten:
            raise RuntimeError(
                "append was not run to its end, so some of its events are not written; let the transaction fail"
            )

    def _write(self) -> None:
        """Insert the sealed events and move the book's head to the last of them; see `write_together`."""
        if not self._unwritten:
            return
        forms = {(stored.type, EVENT_TYPES[stored.type].TYPE_VERSION) for stored in self._unwritten.values()}
        announced = Write(ANNOUNCE, announcements(forms - self.event_types), is_counted=False)
        inserted = insertion(self._connection, self._unwritten.values())
        write_together(self._connection, [announced, inserted, move_head(self._connection, self.book, self.head)])
        self.event_types |= forms
        self._unwritten.clear()


class DryAppender(Appender):
    """Appends to nothing: events are checked, sealed and seen by `on_recorded`, and then forgotten.

    For a dry run, which only needs a connection that reads. Movements with a transaction hash are remembered, since later
    ones are compared with them; that a key occurs twice is for the caller to prevent.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._movements: defaultdict[tuple[str, str | None, str | None], list[StoredEvent]] = defaultdict(list)

    def find_movements(self, kind: str, tx_hash: str, asset: str) -> Sequence[StoredEvent]:
        """The events of a type, a normalised hash and an asset, including those that were forgotten."""
        return [*super().find_movements(kind, tx_hash, asset), *self._movements[kind, tx_hash, asset]]

    def _write(self) -> None:
        for stored in self._unwritten.values():
            if stored.tx_hash is not None:
                self._movements[stored.type, stored.tx_hash, stored.asset].append(stored)
        self._unwritten.clear()


class _History:
    """The log so far, for the effects of a baseline and of a reversal. The starting value is summed over the log once."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._starting_value: Decimal | None = None

    def starting_value(self) -> Decimal:
        if self._starting_value is None:
            self._starting_value = self._appender.starting_value()
        return self._starting_value

    def effects_at(self, version: int) -> Effects:
        stored = self._appender.find(version)
        assert stored is not None  # require_reversible
        return stored.effects

    def moved(self, effects: Effects) -> None:
        if self._starting_value is not None:
            self._starting_value = add(self._starting_value, effects.starting_value_delta)


def seal(
    event: Event,
    effects: Effects,
    *,
    book: Book,
    head: Head,
    event_id: str,
    recorded_at: datetime,
    reversed_event: StoredEvent | None,
) -> StoredEvent:
    """The stored form of a completed event, as the successor of the book's head."""
    version = head.version + 1
    body = encode_body(event, book=book.name, version=version, event_id=event_id, recorded_at=recorded_at)
    return stored_event(
        event,
        effects,
        book=book.name,
        version=version,
        event_id=event_id,
        recorded_at=recorded_at,
        body=body,
        digest=chain_hash(head.hash, body),
        reversed_event=reversed_event,
    )


def insertion(connection: Connection, sealed: Iterable[StoredEvent]) -> Write:
    """What writes sealed events to the log."""
    dialect = connection.dialect.name
    encode = encoders(events, dialect)
    rows = [as_driver_row(row_values(stored), encode) for stored in sealed]
    return Write(insert_text(events, dialect), rows, copy=copy_text(events))


def move_head(connection: Connection, book: Book, head: Head) -> Write:
    """What moves a book's head."""
    dialect, moved = connection.dialect.name, {"book": book.name, **_head_columns(head)}
    row = driver_values(books, dialect, (*_HEAD_COLUMNS, "book"), moved)
    return Write(update_text(books, dialect, _HEAD_COLUMNS), [row])


def open_book(
    connection: Connection,
    name: str,
    opened: Opened,
    *,
    clock: Clock,
    new_id: NewId,
    on_recorded: OnRecorded,
    event_types: frozenset[EventType] = frozenset(),
) -> Outcome:
    """Open a book; the outcome has `existed` when it is already open on these terms.

    Raises KeyConflict when it is open on other terms; Refused.
    """
    found = store.find_book(connection, name)
    if found is None:
        found = insert_book(connection, Book.on_terms_of(name, opened), Head(0, GENESIS_HASH, clock()))
    appender = Appender(
        connection, *found, clock=clock, new_id=new_id, on_recorded=on_recorded, event_types=event_types
    )
    (outcome,) = appender.append([opened])
    return outcome


def insert_book(connection: Connection, book: Book, head: Head) -> tuple[Book, Head]:
    """Insert a new book and return it; if another transaction has opened it in the meantime, return that one instead."""
    try:
        with savepoint(connection):
            connection.execute(insert(books).values(book_row(book, head)))
    except IntegrityError:
        found = store.find_book(connection, book.name)
        if found is None:
            raise
        return found
    return book, head


def book_row(book: Book, head: Head) -> dict[str, object]:
    """The columns of `books` for a book."""
    return {
        "book": book.name,
        "mode": book.mode,
        "numeraire": book.numeraire,
        "base_asset": book.base_asset,
        "withdrawal_policy": book.withdrawal_policy,
        **_head_columns(head),
    }


def _head_columns(head: Head) -> dict[str, object]:
    return {"head_version": head.version, "head_hash": head.hash, "head_recorded_at": head.recorded_at}


def require_reversible(version: int, target: StoredEvent | None, reversal: int | None, newest: int) -> StoredEvent:
    """Return `target`, the event at `version`, if it may be reversed.

    `target`: None when the book has no such version. `reversal`: the version that has reversed it already, None for none.
    `newest`: the head's version. Raises Refused `reversed_version_unknown`, `reversal_not_allowed`, `already_reversed`.
    """
    if target is None:
        refuse(Refusal.REVERSED_VERSION_UNKNOWN, field="reverses", actual=version, newest=newest)
    if target.type not in REVERSIBLE:
        reversible = ", ".join(sorted(REVERSIBLE))
        refuse(
            Refusal.REVERSAL_NOT_ALLOWED, field="reverses", actual=target.type, version=version, reversible=reversible
        )
    if reversal is not None:
        refuse(Refusal.ALREADY_REVERSED, field="reverses", version=version, reversal=reversal)
    return target
