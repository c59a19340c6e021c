"""`pnl`: total value, net deposits, net basis, profit and loss; at a moment, or of a period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from engine.cost_basis import CostMethod, basis_at
from engine.pool import Period, Pool, pnl_of_period, pool_at
from engine.reports.currency import Unit, unit_of
from engine.reports.inbox import waiting_document, waiting_in, waiting_lines
from engine.reports.lots import average_entries
from engine.reports.report import Block, Figures, Report, Table, age, counted, or_unknown, shown, signed_or_unknown
from engine.views import NOW, FoldOf, Moment, fold_of_rows
from ledger.book import Book
from ledger.database.connections import Database
from ledger.progress import OnProgress
from projections.marks import Marks, Price
from projections.pnl import Pnl, pnl

FIGURES = (
    "total_value",
    "net_deposits",
    "net_basis",
    "starting_value",
    "total_pnl",
    "trading_value",
    "retained_profit",
    "withdrawn_profit",
    "transferred_profit",
)
# People see it only where something was transferred between books.
_SELDOM = "transferred_profit"
_FIGURE_COLUMNS = ("figure", "asset", "value")
# Prices that somebody gives beside the marks, given the book and the time that they hold at.
PricesGiven: TypeAlias = Callable[[Book, datetime], Marks]


def no_prices(book: Book, at: datetime) -> Marks:
    """The marks alone."""
    return {}


def profit(
    database: Database,
    names: Iterable[str],
    moment: Moment = NOW,
    *,
    now: datetime,
    prices: PricesGiven = no_prices,
    currency: str | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> Report:
    """Profit and loss at a moment, valued with the newest marks and with `prices`, which come first.

    `currency`: to show figures in, at the rate of the moment. `fold_of`, and what is raised: see `pool_at`.
    """
    pool = pool_at(database, names, moment, now=now, fold_of=fold_of)
    at = valued_at(moment, now)
    marks = {**pool.state.marks, **prices(pool.books[0], at)}
    document, body = _valued(pool, marks, at, unit_of(currency, pool.numeraire, marks, at))
    waiting = waiting_in(database, pool.books)
    document["inbox"] = waiting_document(waiting)
    return Report(document, [*body, *waiting_lines(waiting)], csv_rows=_figure_table(document))


def valued_at(moment: Moment, now: datetime) -> datetime:
    """The end of a day that has not ended is not so yet: a mark is as old as it is now."""
    return min(moment.as_of, now) if isinstance(moment.as_of, datetime) else now


def _valued(pool: Pool, marks: Marks, at: datetime, unit: Unit) -> tuple[dict[str, Any], list[Block]]:
    """Profit and loss at these marks, for programs and for people."""
    figures = pnl(pool.state, marks, pool.numeraire)
    amounts = {name: unit.of(getattr(figures, name)) for name in FIGURES}
    document = {**pool.place, "numeraire": pool.numeraire, **unit.document, **_document(figures), **amounts}
    return document, list(_body(figures, amounts, pool, at, unit))


def profit_by_lots(
    database: Database,
    names: Iterable[str],
    method: CostMethod,
    moment: Moment = NOW,
    *,
    now: datetime,
    prices: PricesGiven = no_prices,
    currency: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Profit and loss at a moment, and what it is made of by lots: realised, unrealised, fees and other income.

    total PnL = realised + unrealised − fees_cost + other income − baselines, to the digit; null where a cost is unknown.
    `currency`: to show figures in, each converted at the rate of the moment, so that the identity is not claimed. Raises as
    `engine.cost_basis.basis_at`.
    """
    found = basis_at(database, names, method, moment, now=now, on_progress=on_progress)
    pool, basis, at = found.pool, found.basis, valued_at(moment, now)
    marks = {**pool.state.marks, **prices(pool.books[0], at)}
    unit = unit_of(currency, pool.numeraire, marks, at)
    plain, body = _valued(pool, marks, at, unit)
    waiting = waiting_in(database, pool.books)
    by_asset = {asset: mark.price for asset, mark in marks.items()}
    amounts = {
        "realised": basis.realised,
        "unrealised": basis.unrealised(by_asset),
        "fees_cost": basis.fees.whole,
        "other_income": basis.other_income,
        "baselines": basis.baselines,
    }
    parts = {name: unit.of(amount) for name, amount in amounts.items()}
    entries = average_entries(basis, unit)
    document = {
        **plain,
        "inbox": waiting_document(waiting),
        "method": method.name,
        "fees_view": "in-cost" if method.fees_in_cost else "apart",
        **parts,
        "income": [{"reason": reason, "amount": unit.of(sums.whole)} for reason, sums in sorted(basis.income.items())],
        "identity": "not claimed" if unit.is_other else _identity(basis.earned(by_asset), plain["total_pnl"]),
        "average_entries": entries.as_dicts(),
    }
    rows = [*_figure_table(document).rows, *((key, None, part) for key, part in parts.items())]
    rows += [(f"other_income: {each['reason']}", None, each["amount"]) for each in document["income"]]
    rows += [("average_entry", asset, price) for asset, _, _, price in entries.rows]
    body += [*waiting_lines(waiting), *_lot_lines(document, entries, has_baselines=basis.baselines != 0)]
    return Report(document, body, csv_rows=Table(_FIGURE_COLUMNS, rows))


