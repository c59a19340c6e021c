"""`netbasis books`: every book of the ledger, and the desk's totals."""

from __future__ import annotations

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(books)


def books(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """List the books of the ledger, each with its balances, and the totals of the desk.

    A total is over the books of one numeraire and mode. A transfer between two of them adds up to nothing.

    Example: netbasis --db live.db books
    """
    from engine.reports.books import books_report

    named = target(context)
    with named.open("read") as keeper:
        found = books_report(keeper.database, now=named.now)
    emit_report(output, found)
