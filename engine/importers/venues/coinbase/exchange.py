"""Coinbase Pro (Exchange, Advanced): the fills, and the account statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

FILLS = frozenset({"product", "side", "created at", "size", "price", "fee", "total"})
ACCOUNT = frozenset({"type", "time", "amount", "balance", "amount/balance unit"})
_TIMES = utc_times()


def fill_of(line: Line, settings: Settings) -> Iterable[Item]:
    """The items of a row of the fills. Raises Odd, Refused.

    `total` is what the quote balance changed by, the fee included.
    """
    pair = line.required("product")
    base, dash, quote = pair.partition("-")
    if not (dash and base and quote) or "-" in quote:
        raise Odd(f"the product {shown(pair[:40])} is no pair of assets")
    side = line.required("side").lower()
    size, fee = number(line.required("size"), "the size"), number(line.required("fee"), "the fee")
    unit = line.get("size unit")
    if unit and unit != base:
        raise Odd(f"the size is in {shown(unit[:40])}, not in {base}")
    changed = number(line.required("total"), "the total")
    paid = add(changed, fee) if side == "sell" else subtract(negate(changed), fee)
    priced = product(size, number(line.required("price"), "the price"))
    if subtract(paid, priced).copy_abs() > product(priced, Decimal("0.01")):
        raise Odd(f"the total without the fee, {amount_text(paid)}, is not size × price, {amount_text(priced)}")
    trade = line.get("trade id")
    one = fill(
        side=side, base_asset=settings.named(base), base_amount=size, quote_asset=settings.named(quote), quote_amount=paid,
        fee_asset=settings.named(line.get("price/fee/total unit") or quote), fee_amount=fee,
    )  # fmt: skip
    row_id = f"{pair}:{trade}" if trade else None
    return [Row(line.origin, time(line.required("created at"), _TIMES), row_id, (one,))]


def account(lines: Iterable[Any], settings: Settings) -> Iterator[Item]:
    """The items of an account statement; the rows of one trade, or of one conversion, follow each other."""
    group: list[Line] = []
    shared = ("", "")
    for line in lines:
        if not isinstance(line, Line):
            yield line
            continue
        current = _shared(line)
        if group and (current != shared or not current[1]):
            yield from _grouped(group, settings)
            group = []
        shared = current
        group.append(line)
    if group:
        yield from _grouped(group, settings)


def _shared(line: Line) -> tuple[str, str]:
    """What rows that belong together have in common; "" for a row by itself."""
    kind = line.get("type").lower()
    if kind in ("match", "fee", "rebate"):
        return "trade", line.get("trade id")
    return (kind, line.get("transfer id") or line.get("time")) if kind == "conversion" else (kind, "")


def _grouped(group: Sequence[Line], settings: Settings) -> Iterator[Item]:
    text = " / ".join(line.text for line in group)
    kind = group[0].get("type").lower()
    read = _trade if kind in ("match", "fee", "rebate") else _conversion if kind == "conversion" else _single
    yield from rescued(group[0].origin, text, partial(read, group, settings))


def _amounts(group: Sequence[Line], settings: Settings, *kinds: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in group:
        if line.get("type").lower() in kinds:
            asset = settings.named(line.required("amount/balance unit"))
            found[asset] = add(found.get(asset, ZERO), number(line.required("amount")))
    return {asset: amount for asset, amount in found.items() if amount}


def _trade(group: Sequence[Line], settings: Settings) -> Iterable[Item]:
    legs, fees = _amounts(group, settings, "match"), _amounts(group, settings, "fee", "rebate")
    came = [(asset, amount) for asset, amount in legs.items() if amount > 0]
    went = [(asset, negate(amount)) for asset, amount in legs.items() if amount < 0]
    first = group[0]
    at, trade = time(first.required("time"), _TIMES), first.get("trade id")
    if not legs and fees:
        facts = [adjustment(asset, amount, "fee" if amount < 0 else "rebate") for asset, amount in fees.items()]
        return [Row(first.origin, at, None, tuple(facts))]
    if len(came) != 1 or len(went) != 1:
        raise Odd("of this trade not exactly two sides are in the file")
    given = exchange(came[0], went[0], settings.numeraire)
    own = list(fees.items())[:1] or [(given["quote_asset"], ZERO)]
    one = fill(**given, fee_asset=own[0][0], fee_amount=negate(own[0][1]), order_id=first.get("order id") or None)
    others: list[Fact] = [adjustment(asset, amount, "fee") for asset, amount in list(fees.items())[1:]]
    pair = f"{given['base_asset']}-{given['quote_asset']}"
    return [Row(first.origin, at, f"{pair}:{trade}" if trade else None, (one, *others))]


def _conversion(group: Sequence[Line], settings: Settings) -> Iterable[Item]:
    amounts, first = _amounts(group, settings, "conversion"), group[0]
    reference = first.get("transfer id") or first.required("time")
    facts = [adjustment(asset, amount, "conversion", group=reference) for asset, amount in amounts.items()]
    if not facts:
        return [PassedOver(first.origin, "an amount of 0")]
    return [Row(first.origin, time(first.required("time"), _TIMES), first.get("transfer id") or None, tuple(facts))]


def _single(group: Sequence[Line], settings: Settings) -> Iterable[Item]:
    line = group[0]
    kind, amount = line.required("type").lower(), number(line.required("amount"))
    asset, transfer = settings.named(line.required("amount/balance unit")), line.get("transfer id") or None
    if kind not in ("deposit", "withdrawal"):
        raise Odd(f"the type {shown(kind[:40])} is not understood")
    if not amount:
        return [PassedOver(line.origin, "an amount of 0")]
    is_in = amount > 0
    note = None if is_in == (kind == "deposit") else f"{kind} that was turned back"
    movement = Movement("in" if is_in else "out", asset, amount.copy_abs(), reference=transfer, source_note=note)
    row_id = f"{kind}:{transfer}:{line.get('time')}" if transfer else None
    return [Row(line.origin, time(line.required("time"), _TIMES), row_id, (movement,))]
