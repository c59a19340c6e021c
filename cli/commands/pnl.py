"""`netbasis pnl`: total value, net deposits, net basis, profit and loss; at a moment, of a period, or period by period."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC
from functools import partial
from typing import Annotated, TypeAlias

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, cost_method
from cli.shared.moment import (
    AsOfOption,
    By,
    FromOption,
    KnownAtOption,
    ToOption,
    ZoneOption,
    moment_of,
    period_of,
    pooled_at,
    zone_of,
)
from cli.shared.options import AllBooksOption, Engine, EngineOption, Output, OutputOption, of_one_book, target
from cli.shared.output import emit_report, progress
from cli.shared.prices import InOption, parse_currency, parse_prices
from cli.shared.usage import WrongUsage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pnl)


ByOption: TypeAlias = Annotated[
    By | None,
    typer.Option("--by", help="A line for each period, valued at the period's own marks; unknown without one."),
]


def pnl(
    context: typer.Context,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ASSET=PRICE", help="A price to value with, in the numeraire; not stored. Repeatable."),
    ] = None,
    lots: Annotated[
        bool, typer.Option("--lots", help="Also what total PnL is made of: realised, unrealised, fees, income.")
    ] = False,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    all_books: AllBooksOption = False,
    currency: InOption = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    start: FromOption = None,
    end: ToOption = None,
    by: ByOption = None,
    zone: ZoneOption = None,
    engine: EngineOption = Engine.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show total value, net deposits, net basis, PnL and profit.

    Each asset is valued at its newest mark, or at --price. A figure is unknown, never 0, while a mark that it needs is
    missing. With --from or --to: the figures at the start and at the end of the period, and the change; --price applies to
    the end. With --by: a line a period. With --lots (or --method): total PnL = realised + unrealised − fees + other income
    − baselines, and the average entry of each asset.

    Example: netbasis --db live.db pnl --from 2026-11 --to 2026-11
    """
    from engine.columns.choosing import fold_of
    from engine.reports.periods import profit_by_period
    from engine.reports.profit import profit, profit_by_lots, profit_of_period

    named = target(context)
    is_period, by_lots = start is not None or end is not None or by is not None, lots or method is not None
    unit = parse_currency(currency)
    _require_one_question(is_period=is_period, by_lots=by_lots, as_of=as_of, fees=fees, by=by, price=price)
    if engine is Engine.COLUMNS and (by_lots or by is not None):
        raise WrongUsage("--engine columns is about sums: --lots, --method and --by are folded from rows")
    if is_period and unit is not None:
        raise WrongUsage("--in is about a moment here: see `returns --in` and `gains --in` for a period")
    how = cost_method(named, method, fees) if by_lots else None
    moment, period = moment_of(named, as_of, known_at, zone), period_of(named, start, end, known_at, zone)
    given, prices = price or (), partial(parse_prices, price or ())
    reading = progress("reading") if by_lots or by is not None else nullcontext()
    with named.open("read") as keeper, reading as on_progress:
        names, database = pooled_at(named, keeper, moment, all_books=all_books), keeper.database
        fold = fold_of(database, of_one_book(engine, names))
        span = {"start": period.start, "end": period.end, "known_at": period.known_at}
        if by is not None:
            in_zone = zone_of(named, zone) or UTC
            report = profit_by_period(
                database, names, by.value, **span, now=named.now, zone=in_zone, on_progress=on_progress
            )
        elif is_period:
            at_end = parse_prices(given, keeper.terms(names[0]), min(period.end or named.now, named.now))
            report = profit_of_period(database, names, **span, now=named.now, prices=at_end, fold_of=fold)
        elif how is None:
            report = profit(database, names, moment, now=named.now, prices=prices, currency=unit, fold_of=fold)
        else:
            report = profit_by_lots(
                database,
                names,
                how,
                moment,
                now=named.now,
                prices=prices,
                currency=unit,
                on_progress=on_progress,
            )
    emit_report(output, report)


def _require_one_question(
    *, is_period: bool, by_lots: bool, as_of: str | None, fees: FeesView, by: By | None, price: list[str] | None
) -> None:
    """Raises WrongUsage for options that do not go together."""
    if is_period and as_of is not None:
        raise WrongUsage("--as-of is a moment; --from, --to and --by are a period: give one of them")
    if is_period and by_lots:
        raise WrongUsage("--lots is about a moment; --from, --to and --by are a period: see `gains` for a period")
    if fees is not FeesView.APART and not by_lots:
        raise WrongUsage("--fees is about lots: give --lots or --method, too")
    if by is not None and price:
        raise WrongUsage("--by values each period at marks of its own: leave out --price, or append a mark")
