"""Binance's trade history: old and new layouts, amounts with glued units, futures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from engine.importers.items import Contract, Fact, Item, Row, Settings
from engine.importers.times import TimeReader
from engine.importers.venues.reading import (
    Line,
    Odd,
    adjustment,
    fill,
    number,
    number_or_none,
    product,
    time,
    utc_times,
)
from ledger.amounts import negate
from ledger.errors import shown

TIME_COLUMNS = ("Date(UTC)", "Time(UTC)", "Date (UTC)", "Date", "Time")
PAIR_COLUMNS = ("Pair", "Market", "Symbol")
SIDE_COLUMNS = ("Side", "Type")
_QUOTES = (
    "FDUSD", "USDT", "BUSD", "USDC", "TUSD", "USDP", "USDS", "RLUSD", "BIDR", "BVND", "IDRT", "BTC", "ETH", "BNB", "XRP",
    "TRX",
    "DAI", "PAX", "EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "ARS", "JPY", "MXN", "RON", "CZK",
    "COP",
    "DOGE", "SOL", "DOT", "VAI", "UST", "USD",
)  # fmt: skip
_UNIT = re.compile(r"([+-]?[0-9.,]+(?:[eE]-[0-9]+)?)\s*([A-Z0-9]*[A-Z][A-Z0-9]*)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?", re.ASCII)


def is_trades(columns: frozenset[str]) -> bool:
    """Whether these are the columns of a trade history."""
    has = [bool(columns & set(names)) for names in (TIME_COLUMNS, PAIR_COLUMNS, SIDE_COLUMNS)]
    # Others' exports have Date, Market, Type, Amount, Total and Fee as well, but no coin of the fee.
    amounts = (
        {"Executed", "Amount"} <= columns
        or ({"Amount", "Total"} <= columns and bool(columns & {"Fee Coin", "Fee Asset"}))
        or {"Quantity", "Amount", "Realized Profit"} <= columns
    )
    return all(has) and amounts and "Fee" in columns


def trade(line: Line, settings: Settings) -> Iterable[Item]:
    """The items of a row. Raises Odd, Refused."""
    at = time_of(line, settings)
    row_id = line.get("Trade ID", "TradeId", "Trade Id") or None
    pair = line.required(*PAIR_COLUMNS)
    if "Realized Profit" in line.cells:
        return _contract(line, settings, pair)
    side = line.required(*SIDE_COLUMNS).lower()
    if side not in ("buy", "sell"):
        raise Odd(f"the side {shown(side[:40])} is neither BUY nor SELL")
    executed, amount = line.get("Executed"), line.get("Amount")
    if executed:
        base, quote, size, paid = _glued(pair, executed, amount)
    else:
        base, quote = _assets(line, pair)
        size = plain(amount, "the amount")
        total = line.get("Total")
        paid = plain(total, "the total") if total else product(size, plain(line.required("Price"), "the price"))
    fee, fee_asset = _fee(line, base, quote)
    one = fill(
        side=side, base_asset=settings.named(base), base_amount=size, quote_asset=settings.named(quote), quote_amount=paid,
        fee_asset=None if fee_asset is None else settings.named(fee_asset), fee_amount=fee,
        order_id=line.get("Order ID", "OrderNo", "Order No.") or None,
    )  # fmt: skip
    return [Row(line.origin, at, None if row_id is None else f"{pair}:{row_id}", (one,))]


def time_of(line: Line, settings: Settings) -> datetime:
    """The time of a row: UTC where the column says so, else in the zone that was given. Raises Odd."""
    column = next((name for name in ("UTC_Time", *TIME_COLUMNS) if line.cells.get(name)), None)
    if column is None:
        raise Odd("it has no time")
    text = line.cells[column]
    if re.match(r"[0-9]{2}-[0-9]{2}-[0-9]{2} ", text):
        text = f"20{text}"
    reader = utc_times() if "UTC" in column else TimeReader(settings.zone)
    return time(text, reader)


def plain(text: str, what: str) -> Decimal:
    """A number, which may have commas between its thousands. Raises Odd."""
    return number(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text, what)


def _glued(pair: str, executed: str, amount: str) -> tuple[str, str, Decimal, Decimal]:
    """Base, quote and their amounts of `1.5XRP` and `3.6USDT`. The pair says where the number ends (12.51INCH)."""
    joined = pair.replace("/", "").replace("-", "").replace("_", "")
    for cut in range(len(joined) - 1, 0, -1):
        base, quote = joined[:cut], joined[cut:]
        if executed.endswith(base) and amount.endswith(quote):
            size, paid = executed.removesuffix(base).strip(), amount.removesuffix(quote).strip()
            if size[-1:].isdigit() and paid[-1:].isdigit():
                return base, quote, plain(size, "Executed"), plain(paid, "Amount")
    raise Odd(f"{shown(executed[:40])} and {shown(amount[:40])} are not of the pair {shown(pair[:40])}")


def _assets(line: Line, pair: str) -> tuple[str, str]:
    base, quote = line.get("Base Asset", "Base Coin"), line.get("Quote Asset", "Quote Coin")
    if base and quote:
        return base, quote
    for separator in "/-_":
        base, found, quote = pair.partition(separator)
        if found and base and quote:
            return base, quote
    coin = line.get("Fee Coin", "Fee Asset")
    candidates = [(pair.removesuffix(quote), quote) for quote in _QUOTES if pair.endswith(quote) and pair != quote]
    # The fee's coin tells one cut from another: LTCBTC with a fee in LTC.
    best = next((cut for cut in candidates if coin in cut), candidates[0] if candidates else None)
    if best is None:
        raise Odd(f"it is not clear which two assets the pair {shown(pair[:40])} has")
    return best


def _fee(line: Line, base: str, quote: str) -> tuple[Decimal | None, str | None]:
    """The fee, > 0 when paid, and its asset; None for one that is not reported."""
    text, coin = line.get("Fee"), line.get("Fee Coin", "Fee Asset")
    if not text:
        return None, None
    if coin:
        return plain(text, "the fee"), coin
    for asset in (base, quote):
        if text.endswith(asset) and text.removesuffix(asset).strip()[-1:].isdigit():
            return plain(text.removesuffix(asset).strip(), "the fee"), asset
    match = _UNIT.fullmatch(text)
    if match is None:
        raise Odd(f"the fee {shown(text[:40])} is not understood")
    fee = plain(match[1], "the fee")
    if match[2] is None:
        if fee:
            raise Odd("the fee has no asset")
        return fee, quote
    return fee, match[2]


def _contract(line: Line, settings: Settings, pair: str) -> Iterable[Item]:
    """A futures trade: what it cost and earned. The export writes a paid fee as a positive number."""
    yield Contract(line.origin, pair)
    quote = line.get("Quote Asset", "Margin Asset") or next((name for name in _QUOTES if pair.endswith(name)), "")
    facts: list[Fact] = []
    profit, profit_asset = _with_unit(line.get("Realized Profit"), quote)
    if profit:
        facts.append(adjustment(settings.named(profit_asset), profit, "realised", note=pair))
    fee, fee_asset = _with_unit(line.get("Fee"), line.get("Fee Coin", "Fee Asset") or quote)
    if fee:
        facts.append(adjustment(settings.named(fee_asset), negate(fee), "fee", note=pair))
    if facts:
        row_id = line.get("Trade ID", "TradeId", "Trade Id")
        yield Row(line.origin, time_of(line, settings), f"{pair}:{row_id}" if row_id else None, tuple(facts))


def _with_unit(text: str, asset: str) -> tuple[Decimal | None, str]:
    if not text:
        return None, asset
    match = _UNIT.fullmatch(text)
    if match is None:
        raise Odd(f"{shown(text[:40])} is not understood")
    found = number_or_none(match[1].replace(",", ""))
    if found and not (match[2] or asset):
        raise Odd(f"{shown(text[:40])} has no asset")
    return found, match[2] or asset
