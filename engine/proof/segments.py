"""The segments of a book, proved: their files are what was sealed, and the manifest says what the log gives.

A manifest's state stands in for the fold of all rows before it, so it is folded again and compared, as are the sums of its
own range and its times. A state that was edited together with the stored projections is found here: the rows give another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby, zip_longest
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from engine.columns.believed import TrustedSegments
from engine.columns.dialects import text_for
from engine.columns.duck import Duck, EngineFailed, duckdb_session
from engine.columns.manifest import Segment, segments_of
from engine.columns.sealing import MANIFEST, manifest_document
from engine.columns.segment_file import Stretch, difference, folder_of
from engine.columns.standing import with_standing
from engine.proof.columns_lane import DuckSource, left_of, told_of
from engine.proof.figure_texts import figure_text
from engine.proof.request import SEGMENTS as SEGMENTS_PROVED
from ledger.amounts import amount_text, subtract
from ledger.database.log_columns import AMOUNTS, SEGMENTS
from ledger.database.tables import events
from ledger.errors import StorageError, StorageFault
from ledger.integrity.findings import Finding
from ledger.integrity.raw_log import raw_range
from ledger.integrity.raw_rows import any_text
from projections.combining import plus
from projections.rows import differences, rows_of
from projections.state import EMPTY, BookState
from projections.sums import NotSummed, state_of_sums, sums


class SegmentProof:
    """Watches a fold of the log come to the ends of segments. `ends`: the versions at which it wants to see the state.

    `reads_rows`: whether the files are compared with the rows, value by value, and not only by what they add up to.
    """

    def __init__(self, connection: Connection, found: TrustedSegments, *, reads_rows: bool = False) -> None:
        self._reads_rows = reads_rows
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
            yield from self._manifests()
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
            # Of forms and times that the ledger does not have, the rows tell.
            source = DuckSource(duck, self.found, None, datetime.max.replace(tzinfo=UTC), ())

            def summed(segment: Segment) -> BookState:
                duck.use(self.found.store(segment), [self.found.file(segment)])
                return state_of_sums(duck.rows(query))

            for segment in trusted:
                yield from self.columns(segment, summed)
                yield from self._described(segment, duck)
                if self._reads_rows:
                    yield from self._rows(segment, source)

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

    def _rows(self, segment: Segment, source: DuckSource) -> Iterator[Finding]:
        """Whether a file says of each event what its row says: sums can agree where single rows do not.

        A file whose bodies lead from the hash before its range to the one at its end has the bodies of the rows, and what
        follows from them is as good as compared. So only what is not proved in the file is compared with its row.
        """
        store, name, book = self.found.store(segment), self.found.file(segment), segment.book
        try:
            with any_text(self._connection):
                stretches = (
                    Stretch(first, self.found.hash_at(first - 1), raw_range(self._connection, book, first, last))
                    for first, last in self._to_compare(segment, source)
                )
                what = difference(store, name, book, segment.first_version, segment.last_version, stretches)
        except StorageError:
            return  # of the row, which is found itself
        if what is not None:
            detail = f"the file of the segment {segment.versions} has {what}"
            yield Finding(SEGMENTS_PROVED, segment.first_version, detail)

    def _to_compare(self, segment: Segment, source: DuckSource) -> Iterator[tuple[int, int]]:
        """The first and the last version of each stretch of rows that are not proved in a segment's file."""
        try:
            told = told_of(source, segment)
        except EngineFailed:
            told = None
        if told is None:
            yield segment.first_version, segment.last_version
            return
        for _, alike in groupby(enumerate(left_of(told)), key=lambda each: each[1] - each[0]):
            stretch = [version for _, version in alike]
            yield stretch[0], stretch[-1]

    def _described(self, segment: Segment, duck: Duck) -> Iterator[Finding]:
        """Whether the manifest says of a file how large it is, how wide its amounts are, and how many do not fit."""
        store, name = self.found.store(segment), self.found.file(segment)
        try:
            duck.use(store, [name])
            (row,) = duck.rows(text_for("duckdb", _WIDTHS))
        except EngineFailed:
            return  # told with its sums
        found: dict[str, Any] = {"size": store.size(name), "unfit": row.unfit}
        if not row.unfit:  # else it is as wide as the widest of those that do not fit, and nobody asks
            found["widest"] = row.widest
        for what, expected in found.items():
            actual = getattr(segment, what)
            if actual != expected:
                detail = f"{what} of the segment {segment.versions} is not what its file gives"
                yield Finding(SEGMENTS_PROVED, segment.first_version, detail, str(expected), str(actual))

    def _manifests(self) -> Iterator[Finding]:
        """What does not hold of the files `_manifest.json`, from which others learn of the segments."""
        segments = segments_of(self._connection, self.found.book.name)
        for location in dict.fromkeys(segment.location for segment in segments):
            yield from self._manifest([segment for segment in segments if segment.location == location])

    def _manifest(self, here: Sequence[Segment]) -> Iterator[Finding]:
        """What does not hold of the file beside segments of one place."""
        try:
            content = self.found.store(here[0]).read(f"{folder_of(self.found.book.name)}/{MANIFEST}")
        except (StorageError, OSError):
            return  # its segments are passed over, and that is told
        if content is None:
            self.notes.append(f"{MANIFEST} is missing beside {len(here)} segments: `netbasis seal` writes it anew")
            return
        expected = json.loads(json.dumps(manifest_document(self.found.book, here)))
        found = _document(content)
        is_of_book = {**found, "segments": []} == {**expected, "segments": []}
        pairs = enumerate(zip_longest(found["segments"], expected["segments"]))
        place = next((place for place, (one, other) in pairs if one != other or not is_of_book), None)
        if place is None:
            return
        if is_of_book and place == len(found["segments"]) < len(here):  # `seal` was killed before it wrote it
            first = here[place].versions
            self.notes.append(f"{MANIFEST} lacks the segments from {first} on: `netbasis seal` adds them")
            return
        segment = here[min(place, len(here) - 1)]
        detail = f"{MANIFEST} does not say of the segment {segment.versions} what the database says"
        yield Finding(SEGMENTS_PROVED, segment.first_version, detail)

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


_DECIMALS = [SEGMENTS[f"{name}_decimal"] for name in AMOUNTS]
# The widest amount of a file, and how many amounts its decimal columns lack.
_WIDEST = func.coalesce(func.greatest(*(func.max(func.abs(column)) for column in _DECIMALS)), 0)
_LACKING = sum((func.count(SEGMENTS[name]) - func.count(SEGMENTS[f"{name}_decimal"]) for name in AMOUNTS), literal(0))
_WIDTHS: Select[Any] = select(*[_WIDEST.label("widest"), _LACKING.label("unfit")])


def _document(content: bytes) -> dict[str, Any]:
    """A manifest file's document, with a list of segments; an empty one where it is none."""
    try:
        found = json.loads(content)
        if isinstance(found, dict) and isinstance(found.get("segments"), list):
            return found
    except (ValueError, RecursionError):
        pass
    return {"segments": []}


def _difference(actual: Any, expected: Any) -> str | None:
    both = all(isinstance(figure, Decimal) and figure.is_finite() for figure in (actual, expected))
    return amount_text(subtract(actual, expected)) if both else None
