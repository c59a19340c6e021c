"""`pnl --by day|week|month`: a line a period."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

from engine.cost_basis import TYPES
from engine.pool import place_of, read_pooled, require_books, unit_line
from engine.reports.report import Report, Table, counted, or_unknown, signed_or_unknown
from engine.views import Moment
from ledger.database.connections import Database
from ledger.progress import OnProgress, counting
from ledger.spans import calendar_spans
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.periods import PeriodProfit, ProfitByPeriod

_INSTANT = timedelta(microseconds=1)
COLUMNS = ("period", "from", "to", "start_value", "net_deposits", "baselines", "end_value", "pnl", "missing_marks")


def profit_by_period(
    database: Database,
    names: Iterable[str],
    length: str,
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    now: datetime,
    zone: tzinfo,
    on_progress: OnProgress | None = None,
) -> Report:
    """What each day, week or month (`length`) of a zone earned, from the first event in `start` ≤ `at` < `end`.

    Each end is valued at marks of its own period. Raises as `engine.pool.pool_at`.
    """
    until = min(end or now, now)
    with database.reading() as connection:
        books, versions = require_books(connection, names)
        pool, moment = {book.name for book in books}, Moment(before=until, known_at=known_at)
        read = (stored for name in sorted(pool) for stored in read_pooled(connection, name, moment, pool, TYPES))
        found = sorted(counting(read, on_progress), key=lambda stored: (stored.at, stored.book, stored.version))
    in_time = [stored for stored in found if stored.type != "mark" or stored.at <= now + CLOCK_TOLERANCE]
    spans = _periods(in_time, length, start, until, zone)
    periods = list(ProfitByPeriod(books[0].numeraire, spans).run(in_time))
    table = Table(COLUMNS, [_row(each) for each in periods])
    unknown = sum(each.pnl is None for each in periods)
    document = {
        **place_of(books, versions),
        "numeraire": books[0].numeraire,
        "by": length,
        "from": periods[0].start if periods else start,
        "to": until,
        "unknown": unknown,
        "periods": table.as_dicts(),
    }
    notes = []
    if unknown:
        first = next(each for each in periods if each.pnl is None)
        notes.append(
            f"the pnl of {counted(unknown, length)} is unknown: each needs a mark of its own and of the {length} before it "
            f"for every asset held at its end; the first is {first.name}"
        )
    return Report(document, [unit_line(books), _readable(periods)], table, notes=notes)


def _periods(
    found: list[StoredEvent], length: str, start: datetime | None, until: datetime, zone: tzinfo
) -> list[tuple[str, datetime, datetime]]:
    """The periods from the first event or `start`, whichever is later, after the one that ends where they begin."""
    began = next((stored.at for stored in found if stored.type != "mark"), None)
    if began is None:
        return []
    first = began if start is None else max(start, began)
    spans = [
        (name, max(span.start, start or span.start), min(span.before, until))
        for name, span in calendar_spans(first, until, length, zone)
    ]
    if not spans:
        return []
    begins = spans[0][1]
    before = list(calendar_spans(begins - _INSTANT, begins, length, zone))
    return [("", before[0][1].start, begins), *spans]


def _row(each: PeriodProfit) -> tuple[object, ...]:
    return (
        each.name,
        each.start,
        each.end,
        each.start_value,
        each.net_deposits,
        each.baselines,
        each.end_value,
        each.pnl,
        list(each.missing),
    )


def _readable(periods: list[PeriodProfit]) -> Table:
    rows = [
        (
            each.name,
            or_unknown(each.start_value),
            each.net_deposits,
            each.baselines,
            or_unknown(each.end_value),
            signed_or_unknown(each.pnl),
            ", ".join(each.missing) or None,
        )
        for each in periods
    ]
    columns = ("period", "start_value", "net_deposits", "baselines", "end_value", "pnl", "without a mark")
    hidden = [] if any(each.baselines for each in periods) else ["baselines"]
    return Table(columns, rows).without(hidden)
