"""What of a state does not add up, looked up in the log's rows: the newest standing marks, and the initial basis.

A later event can take back a mark or the initial basis wherever it stands, so neither is ever taken from sums. The rows'
indexes find them without reading the log.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from ledger import store
from ledger.database.tables import events
from projections.basis import INITIAL_BASIS_KEY
from projections.marks import Marks, Price, price_of
from projections.state import BookState


def with_standing(
    connection: Connection,
    book: str,
    sums: BookState,
    *,
    where: ColumnElement[bool] | None = None,
    until: datetime | None = None,
) -> BookState:
    """Sums made whole by the marks and the initial basis that stand among the events that `where` selects (None: all).

    `until`: later marks do not count; None for no limit. Raises StorageError `event_unreadable`.
    """
    selected = true() if where is None else where
    basis = replace(sums.basis, initial_basis_version=_initial_basis(connection, book, selected))
    return replace(sums, basis=basis, marks=_marks(connection, book, selected, until))


def _marks(connection: Connection, book: str, where: ColumnElement[bool], until: datetime | None) -> Marks:
    is_mark = and_(events.c.book == book, events.c.type == "mark")
    found: dict[str, Price] = {}
    for asset in connection.scalars(select(events.c.asset).where(is_mark).distinct().order_by(events.c.asset)):
        newest = store.newest_mark(connection, book, asset, until=until, where=where)
        if newest is not None:
            found[asset] = price_of(newest)
    return MappingProxyType(found)


def _initial_basis(connection: Connection, book: str, where: ColumnElement[bool]) -> int | None:
    """The version of the newest one, unless it is reversed."""
    of_key = or_(events.c.key == INITIAL_BASIS_KEY, events.c.key.startswith(f"{INITIAL_BASIS_KEY}#", autoescape=True))
    conditions = [events.c.book == book, events.c.type == "basis_commit", of_key, where]
    if connection.dialect.name == "sqlite":
        # Keys are in the order of their bytes there. It would read the whole book instead of this range of its index.
        by_key = events.alias("by_key")
        is_near = and_(by_key.c.key >= INITIAL_BASIS_KEY, by_key.c.key < f"{INITIAL_BASIS_KEY}$")
        conditions.append(events.c.version.in_(select(by_key.c.version).where(by_key.c.book == book, is_near)))
    version = max(connection.scalars(select(events.c.version).where(*conditions)), default=None)
    if version is None:
        return None
    reversal = select(events.c.version).where(events.c.book == book, events.c.reverses == version, where)
    return version if connection.scalar(reversal) is None else None
