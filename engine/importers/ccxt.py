"""ccxt's unified trades, deposits, withdrawals and ledger entries, as JSON.

What was decided:

    symbol BASE/QUOTE             a fill; with a `:` (BTC/USDT:USDT) or a contract size a contract, whose fee and realised
                                  profit become adjustments
    amount, cost                  what was exchanged; cost must be near price × amount, and where it is absent it is that
    fee, fees                     `fees` if it names a cost, else `fee`, as object, list, null or text; negative is a rebate.
                                  The first asset is the fill's fee, further ones are adjustments of the same order
    deposit, withdrawal           a movement, once its status is ok; its fee on top of the amount, but for the exchanges of
                                  `FEE_WITHIN`, whose amount includes it
    ledger entries                rebates, rewards and fees of their own become adjustments; those of trades and of movements
                                  are passed over, since fetchMyTrades, fetchDeposits and fetchWithdrawals give them
    transfers                     between accounts of one's own: passed over

An id is unique for an exchange and a symbol: trade 12345 of ETH/BTC is another one than that of BTC/GBP. Where one book
takes in several exchanges, `--source NAME` keeps their ids apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from engine.importers.items import (
    Contract,
    Fact,
    Item,
    Kind,
    Movement,
    Origin,
    PassedOver,
    Quarantined,
    Row,
    Sample,
    Settings,
    Source,
)
from engine.importers.json_stream import Malformed, read_json
from ledger.amounts import DIGITS_AFTER_POINT, add, amount_text, negate, subtract, total, value
from ledger.errors import Refused
from ledger.events import Adjustment, Fill
from ledger.times import parse_time

NAME = "ccxt"
# Exchanges whose withdrawal amount includes the fee.
FEE_WITHIN = frozenset({"oxfun"})
# Of an envelope that is no entry itself, these lists are raw answers of the exchange.
_RAW = "http"
_SHOWN = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REWARDS = {"rebate": "rebate", "cashback": "reward", "referral": "reward", "airdrop": "reward", "reward": "reward"}
_NOT_DONE = frozenset({"pending", "failed", "canceled", "cancelled", "rejected", "expired"})
_DIFFERS_BY = Decimal("0.01")
_WIDE = Context(prec=200)


class _Odd(Exception):
    """An entry that is not understood; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class _Fee:
    """A fee: its asset, None where it is not named, and its amount; negative is a rebate."""

    asset: str | None
    amount: Decimal


def _recognises(sample: Sample) -> bool:
    head = sample.head.lstrip()
    if head[:1] not in (b"{", b"["):
        return False
    names = set(re.findall(rb'"(\w+)"\s*:', head))
    is_trade = {b"symbol", b"side", b"amount", b"cost"} <= names and bool(names & {b"takerOrMaker", b"fee", b"fees"})
    is_movement = {b"currency", b"txid", b"amount", b"status"} <= names
    is_ledger = {b"referenceId", b"referenceAccount", b"currency"} <= names
    return b"info" in names and (is_trade or is_movement or is_ledger)


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as text:
            for number, found in enumerate(read_json(text), 1):
                place = f"line {found.line}, value {number}"
                if isinstance(found, Malformed):
                    yield Quarantined(Origin(source.name, place), found.reason, found.text)
                else:
                    yield from _entries(found.value, source.name, place, settings)


def _entries(value: Any, file: str, place: str, settings: Settings, exchange: str | None = None) -> Iterator[Item]:
    """The items of a JSON value: an entry, a list of entries, or an envelope that has lists of them."""
    if isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from _entries(each, file, f"{place} item {number}", settings, exchange)
    elif isinstance(value, dict) and _is_envelope(value):
        named = value.get("exchange")
        for name, entries in value.items():
            if isinstance(entries, list) and not name.startswith(_RAW):
                yield from _entries(
                    entries, file, f"{place} {name}", settings, named if isinstance(named, str) else None
                )
    else:
        origin = Origin(file, place)
        try:
            if not isinstance(value, dict):
                raise _Odd("not an object")
            yield from _items(value, origin, settings, settings.source or exchange)
        except (_Odd, Refused) as error:
            yield Quarantined(origin, error.what if isinstance(error, Refused) else str(error), _shortened(value))


