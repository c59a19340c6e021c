"""`check`: the file, the schema, each book's log, its invariants and the stored projections, in one pass with flat memory.

What is of the ledger and not of one book (the file, the schema, rows that no book owns) is proved once, then each book that
was named, or all of them. Where the schema is so damaged that a book cannot be read, its findings are all that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

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
from engine.proof.request import (
    NAMES,
    PROJECTIONS_MATCH,
    CheckRequest,
    ExpectedHead,
)
from engine.schema_proof import SCHEMA, check_indexes, check_schema, tables_of
from ledger import store
from ledger.book import GENESIS_HASH, Head
from ledger.database.connections import Database
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
        of_indexes = list(check_indexes(connection))
        of_schema = [*of_indexes, *check_schema(connection)]
        there = tables_of(connection)
        ledger = LedgerReport(of_schema if SCHEMA in wanted.only else [], [])
        with _unless_damaged(of_schema, ledger.findings, connection):
            ledger.findings.extend(_check_orphans(connection, there, wanted.only))
        names = [] if name is None else [name]
        if name is None:
            names = _book_names(connection, ledger.findings) if "books" in there else []
            _require_answerable(names, ledger, wanted)
        ledger.findings.extend(_check_heads(wanted.kept_heads, _book_names(connection, []) if "books" in there else []))
        known = None
        with _unless_damaged(of_schema, ledger.findings, connection):
            known = _known_forms(connection) if "event_types" in there else None
        locate = partial(store_of, database) if segments.name in there else None
        if wanted.engine == "columns" and locate is not None:
            _require_segments(connection, names)
        ledger.books.extend(_check_book(connection, book, wanted, known, of_schema, locate) for book in names)
        if not ledger.books:
            ledger.books.append(CheckReport(None, Head(0, GENESIS_HASH, BEGINNING), [], []))
        return ledger


def _require_ledger(connection: Connection) -> None:
    """Raises StorageError unless there is a ledger of the newest schema; what is damaged of one is left to the check."""
    try:
        schema.require_newest(connection)
    except StorageError as error:
        most = len(migrations.TABLES) // 2
        if error.fault is not StorageFault.NOT_A_LEDGER or len(tables_of(connection)) < most:
            raise


@contextmanager
def _unless_damaged(of_schema: list[Finding], findings: list[Finding], connection: Connection) -> Iterator[None]:
    """Where the schema is damaged, what cannot be read for it is a finding; else the database's error is raised."""
    try:
        with connection.begin_nested():  # on a server an error would end the transaction
            yield
    except DBAPIError as error:
        if not of_schema or error.connection_invalidated:
            raise
        said = str(error.orig).partition("\n")[0]
        findings.append(Finding(SCHEMA, None, "what is left cannot be checked while the schema is so", None, said))


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


def _require_answerable(names: list[str], ledger: LedgerReport, wanted: CheckRequest) -> None:
    if not names and ledger.ok:
        raise Refused(Refusal.BOOK_UNKNOWN, "the ledger has no book yet", advice="open one with `netbasis init`")
    of_one_book = [wanted.expected_head, *(head for head in wanted.kept_heads if head.book is None)]
    if len(names) > 1 and any(of_one_book):
        raise SeveralBooks(names)


def _check_heads(heads: Sequence[ExpectedHead], names: Collection[str]) -> Iterator[Finding]:
    """What of the heads in a file does not hold whatever the chains are."""
    yield from out_of_order(heads)
    for book in sorted({head.book for head in heads if head.book is not None} - set(names)):
        yield Finding(
            CHAIN, None, f"there is no book {shown(book)}, a head of which was kept elsewhere: it was removed"
        )


def _known_forms(connection: Connection) -> frozenset[EventType]:
    """The forms of events that the ledger says it holds. Raises StorageError `event_type_newer`."""
    require_readable(connection)
    rows = connection.execute(select(*raw_columns(event_types)))
    return frozenset((row.type, row.version) for row in rows)


def _check_book(
    connection: Connection,
    name: str,
    wanted: CheckRequest,
    known: frozenset[EventType] | None,
    of_schema: list[Finding],
    locate: Locate | None,
) -> CheckReport:
    head, findings, notes = Head(0, GENESIS_HASH, BEGINNING), list[Finding](), list[str]()
    with _unless_damaged(of_schema, findings, connection):
        sealed = None if locate is None else _sealed_part(connection, name, wanted, locate)
        run = Pass(connection, name, wanted, known, sealed)
        findings.extend(run.findings())
        head, notes = run.prover.head, run.lines()
    return CheckReport(name, head, findings, notes)


def _require_segments(connection: Connection, names: Sequence[str]) -> None:
    """Raises Refused `segments_missing` where none of the books has segments; of one that has none, the rows are read."""
    if names and not any(has_segments(connection, name) for name in names):
        refuse(Refusal.SEGMENTS_MISSING, actual=", ".join(names))


def _sealed_part(connection: Connection, name: str, wanted: CheckRequest, locate: Locate) -> SealedPart | None:
    """What of a book is sealed; None where nothing is, or where the book's row cannot be read."""
    if not has_segments(connection, name):
        return None
    from engine.proof.sealed import sealed_part

    try:
        book, head = store.require_book(connection, name)
    except (StorageError, Refused):
        return None
    return sealed_part(connection, book, head, locate, in_columns=wanted.engine == "columns")
