"""`netbasis pnl`: total value, net deposits, net basis, profit and loss; now, at a moment, or of a period."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, cost_method
from cli.shared.moment import (
    AsOfOption,
    FromOption,
    KnownAtOption,
    ToOption,
    ZoneOption,
    bounds_of,
    moment_of,
    pooled_at,
)
from cli.shared.options import AllBooksOption, Output, OutputOption, target
from cli.shared.output import emit_report
from cli.shared.prices import parse_prices
from cli.shared.usage import WrongUsage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pnl)


def pnl(
    context: typer.Context,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ASSET=PRICE", help="A price to value with, in the numeraire; not stored. Repeatable."),
    ] = None,
    lots: Annotated[
        bool, typer.Option("--lots", help="Also what it is made of: realised, unrealised, fees, income.")
    ] = False,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    all_books: AllBooksOption = False,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    start: FromOption = None,
    end: ToOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show total value, net deposits, net basis, PnL and profit.

    Each asset is valued at its newest mark, or at --price. A figure is unknown, never 0, while a mark that it needs is
    missing. With --from or --to: the figures at the start and at the end of the period, and the change; --price applies to
    the end. With --lots (or --method): total PnL = realised + unrealised − fees + other income − baselines, and the average
    entry of each asset.

    Example: netbasis --db live.db pnl --from 2026-11 --to 2026-11
    """
    from engine.reports.profit import profit, profit_by_lots, profit_of_period

    named = target(context)
    is_period = start is not None or end is not None
    if is_period and as_of is not None:
        raise WrongUsage("--as-of is a moment, --from and --to are a period: give one of them")
    by_lots = lots or method is not None
    if is_period and by_lots:
        raise WrongUsage("--lots is about a moment, --from and --to are a period: see `gains` for a period")
    if fees is not FeesView.APART and not by_lots:
        raise WrongUsage("--fees is about lots: give --lots or --method, too")
    how = cost_method(named, method, fees) if by_lots else None
    moment, given = moment_of(named, as_of, known_at, zone), price or ()
    with named.open("read") as keeper:
        names = pooled_at(named, keeper, moment, all_books=all_books)
        if is_period:
            bounds = bounds_of(named, start, end, zone)
            prices = parse_prices(given, keeper.terms(names[0]), min(bounds.end or named.now, named.now))
            report = profit_of_period(
                keeper.database,
                names,
                bounds.start,
                bounds.end,
                known_at=moment.known_at,
                now=named.now,
                prices=prices,
            )
        else:
            given_prices = partial(parse_prices, given)
            if how is None:
                report = profit(keeper.database, names, moment, now=named.now, prices=given_prices)
            else:
                report = profit_by_lots(keeper.database, names, how, moment, now=named.now, prices=given_prices)
    emit_report(output, report)
