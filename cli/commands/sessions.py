"""`netbasis sessions`: a desk's runs."""

from __future__ import annotations

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, cost_method
from cli.shared.moment import FromOption, KnownAtOption, ToOption, ZoneOption, period_of
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report, progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sessions)


def sessions(
    context: typer.Context,
    start: FromOption = None,
    end: ToOption = None,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the sessions with their fills, volume, fees and realised PnL, in the order of their first fill.

    Volume is in the quote assets; realised is the gain of what the session's fills closed.

    Example: netbasis --db live.db sessions --from yesterday
    """
    from engine.reports.sessions import sessions as report

    named = target(context)
    how = cost_method(named, method, fees)
    period = period_of(named, start, end, known_at, zone)
    with named.open("read") as keeper, progress("reading") as on_progress:
        found = report(
            keeper.database,
            keeper.resolve(named.book),
            how,
            start=period.start,
            end=period.end,
            known_at=period.known_at,
            now=named.now,
            on_progress=on_progress,
        )
    emit_report(output, found)
