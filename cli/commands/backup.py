"""`netbasis backup`: a proved copy of the ledger in one file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, progress, shown
from engine.reports.report import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backup)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; none is overwritten.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Back the whole ledger up into one file, while others go on writing; the copy is checked first.

    The copy is one consistent state, proved by `check`, on the disk, with mode 0600, and listed in
    <ledger>.backups.json beside the ledger (of a server: beside the backup). It is a SQLite ledger, even where the
    ledger is on a server. Sealed segments are not part of it: they are made again from the log.

    Example: netbasis --db live.db backup backups/live-2026-03-31.db
    """
    from engine.upkeep.backup import back_up
    from ledger.database.connections import Database

    named = target(context)
    named.stays = "there is no backup of that name"
    with Database.open(named.location(), "read") as database, progress("backing up") as on_progress:
        try:
            done = back_up(database, file, now=named.now, on_progress=on_progress)
        except OSError:
            if file.exists():  # it gets its name when it is proved
                named.stays = f"the backup {file} is there and checked, but it is not in the list that `doctor` reads"
            raise
    named.stays = f"the backup {file} is there"
    books = ", ".join(f"{shown(book.book)} at {book.version}" for book in done.backup.books)
    lines = [
        f"backed up and checked: {books} in {file} ({done.backup.bytes} bytes, listed in {done.listed_in})",
        f"sha256 {done.backup.sha256}",
        "sealed segments are not part of it",
    ]
    emit(output, {**asdict(done.backup), "listed_in": str(done.listed_in), "notes": done.notes}, lines)
    if output is Output.TEXT and done.notes:
        typer.echo(
            f"note: the check of the copy has {counted(len(done.notes), 'note')}: see `netbasis check`", err=True
        )
