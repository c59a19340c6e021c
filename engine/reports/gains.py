"""`gains`: what was closed with a gain or a loss, one disposal a row or summed by group; and `income`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from engine.cost_basis import CostMethod, basis_at
from engine.pool import Pool
from engine.reports.lots import price_wanted
from engine.reports.report import Block, Figures, Report, Table, counted, or_unknown, rate_notes
from engine.views import Moment
from ledger.database.connections import Database
from ledger.progress import OnProgress
from projections.cost_figures import sum_of
from projections.lots import Disposal, Unpriced
from projections.rates import ONE, Rates

COLUMNS = (
    "asset",
    "quantity",
    "opened_at",
    "closed_at",
    "holding_days",
    "proceeds",
    "cost",
    "gain",
    "closed_by",
    "short",
    "session_id",
    "strategy",
    "opened_version",
    "closed_version",
    "opened_book",
    "closed_book",
)
_SHOWN = ("asset", "quantity", "opened_at", "closed_at", "proceeds", "cost", "gain", "opened_version", "closed_version")
_BOOKS = ("opened_book", "closed_book")
GROUP_COLUMNS = ("disposals", "proceeds", "cost", "gain", "unknown")


def _local(disposal: Disposal, zone: tzinfo) -> datetime:
    return disposal.closed.at.astimezone(zone)


GROUPS: Mapping[str, Callable[[Disposal, tzinfo], str]] = {
    "day": lambda disposal, zone: f"{_local(disposal, zone):%Y-%m-%d}",
    "month": lambda disposal, zone: f"{_local(disposal, zone):%Y-%m}",
    "year": lambda disposal, zone: f"{_local(disposal, zone):%Y}",
    "session": lambda disposal, zone: disposal.closed.session_id or "",
    "strategy": lambda disposal, zone: disposal.closed.strategy or "",
    "asset": lambda disposal, zone: disposal.asset,
}


def gains(
    database: Database,
    names: Iterable[str],
    method: CostMethod,
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    now: datetime,
    zone: tzinfo,
    group_by: str | None = None,
    currency: str | None = None,
    as_of: int | datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """The disposals with `start` ≤ closed `at` < `end`; None for no limit. `zone`: of days, months and years.

    `currency`: to show proceeds and costs in, each at the rate of its own time. `as_of`: see
    `engine.views.Moment`. Raises as `engine.cost_basis.basis_at`.
    """
    moment = Moment(as_of, known_at, end)
    found = basis_at(database, names, method, moment, now=now, currency=currency, on_progress=on_progress)
    closed = [each for each in found.basis.disposals if start is None or each.closed.at >= start]
    notes = _notes(closed, found.pool)
    unrated = _unrated(found.rates, ((each.opened.at, each.closed.at) for each in closed))
    if currency is not None:
        closed = [replace(each, proceeds=each.proceeds_in, cost=each.cost_in) for each in closed]
    document = {
        **found.pool.place,
        "numeraire": found.pool.numeraire,
        "method": method.name,
        "fees": "in-cost" if method.fees_in_cost else "apart",
        "from": start,
        "to": end,
        **_currency(currency, unrated),
        **_sums(closed),
    }
    if group_by is None:
        rows = Table(COLUMNS, [_row(each) for each in closed])
        names_shown = (*_SHOWN, *_BOOKS) if found.pool.is_several else _SHOWN
        shown = Table(names_shown, [[_cell(COLUMNS, row, name) for name in names_shown] for row in rows.rows])
        document["gains"] = rows.as_dicts()
    else:
        rows = _grouped(closed, group_by, zone)
        shown = Table(rows.columns, [[*row[:2], *map(or_unknown, row[2:5]), row[5]] for row in rows.rows])
        document["groups"] = rows.as_dicts()
    sums = _sums(closed)
    body: list[Block] = [
        found.pool.unit(method.name, currency=currency),
        shown,
        Figures([(figure, or_unknown(sums[figure])) for figure in ("proceeds", "cost", "gain")]),
    ]
    return Report(document, body, rows, notes=[*notes, *rate_notes(currency, unrated)])


def _unrated(rates: Rates | None, times: Iterable[tuple[datetime, ...]]) -> list[datetime]:
    """The times at which a rate was needed and there is none, in order; empty where no currency was asked for."""
    if rates is None:
        return []
    return sorted({at for needed in times for at in needed if rates.convert(ONE, at) is None})


def _currency(currency: str | None, unrated: list[datetime]) -> dict[str, Any]:
    """The currency and its missing rates, as members of a JSON document; none where no currency was asked for."""
    return {} if currency is None else {"in": currency, "missing_rates": unrated}


def _notes(closed: Sequence[Disposal], pool: Pool) -> list[str]:
    wanted = [each.unpriced for each in closed if each.unpriced is not None]
    if not wanted:
        return []
    return [f"the gain of {counted(len(wanted), 'disposal')} is unknown; {price_wanted(wanted[0], pool)}"]


def _row(each: Disposal) -> list[Any]:
    return [
        each.asset,
        each.quantity,
        each.opened.at,
        each.closed.at,
        (each.closed.at - each.opened.at).days,
        each.proceeds,
        each.cost,
        each.gain,
        each.closed.cause,
        each.is_short,
        each.closed.session_id,
        each.closed.strategy,
        each.opened.version,
        each.closed.version,
        each.opened.book,
        each.closed.book,
    ]


def _cell(columns: Sequence[str], row: Sequence[Any], name: str) -> Any:
    value = row[columns.index(name)]
    return or_unknown(value) if name in ("proceeds", "cost", "gain") else value


def _sums(closed: Sequence[Disposal]) -> dict[str, Any]:
    return {
        "disposals": len(closed),
        "proceeds": sum_of(each.proceeds for each in closed),
        "cost": sum_of(each.cost for each in closed),
        "gain": sum_of(each.gain for each in closed),
        "unknown": sum(each.gain is None for each in closed),
    }


def _grouped(closed: Sequence[Disposal], group_by: str, zone: tzinfo) -> Table:
    groups: defaultdict[str, list[Disposal]] = defaultdict(list)
    for each in closed:
        groups[GROUPS[group_by](each, zone)].append(each)
    rows = [[name, *(_sums(groups[name])[column] for column in GROUP_COLUMNS)] for name in sorted(groups)]
    return Table((group_by, *GROUP_COLUMNS), rows)


INCOME_COLUMNS = ("at", "version", "reason", "asset", "amount", "value", "session_id", "book")


def income(
    database: Database,
    names: Iterable[str],
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    now: datetime,
    currency: str | None = None,
    as_of: int | datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Each reward, rebate, funding payment and other adjustment that is no fee, with its value at the mark of its time.

    What is paid is negative. `start` ≤ `at` < `end`; None for no limit. `currency`: to show values in, each at the rate of
    its time. `as_of`: see `engine.views.Moment`. Raises as `engine.cost_basis.basis_at`.
    """
    moment = Moment(as_of, known_at, end)
    found = basis_at(database, names, CostMethod(), moment, now=now, currency=currency, on_progress=on_progress)
    receipts = [each for each in found.basis.receipts if start is None or each.origin.at >= start]
    unrated = _unrated(found.rates, ((each.origin.at,) for each in receipts))
    unknown = [each for each in receipts if each.worth is None]
    notes = [
        f"the value of {counted(len(unknown), 'payment')} is unknown; "
        + price_wanted(Unpriced(each.asset, each.origin), found.pool)
        for each in unknown[:1]
    ]
    if currency is not None:
        receipts = [replace(each, worth=each.worth_in) for each in receipts]
    rows = [
        (
            each.origin.at,
            each.origin.version,
            each.reason,
            each.asset,
            each.amount,
            each.worth,
            each.origin.session_id,
            each.origin.book,
        )
        for each in receipts
    ]
    table = Table(INCOME_COLUMNS, rows)
    sums: defaultdict[str, list[Decimal | None]] = defaultdict(list)
    for each in receipts:
        sums[each.reason].append(each.worth)
    by_reason = [{"reason": reason, "value": sum_of(values)} for reason, values in sorted(sums.items())]
    document = {
        **found.pool.place,
        "numeraire": found.pool.numeraire,
        "from": start,
        "to": end,
        **_currency(currency, unrated),
        "income": table.as_dicts(),
        "by_reason": by_reason,
    }
    readable = Table(INCOME_COLUMNS, [[*row[:5], or_unknown(row[5]), *row[6:]] for row in rows])
    shown = readable.without(() if found.pool.is_several else ("book",))
    figures = Figures([(str(each["reason"]), or_unknown(each["value"])) for each in by_reason])
    body: list[Block] = [found.pool.unit(currency=currency), shown, *([figures] if by_reason else [])]
    return Report(document, body, table, notes=[*notes, *rate_notes(currency, unrated)])
