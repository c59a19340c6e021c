"""Spans of time given as text: a day, a month, a year, `today`, `yesterday`, or a single point in time.

    2026-11        in UTC             2026-11-01T00:00Z up to 2026-12-01T00:00Z
    2026-10-25     in Europe/Berlin   2026-10-24T22:00Z up to 2026-10-25T23:00Z    25 hours: the clocks are set back

A span begins and ends at midnight in its time zone, so consecutive days never overlap and leave no gap, even when a day has
23 or 25 hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import NoReturn
from zoneinfo import ZoneInfo, available_timezones

from ledger.errors import Refusal, Refused
from ledger.times import BEGINNING, END, parse_time

FORMS = "a time (2026-01-31T14:30:00Z), a date (2026-01-31), a month (2026-01), a year (2026), today or yesterday"
_CALENDAR = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?", re.ASCII)
_DAYS_AGO = {"today": 0, "yesterday": 1}
_DECEMBER = 12
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in UTC.

    start:  its first microsecond
    end:    the first microsecond after it; None for a single point in time
    """

    start: datetime
    end: datetime | None = None

    @property
    def before(self) -> datetime:
        """The exclusive end of a period that ends with this span: a whole day is included, a point in time is not."""
        return self.start if self.end is None else self.end

    @property
    def last(self) -> datetime:
        """Its last microsecond."""
        return self.start if self.end is None else self.end - _MICROSECOND


def parse_span(given: str, *, now: datetime, zone: tzinfo | None = None) -> Span:
    """The span that a text stands for.

    `now`: the current time, for `today` and `yesterday`. `zone`: the time zone of days, months, years, and of times without
    an offset; with None, days are UTC and times without an offset are refused. Raises Refused: `time_malformed`, and
    whatever `ledger.times.parse_time` raises.
    """
    days_ago = _DAYS_AGO.get(given.lower())
    match = _CALENDAR.fullmatch(given)
    if days_ago is not None:
        first, length = now.astimezone(zone or UTC).date() - timedelta(days=days_ago), "day"
    elif match is not None:
        first, length = _first_day(match), match.lastgroup or ""
    else:
        return Span(_time(given, zone))
    return Span(_midnight(first, zone or UTC), _midnight(_following(first, length), zone or UTC))


def calendar_spans(start: datetime, end: datetime, length: str, zone: tzinfo) -> Iterator[tuple[str, Span]]:
    """The days, weeks (from Monday) or months (`length`) that `start` ≤ time < `end` lies in, whole, each with its name.

    Names are `2026-01-31`, `2026-W05`, `2026-01`.
    """
    first: date | None = start.astimezone(zone).date()
    assert first is not None
    if length == "week":
        first -= timedelta(days=first.weekday())
    elif length == "month":
        first = first.replace(day=1)
    while first is not None and (begins := _midnight(first, zone)) < end:
        following = _following(first, length)
        yield _CALENDAR_NAMES[length](first), Span(begins, _midnight(following, zone))
        first = following


_CALENDAR_NAMES: dict[str, Callable[[date], str]] = {
    "day": lambda first: first.isoformat(),
    "week": lambda first: "{}-W{:02}".format(*first.isocalendar()),
    "month": lambda first: f"{first:%Y-%m}",
}


def parse_zone(name: str) -> tzinfo:
    """The time zone with an IANA name such as `Europe/Berlin`. Raises ValueError, saying what was expected."""
    if name.upper() == "UTC":  # works even when the system has no time zone database
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # no such file or folder; not a valid name; not in the database
        known = available_timezones()
    if not known:
        raise ValueError("this system has no time zone database; `pip install tzdata` installs one")
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known, key=lambda zone: zone.count("/"))}
    wanted = name.rpartition("/")[2].lower().replace(" ", "_")
    near = get_close_matches(wanted, cities, n=1)
    example = cities[near[0]] if near else "Europe/Berlin"
    raise ValueError(f"no such time zone; expected an IANA name such as {example}")


def _first_day(match: re.Match[str]) -> date:
    year, month, day = match.group("year", "month", "day")
    try:
        return date(int(year), int(month or 1), int(day or 1))
    except ValueError as error:
        raise Refused(
            Refusal.TIME_MALFORMED, "not on the calendar", expected="a date that is on it", actual=match[0]
        ) from error


def _following(first: date, length: str) -> date | None:
    """The first day after the day, week, month or year (`length`) that begins on `first`; None after the year 9999."""
    try:
        if length in ("day", "week"):
            return first + timedelta(days=1 if length == "day" else 7)
        if length == "year" or first.month == _DECEMBER:
            return date(first.year + 1, 1, 1)
        return date(first.year, first.month + 1, 1)
    except (OverflowError, ValueError):
        return None


def _midnight(day: date | None, zone: tzinfo) -> datetime:
    """When a day begins in a zone, in UTC. If the clocks skip midnight that day, it begins when they are set forward."""
    if day is None:
        return END
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return BEGINNING if day.year == 1 else END


def _time(given: str, zone: tzinfo | None) -> datetime:
    try:
        return parse_time(given)
    except Refused as refused:
        if refused.refusal is Refusal.TIME_WITHOUT_ZONE and zone is not None:
            return _local_time(parse_time(f"{given}Z").replace(tzinfo=None), zone, given)
        if refused.refusal is Refusal.TIME_MALFORMED and refused.what == "not a time":
            refused.expected = FORMS
        raise


def _local_time(clock: datetime, zone: tzinfo, given: str) -> datetime:
    """The time at which the clocks of a zone show `clock`. Raises Refused when they show it twice or never."""
    try:
        first, second = (clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError as error:
        raise Refused(
            Refusal.TIME_OUT_OF_RANGE, "the time is off the calendar", expected="the years 1 to 9999 UTC", actual=given
        ) from error
    if first != second:
        _refuse_unclear(clock, zone, given, shown_twice=first < second)
    return first


def _refuse_unclear(clock: datetime, zone: tzinfo, given: str, *, shown_twice: bool) -> NoReturn:
    offsets = [clock.replace(tzinfo=zone, fold=fold).isoformat() for fold in (0, 1)]
    if shown_twice:
        raise Refused(
            Refusal.TIME_WITHOUT_ZONE,
            f"the clocks of {zone} show this time twice",
            expected=f"{offsets[0]} or {offsets[1]}",
            actual=given,
        )
    raise Refused(
        Refusal.TIME_MALFORMED,
        f"the clocks of {zone} never show this time: they are set forward",
        expected="another time, or one with an offset",
        actual=given,
    )
