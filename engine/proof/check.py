"""`check`: the file, the schema, each book's log, its invariants and the stored projections, in one pass with flat memory.

What is of the ledger and not of one book (the file, the schema, rows that no book owns) is proved once, then each book that
was named, or all of them. Where the schema is so damaged that a book cannot be read, its findings are all that there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

import migrations
from engine import schema
from engine.bookkeeper import utc_now
from engine.columns.manifest import segments
from engine.cost_basis import DEFAULT_METHOD, standing_events
from engine.inbox import inbox
from engine.projection_store import read_rows
from engine.proof.invariants import INVARIANTS, Step
from engine.proof.notes import Notes
from engine.proof.transfers import TRANSFERS, Transfers
from engine.schema_proof import SCHEMA, check_indexes, check_schema, tables_of
from engine.standing_marks import marks_now
from engine.views import NOW
from ledger import store
from ledger.amounts import amount_text, subtract
from ledger.book import GENESIS_HASH, Book, Head
from ledger.database.connections import Database
from ledger.database.tables import books, event_types, events
from ledger.errors import Refusal, Refused, StorageError, StorageFault
from ledger.event_types import EventType, require_readable
from ledger.events import Event
from ledger.integrity.fast_lane import HASH_PLACE, KINDS, TYPE_PLACE, VERSION_PLACE, FastLane, Terms
from ledger.integrity.findings import Finding
from ledger.integrity.log_rules import LOG_RULES, LogRules
from ledger.integrity.prover import CHAIN, UNREADABLE, ProvedRow, Prover, check_orphans
from ledger.integrity.raw_log import RawRow
from ledger.integrity.raw_rows import any_text, raw_columns, shown_raw
from ledger.progress import OnProgress
from ledger.stored import StoredEvent
from ledger.times import BEGINNING, time_text
from projections import fast_fold
from projections import tables as projection_tables
from projections.cost_basis import CostBasisFold
from projections.lots import METHODS
from projections.marks import Selection
from projections.pnl import pnl
from projections.rows import differences, rows_of
from projections.state import EMPTY, BookState, apply

PROJECTIONS_MATCH = "projections_match"
COST_BASIS = "cost_basis"
NAMES = (CHAIN, LOG_RULES, SCHEMA, *INVARIANTS, TRANSFERS, PROJECTIONS_MATCH, COST_BASIS)
# Lots are folded in the order of time, in memory, and take several times as long as all else: of a longer log only when
# `cost_basis` is named.
COST_BASIS_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """A head that was kept elsewhere: the hash must stand in the chain, at `version` when that is given."""

    hash: bytes
    version: int | None = None


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


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What a check is to prove. `only`: names of `NAMES`; `now`: what the clock says, None for the system's.

    `is_fast`: whether sound rows of the common types are proved many at once. The outcome is the same without.
    """

    only: Collection[str] = NAMES
    expected_head: ExpectedHead | None = None
    on_progress: OnProgress | None = None
    now: datetime | None = None
    is_fast: bool = True


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
        known = None
        with _unless_damaged(of_schema, ledger.findings, connection):
            known = _known_forms(connection) if "event_types" in there else None
        ledger.books.extend(_check_book(connection, book, wanted, known, of_schema) for book in names)
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
    if len(names) > 1 and wanted.expected_head is not None:
        raise SeveralBooks(names)


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
) -> CheckReport:
    head, findings, notes = Head(0, GENESIS_HASH, BEGINNING), list[Finding](), list[str]()
    with _unless_damaged(of_schema, findings, connection):
        run = _Run(connection, name, wanted, known)
        findings.extend(run.findings())
        head, notes = run.prover.head, run.lines()
    return CheckReport(name, head, findings, notes)


