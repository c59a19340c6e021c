"""`freqtrade`: its trades, from its database (SQLite) or as JSON.

Taken: the tables trades and orders of all versions (the oldest have no orders), what `show-trades --print-json` and the
API's /trades give, and a backtest's results. Times are UTC.

What was decided:

    orders              each filled order is a fill: its average price, its filled amount; one that is still open is passed
                        over, and comes when it is done
    no orders           a trade is one fill at its opening, and one at its closing
    fee                 what was really paid, where the trade says so (`fee_open_cost` in its currency, `ft_fee_base`); else
                        the rate of the quote amount, or of what was bought where it was paid in that. Of several orders of
                        one side in a third asset only the first has it
    strategy, tags      the strategy; the entry tag
    futures, margin,    contracts: when closed, adjustments `realised`, `fee`, `funding`, whose sum is the trade's profit
    short, leverage     where the fee was paid in the quote asset
    numbers             databases keep them as binary floats: their shortest decimal text is taken

An id is exchange, pair, order; without orders exchange, pair, the time of the opening, trade, side.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from engine.importers.items import (
    Contract,
    Fact,
    Item,
    Kind,
    Origin,
    PassedOver,
    QuarantinedRow,
    Row,
    Sample,
    Settings,
    Source,
    Unreadable,
)
from engine.importers.json_stream import read_json
from engine.importers.json_values import MalformedJson
from engine.importers.venues.reading import (
    Odd,
    adjustment,
    columns_of,
    fill,
    number,
    number_or_none,
    opened_database,
    product,
    rescued,
    shortened,
    tables_in,
    tags_of,
    time,
    utc_times,
)
from ledger.amounts import ZERO, add, negate, subtract, total
from ledger.errors import shown
from ledger.times import time_text

_SQLITE = b"SQLite format 3\x00"
_NEEDED = frozenset({"pair", "open_rate", "amount", "open_date", "fee_open"})
_TIMES = utc_times()
_OPEN = frozenset({"open", "new", "partially_filled", "pending"})
Fields = Mapping[str, Any]


def _recognises(sample: Sample) -> bool:
    head = sample.head
    if head.startswith(_SQLITE):
        return "trades" in tables_in(sample)
    return head.lstrip()[:1] in (b"{", b"[") and b'"open_rate"' in head and b'"fee_open"' in head


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        is_database = source.head().startswith(_SQLITE)
        yield from _database(source, settings) if is_database else _json(source, settings)


def _database(source: Source, settings: Settings) -> Iterator[Item]:
    with opened_database(source) as database:
        columns = columns_of(database, "trades").keys()
        if not columns:
            raise Unreadable(f"{source.name} has no table trades: it is no database of freqtrade")
        missing = sorted(_NEEDED - columns)
        if missing:
            raise Unreadable(f"{source.name}: the table trades has no column {', '.join(missing)}")
        has_orders = {"ft_trade_id", "filled"} <= columns_of(database, "orders").keys()
        for row in database.execute("SELECT * FROM trades ORDER BY open_date, rowid"):
            trade = dict(row)
            orders = _orders(database, trade.get("id")) if has_orders else []
            origin = Origin(source.name, f"trade {trade.get('id')}")
            yield from rescued(origin, shortened(trade), partial(_items, trade, orders, origin, settings))


def _orders(database: sqlite3.Connection, trade: object) -> list[dict[str, Any]]:
    rows = database.execute("SELECT * FROM orders WHERE ft_trade_id = ? ORDER BY order_date, rowid", (trade,))
    return [dict(row) for row in rows]


def _json(source: Source, settings: Settings) -> Iterator[Item]:
    with source.text() as text:
        for number, found in enumerate(read_json(text, lists=("trades",)), 1):
            place = f"line {found.line}"
            if isinstance(found, MalformedJson):
                yield QuarantinedRow(Origin(source.name, place), found.reason, found.text)
                continue
            # A backtest's results have the trades of each strategy.
            named = found.path[1] if found.path[:1] == ("strategy",) and len(found.path) == 3 else None
            place = f"{place} trade {number}" if found.path else place
            for trade, where, strategy in _trades_in(found.value, place, named):
                origin = Origin(source.name, where)
                yield from rescued(origin, shortened(trade), partial(_of_json, trade, strategy, origin, settings))


def _trades_in(value: Any, place: str, strategy: str | None) -> Iterator[tuple[Any, str, str | None]]:
    """The trades in an answer of the API, a list of trades, or a backtest's results; with the strategy that is around."""
    if isinstance(value, list):
        for count, each in enumerate(value, 1):
            yield from _trades_in(each, f"{place} item {count}", strategy)
    elif isinstance(value, dict) and isinstance(value.get("trades"), list):
        for count, each in enumerate(value["trades"], 1):
            yield each, f"{place} trade {count}", strategy
    elif isinstance(value, dict) and isinstance(value.get("strategy"), dict):
        for name, each in value["strategy"].items():
            yield from _trades_in(each, f"{place} {name}"[:80], name)
    else:
        yield value, place, strategy


