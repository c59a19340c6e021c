"""`netbasis report`: a period as one HTML file."""

from __future__ import annotations

from datetime import UTC

import typer

from cli.shared.cost_options import FeesOption, FeesView, MethodOption, cost_method
from cli.shared.exporting import FileOption, write_lines
from cli.shared.moment import FromOption, KnownAtOption, ToOption, ZoneOption, bounds_of, moment_of, zone_of
from cli.shared.options import target
from cli.shared.output import progress
from cli.shared.web import extra_missing


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    context: typer.Context,
    start: FromOption = None,
    end: ToOption = None,
    file: FileOption = None,
    method: MethodOption = None,
    fees: FeesOption = FeesView.APART,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
) -> None:
    """Write a period as one HTML file to send: figures, chart, capital, gains, returns, and what a check says.

    The file holds everything that it shows, and loads and runs nothing. It ends with the head of the log, so that whoever
    has the ledger can prove it later: check --expect-head. It needs the extra web: pip install 'netbasis[web]'.

    Example: netbasis --db live.db report --from 2026-01 --to 2026-03 -o first-quarter.html
    """
    from engine.proof.check import check_ledger
    from engine.proof.request import CheckRequest

    try:
        from cli.page.report import Period, report_page
    except ModuleNotFoundError as error:
        raise extra_missing("report", error) from error
    named = target(context)
    bounds, known = bounds_of(named, start, end, zone), moment_of(named, None, known_at, zone).known_at
    how, days = cost_method(named, method, fees), zone_of(named, zone) or UTC
    said = " ".join([f"from {start}"] * bool(start) + [f"to {end}"] * bool(end)) or "the whole of the book"
    with named.open("read") as keeper:
        book = keeper.resolve(named.book)
        of = Period(book, bounds.start, bounds.end, known, how, days, said[0].upper() + said[1:])
        with progress("checking") as on_progress:
            checked = check_ledger(keeper.database, book, CheckRequest(now=named.now, on_progress=on_progress))
        with progress("reading") as on_progress:
            page = report_page(keeper.database, of, checked, now=named.now, on_progress=on_progress)
    write_lines([page], file)
