"""The views of a book: `balance`, `pnl`, `audit basis`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Output, OutputOption, target
from cli.output import emit, pairs, shown, table

if TYPE_CHECKING:
    from projections.pnl import Pnl


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(balance)
    app.command(name="bal", hidden=True)(balance)
    app.command()(pnl)
    audit = typer.Typer(help="The history of the basis, line by line.", no_args_is_help=True)
    audit.callback()(_audit)
    audit.command(name="basis")(audit_basis)
    app.add_typer(audit, name="audit")


def _audit() -> None:
    pass


def balance(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """Show each asset's balance and its parts: fills, capital, adjustments. (Short: bal.)

    Example: netbasis --db live.db balance
    """
    named = target(context)
    with named.open("read") as keeper:
        view = keeper.view(keeper.resolve(named.book))
    rows = [
        {
            "asset": asset,
            "total": holding.total,
            "fills": holding.fills,
            "capital": holding.capital,
            "adjustments": holding.adjustments,
        }
        for asset, holding in sorted(view.state.inventory.items())
    ]
    unknown_fees = view.state.fees.unknown
    document = {
        "book": view.book.name,
        "version": view.head.version,
        "unknown_fees": unknown_fees,
        "balances": rows,
    }

    def text() -> Iterator[str]:
        yield from table(("asset", "total", "fills", "capital", "adjustments"), [list(row.values()) for row in rows])
        if unknown_fees:
            yield f"not counted: {unknown_fees} fees that were not reported"

    emit(output, document, text())


def pnl(
    context: typer.Context,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ASSET=PRICE", help="A price to value with, in the numeraire; not stored. Repeatable."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show total value, net deposits, net basis, PnL and profit. What needs a mark that nobody gave is unknown.

    Example: netbasis --db live.db pnl --price XRP=1.33
    """
    from cli.prices import parse_prices
    from engine.bookkeeper import utc_now
    from projections.pnl import pnl as compute

    named = target(context)
    now = utc_now()
    with named.open("read") as keeper:
        view = keeper.view(keeper.resolve(named.book))
    prices = {**view.state.marks, **parse_prices(price or (), view.book, now)}
    figures = compute(view.state, prices, view.book.numeraire)
    document = _pnl_document(view.book.name, view.head.version, view.book.numeraire, figures)
    emit(output, document, _pnl_lines(figures, view.book.numeraire, now))


def _pnl_document(book: str, version: int, numeraire: str, figures: Pnl) -> dict[str, Any]:
    return {
        "book": book,
        "version": version,
        "numeraire": numeraire,
        "total_value": figures.total_value,
        "net_deposits": figures.net_deposits,
        "net_basis": figures.net_basis,
        "starting_value": figures.starting_value,
        "total_pnl": figures.total_pnl,
        "trading_value": figures.trading_value,
        "retained_profit": figures.retained_profit,
        "withdrawn_profit": figures.withdrawn_profit,
        "unknown_fees": figures.unknown_fees,
        "missing_marks": figures.missing_marks,
        "fees": [{"asset": asset, "amount": amount} for asset, amount in sorted(figures.fees.items())],
        "marks": [
            {"asset": asset, "price": mark.price, "source": mark.source, "at": mark.at}
            for asset, mark in sorted(figures.marks.items())
        ],
    }


def _pnl_lines(figures: Pnl, numeraire: str, now: Any) -> Iterator[str]:
    names = (
        "total_value",
        "net_deposits",
        "net_basis",
        "starting_value",
        "total_pnl",
        "trading_value",
        "retained_profit",
        "withdrawn_profit",
    )
    yield f"in {numeraire}"
    yield from pairs((name.replace("_", " "), _or_unknown(getattr(figures, name))) for name in names)
    if figures.missing_marks:
        assets = ", ".join(figures.missing_marks)
        yield f"unknown for want of a mark: {assets} (append mark, or --price {figures.missing_marks[0]}=…)"
    elif figures.retained_profit is None:
        yield "retained profit is unknown: a deposit's basis is, and no synthetic initial basis was committed"
    for asset, amount in sorted(figures.fees.items()):
        yield f"fees paid: {shown(amount)} {asset}"
    if figures.unknown_fees:
        yield f"fees not reported: {figures.unknown_fees}"
    for asset, mark in sorted(figures.marks.items()):
        yield f"mark: {asset} {shown(mark.price)} ({mark.source or 'no source'}, {_age(now, mark.at)})"


def _or_unknown(figure: Any) -> Any:
    return "unknown" if figure is None else figure


def _age(now: Any, at: Any) -> str:
    seconds = int((now - at).total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} old"
    return f"{seconds} seconds old"


def audit_basis(context: typer.Context, output: OutputOption = Output.TEXT) -> None:
    """Show every deposit, withdrawal, basis commit and reversal of one, with the basis after it.

    Example: netbasis --db live.db audit basis
    """
    from engine.views import audit_basis as run
    from projections.audit import AuditRow

    named = target(context)
    with named.open("read") as keeper:
        audit = run(keeper.database, keeper.resolve(named.book))
    document = {
        "book": audit.book.name,
        "version": audit.head.version,
        "net_basis": audit.net_basis,
        "rows": audit.rows,
    }
    names = [field.name for field in fields(AuditRow)]

    def text() -> Iterator[str]:
        yield from table(names, [_audit_cells(row, names) for row in audit.rows])
        yield f"net basis: {shown(audit.net_basis)} {audit.book.numeraire}"

    emit(output, document, text())


def _audit_cells(row: Any, names: Sequence[str]) -> list[Any]:
    is_unknown = row.type == "deposit" and row.basis_delta is None
    return ["unknown" if name == "basis_delta" and is_unknown else getattr(row, name) for name in names]
