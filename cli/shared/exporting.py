"""What the exports share: the filters, and where the lines go."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.shared.moment import bounds_of, moment_of
from cli.shared.options import Target
from cli.shared.output import print_for_programs, progress
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.exports.choosing import Choice

EVENTS_AT_ONCE = 1000
STDOUT = "-"

FileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-o", "--output-file", metavar="FILE", help="Write to this file instead of stdout (-); it is replaced whole."
    ),
]
TypeOption: TypeAlias = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; the opening is always there.")
]
AssetOption: TypeAlias = Annotated[
    str | None, typer.Option("--asset", metavar="ASSET", help="Only events that move this asset, or are about it.")
]
SessionOption: TypeAlias = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="Only events of this session.")
]


def choice_of(
    named: Target,
    *,
    event_type: str | None,
    asset: str | None,
    session: str | None,
    strategy: str | None,
    start: str | None,
    end: str | None,
    as_of: str | None,
    known_at: str | None,
    zone: str | None,
) -> Choice:
    """The filters as the options give them. Raises WrongUsage; Refused for a time that is none."""
    from engine.exports.choosing import Choice
    from ledger.events import EVENT_TYPES

    if event_type is not None and event_type not in EVENT_TYPES:
        raise WrongUsage(f"no such type: {event_type!r}; there are {', '.join(EVENT_TYPES)}")
    bounds = bounds_of(named, start, end, zone)
    moment = moment_of(named, as_of, known_at, zone)
    return Choice(event_type, asset, session, strategy, bounds.start, bounds.end, moment)


def write_lines(lines: Iterable[str], file: str | None, what: str = "exporting") -> None:
    """Write lines in UTF-8 to a file, or to stdout for None and `-`. The file is replaced when all of it is written.

    Raises WrongUsage for a place that cannot be written.
    """
    with progress(what) as on_progress:

        def counted() -> Iterator[str]:
            for count, line in enumerate(lines, 1):
                yield line
                if on_progress is not None and count % EVENTS_AT_ONCE == 0:
                    on_progress(count)

        if file in (None, STDOUT):
            print_for_programs(counted())
        else:
            _replace(file, counted())


def _replace(file: str, lines: Iterable[str]) -> None:
    with part_of(file) as part:
        part.writelines(f"{line}\n".encode() for line in lines)


@contextmanager
def part_of(file: str) -> Iterator[IO[bytes]]:
    """A new file beside `file`, which takes its place at the end; when that is not reached, it is removed.

    Raises WrongUsage for a place that cannot be written.
    """
    if file == STDOUT:
        raise WrongUsage("this form cannot be written to stdout: name a file")
    wanted = Path(file)
    part = wanted.with_name(f".{wanted.name[:50]}.{uuid.uuid4().hex}")  # with the permissions that a new file gets
    try:
        opened = part.open("xb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise WrongUsage(f"{file!r} cannot be written: {reason}") from error
    try:
        with opened:
            yield opened
        part.replace(wanted)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
