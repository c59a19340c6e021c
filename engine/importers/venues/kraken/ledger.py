"""Kraken's ledger: each row is one asset's change; the rows of one reference are one trade, conversion or withdrawal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial

from engine.importers.items import Contract, Fact, Item, Movement, PassedOver, Row, Settings
from engine.importers.venues.kraken.names import asset_name
from engine.importers.venues.kraken.trades import Trades
from engine.importers.venues.reading import (
    Line,
    Odd,
    adjustment,
    exchange,
    fill,
    number,
    number_or_none,
    rescued,
    time,
    utc_times,
)
from ledger.amounts import ZERO, add, negate
from ledger.errors import shown

_TIMES = utc_times()
# How many rows the further rows of a reference may be away: what is waited for is held in memory.
_WITHIN_ROWS = 10_000
_TRADES = frozenset({"trade", "spend", "receive", "sale", "conversion", "dustsweeping"})
_REWARDS = frozenset(
    {"staking", "dividend", "reward", "airdrop", "credit", "invite bonus", "nft_rebate", "nftrebate", "tradeincentive"}
)
_OWN_REASONS = {"adjustment": "venue_adjustment", "nfttrade": "nft", "nftcreatorfee": "nft", "creator_nft_fee": "nft"}
# Interest on a position that is kept open.
_POSITIONS = {"margin": "realised", "rollover": "funding"}
# A transfer into staking stands in the ledger as two rows, of two references.
_STAKING = {
    "spottostaking": "stakingfromspot",
    "stakingfromspot": "spottostaking",
    "stakingtospot": "spotfromstaking",
    "spotfromstaking": "stakingtospot",
}
_FUTURES = frozenset({"spottofutures", "spotfromfutures"})
_GROUPED = _TRADES | {"withdrawal", "deposit", "earn", "settled", "transfer", "custodytransfer"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger.

    line:   the row
    kind:   its type and subtype, in lower case
    asset:  its asset, as the book names it
    amount: what it changed the balance by, without the fee
    fee:    the fee, taken from the balance as well; negative: a rebate
    """

    line: Line
    kind: tuple[str, str]
    asset: str
    amount: Decimal
    fee: Decimal

    @property
    def id(self) -> str:
        """Its own id."""
        return self.line.required("txid")


@dataclass(slots=True)
class _Group:
    """The rows of one reference that have been seen."""

    entries: list[Entry] = field(default_factory=list)
    last: int = 0


