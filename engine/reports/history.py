"""A book over time, for whoever shows it for long: equity and net basis, and the running balances at every 5,000th version.

A log only grows, so what was read of it once stays true: `take_in` goes on where it stopped. It reads columns, never bodies,
in the order of the versions, and keeps the same little memory for any log: of the course of time at most 4,096 stretches,
each with what it moved, its newest mark by asset and its last time. When there are more, stretches are made twice as wide.

    stretch    XRP     RLUSD   mark XRP   net basis         the point at its end: equity   net basis
    09:00               +100               +100                                  100.00      100.00
    09:01     +10      −13.3       1.36                                          100.30      100.00

What happened earlier than its place in the log falls into the stretch of its own time, so nothing has to be sorted. A mark
that is reversed after it was taken in cannot be taken out again: then `is_outdated`, and a new history is needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from engine.views import NOW, Moment
from ledger import store
from ledger.amounts import ZERO, add, subtract, total, value
from ledger.book import Book
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.times import CLOCK_TOLERANCE, EPOCH
from projections.basis import is_initial_basis

ANCHOR_EVERY = 5_000
MOST_STRETCHES = 4_096
_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = tuple(
    events.c[name]
    for name in (
        "version",
        "at",
        "type",
        "effect_of",
        "asset",
        "asset_delta",
        "quote_asset",
        "quote_delta",
        "fee_asset",
        "fee_delta",
        "price",
        "basis_delta",
        "starting_value_delta",
        "unknown_bases",
        "key",
        "reverses",
    )
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The running figures of a register after a version.

    balances:        by asset, in its own unit
    starting_value:  in the numeraire
    """

    version: int
    balances: Mapping[str, Decimal]
    starting_value: Decimal


BEGINNING = Anchor(0, {}, ZERO)


@dataclass(frozen=True, slots=True)
class Point:
    """A book after what had happened by `at`, in the numeraire.

    equity:      None while an asset held has no mark
    is_known:    whether net basis is complete, as in `projections.basis`; without it no profit is known
    """

    at: datetime
    equity: Decimal | None
    net_basis: Decimal
    is_known: bool = True

    @property
    def profit(self) -> Decimal | None:
        """Equity − net basis; None where it is unknown."""
        return None if self.equity is None or not self.is_known else subtract(self.equity, self.net_basis)


@dataclass(slots=True)
class _Stretch:
    """What happened in a stretch of time. `marks`: by asset the newest, as (at, version, price).

    unknown_bases, initial_bases: by how many they changed.
    """

    last_at: datetime
    moved: dict[str, Decimal] = field(default_factory=dict)
    basis: Decimal = ZERO
    unknown_bases: int = 0
    initial_bases: int = 0
    marks: dict[str, tuple[datetime, int, Decimal]] = field(default_factory=dict)

    def merge(self, other: _Stretch) -> None:
        """Take in what happened in another."""
        self.last_at = max(self.last_at, other.last_at)
        self.basis = add(self.basis, other.basis)
        self.unknown_bases += other.unknown_bases
        self.initial_bases += other.initial_bases
        for asset, delta in other.moved.items():
            self.moved[asset] = add(self.moved.get(asset, ZERO), delta)
        for asset, mark in other.marks.items():
            self.marks[asset] = max(self.marks.get(asset, mark), mark)


