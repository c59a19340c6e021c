"""`netbasis copy`: books from one database into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, progress, shown
from engine.reports.report import Table, counted
from ledger.errors import NetbasisError, StorageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(copy)


def copy(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="PATH_OR_URL", help="The database to copy into.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Copy a book, or all books, into another database, byte for byte.

    Versions, times, bodies and hashes stay the same, and so does the head. An interrupted copy continues where it
    stopped; a second one adds nothing. Make the target with `netbasis --db TARGET db upgrade`.

    Example: netbasis --db live.db copy --to postgresql+psycopg://desk@db.example/ledger
    """
    from engine.bookkeeper import Bookkeeper
    from engine.upkeep.copying import CopyReport, copy_book
    from ledger import store

    named = target(context)
    with named.open("read") as source, Bookkeeper.open(to, "write") as into, progress("copying") as on_progress:
        with source.database.reading() as connection:
            names = [named.book] if named.book else store.book_names(connection)
        copies: list[CopyReport] = []
        named.stays = "what was copied stays, and the same command goes on from there"
        for name in names:
            with _saying_what_stays(name, [copy.book.name for copy in copies]):
                copies.append(copy_book(source.database, into.database, name, on_progress=on_progress))
    columns = ("book", "copied", "existed", "version", "head")
    rows = [(copy.book.name, copy.copied, copy.existed, copy.head.version, copy.head.hash) for copy in copies]
    table = Table(columns, rows)
    lines = [
        f"{shown(copy.book.name)}: {counted(copy.copied, 'event')} copied, {copy.existed} existed; head "
        f"{copy.head.version}:{shown(copy.head.hash)} {'on the target, which is ahead' if copy.is_ahead else 'on both'}"
        for copy in copies
    ]
    emit(output, {"books": table.as_dicts()}, lines, table)


@contextmanager
def _saying_what_stays(book: str, done: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except NetbasisError as error:
        error.where = f"book {shown(book)}"
        if isinstance(error, StorageError):
            stays = "what was copied stays, and the same command goes on from there"
            # Whether the last batch was written or not, the next run finds out by itself.
            error.advice = stays if error.outcome_is_unknown else f"{error.advice}; {stays}"
        if done:
            error.advice = f"{error.advice}; copied before it: {', '.join(map(shown, done))}"
        raise
