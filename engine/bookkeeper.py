"""The composition root: an open database, its logs and stored projections, a clock and ids.

This is all that a bot needs:

    with Bookkeeper.open("live.db") as keeper:
        keeper.append("main", Fill(side="buy", base_asset="XRP", base_amount=Decimal("10"), …, key="venue:1"))
        keeper.view("main").state.inventory.balance("XRP")

An append is one transaction over the book's lock, its events and its projections. When it returns, everything is on the
disk; when it fails, nothing is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from engine import projection_store, schema
from engine.commits import Commit, Commits
from engine.pairing import require_paired
from engine.policy.classification import policy_named
from engine.projection_store import stored_state
from engine.projector import CommitSnapshot, Projector, projector_at, projector_of
from engine.retrying import Replayable, always, retry
from engine.schema_proof import require_no_strangers
from engine.transaction import Transaction
from ledger import store
from ledger.appender import Appender, Clock, DryAppender, NewId, OnRefused, Outcome, open_book
from ledger.book import Book, Head
from ledger.database.connections import BUSY_TIMEOUT_S, Database, change_mark
from ledger.database.faults import Access
from ledger.database.sqlite import OnWait
from ledger.errors import Refusal, Refused, shown
from ledger.event_types import EventType, require_readable
from ledger.events import Event, Opened
from ledger.given import FileEvent, GivenEvent, event_of
from ledger.idempotency import StoredLog, find_duplicate, has_key
from ledger.integrity.file_damage import require_sound_file
from ledger.stored import StoredEvent
from projections.state import EMPTY, BookState


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def new_uuid() -> str:
    """A random event id."""
    drawn = os.urandom(16).hex()
    variant = "89ab"[int(drawn[16], 16) & 3]  # RFC 9562, version 4; half the time of `uuid.uuid4`
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What an append did.

    appended:  how many events were recorded now
    existed:   how many were in the book already
    head:      the end of the log afterwards
    """

    appended: int
    existed: int
    head: Head


@dataclass(frozen=True, slots=True)
class View:
    """A book at one moment.

    book:   its terms
    head:   the end of its log
    state:  what the events that count add up to
    """

    book: Book
    head: Head
    state: BookState


