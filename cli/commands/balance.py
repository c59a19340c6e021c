"""`netbasis balance`: each asset's balance and its parts."""

from __future__ import annotations

import typer

from cli.shared.moment import AsOfOption, KnownAtOption, ZoneOption, moment_of, pooled_at
from cli.shared.options import AllBooksOption, Engine, EngineOption, Output, OutputOption, of_one_book, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(balance)
    app.command(name="bal", hidden=True)(balance)


def balance(
    context: typer.Context,
    all_books: AllBooksOption = False,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    engine: EngineOption = Engine.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show each asset's balance and its parts. (Short: bal.)

    The parts are fills, capital (deposits and withdrawals) and adjustments; they add up to the total.

    Example: netbasis --db live.db balance --as-of 2026-03
    """
    from engine.columns.choosing import fold_of
    from engine.reports.balances import balances

    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    with named.open("read") as keeper:
        names = pooled_at(named, keeper, moment, all_books=all_books)
        fold = fold_of(keeper.database, of_one_book(engine, names))
        emit_report(output, balances(keeper.database, names, moment, now=named.now, fold_of=fold))
