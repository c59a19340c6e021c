"""The segments of a book, proved: their files are what was sealed, and the manifest says what the log gives.

A manifest's state stands in for the fold of all rows before it, so it is folded again and compared, as are the sums of its
own range and its times. A state that was edited together with the stored projections is found here: the rows give another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from engine.columns.believed import TrustedSegments
from engine.columns.dialects import text_for
from engine.columns.duck import EngineFailed, duckdb_session
from engine.columns.manifest import Segment
from engine.columns.standing import with_standing
from engine.proof.figure_texts import figure_text
from engine.proof.request import SEGMENTS as SEGMENTS_PROVED
from ledger.amounts import amount_text, subtract
from ledger.database.log_columns import SEGMENTS
from ledger.database.tables import events
from ledger.errors import StorageError, StorageFault
from ledger.integrity.findings import Finding
from projections.combining import plus
from projections.rows import differences, rows_of
from projections.state import EMPTY, BookState
from projections.sums import NotSummed, state_of_sums, sums


class SegmentProof:
    """Watches a fold of the log come to the ends of segments. `ends`: the versions at which it wants to see the state."""

    def __init__(self, connection: Connection, found: TrustedSegments) -> None:
        self.found = found
        self.notes: list[str] = []
        self._connection = connection
        self._starts: dict[int, BookState] = {0: EMPTY}
        self._at_end = {segment.last_version: segment for segment in self.found.entered}
        starts = {segment.first_version - 1 for segment in self.found.entered}
        self._wanted_starts = starts
        self.ends = frozenset(self._at_end) | starts

    def reached(self, version: int, state: BookState) -> Iterator[Finding]:
        """What does not hold of the segment that ends at a version, given the state that the rows add up to there."""
        if version in self._wanted_starts:
            self._starts[version] = state
        segment = self._at_end.get(version)
        if segment is None or state.version != version:
            return
        expected = self._standing(state, version)
        yield from self._compare(segment, "state", self.found.state(segment), expected)
        before = self._starts.pop(segment.first_version - 1, None)
        sums = self.found.sums(segment)
        if before is not None and sums is not None:
            yield from self._compare(segment, "sums", plus(before, sums), plus(EMPTY, state))
        yield from self._times(segment)

    def _standing(self, state: BookState, version: int) -> BookState:
        """The state at a version with the marks that stood then; the fold knows only those that still stand."""
        return with_standing(self._connection, self.found.book.name, state, where=events.c.version <= version)

    def files(self) -> Iterator[Finding]:
        """What does not hold of the files, and of rows of the manifest that do not continue the log."""
        try:
            trusted = self.found.trusted(self.found.entered)
            yield from self._contents(trusted)
        except StorageError as error:
            if error.fault is not StorageFault.EXTRA_MISSING:
                raise
            self.notes.append(f"the segments were not checked: {error.what}; {error.advice}")
        for doubt in self.found.doubts:
            place = f"the segment {doubt.segment.versions}"
            if doubt.is_finding:
                detail = f"{place} is not trusted: {doubt.why}"
                yield Finding(SEGMENTS_PROVED, doubt.segment.first_version, detail, doubt.expected, doubt.actual)
            else:
                self.notes.append(f"{place} is passed over: {doubt.why}; its rows are read")

    def _contents(self, trusted: list[Segment]) -> Iterator[Finding]:
        """What the columns of a file add up to is what the manifest says, as far as an engine can add it up."""
        with duckdb_session() as duck:
            query = text_for("duckdb", sums(SEGMENTS))

            def summed(segment: Segment) -> BookState:
                duck.use(self.found.store(segment), [self.found.file(segment)])
                return state_of_sums(duck.rows(query))

            for segment in trusted:
                yield from self.columns(segment, summed)

    def columns(self, segment: Segment, summed: Callable[[Segment], BookState]) -> Iterator[Finding]:
        """Whether a file's columns, as an engine has `summed` them, add up to what the manifest says."""
        expected = self.found.sums(segment)
        if segment.unfit or expected is None:
            return
        try:
            yield from self._compare(segment, "columns", summed(segment), expected)
        except NotSummed:
            detail = f"the file of the segment {segment.versions} lacks amounts"
            yield Finding(SEGMENTS_PROVED, segment.first_version, detail)
        except EngineFailed as error:
            self.notes.append(f"the segment {segment.versions} cannot be added up in columns: {error}")

    def _times(self, segment: Segment) -> Iterator[Finding]:
        try:
            found = self._bounds(segment)
        except StorageError:
            return  # a time that cannot be read is found in its row
        names = ("least_at", "greatest_at", "recorded_until")
        for name, expected in zip(names, found, strict=True):
            actual: datetime = getattr(segment, name)
            if actual != expected:
                detail = f"{name} of the segment {segment.versions} is not what the rows give"
                yield Finding(SEGMENTS_PROVED, segment.last_version, detail, figure_text(expected), figure_text(actual))

    def _bounds(self, segment: Segment) -> Sequence[datetime]:
        """The least and the greatest `at`, and the greatest `recorded_at`, of a segment's rows."""
        query = select(func.min(events.c.at), func.max(events.c.at), func.max(events.c.recorded_at)).where(
            events.c.book == segment.book, events.c.version.between(segment.first_version, segment.last_version)
        )
        return tuple(self._connection.execute(query).one())

    def _compare(self, segment: Segment, what: str, actual: BookState | None, expected: BookState) -> Iterator[Finding]:
        if actual is None:
            return  # told among the doubts
        book = self.found.book
        for change in differences(rows_of(actual, book), rows_of(expected, book)):
            yield Finding(
                SEGMENTS_PROVED,
                segment.last_version,
                f"the {what} of the segment {segment.versions} say another {change.projection} {change.key}",
                figure_text(change.rebuilt),
                figure_text(change.stored),
                _difference(change.stored, change.rebuilt),
            )


def _difference(actual: Any, expected: Any) -> str | None:
    both = all(isinstance(figure, Decimal) and figure.is_finite() for figure in (actual, expected))
    return amount_text(subtract(actual, expected)) if both else None
