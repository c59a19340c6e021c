"""`check`: the file, the schema, each book's log, its invariants and the stored projections, in one pass with flat memory.

What is of the ledger and not of one book (the file, the schema, rows that no book owns) is proved once, then each book that
was named, or all of them. Where the schema is so damaged that a book cannot be read, only those findings are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

import migrations
from engine import schema
from engine.columns.manifest import has_segments, segments
from engine.columns.sealing import store_of
from engine.columns.stores import Store
from engine.inbox import inbox
from engine.proof.book_pass import Pass
from engine.proof.heads import out_of_order
from engine.proof.ranges_lane import workers_for
from engine.proof.request import (
    NAMES,
    PROJECTIONS_MATCH,
    SEGMENTS,
    CheckRequest,
    ExpectedHead,
)
from engine.proof.whole_ledger import WholeLedger
from engine.schema_proof import SCHEMA, check_schema, tables_of
from ledger import store
from ledger.book import GENESIS_HASH, Head
from ledger.database.connections import Database, savepoint
from ledger.database.tables import books, event_types, events
from ledger.errors import Refusal, Refused, StorageError, StorageFault, shown
from ledger.event_types import EventType, require_readable
from ledger.integrity.findings import Finding
from ledger.integrity.prover import CHAIN, check_orphans
from ledger.integrity.raw_rows import any_text, raw_columns, shown_raw
from ledger.progress import OnProgress
from ledger.refusal_texts import refuse
from ledger.times import BEGINNING
from projections import tables as projection_tables

if TYPE_CHECKING:
    from engine.proof.sealed import SealedPart

Locate: TypeAlias = Callable[[str | None], Store]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A check's outcome for a book: all that does not hold, and notes on what is unusual but allowed.

    `head`: the end of what was proved; version 0 where the book could not be read. `book`: None where none could be found.
    """

    book: str | None
    head: Head
    findings: list[Finding]
    notes: list[str]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return len(self.findings) == 0


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """A check's outcome for a ledger: what does not hold of the ledger as a whole, and each book's own outcome."""

    findings: list[Finding]
    books: list[CheckReport]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.findings and all(book.ok for book in self.books)


class SeveralBooks(ValueError):
    """A head is expected of all books, and is that of one."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"the expected head is that of one book: say which with --book, one of {', '.join(names)}")


def check(
    database: Database,
    name: str,
    *,
    only: Collection[str] = NAMES,
    expected_head: ExpectedHead | None = None,
    on_progress: OnProgress | None = None,
    now: datetime | None = None,
) -> CheckReport:
    """Check a book; what does not hold of the ledger as a whole comes first.

    `only` names invariants of `NAMES`; `on_progress` gets the version reached; `now`: what the clock says, None for the
    system's: what is dated ahead of it is a note.

    Raises StorageError `database_damaged` when the file itself is, and when there is no ledger; Refused `book_unknown`.
    """
    ledger = check_ledger(database, name, CheckRequest(only, expected_head, on_progress, now))
    (book,) = ledger.books
    return CheckReport(book.book, book.head, [*ledger.findings, *book.findings], book.notes)


def check_ledger(database: Database, name: str | None, wanted: CheckRequest) -> LedgerReport:
    """Check the ledger as a whole and one of its books, or all of them for None.

    Raises StorageError `database_damaged` when the file itself is, and when there is no ledger; Refused `book_unknown`;
    SeveralBooks.
    """
    with database.reading() as connection, any_text(connection):
        _require_ledger(connection)
        address, books = _long_books(database, connection, name, wanted)
        with WholeLedger(connection, address, books) as whole:
            try:
                return _LedgerCheck(database, connection, wanted, whole, address).run(name)
            except Exception:
                whole.indexes()  # that the file is damaged is said before what cannot be read for it
                raise


class _LedgerCheck:
    """A check in one transaction. `whole`: what is proved besides; `address`: for workers to open, None: there are none."""

    def __init__(
        self, database: Database, connection: Connection, wanted: CheckRequest, whole: WholeLedger, address: str | None
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._whole = whole
        self._address = address
        self._of_tables = list(check_schema(connection))
        self._there = tables_of(connection)
        self._locate = partial(store_of, database) if segments.name in self._there else None

    def run(self, name: str | None) -> LedgerReport:
        """Check the ledger as a whole and one of its books, or all of them for None."""
        connection, wanted, ledger = self._connection, self._wanted, LedgerReport([], [])
        with self._unless_damaged(ledger.findings):
            ledger.findings.extend(_check_orphans(connection, self._there, wanted.only))
        of_names: list[Finding] = []
        all_names = _book_names(connection, of_names) if "books" in self._there else []
        names = all_names if name is None else [name]
        if name is None:
            ledger.findings.extend(of_names)
            _require_answerable(names, [*self._wanted_of_schema(), *ledger.findings], wanted)
        ledger.findings.extend(_check_heads(wanted.kept_heads, all_names))
        known = None
        with self._unless_damaged(ledger.findings):
            known = _known_forms(connection) if "event_types" in self._there else None
        if wanted.engine == "columns" and self._locate is not None:
            _require_segments(connection, names)
        ledger.books.extend(self._check_book(book, known) for book in names)
        if not ledger.books:
            ledger.books.append(CheckReport(None, Head(0, GENESIS_HASH, BEGINNING), [], []))
        others = sum(head.book not in (None, *names) for head in wanted.kept_heads)
        if name is not None and others:
            ledger.books[0].notes.append(f"{others} of the kept heads are of other books, which are not checked here")
        ledger.findings[:0] = self._wanted_of_schema()
        return ledger

    def _of_schema(self) -> list[Finding]:
        """What does not hold of the indexes and the schema; it waits for SQLite's own check."""
        return [*self._whole.indexes(), *self._of_tables]

    def _wanted_of_schema(self) -> list[Finding]:
        return self._of_schema() if SCHEMA in self._wanted.only else []

    def _check_book(self, name: str, known: frozenset[EventType] | None) -> CheckReport:
        head, findings, notes = Head(0, GENESIS_HASH, BEGINNING), list[Finding](), list[str]()
        with self._unless_damaged(findings):
            sealed = None
            if self._locate is not None:
                sealed = _sealed_part(self._connection, name, self._wanted, self._locate, findings)
            run = Pass(self._connection, name, self._wanted, known, sealed, self._address, self._whole)
            findings.extend(run.findings())
            head, notes = run.prover.head, run.lines()
        return CheckReport(name, head, findings, notes)

    @contextmanager
    def _unless_damaged(self, findings: list[Finding]) -> Iterator[None]:
        """Where the schema is damaged, what cannot be read for it is a finding; else the database's error is raised."""
        try:
            with savepoint(self._connection):
                yield
        except DBAPIError as error:
            if not self._of_schema() or error.connection_invalidated:
                raise
            said = str(error.orig).partition("\n")[0]
            findings.append(Finding(SCHEMA, None, "the rest cannot be checked while the schema is damaged", None, said))


