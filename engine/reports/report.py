"""A report: what a reading command found, for programs and for people. Whoever shows it decides how: a terminal, a page.

    report.document    what programs get as JSON
    report.rows        the same as rows, for CSV and NDJSON
    report.body        what people get, block by block: tables, figures and lines

Values stay what they are (Decimal, datetime, None for unknown or nothing) until they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from ledger.amounts import shown_amount
from ledger.times import time_text

NOTHING = "-"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Table:
    """Rows under columns; the rows may be a stream, which can be iterated once."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Each row by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def without(self, columns: Sequence[str]) -> Table:
        """The table without some columns, as people are shown it; rows that were a stream are used up."""
        kept = [place for place, name in enumerate(self.columns) if name not in columns]
        return Table([self.columns[place] for place in kept], [[row[place] for place in kept] for row in self.rows])


@dataclass(frozen=True)
class Figures:
    """Names and their values, one below the other."""

    items: Sequence[tuple[str, Any]]


Block: TypeAlias = Table | Figures | str


@dataclass(frozen=True)
class Report:
    """What a reading command found.

    `document`: a list where there are several of a kind. `rows`: None where the document itself is the one row. `csv_rows`:
    for CSV alone, where NDJSON has other rows. `notes`: what is said to people beside it, on a terminal's stderr.
    """

    document: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    body: Sequence[Block]
    rows: Table | None = None
    csv_rows: Table | None = None
    notes: Sequence[str] = ()


def shown(value: Any) -> str:
    """A value as people read it: all digits of an amount, at least two decimals; a hash's first 12; `-` for nothing."""
    if value is None:
        return NOTHING
    if isinstance(value, Decimal):
        return shown_amount(value)
    if isinstance(value, datetime):
        return time_text(value).replace(".000000Z", "Z")
    return value.hex()[:12] if isinstance(value, bytes) else str(value)


def signed(difference: Decimal) -> str:
    """A difference as people read it, with its sign: `+50.00`, `-19.12`, and 0 as `0.00`."""
    return f"{'+' if difference > 0 else ''}{shown_amount(difference)}"


def signed_or_unknown(difference: Decimal | None) -> str:
    """A difference with its sign; `unknown` for None."""
    return UNKNOWN if difference is None else signed(difference)


def or_unknown(figure: Any) -> Any:
    """The figure itself; `unknown` for None."""
    return UNKNOWN if figure is None else figure


def rate_notes(currency: str | None, unrated: Sequence[datetime]) -> list[str]:
    """Which rates of a currency are missing, and the command that gives the first; empty where none is."""
    if not unrated:
        return []
    more = "" if len(unrated) == 1 else f" and {counted(len(unrated) - 1, 'later time')}"
    command = f"append mark --asset {currency} --price … --at {shown(unrated[0])}"
    return [f"unknown for want of a rate of {currency} at {shown(unrated[0])}{more} ({command})"]


def counted(count: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def age(now: datetime, at: datetime) -> str:
    """How long ago something was: `3 hours old`; what is ahead shows its time."""
    seconds = int((now - at).total_seconds())
    if seconds < 0:
        return f"dated {shown(at)}"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} old"
    return f"{seconds} seconds old"
