"""The chart: equity and net basis, the capital movements, and below them what lies between the two, as SVG.

The lines are stretched to whatever room there is (`preserveAspectRatio="none"`, strokes that do not scale); the labels stand
beside them as text of the page, so that they are read at any width, and by anybody. Places are binary floats; what is said
of a point are its exact figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from engine.reports.capital import Movement
from engine.reports.history import Point
from engine.reports.report import UNKNOWN, shown

WIDTH, HEIGHT, LOW_HEIGHT = 1000, 300, 110
MOST_POINTS = 400
MOST_MARKERS = 200
_TICKS, _TIMES = 5, 5
_ROWS = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the chart.

    height:  in the units of its view box
    lines:   by class, the path
    ticks:   what stands at its left, from top to bottom, evenly spaced
    zero:    where 0 is, from the top; None when it is outside
    """

    height: int
    lines: dict[str, str]
    ticks: list[str]
    zero: float | None


@dataclass(frozen=True, slots=True)
class Marker:
    """A capital movement. `x`, `y`: where; `kind`: its type; `said`: what it was."""

    x: float
    y: float
    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws.

    said:     the chart in a sentence
    times:    what stands below it, evenly spaced
    data:     the figures of every point, for the script
    rows:     some of the points, for those who cannot see the lines
    """

    worth: Panel
    profit: Panel
    markers: list[Marker]
    times: list[str]
    data: str
    said: str
    rows: list[tuple[datetime, Decimal | None, Decimal, Decimal | None]]


def chart(points: Sequence[Point], moved: Sequence[Movement], numeraire: str) -> Chart | None:
    """The chart of a course; None when there is nothing to draw. `moved`: the capital movements, in order of time."""
    if not points:
        return None
    first, last = points[0].at, points[-1].at
    across = _Across(first, last)
    basis = [float(point.net_basis) for point in points]
    equity = [None if point.equity is None else float(point.equity) for point in points]
    gained = [point.profit for point in points]
    places = [across.place(point.at) for point in points]
    up = _Up([*basis, *(each for each in equity if each is not None)], HEIGHT)
    low = _Up([0.0, *(float(each) for each in gained if each is not None)], LOW_HEIGHT)
    worth = {"basis": _path(places, [up.place(each) for each in basis])}
    worth["equity"] = _path(places, [None if each is None else up.place(each) for each in equity])
    profit = {"profit": _path(places, [None if each is None else low.place(float(each)) for each in gained])}
    within = [each for each in moved if first <= each.at <= last][-MOST_MARKERS:]
    return Chart(
        worth=Panel(HEIGHT, worth, up.labels(), None),
        profit=Panel(LOW_HEIGHT, profit, low.labels(), low.place(0.0)),
        markers=[_marker(each, across, up, numeraire) for each in within if up.has(float(each.basis_after))],
        times=across.labels(),
        data=_data(points, gained, places),
        said=_said(points, gained, len(moved), numeraire),
        rows=[_row(point, each) for point, each in _some(points, gained)],
    )


class _Across:
    """Time, from left to right."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self._first = first
        self._span = max(last - first, timedelta(microseconds=1))

    def place(self, at: datetime) -> float:
        return round((at - self._first) / self._span * WIDTH, 1)

    def labels(self) -> list[str]:
        return [_time(self._first + self._span * step / (_TIMES - 1), self._span) for step in range(_TIMES)]


def _time(at: datetime, span: timedelta) -> str:
    if span < timedelta(minutes=10):
        return f"{at:%m-%d %H:%M:%S}"
    return f"{at:%m-%d %H:%M}" if span < timedelta(days=8) else f"{at:%Y-%m-%d}"


class _Up:
    """Values, from below to the top, between two ticks."""

    def __init__(self, values: Sequence[float], height: int) -> None:
        low, high = min(values), max(values)
        self.step = _nice((high - low) / (_TICKS - 1) or abs(high) / _TICKS or 1.0)
        self._first = math.floor(low / self.step)
        self._last = max(math.ceil(high / self.step), self._first + 1)
        self._height = height

    def place(self, value: float) -> float:
        share = (value / self.step - self._first) / (self._last - self._first)
        return round((1 - share) * self._height, 1)

    def has(self, value: float) -> bool:
        return self._first <= value / self.step <= self._last

    def labels(self) -> list[str]:
        digits = max(0, -math.floor(math.log10(self.step)))
        every = max(1, (self._last - self._first) // _TICKS)
        ticks = range(self._last, self._first - 1, -1)
        return [f"{tick * self.step:,.{digits}f}" if index % every == 0 else "" for index, tick in enumerate(ticks)]


def _nice(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999999)


def _path(places: Sequence[float], heights: Sequence[float | None]) -> str:
    """A line of steps; it breaks where a height is unknown."""
    parts: list[str] = []
    before: float | None = None
    for x, y in zip(places, heights, strict=True):
        if y is None:
            before = None
        elif before is None:
            parts.append(f"M{x:g} {y:g}h0")
        else:
            parts.append(f"H{x:g}V{y:g}")
        before = y
    return "".join(parts)


def _marker(moved: Movement, across: _Across, up: _Up, numeraire: str) -> Marker:
    sign = "+" if moved.value > 0 else ""
    what = f"{moved.type.replace('_', ' ')} {sign}{shown(moved.value)} {numeraire}"
    said = f"{what}, version {moved.version}, {shown(moved.at)}"
    return Marker(across.place(moved.at), up.place(float(moved.basis_after)), moved.kind, said)


def _data(points: Sequence[Point], gained: Sequence[Decimal | None], places: Sequence[float]) -> str:
    rows = zip(points, gained, places, strict=True)
    return "|".join(
        f"{place:g};{shown(point.at)};{_figure(point.equity)};{shown(point.net_basis)};{_figure(each)}"
        for point, each, place in rows
    )


def _figure(value: Decimal | None) -> str:
    return UNKNOWN if value is None else shown(value)


def _said(points: Sequence[Point], gained: Sequence[Decimal | None], movements: int, numeraire: str) -> str:
    first, last = points[0], points[-1]
    return (
        f"From {shown(first.at)} to {shown(last.at)}, in {numeraire}: equity {_figure(first.equity)} at first and "
        f"{_figure(last.equity)} at last; net basis {shown(first.net_basis)} and {shown(last.net_basis)}; equity less net "
        f"basis {_figure(gained[0])} and {_figure(gained[-1])}; capital movements: {movements}."
    )


def _some(points: Sequence[Point], gained: Sequence[Decimal | None]) -> Iterator[tuple[Point, Decimal | None]]:
    count = min(len(points), _ROWS)
    for step in range(count):
        index = step if count < _ROWS else step * (len(points) - 1) // (count - 1)
        yield points[index], gained[index]


def _row(point: Point, gained: Decimal | None) -> tuple[datetime, Decimal | None, Decimal, Decimal | None]:
    return point.at, point.equity, point.net_basis, gained
