"""ccxt's unified trades, deposits, withdrawals and ledger entries, as JSON.

What was decided:

    symbol BASE/QUOTE             a fill; with a `:` (BTC/USDT:USDT) or a contract size, and where the exchange's own answer
                                  says that it was on margin, a contract: its fee and realised profit become adjustments
    amount, cost                  what was exchanged; cost must be near price × amount, and where it is absent it is that
    fee, fees                     `fees` if it names a cost, else `fee`, as object, list, null or text; negative is a rebate.
                                  The first asset is the fill's fee, further ones are adjustments of the same order
    deposit, withdrawal           a movement, once its status is ok; its fee on top of the amount, but for the exchanges of
                                  `FEE_WITHIN`, whose amount includes it
    ledger entries                rebates, rewards, funding, fees of their own become adjustments, each with its fee; those
                                  of trades and of movements are passed over, since fetchMyTrades, fetchDeposits and
                                  fetchWithdrawals give them
    transfers                     between accounts of one's own: passed over

An id is unique for an exchange and a symbol: trade 12345 of ETH/BTC is another one than that of BTC/GBP. Where one book
takes in several exchanges, `--source NAME` keeps their ids apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from functools import partial
from typing import Any

from engine.importers.ccxt_fees import Fee, divided, fees_of
from engine.importers.ccxt_fields import id_of, number, optional_text, positive, required, text, time_of
from engine.importers.items import (
    Contract,
    Fact,
    Item,
    Kind,
    Movement,
    Origin,
    PassedOver,
    QuarantinedRow,
    Row,
    Sample,
    Settings,
    Source,
)
from engine.importers.json_stream import read_json
from engine.importers.json_values import MalformedJson
from engine.importers.venues.reading import Odd, rescued, shortened
from ledger.amounts import DIGITS_AFTER_POINT, amount_text, negate, subtract, total, value
from ledger.events import Adjustment, Fill

NAME = "ccxt"
# Exchanges whose withdrawal amount includes the fee.
FEE_WITHIN = frozenset({"oxfun"})
# Of an envelope that is no entry itself, these lists are raw answers of the exchange.
_RAW = "http"
_REWARDS = {"rebate": "rebate", "cashback": "reward", "referral": "reward", "airdrop": "reward", "reward": "reward"}
_OTHERS = {"fee": "fee", "margin": "funding", "funding": "funding", "rollover": "funding"}
_NOT_DONE = frozenset({"pending", "failed", "canceled", "cancelled", "rejected", "expired"})
_DIFFERS_BY = Decimal("0.01")
_WIDE = Context(prec=200)
_NOT_ZERO = re.compile(r"(?=.*[1-9])[0-9]+\.?[0-9]*", re.ASCII)


def _recognises(sample: Sample) -> bool:
    head = sample.head.lstrip()
    if head[:1] not in (b"{", b"["):
        return False
    names = set(re.findall(rb'"(\w+)"\s*:', head))
    is_trade = {b"symbol", b"side", b"amount", b"cost"} <= names and bool(names & {b"takerOrMaker", b"fee", b"fees"})
    # What a program keeps of an entry may leave `info` out.
    is_movement = {b"currency", b"txid", b"amount", b"status", b"type", b"timestamp"} <= names
    is_ledger = {b"referenceId", b"referenceAccount", b"currency"} <= names
    return is_movement or (b"info" in names and (is_trade or is_ledger))


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as stream:
            for place_in_file, found in enumerate(read_json(stream), 1):
                place = f"line {found.line}, value {place_in_file}"
                if isinstance(found, MalformedJson):
                    yield QuarantinedRow(Origin(source.name, place), found.reason, found.text)
                else:
                    yield from _entries(found.value, source.name, place, settings)


def _entries(value: Any, file: str, place: str, settings: Settings, exchange: str | None = None) -> Iterator[Item]:
    """The items of a JSON value: an entry, a list of entries, or an envelope that has lists of them."""
    if isinstance(value, list):
        for place_in_list, each in enumerate(value, 1):
            yield from _entries(each, file, f"{place} item {place_in_list}", settings, exchange)
    elif isinstance(value, dict) and _is_envelope(value):
        named = value.get("exchange")
        for name, entries in value.items():
            if isinstance(entries, list) and not name.startswith(_RAW):
                yield from _entries(
                    entries, file, f"{place} {name}", settings, named if isinstance(named, str) else None
                )
    else:
        origin = Origin(file, place)
        items = partial(_items, value, origin, settings, settings.source or exchange)
        yield from rescued(origin, shortened(value), items)


def _is_envelope(value: Mapping[str, Any]) -> bool:
    return "amount" not in value and any(
        isinstance(each, list) and not name.startswith(_RAW) for name, each in value.items()
    )


def _items(entry: Any, origin: Origin, settings: Settings, exchange: str | None) -> Iterable[Item]:
    if not isinstance(entry, dict):
        raise Odd("not an object")
    if entry.get("filled") is not None or entry.get("remaining") is not None:
        raise Odd("an order, not a trade: import what fetchMyTrades gives")
    if entry.get("symbol") and entry.get("side") is not None:
        return _trade(entry, origin, settings)
    if "fromAccount" in entry or "toAccount" in entry:
        return [PassedOver(origin, "a transfer between accounts of one's own")]
    if "direction" in entry:
        return _ledger_entry(entry, origin, settings)
    if entry.get("type") in ("deposit", "withdrawal"):
        return _movement(entry, origin, settings, exchange)
    if entry.get("symbol") and (entry.get("code") or entry.get("currency")) and "amount" in entry:
        return _funding(entry, origin, settings)
    raise Odd("no trade, deposit, withdrawal or ledger entry of ccxt's unified form")


# Trades


def _trade(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    symbol = text(entry, "symbol")
    fees = fees_of(entry)
    at = time_of(entry)
    row_id = id_of(entry, settings, symbol)
    if ":" in symbol or entry.get("contractSize") is not None or _is_on_margin(entry.get("info")):
        yield Contract(origin, symbol)
        facts = _contract_facts(entry, symbol, fees, settings)
        if facts:
            yield Row(origin, at, row_id, tuple(facts))
        return
    base, slash, quote = symbol.partition("/")
    if not (slash and base and quote) or "/" in quote:
        raise Odd(f"the symbol {symbol} is no pair")
    given: dict[str, Any] = {
        "side": entry["side"],
        "base_asset": settings.named(base),
        "base_amount": positive(entry, "amount"),
        "quote_asset": settings.named(quote),
        "quote_amount": _cost(entry),
    }
    order = optional_text(entry, "order")
    if order is not None:
        given["order_id"] = order
    if entry.get("takerOrMaker") is not None:
        given["liquidity"] = entry["takerOrMaker"]
    own, others, note = divided(fees, quote)
    if own is not None:
        given |= {"fee_asset": settings.named(str(own.asset)), "fee_amount": own.amount}
    if note is not None:
        given["source_note"] = note
    facts = [Fill.model_validate(given), *(_fee_adjustment(fee, order, settings) for fee in others)]
    yield Row(origin, at, row_id, tuple(facts))


def _is_on_margin(info: Any) -> bool:
    """Whether the exchange's own answer says that a trade of a spot symbol was of a margin position."""
    if not isinstance(info, dict):
        return False
    return (
        "isIsolated" in info  # Binance: only answers about margin have it
        or bool(_NOT_ZERO.fullmatch(str(info.get("margin"))))  # Kraken: how much of it
        or str(info.get("isLeverage")).lower() in ("1", "true")  # Bybit
        or str(info.get("instType")).upper() in ("MARGIN", "SWAP", "FUTURES", "OPTION")  # OKX
        or str(info.get("tradeType")).upper().startswith("MARGIN")  # KuCoin
    )