class History:
    """A book over time, as far as it was taken in.

    version:      the newest event that was taken in
    is_outdated:  whether a mark was reversed that has been counted
    anchors:      in the order of their versions; none but the first where the moment chooses by time
    """

    def __init__(self, book: Book, moment: Moment = NOW) -> None:
        self.book = book
        self.moment = moment
        self.version = 0
        self.is_outdated = False
        self.anchors = [BEGINNING]
        self._balances: dict[str, Decimal] = {}
        self._starting_value = ZERO
        self._stretches: dict[int, _Stretch] = {}
        self._shift = 0
        self._initial_bases: set[int] = set()
        # The marks that are reversed, as of this version; later reversals are met on the way.
        self._reversed: frozenset[int] = frozenset()
        self._reversed_as_of = 0

    def take_in(self, database: Database, most: int = ANCHOR_EVERY) -> bool:
        """Read on, at most `most` events; whether there may be more. Raises Refused `book_unknown`; StorageError."""
        with database.reading() as connection:
            _, head = store.require_book(connection, self.book.name)
            if not self._reversed_as_of:
                condition = self.moment.condition()
                self._reversed = store.reversed_marks(connection, self.book.name, where=condition)
                self._reversed_as_of = head.version
            self._read(connection, min(head.version, self.version + most))
        return head.version > self.version

    def _read(self, connection: Connection, until: int) -> None:
        query = select(*_COLUMNS).where(
            events.c.book == self.book.name,
            events.c.version > self.version,
            events.c.version <= until,
            self.moment.condition(),
        )
        for row in store.stream(connection, query.order_by(events.c.version)):
            self._take(row)
            if row.version % ANCHOR_EVERY == 0:
                self.anchors.append(Anchor(row.version, dict(self._balances), self._starting_value))
        self.version = until

    def _take(self, row: Row[Any]) -> None:
        is_mark = row.type == "mark" and row.version not in self._reversed
        if row.effect_of == "mark" and row.type == "reversal" and row.version > self._reversed_as_of:
            self.is_outdated = True
        moved = list(postings_of(row))
        for asset, delta in moved:
            self._balances[asset] = add(self._balances.get(asset, ZERO), delta)
        self._starting_value = add(self._starting_value, row.starting_value_delta)
        initial_bases = self._initial_bases_of(row)
        if not (moved or is_mark or row.basis_delta or initial_bases):
            return
        stretch = self._stretch(row.at)
        for asset, delta in moved:
            stretch.moved[asset] = add(stretch.moved.get(asset, ZERO), delta)
        stretch.basis = add(stretch.basis, row.basis_delta)
        stretch.unknown_bases += row.unknown_bases
        stretch.initial_bases += initial_bases
        if is_mark:
            mark = (row.at, row.version, row.price)
            stretch.marks[row.asset] = max(stretch.marks.get(row.asset, mark), mark)

    def _initial_bases_of(self, row: Row[Any]) -> int:
        """By how many an event changes the initial bases that stand."""
        if is_initial_basis(row.type, row.key):
            self._initial_bases.add(row.version)
            return 1
        return -1 if row.reverses in self._initial_bases else 0

    def _stretch(self, at: datetime) -> _Stretch:
        number = (at - EPOCH) // _MICROSECOND
        found = self._stretches.get(number >> self._shift)
        if found is None:
            found = self._stretches[number >> self._shift] = _Stretch(at)
            if len(self._stretches) > MOST_STRETCHES:
                self._widen()
                found = self._stretches[number >> self._shift]
        found.last_at = max(found.last_at, at)
        return found

    def _widen(self) -> None:
        while len(self._stretches) > MOST_STRETCHES // 2:
            wider: dict[int, _Stretch] = {}
            for number, stretch in self._stretches.items():
                there = wider.setdefault(number >> 1, stretch)
                if there is not stretch:
                    there.merge(stretch)
            self._stretches, self._shift = wider, self._shift + 1

    def anchor_before(self, version: int) -> Anchor:
        """The newest anchor at or before a version."""
        return self.anchors[bisect_right(self.anchors, version, key=lambda anchor: anchor.version) - 1]

    def points(self, *, start: datetime | None, end: datetime | None, now: datetime, most: int) -> list[Point]:
        """At most `most` points with `start` ≤ `at` < `end`, in order of time; None for no limit. None is ahead of `now`.

        The first one is what held when the period began.
        """
        limit = now + CLOCK_TOLERANCE
        found: list[Point] = []
        for point in self._course():
            if (end is not None and point.at >= end) or point.at > limit:
                break
            if start is not None and point.at < start:
                found = [replace(point, at=start)]
            else:
                found.append(point)
        return _thinned(found, most)

    def _course(self) -> Iterator[Point]:
        balances: dict[str, Decimal] = {}
        prices: dict[str, Decimal] = {self.book.numeraire: Decimal(1)}
        net_basis, unknown_bases, initial_bases = ZERO, 0, 0
        for _, stretch in sorted(self._stretches.items()):
            for asset, delta in stretch.moved.items():
                balances[asset] = add(balances.get(asset, ZERO), delta)
            prices.update({asset: price for asset, (_, _, price) in stretch.marks.items()})
            net_basis = add(net_basis, stretch.basis)
            unknown_bases += stretch.unknown_bases
            initial_bases += stretch.initial_bases
            is_known = unknown_bases == 0 or initial_bases > 0
            yield Point(stretch.last_at, equity_of(balances, prices), net_basis, is_known)


def equity_of(balances: Mapping[str, Decimal], prices: Mapping[str, Decimal]) -> Decimal | None:
    """What balances are worth at prices, each rounded once; None where one that is not 0 has no price."""
    held = {asset: balance for asset, balance in balances.items() if not balance.is_zero()}
    if not held.keys() <= prices.keys():
        return None
    return total(value(balance, prices[asset]) for asset, balance in held.items())


def _thinned(points: list[Point], most: int) -> list[Point]:
    """The first point, and the last of each of `most` - 1 stretches of the same length."""
    if len(points) <= most:
        return points
    first, span = points[0].at, points[-1].at - points[0].at
    last_of: dict[int, Point] = {}
    for point in points[1:]:
        last_of[min(int((point.at - first) / span * (most - 1)), most - 2)] = point
    return [points[0], *last_of.values()]


def postings_of(row: Row[Any]) -> Iterator[tuple[str, Decimal]]:
    """What a row of `events` moves, by asset."""
    if row.asset_delta is not None:
        yield row.asset, row.asset_delta
    if row.quote_delta is not None:
        yield row.quote_asset, row.quote_delta
    if row.fee_delta is not None:
        yield row.fee_asset, row.fee_delta
