"""The fields of ccxt's unified entries: texts, exact numbers, times and ids. What is not understood raises Odd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.importers.items import Settings
from engine.importers.venues.reading import Odd
from ledger.times import EPOCH, parse_time

Entry = Mapping[str, Any]
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
# What no amount can have, so that a sum of hostile numbers stays within the exact context.
_DIGITS = 60


def id_of(entry: Entry, settings: Settings, *parts: str) -> str | None:
    """The entry's id, unique for its exchange; None where it has none. `parts`: what it is unique within."""
    found = optional_text(entry, "id")
    if found is None:
        return None
    return ":".join([*([settings.source] if settings.source else []), *parts, found])


def time_of(entry: Entry) -> datetime:
    """When it happened, UTC: milliseconds since 1970, as a number or a text, else a text with a zone."""
    stamp = entry.get("timestamp")
    if isinstance(stamp, str) and stamp.isascii() and stamp.isdecimal() and len(stamp) < 20:
        stamp = int(stamp)
    if isinstance(stamp, int | Decimal) and not isinstance(stamp, bool):
        try:
            return EPOCH + timedelta(microseconds=int(Decimal(stamp) * 1000))
        except (OverflowError, ValueError):
            raise Odd(f"the timestamp {stamp} is off the calendar") from None
    if isinstance(entry.get("datetime"), str):
        return parse_time(entry["datetime"])
    raise Odd("it has no time")


def text(entry: Entry, name: str) -> str:
    """A field that must be a text."""
    found = optional_text(entry, name)
    if found is None:
        raise Odd(f"it has no {name}")
    return found


def optional_text(entry: Entry, name: str) -> str | None:
    """A field that is a text or a whole number; None where there is none."""
    found = entry.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if found is not None and not isinstance(found, str):
        raise Odd(f"its {name} is no text")
    return found or None


def number(entry: Entry, name: str) -> Decimal | None:
    """A number, or a text that is one; None where there is none."""
    found = entry.get(name)
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, int | Decimal | str):
        raise Odd(f"its {name} is no number")
    if isinstance(found, str) and not _NUMBER.fullmatch(found):
        raise Odd(f"its {name}, {found[:40]!r}, is no number")
    read = Decimal(found)
    if not read.is_zero() and not -_DIGITS < read.adjusted() < _DIGITS:
        raise Odd(f"its {name} is out of range")
    if len(read.as_tuple().digits) > _DIGITS:
        raise Odd(f"its {name} has too many digits")
    return read


def required(entry: Entry, name: str) -> Decimal:
    """A number that must be there."""
    found = number(entry, name)
    if found is None:
        raise Odd(f"it has no {name}")
    return found


def positive(entry: Entry, name: str) -> Decimal:
    """The size of a number that must be there and is not 0."""
    found = required(entry, name).copy_abs()
    if found.is_zero():
        raise Odd(f"its {name} is 0")
    return found