def _long_books(
    database: Database, connection: Connection, name: str | None, wanted: CheckRequest
) -> tuple[str | None, list[str]]:
    """Where workers are to help: what they open the database by, and the books that are checked. Else None, and no book."""
    if wanted.processes == 1 or not wanted.is_fast or database.address is None:
        return None, []
    rows: Sequence[Any] = ()
    with suppress(DBAPIError), savepoint(connection):
        rows = connection.execute(select(*raw_columns(books))).all()
    found = {row.book: row.head_version for row in rows if isinstance(row.book, str) and name in (None, row.book)}
    is_long = any(workers_for(events, wanted.processes) > 1 for events in found.values())
    return (database.address, list(found)) if is_long else (None, [])


def _require_ledger(connection: Connection) -> None:
    """Raises StorageError unless there is a ledger of the newest schema; what is damaged of one is left to the check."""
    try:
        schema.require_newest(connection)
    except StorageError as error:
        most = len(migrations.TABLES) // 2
        if error.fault is not StorageFault.NOT_A_LEDGER or len(tables_of(connection)) < most:
            raise


def _check_orphans(connection: Connection, there: Collection[str], only: Collection[str]) -> Iterator[Finding]:
    """The rows of books that do not exist."""
    if "books" not in there:
        return
    if CHAIN in only and events.name in there:
        yield from check_orphans(connection)
    if PROJECTIONS_MATCH in only:
        for table in (*projection_tables.TABLES, projection_tables.rebuilds, inbox, segments):
            if table.name in there:
                yield from check_orphans(connection, table, PROJECTIONS_MATCH)


def _book_names(connection: Connection, findings: list[Finding]) -> list[str]:
    """The names of the books; one that is not a text is a finding."""
    names: list[str] = []
    for (name,) in connection.execute(select(raw_columns(books)[0]).order_by(books.c.book)):
        if isinstance(name, str):
            names.append(name)
        else:
            findings.append(Finding(CHAIN, None, "a book whose name is not a text", None, shown_raw(name)))
    return names


def _require_answerable(names: list[str], findings: list[Finding], wanted: CheckRequest) -> None:
    if not names and not findings:
        raise Refused(Refusal.BOOK_UNKNOWN, "the ledger has no book yet", advice="open one with `netbasis init`")
    of_one_book = [wanted.expected_head, *(head for head in wanted.kept_heads if head.book is None)]
    if len(names) > 1 and any(of_one_book):
        raise SeveralBooks(names)


def _check_heads(heads: Sequence[ExpectedHead], names: Collection[str]) -> Iterator[Finding]:
    """What of the heads in a file does not hold whatever the chains are."""
    yield from out_of_order(heads)
    for book in sorted({head.book for head in heads if head.book is not None} - set(names)):
        yield Finding(
            CHAIN,
            None,
            f"the book {shown(book)}, of which a head was kept elsewhere, is not in the ledger: it was removed",
        )


def _known_forms(connection: Connection) -> frozenset[EventType]:
    """The forms of events that the ledger says it holds. Raises StorageError `event_type_newer`."""
    require_readable(connection)
    rows = connection.execute(select(*raw_columns(event_types)))
    return frozenset((row.type, row.version) for row in rows)


def _require_segments(connection: Connection, names: Sequence[str]) -> None:
    """Raises Refused `segments_missing` where none of the books has segments; of one that has none, the rows are read."""
    if names and not any(has_segments(connection, name) for name in names):
        refuse(Refusal.SEGMENTS_MISSING, actual=", ".join(names))


def _sealed_part(
    connection: Connection, name: str, wanted: CheckRequest, locate: Locate, findings: list[Finding]
) -> SealedPart | None:
    """What of a book is sealed; None for nothing, and where its row or the manifest (a finding) is unreadable."""
    if not has_segments(connection, name):
        return None
    from engine.proof.sealed import sealed_part

    try:
        book, head = store.require_book(connection, name)
    except (StorageError, Refused):
        return None
    try:
        return sealed_part(connection, book, head, locate, in_columns=wanted.engine == "columns")
    except StorageError as error:
        if error.fault is not StorageFault.EVENT_UNREADABLE:
            raise
        if SEGMENTS in wanted.only:
            detail = f"{error.what}: no segment of the book is used"
            findings.append(Finding(SEGMENTS, None, detail, str(error.expected), str(error.actual)))
        return None
