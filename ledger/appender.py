"""Appending: from events as given to sealed rows at the end of a book's chain, inside the caller's transaction.

The book's row is locked from the beginning to the end of the transaction, so versions have no gap and the order of
commits is the order of the log. Idempotency comes first: a key that is there is compared, answered and never written, so
a repeated append succeeds even when the version that it expected has passed. An event that is refused leaves the
transaction to its owner, who rolls it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice

from sqlalchemy import Connection, bindparam, insert, update
from sqlalchemy.exc import IntegrityError

from ledger import store
from ledger.amounts import add, total
from ledger.book import GENESIS_HASH, Book, Head
from ledger.database import together
from ledger.effects import Effects, effects_of
from ledger.errors import KeyConflict, NetbasisError, Refusal, Refused, VersionPassed
from ledger.events import REVERSIBLE, Event, Opened, Reversal
from ledger.mapper import row_of, stored_event
from ledger.rules import complete
from ledger.stored import StoredEvent, chain_hash, json_value, seal_body
from ledger.tables import books, events
from ledger.texts import KEY_CHARACTERS

Clock = Callable[[], datetime]
NewId = Callable[[], str]
OnRecorded = Callable[[StoredEvent, Event], None]

# Made once: to make a statement takes longer than to run it.
_INSERT = insert(events)
_MOVE_HEAD = update(books).where(books.c.book == bindparam("of_book"))

OPENED_KEY = "opened"
EVENTS_AT_ONCE = 500
# Fields that netbasis fills in when they are None, so a None that was given is a default too.
_FILLED_IN = frozenset({"book", "at", "key", "asset", "amount", "basis_delta"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event: recorded now, or there already (`existed`)."""

    stored: StoredEvent
    existed: bool


class Appender:
    """Appends to one book in one transaction. `on_recorded` sees each new event in order, and may refuse it."""

    def __init__(
        self, connection: Connection, book: Book, head: Head, *, clock: Clock, new_id: NewId, on_recorded: OnRecorded
    ) -> None:
        self.book = book
        self.head = head
        self._connection = connection
        self._clock = clock
        self._new_id = new_id
        self._on_recorded = on_recorded
        self._unwritten: dict[int, StoredEvent] = {}
        self._log = _Log(self)

    def append(self, given: Iterable[Event], *, expected_version: int | None = None) -> Iterator[Outcome]:
        """Append the events that are new, in order, and say for each what became of it; to be run to its end.

        Raises VersionPassed when something is new and the head is not at `expected_version`; KeyConflict; Refused. The
        error's `index` is that of its event in `given`.
        """
        self.require_all_written()
        passed = None
        if expected_version is not None and expected_version != self.head.version:
            passed = VersionPassed(self.book.name, expected_version, self.head.version)
        recorded_at = max(self._clock(), self.head.recorded_at)
        numbered = enumerate(given)
        while chunk := list(islice(numbered, EVENTS_AT_ONCE)):
            keys = [event.key for _, event in chunk if event.key is not None]
            known = store.find_keys(self._connection, self.book.name, keys)
            for index, event in chunk:
                try:
                    outcome = self._append_one(event, known, recorded_at, passed)
                except NetbasisError as error:
                    error.index = index
                    raise
                known[outcome.stored.key] = outcome.stored
                yield outcome
            self._write()

    def _append_one(
        self,
        given: Event,
        known: dict[str, StoredEvent],
        recorded_at: datetime,
        passed: VersionPassed | None,
    ) -> Outcome:
        event = self._with_key(given)
        if given.key is None and event.key is not None:  # so it was not looked up with those that were given
            known |= store.find_keys(self._connection, self.book.name, [event.key])
        there = known.get(event.key) if event.key else None
        if there is not None:
            require_same(given, there)
            return Outcome(there, existed=True)
        if passed is not None:
            raise passed
        stored, completed = self._seal(complete(event, self.book), recorded_at)
        self._on_recorded(stored, completed)
        self._unwritten[stored.version] = stored
        self.head = Head(stored.version, stored.hash, stored.recorded_at)
        self._log.moved(stored.effects)
        return Outcome(stored, existed=False)

    def _with_key(self, event: Event) -> Event:
        """The event with the key that its type gives it by default, where that can be known before it is recorded."""
        if event.key is not None:
            return event
        if isinstance(event, Opened):
            return event.model_copy(update={"key": OPENED_KEY})
        corrected = self.find(event.corrects) if event.corrects is not None else None
        if corrected is None:
            return event
        key = next_key(corrected)
        if len(key) > KEY_CHARACTERS:
            raise Refused(
                Refusal.TEXT_TOO_LONG,
                "key: the default key of the correction is too long",
                expected=f"at most {KEY_CHARACTERS} characters",
                actual=key,
                advice="give the correction a key of its own",
                field="key",
            )
        return event.model_copy(update={"key": key})

    def _seal(self, event: Event, recorded_at: datetime) -> tuple[StoredEvent, Event]:
        """The stored form of a new event, its time and key filled in, and the event so completed."""
        if isinstance(event, Opened) and self.head.version > 0:
            raise Refused(
                Refusal.BOOK_ALREADY_OPEN,
                "a book is opened once, by its first event",
                advice="open another book with `netbasis --book NAME init`",
            )
        self._require_correctable(event)
        reversed_event = self._reversible(event.reverses) if isinstance(event, Reversal) else None
        event_id = self._new_id()
        at = event.at or (reversed_event.at if reversed_event else recorded_at)
        if event.at is None or event.key is None:
            event = event.model_copy(update={"at": at, "key": event.key or event_id})
        effects = effects_of(event, self.book, self._log)
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

    def _require_correctable(self, event: Event) -> None:
        if event.corrects is None:
            return
        if self.find(event.corrects) is None:
            raise Refused(
                Refusal.CORRECTED_VERSION_UNKNOWN,
                "the event that is corrected is not in the book",
                expected=f"a version from 1 to {self.head.version}",
                actual=event.corrects,
                field="corrects",
            )
        if self._reversal_of(event.corrects) is None:
            raise Refused(
                Refusal.CORRECTED_NOT_REVERSED,
                "the event that is corrected still stands, so both would count",
                expected=f"version {event.corrects} reversed",
                advice=f"reverse version {event.corrects} first",
                field="corrects",
            )

    def _reversible(self, version: int) -> StoredEvent:
        return require_reversible(version, self.find(version), self._reversal_of(version), self.head.version)

    def find(self, version: int) -> StoredEvent | None:
        """The event at a version, written or about to be."""
        return self._unwritten.get(version) or store.find_event(self._connection, self.book.name, version)

    def _reversal_of(self, version: int) -> int | None:
        unwritten = (stored.version for stored in self._unwritten.values() if stored.reverses == version)
        return next(unwritten, None) or store.find_reversal(self._connection, self.book.name, version)

    def starting_value(self) -> Decimal:
        """The starting value at the head, summed over the log."""
        unwritten = total(stored.effects.starting_value_delta for stored in self._unwritten.values())
        return add(store.starting_value(self._connection, self.book.name), unwritten)

    def require_all_written(self) -> None:
        """Raises RuntimeError when a list was not appended to its end: half of it would be left, or its projections."""
        if self._unwritten:
            raise RuntimeError("a list of this transaction was not appended to its end; let the transaction fail")

    def _write(self) -> None:
        """Insert what is sealed and move the book's head to the last of it."""
        if not self._unwritten:
            return
        with together(self._connection):
            self._connection.execute(_INSERT, [row_of(stored) for stored in self._unwritten.values()])
            self._connection.execute(_MOVE_HEAD, {"of_book": self.book.name, **_head_columns(self.head)})
        self._unwritten.clear()


