"""`netbasis returns`: rates of return that deposits cannot distort."""

from __future__ import annotations

from datetime import UTC
from functools import partial
from typing import Annotated

import typer

from cli.shared.ages import parse_age
from cli.shared.moment import By, FromOption, KnownAtOption, ToOption, ZoneOption, period_of, zone_of
from cli.shared.options import AllBooksOption, Output, OutputOption, target
from cli.shared.output import emit_report, progress
from cli.shared.prices import InOption, parse_currency
from cli.shared.usage import WrongUsage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(returns)


def returns(
    context: typer.Context,
    start: FromOption = None,
    end: ToOption = None,
    max_mark_age: Annotated[
        str, typer.Option(metavar="SPAN", help="How old a mark may be that values an asset: 30m, 6h, 1d.")
    ] = "1d",
    all_books: AllBooksOption = False,
    currency: InOption = None,
    by: Annotated[
        By | None,
        typer.Option("--by", help="A line for each period instead, from the equity at its start to that at its end."),
    ] = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what a period earned as a rate: time-weighted, money-weighted, and the deepest drawdown.

    Time-weighted chains the returns between capital movements, so that none of them counts as a gain; it needs a fresh mark
    just before each movement, and the moments that have none are listed. Money-weighted is the yearly rate of the owner's
    own flows (XIRR). Drawdown is that of the time-weighted index, so a withdrawal is not one.

    With --by each period is valued at its ends as well, so it needs fresh marks there.

    Example: netbasis --db live.db returns --from 2026-01 --to 2026-03 --max-mark-age 6h
    """
    from engine.reports.returns import returns as report
    from engine.reports.returns import returns_by_period

    named = target(context)
    age = parse_age(max_mark_age)
    period = period_of(named, start, end, known_at, zone)
    if period.start is not None and period.start > named.now:
        raise WrongUsage(f"--from {start!r} has not come yet")
    with named.open("read") as keeper, progress("reading") as on_progress:
        report_of = (
            report if by is None else partial(returns_by_period, length=by.value, zone=zone_of(named, zone) or UTC)
        )
        found = report_of(
            keeper.database,
            named.books(keeper, all_books=all_books),
            start=period.start,
            end=period.end,
            known_at=period.known_at,
            max_mark_age=age,
            now=named.now,
            on_progress=on_progress,
            currency=parse_currency(currency),
        )
    emit_report(output, found)
