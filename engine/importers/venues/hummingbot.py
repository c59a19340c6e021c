"""`hummingbot`: its database (SQLite) and its file of trades (CSV).

Taken: the table TradeFill of all versions (amounts as integers × 10⁶, or as plain numbers in the oldest),
FundingPayment, the controllers of Executors; and `trades_….csv`, whose columns are those of TradeFill. Import the one or the
other: ids are the same, but the database keeps six decimals of a price only.

What was decided:

    quote amount        price × amount
    a price of 0        smaller than a millionth: quarantined, the CSV has it
    fee                 flat fees, and the percentage: of the quote amount where it is added to the cost, or of what came in
                        where it is deducted from the returns; in a third asset its amount is not in the file, and is
                        unknown. The first is the fill's, further ones are adjustments `fee`
    strategy, tags      the strategy; the controller as a tag, where an executor names the order
    position, leverage  a contract: its fees become adjustments; FundingPayment `funding`, where > 0 was received

An id is market, order, exchange's trade id.
"""

from __future__ import annotations

import json
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
    Row,
    Sample,
    Settings,
    Source,
    Unreadable,
)
from engine.importers.literals import read_literal
from engine.importers.venues.reading import (
    Odd,
    adjustment,
    columns_of,
    each_rescued,
    fill,
    head_has,
    number,
    number_or_none,
    opened_database,
    product,
    read_table,
    rescued,
    tables_in,
    tags_of,
    time,
    utc_times,
)
from ledger.amounts import ZERO, add, negate
from ledger.errors import shown

_SQLITE = b"SQLite format 3\x00"
_COLUMNS = frozenset({"market", "symbol", "timestamp", "order_id", "trade_type", "price", "amount", "trade_fee"})
_SCALE = -6
_TIMES = utc_times()
_NO_POSITION = frozenset({"", "NIL", "NONE", "NULL", "POSITIONACTION.NIL"})
Fields = Mapping[str, Any]


def _is_header(columns: frozenset[str]) -> bool:
    return columns >= _COLUMNS


def _recognises(sample: Sample) -> bool:
    if sample.head.startswith(_SQLITE):
        return "TradeFill" in tables_in(sample)
    return head_has(sample.head, _is_header)


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        if source.head().startswith(_SQLITE):
            yield from _database(source, settings)
        else:
            yield from _csv(source, settings)


def _csv(source: Source, settings: Settings) -> Iterator[Item]:
    with source.text() as text:
        table = read_table(text, source.name, _is_header, frozenset({"age", "position"}))
        yield from each_rescued(table.rows, lambda line: _items(line.cells, line.origin, settings, None))


def _database(source: Source, settings: Settings) -> Iterator[Item]:
    with opened_database(source) as database:
        columns = columns_of(database, "TradeFill")
        if not columns:
            raise Unreadable(f"{source.name} has no table TradeFill: it is no database of hummingbot")
        missing = sorted(_COLUMNS - columns.keys())
        if missing:
            raise Unreadable(f"{source.name}: the table TradeFill has no column {', '.join(missing)}")
        scaled = {name for name in ("price", "amount") if "INT" in columns[name]}
        controllers = _controllers(database)
        for place, row in enumerate(database.execute('SELECT * FROM "TradeFill" ORDER BY timestamp, rowid'), 1):
            origin = Origin(source.name, f"TradeFill row {place}")
            fields = dict(row)
            text = ",".join(str(value) for value in fields.values())
            yield from rescued(origin, text, partial(_scaled_items, fields, scaled, origin, settings, controllers))
        yield from _funding(database, source.name, settings)


def _scaled_items(
    fields: dict[str, Any], scaled: set[str], origin: Origin, settings: Settings, controllers: Mapping[str, str]
) -> Iterable[Item]:
    for name in scaled:
        fields[name] = number(fields[name], name).scaleb(_SCALE)
        if not fields[name]:
            raise Odd(f"the {name} is kept as 0, since it is less than a millionth: import the CSV of the bot's trades")
    return _items(fields, origin, settings, controllers.get(str(fields["order_id"])))


def _controllers(database: sqlite3.Connection) -> dict[str, str]:
    """Which controller an order is of, as far as executors name their orders."""
    found: dict[str, str] = {}
    if not {"controller_id", "custom_info"} <= columns_of(database, "Executors").keys():
        return found
    for controller, info in database.execute(
        "SELECT controller_id, custom_info FROM Executors WHERE controller_id <> ''"
    ):
        try:
            named = json.loads(info).get("order_ids")
        except (ValueError, AttributeError, TypeError, RecursionError):
            continue
        if isinstance(named, list):
            found.update((order, str(controller)) for order in named if isinstance(order, str))
    return found


