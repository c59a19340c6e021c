"""`netbasis restore`: a backup becomes the ledger again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, progress, shown


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(restore)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, or any SQLite ledger.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a backup the ledger at --db; it is checked first, and upgraded when its schema is older.

    Refused when the ledger there has an event that the backup lacks, and while a running program has it open. The file
    that was there is kept beside it. Books of a server's database go on from where they are.

    Example: netbasis --db live.db restore backups/live-2026-03-31.db
    """
    from engine.upkeep.restoring import restore as run

    named = target(context)
    named.stays = "the ledger is as it was"
    with progress("checking") as on_progress:
        done = run(named.location(), file, now=named.now, on_progress=on_progress)
    named.stays = "the ledger is restored"
    books = ", ".join(f"{shown(book.book)} at {book.version}" for book in done.books)
    lines = [f"restored and checked: {books}"]
    if done.revision != done.newest:
        lines.append(f"upgraded from schema {done.revision} to {done.newest}")
    if done.kept is not None:
        lines.append(f"what was there is kept as {done.kept}")
    document = {
        "books": [asdict(book) for book in done.books],
        "revision": done.revision,
        "newest": done.newest,
        "kept": None if done.kept is None else str(done.kept),
    }
    emit(output, document, lines)
