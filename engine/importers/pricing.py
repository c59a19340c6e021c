"""What an import knows about prices and times while its rows land: the newest marks and fills, and when balances moved.

An import appends in the order of time, so what it has appended itself is never later than the row that is landing. What the
book held before may be; there the log is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Literal

from sqlalchemy import Connection, or_, select

from ledger import store
from ledger.amounts import VALUE_DIGITS_AFTER_POINT
from ledger.database.tables import events
from ledger.events import MOVES_BALANCE, Mark
from ledger.stored import StoredEvent
from projections.marks import Price, price_of

PriceFrom = Literal["marks", "fills"]
MAX_MARK_AGE = timedelta(hours=1)
_DIVIDING = Context(prec=120, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal((0, (1,), -VALUE_DIGITS_AFTER_POINT))


@dataclass(frozen=True, slots=True)
class FillPrice:
    """What a fill against the numeraire says about an asset's price.

    price:    quote / base in the numeraire, rounded half-even to 18 decimals
    at:       when, UTC
    version:  the fill's
    key:      the fill's
    """

    price: Decimal
    at: datetime
    version: int
    key: str

    def mark(self, asset: str) -> Mark:
        """The mark that records it and names the fill."""
        return Mark(
            asset=asset,
            price=self.price,
            price_source=f"fill, version {self.version}",
            source_note=f"the fill {self.key}",
            at=self.at,
            key=f"mark:fill:{self.version}:{asset}",
        )


def price_in(stored: StoredEvent, numeraire: str) -> tuple[str, FillPrice] | None:
    """The asset that a fill trades against the numeraire, and its price; None for any other event."""
    own, quote = stored.effects.own, stored.effects.quote
    if stored.type != "fill" or own is None or quote is None:
        return None
    if quote.asset == numeraire:
        asset, amount, paid = own.asset, own.delta, quote.delta
    elif own.asset == numeraire:
        asset, amount, paid = quote.asset, quote.delta, own.delta
    else:
        return None
    price = _DIVIDING.divide(paid.copy_abs(), amount.copy_abs())
    if price.adjusted() >= 20:
        return None
    return asset, FillPrice(price.quantize(_QUANTUM, context=_DIVIDING), stored.at, stored.version, stored.key)


@dataclass(slots=True)
class Known:
    """What an import has learnt on its way; a batch works on a copy, which counts once it is committed.

    marks:       the newest mark that this import has appended, by asset
    fills:       the newest fill against the numeraire that it has appended, by asset
    first, last: the earliest and the latest `at` of what moved a balance; None for nothing yet
    """

    marks: dict[str, Price] = field(default_factory=dict)
    fills: dict[str, FillPrice] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of_book(cls, connection: Connection, book: str, now: datetime) -> Known:
        """What the log says before the import."""
        first, last = store.times_of_movements(connection, book, until=now)
        return cls(first=first, last=last)

    def copy(self) -> Known:
        """A copy to work on."""
        return replace(self, marks=dict(self.marks), fills=dict(self.fills))

    def learn(self, stored: StoredEvent, numeraire: str, now: datetime) -> None:
        """Learn from an event that the import has appended."""
        if stored.type == "mark":
            self.marks[str(stored.asset)] = price_of(stored)
            return
        if stored.type in MOVES_BALANCE:
            self.first = stored.at if self.first is None else min(self.first, stored.at)
            if stored.at <= now:
                self.last = stored.at if self.last is None else max(self.last, stored.at)
        found = price_in(stored, numeraire)
        if found is not None:
            self.fills[found[0]] = found[1]


def marks_at(
    connection: Connection, book: str, state_marks: Mapping[str, Price], known: Known, at: datetime
) -> dict[str, Price]:
    """The newest standing marks with `at` not after a time, by asset. `state_marks`: the newest ones of all."""
    found: dict[str, Price] = {}
    for asset, newest in state_marks.items():
        price: Price | None = newest
        if newest.at > at:
            stored = store.newest_mark(connection, book, asset, until=at)
            price = _newer(None if stored is None else price_of(stored), known.marks.get(asset), at)
        if price is not None:
            found[asset] = price
    return found


def _newer(one: Price | None, other: Price | None, at: datetime) -> Price | None:
    there = [price for price in (one, other) if price is not None and price.at <= at]
    return max(there, key=lambda price: (price.at, price.version or 0), default=None)


def fill_price_at(
    connection: Connection, book: str, numeraire: str, asset: str, known: Known, *, at: datetime, since: datetime
) -> FillPrice | None:
    """The newest standing fill of an asset against the numeraire with `since` ≤ `at` ≤ a time; None for none."""
    reversal = events.alias("reversal")
    is_reversed = select(reversal.c.version).where(reversal.c.book == book, reversal.c.reverses == events.c.version)
    pair = or_(
        (events.c.asset == asset) & (events.c.quote_asset == numeraire),
        (events.c.asset == numeraire) & (events.c.quote_asset == asset),
    )
    query = (
        select(events.c.version)
        .where(events.c.book == book, events.c.type == "fill", pair, events.c.at >= since, events.c.at <= at)
        .where(~is_reversed.exists())
        .order_by(events.c.at.desc(), events.c.version.desc())
        .limit(1)
    )
    own = known.fills.get(asset)
    own = own if own is not None and since <= own.at <= at else None
    version = connection.scalar(query)
    stored = None if version is None else store.find_event(connection, book, version)
    found = None if stored is None else price_in(stored, numeraire)
    there = [price for price in (own, found[1] if found else None) if price is not None]
    return max(there, key=lambda price: (price.at, price.version), default=None)