def _of_json(trade: Any, strategy: str | None, origin: Origin, settings: Settings) -> Iterable[Item]:
    if not isinstance(trade, dict) or not trade.keys() >= _NEEDED:
        raise Odd("not a trade of freqtrade")
    orders = trade.get("orders")
    listed = [order for order in orders if isinstance(order, dict)] if isinstance(orders, list) else []
    if listed and not all("order_id" in order for order in listed):
        listed = []  # a backtest's: orders without ids, which the trade sums up
    return _items({"strategy": strategy, **trade}, listed, origin, settings)


def _items(trade: Fields, orders: Sequence[Fields], origin: Origin, settings: Settings) -> Iterable[Item]:
    mode, leverage = str(trade.get("trading_mode") or "spot"), number_or_none(trade.get("leverage"), "the leverage")
    is_levered = leverage is not None and leverage > 1
    if mode.lower() not in ("spot", "") or is_levered or trade.get("is_short") or ":" in str(trade["pair"]):
        return _contract(trade, orders, origin, settings)
    if orders:
        # What is filled of an order that is still open will be another amount next time.
        unfinished = [PassedOver(origin, "an order that is still open") for order in orders if _is_open(order)]
        return [*unfinished, *(item for order in _numbered(orders) for item in _order(trade, order, origin, settings))]
    return _whole(trade, origin, settings)


def _is_open(order: Fields) -> bool:
    return str(order.get("ft_is_open")).lower() in ("1", "true") or str(order.get("status") or "").lower() in _OPEN


def _numbered(orders: Sequence[Fields]) -> Iterator[dict[str, Any]]:
    """The filled orders that are done, each with how many are of its side, and which of them it is."""
    sides: dict[str, list[dict[str, Any]]] = {"buy": [], "sell": []}
    for order in orders:
        named = str(order.get("ft_order_side") or order.get("side") or "").lower()
        side = "buy" if named == "buy" else "sell"
        amount = number_or_none(order.get("filled"), "the filled amount") or ZERO
        if amount and not _is_open(order):
            sides[side].append({**order, "_side": side, "_amount": amount, "_place": len(sides[side])})
    for side in ("buy", "sell"):
        for order in sides[side]:
            yield {**order, "_count": len(sides[side])}


def _order(trade: Fields, order: Fields, origin: Origin, settings: Settings) -> Iterator[Item]:
    base, quote = _assets(trade)
    side, amount = order["_side"], order["_amount"]
    price = number_or_none(order.get("average"), "the average") or number_or_none(order.get("price"), "the price")
    price = price or number_or_none(order.get("safe_price"), "the price")
    cost = number_or_none(order.get("cost"), "the cost")
    if not price and not cost:
        raise Odd("an order has neither a price nor a cost")
    paid = product(amount, price) if price else cost
    assert paid is not None
    when = order.get("order_filled_date") or order.get("order_filled_timestamp") or order.get("order_update_date")
    when = when or order.get("order_date") or order.get("order_timestamp")
    name = str(order.get("order_id") or "")
    fee_asset, fee, note = _fee(trade, order, side, (base, quote, paid))
    row_id = f"{trade.get('exchange') or ''}:{trade['pair']}:{name}" if name else None
    one = fill(
        side=side, base_asset=settings.named(base), base_amount=amount, quote_asset=settings.named(quote), quote_amount=paid,
        fee_asset=None if fee_asset is None else settings.named(fee_asset), fee_amount=fee, order_id=name or None,
        strategy=_strategy(trade), tags=_tags(trade), source_note=note,
    )  # fmt: skip
    yield Row(Origin(origin.file, f"{origin.place} order {name}"), time(when, _TIMES), row_id, (one,))


def _fee(
    trade: Fields, order: Fields, side: str, exchanged: tuple[str, str, Decimal]
) -> tuple[str | None, Decimal | None, str | None]:
    """An order's fee: asset, amount, and a note; None for an unknown one."""
    base, quote, paid = exchanged
    in_base = number_or_none(order.get("ft_fee_base"), "ft_fee_base")
    if in_base:
        return base, in_base, None
    sort = "open" if side == "buy" else "close"
    cost, asset = number_or_none(trade.get(f"fee_{sort}_cost"), "the fee"), trade.get(f"fee_{sort}_currency")
    if cost is not None and isinstance(asset, str) and asset:
        if order["_count"] == 1:
            return asset, cost, None
        if asset not in (base, quote):
            note = f"a fee in {asset}, of which the file has one order's only"
            return (asset, cost, None) if order["_place"] == 0 else (None, None, note)
    rate = number_or_none(trade.get(f"fee_{sort}"), "the fee's rate")
    if rate is not None and asset == base and sort == "open":
        return base, product(rate, order["_amount"]), None
    return (None, None, None) if rate is None else (quote, product(rate, paid), None)


