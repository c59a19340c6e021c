"""Marks: the newest standing price of each asset. Newest means the latest `at`, and among equal ones the highest version.

A mark is ignored when its reversal is among the events that count; then the newest of the other marks counts:

    m1 at 1, m2 at 2, m3 at 3, m2 reversed at 5, m3 reversed at 3      the mark as of 4 is m2, as of 5 it is m1

A fold keeps only the newest mark, so it cannot find the next one by itself; a `Standing` tells it. `Selection` knows the
reversed versions before the fold begins; `engine.standing_marks` asks the log when an event reverses the newest mark.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol

from ledger.errors import StorageError, StorageFault
from ledger.events import Mark
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Price:
    """A price of one unit of an asset.

    price:    in the numeraire
    source:   who said so; None when nobody was named
    at:       when it was the price, UTC
    version:  the mark event's; None for a price given with a command
    """

    price: Decimal
    source: str | None
    at: datetime
    version: int | None = None


Marks = Mapping[str, Price]

EMPTY: Marks = MappingProxyType({})


class Standing(Protocol):
    """Tells a fold which marks stand."""

    def counts(self, mark: StoredEvent) -> bool:
        """Whether a mark counts when it is folded."""

    def newest(self, asset: str, *, without: int) -> Price | None:
        """The newest standing mark of an asset, other than the one at version `without`; None for none."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The standing marks of a selection of events.

    reversed_versions:  the marks that the selection reverses, or that do not count for another reason
    until:              later marks do not count; None for no limit
    """

    reversed_versions: Container[int] = frozenset()
    until: datetime | None = None

    def counts(self, mark: StoredEvent) -> bool:
        """Whether a mark counts when it is folded."""
        return mark.version not in self.reversed_versions and (self.until is None or mark.at <= self.until)

    def newest(self, asset: str, *, without: int) -> Price | None:
        """Never called: the marks that the selection reverses were skipped."""
        raise AssertionError(f"the reversed mark of {asset} at version {without} was not named before the fold")


ALL_STAND = Selection()


def apply(marks: Marks, stored: StoredEvent, standing: Standing = ALL_STAND) -> Marks:
    """The marks after an event."""
    if stored.type == "mark":
        return _after_mark(marks, stored) if standing.counts(stored) else marks
    if stored.effects.effect_of != "mark" or stored.asset is None or stored.reverses is None:
        return marks
    newest = marks.get(stored.asset)
    if newest is None or newest.version != stored.reverses:
        return marks
    others = {asset: price for asset, price in marks.items() if asset != stored.asset}
    before = standing.newest(stored.asset, without=stored.reverses)
    return MappingProxyType(others if before is None else {**others, stored.asset: before})


def _after_mark(marks: Marks, stored: StoredEvent) -> Marks:
    price = price_of(stored)
    assert stored.asset is not None  # price_of
    newest = marks.get(stored.asset)
    if newest is not None and (newest.at, newest.version or 0) > (price.at, stored.version):
        return marks
    return MappingProxyType({**marks, stored.asset: price})


def price_of(stored: StoredEvent) -> Price:
    """The price that a mark event states. Raises StorageError `event_unreadable` when its bytes are not a mark."""
    mark = stored.event
    if not isinstance(mark, Mark) or mark.asset != stored.asset:
        raise StorageError(
            StorageFault.EVENT_UNREADABLE,
            f"the event at version {stored.version} is stored as a mark, but its bytes are not a mark",
            advice="run `netbasis check`, and restore the file from a backup",
        )
    return Price(mark.price, mark.price_source, stored.at, stored.version)