def _identity(earned: Decimal | None, total_pnl: Decimal | None) -> str:
    """Whether total PnL is what it is made of."""
    if earned is None or total_pnl is None:
        return "unproved"
    return "holds" if earned == total_pnl else "broken"


def _lot_lines(document: Mapping[str, Any], entries: Table, *, has_baselines: bool) -> Iterator[Block]:
    yield f"by lots, {document['method']}:"
    named = {"realised": "realised", "unrealised": "unrealised", "fees_cost": "− fees", "other_income": "other income"}
    figures = [(text, or_unknown(document[key])) for key, text in named.items()]
    if has_baselines:
        figures.append(("− baselines", or_unknown(document["baselines"])))
    # At a rate each figure is rounded by itself, so it is not said that they add up.
    sign = "" if document["identity"] == "not claimed" else "= "
    yield Figures([*figures, (f"{sign}total pnl", or_unknown(document["total_pnl"]))])
    if document["identity"] == "unproved":
        yield "not proved: a cost or a mark is unknown; see `netbasis lots` and `netbasis gains`"
    for income in document["income"]:
        yield f"other income: {income['reason'] or 'no reason'} {shown(or_unknown(income['amount']))}"
    rows = [(asset, quantity, or_unknown(cost), or_unknown(price)) for asset, quantity, cost, price in entries.rows]
    if rows:
        yield Table(("asset", "quantity", "cost", "average entry"), rows)


def _document(figures: Pnl) -> dict[str, Any]:
    return {
        **{name: getattr(figures, name) for name in FIGURES},
        "unknown_fees": figures.unknown_fees,
        "missing_marks": figures.missing_marks,
        "fees": [{"asset": asset, "amount": amount} for asset, amount in sorted(figures.fees.items())],
        "marks": [
            {"asset": asset, "price": mark.price, "source": mark.source, "at": mark.at}
            for asset, mark in sorted(figures.marks.items())
        ],
    }


def change_table(unit: str, at_start: Pnl, at_end: Pnl, difference: Pnl) -> Table:
    """The figures at the start and at the end of a period, and what changed, as people are shown them."""
    rows = []
    for name in shown_figures(at_start, at_end):
        start, end, change = (getattr(part, name) for part in (at_start, at_end, difference))
        rows.append((name.replace("_", " "), or_unknown(start), or_unknown(end), signed_or_unknown(change)))
    return Table((unit, "start", "end", "change"), rows)


