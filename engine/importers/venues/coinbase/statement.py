"""Coinbase's own export of an account's transactions, old and new."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from engine.importers.items import Fact, Item, Movement, PassedOver, Row, Settings
from engine.importers.venues.reading import (
    Line,
    Odd,
    adjustment,
    exchange,
    fill,
    number,
    product,
    rescued,
    time,
    utc_times,
)
from ledger.amounts import ZERO, add, amount_text, negate, subtract
from ledger.errors import shown

STATEMENT = frozenset({"Timestamp", "Transaction Type", "Asset", "Quantity Transacted"})
OPTIONAL = frozenset({"Notes"})
_TIMES = utc_times()
_BUYS = frozenset({"buy", "advanced trade buy", "advance trade buy", "advanced trade fill buy"})
_SELLS = frozenset({"sell", "advanced trade sell", "advance trade sell", "advanced trade fill sell"})
_REWARDS = (
    "staking income", "rewards income", "learning reward", "coinbase earn", "inflation reward", "reward", "incentive",
    "interest", "airdrop", "bonus", "rebate", "cash back",
)  # fmt: skip
# Into the account > 0 and out of it < 0 in newer exports; older ones have no signs, so the type says it.
_IN = frozenset({"receive", "deposit", "pro withdrawal", "exchange withdrawal", "coinbase pro withdrawal", "incoming"})
_OUT = frozenset(
    {"send", "withdrawal", "pro deposit", "exchange deposit", "coinbase pro deposit", "payment", "card spend"}
)
_OWN_WALLETS = ("retail staking transfer", "retail unstaking transfer", "vault transfer")
_SWAPS = ("retail eth2 deprecation", "asset migration", "wrap asset", "unwrap asset", "token migration")
_CONVERTED = re.compile(r"Converted ([0-9.,]+) (\S+) to ([0-9.,]+) (\S+)", re.ASCII)
# `on BTC-USDC at 60000 USDC/BTC` is only there for trades on the exchange.
_TRADED = re.compile(
    r"(?:Bought|Sold) ([0-9.,]+) (\S+) for [^0-9\s]{0,4}([0-9.,]+) ([A-Z0-9]+)"
    r"(?: on [A-Z0-9]+-([A-Z0-9]+))?(?: at ([0-9.,]+) \S+)?.*",
    re.ASCII,
)
# The oldest exports have the currency in the names of columns.
_OLD_PRICE = re.compile(r"([A-Z]{3}) Spot Price at Transaction", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?", re.ASCII)
_MONEY = re.compile(r"([+-]?)([^0-9+\-.,]{0,4})([+-]?)([0-9][0-9,]*(?:\.[0-9]*)?(?:[eE]-?[0-9]{1,3})?)(?:\s*[A-Z]{3})?")


def statement(lines: Iterable[Any], settings: Settings) -> Iterator[Item]:
    """The items of a statement. Two rows of one time and equal amount, of ETH2 and ETH, are one conversion."""
    waiting: Line | None = None
    for line in lines:
        if not isinstance(line, Line):
            yield line
            continue
        line = _with_currency(line)
        if waiting is not None and _is_swap(waiting, line):
            yield from rescued(line.origin, f"{waiting.text} / {line.text}", partial(_swap, (waiting, line), settings))
            waiting = None
            continue
        if waiting is not None:
            yield from rescued(waiting.origin, waiting.text, partial(_single, waiting, settings))
        waiting = line
    if waiting is not None:
        yield from rescued(waiting.origin, waiting.text, partial(_single, waiting, settings))


def _with_currency(line: Line) -> Line:
    """The row with the columns of the newer exports."""
    currency = next((found[1] for name in line.cells if (found := _OLD_PRICE.fullmatch(name))), None)
    if currency is None:
        return line
    cells = {name.removeprefix(f"{currency} "): cell for name, cell in line.cells.items()}
    return replace(line, cells={**cells, "Price Currency": currency})


def _kind(line: Line) -> str:
    return line.get("Transaction Type").lower()


def _is_swap(one: Line, other: Line) -> bool:
    """Whether an asset became another, or moved between wallets of one's own: two rows, of one time and equal amount."""
    assets = {one.get("Asset"), other.get("Asset")}
    swaps = (*_SWAPS, *_OWN_WALLETS)
    is_kind = (_kind(one) == _kind(other) and _kind(one).startswith(swaps)) or (
        {_kind(one), _kind(other)} == {"send", "receive"} and assets == {"ETH", "ETH2"}
    )
    if not is_kind or one.get("Timestamp") != other.get("Timestamp"):
        return False
    try:
        return _signed(one) == negate(_signed(other))
    except Odd:
        return False


