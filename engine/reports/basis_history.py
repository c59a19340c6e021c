"""`audit basis`: the history of a book's basis, line by line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from engine.reports.report import UNKNOWN, Block, Report, Table, shown
from engine.views import NOW, Moment, audit_basis
from ledger.database.connections import Database
from projections.audit import AuditRow

COLUMNS = tuple(field.name for field in fields(AuditRow))


def basis_history(database: Database, name: str, moment: Moment = NOW) -> Report:
    """Every movement of the basis that counts at the moment, with the basis after it. Raises as `view_at`."""
    audit = audit_basis(database, name, moment)
    table = Table(COLUMNS, [[getattr(row, column) for column in COLUMNS] for row in audit.rows])
    document = {
        "book": audit.book.name,
        "version": audit.version,
        "net_basis": audit.net_basis,
        "rows": table.as_dicts(),
    }
    body: list[Block] = [
        Table(COLUMNS, [_cells(row) for row in audit.rows]),
        f"net basis: {shown(audit.net_basis)} {audit.book.numeraire}",
    ]
    return Report(document, body, table)


def _cells(row: AuditRow) -> list[Any]:
    is_unknown = row.type == "deposit" and row.basis_delta is None
    return [UNKNOWN if column == "basis_delta" and is_unknown else getattr(row, column) for column in COLUMNS]
