"""`netbasis balance`: each asset's balance and its parts."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from cli.shared.moment import AsOfOption, KnownAtOption, ZoneOption, moment_of
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import Table, counted, emit, text_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(balance)
    app.command(name="bal", hidden=True)(balance)


def balance(
    context: typer.Context,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show each asset's balance and its parts. (Short: bal.)

    The parts are fills, capital (deposits and withdrawals) and adjustments; they add up to the total.

    Example: netbasis --db live.db balance --as-of 2026-03
    """
    from engine.views import view_at

    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    with named.open("read") as keeper:
        view = view_at(keeper.database, keeper.resolve(named.book), moment, now=named.now)
    columns = ("asset", "total", "fills", "capital", "adjustments")
    rows = [
        (asset, holding.total, holding.fills, holding.capital, holding.adjustments)
        for asset, holding in sorted(view.state.inventory.items())
    ]
    unknown_fees = view.state.fees.unknown
    table = Table(columns, rows)
    document = {
        "book": view.book.name,
        "version": view.state.version,
        "unknown_fees": unknown_fees,
        "balances": table.as_dicts(),
    }

    def text() -> Iterator[str]:
        yield from text_table(table)
        if unknown_fees:
            yield f"not counted: {counted(unknown_fees, 'fee')} not reported"

    emit(output, document, text(), table)
