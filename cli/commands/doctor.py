"""`netbasis doctor`: the ledger and what it stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.shared.ages import parse_age
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    backups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The list of backups; by default <ledger>.backups.json beside the ledger, for a server in this folder.",
        ),
    ] = None,
    max_backup_age: Annotated[
        str, typer.Option(metavar="AGE", help="Note it when the newest backup is older than this, such as 12h or 7d.")
    ] = "7d",
    output: OutputOption = Output.TEXT,
) -> None:
    """Examine the ledger and what it stands on, and say what to do about each thing.

    Schema, engine and settings, books and heads, projections, strange objects, space, the newest backup, open
    transactions, the clock. Exit 1 when something is wrong; notes alone do not count. What the log holds is proved by
    `check`.

    Example: netbasis --db live.db doctor
    """
    from engine.upkeep.doctor import Examination, State, examine, report
    from ledger.database.connections import Database

    age = parse_age(max_backup_age)
    named = target(context)
    with Database.open(named.location(), "read") as database:
        points = examine(Examination(database, named.location(), named.now, backups, age))
    emit_report(output, report(points))
    if any(point.state is State.WRONG for point in points):
        raise typer.Exit(1)
