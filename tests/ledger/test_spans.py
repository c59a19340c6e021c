"""Days, months and years in a zone: where they begin and end, that no gap is between them, and what is none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Refusal, Refused
from ledger.spans import Span, calendar_spans, parse_span, parse_zone
from ledger.times import time_text

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
# Clocks that are set at midnight, at a minute past it, by half an hour, over a whole day, the other way round, or never.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Europe/Dublin",
]
DAYS = st.dates(date(1971, 1, 1), date(2037, 12, 30))


def span(text: str, zone: str | None = None, now: datetime = NOON) -> Span:
    """The stretch that a text names."""
    return parse_span(text, now=now, zone=None if zone is None else parse_zone(zone))


def ends(found: Span) -> tuple[str, str]:
    """Start and end, to the minute."""
    assert found.end is not None
    return f"{found.start:%Y-%m-%dT%H:%M}", f"{found.end:%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    ("text", "zone", "start", "end"),
    [
        ("2026-11-01", None, "2026-11-01T00:00", "2026-11-02T00:00"),
        ("2026-12-31", None, "2026-12-31T00:00", "2027-01-01T00:00"),
        ("2028-02", None, "2028-02-01T00:00", "2028-03-01T00:00"),
        ("2026-12", None, "2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026", None, "2026-01-01T00:00", "2027-01-01T00:00"),
        ("2026-11-01", "Asia/Tokyo", "2026-10-31T15:00", "2026-11-01T15:00"),
        ("2026", "Asia/Kolkata", "2025-12-31T18:30", "2026-12-31T18:30"),
        # 23 hours, 25 hours, and a month that begins and ends with another offset.
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("2026-03", "Europe/Berlin", "2026-02-28T23:00", "2026-03-31T22:00"),
        ("2026-11", "America/New_York", "2026-11-01T04:00", "2026-12-01T05:00"),
        # The clocks went from 24:00 to 01:00: the day began at 01:00 and had 23 hours.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),
        # Midnight came twice; the day began with the first.
        ("2026-11-01", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        # A day that the island left out.
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00"),
    ],
)
def test_where_it_begins_and_ends(text: str, zone: str | None, start: str, end: str) -> None:
    assert ends(span(text, zone)) == (start, end)


@pytest.mark.parametrize(
    ("text", "zone", "now", "day"),
    [
        ("today", None, "2026-11-26T00:00:00", "2026-11-26"),
        ("today", None, "2026-11-26T23:59:59.999999", "2026-11-26"),
        ("yesterday", None, "2026-03-01T00:00:00", "2026-02-28"),
        ("Today", "Asia/Tokyo", "2026-11-26T14:59:59", "2026-11-26"),
        ("today", "Asia/Tokyo", "2026-11-26T15:00:00", "2026-11-27"),
        ("YESTERDAY", "America/New_York", "2026-11-26T04:59:59", "2026-11-24"),
        # Today has 25 hours; an hour before its end it still is.
        ("today", "Europe/Berlin", "2026-10-25T22:59:59", "2026-10-25"),
        ("yesterday", "Europe/Berlin", "2026-10-25T23:00:00", "2026-10-25"),
    ],
)
def test_today_is_what_the_clock_says_in_the_zone(text: str, zone: str | None, now: str, day: str) -> None:
    assert span(text, zone, datetime.fromisoformat(now).replace(tzinfo=UTC)) == span(day, zone)


@given(DAYS, st.sampled_from(ZONES))
def test_days_follow_each_other_and_hold_the_times_of_their_date(day: date, zone: str) -> None:
    here, next_day = span(day.isoformat(), zone), span((day + timedelta(days=1)).isoformat(), zone)
    assert here.end == next_day.start
    assert here.end is not None
    if here.end - here.start > timedelta(hours=2):
        # Not at the very ends: where clocks are set back over midnight, the date of minutes comes twice.
        inside = (here.start + timedelta(hours=1), here.end - timedelta(hours=1, microseconds=1))
        assert [time.astimezone(ZoneInfo(zone)).date() for time in inside] == [day, day]


@given(DAYS, st.sampled_from(ZONES))
def test_a_month_is_its_days_and_a_year_its_months(day: date, zone: str) -> None:
    month, year = span(f"{day:%Y-%m}", zone), span(f"{day:%Y}", zone)
    first = day.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    assert (month.start, month.end) == (span(first.isoformat(), zone).start, span(last.isoformat(), zone).end)
    assert (year.start, year.end) == (span(f"{day:%Y}-01", zone).start, span(f"{day:%Y}-12", zone).end)


def test_the_ends_of_a_day_and_of_a_time() -> None:
    """`before` is where a period ends, `last` what a view still counts."""
    day, time = span("2026-11-01"), span("2026-11-01T14:30:00+01:00")
    assert (time_text(day.before), time_text(day.last)) == (
        "2026-11-02T00:00:00.000000Z",
        "2026-11-01T23:59:59.999999Z",
    )
    assert time == Span(datetime(2026, 11, 1, 13, 30, tzinfo=UTC))
    assert time.before == time.last == time.start


@pytest.mark.parametrize(("text", "zone"), [("0001", "Asia/Tokyo"), ("9999", None), ("9999-12-31", "America/New_York")])
def test_the_ends_of_the_calendar_are_no_crash(text: str, zone: str | None) -> None:
    found = span(text, zone)
    assert found.end is not None
    assert found.start < found.end


def test_a_time_without_an_offset_is_one_of_the_zone_and_without_a_zone_refused() -> None:
    assert span("2026-11-01T09:00", "America/New_York").start == datetime(2026, 11, 1, 14, tzinfo=UTC)
    assert span("2026-11-01T09:00:00Z", "America/New_York").start == datetime(2026, 11, 1, 9, tzinfo=UTC)
    with pytest.raises(Refused) as refused:
        span("2026-11-01T09:00")
    assert refused.value.refusal is Refusal.TIME_WITHOUT_ZONE


@pytest.mark.parametrize(
    ("text", "zone", "refusal", "words"),
    [
        # Shown twice, never shown: only an offset says which.
        ("2026-10-25T02:30", "Europe/Berlin", Refusal.TIME_WITHOUT_ZONE, "02:30:00+02:00 or 2026-10-25T02:30:00+01:00"),
        ("2026-03-29T02:30", "Europe/Berlin", Refusal.TIME_MALFORMED, "never show this time"),
        ("0001-01-01T00:00", "Asia/Tokyo", Refusal.TIME_OUT_OF_RANGE, "years 1 to 9999"),
        ("2026-13", None, Refusal.TIME_MALFORMED, "not on the calendar"),
        ("2026-02-29", None, Refusal.TIME_MALFORMED, "not on the calendar"),
        ("0000", None, Refusal.TIME_MALFORMED, "not on the calendar"),
        ("1767603600", None, Refusal.TIME_MALFORMED, "2026-01-05T09:00:00.000000Z"),
        *(
            (text, None, Refusal.TIME_MALFORMED, "a date (2026-01-31), a month (2026-01), a year (2026), today")
            for text in (
                "",
                " ",
                "tomorrow",
                "2026-1",
                "2026/11/01",
                "20261101",
                "26-11-01",
                "2026-11-01 ",
                "-2026",
                "٢٠٢٦",
            )
        ),
    ],
)
def test_what_is_none_is_refused_and_told_the_forms(text: str, zone: str | None, refusal: Refusal, words: str) -> None:
    with pytest.raises(Refused) as refused:
        span(text, zone)
    assert refused.value.refusal is refusal
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Berlin", "such as Europe/Berlin"),
        ("new york", "such as America/New_York"),
        ("Europe", "expected an IANA name"),  # a folder of the system's files
        ("../../../etc/passwd", "expected an IANA name"),
        ("/etc/passwd", "expected an IANA name"),
        ("zone.tab", "expected an IANA name"),
        ("", "expected an IANA name"),
        ("\0", "expected an IANA name"),
        ("x" * 5000, "expected an IANA name"),
        ("+02:00", "expected an IANA name"),
    ],
)
def test_a_zone_that_is_none_is_told_one_that_is(name: str, words: str) -> None:
    with pytest.raises(ValueError, match="no such time zone") as error:
        parse_zone(name)
    assert words in str(error.value)


def test_utc_needs_no_database_of_zones() -> None:
    assert parse_zone("utc") is parse_zone("UTC") is UTC


@given(DAYS, st.integers(0, 90), st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
def test_days_weeks_and_months_of_a_time_leave_no_gap_and_hold_it(day: date, days: int, zone: str, length: str) -> None:
    start = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
    end = start + timedelta(days=days, hours=1)
    found = list(calendar_spans(start, end, length, parse_zone(zone)))
    spans = [each for _, each in found]
    assert spans[0].start <= start < spans[0].before
    assert spans[-1].start < end <= spans[-1].before
    assert all(one.before == other.start for one, other in pairwise(spans))
    assert len({name for name, _ in found}) == len(found)
    for name, each in found:
        first = each.start.astimezone(parse_zone(zone)).date()
        if length == "week":
            assert first == date.fromisocalendar(int(name[:4]), int(name[-2:]), 1)
        else:
            assert each == parse_span(name, now=NOON, zone=parse_zone(zone))
