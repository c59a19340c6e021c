"""Rates of return that deposits and withdrawals do not distort: time-weighted and money-weighted.

Time-weighted: the period is cut at every capital movement, and the sub-periods' returns are chained (GIPS; Dietz 1966). A
sub-period begins at the equity just before its movement plus the movement's own value, so the gap between the movement's
price and the mark is earned, and ends at the equity just before the next movement. Equity is valued at marks that are not
older than a given age, or taken from a withdrawal's evidence; where there is neither, the moment is listed and the rate is
unknown: nothing is interpolated.

Money-weighted: see `projections.money_weighted`; `Returns.cash_flows` are its flows.

Amounts are exact decimals in the numeraire; a rate is a ratio of two of them, rounded to 28 digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal

from ledger.amounts import ZERO, add, negate, subtract, total, value
from ledger.events import Withdrawal
from ledger.stored import StoredEvent
from projections.marks import Price, price_of
from projections.rates import exchanged

_RATE = Context(prec=28)
ONE = Decimal(1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Flow:
    """A capital movement, or an opening balance.

    at, version:  when it happened, UTC, and its version
    value:        in the numeraire; negative: it went out; None: an opening without a mark, or no rate for it
    """

    at: datetime
    version: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class SubPeriod:
    """The time between two capital movements.

    start, end:    UTC
    start_value:   the equity just before the movement at its start plus the movement's value
    end_value:     the equity just before the next movement, or at the end
    rate:          end value / start value − 1; None where the start is not above 0
    """

    start: datetime
    end: datetime
    start_value: Decimal
    end_value: Decimal

    @property
    def rate(self) -> Decimal | None:
        """The return of the sub-period as a fraction."""
        if self.start_value <= 0:
            return None
        return _RATE.subtract(_RATE.divide(self.end_value, self.start_value), ONE)


@dataclass(slots=True)
class Returns:
    """What a period earned.

    start, end:          of the period, UTC; start is that of the first movement where none was asked for, None without one
    start_value:         the equity at the start, just before a movement; None when it is unknown
    end_value:           the equity at the end; None when it is unknown
    flows:               the movements within the period
    sub_periods:         between the movements
    missing:             the moments that could not be valued, with the assets that lack a mark
    index:               the time-weighted index at every moment that could be valued, from 1
    """

    start: datetime | None = None
    end: datetime | None = None
    start_value: Decimal | None = ZERO
    end_value: Decimal | None = None
    flows: list[Flow] = field(default_factory=list)
    sub_periods: list[SubPeriod] = field(default_factory=list)
    missing: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)
    index: list[tuple[datetime, Decimal]] = field(default_factory=list)

    @property
    def time_weighted(self) -> Decimal | None:
        """The chained return as a fraction; None when a moment or a sub-period's rate is unknown, or nothing was held."""
        if self.missing or not self.sub_periods:
            return None
        chained = ONE
        for each in self.sub_periods:
            if each.rate is None:
                return None
            chained = _RATE.multiply(chained, _RATE.add(ONE, each.rate))
        return _RATE.subtract(chained, ONE)

    @property
    def drawdown(self) -> Decimal | None:
        """The deepest fall of the index from its peak, as a fraction ≤ 0; None when the index is unknown."""
        if self.time_weighted is None:
            return None
        peak, deepest = ONE, ZERO
        for _, level in self.index:
            peak = max(peak, level)
            deepest = min(deepest, _RATE.subtract(_RATE.divide(level, peak), ONE))
        return deepest

    @property
    def flowed(self) -> Decimal | None:
        """The sum of the movements; None when the value of one is unknown."""
        known = [flow.value for flow in self.flows if flow.value is not None]
        return total(known) if len(known) == len(self.flows) else None

    def cash_flows(self) -> list[tuple[date, Decimal]]:
        """The owner's flows by day: what was put in is negative, what was taken out and is there at the end is positive.

        Only of movements whose value is known.
        """
        by_day: dict[date, Decimal] = {}
        flows = [(flow.at, negate(flow.value)) for flow in self.flows if flow.value is not None]
        if self.start is not None and self.start_value:
            flows.insert(0, (self.start, negate(self.start_value)))
        if self.end is not None and self.end_value is not None:
            flows.append((self.end, self.end_value))
        for at, amount in flows:
            by_day[at.date()] = add(by_day.get(at.date(), ZERO), amount)
        return sorted(by_day.items())


