"""`netbasis pnl`: total value, net deposits, net basis, profit and loss; now, at a moment, or of a period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.moment import AsOfOption, Bounds, FromOption, KnownAtOption, ToOption, ZoneOption, bounds_of, moment_of
from cli.shared.options import Output, OutputOption, Target, target
from cli.shared.output import Table, counted, emit, pairs, shown, signed, text_table
from cli.shared.prices import parse_prices
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.views import Moment, Period
    from ledger.book import Book
    from projections.marks import Price
    from projections.pnl import Pnl

FIGURES = (
    "total_value",
    "net_deposits",
    "net_basis",
    "starting_value",
    "total_pnl",
    "trading_value",
    "retained_profit",
    "withdrawn_profit",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pnl)


def pnl(
    context: typer.Context,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ASSET=PRICE", help="A price to value with, in the numeraire; not stored. Repeatable."),
    ] = None,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    start: FromOption = None,
    end: ToOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show total value, net deposits, net basis, PnL and profit.

    Values with the newest mark of each asset, or --price. A figure that needs a mark which nobody gave is unknown, not 0.
    With --from or --to: of a period, at its start, at its end, and what changed; --price counts at the end.

    Example: netbasis --db live.db pnl --from 2026-11 --to 2026-11
    """
    named = target(context)
    is_period = start is not None or end is not None
    if is_period and as_of is not None:
        raise WrongUsage("--as-of is a moment, --from and --to are a period: give one of them")
    moment = moment_of(named, as_of, known_at, zone)
    if is_period:
        _show_period(named, price or (), bounds_of(named, start, end, zone), moment.known_at, output)
    else:
        _show_moment(named, price or (), moment, output)


def _show_moment(named: Target, price: Sequence[str], moment: Moment, output: Output) -> None:
    from engine.views import view_at
    from projections.pnl import pnl as compute

    with named.open("read") as keeper:
        view = view_at(keeper.database, keeper.resolve(named.book), moment, now=named.now)
    # The end of a day that has not ended is not so yet: a mark is as old as it is now.
    now = min(moment.as_of, named.now) if isinstance(moment.as_of, datetime) else named.now
    prices = {**view.state.marks, **parse_prices(price, view.book, now)}
    figures = compute(view.state, prices, view.book.numeraire)
    document = {
        "book": view.book.name,
        "version": view.state.version,
        "numeraire": view.book.numeraire,
        **_document(figures),
    }
    emit(output, document, _lines(figures, view.book, now), csv_table=_figure_table(document))


def _document(figures: Pnl) -> dict[str, Any]:
    return {
        **{name: getattr(figures, name) for name in FIGURES},
        "unknown_fees": figures.unknown_fees,
        "missing_marks": figures.missing_marks,
        "fees": [{"asset": asset, "amount": amount} for asset, amount in sorted(figures.fees.items())],
        "marks": [
            {"asset": asset, "price": mark.price, "source": mark.source, "at": mark.at}
            for asset, mark in sorted(figures.marks.items())
        ],
    }


def _figure_table(document: Mapping[str, Any]) -> Table:
    """For CSV: a figure a row; fees and marks name their asset, all else has none."""
    rows: list[tuple[Any, ...]] = [(name, None, document[name]) for name in (*FIGURES, "unknown_fees")]
    rows += [("fee", fee["asset"], fee["amount"]) for fee in document["fees"]]
    rows += [("mark", mark["asset"], mark["price"]) for mark in document["marks"]]
    rows += [("missing_mark", asset, None) for asset in document["missing_marks"]]
    return Table(("figure", "asset", "value"), rows)


def _lines(figures: Pnl, book: Book, now: datetime) -> Iterator[str]:
    yield f"in {book.numeraire}"
    yield from pairs((name.replace("_", " "), _or_unknown(getattr(figures, name))) for name in FIGURES)
    yield from _remarks(figures)
    for asset, amount in sorted(figures.fees.items()):
        yield f"fees paid: {shown(amount)} {asset}"
    for asset, mark in sorted(figures.marks.items()):
        yield f"mark: {asset} {_mark_text(mark, now)}"


def _remarks(figures: Pnl) -> Iterator[str]:
    """Why something is unknown."""
    if figures.missing_marks:
        assets = ", ".join(figures.missing_marks)
        yield f"unknown for want of a mark: {assets} (append mark, or --price {figures.missing_marks[0]}=…)"
    elif figures.retained_profit is None:
        yield "retained profit is unknown: a deposit's basis is, and no synthetic initial basis was committed"
    if figures.unknown_fees:
        yield f"not counted: {counted(figures.unknown_fees, 'fee')} not reported"


def _mark_text(mark: Price, now: datetime) -> str:
    return f"{shown(mark.price)} ({mark.source or 'no source'}, {_age(now, mark.at)})"


def _or_unknown(figure: Any) -> Any:
    return "unknown" if figure is None else figure


def _age(now: datetime, at: datetime) -> str:
    seconds = int((now - at).total_seconds())
    if seconds < 0:
        return f"dated {shown(at)}"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} old"
    return f"{seconds} seconds old"


def _show_period(
    named: Target, price: Sequence[str], bounds: Bounds, known_at: datetime | None, output: Output
) -> None:
    from engine.views import pnl_of_period

    with named.open("read") as keeper:
        book = keeper.terms(named.book)
        prices = parse_prices(price, book, min(bounds.end or named.now, named.now))
        found = pnl_of_period(keeper.database, book.name, bounds.start, bounds.end, known_at, prices, now=named.now)
    document = {
        "book": book.name,
        "version": found.version,
        "numeraire": book.numeraire,
        "from": bounds.start,
        "to": bounds.end,
        "start": _document(found.start),
        "end": _document(found.end),
        "change": _document(found.change),
    }
    rows = [[name, *(getattr(part, name) for part in (found.start, found.end, found.change))] for name in FIGURES]
    emit(output, document, _period_lines(found), csv_table=Table(("figure", "start", "end", "change"), rows))


def _period_lines(found: Period) -> Iterator[str]:
    names = (f"in {found.book.numeraire}", "start", "end", "change")
    parts = (found.start, found.end, found.change)
    rows = []
    for name in FIGURES:
        start, end, difference = (getattr(part, name) for part in parts)
        change = "unknown" if difference is None else signed(difference)
        rows.append((name.replace("_", " "), _or_unknown(start), _or_unknown(end), change))
    yield from text_table(Table(names, rows))
    yield from _remarks(found.change)
    for asset, amount in sorted(found.change.fees.items()):
        yield f"fees paid: {shown(amount)} {asset}"
