"""Figures in another currency, by dated marks of that currency: a mark says what one unit of it is worth in the numeraire.

    a mark EUR 1.08 at noon, numeraire RLUSD      108 RLUSD at one o'clock are 100 EUR; at eleven nobody knows

An amount is divided by the newest mark not after its time, and rounded half-even to 18 decimals. So amounts of different
times do not add up as they do in the numeraire.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.amounts import share
from ledger.stored import StoredEvent
from ledger.times import BEGINNING

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one unit of a currency was worth.

    currency:  its name
    times:     of its marks, ascending, UTC
    prices:    in the numeraire, one for each time
    """

    currency: str
    times: tuple[datetime, ...]
    prices: tuple[Decimal, ...]

    def convert(self, amount: Decimal | None, at: datetime) -> Decimal | None:
        """An amount of the numeraire in the currency, at the rate of a time; None without one, and for None."""
        place = bisect_right(self.times, at)
        return exchanged(amount, self.prices[place - 1] if place else None)


def rates_of(currency: str, numeraire: str, events: Iterable[StoredEvent]) -> Rates:
    """The rates of a currency. `events`: those that stand, in the order of `at`."""
    if currency == numeraire:
        return Rates(currency, (BEGINNING,), (ONE,))
    found = [
        (stored.at, stored.price)
        for stored in events
        if stored.type == "mark" and stored.asset == currency and stored.price is not None
    ]
    return Rates(currency, tuple(at for at, _ in found), tuple(price for _, price in found))


def exchanged(amount: Decimal | None, price: Decimal | None) -> Decimal | None:
    """An amount of the numeraire in a currency of which one unit has this price; None where either is, or the price is 0."""
    return None if amount is None or not price else share(amount, ONE, price)
