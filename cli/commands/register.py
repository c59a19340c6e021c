"""`netbasis register`: every posting with the running balance of its asset; and the events that move none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from cli.shared.moment import AsOfOption, FromOption, KnownAtOption, ToOption, ZoneOption, bounds_of, moment_of
from cli.shared.options import Output, OutputOption, StrategyOption, target
from cli.shared.output import Table, emit_stream
from cli.shared.usage import WrongUsage

# What people are shown; programs are given every column.
_POSTING = ("asset", "delta", "balance", "part")
_SHOWN: dict[str | None, tuple[str, ...]] = {
    "opened": (),
    "mark": ("asset", "price"),
    "basis_commit": ("asset", "basis_delta"),
    "baseline": ("starting_value", "reason"),
    "adjustment": (*_POSTING, "reason"),
    "reversal": (*_POSTING, "price", "basis_delta", "starting_value"),
}


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
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every posting with the running balance of its asset. (Short: reg.)

    A balance counts every event before it, also those that the options do not show. Marks, basis commits, baselines and
    the opening move no balance: they show when their type is asked for.

    Example: netbasis --db live.db register --asset XRP --from 2026-03
    """
    from engine.views import RegisterFilter
    from engine.views import register as run
    from ledger.events import EVENT_TYPES
    from projections.register import RegisterRow

    if event_type is not None and event_type not in EVENT_TYPES:
        raise WrongUsage(f"no such type: {event_type!r}; there are {', '.join(EVENT_TYPES)}")
    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    bounds = bounds_of(named, start, end, zone)
    shown = RegisterFilter(asset, event_type, session, bounds.start, bounds.end, strategy)
    names = tuple(field.name for field in fields(RegisterRow))
    if output is Output.TEXT:
        of_type = _SHOWN.get(event_type, _POSTING)
        names = ("version", "at", "type", *of_type, "session_id", "strategy", "key", "reverses", "reversed_by")
    with named.open("read") as keeper, run(keeper.database, keeper.resolve(named.book), moment, shown) as found:
        book, head, rows = found
        table = Table(names, _cells(rows, names))
        emit_stream(output, {"book": book.name, "version": moment.version_of(head)}, "rows", table)


def _cells(rows: Iterable[Any], names: Sequence[str]) -> Iterator[list[Any]]:
    for row in rows:
        yield [getattr(row, name) for name in names]
