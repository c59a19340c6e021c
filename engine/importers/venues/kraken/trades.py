"""Kraken's trades.csv: the detail of what the ledger has, or the fills themselves where no ledger is given.

The trades of all files are put aside in a database of SQLite's own temporary file, so that memory stays flat.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial

from engine.importers.items import Contract, Fact, Item, Origin, Row, Settings
from engine.importers.venues.kraken.names import split_pair
from engine.importers.venues.reading import Line, Odd, adjustment, fill, number, rescued, time, utc_times
from ledger.amounts import negate

_TIMES = utc_times()


class Trades:
    """The trades of an import, by their id.

    >>> trades = Trades()
    >>> trades.order_of("TXID")           # the order of a trade of the ledger, which is then not given as a fill itself
    """

    def __init__(self) -> None:
        # "": a temporary database, on disk once it is large
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(
            "CREATE TABLE trade (number INTEGER PRIMARY KEY, id TEXT, file TEXT, place TEXT, cells TEXT, is_used INTEGER)"
        )
        self._database.execute("CREATE INDEX trade_id ON trade (id)")
        self._database.execute("BEGIN")

    def add(self, line: Line) -> None:
        """Put a row aside."""
        values = (line.get("txid"), line.origin.file, line.origin.place, json.dumps(dict(line.cells)))
        self._database.execute("INSERT INTO trade (id, file, place, cells, is_used) VALUES (?, ?, ?, ?, 0)", values)

    def order_of(self, trade: str) -> str | None:
        """The order of a trade that the ledger has; None where no file names it."""
        found = self._database.execute("SELECT cells FROM trade WHERE id = ? LIMIT 1", (trade,)).fetchone()
        if found is None:
            return None
        self._database.execute("UPDATE trade SET is_used = 1 WHERE id = ?", (trade,))
        return str(json.loads(found[0]).get("ordertxid") or "") or None

    def items(self, settings: Settings) -> Iterator[Item]:
        """The trades that the ledger has not."""
        rows = self._database.execute("SELECT file, place, cells FROM trade WHERE is_used = 0 ORDER BY number")
        for file, place, cells in rows:
            line = Line(Origin(file, place), json.loads(cells))
            yield from rescued(line.origin, line.text, partial(_items, line, settings))

    def close(self) -> None:
        """Give the temporary file back."""
        self._database.close()


def _items(line: Line, settings: Settings) -> Iterable[Item]:
    pair, side = line.required("pair"), line.required("type").lower()
    if side not in ("buy", "sell"):
        raise Odd(f"the type {side[:40]!r} is neither buy nor sell")
    base, quote = (settings.named(asset) for asset in split_pair(pair))
    fee, at = number(line.required("fee"), "the fee"), time(line.required("time"), _TIMES)
    row_id, order = line.required("txid"), line.get("ordertxid") or None
    volume, cost = number(line.required("vol"), "vol").copy_abs(), number(line.required("cost"), "cost").copy_abs()
    margin = line.get("margin")
    if margin and number(margin, "margin"):
        yield Contract(line.origin, f"{pair} on margin")
        facts: list[Fact] = [adjustment(quote, negate(fee), "fee", note=f"{pair} on margin")] if fee else []
        net = line.get("net")
        if net and number(net, "net"):
            facts.insert(0, adjustment(quote, number(net, "net"), "realised", note=f"{pair} on margin"))
        if facts:
            yield Row(line.origin, at, f"trade:{row_id}", tuple(facts))
        return
    one = fill(
        side=side, base_asset=base, base_amount=volume, quote_asset=quote, quote_amount=cost, fee_asset=quote,
        fee_amount=fee, order_id=order, liquidity=_liquidity(line),
    )  # fmt: skip
    yield Row(line.origin, at, f"trade:{row_id}", (one,))


def _liquidity(line: Line) -> str | None:
    maker = line.get("maker").lower()
    return {"true": "maker", "1": "maker", "false": "taker", "0": "taker"}.get(maker)
