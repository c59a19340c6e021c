"""`balance`: each asset's balance and its parts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.pool import pool_at
from engine.reports.inbox import waiting_document, waiting_in, waiting_lines
from engine.reports.report import Block, Report, Table, counted
from engine.views import NOW, FoldOf, Moment, fold_of_rows
from ledger.database.connections import Database
from projections.inventory import Inventory

PARTS = ("fills", "capital", "adjustments")


def balances(
    database: Database,
    names: Iterable[str],
    moment: Moment = NOW,
    *,
    now: datetime | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> Report:
    """The balances of a book or a pool at a moment, in each asset's own unit. `now`, `fold_of`, errors: see `pool_at`."""
    pool = pool_at(database, names, moment, now=now, fold_of=fold_of)
    table = balance_table(pool.state.inventory)
    unknown_fees = pool.state.fees.unknown
    waiting = waiting_in(database, pool.books)
    document = {
        **pool.place,
        "unknown_fees": unknown_fees,
        "balances": table.as_dicts(),
        "inbox": waiting_document(waiting),
    }
    body: list[Block] = [pool.unit(), table] if pool.is_several else [table]
    if unknown_fees:
        body.append(f"not counted: {counted(unknown_fees, 'fee')} not reported")
    return Report(document, [*body, *waiting_lines(waiting)], table)


def balance_table(inventory: Inventory) -> Table:
    """Each asset's balance, and the parts that it adds up from."""
    rows = [
        (asset, holding.total, *(getattr(holding, part) for part in PARTS))
        for asset, holding in sorted(inventory.items())
    ]
    return Table(("asset", "total", *PARTS), rows)
