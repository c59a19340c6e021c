"""Views that read the log rather than a stored projection."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ledger import store
from ledger.amounts import ZERO
from ledger.book import Book, Head
from ledger.database import Database
from ledger.tables import events
from projections.audit import AuditRow, audit_rows

_MOVES_BASIS = events.c.effect_of.in_(("deposit", "withdrawal", "basis_commit"))


@dataclass(frozen=True, slots=True)
class Audit:
    """The history of a book's basis; `net_basis` is what it ends at, in the numeraire."""

    book: Book
    head: Head
    net_basis: Decimal
    rows: list[AuditRow]


def audit_basis(database: Database, name: str) -> Audit:
    """Every movement of the book's basis. Raises Refused `book_unknown`; StorageError."""
    with database.reading() as connection:
        book, head = store.require_book(connection, name)
        rows = list(audit_rows(store.read_events(connection, name, where=_MOVES_BASIS)))
    return Audit(book, head, rows[-1].basis_after if rows else ZERO, rows)