class _Log:
    """The log so far, as the effects of a baseline and of a reversal need it. The starting value is summed once."""

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
    """The stored form of a complete event that follows the book's head."""
    version = head.version + 1
    body = seal_body(event, book=book.name, version=version, event_id=event_id, recorded_at=recorded_at)
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


def book_of(name: str, opened: Opened) -> Book:
    """The book that an opening event opens."""
    return Book(name, opened.mode, opened.numeraire, opened.base_asset, opened.withdrawal_policy)


def open_book(
    connection: Connection, name: str, opened: Opened, *, clock: Clock, new_id: NewId, on_recorded: OnRecorded
) -> Outcome:
    """Open a book; an `existed` outcome when it is open already on the terms that were given.

    Raises KeyConflict when it is open on other terms; Refused.
    """
    found = store.find_book(connection, name)
    if found is None:
        found = insert_book(connection, book_of(name, opened), Head(0, GENESIS_HASH, clock()))
    appender = Appender(connection, *found, clock=clock, new_id=new_id, on_recorded=on_recorded)
    (outcome,) = appender.append([opened])
    return outcome


def insert_book(connection: Connection, book: Book, head: Head) -> tuple[Book, Head]:
    """The new book; on a server another transaction may have opened it since it was looked for, and then that one."""
    try:
        with connection.begin_nested():
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
    """The event at `version`, when it may be reversed; `reversal` is the version of its reversal, None without one.

    Raises Refused `reversed_version_unknown`, `reversal_not_allowed`, `already_reversed`.
    """
    if target is None:
        raise Refused(
            Refusal.REVERSED_VERSION_UNKNOWN,
            "the event to reverse is not in the book",
            expected=f"a version from 1 to {newest}",
            actual=version,
            field="reverses",
        )
    if target.type not in REVERSIBLE:
        raise Refused(
            Refusal.REVERSAL_NOT_ALLOWED,
            f"version {version} is of a type that cannot be reversed",
            expected=f"one of {', '.join(sorted(REVERSIBLE))}",
            actual=target.type,
            field="reverses",
        )
    if reversal is not None:
        raise Refused(
            Refusal.ALREADY_REVERSED,
            f"version {version} was reversed already, by version {reversal}",
            expected="an event that still stands",
            field="reverses",
        )
    return target


def next_key(corrected: StoredEvent) -> str:
    """The default key of a correction: `<old key>#2`, and `#3` for the correction of that one."""
    base, mark, count = corrected.key.rpartition("#")
    if corrected.event.corrects is not None and mark and count.isdecimal():
        return f"{base}#{int(count) + 1}"
    return f"{corrected.key}#2"


def find_repeated(connection: Connection, book: str, given: Event) -> StoredEvent | None:
    """The event of the same key, when what was given is what is stored; None for a new key. Raises KeyConflict."""
    if given.key is None:
        return None
    stored = store.find_keys(connection, book, [given.key]).get(given.key)
    if stored is not None:
        require_same(given, stored)
    return stored


def require_same(given: Event, stored: StoredEvent) -> None:
    """Raises KeyConflict when a field that the caller gave is not what is stored; defaults are not compared."""
    if given.kind != stored.type:
        raise KeyConflict(stored.key, stored.version, "type", stored.type, given.kind)
    there = stored.event
    for name in type(given).model_fields:
        given_value = getattr(given, name)
        if name not in given.model_fields_set or (given_value is None and name in _FILLED_IN):
            continue
        stored_value = getattr(there, name)
        if json_value(given_value) != json_value(stored_value):
            raise KeyConflict(stored.key, stored.version, name, json_value(stored_value), json_value(given_value))
