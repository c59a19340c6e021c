"""What is off between the ledger and a venue's balances, what it is worth, and what may be the cause.

    asset  expected  actual   difference  likely cause
    XRP       51.20   61.20   +10.00      a fill that is missing: +10.00 XRP for −13.30 RLUSD, at 1.33
    RLUSD     33.30   20.00   −13.30      a fill that is missing: …
    BNB        0.00   −0.01    −0.01      fees in BNB: no fill names it

A cause is a hint, read off the data; a person decides. Everything here only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal

from sqlalchemy import Connection, or_, select

from engine import inbox
from engine.bookkeeper import View
from engine.importers.reconcile.balances import Balance, Balances
from engine.inbox import Entry
from engine.views import Moment, view_at
from ledger import store
from ledger.amounts import ZERO, amount_text, fits, subtract, value
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.events import Fill
from ledger.stored import StoredEvent
from ledger.times import time_text
from projections.marks import Marks, Price
from projections.state import BookState

# By how much the price of a fill that is missing may differ from the mark.
_NEAR_THE_MARK = Decimal("0.05")
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Difference:
    """One asset, compared. Amounts are in its own unit.

    asset:       the asset
    expected:    what the ledger says
    actual:      what the venue says
    difference:  actual − expected
    at:          as of when, UTC
    worth:       the difference in the numeraire, at the mark or the given price; None without one
    waits:       whether something of the asset waits in the inbox, or rows are held back there
    cause:       what the data suggests; None for nothing
    """

    asset: str
    expected: Decimal
    actual: Decimal
    difference: Decimal
    at: datetime
    worth: Decimal | None
    waits: bool
    cause: str | None = None

    @property
    def is_off(self) -> bool:
        """Whether ledger and venue disagree."""
        return not self.difference.is_zero()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was compared.

    view:   the book at its head, or as of the newest time asked for
    found:  each asset, sorted
    """

    view: View
    found: tuple[Difference, ...]

    @property
    def is_off(self) -> bool:
        """Whether anything is off."""
        return any(each.is_off for each in self.found)


def compare(
    database: Database,
    name: str,
    balances: Balances,
    *,
    at: datetime | None,
    now: datetime,
    prices: Mapping[str, Price],
) -> Comparison:
    """Compare a book with balances. `at`: as of when, for those that do not say it; None: now.

    `prices`: by asset; they take precedence over the marks. Raises Refused `book_unknown`; StorageError.
    """
    views = _Views(database, name, now)
    latest = max((balance.at for balance in balances.stated if balance.at is not None), default=None)
    otherwise = at if at is not None else latest
    view = views.at(otherwise)
    stated = list(balances.stated)
    if balances.is_complete:
        there = {balance.asset for balance in stated}
        stated += [Balance(asset, ZERO) for asset in view.state.inventory.held() if asset not in there]
    with database.reading() as connection:
        waiting = inbox.entries(connection, name, sorts=("movement", "held"))
        found = [
            _compared(balance, views.at(balance.at or otherwise), balance.at or otherwise or now, prices, waiting)
            for balance in sorted(stated, key=lambda balance: balance.asset)
        ]
        causes = _Causes(connection, view, found, waiting, prices)
        return Comparison(view, tuple(replace(each, cause=causes.of(each)) for each in found))


class _Views:
    """The book at each time that is asked for; each is folded once."""

    def __init__(self, database: Database, name: str, now: datetime) -> None:
        self._database, self._name, self._now = database, name, now
        self._known: dict[datetime | None, View] = {}

    def at(self, time: datetime | None) -> View:
        if time not in self._known:
            self._known[time] = view_at(self._database, self._name, Moment(as_of=time), now=self._now)
        return self._known[time]


def _compared(
    balance: Balance, view: View, at: datetime, prices: Mapping[str, Price], waiting: Sequence[Entry]
) -> Difference:
    expected = view.state.inventory.balance(balance.asset)
    difference = subtract(balance.amount, expected)
    return Difference(
        asset=balance.asset,
        expected=expected,
        actual=balance.amount,
        difference=difference,
        at=at,
        worth=_worth(balance.asset, difference, view, prices),
        waits=any(entry.asset in (None, balance.asset) for entry in waiting),
    )


def _worth(asset: str, difference: Decimal, view: View, prices: Mapping[str, Price]) -> Decimal | None:
    if asset == view.book.numeraire:
        return difference
    price = {**view.state.marks, **prices}.get(asset)
    if price is None:
        return ZERO if difference.is_zero() else None
    worth = value(difference, price.price)
    return worth if fits(worth) else None


