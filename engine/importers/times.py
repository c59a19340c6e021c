"""Times as venues write them: RFC 3339, with a blank, counts since 1970, or a format of their own; a zone for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from ledger.errors import Refused
from ledger.times import EPOCH, parse_time

# Counts since 1970 by their digits before the point: up to so many, and how many of the unit make a second.
_UNITS = ((11, 1), (14, 10**3), (17, 10**6), (19, 10**9))
_MICROSECONDS = 10**6
# How the errors of `strptime` begin that mean another format.
_UNLIKE = ("time data", "unconverted data")


class TimeReader:
    """Reads the times of a file.

    zone:     of times that have none; None: such a time is refused
    formats:  as `datetime.strptime` takes them, tried in order; then come the usual forms
    """

    def __init__(self, zone: tzinfo | None = None, formats: Sequence[str] = ()) -> None:
        self.zone = zone
        self.formats = formats

    def read(self, given: Any, zone: tzinfo | None = None) -> datetime:
        """The UTC time, to the microsecond; finer digits are cut. `zone`: in place of the file's. Raises ValueError."""
        text = str(given).strip()
        for known in self.formats:
            try:
                return self._in_utc(datetime.strptime(text, known), text, zone)  # noqa: DTZ007 - the zone comes next
            except ValueError as error:
                if not str(error).startswith(_UNLIKE):
                    raise
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return _since_1970(Decimal(text))
        try:
            return parse_time(_cut(text))
        except Refused as refused:
            if refused.code == "time_without_zone":
                return self._in_utc(datetime.fromisoformat(_cut(text).replace(",", ".")), text, zone)
            if refused.code == "time_malformed":
                day = _day(text)
                if day is not None:
                    return self._in_utc(day, text, zone)
            raise ValueError(f"{text[:40]!r} is not a time") from refused

    def _in_utc(self, time: datetime, text: str, zone: tzinfo | None) -> datetime:
        if time.tzinfo is not None:
            return time.astimezone(UTC)
        zone = zone or self.zone
        if zone is None:
            raise ValueError(f"the time {text[:40]!r} has no zone: give one with --zone, such as --zone UTC")
        local = time.replace(tzinfo=zone)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != time:
            raise ValueError(f"the time {text[:40]!r} does not exist in {zone}: the clock was put forward")
        return local.astimezone(UTC)


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - the caller adds the zone
    except ValueError:
        return None


def _cut(text: str) -> str:
    """The text with at most six decimals of a second, and no blank before the zone."""
    text = text.removesuffix(" UTC").removesuffix(" Z") + ("Z" if text.endswith((" UTC", " Z")) else "")
    head, point, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[:6]}{rest[digits:]}" if point and digits > 6 else text


def _since_1970(count: Decimal) -> datetime:
    digits = len(str(int(count)))
    per_second = next((size for most, size in _UNITS if digits <= most), None)
    if per_second is None:
        raise ValueError(f"{count} is not a time")
    try:
        return EPOCH + timedelta(microseconds=int(count * _MICROSECONDS / per_second))
    except OverflowError as error:
        raise ValueError(f"{count} is off the calendar") from error