def _is_envelope(value: Mapping[str, Any]) -> bool:
    return "amount" not in value and any(
        isinstance(each, list) and not name.startswith(_RAW) for name, each in value.items()
    )


def _items(entry: Mapping[str, Any], origin: Origin, settings: Settings, exchange: str | None) -> Iterable[Item]:
    if entry.get("filled") is not None or entry.get("remaining") is not None:
        raise _Odd("an order, not a trade: import what fetchMyTrades gives")
    if entry.get("symbol") and entry.get("side") is not None:
        return _trade(entry, origin, settings)
    if "fromAccount" in entry or "toAccount" in entry:
        return [PassedOver(origin, "a transfer between accounts of one's own")]
    if entry.get("type") in ("deposit", "withdrawal"):
        return _movement(entry, origin, settings, exchange)
    if "direction" in entry:
        return _ledger_entry(entry, origin, settings)
    if entry.get("symbol") and (entry.get("code") or entry.get("currency")) and "amount" in entry:
        return _funding(entry, origin, settings)
    raise _Odd("no trade, deposit, withdrawal or ledger entry of ccxt's unified form")


# Trades


def _trade(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    symbol = _text(entry, "symbol")
    fees = _fees(entry)
    at = _time(entry)
    row_id = _id(entry, settings, symbol)
    if ":" in symbol or entry.get("contractSize") is not None:
        yield Contract(origin, symbol)
        facts = _contract_facts(entry, symbol, fees, settings)
        if facts:
            yield Row(origin, at, row_id, tuple(facts))
        return
    base, slash, quote = symbol.partition("/")
    if not (slash and base and quote) or "/" in quote:
        raise _Odd(f"the symbol {symbol} is no pair")
    given: dict[str, Any] = {
        "side": entry["side"],
        "base_asset": settings.named(base),
        "base_amount": _positive(entry, "amount"),
        "quote_asset": settings.named(quote),
        "quote_amount": _cost(entry),
    }
    order = _optional_text(entry, "order")
    if order is not None:
        given["order_id"] = order
    if entry.get("takerOrMaker") is not None:
        given["liquidity"] = entry["takerOrMaker"]
    own, others, note = _divided(fees, quote)
    if own is not None:
        given |= {"fee_asset": settings.named(str(own.asset)), "fee_amount": own.amount}
    if note is not None:
        given["source_note"] = note
    facts = [Fill.model_validate(given), *(_fee_adjustment(fee, order, settings) for fee in others)]
    yield Row(origin, at, row_id, tuple(facts))


def _cost(entry: Mapping[str, Any]) -> Decimal:
    """What was paid or received, without the fee."""
    amount, price, cost = _positive(entry, "amount"), _number(entry, "price"), _number(entry, "cost")
    computed = None if price is None else _product(amount, price)
    if cost is None or cost.is_zero():
        if computed is None or computed.is_zero():
            raise _Odd("neither a cost nor a price says what was paid")
        return computed
    cost = cost.copy_abs()
    if computed is not None and price is not None and not computed.is_zero():
        # A price may be rounded in its last place.
        last_place = _product(amount, Decimal((0, (1,), min(int(price.as_tuple().exponent), 0))))
        off = subtract(cost, computed).copy_abs()
        if off > max(value(cost, _DIFFERS_BY), last_place):
            raise _Odd(
                f"the cost {amount_text(cost)} is not price × amount, {amount_text(computed)}: is it a contract?"
            )
    return cost


def _product(one: Decimal, other: Decimal) -> Decimal:
    """The exact product where it fits 36 decimals; else rounded to 18."""
    exact = _WIDE.multiply(one, other)
    return exact if int(exact.as_tuple().exponent) >= -DIGITS_AFTER_POINT else value(one, other)


def _divided(fees: Sequence[_Fee] | None, quote: str) -> tuple[_Fee | None, Sequence[_Fee], str | None]:
    """The fill's own fee, None for an unknown one; further fees; and a note about fees without an asset."""
    if fees is None:
        return None, (), None
    named: dict[str, Decimal] = {}
    for fee in fees:
        if fee.asset is not None:
            named[fee.asset] = add(named.get(fee.asset, Decimal(0)), fee.amount)
    nameless = [fee.amount for fee in fees if fee.asset is None and not fee.amount.is_zero()]
    if nameless:
        note = f"a fee of {amount_text(total(nameless))} whose asset the file does not name"
        return None, [_Fee(asset, amount) for asset, amount in named.items()], note
    if not named:
        return _Fee(quote, Decimal(0)), (), None
    first, *others = (_Fee(asset, amount) for asset, amount in named.items())
    return first, others, None


def _fee_adjustment(fee: _Fee, order: str | None, settings: Settings) -> Fact:
    given: dict[str, Any] = {
        "asset": settings.named(str(fee.asset)), "amount": negate(fee.amount), "reason": "fee",
        "source_note": "a further fee" + (f" of order {order}" if order else ""),
    }  # fmt: skip
    return Adjustment.model_validate(given)


def _fees(entry: Mapping[str, Any]) -> list[_Fee] | None:
    """The fees of an entry; None when none was reported. `fees` where it names a cost, else `fee`."""
    for name in ("fees", "fee"):
        found = _fees_in(entry.get(name))
        if found:
            return [fee for fee in found if not fee.amount.is_zero()] or [found[0]]
    return None


def _fees_in(given: Any) -> list[_Fee]:
    if isinstance(given, str):
        given = _unquoted(given)
    if isinstance(given, list):
        return [fee for each in given for fee in _fees_in(each)]
    if isinstance(given, dict):
        cost = _number(given, "cost")
        return [] if cost is None else [_Fee(_optional_text(given, "currency"), cost)]
    if isinstance(given, int | Decimal) and not isinstance(given, bool):
        return [_Fee(None, Decimal(given))]
    if given is None:
        return []
    raise _Odd("the fee is neither an object, a list, null nor a text")


def _unquoted(text: str) -> Any:
    """A fee that is a text: JSON, as some programs store it, or a number."""
    if not text.strip():
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        raise _Odd(f"the fee {text[:40]!r} is not understood") from None


def _contract_facts(
    entry: Mapping[str, Any], symbol: str, fees: Sequence[_Fee] | None, settings: Settings
) -> list[Fact]:
    """What a trade of a contract cost and earned."""
    facts = [
        _adjusted(str(fee.asset), negate(fee.amount), "fee", symbol, settings)
        for fee in fees or ()
        if fee.asset is not None and not fee.amount.is_zero()
    ]
    settle = symbol.partition(":")[2].partition("-")[0]
    info = entry.get("info")
    realised = None
    if settle and isinstance(info, dict):
        realised = next((found for name in _REALISED if (found := _number(info, name)) is not None), None)
    if realised is not None and not realised.is_zero():
        facts.append(_adjusted(settle, realised, "realised", symbol, settings))
    return facts


_REALISED = ("realizedPnl", "closedPnl", "fillPnl", "realized_pnl", "realisedPnl")


def _adjusted(asset: str, amount: Decimal, reason: str, note: str, settings: Settings) -> Fact:
    given: dict[str, Any] = {"asset": settings.named(asset), "amount": amount, "reason": reason, "source_note": note}
    return Adjustment.model_validate(given)


def _funding(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    symbol = _text(entry, "symbol")
    asset = _optional_text(entry, "code") or _text(entry, "currency")
    amount = _required(entry, "amount")
    yield Contract(origin, symbol)
    if not amount.is_zero():
        fact = _adjusted(asset, amount, "funding", symbol, settings)
        yield Row(origin, _time(entry), _id(entry, settings, "funding", symbol), (fact,))


# Deposits, withdrawals and ledger entries


def _movement(entry: Mapping[str, Any], origin: Origin, settings: Settings, exchange: str | None) -> Iterator[Item]:
    status = entry.get("status")
    if isinstance(status, str) and status.lower() in _NOT_DONE:
        yield PassedOver(origin, status.lower())
        return
    kind, asset = str(entry["type"]), _text(entry, "currency")
    amount = _positive(entry, "amount")
    fees = [fee for fee in _fees(entry) or () if not fee.amount.is_zero()]
    if kind == "withdrawal" and exchange in FEE_WITHIN:
        within = total(fee.amount for fee in fees if fee.asset in (None, asset))
        amount = subtract(amount, within)
    movement = Movement(
        "in" if kind == "deposit" else "out",
        settings.named(asset),
        amount,
        tx_hash=_optional_text(entry, "txid"),
        reference=_optional_text(entry, "id"),
        source_note=_optional_text(entry, "comment"),
    )
    note = f"of the {kind}"
    others = [_adjusted(fee.asset or asset, negate(fee.amount), "fee", note, settings) for fee in fees]
    yield Row(origin, _time(entry), _id(entry, settings, kind), (movement, *others))


def _ledger_entry(entry: Mapping[str, Any], origin: Origin, settings: Settings) -> Iterator[Item]:
    kind, status = _optional_text(entry, "type") or "", entry.get("status")
    if isinstance(status, str) and status.lower() in _NOT_DONE:
        yield PassedOver(origin, status.lower())
        return
    if kind == "trade" or (kind == "fee" and entry.get("referenceId") is not None):
        yield PassedOver(origin, "a ledger entry of a trade, which fetchMyTrades gives")
        return
    if kind == "transaction":
        yield PassedOver(
            origin, "a ledger entry of a deposit or withdrawal, which fetchDeposits and fetchWithdrawals give"
        )
        return
    if kind == "transfer":
        yield PassedOver(origin, "a transfer between accounts of one's own")
        return
    reason = _REWARDS.get(kind) or {"fee": "fee", "margin": "funding", "funding": "funding"}.get(kind)
    if reason is None:
        raise _Odd(f"a ledger entry of the type {kind!r} is not understood")
    amount = _required(entry, "amount").copy_abs()
    direction = entry.get("direction")
    if direction not in ("in", "out"):
        raise _Odd(f"the direction {direction!r} is neither in nor out")
    if amount.is_zero():
        yield PassedOver(origin, "an amount of 0")
        return
    signed = amount if direction == "in" else negate(amount)
    fact = _adjusted(_text(entry, "currency"), signed, reason, f"ledger entry: {kind}", settings)
    yield Row(origin, _time(entry), _id(entry, settings, "ledger"), (fact,))


# Fields


def _id(entry: Mapping[str, Any], settings: Settings, *parts: str) -> str | None:
    found = _optional_text(entry, "id")
    if found is None:
        return None
    return ":".join([*([settings.source] if settings.source else []), *parts, found])


def _time(entry: Mapping[str, Any]) -> datetime:
    stamp = entry.get("timestamp")
    if isinstance(stamp, int | Decimal) and not isinstance(stamp, bool):
        try:
            return _EPOCH + timedelta(microseconds=int(Decimal(stamp) * 1000))
        except (OverflowError, ValueError):
            raise _Odd(f"the timestamp {stamp} is off the calendar") from None
    if isinstance(entry.get("datetime"), str):
        return parse_time(entry["datetime"])
    raise _Odd("it has no time")


def _text(entry: Mapping[str, Any], name: str) -> str:
    found = _optional_text(entry, name)
    if found is None:
        raise _Odd(f"it has no {name}")
    return found


def _optional_text(entry: Mapping[str, Any], name: str) -> str | None:
    found = entry.get(name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if found is not None and not isinstance(found, str):
        raise _Odd(f"its {name} is no text")
    return found or None


def _number(entry: Mapping[str, Any], name: str) -> Decimal | None:
    """A number, or a text that is one; None where there is none."""
    found = entry.get(name)
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, int | Decimal | str):
        raise _Odd(f"its {name} is no number")
    if isinstance(found, str) and not _NUMBER.fullmatch(found):
        raise _Odd(f"its {name}, {found[:40]!r}, is no number")
    number = Decimal(found)
    if not number.is_zero() and not -_DIGITS < number.adjusted() < _DIGITS:
        raise _Odd(f"its {name} is out of range")
    return number


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_DIGITS = 60


def _required(entry: Mapping[str, Any], name: str) -> Decimal:
    found = _number(entry, name)
    if found is None:
        raise _Odd(f"it has no {name}")
    return found


def _positive(entry: Mapping[str, Any], name: str) -> Decimal:
    found = _required(entry, name).copy_abs()
    if found.is_zero():
        raise _Odd(f"its {name} is 0")
    return found


def _shortened(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=True)[:_SHOWN]


KIND = Kind(
    name=NAME,
    help="ccxt: unified trades, deposits, withdrawals and ledger entries as JSON; also as a stream with --batch",
    recognises=_recognises,
    read=_read,
)
