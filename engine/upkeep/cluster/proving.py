"""`cluster check`: every book of a segment store, proved by Spark and, where a statement leaves a row, by the prover.

    on the workers    the hashes of the files; the proof of each row; sums and newest marks of each run of proved rows
    on the driver     the rows that are left, proved one by one; invariants after each run; the states of the manifests;
                      all rows of a book that fails

The rows that are left, and those beside them, are put into a ledger of their own in a temporary folder, so that the prover
and its rules run over them as they do over any ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Text, and_, column, func, insert, select, table, text

from engine import schema
from engine.columns.believed import TrustedSegments
from engine.columns.duck import EngineFailed
from engine.columns.manifest import Segment, add_segment
from engine.columns.segment_reading import read_rows
from engine.columns.stores import Store, open_store
from engine.proof.book_pass import Pass
from engine.proof.check import CheckReport
from engine.proof.columns_lane import BY_RUN, ColumnsLane, forms_of, left_of, runs_between, told_of
from engine.proof.invariants import INVARIANTS
from engine.proof.passed import Source
from engine.proof.request import SEGMENTS as SEGMENTS_PROVED
from engine.proof.request import CheckRequest
from engine.proof.sealed import SealedPart
from engine.proof.segments import SegmentProof
from engine.proof.transfers import TRANSFERS
from engine.upkeep.cluster.folding import OnNote, is_wide, left_to_driver, no_note, sound_books
from engine.upkeep.cluster.segment_store import StoredBook, books_of
from engine.upkeep.cluster.spark import Spark
from ledger.book import GENESIS_HASH, TERMS, Head
from ledger.database.connections import Database
from ledger.database.log_columns import LATER, SEGMENTS, Run, in_runs
from ledger.database.tables import books as books_table
from ledger.integrity.chain_statement import unproved
from ledger.integrity.fast_lane import Terms
from ledger.integrity.findings import Finding
from ledger.integrity.log_rules import LOG_RULES, duplicate_value
from ledger.integrity.prover import CHAIN
from ledger.integrity.raw_log import COLUMNS
from ledger.store import ROWS_AT_ONCE
from ledger.times import BEGINNING, CLOCK_TOLERANCE, time_text
from projections.marks import EMPTY as EMPTY_MARKS
from projections.marks import Marks
from projections.newest_marks import marks_of, newest_marks
from projections.state import BookState
from projections.sums import state_of_sums, sums

ONLY = (CHAIN, LOG_RULES, *INVARIANTS, TRANSFERS, SEGMENTS_PROVED)
Key = tuple[str, int]
_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)
WANTED = table("wanted", column("book", Text), column("version", BigInteger))


def check_store(spark: Spark, location: str, now: datetime, on_note: OnNote = no_note) -> list[CheckReport]:
    """Check all books of a store, sorted by name.

    `now`: what the clock says. `on_note`: called before the driver proves what Spark could not. Raises StorageError.
    """
    store = open_store(location)
    books = books_of(store)
    sound, faults = sound_books(spark, location, books)
    answers = _Answers(spark, location, [each for each in sound if not is_wide(each)], now, on_note)
    reports = [_failed(name, why) for name, why in faults.items()]
    with _scratch() as connection:
        for each in sound:
            _enter(connection, each)
        reports += [_report(connection, store, each, answers, now) for each in sound]
    return sorted(reports, key=lambda report: str(report.book))


def _failed(name: str, why: str) -> CheckReport:
    head = Head(0, GENESIS_HASH, BEGINNING)
    return CheckReport(name, head, [Finding(SEGMENTS_PROVED, None, f"the book was not proved: {why}")], [])


class _Answers:
    """What Spark says of all books at once, kept by book and segment."""

    most_unproved = 1.0  # there are no other rows to read

    def __init__(
        self, spark: Spark, location: str, books: Sequence[StoredBook], now: datetime, on_note: OnNote
    ) -> None:
        self.books = {each.book.name for each in books}
        self._told: dict[Key, list[Any]] = {}
        self._sums: dict[Key, list[Any]] = {}
        self._marks: dict[Key, list[Any]] = {}
        self.rows: dict[str, dict[int, tuple[Any, ...]]] = {}
        self.newest: dict[str, Marks] = {}
        self.times: dict[Key, tuple[datetime, ...]] = {}
        self.whole: dict[Key, list[Any]] = {}
        self.repeated: dict[str, list[Finding]] = {}
        try:
            if books:
                self._ask(spark, location, books, now)
        except EngineFailed as error:
            # Such as a sum that leaves its width, which the manifest denies: the books are proved from their texts.
            on_note(left_to_driver("proved", len(books), error))
            self.books, self.rows = set(), {}

    def _ask(self, spark: Spark, location: str, books: Sequence[StoredBook], now: datetime) -> None:
        spark.use(location, list(chain.from_iterable(each.names for each in books)))
        _keep(self._told, spark.rows(unproved(SEGMENTS, forms_of(None), now + CLOCK_TOLERANCE)))
        runs = [run for each in books for segment in each.segments for run in self._runs(segment)]
        if runs:
            spark.let_runs(runs)
            log = in_runs(SEGMENTS)
            _keep(self._sums, spark.rows(sums(log, by=BY_RUN)))
            _keep(self._marks, spark.rows(newest_marks(log, reversals=LATER, by=BY_RUN)))
        self._read_rows(spark)
        self._ask_for_duplicates(spark)
        by_book: dict[str, list[Any]] = {}
        for row in spark.rows(newest_marks(SEGMENTS, reversals=LATER)):
            by_book.setdefault(row.book, []).append(row)
        _keep(self.whole, spark.rows(sums(SEGMENTS, by=("book", "segment"))))
        bounds = func.min(SEGMENTS["at"]), func.max(SEGMENTS["at"]), func.max(SEGMENTS["recorded_at"])
        keys = SEGMENTS["book"], SEGMENTS["segment"]
        for book, segment, *times in spark.rows(select(*keys, *bounds).group_by(*keys)):
            self.times[book, segment] = tuple(time.replace(tzinfo=UTC) for time in times)
        self.newest = {name: marks_of(rows) for name, rows in by_book.items()}

    def _runs(self, segment: Segment) -> list[Run]:
        told = told_of(self, segment)
        return [] if told is None else runs_between(segment, left_of(told))

    def _ask_for_duplicates(self, spark: Spark) -> None:
        """Keys and event ids that stand in a book more than once."""
        version = SEGMENTS["version"]
        for name in ("key", "event_id"):
            value = SEGMENTS[name].label("value")
            place = func.count().label("times"), func.min(version).label("first"), func.max(version).label("last")
            query = select(SEGMENTS["book"], value, *place).group_by(SEGMENTS["book"], value).having(func.count() > 1)
            for row in spark.rows(query):
                finding = duplicate_value(name, row.value, row.times, row.first, row.last)
                self.repeated.setdefault(row.book, []).append(finding)

    def _read_rows(self, spark: Spark) -> None:
        """The rows that the prover goes over, those beside them, and those that they reverse."""
        told = [row for rows in self._told.values() for row in rows]
        wanted = {(row.book, row.version + step) for row in told for step in (-1, 0)}
        self._fetch(spark, wanted)
        place = COLUMNS.index("reverses")
        reversed_ = {(book, row[place]) for book, rows in self.rows.items() for row in rows.values() if row[place]}
        self._fetch(spark, reversed_ - wanted)

    def _fetch(self, spark: Spark, wanted: set[Key]) -> None:
        if not wanted:
            return
        spark.want(sorted(wanted))
        of_wanted = and_(SEGMENTS["book"] == WANTED.c.book, SEGMENTS["version"] == WANTED.c.version)
        query = select(*(SEGMENTS[name] for name in COLUMNS)).select_from(SEGMENTS.table.join(WANTED, of_wanted))
        for row in spark.rows(query):
            values = tuple(_raw(getattr(row, name)) for name in COLUMNS)
            self.rows.setdefault(row.book, {})[row.version] = values

    def unproved(self, segment: Segment) -> Sequence[Any]:
        """See `Source`."""
        return self._told.get((segment.book, segment.first_version), [])

    def sums(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """See `Source`."""
        return self._sums.get((segment.book, segment.first_version), [])

    def marks(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """See `Source`."""
        return self._marks.get((segment.book, segment.first_version), [])

    def stands(self, segment: Segment, digest: bytes, version: int | None) -> bool:
        """No head is asked for here."""
        raise NotImplementedError


def _keep(found: dict[Key, list[Any]], rows: Sequence[Any]) -> None:
    for row in rows:
        found.setdefault((row.book, row.segment), []).append(row)


def _raw(value: Any) -> Any:
    if isinstance(value, bytearray):
        return bytes(value)
    return time_text(value.replace(tzinfo=UTC)) if isinstance(value, datetime) else value


@contextmanager
def _scratch() -> Iterator[Connection]:
    """A migrated ledger in a temporary folder, in one writing transaction."""
    with (
        tempfile.TemporaryDirectory(prefix="netbasis-cluster-") as folder,
        Database.open(str(Path(folder) / "scratch.db"), "create") as database,
    ):
        with database.writing() as connection:
            schema.upgrade(connection)
        with database.writing() as connection:
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            # Without the rules of a ledger, since rows that break them are put in, too.
            connection.execute(text("DROP TABLE events"))
            connection.execute(text(f"CREATE TABLE events ({_COLUMNS})"))
            connection.execute(text("CREATE INDEX of_book ON events (book, version)"))
            yield connection


def _enter(connection: Connection, book: StoredBook) -> None:
    """Put a book and its segments into the ledger, without its rows."""
    last = book.segments[-1]
    row = {"book": book.book.name, **{term: getattr(book.book, term) for term in TERMS}}
    head = {"head_version": last.last_version, "head_hash": last.end_hash, "head_recorded_at": last.recorded_until}
    connection.execute(insert(books_table).values(**row, **head))
    for segment in book.segments:
        add_segment(connection, segment)


def _put(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Put rows into the ledger; others are gone."""
    connection.execute(text("DELETE FROM events"))
    places = ", ".join("?" * len(COLUMNS))
    remaining = iter(rows)
    while given := list(islice(remaining, ROWS_AT_ONCE)):
        connection.exec_driver_sql(f"INSERT INTO events ({_COLUMNS}) VALUES ({places})", given)  # noqa: S608


