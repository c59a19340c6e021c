"""`netbasis register`: every posting, with the running balance of its asset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from cli.moment import AsOfOption, FromOption, KnownAtOption, ToOption, moment_of, time_of
from cli.options import Output, OutputOption, target
from cli.output import Table, emit_stream
from cli.usage import WrongUsage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="register")(show)
    app.command(name="reg", hidden=True)(show)


def show(
    context: typer.Context,
    asset: Annotated[str | None, typer.Option(metavar="ASSET", help="Only postings of this asset.")] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only postings of this type, such as fill or reversal.")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only postings of this session.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every posting with the running balance of its asset. (Short: reg.)

    A balance counts every event before it, also those that the options do not show.

    Example: netbasis --db live.db register --asset XRP --from 2026-03-01T00:00:00Z
    """
    from engine.views import RegisterFilter
    from engine.views import register as run
    from ledger.events import EVENT_TYPES
    from projections.register import RegisterRow

    if event_type is not None and event_type not in EVENT_TYPES:
        raise WrongUsage(f"no such type: {event_type!r}; there are {', '.join(EVENT_TYPES)}")
    named = target(context)
    moment = moment_of(as_of, known_at)
    shown = RegisterFilter(asset, event_type, session, time_of(start), time_of(end))
    names = tuple(field.name for field in fields(RegisterRow))
    with named.open("read") as keeper, run(keeper.database, keeper.resolve(named.book), moment, shown) as found:
        book, head, rows = found
        table = Table(names, _cells(rows, names))
        emit_stream(output, {"book": book.name, "version": moment.version_of(head)}, "rows", table)


def _cells(rows: Iterable[Any], names: Sequence[str]) -> Iterator[list[Any]]:
    for row in rows:
        yield [getattr(row, name) for name in names]