class ReturnsFold:
    """Goes over events in the order of `projections.cost_basis.standing_order`.

    numeraire:     the asset that value is counted in
    start, end:    the period, `start` ≤ at < `end`; start None: from the first movement
    max_mark_age:  a mark that is older does not value
    currency:      what all figures are in, each at the rate of its own moment; None for the numeraire
    by_evidence:   a withdrawal's evidence tells the equity before it; not so of several books, since it is one book's
    """

    def __init__(
        self,
        numeraire: str,
        start: datetime | None,
        end: datetime,
        max_mark_age: timedelta,
        *,
        currency: str | None = None,
        by_evidence: bool = True,
    ) -> None:
        self._numeraire = numeraire
        self._start = start
        self._end = end
        self._max_mark_age = max_mark_age
        self._by_evidence = by_evidence
        self._currency = None if currency == numeraire else currency
        self._balances: dict[str, Decimal] = {}
        self._marks: dict[str, Price] = {}
        self._began: datetime | None = None
        self._start_value = ZERO
        self._level: Decimal | None = ONE
        self._marked_at: datetime | None = None
        self._is_next = False
        self.result = Returns(start, end)

    def go_on(self, end: datetime) -> None:
        """Turn to the period that follows, up to `end`; `run` then takes its events."""
        self._start, self._end, self._is_next = self._end, end, True
        self.result = Returns(self._start, end)
        self._level, self._began = ONE, None
        self._begin(self._start)

    def run(self, events: Iterable[StoredEvent]) -> Returns:
        """The returns of the period. `events`: up to its end; of a period that `go_on` turned to, from its start."""
        has_begun = self._start is None or self._is_next
        for stored in events:
            self._look(stored)
            if not has_begun and self._start is not None and stored.at >= self._start:
                self._begin(self._start)
                has_begun = True
            if stored.type == "mark":
                self._marks[str(stored.asset)] = price_of(stored)
                self._marked_at = stored.at
                continue
            if has_begun and (flow := self._flow(stored)) is not None:
                self._cut(flow, stored)
            for posting in stored.effects.postings:
                self._balances[posting.asset] = add(self._balances.get(posting.asset, ZERO), posting.delta)
        if not has_begun and self._start is not None:
            self._begin(self._start)
        self._look(None)
        self._finish()
        return self.result

    def _begin(self, at: datetime) -> None:
        self.result.start_value = self._equity(at)
        if self.result.start_value:
            self._began, self._start_value = at, self.result.start_value

    def _flow(self, stored: StoredEvent) -> Flow | None:
        """The capital movement that an event is; None for any other event."""
        if stored.type in ("deposit", "withdrawal"):
            return self._moved(stored, stored.effects.net_deposits_delta)
        own = stored.effects.own
        if stored.type != "adjustment" or stored.reason != "opening" or own is None:
            return None
        if own.asset == self._numeraire:
            return self._moved(stored, own.delta)
        price = self._fresh(own.asset, stored.at)
        if price is None:
            self._miss(stored.at, own.asset)
            return Flow(stored.at, stored.version, None)
        size = value(own.delta.copy_abs(), price)
        return self._moved(stored, size.copy_sign(own.delta) if size else ZERO)

    def _moved(self, stored: StoredEvent, amount: Decimal) -> Flow:
        """A movement of an amount of the numeraire; unknown and noted where there is no rate for it."""
        converted = self._converted(amount, stored.at)
        if converted is None:
            self._miss(stored.at, str(self._currency))
        return Flow(stored.at, stored.version, converted)

    def _fresh(self, asset: str, at: datetime) -> Decimal | None:
        """The price of an asset at a time; None where its mark is too old, or there is none."""
        mark = self._marks.get(asset)
        return None if mark is None or at - mark.at > self._max_mark_age else mark.price

    def _converted(self, amount: Decimal, at: datetime) -> Decimal | None:
        """An amount of the numeraire in the currency of the figures; None where its rate is too old, or there is none."""
        if self._currency is None or amount.is_zero():
            return amount
        return exchanged(amount, self._fresh(self._currency, at))

    def _miss(self, at: datetime, *assets: str) -> None:
        """Note what lacks a mark at a moment, once."""
        last = self.result.missing[-1] if self.result.missing else None
        if last is None or last[0] != at:
            self.result.missing.append((at, tuple(sorted(assets))))
        else:
            self.result.missing[-1] = at, tuple(sorted({*last[1], *assets}))

    def _cut(self, flow: Flow, stored: StoredEvent) -> None:
        before = self._equity(flow.at, _evidence_of(stored) if self._by_evidence else None)
        if self.result.start is None:
            self.result.start, self.result.start_value = flow.at, before
        if before is not None and self._began is not None:
            self._close(flow.at, before)
        self.result.flows.append(flow)
        # What follows a moment that could not be valued has no rate.
        self._began = None if before is None or flow.value is None else flow.at
        self._start_value = add(before or ZERO, flow.value or ZERO)

    def _close(self, at: datetime, end_value: Decimal) -> None:
        assert self._began is not None
        each = SubPeriod(self._began, at, self._start_value, end_value)
        self.result.sub_periods.append(each)
        if self._level is not None:
            self._level = None if each.rate is None else _RATE.multiply(self._level, _RATE.add(ONE, each.rate))
        if self._level is not None:
            self.result.index.append((at, self._level))

    def _look(self, coming: StoredEvent | None) -> None:
        """The index once all marks of a moment are there: between two of them an asset moves and another does not yet."""
        if self._marked_at is None or (coming is not None and coming.type == "mark" and coming.at == self._marked_at):
            return
        self._watch(self._marked_at)
        self._marked_at = None

    def _watch(self, at: datetime) -> None:
        """The index at a mark within a sub-period, for the drawdown; where an asset lacks a mark there is none."""
        if self._began is None or self._level is None or self._start_value <= 0 or at < self._began:
            return
        worth, missing = self._valued(at)
        if not missing:
            self.result.index.append((at, _RATE.divide(_RATE.multiply(self._level, worth), self._start_value)))

    def _finish(self) -> None:
        self.result.end_value = self._equity(self._end)
        if self.result.end_value is not None and self._began is not None:
            self._close(self._end, self.result.end_value)

    def _valued(self, at: datetime) -> tuple[Decimal, tuple[str, ...]]:
        """The equity at fresh marks, and the assets that have none, the currency's rate among them."""
        parts: list[Decimal] = []
        missing: list[str] = []
        for asset, balance in self._balances.items():
            if balance.is_zero():
                continue
            price = ONE if asset == self._numeraire else self._fresh(asset, at)
            if price is None:
                missing.append(asset)
            else:
                parts.append(balance if asset == self._numeraire else value(balance, price))
        worth = self._converted(total(parts), at)
        if worth is None:
            missing.append(str(self._currency))
        return worth or ZERO, tuple(sorted(missing))

    def _equity(self, at: datetime, given: Decimal | None = None) -> Decimal | None:
        """The equity at a moment; `given` where a mark is missing; None and noted where there is neither."""
        worth, missing = self._valued(at)
        if not missing:
            return worth
        converted = None if given is None else self._converted(given, at)
        if converted is None:
            self._miss(at, *missing)
        return converted


def _evidence_of(stored: StoredEvent) -> Decimal | None:
    """The equity that a withdrawal was classified from; None for a late one, and for any other event."""
    event = stored.event if stored.type == "withdrawal" else None
    if not isinstance(event, Withdrawal) or event.evidence is None or event.evidence.late is not None:
        return None
    return event.evidence.equity_before


def since(moment: Returns) -> timedelta:
    """How long the period is; 0 for a book without a movement."""
    return timedelta() if moment.start is None or moment.end is None else moment.end - moment.start


def earned(found: Returns) -> Decimal | None:
    """The equity at the end − the equity at the start − all flows; None when one of them is unknown."""
    flowed = found.flowed
    if found.end_value is None or found.start_value is None or flowed is None:
        return None
    return subtract(subtract(found.end_value, found.start_value), flowed)
