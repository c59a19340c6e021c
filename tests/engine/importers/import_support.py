"""What the tests of importing share: ccxt entries, a kind of the test's own, and one import of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.bookkeeper import Bookkeeper
from engine.importers.deciding import How
from engine.importers.importing import Files, ImportReport, files_of, import_files
from engine.importers.items import Item, Kind, Settings, Source
from engine.importers.landing import Policy
from engine.importers.pricing import PriceFrom
from engine.importers.sources import FileSource
from tests.support import BOOK, ROOT

SHARED = ROOT.parent / "shared" / "data"
NOON = datetime(2026, 1, 4, 12, 0, tzinfo=UTC)


def at(minutes: int) -> datetime:
    """So many minutes after noon, the day before the tests' clock begins."""
    return NOON + timedelta(minutes=minutes)


def trade(
    number: int, minutes: int, side: str = "buy", amount: str = "10", cost: str = "13.3", **more: Any
) -> dict[str, Any]:
    """A unified trade of XRP/RLUSD."""
    return {
        "id": str(number), "timestamp": _ms(minutes), "symbol": "XRP/RLUSD", "side": side, "amount": amount, "cost": cost,
        "price": None, "fee": {"cost": "0", "currency": "RLUSD"}, "info": {}, **more,
    }  # fmt: skip


def movement(
    number: int | None, minutes: int, kind: str, amount: str, asset: str = "RLUSD", **more: Any
) -> dict[str, Any]:
    """A unified deposit or withdrawal."""
    return {
        "id": None if number is None else str(number), "timestamp": _ms(minutes), "type": kind, "currency": asset,
        "amount": amount, "status": "ok", "txid": None, "fee": None, "info": {}, **more,
    }  # fmt: skip


def _ms(minutes: int) -> int:
    return int(at(minutes).timestamp() * 1000)


def written(folder: Path, *entries: dict[str, Any], name: str = "given.json") -> Path:
    """A file of entries."""
    path = folder / name
    path.write_text(json.dumps(entries))
    return path


def imported(
    keeper: Bookkeeper,
    *paths: Path,
    kind: str | None = "ccxt",
    price_from: PriceFrom | None = None,
    goes_on: bool = False,
    is_strict: bool = False,
    is_dry: bool = False,
    **settings: Any,
) -> ImportReport:
    """Import files into the book."""
    files = files_of(kind, [FileSource(str(path)) for path in paths])
    policy = Policy(How(price_from), goes_on, is_strict, is_dry)
    return import_files(keeper, BOOK, files, Settings("RLUSD", **settings), policy)


class ItemsKind:
    """A kind whose files are lists of items in memory, by the name of their source."""

    def __init__(self, items: dict[str, Sequence[Item]]) -> None:
        self._items = items
        self.kind = Kind("made", "items of a test", lambda sample: False, self._read)

    def _read(self, sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
        for source in sources:
            yield from self._items[source.name]

    def files(self) -> list[Files]:
        """All of them, for one import."""
        return [Files(self.kind, [FileSource(name) for name in self._items])]


def balances(keeper: Bookkeeper) -> dict[str, str]:
    """The balance of each asset, as text."""
    held = keeper.view(BOOK).state.inventory.items()
    return {asset: f"{holding.total.normalize():f}" for asset, holding in held if not holding.total.is_zero()}