class _Causes:
    """Looks for the likely cause of each difference: what waits, what is there twice, what is missing, unrecorded fees."""

    def __init__(
        self,
        connection: Connection,
        view: View,
        found: Sequence[Difference],
        waiting: Sequence[Entry],
        prices: Mapping[str, Price],
    ) -> None:
        self._connection = connection
        self._view = view
        self._waiting = waiting
        self._off = [each for each in found if each.is_off]
        self._marks: Marks = {**view.state.marks, **prices}

    def of(self, difference: Difference) -> str | None:
        """The likely cause; None where nothing suggests one, or nothing is off."""
        if not difference.is_off:
            return None
        looks = (self._waits, self._duplicate, self._missing_fill, self._reversed, self._fee)
        return next((cause for look in looks if (cause := look(difference)) is not None), None)

    def _waits(self, difference: Difference) -> str | None:
        for entry in self._waiting:
            signed = entry.amount if entry.type == "deposit" else -(entry.amount or ZERO)
            if entry.asset == difference.asset and signed == difference.difference:
                return f"entry {entry.id} of the inbox, a {entry.type} of this amount that waits"
        if any(entry.asset == difference.asset for entry in self._waiting):
            return f"movements of {difference.asset} that wait in the inbox"
        if any(entry.asset is None for entry in self._waiting):
            return "rows that are held back behind the inbox"
        return None

    def _duplicate(self, difference: Difference) -> str | None:
        """An event that moved the asset by exactly what is too much, beside another that is alike."""
        moved = -difference.difference
        there = [each for each in self._events_with(difference.asset) if _moved(each, difference.asset) == moved]
        for each in there:
            twins = [other for other in there if other.version < each.version and _are_alike(each, other)]
            if twins:
                return f"versions {twins[-1].version} and {each.version} are alike: one may be a duplicate"
        return None

    def _missing_fill(self, difference: Difference) -> str | None:
        """Two differences of opposite sign whose ratio is a price near the mark."""
        for other in self._off:
            if other.asset == difference.asset or (other.difference > 0) == (difference.difference > 0):
                continue
            numeraire = self._view.book.numeraire
            base, quote = (difference, other) if other.asset == numeraire else (other, difference)
            if quote.asset != numeraire:
                continue
            mark = self._marks.get(base.asset)
            price = _WIDE.divide(quote.difference.copy_abs(), base.difference.copy_abs())
            if mark is not None and abs(price - mark.price) <= mark.price * _NEAR_THE_MARK:
                side = "bought" if base.difference > 0 else "sold"
                amounts = f"{amount_text(base.difference.copy_abs())} {base.asset} {side} for "
                amounts += f"{amount_text(quote.difference.copy_abs())} {numeraire}"
                return f"a fill that is missing: {amounts}, at {price:.6g}"
        return None

    def _reversed(self, difference: Difference) -> str | None:
        """An event that was reversed and moved exactly what is missing."""
        reversals = store.reversals(self._connection, self._view.book.name)
        for each in self._events_with(difference.asset, with_reversed=True):
            if each.version in reversals and _moved(each, difference.asset) == difference.difference:
                return f"the {each.type} at version {each.version}, which version {reversals[each.version]} reversed"
        return None

    def _fee(self, difference: Difference) -> str | None:
        """Fees that no fill names take a little of an asset away."""
        if difference.difference > 0:
            return None
        state: BookState = self._view.state
        if state.fees.unknown:
            count = f"{state.fees.unknown} fills have" if state.fees.unknown > 1 else "1 fill has"
            return f"a fee: {count} none recorded"
        is_traded = any(isinstance(each.event, Fill) for each in self._events_with(difference.asset, limit=50))
        if not is_traded and state.inventory.held() and self._has_fills():
            return f"fees in {difference.asset}, which no fill names"
        return None

    def _has_fills(self) -> bool:
        query = select(events.c.version).where(events.c.book == self._view.book.name, events.c.type == "fill").limit(1)
        return self._connection.execute(query).first() is not None

    def _events_with(self, asset: str, *, with_reversed: bool = False, limit: int = 0) -> Iterator[StoredEvent]:
        """The events that post into an asset, in order; those that stand unless all are asked for."""
        posts = or_(events.c.asset == asset, events.c.quote_asset == asset, events.c.fee_asset == asset)
        name = self._view.book.name
        where = posts & (events.c.type != "reversal") & (events.c.type != "mark")
        taken_back = {} if with_reversed else store.reversals(self._connection, name)
        count = 0
        for stored in store.read_events(self._connection, name, until=self._view.state.version, where=where):
            if stored.version in taken_back:
                continue
            yield stored
            count += 1
            if count == limit:
                return


def _moved(stored: StoredEvent, asset: str) -> Decimal:
    deltas = (posting.delta for posting in stored.effects.postings if posting.asset == asset)
    return sum(deltas, ZERO)


def _are_alike(one: StoredEvent, other: StoredEvent) -> bool:
    """Whether two events of a type moved the same on the same day."""
    near = abs((one.at - other.at).total_seconds()) <= 24 * 60 * 60
    return near and one.type == other.type and list(one.effects.postings) == list(other.effects.postings)


def described(differences: Iterable[Difference]) -> str:
    """The differences in a line."""
    return ", ".join(
        f"{amount_text(each.difference)} {each.asset} at {time_text(each.at)}" for each in differences if each.is_off
    )