def _whole(trade: Fields, origin: Origin, settings: Settings) -> Iterator[Item]:
    """A trade without orders: bought at its opening, sold at its closing."""
    base, quote = _assets(trade)
    amount = number(trade["amount"])
    opened = time(trade["open_date"], _TIMES)
    start = time_text(opened.replace(microsecond=0))
    name = f"{trade.get('exchange') or ''}:{trade['pair']}:{start}:{trade.get('id', trade.get('trade_id', ''))}"
    is_open = bool(trade.get("is_open"))
    if not amount:
        yield PassedOver(origin, "not filled")
        return
    for sort, side in (("open", "buy"), ("close", "sell")):
        if sort == "close" and (is_open or not trade.get("close_date")):
            return
        rate = number(trade.get(f"{sort}_rate"), f"{sort}_rate")
        paid = product(amount, rate)
        fee_asset, fee, note = _fee(trade, {"_count": 1, "_place": 0, "_amount": amount}, side, (base, quote, paid))
        one = fill(
            side=side, base_asset=settings.named(base), base_amount=amount, quote_asset=settings.named(quote),
            quote_amount=paid, fee_asset=None if fee_asset is None else settings.named(fee_asset), fee_amount=fee,
            strategy=_strategy(trade), tags=_tags(trade), source_note=note,
        )  # fmt: skip
        yield Row(origin, time(trade[f"{sort}_date"], _TIMES), f"{name}:{side}", (one,))


def _contract(trade: Fields, orders: Sequence[Fields], origin: Origin, settings: Settings) -> Iterator[Item]:
    """A position: what it cost and earned, once it is closed."""
    yield Contract(origin, str(trade["pair"]))
    if trade.get("is_open") or not trade.get("close_date"):
        return
    _, quote = _assets(trade)
    settled = str(trade.get("stake_currency") or str(trade["pair"]).partition(":")[2] or quote)
    profit = number_or_none(trade.get("close_profit_abs"), "the profit")
    profit = number_or_none(trade.get("profit_abs"), "the profit") if profit is None else profit
    if profit is None:
        raise Odd("a closed position has no profit")
    funding = number_or_none(trade.get("funding_fees"), "the funding") or ZERO
    charged: dict[str, Decimal] = {}
    facts: list[Fact] = []
    by_rate = []
    for sort in ("open", "close"):
        rate = number_or_none(trade.get(f"fee_{sort}"), "the fee's rate") or ZERO
        paid = _exchanged(trade, orders, sort)
        by_rate.append(product(rate, paid))
        cost, asset = number_or_none(trade.get(f"fee_{sort}_cost"), "the fee"), trade.get(f"fee_{sort}_currency")
        single = len([order for order in _numbered(orders) if order["_side"] == _side(trade, sort)]) <= 1
        if cost is not None and isinstance(asset, str) and asset and asset not in (quote, settled) and single:
            charged[asset] = add(charged.get(asset, ZERO), cost)
        else:
            charged[settled] = add(charged.get(settled, ZERO), by_rate[-1])
    # The profit has the fees by their rate, whatever they were paid in.
    realised = subtract(add(profit, total(by_rate)), funding)
    note = str(trade["pair"])
    if realised:
        facts.append(adjustment(settings.named(settled), realised, "realised", note=note))
    facts += [adjustment(settings.named(asset), negate(fee), "fee", note=note) for asset, fee in charged.items() if fee]
    if funding:
        facts.append(adjustment(settings.named(settled), funding, "funding", note=note))
    start = time_text(time(trade["open_date"], _TIMES).replace(microsecond=0))
    name = f"{trade.get('exchange') or ''}:{trade['pair']}:{start}:{trade.get('id', trade.get('trade_id', ''))}:closed"
    if facts:
        yield Row(origin, time(trade["close_date"], _TIMES), name, tuple(facts))


def _side(trade: Fields, sort: str) -> str:
    return "buy" if (sort == "open") != bool(trade.get("is_short")) else "sell"


def _exchanged(trade: Fields, orders: Sequence[Fields], sort: str) -> Decimal:
    """What was exchanged on opening or closing, in the quote asset."""
    of_side = [order for order in _numbered(orders) if order["_side"] == _side(trade, sort)]
    if of_side:
        prices = [number_or_none(each.get("average")) or number_or_none(each.get("price")) or ZERO for each in of_side]
        return total(product(each["_amount"], price) for each, price in zip(of_side, prices, strict=True))
    return product(number(trade["amount"]), number_or_none(trade.get(f"{sort}_rate")) or ZERO)


def _assets(trade: Fields) -> tuple[str, str]:
    pair = str(trade["pair"])
    base, _, quote = pair.partition(":")[0].partition("/")
    if not (base and quote):
        raise Odd(f"the pair {shown(pair[:40])} is none")
    return base, quote


def _strategy(trade: Fields) -> str | None:
    return str(trade.get("strategy") or "")[:128] or None


def _tags(trade: Fields) -> list[str] | None:
    return tags_of(str(trade.get("enter_tag") or trade.get("buy_tag") or ""))


KIND = Kind(
    name="freqtrade",
    help="freqtrade: its database, or its trades as JSON",
    recognises=_recognises,
    read=_read,
)
