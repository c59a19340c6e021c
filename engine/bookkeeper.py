"""The composition root: an open database, the log, the projections kept with it, a clock and ids.

A bot's whole use of netbasis:

    with Bookkeeper.open("live.db") as keeper:
        keeper.append("main", Fill(side="buy", base_asset="XRP", base_amount=Decimal("10"), …, key="venue:1"))
        keeper.view("main").state.inventory.balance("XRP")

An append is one transaction: the book's lock, the events, the projections; it is on the disk when it returns, or nothing
of it is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from engine import projection_store, schema
from engine.classification import policy_named
from engine.evidence import verify_evidence
from engine.projection_store import Rows
from ledger import store
from ledger.appender import Appender, Clock, NewId, Outcome, open_book
from ledger.book import Book, Head
from ledger.database import BUSY_TIMEOUT_S, Database, Mode
from ledger.errors import Refusal, Refused, StorageError, StorageFault, shown
from ledger.events import Event, Opened, Withdrawal
from ledger.stored import StoredEvent
from projections.state import EMPTY, BookState, apply


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def new_uuid() -> str:
    """A random event id."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: events recorded now, events that were there already, and the end of the log."""

    appended: int
    existed: int
    head: Head


@dataclass(frozen=True, slots=True)
class View:
    """A book at one moment: its terms, the end of its log, and what the log adds up to."""

    book: Book
    head: Head
    state: BookState


class Bookkeeper:
    """Keeps the books of one database. Use it as a context manager, or call `close`."""

    def __init__(self, database: Database, *, clock: Clock = utc_now, new_id: NewId = new_uuid) -> None:
        self.database = database
        self._clock = clock
        self._new_id = new_id
        self._kept: dict[str, tuple[bytes, BookState, Rows]] = {}

    @classmethod
    def open(
        cls,
        location: str,
        mode: Mode = "write",
        *,
        clock: Clock = utc_now,
        new_id: NewId = new_uuid,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Self:
        """Open a ledger. `create` makes and migrates it; else its schema must be the newest.

        Raises StorageError.
        """
        database = Database.open(location, mode, busy_timeout_s=busy_timeout_s)
        try:
            if mode == "create":
                with database.writing() as connection:
                    schema.upgrade(connection)
            else:
                with database.reading() as connection:
                    schema.require_newest(connection)
        except BaseException:
            database.close()
            raise
        return cls(database, clock=clock, new_id=new_id)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def resolve(self, name: str | None) -> str:
        """The name itself when there is such a book; for None the one book there is.

        Raises Refused `book_unknown`, `book_required`.
        """
        with self.database.reading() as connection:
            if name is not None:
                return store.require_book(connection, name)[0].name
            names = store.book_names(connection)
        if len(names) == 1:
            return names[0]
        if not names:
            raise Refused(Refusal.BOOK_UNKNOWN, "the ledger has no book yet", advice="open one with `netbasis init`")
        raise Refused(
            Refusal.BOOK_REQUIRED,
            "the ledger has several books",
            expected=f"one of {', '.join(shown(book) for book in names)}",
            advice="say which with --book NAME",
        )

    def open_book(self, name: str, opened: Opened) -> Outcome:
        """Open a book; `existed` when it is open already on the terms that were given.

        Raises KeyConflict when it is open on other terms; Refused `policy_unknown`.
        """
        policy_named(opened.withdrawal_policy)
        with self.database.writing() as connection:
            projector = _Projector(EMPTY, {})
            appender, outcome = open_book(
                connection, name, opened, clock=self._clock, new_id=self._new_id, on_recorded=projector.observe
            )
            if not outcome.existed:
                projector.save(connection, appender.book)
        return outcome

    def append(self, name: str, event: Event, *, expected_version: int | None = None) -> Outcome:
        """Append one event, durably; an event whose key is there already is answered, not written.

        Raises Refused, VersionPassed, KeyConflict, StorageError; then nothing was written.
        """
        with self._appending(name) as appender:
            (outcome,) = appender.append([event], expected_version=expected_version)
        return outcome

    def append_all(self, name: str, events: Iterable[Event], *, expected_version: int | None = None) -> Appended:
        """Append many events in one transaction: all that are new, or at the first refusal none. Memory stays flat.

        Raises as `append` does, the error's `index` being that of its event.
        """
        counts = [0, 0]
        with self._appending(name) as appender:
            for outcome in appender.append(events, expected_version=expected_version):
                counts[outcome.existed] += 1
        return Appended(counts[False], counts[True], appender.head)

    @contextmanager
    def _appending(self, name: str) -> Iterator[Appender]:
        """A transaction that ends with the projections saved. What was kept in memory is kept only of a commit."""
        with self.database.writing() as connection:
            book, head = store.require_book(connection, name, lock=True)
            projector = self._projector(connection, book, head)
            projector.book = book
            appender = Appender(
                connection, book, head, clock=self._clock, new_id=self._new_id, on_recorded=projector.observe
            )
            yield appender
            if appender.head != head:
                projector.save(connection, book)
        self._kept[name] = (appender.head.hash, projector.state, projector.rows)

    def _projector(self, connection: Connection, book: Book, head: Head) -> _Projector:
        kept = self._kept.get(book.name)
        if kept is not None and kept[0] == head.hash:
            return _Projector(kept[1], kept[2])
        rows = projection_store.load_rows(connection, book.name)
        return _Projector(stored_state(rows, book, head), rows)

    def view(self, name: str) -> View:
        """The book as it stands, from the stored projections.

        Raises Refused `book_unknown`; StorageError `projections_behind`.
        """
        with self.database.reading() as connection:
            book, head = store.require_book(connection, name)
            return View(book, head, stored_state(projection_store.load_rows(connection, name), book, head))


def stored_state(rows: Rows, book: Book, head: Head) -> BookState:
    """The state that stored rows hold. Raises StorageError `projections_behind` when it is not the head's."""
    state = projection_store.state_of(rows, book)
    if state.version != head.version:
        raise StorageError(
            StorageFault.PROJECTIONS_BEHIND,
            f"the stored projections of the book {shown(book.name)} are not those of its log",
            expected=f"version {head.version}",
            actual=f"version {state.version}",
            advice="rebuild them with `netbasis rebuild`",
        )
    return state


class _Projector:
    """The projections during one transaction: folded event by event, written once."""

    def __init__(self, state: BookState, rows: Rows) -> None:
        self.state = state
        self.rows = rows
        self.book: Book | None = None

    def observe(self, stored: StoredEvent, event: Event) -> None:
        """Fold one new event; a withdrawal's evidence is verified against the state that it lands on."""
        if isinstance(event, Withdrawal):
            assert self.book is not None
            verify_evidence(event, self.state, self.book)
        self.state = apply(self.state, stored)

    def save(self, connection: Connection, book: Book) -> None:
        """Write what changed."""
        wanted = projection_store.rows_of(self.state, book)
        projection_store.save_rows(connection, book.name, self.rows, wanted)
        self.rows = wanted
