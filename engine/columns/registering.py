"""The events of a register: a sealed range of which no row is shown is passed over, and its sums are added instead."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from engine.columns.believed import TrustedSegments
from engine.columns.folding import parts_of
from engine.columns.manifest import Segment
from engine.views import Moment, RegisterFilter
from ledger import store as log
from ledger.stored import StoredEvent
from projections.register import SkippedEvents
from projections.state import BookState


def events(
    connection: Connection, found: TrustedSegments, moment: Moment, shown: RegisterFilter
) -> Iterator[StoredEvent | SkippedEvents]:
    """The events that a moment chooses, in order; of ranges of which nothing is shown, their sums."""
    name, where, after = found.book.name, moment.condition(), 0
    for segment, part in zip(found.entered, parts_of(found.entered, moment), strict=True):
        if part == "some" or (part == "all" and not _shows_nothing(segment, shown)):
            continue
        sums = found.sums(segment) if part == "all" and found.trusted([segment]) else None
        if part == "all" and sums is None:
            continue
        yield from log.read_events(connection, name, after=after, until=segment.first_version - 1, where=where)
        if sums is not None:
            yield _skipped(sums)
        after = segment.last_version
    yield from log.read_events(connection, name, after=after, where=where)


def _shows_nothing(segment: Segment, shown: RegisterFilter) -> bool:
    """Whether all events of a segment lie outside the period that is shown."""
    is_before = shown.start is not None and segment.greatest_at < shown.start
    return is_before or (shown.end is not None and segment.least_at >= shown.end)


def _skipped(sums: BookState) -> SkippedEvents:
    balances = {asset: holding.total for asset, holding in sums.inventory.items()}
    return SkippedEvents(balances, sums.engine_state.starting_value)
