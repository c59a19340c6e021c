"""`returns`: time-weighted and money-weighted rates of a period, its drawdown, and the sub-periods that they are made of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from engine.bookkeeper import utc_now
from engine.cost_basis import standing_events
from engine.pool import place_of, require_books, unit_line
from engine.reports.report import Block, Figures, Report, Table, counted, or_unknown, shown
from engine.views import Moment, require_at
from ledger.book import Book
from ledger.database.connections import Database
from ledger.progress import OnProgress
from ledger.spans import calendar_spans
from ledger.stored import StoredEvent
from projections.money_weighted import money_weighted
from projections.returns import DAY, Returns, ReturnsFold, earned, since

RATE_DIGITS = 6
LARGE = 1_000_000
COLUMNS = ("from", "to", "start_value", "end_value", "rate")
PERIOD_COLUMNS = (
    "period",
    "from",
    "to",
    "start_value",
    "flows",
    "end_value",
    "earned",
    "time_weighted",
    "money_weighted",
    "drawdown",
    "missing_marks",
    "time_weighted_unknown",
    "money_weighted_unknown",
)


def returns(
    database: Database,
    names: Iterable[str],
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None = None,
    max_mark_age: timedelta = DAY,
    now: datetime | None = None,
    currency: str | None = None,
    as_of: int | datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """The returns of the period `start` ≤ `at` < `end`; None: from the first movement, up to now.

    `max_mark_age`: a mark that is older does not value. `currency`: to show figures in, each valuation and each flow at the
    rate of its own moment. `as_of`: see `engine.views.Moment`. Raises as `engine.pool.pool_at`.
    """
    now = now or utc_now()
    until = min(end or now, now, as_of if isinstance(as_of, datetime) else now)
    moment = Moment(as_of, known_at, end)
    books, versions, found = _read(database, names, moment, now, on_progress)
    fold = ReturnsFold(books[0].numeraire, start, until, max_mark_age, currency=currency, by_evidence=len(books) == 1)
    result = fold.run(found)
    rate, why = _money_weighted(result)
    sub_periods = Table(COLUMNS, [_row(each) for each in result.sub_periods])
    document: dict[str, Any] = {
        **place_of(books, versions),
        "numeraire": books[0].numeraire,
        **({} if currency is None else {"in": currency}),
        "from": result.start,
        "to": until,
        "start_value": result.start_value,
        "end_value": result.end_value,
        "flows": result.flowed,
        "earned": earned(result),
        "time_weighted": rate_text(result.time_weighted),
        "time_weighted_unknown": _why_unknown(result),
        "money_weighted": _yearly_text(rate),
        "money_weighted_unknown": why,
        "drawdown": rate_text(result.drawdown),
        "missing": [{"at": at, "assets": list(assets)} for at, assets in result.missing],
        "sub_periods": sub_periods.as_dicts(),
    }
    return Report(document, list(_body(unit_line(books, currency=currency), document, result)), sub_periods)


def _read(
    database: Database, names: Iterable[str], moment: Moment, now: datetime, on_progress: OnProgress | None
) -> tuple[list[Book], list[int], list[StoredEvent]]:
    """The books, their versions, and their events that stand at a moment."""
    with database.reading() as connection:
        books, versions = require_books(connection, names)
        found = [book.name for book in books]
        for name in found:
            require_at(connection, name, moment)
        return books, versions, standing_events(connection, found, moment, now=now, on_progress=on_progress)


def returns_by_period(
    database: Database,
    names: Iterable[str],
    *,
    length: str,
    zone: tzinfo,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None = None,
    max_mark_age: timedelta = DAY,
    now: datetime,
    currency: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """The returns of each day, week or month (`length`) of a zone, from the first event in `start` ≤ `at` < `end`.

    Each period goes from the equity at its start to that at its end. All else: see `returns`.
    """
    until = min(end or now, now)
    books, versions, found = _read(database, names, Moment(before=until, known_at=known_at), now, on_progress)
    rows = []
    began = next((stored.at for stored in found if stored.type != "mark"), until)
    first = began if start is None else max(start, began)
    fold: ReturnsFold | None = None
    taken = 0
    for name, span in calendar_spans(first, until, length, zone):
        begins, ends = max(span.start, start or span.start), min(span.before, until)
        if fold is None:
            fold = ReturnsFold(
                books[0].numeraire, begins, ends, max_mark_age, currency=currency, by_evidence=len(books) == 1
            )
        else:
            fold.go_on(ends)
        upto = bisect_left(found, ends, lo=taken, key=lambda stored: stored.at)
        rows.append(_period_row(name, fold.run(found[taken:upto])))
        taken = upto
    table = Table(PERIOD_COLUMNS, rows)
    document = {
        **place_of(books, versions),
        "numeraire": books[0].numeraire,
        **({} if currency is None else {"in": currency}),
        "by": length,
        "periods": table.as_dicts(),
    }
    hidden = ("from", "to", "money_weighted", "time_weighted_unknown", "money_weighted_unknown")
    readable = Table(
        PERIOD_COLUMNS,
        [
            (*row[:3], *map(or_unknown, row[3:7]), *map(_percent, row[7:10]), ", ".join(row[10]) or None, *row[11:])
            for row in rows
        ],
    )
    unknown = [(row[0], row[11]) for row in rows if row[7] is None]
    notes = [
        f"the time-weighted rate of {counted(len(unknown), length)} is unknown; of {name}: {why}"
        for name, why in unknown[:1]
    ]
    return Report(document, [unit_line(books, currency=currency), readable.without(hidden)], table, notes=notes)


def _period_row(name: str, result: Returns) -> tuple[Any, ...]:
    rate, why = _money_weighted(result)
    return (
        name,
        result.start,
        result.end,
        result.start_value,
        result.flowed,
        result.end_value,
        earned(result),
        rate_text(result.time_weighted),
        _yearly_text(rate),
        rate_text(result.drawdown),
        sorted({asset for _, assets in result.missing for asset in assets}),
        _why_unknown(result),
        why,
    )


def rate_text(rate: Decimal | None) -> str | None:
    """A rate as a fraction with 6 digits; None for None."""
    return None if rate is None else f"{rate:.{RATE_DIGITS}f}"


def _yearly_text(rate: float | None) -> str | None:
    """A rate of a year as a fraction; of a few days it may be so large that it needs an exponent."""
    if rate is None:
        return None
    return f"{rate:.{RATE_DIGITS}f}" if abs(rate) < LARGE else f"{rate:.{RATE_DIGITS}e}"


def _row(each: Any) -> tuple[Any, ...]:
    return each.start, each.end, each.start_value, each.end_value, rate_text(each.rate)


def _money_weighted(result: Returns) -> tuple[float | None, str | None]:
    if result.end_value is None or result.start_value is None:
        return None, "the equity at an end of the period is unknown"
    if result.flowed is None:
        return None, "the value of a movement is unknown for want of a mark"
    if result.start is None:
        return None, "no capital was put in"
    if since(result) < DAY:
        return None, "the period is shorter than a day"
    return money_weighted(result.cash_flows())


def _why_unknown(result: Returns) -> str | None:
    if result.missing:
        return "a moment cannot be valued for want of a mark"
    if not result.sub_periods:
        return "no capital was put in" if result.start is None else "nothing was held"
    poor = [each for each in result.sub_periods if each.rate is None]
    return f"the sub-period from {shown(poor[0].start)} starts at 0 or less" if poor else None


def _body(unit: str, document: dict[str, Any], result: Returns) -> Iterator[Block]:
    yield f"{unit}, from {shown(document['from'])} to {shown(document['to'])}"
    names = ("start_value", "flows", "end_value", "earned")
    yield Figures([(name.replace("_", " "), or_unknown(document[name])) for name in names])
    for name, text in (("time_weighted", "time-weighted"), ("money_weighted", "money-weighted, a year")):
        why = document[f"{name}_unknown"]
        yield f"{text}: {_percent(document[name]) if why is None else f'unknown: {why}'}"
    yield f"deepest drawdown: {_percent(document['drawdown'])}"
    for at, assets in result.missing:
        yield f"no fresh mark at {shown(at)}: {', '.join(assets)} (append mark --asset {assets[0]} --price … --at …)"
    rows = [
        (each["from"], each["to"], each["start_value"], each["end_value"], _percent(each["rate"]))
        for each in document["sub_periods"]
    ]
    yield Table(COLUMNS, rows)


def _percent(rate: str | None) -> str:
    """A rate for people: `1.2345 %`."""
    if rate is None:
        return "unknown"
    percent = Decimal(rate) * 100
    return f"{percent:+.4f} %" if abs(percent) < LARGE else f"{percent:+.4e} %"
