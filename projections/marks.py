"""Marks: the newest price of each asset. Newest is the greatest `at`; of equal ones the higher version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from ledger.errors import StorageError, StorageFault
from ledger.events import Mark
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Price:
    """A price of one unit of an asset in the numeraire; `source` None where nobody named one, `at` in UTC.

    `version`: the mark event's; None for a price given on a command line.
    """

    price: Decimal
    source: str | None
    at: datetime
    version: int | None = None


Marks = Mapping[str, Price]

EMPTY: Marks = MappingProxyType({})


def apply(marks: Marks, event: StoredEvent) -> Marks:
    """The marks after an event."""
    if event.type != "mark":
        return marks
    mark = event.event
    if not isinstance(mark, Mark):
        raise StorageError(
            StorageFault.EVENT_UNREADABLE,
            f"the event at version {event.version} is kept as a mark, but its bytes are not one",
            advice="run `netbasis check`, and restore the file from a backup",
        )
    newest = marks.get(mark.asset)
    if newest is not None and newest.at > event.at:
        return marks
    price = Price(mark.price, mark.price_source, event.at, event.version)
    return MappingProxyType({**marks, mark.asset: price})
