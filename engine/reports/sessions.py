"""`sessions`: a desk's runs, each with its fills, their volume and fees, and what was realised in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.cost_basis import CostMethod, basis_at
from engine.reports.report import Report, Table, or_unknown, shown
from engine.reports.summarising import Fills, fills_by_session
from engine.views import Moment
from ledger.amounts import add
from ledger.database.connections import Database
from ledger.progress import OnProgress
from projections.cost_figures import sum_of

_COLUMNS = ("session_id", "fills", "first_at", "last_at", "volume", "fees", "unknown_fees", "realised")


def sessions(
    database: Database,
    name: str,
    method: CostMethod,
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    now: datetime,
    as_of: int | datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """The sessions with a fill in `start` ≤ `at` < `end`, in the order of their first fill; None for no limit.

    Volume is that of the quote assets, fees are per asset, and realised is the gain of what the session's fills and fees
    closed, in the numeraire; None where a cost is unknown. `as_of`: see `engine.views.Moment`. Raises as
    `engine.cost_basis.basis_at`.
    """
    moment = Moment(as_of, known_at, end)
    found = basis_at(database, [name], method, moment, now=now, on_progress=on_progress)
    by_session = fills_by_session(database, name, moment, start=start)
    gained: defaultdict[str, list[Decimal | None]] = defaultdict(list)
    for each in found.basis.disposals:
        if each.closed.cause in ("fill", "fee") and (start is None or each.closed.at >= start):
            gained[each.closed.session_id or ""].append(each.gain)
    rows = [
        (
            session,
            fills.count,
            fills.first_at,
            fills.last_at,
            _amounts(_volume(fills)),
            _amounts(fills.fees),
            fills.unknown_fees,
            sum_of(gained[session]),
        )
        for session, fills in sorted(by_session.items(), key=lambda item: (item[1].first_at or now, item[0]))
        if fills.count
    ]
    table = Table(_COLUMNS, rows)
    document = {
        **found.pool.place,
        "numeraire": found.pool.numeraire,
        "method": method.name,
        "sessions": table.as_dicts(),
    }
    readable = [(row[0] or None, *row[1:4], _text(row[4]), _text(row[5]), row[6], or_unknown(row[7])) for row in rows]
    return Report(document, [found.pool.unit(method.name), Table(_COLUMNS, readable)], table)


def _volume(fills: Fills) -> Mapping[str, Decimal]:
    volume: dict[str, Decimal] = {}
    for (_, _, quote), traded in fills.volumes.items():
        volume[quote] = add(volume.get(quote, Decimal(0)), traded.quote_amount)
    return volume


def _amounts(by_asset: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    return [{"asset": asset, "amount": amount} for asset, amount in sorted(by_asset.items())]


def _text(amounts: Iterable[Mapping[str, Any]]) -> str | None:
    return ", ".join(f"{shown(each['amount'])} {each['asset']}" for each in amounts) or None
