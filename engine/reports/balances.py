"""`balance`: each asset's balance and its parts."""

from __future__ import annotations

from datetime import datetime

from engine.bookkeeper import View
from engine.reports.inbox import waiting_document, waiting_in, waiting_lines
from engine.reports.report import Block, Report, Table, counted
from engine.views import NOW, Moment, view_at
from ledger.database.connections import Database

PARTS = ("fills", "capital", "adjustments")


def balances(database: Database, name: str, moment: Moment = NOW, *, now: datetime | None = None) -> Report:
    """The balances of a book at a moment, in each asset's own unit. `now` and errors: see `view_at`."""
    view = view_at(database, name, moment, now=now)
    table = balance_table(view)
    unknown_fees = view.state.fees.unknown
    waiting = waiting_in(database, name)
    document = {
        "book": view.book.name,
        "version": view.state.version,
        "unknown_fees": unknown_fees,
        "balances": table.as_dicts(),
        "inbox": waiting_document(waiting),
    }
    body: list[Block] = [table]
    if unknown_fees:
        body.append(f"not counted: {counted(unknown_fees, 'fee')} not reported")
    return Report(document, [*body, *waiting_lines(waiting)], table)


def balance_table(view: View) -> Table:
    """Each asset's balance, and the parts that it adds up from."""
    rows = [
        (asset, holding.total, *(getattr(holding, part) for part in PARTS))
        for asset, holding in sorted(view.state.inventory.items())
    ]
    return Table(("asset", "total", *PARTS), rows)
