"""`--price ASSET=PRICE`: prices for one command, which are not stored; `--in CURRENCY`: what figures are shown in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeAlias

import typer

from cli.shared.usage import WrongUsage
from ledger.book import Book
from ledger.events import Mark
from ledger.rules import complete
from projections.marks import Price

SOURCE = "command line"

InOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--in",
        metavar="CURRENCY",
        help="Show figures in this currency, by its marks: append mark --asset EUR --price 1.08 says what one EUR is worth "
        "in the numeraire.",
    ),
]


def parse_currency(given: str | None) -> str | None:
    """The currency that --in names, checked like the asset of a mark; None for none. Raises Refused."""
    return None if given is None else Mark.model_validate({"asset": given, "price": "1"}).asset


def parse_prices(given: Iterable[str], book: Book, at: datetime) -> dict[str, Price]:
    """The prices by asset, checked like marks. `at`: their time. Raises WrongUsage; Refused."""
    prices: dict[str, Price] = {}
    for text in given:
        asset, equals, price = text.partition("=")
        if not equals:
            raise WrongUsage(f"not ASSET=PRICE: {text!r}; expected such as XRP=1.33")
        mark = complete(Mark.model_validate({"asset": asset, "price": price}), book)
        assert isinstance(mark, Mark)
        if mark.asset in prices:
            raise WrongUsage(f"--price gives {mark.asset} more than one price; expected one for each asset")
        prices[mark.asset] = Price(mark.price, SOURCE, at)
    return prices