def _items(fields: Fields, origin: Origin, settings: Settings, controller: str | None) -> Iterable[Item]:
    base, quote = _assets(fields)
    side = str(fields["trade_type"]).rpartition(".")[2].lower()
    if side not in ("buy", "sell"):
        raise Odd(f"the trade type {shown(side[:40])} is neither BUY nor SELL")
    amount, price = number(fields["amount"]), number(fields["price"], "the price")
    paid = product(amount, price)
    order, market = str(fields["order_id"] or ""), str(fields["market"])
    trade = str(fields.get("exchange_trade_id") or "")
    row_id = ":".join([market, order, trade]) if trade else None
    at = time(fields["timestamp"], _TIMES)
    fees, note = _fees(fields["trade_fee"], side, (base, amount), (quote, paid))
    position = str(fields.get("position") or "").upper()
    leverage = number_or_none(fields.get("leverage"), "the leverage")
    if position not in _NO_POSITION or (leverage is not None and leverage > 1) or "perpetual" in market.lower():
        symbol = f"{market} {fields['symbol']}"
        yield Contract(origin, symbol)
        facts: list[Fact] = [
            adjustment(settings.named(asset), negate(fee), "fee", note=symbol) for asset, fee in fees.items() if fee
        ]
        if facts:
            yield Row(origin, at, row_id, tuple(facts))
        return
    listed = list(fees.items())
    # Where a part of the fee is not known, the fill's own is that one.
    own, others = (None, listed) if note is not None else (next(iter(listed), None), listed[1:])
    one = fill(
        side=side, base_asset=settings.named(base), base_amount=amount, quote_asset=settings.named(quote), quote_amount=paid,
        fee_asset=None if own is None else settings.named(own[0]), fee_amount=None if own is None else own[1],
        order_id=order or None, strategy=str(fields.get("strategy") or "")[:128] or None, tags=tags_of(controller or ""),
        source_note=note,
    )  # fmt: skip
    further = [
        adjustment(settings.named(asset), negate(fee), "fee", note=f"of order {order}") for asset, fee in others if fee
    ]
    yield Row(origin, at, row_id, (one, *further))


def _assets(fields: Fields) -> tuple[str, str]:
    base, quote = str(fields.get("base_asset") or ""), str(fields.get("quote_asset") or "")
    if not (base and quote):
        base, _, quote = str(fields["symbol"]).partition("-")
    if not (base and quote):
        raise Odd(f"the symbol {shown(str(fields['symbol'])[:40])} is no pair")
    return base, quote


def _fees(
    given: Any, side: str, base: tuple[str, Decimal], quote: tuple[str, Decimal]
) -> tuple[dict[str, Decimal], str | None]:
    """The fees by asset, those that are 0 only where there is no other; and a note of what is not known.

    `base`, `quote`: asset and amount of the trade.
    """
    fee = _parsed(given)
    if fee is None:
        return {}, "the file has no fee"
    found: dict[str, Decimal] = {}
    percent = number_or_none(fee.get("percent"), "the fee's percentage") or ZERO
    token = fee.get("percent_token")
    kind = str(fee.get("fee_type") or fee.get("type") or "AddedToCost")
    came = base if side == "buy" else quote
    asset, of = came if kind == "DeductedFromReturns" else quote
    note = None
    if percent:
        if token and token not in (base[0], quote[0]):
            note = f"a fee of {percent} of the amount, paid in {token}: how much {token} is not in the file"
        else:
            asset, of = {base[0]: base, quote[0]: quote}.get(str(token or ""), (asset, of))
            found[asset] = product(percent, of)
    for flat in fee.get("flat_fees") or ():
        name, amount = _flat(flat)
        found[name] = add(found.get(name, ZERO), amount)
    if note is None and not found:
        found[str(token or asset)] = ZERO
    some = {name: amount for name, amount in found.items() if amount}
    return (some or found, None) if note is None else (some, note[:1000])


def _flat(given: Any) -> tuple[str, Decimal]:
    if isinstance(given, Mapping) and isinstance(given.get("token"), str):
        return given["token"], number(given.get("amount"), "a flat fee")
    if isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[0], str):
        return given[0], number(given[1], "a flat fee")
    raise Odd("a flat fee is not understood")


def _parsed(given: Any) -> dict[str, Any] | None:
    """A fee as JSON, or as Python writes a dict, as the CSV has it; None for none."""
    text = given.strip() if isinstance(given, str) else given
    if text is None or text in ("", "null", "None"):
        return None
    if isinstance(text, str):
        try:
            text = json.loads(text, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError):
            try:
                text = read_literal(text)
            except ValueError:
                text = None
    if not isinstance(text, dict):
        raise Odd("the trade fee is not understood")
    return text


def _funding(database: sqlite3.Connection, file: str, settings: Settings) -> Iterator[Item]:
    if not {"timestamp", "market", "symbol", "amount"} <= columns_of(database, "FundingPayment").keys():
        return
    for place, row in enumerate(database.execute('SELECT * FROM "FundingPayment" ORDER BY timestamp'), 1):
        fields, origin = dict(row), Origin(file, f"FundingPayment row {place}")
        yield from rescued(origin, str(fields), partial(_payment, fields, origin, settings))


def _payment(fields: Fields, origin: Origin, settings: Settings) -> Iterable[Item]:
    symbol = f"{fields['market']} {fields['symbol']}"
    quote = str(fields["symbol"]).partition("-")[2]
    amount = number(fields["amount"])
    yield Contract(origin, symbol)
    if amount:
        fact = adjustment(settings.named(quote), amount, "funding", note=symbol)
        row_id = f"funding:{fields['market']}:{fields['symbol']}:{fields['timestamp']}"
        yield Row(origin, time(fields["timestamp"], _TIMES), row_id, (fact,))


KIND = Kind(
    name="hummingbot",
    help="hummingbot: its database, or its CSV of trades",
    recognises=_recognises,
    read=_read,
)
