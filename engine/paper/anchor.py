"""The anchor: the recent average price, so that a single wild print moves no quotes.

It averages the prices in the last `window` of the tape, weighted by volume if the tape has volumes. The sums are exact; the
average is rounded half-even to 18 decimals. It is only compared with, never recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from engine.paper.tape import Tick
from ledger.amounts import VALUE_DIGITS_AFTER_POINT, ZERO

# Wide enough: a product of two amounts has 112 digits, and a window adds up many of them.
_WIDE = Context(prec=150, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal(1).scaleb(-VALUE_DIGITS_AFTER_POINT)


class Observation(NamedTuple):
    """A row of the tape and the market after it.

    tick:     the row
    anchor:   the average price, in the numeraire
    is_mark:  whether the session records the row's price as a mark
    """

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
        """Add the next tick; returns the average including it."""
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
    """The market after each row of a tape; it depends on nothing but the tape.

    Recorded as marks are the first row, each row at least `mark_interval` after the previous mark, and the last row.
    """
    anchor = Anchor(window)
    marked_at = None
    for tick in ticks:
        is_mark = marked_at is None or tick.at - marked_at >= mark_interval or tick.row == last_row
        if is_mark:
            marked_at = tick.at
        yield Observation(tick, anchor.add(tick), is_mark)
