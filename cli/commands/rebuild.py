"""`netbasis rebuild`: recompute the projections from the log and replace the stored ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from cli.shared.options import Engine, EngineOption, Output, OutputOption, target
from cli.shared.output import emit, progress, text_table
from engine.reports.report import Table, counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; exit 1 when something would.")
    ] = False,
    engine: EngineOption = Engine.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Recompute the projections from the log and replace the stored ones.

    Shows which stored figures differed. The replacement is one transaction.

    Example: netbasis --db live.db rebuild --dry-run
    """
    from engine.upkeep.rebuild import rebuild as run

    named = target(context)
    with named.open("read" if dry_run else "write") as keeper, progress("folding") as on_progress:
        name = keeper.resolve(named.book)
        rebuilt = run(keeper.database, name, dry_run=dry_run, on_progress=on_progress, engine=engine.value)
    if rebuilt.changes and not dry_run:
        named.stays = "the rebuilt projections are committed"
    document = {
        "book": name,
        "version": rebuilt.head.version,
        "events": rebuilt.events,
        "changed": rebuilt.changes,
        "seconds": f"{rebuilt.seconds:.3f}",
    }

    rows = [(change.projection, change.key, change.stored, change.rebuilt) for change in rebuilt.changes]
    table = Table(("projection", "key", "stored", "rebuilt"), rows)

    def text() -> Iterator[str]:
        if rebuilt.changes:
            yield from text_table(table)
        verb = "would change" if dry_run else "changed"
        yield f"{counted(rebuilt.events, 'event')} folded, {counted(len(rebuilt.changes), 'figure')} {verb}"

    emit(output, document, text(), table)
    if dry_run and rebuilt.changes:
        raise typer.Exit(1)