class _Run:
    """One pass over a book's log; `state` is what the proved events add up to so far."""

    def __init__(
        self, connection: Connection, name: str, wanted: CheckRequest, known: frozenset[EventType] | None
    ) -> None:
        self.prover = Prover(connection, name)
        self.state = EMPTY
        self._is_sound = True
        self._connection = connection
        self._wanted = wanted
        self._expected_stands = wanted.expected_head is None
        reversed_marks = store.reversed_marks(connection, name)
        self._standing = Selection(reversed_marks)
        self._now = wanted.now or utc_now()
        self.notes = Notes(self._now, reversed_marks)
        self._rules = LogRules(connection, self.prover, known) if LOG_RULES in wanted.only else None
        self._transfers = Transfers(connection) if TRANSFERS in wanted.only else None
        self._invariants = [INVARIANTS[name]() for name in INVARIANTS if name in wanted.only]
        terms = Terms(name, known, self.notes.limit, reversed_marks)
        # None: what is left is gone over row by row.
        self._lane = FastLane(terms) if wanted.is_fast else None

    def lines(self) -> list[str]:
        """The notes, once all findings were told."""
        return [*self.notes.lines(self.state), *(self._transfers.notes if self._transfers is not None else ())]

    def findings(self) -> Iterator[Finding]:
        """All that does not hold."""
        for rows in self.prover.rows():
            for is_common, alike in groupby(rows, key=_is_common):
                yield from self._pass(list(alike), is_common)
        yield from self._step(self.prover.prove_end())
        if self._rules is not None:
            yield from self._rules.at_end()
        if self._transfers is not None:
            yield from self._transfers.findings()
        expected = self._wanted.expected_head
        if expected is not None and not self._expected_stands:
            yield _head_is_gone(expected, self.prover.head)
        if COST_BASIS in self._wanted.only and self._may_be_folded_by_lots():
            yield from _check_cost_basis(self._connection, self.prover.book, self.state, self._now)
        if PROJECTIONS_MATCH in self._wanted.only:
            yield from _compare_projections(self._connection, self.prover.book, self.state)

    def _may_be_folded_by_lots(self) -> bool:
        """Of a log that holds nothing that is found already: what is wrong with it would be told twice."""
        is_named = len(self._wanted.only) < len(NAMES)
        return self._is_sound and (is_named or self.prover.head.version <= COST_BASIS_EVENTS)

    def _pass(self, rows: Sequence[RawRow], is_common: bool) -> Iterator[Finding]:
        """Go over rows: all at once where the fast lane takes them, else in halves, down to the one that it does not."""
        if is_common and self._lane is not None:
            if self._overtake(rows, self._lane):
                return
            if len(rows) > 1:
                yield from self._pass(rows[: len(rows) // 2], is_common)
                yield from self._pass(rows[len(rows) // 2 :], is_common)
                return
        for row in rows:
            yield from self._step(self.prover.prove(row))

    def _overtake(self, rows: Sequence[RawRow], lane: FastLane) -> bool:
        """Fold rows that the fast lane takes, where all invariants hold over them; False, and nothing is done, where not."""
        taken = self.prover.overtake(lane, rows)
        if taken is None:
            return False
        state = fast_fold.after(self.state, taken.tally)
        if not all(invariant.holds_over(taken.tally, state) for invariant in self._invariants):
            return False
        for invariant in self._invariants:
            invariant.pass_over(taken.tally)
        self.prover.pass_over(taken)
        self.state = state
        if not self._expected_stands:
            heads = (Head(row[VERSION_PLACE], row[HASH_PLACE], BEGINNING) for row in rows)
            self._expected_stands = any(_stands_at(self._wanted.expected_head, head) for head in heads)
        for row in rows:
            self._show_progress(row[VERSION_PLACE])
        return True

    def _step(self, proved: ProvedRow) -> Iterator[Finding]:
        yield from self._judge(proved)
        self._expected_stands = self._expected_stands or _stands_at(self._wanted.expected_head, self.prover.head)
        if proved.stored is not None:
            self._show_progress(proved.version)

    def _show_progress(self, version: int) -> None:
        if self._wanted.on_progress is not None and version % store.ROWS_AT_ONCE == 0:
            self._wanted.on_progress(version)

    def _judge(self, proved: ProvedRow) -> Iterator[Finding]:
        """What of a row does not hold. What nobody thought of stands in a forged row, too: it is told at its version."""
        if CHAIN in self._wanted.only:
            yield from proved.findings
        self._is_sound = self._is_sound and not proved.findings
        for finding in self._follow(proved):
            self._is_sound = False
            # What a row leaves unequal may stay so for all that come after it, and each of them is to tell.
            self._lane = None
            yield finding

    def _follow(self, proved: ProvedRow) -> Iterator[Finding]:
        try:
            if self._rules is not None:
                yield from self._rules.observe(proved)
            if proved.stored is not None:
                yield from self._watch(proved.stored, proved.event)
        except UNREADABLE as error:
            yield Finding(CHAIN, proved.version, f"the event cannot be followed: {shown_raw(error)}")

    def _watch(self, stored: StoredEvent, event: Event | None) -> Iterator[Finding]:
        """Fold one event, and hold the invariants against what it did."""
        before = self.state
        self.notes.observe(stored, event)
        if self._transfers is not None:
            self._transfers.observe(stored, event)
        try:
            self.state = apply(before, stored, self._standing)
        except StorageError:
            return  # a mark whose bytes cannot be read: found by the prover
        step = Step(self.prover.book, stored, event, before, self.state)
        for invariant in self._invariants:
            yield from invariant.observe(step)


def _check_cost_basis(connection: Connection, book: Book, state: BookState, now: datetime) -> Iterator[Finding]:
    """Total PnL is what its parts by lots add up to, as far as costs and marks are known."""
    events_in_time = standing_events(connection, [book.name], NOW, now=now)
    basis = CostBasisFold(book.numeraire, METHODS[DEFAULT_METHOD]).run(events_in_time)
    marks = marks_now(connection, book.name, state.marks, now)
    earned = basis.earned({asset: mark.price for asset, mark in marks.items()})
    total_pnl = pnl(state, marks, book.numeraire).total_pnl
    if earned is None or total_pnl is None or earned == total_pnl:
        return
    detail = "total PnL is not realised + unrealised − fees + other income − baselines"
    figures = amount_text(total_pnl), amount_text(earned), amount_text(subtract(earned, total_pnl))
    yield Finding(COST_BASIS, None, detail, *figures)


def _is_common(row: RawRow) -> bool:
    return row[TYPE_PLACE] in KINDS


def _stands_at(expected: ExpectedHead | None, head: Head) -> bool:
    return expected is not None and head.hash == expected.hash and expected.version in (None, head.version)


def _head_is_gone(expected: ExpectedHead, head: Head) -> Finding:
    place = "the chain" if expected.version is None else f"the chain at version {expected.version}"
    detail = f"the head that was kept elsewhere does not stand in {place}: the log was cut or rewritten"
    return Finding(CHAIN, expected.version, detail, expected.hash.hex(), f"head {head}")


def _compare_projections(connection: Connection, book: Book, state: BookState) -> Iterator[Finding]:
    for change in differences(read_rows(connection, book.name), rows_of(state, book)):
        both = all(isinstance(figure, Decimal) and figure.is_finite() for figure in (change.stored, change.rebuilt))
        yield Finding(
            PROJECTIONS_MATCH,
            state.version,
            f"the stored projection {change.projection} {change.key} is not what the log adds up to",
            figure_text(change.rebuilt),
            figure_text(change.stored),
            amount_text(subtract(change.stored, change.rebuilt)) if both else None,
        )


def figure_text(figure: Any) -> str | None:
    """A stored figure as canonical text; None for none."""
    if isinstance(figure, Decimal) and figure.is_finite():
        return amount_text(figure)
    if isinstance(figure, datetime):
        return time_text(figure)
    return None if figure is None else shown_raw(figure)
