"""`netbasis seal`: a book's old events as Parquet segments beside the log."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, system_clock, target
from cli.shared.output import emit, progress, shown
from engine.reports.report import Table, counted

EVENTS_IN_SEGMENT = 250_000
_COLUMNS = ("book", "first_version", "last_version", "size", "sha256", "file")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(seal)


def seal(
    context: typer.Context,
    events: Annotated[
        int, typer.Option("--events", metavar="N", min=1, help="How many events a segment has.")
    ] = EVENTS_IN_SEGMENT,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FOLDER_OR_URL",
            help="Where the segments go, such as s3://bucket/ledger; by default where the book's last one is, "
            "or LEDGER.segments.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write old events as Parquet segments beside the log, of all books unless --book names one.

    The log stays as it is. Every N events become a file, book=NAME/FIRST-LAST.parquet, which DuckDB, Polars, pandas and
    Spark read; the rest waits for the next time. `rebuild`, `check --engine columns` and the views of the past use the
    segments. Needs the extra netbasis[columns].

    Example: netbasis --db live.db seal --events 100000
    """
    from engine.columns.sealing import Sealing, SealReport
    from engine.columns.sealing import seal as run
    from engine.columns.segment_file import segment_name
    from ledger import store

    named = target(context)
    sealed: list[SealReport] = []
    with named.open("write") as keeper, progress("sealing") as on_progress:
        with keeper.database.reading() as connection:
            names = [keeper.resolve(named.book)] if named.book else store.book_names(connection)
        named.stays = "the segments that were written stay, and the same command goes on from there"
        for name in names:
            how = Sealing(to, system_clock, events, on_progress)
            sealed.append(run(keeper.database, name, how))
    new = [segment for each in sealed for segment in each.new]
    rows = [
        (
            each.book,
            each.first_version,
            each.last_version,
            each.size,
            each.sha256,
            segment_name(each.book, each.first_version, each.last_version),
        )
        for each in new
    ]
    table = Table(_COLUMNS, rows)
    books = [
        {"book": each.book, "sealed": len(each.new), "sealed_until": each.sealed_until, "version": each.head_version}
        for each in sealed
    ]
    lines = [
        f"{shown(each.book)}: {counted(len(each.new), 'segment')} written; sealed up to version {each.sealed_until} "
        f"of {each.head_version}"
        for each in sealed
    ]
    emit(output, {"books": books, "segments": table.as_dicts()}, lines, table)
