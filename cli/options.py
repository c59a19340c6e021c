"""Options that many commands share, and what `netbasis --db … --book …` said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from ledger.database import Mode

DEFAULT_BOOK = "main"


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


OutputOption: TypeAlias = Annotated[
    Output, typer.Option("-O", "--output", help="text for people; json with every decimal as a string")
]


@dataclass(frozen=True)
class Target:
    """The database and book that the command line, else the environment, names."""

    db: str | None
    book: str | None

    def location(self) -> str:
        """The database's path; a usage error when none was named."""
        if not self.db:
            raise typer.BadParameter("say which database: netbasis --db PATH …, or set NETBASIS_DB")
        return self.db

    def open(self, mode: Mode) -> Bookkeeper:
        """The database, opened."""
        from engine.bookkeeper import Bookkeeper

        return Bookkeeper.open(self.location(), mode)


def target(context: typer.Context) -> Target:
    """What the options before the command said."""
    found = context.find_object(Target)
    assert found is not None  # set by the application's callback
    return found
