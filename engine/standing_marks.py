"""Which marks stand, looked up in the log: while a book is appended to, and up to a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from ledger import store
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.marks import Marks, Price, price_of


class MarksOfLog:
    """Tells a fold at the end of the log which marks stand. All events folded before must have been written."""

    def __init__(self, connection: Connection, book: str) -> None:
        self._connection = connection
        self._book = book

    def counts(self, mark: StoredEvent) -> bool:
        """True: a mark counts until an event reverses it, and then `newest` finds the next one."""
        return True

    def newest(self, asset: str, *, without: int) -> Price | None:
        """The newest standing mark of an asset, other than the one at version `without`; None for none."""
        found = store.newest_mark(self._connection, self._book, asset, without=without)
        return None if found is None else price_of(found)


def marks_until(connection: Connection, book: str, marks: Marks, until: datetime) -> Marks:
    """The newest standing marks with `at` ≤ `until`, by asset.

    `marks`: the newest standing marks of all; for each that is later than `until`, the log is asked.
    """
    found: dict[str, Price] = {}
    for asset, mark in marks.items():
        if mark.at <= until:
            found[asset] = mark
        elif (earlier := store.newest_mark(connection, book, asset, until=until)) is not None:
            found[asset] = price_of(earlier)
    return found


def marks_now(connection: Connection, book: str, marks: Marks, now: datetime) -> Marks:
    """The newest standing marks, without those that are ahead of the clock by more than `CLOCK_TOLERANCE`."""
    return marks_until(connection, book, marks, now + CLOCK_TOLERANCE)


def marks_without(connection: Connection, book: str, marks: Marks, version: int) -> Marks:
    """The marks with the one at a version replaced by the next older standing one, or removed when there is none."""
    found = dict(marks)
    for asset, mark in marks.items():
        if mark.version == version:
            before = store.newest_mark(connection, book, asset, until=mark.at, without=version)
            del found[asset]
            found |= {} if before is None else {asset: price_of(before)}
    return found