def _cost(entry: Mapping[str, Any]) -> Decimal:
    """What was paid or received, without the fee."""
    amount, price, cost = positive(entry, "amount"), number(entry, "price"), number(entry, "cost")
    computed = None if price is None else _product(amount, price)
    if cost is None or cost.is_zero():
        if computed is None or computed.is_zero():
            raise Odd("neither a cost nor a price says what was paid")
        return computed
    cost = cost.copy_abs()
    if computed is not None and price is not None and not computed.is_zero():
        # A price may be rounded in its last place.
        last_place = _product(amount, Decimal((0, (1,), min(int(price.as_tuple().exponent), 0))))
        off = subtract(cost, computed).copy_abs()
        if off > max(value(cost, _DIFFERS_BY), last_place):
            raise Odd(f"the cost {amount_text(cost)} is not price × amount, {amount_text(computed)}: is it a contract?")
    return cost


def _product(one: Decimal, other: Decimal) -> Decimal:
    """The exact product where it fits 36 decimals; else rounded to 18."""
    exact = _WIDE.multiply(one, other)
    return exact if int(exact.as_tuple().exponent) >= -DIGITS_AFTER_POINT else value(one, other)


def _fee_adjustment(fee: Fee, order: str | None, settings: Settings) -> Fact:
    given: dict[str, Any] = {
        "asset": settings.named(str(fee.asset)), "amount": negate(fee.amount), "reason": "fee",
        "source_note": "a further fee" + (f" of order {order}" if order else ""),
    }  # fmt: skip
    return Adjustment.model_validate(given)


