"""A book's capital movements, found without reading the book: the partial index on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, select, text

from ledger.database.tables import events
from ledger.events import MOVES_BASIS
from ledger.mapper import decode_row
from ledger.stored import StoredEvent

# SQLite, which has no statistics here, would read the whole book instead of the partial index; naming it is the only way.
_INDEX = "idx_events_capital"
_BY_INDEX = text(
    f"SELECT version FROM events INDEXED BY {_INDEX} WHERE book = :of_book AND effect_of IN {MOVES_BASIS}"  # noqa: S608
).columns(version=BigInteger)
_HAS_INDEX = text("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name")


def moves_basis(connection: Connection, name: str) -> ColumnElement[bool]:
    """The events of a book that move the basis, as a condition on `events`."""
    of_book = events.c.book == name
    if connection.dialect.name != "sqlite" or connection.scalar(_HAS_INDEX, {"name": _INDEX}) is None:
        return and_(of_book, events.c.effect_of.in_(MOVES_BASIS))
    return and_(of_book, events.c.version.in_(_BY_INDEX.bindparams(of_book=name).scalar_subquery()))


def movements_between(
    connection: Connection, name: str, kind: str, asset: str, start: datetime, end: datetime
) -> Iterator[StoredEvent]:
    """The deposits or withdrawals (`kind`) of an asset with `start` ≤ `at` ≤ `end`, reversed ones included, in order."""
    of = and_(events.c.type == kind, events.c.asset == asset, events.c.at >= start, events.c.at <= end)
    query = select(events).where(moves_basis(connection, name), of).order_by(events.c.version)
    yield from map(decode_row, connection.execute(query))
