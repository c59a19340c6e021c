"""Options that many commands share, and the global options `--db` and `--book`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from cli.shared.config import FileSettings, read_settings
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from engine.commits import Commits
    from ledger.database.faults import Access

DEFAULT_BOOK = "main"
DB_VARIABLE = "NETBASIS_DB"
BOOK_VARIABLE = "NETBASIS_BOOK"
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


class Engine(StrEnum):
    """What a sealed range of a log is read from."""

    ROWS = "rows"
    COLUMNS = "columns"
    AUTO = "auto"


EngineOption: TypeAlias = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="What sealed ranges are read from: rows, columns (segments, see `seal`), or auto: segments where they are.",
    ),
]


def of_one_book(engine: Engine, names: Sequence[str]) -> Literal["rows", "columns", "auto"]:
    """The engine for books looked at as one. Raises WrongUsage for columns where there are several."""
    if engine is Engine.COLUMNS and len(names) > 1:
        raise WrongUsage("--engine columns is about one book: the past of several is folded from rows")
    return engine.value


StrategyOption: TypeAlias = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help="Only the fills of this strategy.")
]
AllBooksOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--all-books",
        help="Add up all books of the ledger as one, without the transfers between them. For some of them: "
        "netbasis --book a --book b ….",
    ),
]


class Target:
    """The database and book to work on: from the command line, the environment, or `netbasis.toml`, in this order.

    now:      the current time, UTC; one moment for the whole command
    commits:  of a command that writes, what it has committed so far; None for a command that reads
    stays:    what else remains when the command fails, such as a copy's batches; None for nothing
    run:      runs another command line in this process, and returns its exit code; None outside the command line
    """

    def __init__(self, *, clock: Clock = system_clock) -> None:
        self._db: str | None = None
        self._books: Sequence[str] = ()
        self._clock = clock
        self.now = clock()
        self.commits: Commits | None = None
        self.stays: str | None = None
        self.run: Callable[[Sequence[str]], int] | None = None

    @cached_property
    def _file(self) -> FileSettings:
        return read_settings(Path.cwd())

    @property
    def book(self) -> str | None:
        """The book's name; None for the ledger's only book. Raises WrongUsage where several were given."""
        given = self._named_books()
        if len(given) > 1:
            raise WrongUsage("this command is about one book: give --book once")
        return given[0] if given else None

    def books(self, keeper: Bookkeeper, *, all_books: bool) -> list[str]:
        """The books that a command looks at as one: each --book, or all of the ledger, or its only one.

        Raises WrongUsage for `--all-books` beside --book; Refused `book_unknown`, `book_required`.
        """
        if all_books:
            if self._books:
                raise WrongUsage("--all-books takes all of them: leave out --book")
            from ledger import store

            with keeper.database.reading() as connection:
                return store.book_names(connection) or [keeper.resolve(None)]
        given: list[str | None] = [*self._named_books()]
        return [keeper.resolve(name) for name in given or [None]]

    def _named_books(self) -> Sequence[str]:
        """What the command line names, else the environment, else the file."""
        if self._books:
            return list(dict.fromkeys(self._books))
        name = os.environ.get(BOOK_VARIABLE) or self._file.book
        return () if name is None else (name,)

    @property
    def zone(self) -> str | None:
        """The time zone in `netbasis.toml`; None for none."""
        return self._file.zone

    @property
    def method(self) -> str | None:
        """The method of cost basis in `netbasis.toml`; None for none."""
        return self._file.method

    @property
    def settings_file(self) -> Path | None:
        """The nearest `netbasis.toml`; None for none."""
        return self._file.place

    @property
    def location_or_none(self) -> str | None:
        """The database's path or URL; None when none was given."""
        return self._db or self._file.db

    def location(self) -> str:
        """The database's path or URL. Raises WrongUsage when none was given."""
        location = self.location_or_none
        if location is None:
            raise WrongUsage(
                'no database given: use netbasis --db PATH_OR_URL …, set NETBASIS_DB, or write db = "…" into netbasis.toml'
            )
        return location

    def name(self, db: str | None, books: Sequence[str]) -> None:
        """Set what the command line gives; `db` is None and `books` are empty where it leaves them out."""
        self._db, self._books = db, books

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
