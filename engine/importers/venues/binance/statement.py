"""Binance's account statement: one asset's change a row, without ids; the rows of one second belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from engine.importers.items import Contract, Fact, Item, Movement, PassedOver, Row, Settings
from engine.importers.venues.binance.trades import time_of
from engine.importers.venues.reading import Line, Odd, adjustment, exchange, fill, number, paired, rescued
from ledger.amounts import ZERO, add, negate
from ledger.errors import shown
from ledger.times import time_text

STATEMENT = frozenset({"Account", "Operation", "Coin", "Change"})
OPTIONAL = frozenset({"Remark"})

_BUYS = frozenset({"buy", "transaction buy", "transaction spend"})
_SELLS = frozenset({"sell", "transaction sold", "transaction revenue"})
_RELATED = frozenset(
    {
        "transaction related", "large otc trading", "binance convert", "auto-conversion", "convert",
        "auto-invest transaction", "stablecoins auto-conversion", "convert fiat to crypto ocbs", "fiat exchange",
    }
)  # fmt: skip
_DUST = frozenset({"small assets exchange bnb", "small assets exchange bnb (spot)", "small assets exchange"})
_FEES = frozenset({"fee", "transaction fee", "transaction fees", "trade fee"})
_EXACT = {
    "deposit": "movement", "withdraw": "movement", "fiat deposit": "movement", "fiat withdraw": "movement",
    "fiat withdrawal": "movement", "withdrawal": "movement", "send": "movement", "receive": "movement", "pay": "movement",
    "buy crypto": "movement", "buy crypto with fiat": "movement", "buy crypto with card": "movement",
    "merchant acquiring": "movement", "p2p trading": "movement", "crypto box": "movement", "binance pay": "movement",
    "fiat ocbs - add fiat and fees": "movement", "asset recovery": "conversion", "asset - transfer": "transfer",
    "distribution": "reward", "transfer_in": "transfer", "transfer_out": "transfer", "sub-account transfer": "transfer",
    "main and funding account transfer": "transfer", "card cashback": "reward", "realize profit and loss": "realised",
    "realized profit and loss": "realised", "realized pnl": "realised", "funding fee": "funding",
    "insurance fund": "realised",
    "futures fee": "fee", "bnb fee deduction": "fee", "isolated margin interest": "funding", "margin interest": "funding",
    "cross margin liquidation": "realised", "cross margin liquidation - small assets takeover": "realised",
    "bnb deducts fee": "fee", "binance card spending": "movement", "card spend": "movement",
}  # fmt: skip
# Words of an operation, the first that fits decides.
_WORDS = (
    ("transfer", "transfer"), ("referral", "rebate"), ("kickback", "rebate"), ("commission", "rebate"), ("rebate", "rebate"),
    ("token swap", "conversion"), ("redenomination", "conversion"), ("interest", "reward"), ("reward", "reward"),
    ("airdrop", "reward"), ("earnings", "reward"), ("voucher", "reward"), ("bonus", "reward"), ("cashback", "reward"),
    ("mining", "reward"), ("launchpad", "conversion"), ("redemption", "earn"), ("subscription", "earn"),
    ("purchase", "earn"),
    ("staking", "earn"), ("liquid swap", "conversion"), ("loan", "loan"), ("repayment", "loan"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _StatementRow:
    """A row of the statement.

    sort:   what its operation is: buy, sell, related, dust, fee, movement, transfer, earn, …
    asset:  its coin, as the book names it
    amount: its change, not 0
    """

    line: Line
    sort: str
    account: str
    asset: str
    amount: Decimal


def statement(lines: Iterable[Any], settings: Settings) -> Iterator[Item]:
    """The items of the rows of a statement; rows of one second that follow each other are taken together."""
    group: list[Line] = []
    moment = None
    for line in lines:
        if not isinstance(line, Line):
            yield line
            continue
        current = line.get("UTC_Time", "Time", "Date(UTC)")
        if group and current != moment:
            yield from _of_moment(group, settings)
            group = []
        moment = current
        group.append(line)
    if group:
        yield from _of_moment(group, settings)


def _of_moment(lines: Sequence[Line], settings: Settings) -> Iterator[Item]:
    found: list[_StatementRow] = []
    for line in lines:
        unread = list(rescued(line.origin, line.text, partial(_read_into, found, line, settings)))
        yield from unread
    if not found:
        return
    try:
        at = time_of(found[0].line, settings)
    except Odd as odd:
        reason = str(odd)
        for each in found:
            yield from rescued(each.line.origin, each.line.text, partial(_fail, reason))
        return
    for part in _parts(found):
        text = " / ".join(change.line.text for change in part)
        yield from rescued(part[0].line.origin, text, partial(_items, part, at))


def _fail(reason: str) -> Iterable[Item]:
    raise Odd(reason)


def _read_into(found: list[_StatementRow], line: Line, settings: Settings) -> Iterable[Item]:
    sort = _sort(line)
    amount = number(line.required("Change"), "the change")
    if not amount:
        return [PassedOver(line.origin, "an amount of 0")]
    account = line.get("Account").lower()
    found.append(_StatementRow(line, sort, account, settings.named(line.required("Coin")), amount))
    return []


def _sort(line: Line) -> str:
    operation = line.required("Operation")
    name = operation.lower()
    for names, sort in ((_BUYS, "buy"), (_SELLS, "sell"), (_RELATED, "related"), (_DUST, "dust"), (_FEES, "fee")):
        if name in names:
            return sort
    found = _EXACT.get(name) or next((sort for words, sort in _WORDS if words in name), None)
    if found is None:
        raise Odd(f"the operation {shown(operation[:60])} is not understood")
    return found


def _is_contract(change: _StatementRow) -> bool:
    return "future" in change.account or "margin" in change.account or "option" in change.account


def _parts(changes: Sequence[_StatementRow]) -> Iterator[list[_StatementRow]]:
    """The changes of one second, in parts that are one thing each."""
    trades: dict[str, list[_StatementRow]] = {}
    others: dict[str, list[_StatementRow]] = {}
    for change in changes:
        contract = _is_contract(change)
        if change.sort in ("buy", "sell", "related", "fee") and not contract:
            trades.setdefault(change.account, []).append(change)
        elif change.sort in ("transfer", "conversion", "earn"):
            others.setdefault(change.sort, []).append(change)
        elif change.sort == "dust":
            others.setdefault(f"dust {change.line.get('Remark')}", []).append(change)
        else:
            yield [change]
    for of_account in trades.values():
        yield from _trades(of_account)
    yield from others.values()


def _trades(changes: Sequence[_StatementRow]) -> Iterator[list[_StatementRow]]:
    """What was bought and what was sold in one second, apart; a fee belongs to the only trade there is."""
    sorts = {change.sort for change in changes} & {"buy", "sell", "related"}
    if len(sorts) <= 1 or sorts == {"buy", "related"} or sorts == {"sell", "related"}:
        yield list(changes)
        return
    related = [change for change in changes if change.sort == "related"]
    yield [change for change in changes if change.sort == "buy"] + related
    yield [change for change in changes if change.sort == "sell"]
    yield from ([change] for change in changes if change.sort == "fee")


def _items(part: Sequence[_StatementRow], at: datetime) -> Iterable[Item]:
    first = part[0]
    if _is_contract(first) and first.sort in ("buy", "sell", "related", "fee", "realised", "funding", "loan"):
        return _contract(first, at)
    match first.sort:
        case "buy" | "sell" | "related" | "dust" | "fee":
            return _traded(part, at)
        case "movement":
            return [_row(part, at, [_movement(first)])]
        case "transfer":
            return _transferred(part, at)
        case "conversion" | "earn":
            return _converted(part, at)
        case "loan":
            raise Odd("a loan is not booked: it is no capital, and what is owed is not in the statement")
        case sort:
            return [_row(part, at, [_adjusted(first, sort)])]


def _traded(part: Sequence[_StatementRow], at: datetime) -> Iterable[Item]:
    fees = _sums(change for change in part if change.sort == "fee")
    legs = _sums(change for change in part if change.sort != "fee")
    came = [(asset, amount) for asset, amount in legs.items() if amount > 0]
    went = [(asset, negate(amount)) for asset, amount in legs.items() if amount < 0]
    if not legs:
        return [_row(part, at, [adjustment(asset, amount, "fee") for asset, amount in fees.items()])]
    if not came or not went:
        raise Odd("of this trade only one side is in the file")
    if len(came) > 1 or len(went) > 1:
        charged: list[Fact] = [adjustment(asset, amount, "fee") for asset, amount in fees.items()]
        return _converted([change for change in part if change.sort != "fee"], at, charged)
    sorts = {change.sort for change in part}
    if sorts & {"buy", "sell"}:  # what was bought or sold is the base asset
        given = paired(came[0], went[0], came[0][0] if "sell" in sorts else went[0][0])
    else:
        given = exchange(came[0], went[0], "")
    by_quote = sorted(fees.items(), key=lambda fee: (fee[0] != given["quote_asset"], fee[0]))
    own, others = by_quote[:1], by_quote[1:]
    if own:
        given |= {"fee_asset": own[0][0], "fee_amount": negate(own[0][1])}
    facts: list[Fact] = [fill(**given), *(adjustment(asset, amount, "fee") for asset, amount in others)]
    return [_row(part, at, facts)]


def _transferred(part: Sequence[_StatementRow], at: datetime) -> Iterable[Item]:
    """Between accounts of one's own; where the other account is not in the statement, it came or went."""
    open_assets = _sums(part)
    items: list[Item] = []
    for change in part:
        if change.asset in open_assets:
            items.append(_row([change], at, [_movement(change)]))
        else:
            items.append(PassedOver(change.line.origin, "between accounts of one's own"))
    return items


