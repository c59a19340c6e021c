"""Profit and loss period by period, from the marks at their ends. A pure fold.

A period ends with the equity at its end, each asset held at its newest standing mark of that period; an older mark would
say that nothing was earned, which nobody knows. So an end that lacks a mark is unknown, and so is the profit of the period
that ends there and of the one that begins there; nothing is guessed.

    pnl = end value − start value − net deposits − baselines
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.amounts import ZERO, add, subtract, total, value
from ledger.stored import StoredEvent
from projections.marks import Price, price_of


@dataclass(frozen=True, slots=True)
class PeriodProfit:
    """What a period earned, in the numeraire.

    name:          of the day, week or month; empty for the one before the first
    start, end:    UTC, the end exclusive
    start_value:   the equity at the start; None when it is unknown
    net_deposits:  the value of what came in less what went out in the period
    baselines:     what baselines added to the starting value in the period
    end_value:     the equity at the end; None when it is unknown
    missing:       the assets that lacked a mark of the period at its end
    """

    name: str
    start: datetime
    end: datetime
    start_value: Decimal | None
    net_deposits: Decimal
    baselines: Decimal
    end_value: Decimal | None
    missing: tuple[str, ...]

    @property
    def pnl(self) -> Decimal | None:
        """The change of total PnL; None where an end is unknown."""
        if self.start_value is None or self.end_value is None:
            return None
        return subtract(subtract(self.end_value, self.start_value), add(self.net_deposits, self.baselines))


class ProfitByPeriod:
    """Goes over events in the order of their time, and says what each period earned.

    numeraire:  what value is counted in
    periods:    name, start and end, one after the other without a gap; of the first, only its end is looked at
    """

    def __init__(self, numeraire: str, periods: Sequence[tuple[str, datetime, datetime]]) -> None:
        self._numeraire = numeraire
        self._periods = periods
        self._balances: dict[str, Decimal] = {}
        # By asset the marks in order of time; reversed ones are taken off when they are the newest.
        self._marks: dict[str, list[tuple[Price, tuple[str, int]]]] = {}
        self._reversed: set[tuple[str, int]] = set()
        self._net_deposits = self._baselines = ZERO

    def run(self, events: Iterable[StoredEvent]) -> Iterator[PeriodProfit]:
        """What each period but the first earned. `events`: in the order of `at`, book and version."""
        coming = iter(events)
        ahead = next(coming, None)
        start_value: Decimal | None = None
        for number, (name, start, end) in enumerate(self._periods):
            self._net_deposits = self._baselines = ZERO
            while ahead is not None and ahead.at < end:
                self._take(ahead)
                ahead = next(coming, None)
            end_value, missing = self._equity(start)
            if number:
                sums = self._net_deposits, self._baselines
                yield PeriodProfit(name, start, end, start_value, *sums, end_value, missing)
            start_value = end_value

    def _take(self, stored: StoredEvent) -> None:
        effects = stored.effects
        if stored.type == "mark":
            place = stored.book, stored.version
            self._marks.setdefault(str(stored.asset), []).append((price_of(stored), place))
        elif effects.effect_of == "mark" and stored.reverses is not None:
            self._reversed.add((stored.book, stored.reverses))
        for posting in effects.postings:
            self._balances[posting.asset] = add(self._balances.get(posting.asset, ZERO), posting.delta)
        self._net_deposits = add(self._net_deposits, effects.net_deposits_delta)
        if effects.effect_of == "baseline":
            self._baselines = add(self._baselines, effects.starting_value_delta)

    def _equity(self, since: datetime) -> tuple[Decimal | None, tuple[str, ...]]:
        """The equity at marks not older than a time, and the assets that have none; None where there are such."""
        parts: list[Decimal] = []
        missing: list[str] = []
        for asset, balance in sorted(self._balances.items()):
            if balance.is_zero():
                continue
            mark = None if asset == self._numeraire else self._newest(asset)
            if asset == self._numeraire:
                parts.append(balance)
            elif mark is None or mark.at < since:
                missing.append(asset)
            else:
                parts.append(value(balance, mark.price))
        return (None if missing else total(parts)), tuple(missing)

    def _newest(self, asset: str) -> Price | None:
        marks = self._marks.get(asset, [])
        while marks and marks[-1][1] in self._reversed:
            marks.pop()
        return marks[-1][0] if marks else None
