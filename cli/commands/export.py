"""`netbasis export`: a book in the forms of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared.cost_options import FeesView, MethodOption, cost_method
from cli.shared.exporting import AssetOption, FileOption, SessionOption, TypeOption, choice_of, part_of, write_lines
from cli.shared.moment import AsOfOption, FromOption, KnownAtOption, ToOption, ZoneOption
from cli.shared.options import StrategyOption, target
from cli.shared.output import csv_lines, json_text, progress
from cli.shared.usage import WrongUsage
from engine.reports.report import counted

if TYPE_CHECKING:
    from engine.exports.bookings import Bookings
    from engine.exports.choosing import LeftOut


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Write a book for other programs: events, tables, journals, tax tools.", no_args_is_help=True
    )
    group.command()(ndjson)
    group.command(name="csv")(csv_table)
    group.command()(parquet)
    group.command()(koinly)
    group.command()(hledger)
    group.command()(beancount)
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


def csv_table(
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
    """Write a table, one event a row, with its fields and what it moved.

    An asset's balance is the sum of asset_delta, quote_delta and fee_delta over the rows that name it.

    Example: netbasis --db live.db export csv --from 2026 -o events.csv
    """
    from engine.exports.tables import event_table

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
        event_table(keeper.database, keeper.resolve(named.book), choice) as (table, left),
    ):
        write_lines(csv_lines(table), file)
    for note in _left_out(left):
        typer.echo(f"note: {note}", err=True)


def parquet(
    context: typer.Context,
    file: Annotated[
        str, typer.Option("-o", "--output-file", metavar="FILE", help="The file to write; it is replaced whole.")
    ],
    event_type: TypeOption = None,
    asset: AssetOption = None,
    session: SessionOption = None,
    strategy: StrategyOption = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
) -> None:
    """Write the table of `export csv` as a Parquet file, for DuckDB, Polars, pandas or Spark. Needs the extra columns.

    An amount X is an exact text; X_decimal and X_rest (the digits after the 18th decimal) add up to it.

    Example: netbasis --db live.db export parquet -o events.parquet
    """
    from engine.exports.parquet import write_parquet
    from engine.exports.tables import event_table

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
        event_table(keeper.database, keeper.resolve(named.book), choice) as (table, left),
        part_of(file) as part,
        progress("exporting") as on_progress,
    ):
        try:
            write_parquet(table, part, on_progress)
        except ModuleNotFoundError as error:
            if error.name != "pyarrow":
                raise
            raise WrongUsage(
                "a Parquet file needs pyarrow, which comes with the extra columns: pip install 'netbasis[columns]'"
            ) from error
    for note in _left_out(left):
        typer.echo(f"note: {note}", err=True)


def koinly(context: typer.Context, file: FileOption = None) -> None:
    """Write a table for tax tools: Date, Sent, Received, Fee, Net Worth, Label, Description, TxHash.

    Events that were reversed are left out, and so are their reversals. A rebate is a row of its own.

    Example: netbasis --db live.db export koinly -o koinly.csv
    """
    from engine.exports.tables import koinly_table

    named = target(context)
    with named.open("read") as keeper:
        table = koinly_table(keeper.database, keeper.resolve(named.book), now=named.now)
    write_lines(csv_lines(table), file)


class GainsAs(StrEnum):
    """The account type of gains in hledger."""

    GAIN = "G"
    REVENUE = "R"


LotsOption = Annotated[
    bool,
    typer.Option(
        "--lots/--no-lots",
        help="Tell lots apart, or have one holding of each asset; with the method average there is always one.",
    ),
]


def hledger(
    context: typer.Context,
    method: MethodOption = None,
    by_lot: LotsOption = True,
    gains_as: Annotated[
        GainsAs,
        typer.Option("--gains-type", help="The type of the account of gains; R for a hledger that has no type G."),
    ] = GainsAs.GAIN,
    file: FileOption = None,
) -> None:
    """Write a journal for hledger: account types, prices, gains, and holdings at cost, lot by lot.

    Events that were reversed are left out, and so are their reversals. Each entry balances to the digit.

    Example: netbasis --db live.db export hledger -o live.journal
    """
    from engine.exports.hledger import journal_lines

    write_lines(journal_lines(_bookings(context, method, by_lot), gains_as.value), file)


def beancount(
    context: typer.Context, method: MethodOption = None, by_lot: LotsOption = True, file: FileOption = None
) -> None:
    """Write a journal for beancount: prices, gains, and holdings at cost, lot by lot.

    Events that were reversed are left out, and so are their reversals. The metadata has the names that beancount does not
    take.

    Example: netbasis --db live.db export beancount -o live.beancount
    """
    from engine.exports.beancount import journal_lines

    write_lines(journal_lines(_bookings(context, method, by_lot)), file)


def _bookings(context: typer.Context, method: str | None, by_lot: bool) -> Bookings:
    from engine.exports.bookings import bookings

    named = target(context)
    how = cost_method(named, method, FeesView.APART)
    with named.open("read") as keeper:
        return bookings(keeper.database, keeper.resolve(named.book), how, now=named.now, by_lot=by_lot)


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
