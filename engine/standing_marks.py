"""Which marks stand, asked of the log: as a book is appended to, and up to a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from ledger import store
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.marks import Marks, Price, price_of


class MarksOfLog:
    """The marks of a book as its log stands, for folding what is appended to it. What was appended must be written."""

    def __init__(self, connection: Connection, book: str) -> None:
        self._connection = connection
        self._book = book

    def counts(self, mark: StoredEvent) -> bool:
        """A mark counts until it is reversed, and then the log is asked for another."""
        return True

    def newest(self, asset: str, *, without: int) -> Price | None:
        """The newest mark of an asset that stands when the one at version `without` no longer does."""
        found = store.newest_mark(self._connection, self._book, asset, without=without)
        return None if found is None else price_of(found)


def marks_until(connection: Connection, book: str, marks: Marks, until: datetime) -> Marks:
    """The newest standing marks with `at` ≤ `until`. `marks`: the newest of all; the log is asked where one is later."""
    found: dict[str, Price] = {}
    for asset, mark in marks.items():
        if mark.at <= until:
            found[asset] = mark
        elif (earlier := store.newest_mark(connection, book, asset, until=until)) is not None:
            found[asset] = price_of(earlier)
    return found


def marks_now(connection: Connection, book: str, marks: Marks, now: datetime) -> Marks:
    """The newest standing marks that are not ahead of the clock by more than its tolerance."""
    return marks_until(connection, book, marks, now + CLOCK_TOLERANCE)


def marks_without(connection: Connection, book: str, marks: Marks, version: int) -> Marks:
    """The marks, the one at a version replaced by the newest standing one that is not later than it."""
    found = dict(marks)
    for asset, mark in marks.items():
        if mark.version == version:
            before = store.newest_mark(connection, book, asset, until=mark.at, without=version)
            del found[asset]
            found |= {} if before is None else {asset: price_of(before)}
    return found
