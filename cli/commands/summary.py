"""`netbasis summary`: a book, a session or a strategy of it, on a page, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.config import read_config
from cli.shared.moment import FromOption, ToOption, ZoneOption, bounds_of
from cli.shared.options import Output, OutputOption, StrategyOption, target
from cli.shared.output import emit_report, print_lines, shown
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.reports.summarising import Summary
    from ledger.database.connections import Database

PICTURES = (".png", ".svg")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(summary)


def summary(
    context: typer.Context,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only the fills of this session.")] = None,
    strategy: StrategyOption = None,
    start: FromOption = None,
    end: ToOption = None,
    zone: ZoneOption = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A strategy's configuration: show the exposure headroom, too.")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw equity, net basis and capital movements: FILE.png or FILE.svg."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show fills, volume, fees, inventory, net basis and PnL.

    --session and --strategy narrow the fills down, to both when both are given. Inventory, net basis and PnL are always
    those of the whole book; with --from or --to they are those at the end of the period, beside what changed in it. Fees
    paid are those of the fills, and the adjustments with the reason fee or network_fee; an adjustment can belong to a
    session, but to no strategy.

    Example: netbasis --db paper.db summary --session monday --config paper.yaml --plot monday.png
    """
    from engine.reports.summarising import summarise
    from engine.reports.summary import summary as report

    picture = _picture(plot)
    settings = None if config is None else read_config(config)
    named = target(context)
    bounds = bounds_of(named, start, end, zone)
    with named.open("read") as keeper:
        found = summarise(
            keeper.database,
            keeper.resolve(named.book),
            session,
            strategy=strategy,
            start=bounds.start,
            end=bounds.end,
            now=named.now,
        )
        if picture is not None:
            _draw(keeper.database, found, picture)
    emit_report(output, report(found, settings))
    if picture is not None and output is Output.TEXT:
        print_lines([f"drawn: {shown(str(picture))}"])


def _picture(plot: str | None) -> Path | None:
    if plot is None:
        return None
    if not plot.lower().endswith(PICTURES):
        raise WrongUsage(f"--plot {plot!r}: expected a name that ends in {' or '.join(PICTURES)}")
    if "\0" in plot:
        raise WrongUsage(f"--plot {plot!r}: the path has a NUL")
    return Path(plot)


def _draw(database: Database, found: Summary, picture: Path) -> None:
    try:
        from engine.reports.plot import draw
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise WrongUsage(
            "--plot needs matplotlib, which comes with the extra plot: pip install 'netbasis[plot]'"
        ) from error
    draw(database, found, picture)
