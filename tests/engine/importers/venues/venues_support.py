"""Reading texts as files of a kind, and what their rows add up to."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, Any

from engine.importers.items import Contract, Item, Kind, Movement, PassedOver, QuarantinedRow, Row, Settings, Unreadable
from engine.importers.venues.reading import postings
from ledger.amounts import amount_text
from ledger.events import Adjustment, Fill


class Text:
    """A file that is a text."""

    def __init__(self, text: str, name: str = "file") -> None:
        self._text = text
        self.name = name

    def head(self) -> bytes:
        return self._text.encode("utf-8", "replace")[: 1 << 16]

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Without a byte order mark, as a file's source gives it."""
        yield io.StringIO(self._text.removeprefix("\ufeff"), newline="")

    @contextmanager
    def database(self) -> Iterator[str]:
        if self.name:
            raise Unreadable(f"{self.name} is no database")
        yield ""


def read(kind: Kind, *texts: str, **settings: Any) -> list[Item]:
    """The items of texts as files of a kind; the numeraire is USD."""
    sources = [Text(text, f"file{number}") for number, text in enumerate(texts, 1)]
    return list(kind.read(sources, Settings(**{"numeraire": "USD", **settings})))


def rows(items: Iterable[Item]) -> list[Row]:
    return [item for item in items if isinstance(item, Row)]


def reasons(items: Iterable[Item]) -> list[str]:
    """Why rows were quarantined."""
    return [item.reason for item in items if isinstance(item, QuarantinedRow)]


def passed_over(items: Iterable[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, PassedOver)]


def contracts(items: Iterable[Item]) -> list[str]:
    return [item.symbol for item in items if isinstance(item, Contract)]


def net(items: Iterable[Item]) -> dict[str, str]:
    """What the rows do to each asset's balance."""
    return texts(postings(fact for row in rows(items) for fact in row.facts))


def texts(amounts: dict[str, Decimal]) -> dict[str, str]:
    return {asset: amount_text(amount) for asset, amount in amounts.items() if amount}


def told(items: Iterable[Item]) -> list[str]:
    """The facts of all rows, each as a short text."""
    return [_told(fact) for row in rows(items) for fact in row.facts]


def _told(fact: object) -> str:
    if isinstance(fact, Movement):
        return f"{fact.direction} {amount_text(fact.amount)} {fact.asset}"
    if isinstance(fact, Adjustment):
        return f"{fact.reason} {amount_text(fact.amount)} {fact.asset}"
    assert isinstance(fact, Fill)
    fee = "" if fact.fee_amount is None else f" fee {amount_text(fact.fee_amount)} {fact.fee_asset}"
    exchanged = (
        f"{amount_text(fact.base_amount)} {fact.base_asset} for {amount_text(fact.quote_amount)} {fact.quote_asset}"
    )
    return f"{fact.side} {exchanged}{fee}"