def _contract_facts(
    entry: Mapping[str, Any], symbol: str, fees: Sequence[Fee] | None, settings: Settings
) -> list[Fact]:
    """What a trade of a contract cost and earned."""
    facts = [
        _adjusted(str(fee.asset), negate(fee.amount), "fee", symbol, settings)
        for fee in fees or ()
        if fee.asset is not None and not fee.amount.is_zero()
    ]
    settle = symbol.partition(":")[2].partition("-")[0] or symbol.partition("/")[2]
    info = entry.get("info")
    realised = None
    if settle and isinstance(info, dict):
        realised = next((found for name in _REALISED if (found := number(info, name)) is not None), None)
    if realised is not None and not realised.is_zero():
        facts.append(_adjusted(settle, realised, "realised", symbol, settings))
    return facts


_REALISED = ("realizedPnl", "closedPnl", "fillPnl", "realized_pnl", "realisedPnl")


def _adjusted(asset: str, amount: Decimal, reason: str, note: str, settings: Settings) -> Fact:
    given: dict[str, Any] = {"asset": settings.named(asset), "amount": amount, "reason": reason, "source_note": note}
    return Adjustment.model_validate(given)


def _funding(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    symbol = text(entry, "symbol")
    asset = optional_text(entry, "code") or text(entry, "currency")
    amount = required(entry, "amount")
    yield Contract(origin, symbol)
    if not amount.is_zero():
        fact = _adjusted(asset, amount, "funding", symbol, settings)
        yield Row(origin, time_of(entry), id_of(entry, settings, "funding", symbol), (fact,))


# Deposits, withdrawals and ledger entries


def _movement(entry: Mapping[str, Any], origin: Origin, settings: Settings, exchange: str | None) -> Iterator[Item]:
    status = entry.get("status")
    if isinstance(status, str) and status.lower() in _NOT_DONE:
        yield PassedOver(origin, status.lower())
        return
    kind, asset = str(entry["type"]), text(entry, "currency")
    amount = positive(entry, "amount")
    fees = [fee for fee in fees_of(entry) or () if not fee.amount.is_zero()]
    if kind == "withdrawal" and exchange in FEE_WITHIN:
        within = total(fee.amount for fee in fees if fee.asset in (None, asset))
        amount = subtract(amount, within)
    movement = Movement(
        "in" if kind == "deposit" else "out",
        settings.named(asset),
        amount,
        tx_hash=optional_text(entry, "txid"),
        reference=optional_text(entry, "id"),
        source_note=optional_text(entry, "comment"),
    )
    note = f"of the {kind}"
    others = [_adjusted(fee.asset or asset, negate(fee.amount), "fee", note, settings) for fee in fees]
    yield Row(origin, time_of(entry), id_of(entry, settings, kind), (movement, *others))


def _ledger_entry(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    kind, status = optional_text(entry, "type") or "", entry.get("status")
    if isinstance(status, str) and status.lower() in _NOT_DONE:
        yield PassedOver(origin, status.lower())
        return
    if kind == "trade" or (kind == "fee" and entry.get("referenceId") is not None):
        yield PassedOver(origin, "a ledger entry of a trade, which fetchMyTrades gives")
        return
    if kind in ("transaction", "deposit", "withdrawal"):
        yield PassedOver(
            origin, "a ledger entry of a deposit or withdrawal, which fetchDeposits and fetchWithdrawals give"
        )
        return
    if kind == "transfer":
        yield PassedOver(origin, "a transfer between accounts of one's own")
        return
    reason = _REWARDS.get(kind) or _OTHERS.get(kind)
    if reason is None:
        raise Odd(f"a ledger entry of the type {kind!r} is not understood")
    amount = required(entry, "amount").copy_abs()
    direction = entry.get("direction")
    if direction not in ("in", "out"):
        raise Odd(f"the direction {direction!r} is neither in nor out")
    asset, note = text(entry, "currency"), f"ledger entry: {kind}"
    facts = (
        [_adjusted(asset, amount if direction == "in" else negate(amount), reason, note, settings)] if amount else []
    )
    facts += [
        _adjusted(fee.asset or asset, negate(fee.amount), "fee", note, settings)
        for fee in fees_of(entry) or ()
        if fee.amount
    ]
    if facts:
        yield Row(origin, time_of(entry), id_of(entry, settings, "ledger"), tuple(facts))
    else:
        yield PassedOver(origin, "an amount of 0")


KIND = Kind(
    name=NAME,
    help="ccxt: unified trades, deposits, withdrawals and ledger entries as JSON; also as a stream with --batch",
    recognises=_recognises,
    read=_read,
)
