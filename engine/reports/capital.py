"""The capital movements of a book, newest first and a page at a time, each with the net basis after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, and_, select

from engine.reports.paging import bytes_have
from engine.views import NOW, Moment, require_at
from ledger import store
from ledger.amounts import ZERO, add, subtract, total
from ledger.book import Book, Head
from ledger.capital_index import moves_basis
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.mapper import decode_row
from ledger.stored import StoredEvent
from projections.audit import AuditRow, audit_rows


@dataclass(frozen=True, slots=True)
class Movement:
    """A capital movement, in the numeraire.

    type, kind:   of the event; and what it is an effect of, which for a reversal is the reversed event's type
    value:        what it moved: of a basis commit the basis, else the net deposits
    basis_after:  net basis after it, in the order of the log
    """

    version: int
    at: datetime
    type: str
    kind: str
    value: Decimal
    basis_after: Decimal


def movements(
    database: Database, name: str, moment: Moment, *, start: datetime | None, end: datetime | None, most: int
) -> list[Movement]:
    """The newest `most` movements with `start` ≤ `at` < `end`, in order of time; None for no limit.

    Raises as `engine.views.view_at`.
    """
    columns = (
        events.c.version,
        events.c.at,
        events.c.type,
        events.c.effect_of,
        events.c.net_deposits_delta,
        events.c.basis_delta,
    )
    found: list[Movement] = []
    with database.reading() as connection:
        require_at(connection, name, moment)
        net_basis = ZERO
        of_book = and_(moves_basis(connection, name), moment.condition())
        for row in store.stream(connection, select(*columns).where(of_book).order_by(events.c.version)):
            net_basis = add(net_basis, row.basis_delta)
            if (start is None or row.at >= start) and (end is None or row.at < end):
                moved = row.basis_delta if row.effect_of == "basis_commit" else row.net_deposits_delta
                found.append(Movement(row.version, row.at, row.type, row.effect_of, moved, net_basis))
                if len(found) > 2 * most:
                    del found[:most]
    return sorted(found[-most:], key=lambda each: (each.at, each.version))


@dataclass(frozen=True, slots=True)
class BasisPage:
    """A page of the history of the basis.

    rows:   newest first
    older:  the next page is the one before this version; None at the beginning
    newer:  the page before is the one after this version; None at the end
    """

    book: Book
    head: Head
    net_basis: Decimal
    rows: Sequence[AuditRow]
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class BasisPageChoice:
    """Which page of the history of the basis; the fields are those of `engine.reports.paging.PageChoice`."""

    moment: Moment = NOW
    type: str | None = None
    text: str | None = None
    before: int | None = None
    after: int | None = None
    events: int = 100


def basis_page(database: Database, name: str, wanted: BasisPageChoice) -> BasisPage:
    """A page of the movements of the basis that count at a moment. Raises as `engine.views.view_at`."""
    with database.reading() as connection:
        book, head = require_at(connection, name, wanted.moment)
        found, is_more = _find(connection, name, wanted)
        counted = and_(moves_basis(connection, name), wanted.moment.condition())
        deltas = {
            row.version: row.basis_delta
            for row in store.stream(connection, select(events.c.version, events.c.basis_delta).where(counted))
        }
        reversed_here = events.c.reverses.in_([stored.version for stored in found])
        where = and_(reversed_here, wanted.moment.condition())
        reversals = store.reversals(connection, name, where=where) if found else {}
    net_basis = total(deltas.values())
    rows = list(_rows(found, deltas, net_basis, reversals))
    first, last = (found[-1].version, found[0].version) if found else (1, head.version)
    older = first if found and (is_more or wanted.after is not None) else None
    newer = last if found and (wanted.before is not None or (wanted.after is not None and is_more)) else None
    return BasisPage(book, head, net_basis, rows, older, newer)


def _find(connection: Connection, name: str, wanted: BasisPageChoice) -> tuple[list[StoredEvent], bool]:
    conditions = [moves_basis(connection, name), wanted.moment.condition()]
    if wanted.type is not None:
        conditions.append(events.c.type == wanted.type)
    if wanted.text is not None:
        conditions.append(bytes_have(connection, wanted.text))
    if wanted.after is not None:
        conditions.append(events.c.version > wanted.after)
    elif wanted.before is not None:
        conditions.append(events.c.version < wanted.before)
    order = events.c.version.desc() if wanted.after is None else events.c.version
    query = select(events).where(*conditions).order_by(order).limit(wanted.events + 1)
    found = [decode_row(row) for row in connection.execute(query)]
    is_more = len(found) > wanted.events
    del found[wanted.events :]
    if wanted.after is not None:
        found.reverse()
    return found, is_more


def _rows(
    found: Sequence[StoredEvent], deltas: dict[int, Decimal], net_basis: Decimal, reversals: dict[int, int]
) -> Iterator[AuditRow]:
    """The rows, newest first, each with the basis after it, counted back from the end."""
    later = sorted(deltas, reverse=True)
    place = 0
    for stored in found:
        while place < len(later) and later[place] > stored.version:
            net_basis = subtract(net_basis, deltas[later[place]])
            place += 1
        (row,) = audit_rows([stored], reversals, basis_before=subtract(net_basis, stored.effects.basis_delta))
        yield row
