"""`netbasis gains` and `netbasis income`: what was closed with a gain or a loss, and what was earned beside trading."""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from typing import Annotated

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, NoShortsOption, cost_method
from cli.shared.moment import FromOption, KnownAtOption, ToOption, ZoneOption, period_of, zone_of
from cli.shared.options import AllBooksOption, Output, OutputOption, target
from cli.shared.output import emit_report, progress
from cli.shared.prices import InOption, parse_currency
from cli.shared.usage import WrongUsage


class GroupBy(StrEnum):
    """What disposals are summed by."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    SESSION = "session"
    STRATEGY = "strategy"
    ASSET = "asset"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(gains)
    app.command()(income)


def gains(
    context: typer.Context,
    start: FromOption = None,
    end: ToOption = None,
    year: Annotated[
        int | None, typer.Option(min=1, max=9999, metavar="YEAR", help="The same as --from YEAR --to YEAR.")
    ] = None,
    group_by: Annotated[GroupBy | None, typer.Option(help="Sum the disposals.")] = None,
    all_books: AllBooksOption = False,
    currency: InOption = None,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    no_shorts: NoShortsOption = False,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show each disposal: what it brought, what it had cost, the gain, how long it was held, and both versions.

    A disposal closes a lot or a part of one. --from, --to and --year choose by the time of closing; the lots are those of
    the whole log before. `-O csv` has one header that a spreadsheet takes. With --in, proceeds are at the rate of their date
    and costs at that of the date the lot was opened.

    Example: netbasis --db live.db gains --year 2026 --method fifo --fees in-cost -O csv > gains-2026.csv
    """
    from engine.reports.gains import gains as report

    named = target(context)
    if year is not None:
        if start is not None or end is not None:
            raise WrongUsage("--year is a period: leave out --from and --to")
        start = end = f"{year:04}"
    how = cost_method(named, method, fees, no_shorts=no_shorts)
    period = period_of(named, start, end, known_at, zone)
    with named.open("read") as keeper, progress("reading") as on_progress:
        found = report(
            keeper.database,
            named.books(keeper, all_books=all_books),
            how,
            start=period.start,
            end=period.end,
            known_at=period.known_at,
            now=named.now,
            on_progress=on_progress,
            zone=zone_of(named, zone) or UTC,
            group_by=None if group_by is None else group_by.value,
            currency=parse_currency(currency),
        )
    emit_report(output, found)


def income(
    context: typer.Context,
    start: FromOption = None,
    end: ToOption = None,
    all_books: AllBooksOption = False,
    currency: InOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show each reward, rebate and funding payment with its value on its date; what was paid is negative.

    Example: netbasis --db live.db income --from 2026 --to 2026 -O csv
    """
    from engine.reports.gains import income as report

    named = target(context)
    period = period_of(named, start, end, known_at, zone)
    with named.open("read") as keeper, progress("reading") as on_progress:
        found = report(
            keeper.database,
            named.books(keeper, all_books=all_books),
            start=period.start,
            end=period.end,
            known_at=period.known_at,
            now=named.now,
            on_progress=on_progress,
            currency=parse_currency(currency),
        )
    emit_report(output, found)