class _ProofOnDriver(SegmentProof):
    """The proof of segments by what Spark said of them.

    `is_whole`: all rows are there; otherwise marks are compared at the end of the book's last segment alone.
    """

    def __init__(self, connection: Connection, found: TrustedSegments, answers: _Answers, *, is_whole: bool) -> None:
        super().__init__(connection, found)
        self._answers = answers
        self._newest = None if is_whole else answers.newest.get(found.book.name, EMPTY_MARKS)

    def _standing(self, state: BookState, version: int) -> BookState:
        segment = self._at_end[version]
        known = self.found.state(segment)
        if known is None or self._newest is None:
            return super()._standing(state, version)
        is_last = segment == self.found.entered[-1]
        return replace(state, marks=self._newest if is_last else known.marks)

    def _bounds(self, segment: Segment) -> Sequence[datetime]:
        known = self._answers.times.get((segment.book, segment.first_version))
        return super()._bounds(segment) if known is None else known

    def _contents(self, trusted: list[Segment]) -> Iterator[Finding]:
        for segment in trusted if self.found.book.name in self._answers.books else ():
            yield from self.columns(segment, self._summed)

    def _manifests(self) -> Iterator[Finding]:
        return iter(())  # the manifest's file is what is proved here: there is no database beside it

    def _summed(self, segment: Segment) -> BookState:
        return state_of_sums(self._answers.whole.get((segment.book, segment.first_version), ()))


