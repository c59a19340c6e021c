"""Options that many commands share, and what `netbasis --db … --book …` said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.shared.config import FileSettings, read_settings
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from engine.commits import Commits
    from ledger.database.faults import Mode

DEFAULT_BOOK = "main"
Clock: TypeAlias = Callable[[], datetime]


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"


OutputOption: TypeAlias = Annotated[
    Output,
    typer.Option("-O", "--output", help="text for people; for programs json, csv or ndjson, decimals as strings"),
]
StrategyOption: TypeAlias = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help="Only the fills of this strategy.")
]


class Target:
    """The database and book that the command line, else the environment, else `netbasis.toml` names."""

    def __init__(self, db: str | None = None, book: str | None = None, *, clock: Clock = system_clock) -> None:
        self._given = FileSettings(db, book)
        self._clock = clock
        # One moment for the whole command: its `today`, the age of a mark.
        self.now = clock()
        # Of a command that writes: what it has committed so far.
        self.commits: Commits | None = None
        # What else stays of a command that fails after it, such as a copy's batches; None for nothing.
        self.stays: str | None = None

    @cached_property
    def _file(self) -> FileSettings:
        return read_settings(Path.cwd())

    @property
    def book(self) -> str | None:
        """The book's name; None for the one there is."""
        return self._file.book if self._given.book is None else self._given.book

    @property
    def zone(self) -> str | None:
        """The time zone that the file names."""
        return self._file.zone

    def location(self) -> str:
        """The database's path; a usage error when none was named."""
        location = self._given.db or self._file.db
        if location is None:
            raise WrongUsage(
                'say which database: netbasis --db PATH_OR_URL …, or set NETBASIS_DB, or write db = "…" into netbasis.toml'
            )
        return location

    def name(self, db: str | None, book: str | None) -> None:
        """Take what the command line says."""
        self._given = FileSettings(db, book)

    def open(self, mode: Mode, *, sound_file: bool = False) -> Bookkeeper:
        """The database, opened; see `engine.bookkeeper.Bookkeeper.open`. A writer that has to wait says so on stderr."""
        from engine.bookkeeper import Bookkeeper

        keeper = Bookkeeper.open(
            self.location(), mode, clock=self._clock, sound_file=sound_file, on_wait=_say_that_it_waits
        )
        if mode != "read":
            self.commits = keeper.commits
        return keeper


def _say_that_it_waits() -> None:
    typer.echo("waiting: another process is writing to the ledger …", err=True)


def target(context: typer.Context) -> Target:
    """What the options before the command said."""
    found = context.find_object(Target)
    assert found is not None  # set by the application's callback
    return found
