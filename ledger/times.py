"""Points in time: UTC, to the microsecond. A time without a zone is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ledger.errors import Refusal, Refused
from ledger.refusal_texts import refuse

_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<clock>([01]\d|2[0-3]):\d\d(:\d\d)?)"
    r"((?<=:\d\d:\d\d)[.,](?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d\d:?[0-5]\d)?",
    re.ASCII,
)
_MICROSECOND_DIGITS = 6
_MICROSECONDS = 10**_MICROSECOND_DIGITS
# Where counts of time begin (Unix time).
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Counts since 1970, which venues and clocks give instead of a time: up to so many digits, the unit, and units per second.
_SINCE_1970 = re.compile(r"\d{9,19}", re.ASCII)
_UNITS = ((11, "seconds", 1), (14, "milliseconds", 10**3), (17, "microseconds", 10**6), (19, "nanoseconds", 10**9))
# How far two clocks may differ: a decision or a mark dated further ahead than this is refused.
CLOCK_TOLERANCE = timedelta(minutes=5)
# The earliest and the latest time that can be given.
BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def parse_time(given: object) -> datetime:
    """The UTC time, to the microsecond, of an RFC 3339 text or of a datetime with a zone.

    Raises Refused: `time_malformed`, `time_without_zone`, `time_too_precise`, `time_out_of_range`.
    """
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            refuse(Refusal.TIME_WITHOUT_ZONE, actual=given.isoformat(), given=given.isoformat())
        return _in_utc(given, given.isoformat())
    since_1970 = _SINCE_1970.fullmatch(str(given))
    if since_1970 is not None:
        raise _since_1970(int(since_1970[0]), given)
    match = _TIME.fullmatch(given) if isinstance(given, str) else None
    if match is None or not isinstance(given, str):
        raise Refused(
            Refusal.TIME_MALFORMED,
            "not a time",
            expected="a time such as 2026-01-31T14:30:00Z",
            actual=given,
        )
    if match["zone"] is None:
        refuse(Refusal.TIME_WITHOUT_ZONE, actual=given, given=given)
    fraction = (match["fraction"] or "").rstrip("0")
    if len(fraction) > _MICROSECOND_DIGITS:
        refuse(Refusal.TIME_TOO_PRECISE, actual=given)
    return _assembled(match["day"], match["clock"], fraction, match["zone"], given)


def _since_1970(number: int, given: object) -> Refused:
    """The refusal of a count of seconds, milliseconds, … since 1970; its advice has the time to write instead."""
    digits = len(str(number))
    unit, per_second = next((unit, size) for most, unit, size in _UNITS if digits <= most)
    time = EPOCH + timedelta(microseconds=number * _MICROSECONDS // per_second)
    return Refused(
        Refusal.TIME_MALFORMED,
        f"a count of {unit} since 1970 is not taken as a time",
        expected="a time such as 2026-01-31T14:30:00Z",
        actual=given,
        advice=f"write {time_text(time)}",
    )


def _assembled(day: str, clock: str, fraction: str, zone: str, given: str) -> datetime:
    zone = "+00:00" if zone in "Zz" else zone
    text = f"{day}T{clock}{'.' + fraction.ljust(_MICROSECOND_DIGITS, '0') if fraction else ''}{zone}"
    try:
        return _in_utc(datetime.fromisoformat(text), given)
    except ValueError as error:
        raise Refused(
            Refusal.TIME_MALFORMED, "no such time", expected="a time that is on the calendar", actual=given
        ) from error


def _in_utc(time: datetime, given: str) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise Refused(
            Refusal.TIME_OUT_OF_RANGE, "the time is off the calendar", expected="the years 1 to 9999 UTC", actual=given
        ) from error


@lru_cache(maxsize=1024)  # an event's times are written into its body and into its row
def time_text(time: datetime) -> str:
    """The canonical text of a UTC time: `2026-01-31T14:30:00.000000Z`, always with six decimals and `Z`."""
    return time.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
