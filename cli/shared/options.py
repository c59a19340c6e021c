"""Options that many commands share, and the global options `--db` and `--book`."""

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
    from ledger.database.faults import Access

DEFAULT_BOOK = "main"
Clock: TypeAlias = Callable[[], datetime]


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class Output(StrEnum):
    """The format of a result."""

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
    """The database and book to work on: from the command line, the environment, or `netbasis.toml`, in this order.

    now:      the current time, UTC; one moment for the whole command
    commits:  of a command that writes, what it has committed so far; None for a command that reads
    stays:    what else remains when the command fails, such as a copy's batches; None for nothing
    """

    def __init__(self, db: str | None = None, book: str | None = None, *, clock: Clock = system_clock) -> None:
        self._given = FileSettings(db, book)
        self._clock = clock
        self.now = clock()
        self.commits: Commits | None = None
        self.stays: str | None = None

    @cached_property
    def _file(self) -> FileSettings:
        return read_settings(Path.cwd())

    @property
    def book(self) -> str | None:
        """The book's name; None for the ledger's only book."""
        return self._file.book if self._given.book is None else self._given.book

    @property
    def zone(self) -> str | None:
        """The time zone in `netbasis.toml`; None for none."""
        return self._file.zone

    @property
    def method(self) -> str | None:
        """The method of cost basis in `netbasis.toml`; None for none."""
        return self._file.method

    def location(self) -> str:
        """The database's path or URL. Raises WrongUsage when none was given."""
        location = self._given.db or self._file.db
        if location is None:
            raise WrongUsage(
                'no database given: use netbasis --db PATH_OR_URL …, set NETBASIS_DB, or write db = "…" into netbasis.toml'
            )
        return location

    def name(self, db: str | None, book: str | None) -> None:
        """Set what the command line gives; None for what it leaves out."""
        self._given = FileSettings(db, book)

    def open(self, access: Access, *, sound_file: bool = False) -> Bookkeeper:
        """Open the database; see `engine.bookkeeper.Bookkeeper.open`. A writer that has to wait reports it on stderr."""
        from engine.bookkeeper import Bookkeeper

        keeper = Bookkeeper.open(
            self.location(), access, clock=self._clock, sound_file=sound_file, on_wait=_say_that_it_waits
        )
        if access != "read":
            self.commits = keeper.commits
        return keeper


def _say_that_it_waits() -> None:
    typer.echo("waiting: another process is writing to the ledger …", err=True)


def target(context: typer.Context) -> Target:
    """The target that the global options give."""
    found = context.find_object(Target)
    assert found is not None  # set by the application's callback
    return found
