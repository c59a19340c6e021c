"""Times are UTC to the microsecond, with a zone or refused; nothing about them is guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Refusal, Refused
from ledger.times import parse_time, time_text

offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
utc_times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def refusal_of(given_object: object) -> Refusal:
    """How a time is refused."""
    with pytest.raises(Refused) as refused:
        parse_time(given_object)
    return refused.value.refusal


# ---- round trips


@given(utc_times)
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    text = time_text(time)
    assert parse_time(text) == time
    assert time_text(parse_time(text)) == text


@given(utc_times, offsets)
def test_a_time_with_an_offset_is_the_same_moment_in_utc(time: datetime, zone: tzinfo) -> None:
    local = time.astimezone(zone)
    for given_time in (local, local.isoformat(), local.isoformat(" ")):
        parsed = parse_time(given_time)
        assert parsed == time
        assert parsed.utcoffset() == timedelta(0)


@given(utc_times, utc_times)
def test_canonical_texts_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    assert (time_text(one) < time_text(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-01-31T14:30:00Z", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31t14:30:00z", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31 14:30:00Z", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31T14:30Z", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31T14:30:00.5Z", "2026-01-31T14:30:00.500000Z"),
        ("2026-01-31T14:30:00,25Z", "2026-01-31T14:30:00.250000Z"),
        ("2026-01-31T14:30:00.123456Z", "2026-01-31T14:30:00.123456Z"),
        ("2026-01-31T14:30:00.123456000Z", "2026-01-31T14:30:00.123456Z"),
        ("2026-01-31T14:30:00+00:00", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31T14:30:00-00:00", "2026-01-31T14:30:00.000000Z"),
        ("2026-01-31T14:30:00+05:30", "2026-01-31T09:00:00.000000Z"),
        ("2026-01-31T14:30:00+0530", "2026-01-31T09:00:00.000000Z"),
        ("2026-01-31T20:30:00-05:00", "2026-02-01T01:30:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("9999-12-31T22:59:59.999999-01:00", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert time_text(parse_time(text)) == canonical


# ---- refusals


@pytest.mark.parametrize(
    ("given_object", "refusal"),
    [
        ("2026-01-31T14:30:00", Refusal.TIME_WITHOUT_ZONE),
        ("2026-01-31 14:30", Refusal.TIME_WITHOUT_ZONE),
        (datetime(2026, 1, 31, 14, 30), Refusal.TIME_WITHOUT_ZONE),  # noqa: DTZ001 - without a zone on purpose
        ("2026-01-31T14:30:00.1234567Z", Refusal.TIME_TOO_PRECISE),
        ("2026-01-31T14:30:00.0000001Z", Refusal.TIME_TOO_PRECISE),
        ("0001-01-01T00:00:00+00:01", Refusal.TIME_OUT_OF_RANGE),
        ("9999-12-31T23:59:59-00:01", Refusal.TIME_OUT_OF_RANGE),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), Refusal.TIME_OUT_OF_RANGE),
        # A leap second has no place in a day of 86,400 seconds; nobody may guess which neighbour was meant.
        ("2016-12-31T23:59:60Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T24:00:00Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T25:00:00Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:60:00Z", Refusal.TIME_MALFORMED),
        ("2026-02-29T00:00:00Z", Refusal.TIME_MALFORMED),
        ("2026-13-01T00:00:00Z", Refusal.TIME_MALFORMED),
        ("0000-01-01T00:00:00Z", Refusal.TIME_MALFORMED),
        ("10000-01-01T00:00:00Z", Refusal.TIME_MALFORMED),
        ("-2026-01-31T14:30:00Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00+24:00", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00+05:60", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00+0599", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00+05", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00 Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00UTC", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00.Z", Refusal.TIME_MALFORMED),
        # Half a minute or half a second? ISO 8601 says the one, most readers take the other.
        ("2026-01-31T14:30.5Z", Refusal.TIME_MALFORMED),
        ("2026-01-31", Refusal.TIME_MALFORMED),
        ("20260131T143000Z", Refusal.TIME_MALFORMED),
        ("2026-W05-6T14:30:00Z", Refusal.TIME_MALFORMED),
        ("2026-1-31T14:30:00Z", Refusal.TIME_MALFORMED),
        (" 2026-01-31T14:30:00Z", Refusal.TIME_MALFORMED),
        ("2026-01-31T14:30:00Z\n", Refusal.TIME_MALFORMED),
        ("\uff12\uff10\uff12\uff16-01-31T14:30:00Z", Refusal.TIME_MALFORMED),  # fullwidth digits
        ("\uff12\uff10\uff12\uff16-01-31T14:30:00", Refusal.TIME_MALFORMED),
        ("now", Refusal.TIME_MALFORMED),
        ("", Refusal.TIME_MALFORMED),
        (1767225600, Refusal.TIME_MALFORMED),
        (1767225600.5, Refusal.TIME_MALFORMED),
        (True, Refusal.TIME_MALFORMED),
        (None, Refusal.TIME_MALFORMED),
    ],
)
def test_refusals(given_object: object, refusal: Refusal) -> None:
    assert refusal_of(given_object) is refusal


class _NoOffset(tzinfo):
    """A zone that does not say how far from UTC it is: to Python a time with it is as naive as one without."""

    def utcoffset(self, _time: datetime | None) -> timedelta | None:
        return None

    def dst(self, _time: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _time: datetime | None) -> str | None:
        return None


def test_a_zone_without_an_offset_is_no_zone() -> None:
    """Python would take such a time for one of this machine's own zone."""
    assert refusal_of(datetime(2026, 1, 31, tzinfo=_NoOffset())) is Refusal.TIME_WITHOUT_ZONE


def test_a_time_without_zone_is_refused_with_what_to_type_instead() -> None:
    with pytest.raises(Refused) as refused:
        parse_time("2026-01-31T14:30:00")
    assert "2026-01-31T14:30:00Z" in str(refused.value)


@given(st.text(alphabet="0123456789-:.,TtZz+ ", max_size=40) | st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        parsed = parse_time(text)
    except Refused:
        return
    assert parsed.utcoffset() == timedelta(0)


@given(st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_what_looks_like_a_time_is_a_time_or_refused(text: str) -> None:
    try:
        parsed = parse_time(text)
    except Refused:
        return
    assert parsed.utcoffset() == timedelta(0)
