"""`check --engine columns`: sealed rows are proved in their segments by one statement, and the rows of the log stay unread.

    1          not proved: of another type           its row is read and proved
    2–4711     proved, one after the other           their sums are folded at once
    4712       not proved                            its row is read and proved
    4713–…     proved

What a statement proves of a row is what the fast lane proves (`ledger.integrity.chain_statement`). Runs of proved rows are
folded by their sums, as the fast lane's are, so every invariant is held after each run. A segment that is not believed, or
of which many rows are not proved, is read from the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from engine.columns.believed import TrustedSegments
from engine.columns.dialects import text_for
from engine.columns.duck import Duck, EngineFailed
from engine.columns.manifest import Segment
from engine.proof.passed import Source
from ledger import store
from ledger.amounts import ZERO, add, amount_text, subtract
from ledger.book import Head
from ledger.database.log_columns import SEGMENTS, Run, hex_text, in_runs
from ledger.errors import StorageError
from ledger.event_types import EventType
from ledger.integrity.chain_statement import KINDS, unproved
from ledger.integrity.fast_lane import ProvedRows
from ledger.integrity.ranges import Item, ProvedRange
from ledger.integrity.raw_log import RawRow, raw_range
from ledger.integrity.tally import FEE_REASONS, RawMark, Tally
from ledger.stored import StoredEvent
from ledger.times import time_text
from projections.newest_marks import marks_of, newest_marks
from projections.sums import NotSummed, alike_events, sums

BY_RUN = ("book", "segment", "run")


class DuckSource:
    """DuckDB's answers. `reversed_marks`: the versions of the marks that no longer stand."""

    most_unproved = 0.05

    def __init__(
        self,
        duck: Duck,
        found: TrustedSegments,
        known: Collection[EventType] | None,
        until: datetime,
        reversed_marks: Collection[int],
    ) -> None:
        self._duck = duck
        self._found = found
        self._unproved = text_for("duckdb", unproved(SEGMENTS, forms_of(known), until))
        log = in_runs(SEGMENTS)
        self._sums = text_for("duckdb", sums(log, by=BY_RUN))
        self._marks = text_for("duckdb", newest_marks(log, passed_over=reversed_marks, by=BY_RUN))

    def unproved(self, segment: Segment) -> Sequence[Any]:
        """See `Source`."""
        self._use(segment)
        return self._duck.rows(self._unproved)

    def sums(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """See `Source`."""
        self._duck.let_runs(runs)
        return self._duck.rows(self._sums)

    def marks(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """See `Source`."""
        self._duck.let_runs(runs)
        return self._duck.rows(self._marks)

    def stands(self, segment: Segment, digest: bytes, version: int | None) -> bool:
        """See `Source`."""
        self._use(segment)
        query = select(SEGMENTS["version"]).where(hex_text(SEGMENTS["hash"]) == digest.hex())
        return bool(self._duck.rows(query if version is None else query.where(SEGMENTS["version"] == version)))

    def _use(self, segment: Segment) -> None:
        self._duck.use(self._found.store(segment), [self._found.file(segment)])


class ColumnsLane:
    """Goes over a book's log: proved runs of its segments, and the rows of all else."""

    def __init__(self, connection: Connection, found: TrustedSegments) -> None:
        self._connection = connection
        self._found = found
        self._unread: dict[str, int] = {}
        self._reread = 0

    def items(self, source: Source) -> Iterator[Item]:
        """The log in order: runs that were passed, and rows in between."""
        version = 1
        for segment in self._found.trusted(self._found.entered):
            runs = self._proved(source, segment)
            for run in runs or ():
                if version < run.first:
                    yield from self._rows(version, run.first - 1)
                yield run
                version = run.taken.head.version + 1
            if runs:
                self._unread[segment.versions] = sum(run.taken.head.version - run.first + 1 for run in runs)
        # To the very end, and beyond the head: what stands there is found.
        yield from self._rows(version, None)

    def _rows(self, first: int, last: int | None) -> Iterator[Sequence[RawRow]]:
        """Rows in between; what stands below version 1 is found with the first ones."""
        return raw_range(self._connection, self._found.book.name, None if first == 1 else first, last)

    def rows_of(self, passed: ProvedRange) -> Iterator[Sequence[RawRow]]:
        """The rows of a run, where they are to be read after all."""
        last = passed.taken.head.version
        self._reread += last - passed.first + 1
        return raw_range(self._connection, self._found.book.name, passed.first, last)

    def notes(self) -> list[str]:
        """Which rows were not read."""
        count = sum(self._unread.values()) - self._reread
        if not count:
            return ["every row was read: no segment could be used"]
        return [
            f"{count} rows of the versions {', '.join(self._unread)} were not read: they were proved in their segments; "
            "whether an event id occurs twice was not checked"
        ]

    def stands(self, source: Source, digest: bytes, version: int | None) -> bool:
        """Whether a hash stands in a believed segment, at a version where one is given."""
        for segment in self._found.trusted(self._found.entered):
            try:
                if source.stands(segment, digest, version):
                    return True
            except EngineFailed:
                continue
        return False

    def _proved(self, source: Source, segment: Segment) -> list[ProvedRange] | None:
        """The proved runs of a segment; None where its rows are to be read."""
        if segment.unfit:
            return None
        try:
            told = told_of(source, segment)
            if told is None:
                return None
            if not all(self._is_of_rows(segment, row) for row in told):
                self._found.doubt(segment, "its events are not those of the rows", True)
                return None
            return self._summed(source, segment, left_of(told))
        except (EngineFailed, NotSummed, StorageError):
            return None

    def _is_of_rows(self, segment: Segment, row: Any) -> bool:
        """Whether an event of a segment, and the one before it, are the rows' by their hashes."""
        hashes = {row.version: row.hash, row.version - 1: row.previous_hash}
        for version, expected in hashes.items():
            stored = store.find_event(self._connection, segment.book, version) if version else None
            if version and (stored is None or stored.hash != expected):
                return False
        return True

    def _summed(self, source: Source, segment: Segment, left: Sequence[int]) -> list[ProvedRange]:
        runs = runs_between(segment, left)
        if not runs:
            return []
        groups, marks = by_run(source.sums(segment, runs)), by_run(source.marks(segment, runs))
        return [self._passed(run, groups.get(run.run, []), marks.get(run.run, [])) for run in runs]

    def _passed(self, run: Run, groups: Sequence[Any], marks: Sequence[Any]) -> ProvedRange:
        tally = Tally(run.last)
        events = alike_events(groups)
        if sum(row.events for row in groups) != run.last - run.first + 1:
            raise NotSummed("a run has other events than its versions say")
        for event in events:
            _add(tally, event)
        for asset, price in marks_of(marks).items():
            assert price.version is not None
            tally.marks[asset] = RawMark(time_text(price.at), price.version, amount_text(price.price), price.source)
        last = store.find_event(self._connection, run.book, run.last)
        before = store.find_event(self._connection, run.book, run.first - 1)
        if last is None or before is None:
            raise NotSummed("the rows at the ends of a run are not there")
        return ProvedRange(run.first, ProvedRows(tally, Head(run.last, last.hash, last.recorded_at)), before.hash)


def told_of(source: Source, segment: Segment) -> list[Any] | None:
    """What an engine says of a segment, in order; None where its file is of another chain, or too little of it is proved.

    Raises EngineFailed.
    """
    told = list(source.unproved(segment))
    if any(row.version is None for row in told):
        return None
    told.sort(key=lambda row: row.version)
    is_enough = len(left_of(told)) <= source.most_unproved * segment.count + 1
    return told if is_enough and is_whole(segment, told) else None


def left_of(told: Sequence[Any]) -> list[int]:
    """The versions that are not proved."""
    return [row.version for row in told if not row.is_proved]


def is_whole(segment: Segment, told: Sequence[Any]) -> bool:
    """Whether a file begins and ends as its segment does; the statement has proved what is in between."""
    if not told:
        return False
    first, last = told[0], told[-1]
    return (first.version, first.previous_hash, last.version, last.hash) == (
        segment.first_version,
        segment.start_hash,
        segment.last_version,
        segment.end_hash,
    )


def runs_between(segment: Segment, left: Sequence[int]) -> list[Run]:
    """The runs of a segment between the versions that are left to the prover."""
    bounds = zip([segment.first_version - 1, *left], [*left, segment.last_version + 1], strict=True)
    ranges = [(before + 1, after - 1) for before, after in bounds if after - before > 1]
    return [Run(segment.book, segment.first_version, number, *ends) for number, ends in enumerate(ranges)]


def forms_of(known: Collection[EventType] | None) -> Mapping[str, list[int]]:
    """The versions of the common types that a ledger lists; of an unknown list, all."""
    if known is None:
        return {kind: list(range(1, 10)) for kind in KINDS}
    return {kind: sorted(version for name, version in known if name == kind) for kind in KINDS}


def by_run(rows: Sequence[Any]) -> dict[int, list[Any]]:
    """Rows by the number of their run."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.run, []).append(row)
    return found


def _add(tally: Tally, event: StoredEvent) -> None:
    """Add alike events, by their sums."""
    effects = event.effects
    for posting in effects.postings:
        parts = tally.postings.setdefault(posting.asset, {})
        parts[effects.effect_of] = add(parts.get(effects.effect_of, ZERO), posting.delta)
    fee = effects.own if effects.effect_of == "adjustment" and event.reason in FEE_REASONS else effects.fee
    if fee is not None:
        tally.fees[fee.asset] = subtract(tally.fees.get(fee.asset, ZERO), fee.delta)
    tally.unknown_fees += effects.unknown_fees