def _figure_table(document: Mapping[str, Any]) -> Table:
    """For CSV: a figure a row; fees and marks name their asset, all else has none."""
    rows: list[tuple[Any, ...]] = [(name, None, document[name]) for name in (*FIGURES, "unknown_fees")]
    rows += [("fee", fee["asset"], fee["amount"]) for fee in document["fees"]]
    rows += [("mark", mark["asset"], mark["price"]) for mark in document["marks"]]
    rows += [("missing_mark", asset, None) for asset in document["missing_marks"]]
    return Table(_FIGURE_COLUMNS, rows)


def figure_items(figures: Pnl) -> list[tuple[str, Any]]:
    """The figures by the names that people read."""
    return [(name.replace("_", " "), or_unknown(getattr(figures, name))) for name in shown_figures(figures)]


def shown_figures(*figures: Pnl) -> list[str]:
    """The names of the figures that people are shown."""
    return [name for name in FIGURES if name != _SELDOM or any(part.transferred_profit for part in figures)]


def _body(
    figures: Pnl, amounts: Mapping[str, Decimal | None], pool: Pool, now: datetime, unit: Unit
) -> Iterator[Block]:
    yield pool.unit(currency=unit.currency)
    yield Figures([(name.replace("_", " "), or_unknown(amounts[name])) for name in shown_figures(figures)])
    yield from unit.remarks
    yield from _remarks(figures)
    yield from fee_lines(figures.fees)
    for asset, mark in sorted(figures.marks.items()):
        yield f"mark: {asset} {_mark_text(mark, now, '' if unit.currency is None else f' {unit.numeraire}')}"


def fee_lines(fees: Mapping[str, Any]) -> Iterator[str]:
    """What was paid in fees, a line for each asset."""
    for asset, amount in sorted(fees.items()):
        yield f"fees paid: {shown(amount)} {asset}"


def _remarks(figures: Pnl) -> Iterator[str]:
    """Why a figure is unknown."""
    if figures.missing_marks:
        assets = ", ".join(figures.missing_marks)
        yield f"unknown for want of a mark: {assets} (append mark, or --price {figures.missing_marks[0]}=…)"
    elif figures.retained_profit is None:
        yield "retained profit is unknown: a deposit's basis is, and no synthetic initial basis was committed"
    if figures.unknown_fees:
        yield f"not counted: {counted(figures.unknown_fees, 'fee')} not reported"


def _mark_text(mark: Price, now: datetime, unit: str) -> str:
    return f"{shown(mark.price)}{unit} ({mark.source or 'no source'}, {age(now, mark.at)})"


def profit_of_period(
    database: Database,
    names: Iterable[str],
    *,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None = None,
    now: datetime,
    prices: Marks | None = None,
    fold_of: FoldOf = fold_of_rows,
) -> Report:
    """Profit and loss at the start and the end of a period, and what changed; `prices` count at the end.

    Raises as `pnl_of_period`.
    """
    found = pnl_of_period(database, names, start, end, known_at, prices or {}, now=now, fold_of=fold_of)
    return period_report(found, start, end)


def period_report(found: Period, start: datetime | None, end: datetime | None) -> Report:
    """Profit and loss of a period that was read, from `start` to `end`; None for no limit."""
    document = {
        **found.pool.place,
        "numeraire": found.pool.numeraire,
        "from": start,
        "to": end,
        "start": _document(found.start),
        "end": _document(found.end),
        "change": _document(found.change),
    }
    parts = (found.start, found.end, found.change)
    rows: list[tuple[Any, ...]] = [(name, None, *(getattr(part, name) for part in parts)) for name in FIGURES]
    assets = sorted({asset for part in parts for asset in part.fees})
    rows += [("fee", asset, *(part.fees.get(asset) for part in parts)) for asset in assets]
    csv_rows = Table(("figure", "asset", "start", "end", "change"), rows)
    return Report(document, list(_period_body(found)), csv_rows=csv_rows)


def _period_body(found: Period) -> Iterator[Block]:
    yield change_table(found.pool.unit(), found.start, found.end, found.change)
    yield from _remarks(found.change)
    yield from fee_lines(found.change.fees)