def _signed(line: Line) -> Decimal:
    """The quantity with its sign: older exports have none, and the type says it."""
    quantity = number(line.required("Quantity Transacted"), "the quantity")
    if _kind(line) in _OUT and quantity > 0:
        return negate(quantity)
    return quantity


def _swap(pair: Sequence[Line], settings: Settings) -> Iterable[Item]:
    if pair[0].get("Asset") == pair[1].get("Asset"):
        return [PassedOver(line.origin, "between wallets of one's own") for line in pair]
    first = pair[0]
    # The earlier name of the two ids does, whichever way the file runs.
    group = min((line.get("ID") for line in pair), default="") or f"coinbase {first.required('Timestamp')}"
    return [
        Row(
            line.origin,
            _time(line),
            line.get("ID") or None,
            (
                adjustment(
                    settings.named(line.required("Asset")),
                    _signed(line),
                    "conversion",
                    group=group,
                    note=line.get("Notes"),
                ),
            ),
        )
        for line in pair
    ]


def _single(line: Line, settings: Settings) -> Iterable[Item]:
    kind = _kind(line)
    if kind in _BUYS or kind in _SELLS:
        return [_trade(line, settings)]
    if kind == "convert":
        return [_convert(line, settings)]
    if kind.startswith(("perp", "futures", "fcm", "intx")) or "futures" in kind:
        raise Odd(
            f"{shown(line.get('Transaction Type')[:60])} is of a position in futures, which this export does not describe"
        )
    quantity = _signed(line)
    if not quantity:
        return [PassedOver(line.origin, "an amount of 0")]
    asset = settings.named(line.required("Asset"))
    note = line.get("Notes") or line.get("Transaction Type")
    fact: Fact
    if any(words in kind for words in _REWARDS):
        fact = adjustment(asset, quantity, "reward", note=note)
    elif kind.startswith((*_SWAPS, *_OWN_WALLETS)):
        fact = adjustment(
            asset, quantity, "conversion", group=line.get("ID") or f"coinbase {line.get('Timestamp')}", note=note
        )
    elif kind in ("fee", "subscription", "coinbase one", "coinbase one fee"):
        fact = adjustment(asset, negate(quantity.copy_abs()), "fee", note=note)
    elif kind in _IN or kind in _OUT:
        direction: Any = "in" if quantity > 0 else "out"
        fact = Movement(direction, asset, quantity.copy_abs(), reference=line.get("ID") or None, source_note=note)
    else:
        raise Odd(f"the transaction type {shown(line.get('Transaction Type')[:60])} is not understood")
    return [Row(line.origin, _time(line), line.get("ID") or None, (fact,))]


