"""`--as-of`, `--known-at`, `--from`, `--to`: which moment a view is of."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ledger.times import parse_time

if TYPE_CHECKING:
    from engine.views import Moment

VERSION_DIGITS = 18

AsOfOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="VERSION|TIME",
        help="What was so then: up to this version, or what had happened by this time.",
    ),
]
KnownAtOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--known-at", metavar="TIME", help="What was known then: what the log had taken by this time."),
]
FromOption: TypeAlias = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Only what happened at this time or later.")
]
ToOption: TypeAlias = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only what happened before it.")]


def moment_of(as_of: str | None, known_at: str | None) -> Moment:
    """The moment that the options name. Raises Refused for what is no time."""
    from engine.views import Moment

    if as_of is not None and as_of.isascii() and as_of.isdecimal() and len(as_of) <= VERSION_DIGITS:
        return Moment(int(as_of), time_of(known_at))
    return Moment(time_of(as_of), time_of(known_at))


def time_of(text: str | None) -> datetime | None:
    """The time that an option names; None for an option that was left out. Raises Refused."""
    return None if text is None else parse_time(text)
