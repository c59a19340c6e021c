"""The anchor: what the market was lately, so that a single wild print moves no quotes.

It is the average of the prices of the last `window` of tape, weighted by volume where the tape has volumes, plain where it
has none. The sums are exact; the average itself is rounded half-even to 18 decimals, and is compared with, never recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from engine.paper.tape import Tick
from ledger.amounts import VALUE_DIGITS_AFTER_POINT, ZERO

# As wide as the core's: a product of two amounts has 76 digits, and a window adds up many.
_WIDE = Context(prec=150, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal(1).scaleb(-VALUE_DIGITS_AFTER_POINT)


class Observation(NamedTuple):
    """A row of the tape and what it makes of the market. `is_mark`: whether the session records its price as a mark."""

    tick: Tick
    anchor: Decimal
    is_mark: bool


class Anchor:
    """The average price of a moving window, (at − window, at]."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._ticks: deque[tuple[Tick, Decimal]] = deque()
        self._volume = self._worth = self._prices = ZERO

    def add(self, tick: Tick) -> Decimal:
        """Take the next tick; the average with it."""
        size = ZERO if tick.size is None else tick.size
        worth = _WIDE.multiply(tick.mid, size)
        self._ticks.append((tick, worth))
        self._volume = _WIDE.add(self._volume, size)
        self._worth = _WIDE.add(self._worth, worth)
        self._prices = _WIDE.add(self._prices, tick.mid)
        self._forget(tick)
        if self._volume:
            return _rounded(_WIDE.divide(self._worth, self._volume))
        return _rounded(_WIDE.divide(self._prices, Decimal(len(self._ticks))))

    def _forget(self, newest: Tick) -> None:
        """Drop what is older than the window."""
        while newest.at - self._ticks[0][0].at >= self._window:
            tick, worth = self._ticks.popleft()
            self._volume = _WIDE.subtract(self._volume, tick.size or ZERO)
            self._worth = _WIDE.subtract(self._worth, worth)
            self._prices = _WIDE.subtract(self._prices, tick.mid)


def _rounded(average: Decimal) -> Decimal:
    return _WIDE.quantize(average, _QUANTUM)


def observations(
    ticks: Iterable[Tick], *, window: timedelta, mark_interval: timedelta, last_row: int
) -> Iterator[Observation]:
    """What the tape says, row by row; it depends on the tape only.

    Marks are the first row, every row that is `mark_interval` or more after the last mark, and the last row.
    """
    anchor = Anchor(window)
    marked_at = None
    for tick in ticks:
        is_mark = marked_at is None or tick.at - marked_at >= mark_interval or tick.row == last_row
        if is_mark:
            marked_at = tick.at
        yield Observation(tick, anchor.add(tick), is_mark)
