"""`--as-of`, `--known-at`, `--from`, `--to`, `--zone`: the moment or the period of a view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.shared.usage import WrongUsage
from ledger.errors import Refused
from ledger.spans import Span, parse_span, parse_zone

if TYPE_CHECKING:
    from cli.shared.options import Target
    from engine.bookkeeper import Bookkeeper
    from engine.views import Moment

VERSION_DIGITS = 18

AsOfOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="VERSION|TIME",
        help="What had happened by then: up to this version (digits alone), or by the end of this time, date or month, "
        "today or yesterday.",
    ),
]
KnownAtOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--known-at",
        metavar="TIME",
        help="What was known then: what had been recorded by the end of this time, date, month or year, today or yesterday.",
    ),
]
FromOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Only what happened from then on: a time, a date (2026-01-31), a month, a year, today or yesterday.",
    ),
]
ToOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="Only what happened up to the end of this date, month or year, today or yesterday; or before this time.",
    ),
]
ZoneOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--zone",
        metavar="ZONE",
        help="The time zone of days, months and years, such as Europe/Berlin; by default the one in netbasis.toml, or UTC. "
        "Output is always in UTC.",
    ),
]


class By(StrEnum):
    """The periods of `--by`."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Bounds:
    """A period in UTC.

    start:  its first moment; None for no limit
    end:    the first moment after it; None for no limit
    """

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Period:
    """What happened from `start` to before `end`, as it was known at `known_at`; UTC, None for no limit."""

    start: datetime | None
    end: datetime | None
    known_at: datetime | None


def period_of(named: Target, start: str | None, end: str | None, known_at: str | None, zone: str | None) -> Period:
    """The period that --from, --to and --known-at give. Raises as `bounds_of`."""
    bounds = bounds_of(named, start, end, zone)
    return Period(bounds.start, bounds.end, moment_of(named, None, known_at, zone).known_at)


def moment_of(named: Target, as_of: str | None, known_at: str | None, zone: str | None) -> Moment:
    """The moment that the options give; digits alone are a version. Raises Refused for an invalid time; WrongUsage."""
    from engine.views import Moment

    spans = _Spans(named, zone)
    known = spans.of("--known-at", known_at)
    known_until = None if known is None else known.last
    if as_of is not None and as_of.isascii() and as_of.isdecimal() and len(as_of) <= VERSION_DIGITS:
        return Moment(int(as_of), known_until)
    happened = spans.of("--as-of", as_of)
    return Moment(None if happened is None else happened.last, known_until)


def bounds_of(named: Target, start: str | None, end: str | None, zone: str | None) -> Bounds:
    """The period that --from and --to give. Raises Refused for an invalid time; WrongUsage when it ends before it begins."""
    spans = _Spans(named, zone)
    first, last = spans.of("--from", start), spans.of("--to", end)
    if first is not None and last is not None:
        is_backwards = first.start > last.start if last.end is None else first.start >= last.end
        if is_backwards:
            raise WrongUsage(f"--from {start!r} is after --to {end!r}")
    return Bounds(None if first is None else first.start, None if last is None else last.before)


def pooled_at(named: Target, keeper: Bookkeeper, moment: Moment, *, all_books: bool) -> list[str]:
    """The books that a command looks at as one at a moment.

    Raises as `Target.books`; WrongUsage for a version where there are several.
    """
    names = named.books(keeper, all_books=all_books)
    if isinstance(moment.as_of, int) and len(names) > 1:
        raise WrongUsage("--as-of: a version is of one book; give a time for several books")
    return names


class _Spans:
    """Reads the spans of time that the options of one command give."""

    def __init__(self, named: Target, zone: str | None) -> None:
        self._now = named.now
        self._zone = zone_of(named, zone)

    def of(self, option: str, text: str | None) -> Span | None:
        """The span that an option gives; None when the option was left out. Raises Refused, naming the option."""
        if text is None:
            return None
        with _naming(option):
            return parse_span(text, now=self._now, zone=self._zone)


@contextmanager
def _naming(option: str) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        refused.what = f"{option}: {refused.what}"
        raise


def zone_of(named: Target, given: str | None) -> tzinfo | None:
    """The zone that the option or netbasis.toml gives; None for neither. Raises WrongUsage."""
    name = named.zone if given is None else given
    try:
        return None if name is None else parse_zone(name)
    except ValueError as error:
        place = "--zone" if given is not None else "zone in netbasis.toml"
        raise WrongUsage(f"{place} {name!r}: {error}") from error
