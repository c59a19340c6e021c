"""`netbasis export`: a book in the forms of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from cli.shared.exporting import AssetOption, FileOption, SessionOption, TypeOption, choice_of, write_lines
from cli.shared.moment import AsOfOption, FromOption, KnownAtOption, ToOption, ZoneOption
from cli.shared.options import StrategyOption, target
from cli.shared.output import json_text
from engine.reports.report import counted

if TYPE_CHECKING:
    from engine.exports.choosing import LeftOut


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Write a book for other programs: events, tables, journals, tax tools.")
    group.command()(ndjson)
    app.add_typer(group, name="export")


def ndjson(
    context: typer.Context,
    event_type: TypeOption = None,
    asset: AssetOption = None,
    session: SessionOption = None,
    strategy: StrategyOption = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    file: FileOption = None,
) -> None:
    """Write the events as `append --file` takes them: a round trip gives the same balances, basis and PnL.

    A reversal and a correction name the key of the event that they are about. The first line is the opening: append it to a
    book on the same terms. When the filters leave out a reversed event, its reversal is left out, too.

    Example: netbasis --db live.db export ndjson | netbasis --db other.db append --file -
    """
    from engine.exports.ndjson import exported_events

    named = target(context)
    choice = choice_of(
        named,
        event_type=event_type,
        asset=asset,
        session=session,
        strategy=strategy,
        start=start,
        end=end,
        as_of=as_of,
        known_at=known_at,
        zone=zone,
    )
    with (
        named.open("read") as keeper,
        exported_events(keeper.database, keeper.resolve(named.book), choice) as (lines, left),
    ):
        write_lines(map(json_text, lines), file)
    for note in _left_out(left):
        typer.echo(f"note: {note}", err=True)


def _left_out(left: LeftOut) -> Iterator[str]:
    """What the file does not have, a sentence each."""
    if left.events:
        also = f", {left.reversals} of them the reversal of another one" if left.reversals else ""
        yield f"the filters leave out {counted(left.events, 'event')}{also}"
    if left.corrections:
        yield f"without the event that they correct: {counted(left.corrections, 'correction')}"
    if left.evidence:
        yield f"without evidence, since earlier events are left out: {counted(left.evidence, 'withdrawal')}"
    if left.transfers:
        sides = "1 side of a transfer is" if left.transfers == 1 else f"{left.transfers} sides of transfers are"
        yield f"{sides} written as a plain deposit or withdrawal, since the other side is in another book"
