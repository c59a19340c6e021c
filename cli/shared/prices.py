"""`--price ASSET=PRICE`: prices for one command, which are not stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cli.shared.usage import WrongUsage
from ledger.book import Book
from ledger.events import Mark
from ledger.rules import complete
from projections.marks import Price

SOURCE = "command line"


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
