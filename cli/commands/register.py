"""`netbasis register`: every posting with the running balance of its asset; and the events that move none."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.moment import AsOfOption, FromOption, KnownAtOption, ToOption, ZoneOption, bounds_of, moment_of
from cli.shared.options import Engine, EngineOption, Output, OutputOption, StrategyOption, target
from cli.shared.output import emit_stream
from cli.shared.usage import WrongUsage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="register")(show)
    app.command(name="reg", hidden=True)(show)


def show(
    context: typer.Context,
    asset: Annotated[str | None, typer.Option(metavar="ASSET", help="Only postings of this asset.")] = None,
    event_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Only this type, such as fill or reversal; one that moves no balance, such as mark, shows its events.",
        ),
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only what is of this session.")] = None,
    strategy: StrategyOption = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    engine: EngineOption = Engine.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every posting with the running balance of its asset. (Short: reg.)

    The running balance includes every earlier event, even those that the options filter out. Marks, basis commits,
    baselines and the opening move no balance; --type shows them.

    Example: netbasis --db live.db register --asset XRP --from 2026-03
    """
    from engine.columns.choosing import events_of
    from engine.reports.postings import postings
    from engine.views import RegisterFilter
    from ledger.events import EVENT_TYPES

    if event_type is not None and event_type not in EVENT_TYPES:
        raise WrongUsage(f"no such type: {event_type!r}; there are {', '.join(EVENT_TYPES)}")
    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    bounds = bounds_of(named, start, end, zone)
    wanted = RegisterFilter(asset, event_type, session, bounds.start, bounds.end, strategy)
    every_column = output is not Output.TEXT
    with (
        named.open("read") as keeper,
        postings(
            keeper.database,
            keeper.resolve(named.book),
            moment,
            wanted,
            every_column=every_column,
            events_of=events_of(keeper.database, engine.value),
        ) as found,
    ):
        emit_stream(output, "rows", found)
