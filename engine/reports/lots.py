"""`lots`: the open lots and what they cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from engine.cost_basis import CostMethod, basis_at
from engine.pool import Pool
from engine.reports.currency import Unit
from engine.reports.report import Report, Table, counted, or_unknown, shown
from engine.views import NOW, Moment
from ledger.amounts import share, total
from ledger.database.connections import Database
from ledger.progress import OnProgress
from projections.cost_figures import CostBasis, sum_of
from projections.lots import Lot, Unpriced

COLUMNS = ("asset", "quantity", "cost", "price", "opened_at", "version", "opened_by", "book")


def lots(
    database: Database,
    names: Iterable[str],
    method: CostMethod,
    moment: Moment = NOW,
    *,
    now: datetime,
    asset: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """The open lots of a book or a pool at a moment, of one asset or of all. Raises as `engine.cost_basis.basis_at`."""
    found = basis_at(database, names, method, moment, now=now, on_progress=on_progress)
    held = [lot for lot in found.basis.open_lots() if asset in (None, lot.asset)]
    rows = [
        (
            lot.asset,
            lot.quantity,
            lot.cost,
            unit_price(lot.cost, lot.quantity),
            lot.origin.at,
            lot.origin.version,
            lot.origin.cause,
            lot.origin.book,
        )
        for lot in held
    ]
    table = Table(COLUMNS, rows)
    document = {
        **found.pool.place,
        "numeraire": found.pool.numeraire,
        "method": method.name,
        "unknown_costs": sum(lot.cost is None for lot in held),
        "lots": table.as_dicts(),
    }
    readable = [(*row[:2], or_unknown(row[2]), or_unknown(row[3]), *row[4:]) for row in rows]
    body = Table(COLUMNS, readable).without(() if found.pool.is_several else ("book",))
    notes = list(_unknown(held, found.pool))
    return Report(document, [found.pool.unit(method.name), body], table, notes=notes)


def unit_price(cost: Decimal | None, quantity: Decimal) -> Decimal | None:
    """The cost of one unit, to 18 decimals; None when it is unknown."""
    return None if cost is None else share(cost, Decimal(1), quantity)


def average_entries(basis: CostBasis, unit: Unit) -> Table:
    """By asset held, its quantity, what it cost and the average cost of a unit."""
    rows = []
    for asset, held in sorted(basis.lots.items()):
        if held:
            quantity, cost = total(lot.quantity for lot in held), unit.of(sum_of(lot.cost for lot in held))
            rows.append((asset, quantity, cost, unit_price(cost, quantity)))
    return Table(("asset", "quantity", "cost", "price"), rows)


def _unknown(held: list[Lot], pool: Pool) -> Iterator[str]:
    """For each asset with lots of unknown cost, how many there are and the command that gives the first one a price."""
    unknown: defaultdict[str, list[Unpriced]] = defaultdict(list)
    for lot in held:
        if lot.unpriced is not None:
            unknown[lot.asset].append(lot.unpriced)
    for asset, reasons in unknown.items():
        yield f"the cost of {counted(len(reasons), 'lot')} of {asset} is unknown; {price_wanted(reasons[0], pool)}"


def price_wanted(unpriced: Unpriced, pool: Pool) -> str:
    """The event that lacks a price of an asset, and the command that gives it one."""
    asset, origin = unpriced.asset, unpriced.origin
    place = f"version {origin.version}" + (f" of the book {origin.book}" if pool.is_several else "")
    command = f"append mark --asset {asset} --price … --at {shown(origin.at)}"
    return f"{place} has no price of {asset}, which a mark at its time gives it: {command}"