class Ledger:
    """Turns rows into items, a reference's rows together."""

    def __init__(self, settings: Settings, trades: Trades) -> None:
        self._settings = settings
        self._trades = trades
        self._groups: dict[tuple[str, str], _Group] = {}
        self._count = 0

    def take(self, line: Line) -> Iterator[Item]:
        """Take the next row; yields what is complete by now."""
        self._count += 1
        yield from rescued(line.origin, line.text, lambda: self._take(line))
        while self._groups:
            oldest = next(iter(self._groups))
            if self._count - self._groups[oldest].last <= _WITHIN_ROWS:
                break
            yield from self._closed(self._groups.pop(oldest))

    def finish(self) -> Iterator[Item]:
        """What was still waited for."""
        for group in list(self._groups.values()):
            yield from self._closed(group)
        self._groups.clear()

    def _take(self, line: Line) -> Iterable[Item]:
        if not line.get("txid"):
            return [PassedOver(line.origin, "pending")]
        kind = line.required("type").lower(), line.get("subtype").lower()
        asset = self._settings.named(asset_name(line.required("asset")))
        fee = number_or_none(line.get("fee"), "the fee") or ZERO
        entry = Entry(line, kind, asset, number(line.required("amount")), fee)
        if kind[0] not in _GROUPED:
            return self._alone(entry)
        reference = self._reference(entry)
        group = self._groups.pop(reference, None) or _Group()
        group.entries.append(entry)
        group.last = self._count
        self._groups[reference] = group  # the one that was seen last stands last
        return []

    def _reference(self, entry: Entry) -> tuple[str, str]:
        """What rows that belong together have in common."""
        name = entry.line.get("refid") or entry.id
        sort = "trade" if entry.kind[0] in _TRADES else entry.kind[0]
        opposite = _STAKING.get(entry.kind[1])
        if sort == "transfer" and opposite is not None:
            for reference, group in self._groups.items():
                waits = group.entries[0]
                if (
                    len(group.entries) == 1
                    and waits.kind == ("transfer", opposite)
                    and waits.amount == negate(entry.amount)
                ):
                    return reference
        return sort, name

    def _closed(self, group: _Group) -> Iterator[Item]:
        first = group.entries[0]
        text = " / ".join(entry.line.text for entry in group.entries)
        sort = "trade" if first.kind[0] in _TRADES else first.kind[0]
        read = {
            "trade": self._trade,
            "settled": self._converted,
            "earn": self._earn,
            "transfer": self._transfer,
            "custodytransfer": self._transfer,
        }.get(sort, self._movements)
        yield from rescued(first.line.origin, text, partial(read, group.entries))

    # What the rows of a reference are

    def _trade(self, entries: Sequence[Entry]) -> Iterable[Item]:
        amounts = _sums((entry.asset, entry.amount) for entry in entries)
        fees = _sums((entry.asset, entry.fee) for entry in entries)
        credits = {asset for asset in amounts if asset == self._settings.named("KFEE")}
        for asset in credits:  # Kraken's fee credits, spent as a leg of their own
            fees[asset] = add(fees.get(asset, ZERO), negate(amounts.pop(asset)))
        came = [(asset, amount) for asset, amount in amounts.items() if amount > 0]
        went = [(asset, negate(amount)) for asset, amount in amounts.items() if amount < 0]
        if not came or not went:
            raise Odd("of this trade only one side is in the file: export a longer period")
        if len(came) > 1 or len(went) > 1:
            return self._converted(entries)
        first, reference = entries[0], entries[0].line.get("refid") or entries[0].id
        given = exchange(came[0], went[0], self._settings.numeraire)
        by_quote = sorted(fees.items(), key=lambda fee: (fee[0] != given["quote_asset"], fee[0]))
        own, others = by_quote[:1], by_quote[1:]
        if own:
            given |= {"fee_asset": own[0][0], "fee_amount": own[0][1]}
        else:
            given |= {"fee_asset": given["quote_asset"], "fee_amount": ZERO}
        facts: list[Fact] = [fill(**given, order_id=self._trades.order_of(reference))]
        facts += [adjustment(asset, negate(fee), "fee", note=f"of trade {reference}") for asset, fee in others]
        return [Row(first.line.origin, _time(entries), f"trade:{reference}", tuple(facts))]

    def _converted(self, entries: Sequence[Entry]) -> list[Item]:
        """Some assets became others: all that came in takes over the cost of all that went out."""
        reference = entries[0].line.get("refid") or entries[0].id
        note = " ".join(part for part in entries[0].kind if part)
        items: list[Item] = []
        for entry in entries:
            facts: list[Fact] = []
            if entry.amount:
                facts.append(adjustment(entry.asset, entry.amount, "conversion", group=reference, note=note))
            items.append(self._row(entry, [*facts, *_fees([entry])]))
        return items

    def _earn(self, entries: Sequence[Entry]) -> Iterable[Item]:
        rewards = [entry for entry in entries if entry.kind[1] in ("reward", "bonus", "")]
        moved = [entry for entry in entries if entry not in rewards]
        items = [item for entry in rewards for item in self._adjusted(entry, "reward")]
        if not _sums((entry.asset, entry.amount) for entry in moved) and not any(entry.fee for entry in moved):
            return [*items, *(PassedOver(entry.line.origin, "between wallets of one's own") for entry in moved)]
        return [*items, *self._converted(moved)]

    def _transfer(self, entries: Sequence[Entry]) -> Iterable[Item]:
        if entries[0].kind[1] in _STAKING or len({entry.asset for entry in entries}) > 1:
            return self._converted(entries)
        return self._movements(entries)

    def _movements(self, entries: Sequence[Entry]) -> Iterable[Item]:
        """Deposits and withdrawals; one that failed stands in the ledger twice, the second time with the sign turned.

        Both rows name one transaction, so that they are settled together as no capital, unless the first was recorded
        before the second was known.
        """
        is_back = len(entries) == 2 and not _sums((entry.asset, entry.amount) for entry in entries)
        failed = f"kraken:{entries[0].line.get('refid')}" if is_back and entries[0].line.get("refid") else None
        return [self._movement(entry, failed) for entry in entries]

    def _movement(self, entry: Entry, failed: str | None) -> Item:
        if not entry.amount:
            return self._row(entry, _fees([entry]))
        movement = Movement(
            "in" if entry.amount > 0 else "out",
            entry.asset,
            entry.amount.copy_abs(),
            tx_hash=failed,
            reference=entry.line.get("refid") or None,
            source_note=_note(entry),
        )
        return self._row(entry, [movement, *_fees([entry])])

    def _alone(self, entry: Entry) -> Iterable[Item]:
        kind = entry.kind[0]
        if kind in _REWARDS:
            return self._adjusted(entry, "reward")
        if kind in _POSITIONS:
            symbol = f"{entry.asset} on margin"
            self._trades.order_of(entry.line.get("refid"))  # the trade's fee is this row's
            return [Contract(entry.line.origin, symbol), *self._adjusted(entry, _POSITIONS[kind], symbol)]
        if kind in _OWN_REASONS:
            return self._adjusted(entry, _OWN_REASONS[kind])
        raise Odd(f"the type {shown(kind[:40])} is not understood")

    def _adjusted(self, entry: Entry, reason: str, note: str | None = None) -> list[Item]:
        facts: list[Fact] = [adjustment(entry.asset, entry.amount, reason, note=note)] if entry.amount else []
        fee_reason = "funding" if entry.kind[0] == "rollover" else "fee"
        facts += _fees([entry], fee_reason)
        return [self._row(entry, facts)]

    def _row(self, entry: Entry, facts: Sequence[Fact]) -> Item:
        if not facts:
            return PassedOver(entry.line.origin, "an amount of 0")
        return Row(entry.line.origin, _time([entry]), entry.id, tuple(facts))


def _note(entry: Entry) -> str | None:
    kind, subtype = entry.kind
    if subtype in _FUTURES:
        return "the futures wallet"
    if kind == "custodytransfer":
        return "custody"
    is_turned = kind != "transfer" and (entry.amount > 0) == (kind == "withdrawal")
    return f"{kind} that was turned back" if is_turned else None


def _time(entries: Sequence[Entry]) -> datetime:
    return min(time(entry.line.required("time"), _TIMES) for entry in entries)


def _sums(parts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """The sum of each asset; those of 0 are left out."""
    found: dict[str, Decimal] = {}
    for asset, amount in parts:
        found[asset] = add(found.get(asset, ZERO), amount)
    return {asset: amount for asset, amount in found.items() if amount}


def _fees(entries: Iterable[Entry], reason: str = "fee") -> list[Fact]:
    sums: Mapping[str, Decimal] = _sums((entry.asset, entry.fee) for entry in entries)
    return [adjustment(asset, negate(fee), reason) for asset, fee in sums.items()]
