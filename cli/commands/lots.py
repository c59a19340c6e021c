"""`netbasis lots`: the open lots and what they cost."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, NoShortsOption, cost_method
from cli.shared.moment import AsOfOption, KnownAtOption, ZoneOption, moment_of, pooled_at
from cli.shared.options import AllBooksOption, Output, OutputOption, target
from cli.shared.output import emit_report, progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lots)


def lots(
    context: typer.Context,
    asset: Annotated[str | None, typer.Option(metavar="ASSET", help="Only the lots of this asset.")] = None,
    all_books: AllBooksOption = False,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    no_shorts: NoShortsOption = False,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the open lots: asset, quantity, cost, price, when and by which event they were opened.

    Lots are counted anew for each command, in the order of time; a method never changes the log. A negative quantity was
    sold before it was bought.

    Example: netbasis --db live.db lots --method average --as-of 2026-03
    """
    from engine.reports.lots import lots as report

    named = target(context)
    how, moment = cost_method(named, method, fees, no_shorts=no_shorts), moment_of(named, as_of, known_at, zone)
    with named.open("read") as keeper, progress("reading") as on_progress:
        names = pooled_at(named, keeper, moment, all_books=all_books)
        found = report(keeper.database, names, how, moment, now=named.now, asset=asset, on_progress=on_progress)
    emit_report(output, found)
