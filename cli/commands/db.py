"""`netbasis db`: the migrations of the schema."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, emit_report, progress


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Upgrade the schema of the database, and show which version it has.", no_args_is_help=True)
    group.command()(upgrade)
    group.command()(current)
    group.command()(history)
    app.add_typer(group, name="db")


def upgrade(
    context: typer.Context,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_URL",
            help="Upgrade nothing, but say whether this netbasis can read every event of that ledger.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Migrate the ledger to the newest schema, in one transaction.

    With --check nothing is written: before a deployment it says for each type and version of event in a ledger of any
    revision whether this netbasis reads it, and exits with 1 when it does not.

    Example: netbasis --db live.db db upgrade
    """
    from engine import schema
    from ledger.database.connections import Database

    if check is not None:
        _check_upgrade(check, output)
        return
    named = target(context)
    with Database.open(named.location(), "create") as database, database.writing() as connection:
        before, after = schema.upgrade(connection)
    named.stays = f"the schema is at {after}"
    text = f"already at {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}"
    emit(output, {"before": before, "after": after}, [text])


def _check_upgrade(location: str, output: Output) -> None:
    from engine.upkeep.upgrade_check import check_upgrade, report
    from ledger.database.connections import Database

    with Database.open(location, "read") as database, progress("reading") as on_progress:
        found = check_upgrade(database, on_progress=on_progress)
    emit_report(output, report(found))
    if not found.ok:
        raise typer.Exit(1)


def current(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """Show the revision that the ledger's schema is at, and the newest."""
    from engine.reports.revisions import current as report
    from ledger.database.connections import Database

    with Database.open(target(context).location(), "read") as database:
        found = report(database)
    emit_report(output, found)


def history(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """Show all revisions of the schema, and which of them the ledger has."""
    from engine.reports.revisions import history as report
    from ledger.database.connections import Database

    with Database.open(target(context).location(), "read") as database:
        found = report(database)
    emit_report(output, found)
