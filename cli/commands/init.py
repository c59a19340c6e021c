"""`netbasis init`: make the database, migrate it, open a book."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.shared.options import DEFAULT_BOOK, Output, OutputOption, target
from cli.shared.output import emit


class BookMode(StrEnum):
    """Real money or a simulation."""

    LIVE = "live"
    PAPER = "paper"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    context: typer.Context,
    mode: Annotated[BookMode | None, typer.Option(help="Real money or a simulation; live by default.")] = None,
    numeraire: Annotated[
        str | None, typer.Option(metavar="ASSET", help="The asset that value is counted in; RLUSD by default.")
    ] = None,
    base_asset: Annotated[
        str | None, typer.Option(metavar="ASSET", help="A default for commands; XRP by default.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME/VERSION", help="How withdrawals are classified; profit_first/1 by default."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a database, migrate it to the newest schema and open a book.

    The book is `main` unless --book names another. Run again, it says so and changes nothing.

    Example: netbasis --db live.db init --mode live
    """
    from engine.policy.classification import policy_named
    from ledger.errors import KeyConflict, shown
    from ledger.events import Opened, undeclared
    from ledger.texts import BOOK_CHARACTERS, parse_text

    given = {"numeraire": numeraire, "base_asset": base_asset, "withdrawal_policy": policy}
    fields = {name: text for name, text in given.items() if text is not None}
    # Live by default; as a default it is not compared with an open book's mode.
    opened = Opened.model_validate({"mode": mode.value if mode else BookMode.LIVE.value, **fields})
    if mode is None:
        opened = undeclared(opened, "mode")
    named = target(context)
    name = parse_text(DEFAULT_BOOK if named.book is None else named.book, characters=BOOK_CHARACTERS)
    policy_named(opened.withdrawal_policy)  # before there is a file
    with named.open("create") as keeper:
        try:
            outcome = keeper.open_book(name, opened)
        except KeyConflict as conflict:
            conflict.what = f"the book {shown(name)} is open already, with another {conflict.field}"
            conflict.advice = "a book keeps its terms; open another with `netbasis --book NAME init`"
            raise
        view = keeper.view(name)
        location = keeper.database.location
    book = view.book
    document = {
        "book": name,
        "opened": not outcome.existed,
        "mode": book.mode,
        "numeraire": book.numeraire,
        "base_asset": book.base_asset,
        "withdrawal_policy": book.withdrawal_policy,
    }
    done = "the book is open already; nothing was changed" if outcome.existed else "opened the book"
    text = f"{done}: {name} ({book.mode}, numeraire {book.numeraire}) in {location}"
    emit(output, document, [text])
