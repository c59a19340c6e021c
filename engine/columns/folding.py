"""Folding from segments: a whole log for a rebuild, or the events of a view of the past.

    1–250000        250001–500000     500001–750000     750001–812345
    wholly chosen   wholly chosen     partly chosen     the tail
    its state       └ adds its sums   └ is scanned      └ is read from the rows

Segments that are chosen as a whole from the first one on give the state in the manifest of the last of them. Behind them,
one that is chosen as a whole adds its own sums, one that is chosen in part is scanned by DuckDB, and the rest are rows.
Marks and the initial basis never add up: they are looked up in the log at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, and_

from engine.columns.believed import TrustedSegments
from engine.columns.duck import Duck, EngineFailed, duckdb_session
from engine.columns.manifest import Segment
from engine.columns.standing import with_standing
from engine.refolding import fold_range
from engine.views import Moment
from ledger import store as log
from ledger.book import Book, Head
from ledger.database.log_columns import SEGMENTS, instant
from ledger.progress import OnProgress
from projections.combining import plus
from projections.marks import Selection
from projections.state import EMPTY, BookState, fold
from projections.sums import NotSummed, state_of_sums, sums

# A sum of decimal(38,18) has 20 digits before the point.
WIDTH = Decimal(10) ** 20
_NO_MARKS = Selection(range(1 << 62))
_MICROSECOND = timedelta(microseconds=1)
_FAILED = (EngineFailed, NotSummed)


def fold_log(
    connection: Connection, found: TrustedSegments, head: Head, on_progress: OnProgress | None = None
) -> BookState:
    """The state at the head, folded from segments, and from rows after the last one or where one is not trusted.

    Nothing is taken from the manifest's states: the files are summed. Raises StorageError.
    """
    book = found.book
    trusted = [segment for segment in found.trusted(found.entered) if segment.unfit == 0]
    state, done = EMPTY, list[Segment]()
    with duckdb_session() as duck:
        for group in _groups(trusted):
            summed = _summed(duck, found, group)
            if summed is not None:
                state, done = plus(state, summed), [*done, *group]
                if on_progress is not None:
                    on_progress(sum(segment.count for segment in done))
    for after, until in _gaps(done, head.version):
        part = fold_range(connection, book.name, EMPTY, _NO_MARKS, after=after, until=until, on_progress=on_progress)
        state = plus(state, part)
    return with_standing(connection, book.name, state)


def fold_chosen(
    connection: Connection, found: TrustedSegments, head: Head, moment: Moment, until: datetime
) -> BookState:
    """The state at a moment, folded from segments where they are. `until`: later marks do not count."""
    state = _chosen(connection, found, moment, head)
    return with_standing(connection, found.book.name, state, where=moment.condition(), until=until)


def _chosen(connection: Connection, found: TrustedSegments, moment: Moment, head: Head) -> BookState:
    """What the events of a moment add up to."""
    segments = found.entered
    parts = {segment.first_version: part for segment, part in zip(segments, parts_of(segments, moment), strict=True)}
    state, rest = _prefix(found, segments, parts)
    done = segments[: len(segments) - len(rest)]
    for segment in found.trusted(each for each in rest if parts[each.first_version] == "all"):
        sums_of_own = found.sums(segment)
        if sums_of_own is not None:
            state, done = plus(state, sums_of_own), [*done, segment]
    done += [segment for segment in rest if parts[segment.first_version] == "none"]
    partly = found.trusted(each for each in rest if parts[each.first_version] == "some")
    scanned, summed = _scanned(found, [each for each in partly if each.unfit == 0], moment)
    state, done = plus(state, summed), [*done, *scanned]
    for after, until in _gaps(sorted(done, key=_first_version), head.version):
        state = plus(state, _from_rows(connection, found.book, moment, after, until))
    return state


def _prefix(
    found: TrustedSegments, segments: Sequence[Segment], parts: dict[int, str]
) -> tuple[BookState, Sequence[Segment]]:
    """The state of the last of the segments that are wholly chosen from the first one on, and the segments behind it."""
    whole, last = 0, 0
    for segment in segments:
        if parts[segment.first_version] != "all" or segment.first_version != last + 1:
            break
        whole, last = whole + 1, segment.last_version
    for place in range(whole, 0, -1):
        segment = segments[place - 1]
        state = found.state(segment) if found.trusted([segment]) else None
        if state is not None:
            return plus(EMPTY, state), segments[place:]
    return EMPTY, segments


def parts_of(segments: Sequence[Segment], moment: Moment) -> Iterator[str]:
    """For each segment whether `all`, `some` or `none` of its events are chosen."""
    recorded_before = None
    for segment in segments:
        is_whole, is_none = True, False
        if isinstance(moment.as_of, int):
            is_whole, is_none = segment.last_version <= moment.as_of, segment.first_version > moment.as_of
        for limit in _limits(moment):
            is_whole = is_whole and segment.greatest_at <= limit
            is_none = is_none or segment.least_at > limit
        if moment.known_at is not None:
            is_whole = is_whole and segment.recorded_until <= moment.known_at
            # `recorded_at` never decreases.
            is_none = is_none or (recorded_before is not None and recorded_before > moment.known_at)
        recorded_before = segment.recorded_until
        yield "none" if is_none else "all" if is_whole else "some"


def _limits(moment: Moment) -> list[datetime]:
    """The latest `at` that is chosen, by each limit of a moment."""
    limits = [moment.as_of] if isinstance(moment.as_of, datetime) else []
    return [*limits, *([] if moment.before is None else [moment.before - _MICROSECOND])]


def _first_version(segment: Segment) -> int:
    return segment.first_version


def _scanned(found: TrustedSegments, segments: Sequence[Segment], moment: Moment) -> tuple[list[Segment], BookState]:
    """The chosen events of segments, summed by DuckDB; and the segments for which the sums are exact."""
    if not segments:
        return [], EMPTY
    conditions: list[ColumnElement[bool]] = [SEGMENTS["at"] <= instant(limit) for limit in _limits(moment)]
    if isinstance(moment.as_of, int):
        conditions.append(SEGMENTS["version"] <= moment.as_of)
    if moment.known_at is not None:
        conditions.append(SEGMENTS["recorded_at"] <= instant(moment.known_at))
    done, state = list[Segment](), EMPTY
    with duckdb_session() as duck:
        for group in _groups(segments):
            summed = _summed(duck, found, group, and_(*conditions))
            if summed is not None:
                done, state = [*done, *group], plus(state, summed)
    return done, state


def _summed(
    duck: Duck, found: TrustedSegments, group: Sequence[Segment], where: ColumnElement[bool] | None = None
) -> BookState | None:
    try:
        duck.use(found.store(group[0]), [found.file(segment) for segment in group])
        return state_of_sums(duck.rows(sums(SEGMENTS, where)))
    except _FAILED:
        return None


def _groups(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Segments of one place that are summed together without leaving the width of a sum."""
    group: list[Segment] = []
    bound = Decimal(0)
    for segment in segments:
        widest = segment.widest * segment.count
        if group and (bound + widest >= WIDTH or segment.location != group[0].location):
            yield group
            group, bound = [], Decimal(0)
        if widest < WIDTH:
            group.append(segment)
            bound += widest
    if group:
        yield group


def _gaps(done: Sequence[Segment], last: int) -> Iterator[tuple[int, int]]:
    """The versions that no segment stands in for, as ranges `after` < version ≤ `until`."""
    after = 0
    for segment in done:
        if segment.first_version > after + 1:
            yield after, segment.first_version - 1
        after = segment.last_version
    if after < last:
        yield after, last


def _from_rows(connection: Connection, book: Book, moment: Moment, after: int, until: int) -> BookState:
    """What the chosen events of a range of rows add up to."""
    if isinstance(moment.as_of, int):
        until = min(until, moment.as_of)
    if after >= until:
        return EMPTY
    if moment.known_at is None and not _limits(moment):
        return fold_range(connection, book.name, EMPTY, _NO_MARKS, after=after, until=until)
    events = log.read_events(connection, book.name, after=after, until=until, where=moment.condition())
    return fold(events, EMPTY, _NO_MARKS)