def _report(connection: Connection, store: Store, book: StoredBook, answers: _Answers, now: datetime) -> CheckReport:
    """The findings of a book. One that Spark did not prove is proved from all of its rows, so that each is named."""
    name = book.book.name
    if name in answers.books:
        _put(connection, answers.rows.get(name, {}).values())
        report = _check(connection, store, book, answers, now, is_whole=False)
        if report.ok:
            return report
    _put(connection, chain.from_iterable(read_rows(store, each) for each in book.names))
    return _check(connection, store, book, answers, now, is_whole=True)


def _check(
    connection: Connection, store: Store, book: StoredBook, answers: _Answers, now: datetime, *, is_whole: bool
) -> CheckReport:
    name, last = book.book.name, book.segments[-1]
    head = Head(last.last_version, last.end_hash, last.recorded_until)
    # The workers have hashed the files.
    found = TrustedSegments(connection, book.book, head, lambda _: store, is_hashed=True)

    @contextmanager
    def open_source(terms: Terms) -> Iterator[Source]:
        yield answers

    lane = None if is_whole else ColumnsLane(connection, found)
    proof = _ProofOnDriver(connection, found, answers, is_whole=is_whole)
    sealed = SealedPart(proof, lane, open_source)
    run = Pass(connection, name, CheckRequest(only=ONLY, now=now), None, sealed)
    findings = list(run.findings())
    told = {(finding.invariant, finding.version) for finding in findings}
    findings += [each for each in answers.repeated.get(name, ()) if (each.invariant, each.version) not in told]
    return CheckReport(name, run.prover.head, findings, list(run.notes.lines(run.state)))
