"""`netbasis verify-injection`: prove on a copy that an injection does not look like profit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from cli.shared.capital_options import AmountArgument, AmountOption, PriceOption, the_amount
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit
from cli.shared.prices import parse_prices
from engine.reports.report import Table, signed

if TYPE_CHECKING:
    from engine.rehearsal.verification import Verification


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="verify-injection")(verify_injection)


def verify_injection(
    context: typer.Context,
    amount: AmountArgument = None,
    amount_option: AmountOption = None,
    price: PriceOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Inject into a copy of the database and show that PnL did not move.

    The original is read only. Exit 1 when a figure is off.

    Example: netbasis --db live.db verify-injection 50
    """
    from engine.rehearsal.verification import verify_injection as run

    how_much = the_amount(amount, amount_option, "verify-injection")
    named = target(context)
    with named.open("read") as keeper:
        book = keeper.terms(named.book)
        prices = parse_prices(price or (), book, keeper.now())
        verification = run(keeper, book.name, how_much, prices)
    rows = [(delta.name, delta.expected, delta.actual, delta.holds) for delta in verification.deltas]
    table = Table(("figure", "expected", "actual", "holds"), rows)
    document = {"book": book.name, "holds": verification.holds, "deltas": table.as_dicts()}
    emit(output, document, _lines(verification), table)
    if not verification.holds:
        raise typer.Exit(1)


def _lines(verification: Verification) -> Iterator[str]:
    figures = ["unknown" if delta.actual is None else signed(delta.actual) for delta in verification.deltas]
    width = max(map(len, figures))
    for delta, figure in zip(verification.deltas, figures, strict=True):
        verdict = "✓" if delta.holds else f"✗ expected {signed(delta.expected)}"
        yield f"Δ {delta.name:<13}  {figure:>{width}}  {verdict}"
    yield "on a copy; the database was only read"