def _trade(line: Line, settings: Settings) -> Item:
    """A purchase or a sale: the subtotal is what was exchanged, the fee comes on top, in the money it was priced in."""
    quote = line.required("Price Currency", "Spot Price Currency")
    subtotal = _money(line.get("Subtotal"), "the subtotal")
    total = _money(
        line.get("Total (inclusive of fees and/or spread)", "Total (inclusive of fees)", "Total"), "the total"
    )
    fee = _money(line.get("Fees and/or Spread", "Fees"), "the fee")
    is_buy = _kind(line) in _BUYS
    if subtotal is None and total is not None:
        subtotal = subtract(total.copy_abs(), fee or ZERO) if is_buy else add(total.copy_abs(), fee or ZERO)
    if subtotal is None:
        raise Odd("neither a subtotal nor a total says what was paid")
    subtotal = subtotal.copy_abs()
    if total is not None and fee is not None:
        expected = add(subtotal, fee) if is_buy else subtract(subtotal, fee)
        # Sums are rounded to hundredths, each by itself.
        if subtract(total.copy_abs(), expected).copy_abs() > Decimal("0.03"):
            raise Odd(f"the total {amount_text(total)} is not the subtotal and the fee, {amount_text(expected)}")
    asset, size = line.required("Asset"), _signed(line).copy_abs()
    exchanged = _in_notes(line, asset, size, quote, is_buy=is_buy) or (quote, subtotal, fee)
    paid_in, paid, charged = exchanged
    one = fill(
        side="buy" if is_buy else "sell", base_asset=settings.named(asset), base_amount=size,
        quote_asset=settings.named(paid_in), quote_amount=paid, fee_amount=charged,
        fee_asset=None if charged is None else settings.named(paid_in), source_note=line.get("Notes") or None,
    )  # fmt: skip
    return Row(line.origin, _time(line), line.get("ID") or None, (one,))


def _in_notes(
    line: Line, asset: str, size: Decimal, money: str, *, is_buy: bool
) -> tuple[str, Decimal, Decimal | None] | None:
    """What was paid or received, as the notes say: its asset, the amount without the fee, the fee (None: unknown).

    The columns value everything in the account's own currency, `money`; the notes name what a trade was really against,
    such as USDC. None where that is `money`, or they do not say. Raises Odd.
    """
    found = _TRADED.fullmatch(line.get("Notes"))
    if found is None or found[2] != asset:
        return None
    quote = found[5] or found[4]
    if quote == money:
        return None
    whole = _plain(found[3]) if found[4] == quote else None  # the fee included
    paid = None if found[6] is None else product(size, _plain(found[6]))
    if whole is None and paid is None:
        raise Odd(f"the notes do not say how much {quote} it was")
    if whole is None or paid is None:
        return quote, paid or whole or ZERO, None
    fee = subtract(whole, paid) if is_buy else subtract(paid, whole)
    if fee < 0 or fee > product(whole, Decimal("0.1")):  # the price is rounded
        return quote, whole, None
    return quote, paid, fee


def _convert(line: Line, settings: Settings) -> Item:
    """A conversion: the notes have what it became. Its spread is in the amounts."""
    found = _CONVERTED.match(line.get("Notes"))
    if found is None:
        raise Odd("the notes do not say what it was converted to")
    went = settings.named(found[2]), _plain(found[1])
    came = settings.named(found[4]), _plain(found[3])
    quantity = _signed(line).copy_abs()
    if found[2] == line.get("Asset") and quantity != went[1]:
        raise Odd(f"the quantity {amount_text(quantity)} is not what the notes say, {amount_text(went[1])}")
    one = fill(**exchange(came, went, settings.numeraire), source_note=line.get("Notes"))
    return Row(line.origin, _time(line), line.get("ID") or None, (one,))


def _plain(text: str) -> Decimal:
    return number(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)


def _money(text: str, what: str) -> Decimal | None:
    """An amount of money with its sign and its symbol, such as -€597.49; None for none. Raises Odd."""
    if not text:
        return None
    found = _MONEY.fullmatch(text)
    if found is None:
        raise Odd(f"{what}, {shown(text[:40])}, is not understood")
    amount = _plain(found[4])
    return negate(amount) if "-" in (found[1], found[3]) else amount


def _time(line: Line):  # type: ignore[no-untyped-def]
    return time(line.required("Timestamp"), _TIMES)