class Bookkeeper:
    """Keeps the books of one database. Use it as a context manager, or call `close`.

    database:  the open database
    commits:   what this bookkeeper has committed so far
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = utc_now,
        new_id: NewId = new_uuid,
        event_types: frozenset[EventType] = frozenset(),
    ) -> None:
        self.database = database
        self._event_types = event_types
        self._clock = clock
        self._new_id = new_id
        self._snapshots: dict[str, CommitSnapshot] = {}
        self.commits = Commits()

    @classmethod
    def open(
        cls,
        location: str,
        access: Access = "write",
        *,
        clock: Clock = utc_now,
        new_id: NewId = new_uuid,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        sound_file: bool = False,
        on_wait: OnWait | None = None,
    ) -> Self:
        """Open a ledger at a path or URL.

        `access`: `create` makes the ledger, or migrates it to the newest schema; with `read` and `write`, the schema must be
        the newest. `clock`, `new_id`: where times (UTC) and event ids come from. `busy_timeout_s`: how long to wait for
        a lock. `sound_file`: have SQLite check every page of the file first, for the start of a session, so that a damaged
        file raises before anything is written. `on_wait`: called when a writer of a SQLite file has waited for one second.
        Raises StorageError.
        """
        if sound_file:
            _require_sound_file(location)
        database = Database.open(location, access, busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        try:
            if access == "create":
                with database.writing() as connection:
                    schema.upgrade(connection)
                    event_types = require_readable(connection)
            else:
                with database.reading() as connection:
                    schema.require_newest(connection)
                    event_types = require_readable(connection)
                    if access == "write":
                        require_no_strangers(connection)
                if access == "write":
                    database.use_wal(busy_timeout_s=busy_timeout_s, on_wait=on_wait)
        except BaseException:
            database.close()
            raise
        return cls(database, clock=clock, new_id=new_id, event_types=event_types)

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
        """The name of an existing book; for None, the name of the ledger's only book.

        Raises Refused `book_unknown` when there is no such book, or none at all; `book_required` for None when there are
        several books.
        """
        with self.database.reading() as connection:
            names = store.book_names(connection)
            if name is not None and name not in names:
                raise store.unknown_book(connection, name)
        if name is not None:
            return name
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
        """Open a book; the outcome has `existed` when it is already open on these terms.

        Raises KeyConflict when it is open on other terms; Refused `policy_unknown`; StorageError.
        """
        policy_named(opened.withdrawal_policy)

        def work() -> Outcome:
            with self.database.writing() as connection:
                projector = Projector(connection, Book.on_terms_of(name, opened), EMPTY, {})
                outcome = open_book(
                    connection,
                    name,
                    opened,
                    clock=self._clock,
                    new_id=self._new_id,
                    on_recorded=projector.observe,
                    event_types=self._event_types,
                )
                if not outcome.existed:
                    projector.save(connection)
                    self.commits.begin([Commit(name, 1, outcome.version, outcome.stored.key)])
            self.commits.end()
            return outcome

        return retry(work, safe_to_repeat=always)

    def append(
        self, name: str, event: Event, *, expected_version: int | None = None, refuse_reversed: bool = False
    ) -> Outcome:
        """Append one event, durably. An event that is already in the book is returned (`existed`), not written again.

        `expected_version`: append only if the head is at this version. `refuse_reversed`: raise ExistsReversed when the key
        belongs to an event that was reversed; a person would take "exists" for "counts". Raises Refused, VersionPassed,
        KeyConflict, MovementConflict, StorageError; nothing was written then, unless the StorageError has
        `outcome_is_unknown`. Retries after a transient fault if that cannot write the event twice.
        """

        def work() -> Outcome:
            with self.transaction(name) as transaction:
                return transaction.append(event, expected_version=expected_version, refuse_reversed=refuse_reversed)

        return retry(work, safe_to_repeat=lambda: has_key(event))

    def append_all(
        self,
        name: str,
        events: Iterable[GivenEvent],
        *,
        expected_version: int | None = None,
        on_refused: OnRefused | None = None,
    ) -> AppendReport:
        """Append many events in one transaction: all that are new, or none after a refusal. Memory stays flat.

        `on_refused`: called with the error of each event that is refused or conflicts; that event is skipped and the others
        are appended. Retries after a transient fault if `events` can be iterated again (a sequence, or a `Replayable`) and
        no event can be written twice; otherwise raises it. Raises as `append` does, with the event's position in `index`.
        """

        def work() -> AppendReport:
            counts = [0, 0]
            with self.transaction(name) as transaction:
                for outcome in transaction.append_all(events, expected_version=expected_version, on_refused=on_refused):
                    counts[outcome.existed] += 1
                return AppendReport(counts[False], counts[True], transaction.head)

        if not isinstance(events, Sequence | Replayable):
            return work()
        return retry(work, safe_to_repeat=lambda: all(has_key(event_of(given)) for given in events))

    @contextmanager
    def transaction(self, name: str) -> Iterator[Transaction]:
        """A transaction on a book, which is locked until the end, so nothing changes between reading and appending.

        An exception rolls it back. It is not retried. Raises Refused `book_unknown`; StorageError.
        """
        with self.transactions(name) as (transaction,):
            yield transaction

    @contextmanager
    def transactions(self, *names: str) -> Iterator[tuple[Transaction, ...]]:
        """A transaction on several books, which are locked until the end; all appends are committed together, or none.

        Yields one Transaction for each name, in the given order. Books are locked in the order of their names, so that two
        callers who want the same books never deadlock. Raises Refused `book_unknown`, and at the end `transfer_unpaired`
        when one side of a transfer was recorded or reversed without the other; StorageError.
        """
        with self.database.writing() as connection:
            mark = change_mark(connection)
            opened = {name: self._locked(connection, name, mark) for name in sorted(set(names))}
            yield tuple(opened[name] for name in names)
            require_paired([side for transaction in opened.values() for side in transaction.transfers])
            commits = [commit for transaction in opened.values() if (commit := transaction.save()) is not None]
            self.commits.begin(commits)
            mark = change_mark(connection)
        self.commits.end()
        for name, transaction in opened.items():
            self._snapshots[name] = transaction.snapshot(mark)
            self._event_types |= transaction.event_types

    @contextmanager
    def rehearsal(self, name: str) -> Iterator[Transaction]:
        """A transaction that only reads: what is appended to it is checked and folded, and then forgotten.

        Raises Refused `book_unknown`; StorageError.
        """
        with self.database.reading() as connection:
            book, head = store.require_book(connection, name)
            projector = projector_at(connection, book, head, self._snapshots.get(name))
            appender = DryAppender(
                connection, book, head, clock=self._clock, new_id=self._new_id, on_recorded=projector.observe
            )
            yield Transaction(connection, appender, projector)

    def _locked(self, connection: Connection, name: str, mark: tuple[object, ...] | None) -> Transaction:
        kept = self._snapshots.get(name)
        if kept is not None and mark is not None and kept.mark == mark:  # nobody has written since
            book, head, projector = kept.book, kept.head, projector_of(connection, kept)
        else:
            book, head = store.require_book(connection, name, lock=True)
            projector = projector_at(connection, book, head, kept)
        appender = Appender(
            connection,
            book,
            head,
            clock=self._clock,
            new_id=self._new_id,
            on_recorded=projector.observe,
            event_types=self._event_types,
        )
        return Transaction(connection, appender, projector)

    def find_duplicate(self, name: str, given: GivenEvent, *, refuse_reversed: bool = False) -> StoredEvent | None:
        """The stored event that `given` duplicates; see `ledger.idempotency.find_duplicate`."""
        with self.database.reading() as connection:
            log = StoredLog(connection, name)
            event = given.resolved(log) if isinstance(given, FileEvent) else given
            return find_duplicate(event, log, refuse_reversed=refuse_reversed)

    def terms(self, name: str | None = None) -> Book:
        """A book's terms, without loading its projections. `name`: None for the ledger's only book.

        Raises Refused `book_unknown`, `book_required`; StorageError.
        """
        resolved = self.resolve(name)
        with self.database.reading() as connection:
            return store.require_book(connection, resolved)[0]

    def new_id(self) -> str:
        """A new id, where the ids of events come from."""
        return self._new_id()

    def now(self) -> datetime:
        """The time by this bookkeeper's clock."""
        return self._clock()

    def view(self, name: str) -> View:
        """The book at its head, from the stored projections.

        Raises Refused `book_unknown`; StorageError, among them `projections_behind`.
        """
        with self.database.reading() as connection:
            return read_view(connection, name)


def read_view(connection: Connection, name: str) -> View:
    """The book at its head, read in the caller's transaction; see `Bookkeeper.view`."""
    book, head = store.require_book(connection, name)
    return View(book, head, stored_state(projection_store.load_rows(connection, name), book, head))


def _require_sound_file(location: str) -> None:
    """Check the pages of a SQLite file. Read-only, since closing a file opened for writing moves the WAL into it."""
    with Database.open(location, "read") as database, database.reading() as connection:
        require_sound_file(connection)