def _converted(part: Sequence[_StatementRow], at: datetime, others: Sequence[Fact] = ()) -> Iterable[Item]:
    """Some assets became others. What is locked away, or comes back, has no other side in the statement.

    `others`: what belongs to it and is no part of the exchange, such as fees.
    """
    sums = _sums(part)
    if not sums:
        return [PassedOver(change.line.origin, "between accounts of one's own") for change in part]
    is_pair = {amount > 0 for amount in sums.values()} == {True, False}
    group = f"binance {time_text(at)}"
    if not is_pair and part[0].sort == "earn":
        return [_row([change], at, [_adjusted(change, "locked")]) for change in part]
    note = part[0].line.get("Operation")
    facts = [adjustment(asset, amount, "conversion", group=group, note=note) for asset, amount in sums.items()]
    return [_row(part, at, [*facts, *others])]


def _contract(change: _StatementRow, at: datetime) -> Iterable[Item]:
    symbol = f"{change.line.get('Account')}: {change.line.get('Remark') or change.asset}"
    yield Contract(change.line.origin, symbol)
    if change.sort in ("fee", "realised", "funding"):
        yield _row([change], at, [_adjusted(change, change.sort)])


def _adjusted(change: _StatementRow, reason: str) -> Fact:
    return adjustment(change.asset, change.amount, reason, note=change.line.get("Operation"))


def _movement(change: _StatementRow) -> Movement:
    operation, remark = change.line.get("Operation"), change.line.get("Remark")
    is_turned = operation.lower() in ("withdraw", "withdrawal") and change.amount > 0
    note = ": ".join(part for part in (operation, remark, "turned back" if is_turned else "") if part)
    return Movement(
        "in" if change.amount > 0 else "out", change.asset, change.amount.copy_abs(), source_note=note or None
    )


def _row(part: Sequence[_StatementRow], at: datetime, facts: Sequence[Fact]) -> Item:
    return Row(part[0].line.origin, at, None, tuple(facts))


def _sums(changes: Iterable[_StatementRow]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for change in changes:
        found[change.asset] = add(found.get(change.asset, ZERO), change.amount)
    return {asset: amount for asset, amount in sorted(found.items()) if amount}
