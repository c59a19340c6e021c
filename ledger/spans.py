"""Stretches of time that a text names: a day, a month, a year, today, yesterday; and a time, which has no length.

    2026-11        in UTC             2026-11-01T00:00Z up to 2026-12-01T00:00Z
    2026-10-25     in Europe/Berlin   2026-10-24T22:00Z up to 2026-10-25T23:00Z    25 hours: the clocks are set back

A stretch begins and ends where the days of its zone do, so that days follow each other without a gap or an overlap, of
whatever length the zone's clocks make them.
"""

from __future__ import annotations

import re
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
    """A stretch of time in UTC, without its `end`. `end` is None for a time, which is one microsecond."""

    start: datetime
    end: datetime | None = None

    @property
    def before(self) -> datetime:
        """What comes before the end of a period that ends with it: a whole day counts, a time itself does not."""
        return self.start if self.end is None else self.end

    @property
    def last(self) -> datetime:
        """Its last microsecond: what had happened by then had happened by its end."""
        return self.start if self.end is None else self.end - _MICROSECOND


def parse_span(given: str, *, now: datetime, zone: tzinfo | None = None) -> Span:
    """The stretch that a text names; its days are those of `zone`, None for UTC. `now` is what the clock says.

    A time without an offset is one of `zone`; without a zone it is refused. Raises Refused: `time_malformed`, and those
    of `ledger.times.parse_time`.
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


def parse_zone(name: str) -> tzinfo:
    """The time zone of an IANA name such as `Europe/Berlin`. Raises ValueError, its text saying what was expected."""
    if name.upper() == "UTC":  # also where there is no database of time zones
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # no such file or folder; no name at all; not in the database
        known = available_timezones()
    if not known:
        raise ValueError("this system has no database of time zones; `pip install tzdata` brings one")
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
    """The day after a day, a month or a year that begins on `first`; None after the year 9999."""
    try:
        if length == "day":
            return first + timedelta(days=1)
        if length == "year" or first.month == _DECEMBER:
            return date(first.year + 1, 1, 1)
        return date(first.year, first.month + 1, 1)
    except (OverflowError, ValueError):
        return None


def _midnight(day: date | None, zone: tzinfo) -> datetime:
    """When a day begins. Where the clocks leave midnight out, that is when they are set."""
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
    """The time at which the clocks of a zone show this; refused where they show it twice or never."""
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
