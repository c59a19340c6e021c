"""A summary of a book, of one session or one strategy in it: its fills, and what the whole book holds and has earned.

What is a session's or a strategy's: the fills, their volume, fees and time span, and what they add to total PnL at the
newest marks. What is the book's, whoever asks: inventory (the total, and the parts that it adds up from), net basis,
profit and loss. A sum of fills alone never stands under the name of a balance. A fill that was reversed is not counted,
only told.

Fees paid are those of the fills and the adjustments that are fees (`projections.fees`): of the whole book as `pnl` has them,
of a session its own. An adjustment names no strategy, so a strategy's fees are those of its fills.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from engine.bookkeeper import View, utc_now
from engine.views import Moment, view_within
from ledger import store
from ledger.amounts import ZERO, add, subtract, total, value
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.times import BEGINNING
from projections.fees import FEE_REASONS
from projections.marks import Marks
from projections.pnl import Pnl, change, pnl

Pair = tuple[str, str, str]


@dataclass(slots=True)
class Volume:
    """What fills of one side and pair exchanged, fees apart; amounts > 0 in their own units."""

    fills: int = 0
    base_amount: Decimal = ZERO
    quote_amount: Decimal = ZERO


@dataclass(slots=True)
class Fills:
    """The fills that stand. `reversed`: those that do not. `first_at`, `last_at`: None for no fills.

    `volumes`: by side, base asset and quote asset. `fees`: theirs per asset, rebates subtracted. `unknown_fees`: fills
    whose fee was not reported. `moved`: what the fills, fees included, did to each asset; the part of a session in the
    fills part of the balance.
    """

    count: int = 0
    reversed: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    volumes: dict[Pair, Volume] = field(default_factory=dict)
    fees: dict[str, Decimal] = field(default_factory=dict)
    unknown_fees: int = 0
    moved: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """`session`, `strategy`: whose fills they are; None for all of the book.

    `fees`: paid per asset, by the fills and as adjustments. `fills_pnl`: what the fills add to total PnL at the newest
    marks; None while a mark that it needs is missing. `pnl`: the book's, at the newest marks. `start`, `end`: of the period
    that the fills and fees are of, None for no limit; view and figures are those at its end, `pnl_before` those at its
    start, None without a period.
    """

    view: View
    session: str | None
    strategy: str | None
    fills: Fills
    fees: Mapping[str, Decimal]
    fills_pnl: Decimal | None
    pnl: Pnl
    start: datetime | None = None
    end: datetime | None = None
    pnl_before: Pnl | None = None


def summarise(
    database: Database,
    name: str,
    session: str | None = None,
    *,
    strategy: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
) -> Summary:
    """The summary of a book, all from one state of the ledger.

    Its fills are those of the session and of the strategy, where they are named; of both, where both are; and those with
    `start` ≤ `at` < `end`, None for no limit. `now`: what the clock says, None for the system's; marks ahead of it do not
    count. Raises Refused `book_unknown`; StorageError.
    """
    now, at_end = now or utc_now(), Moment(before=end)
    of_period = at_end.condition() if start is None else and_(at_end.condition(), events.c.at >= start)
    before = None
    with database.reading() as connection:
        view = view_within(connection, name, at_end, now=now)
        if start is not None or end is not None:
            first = view_within(connection, name, Moment(before=start or BEGINNING), now=now).state
            before = pnl(first, first.marks, view.book.numeraire)
        reversals = store.reversals(connection, name, where=at_end.condition())
        fills = sum_fills(_fill_rows(connection, name, session, strategy, of_period), reversals)
        figures = pnl(view.state, view.state.marks, view.book.numeraire)
        if strategy is not None:
            paid: Mapping[str, Decimal] = fills.fees
        elif session is not None:
            paid = _with_adjustments(fills.fees, _fee_rows(connection, name, session, of_period), reversals)
        else:
            paid = figures.fees if before is None else change(before, figures).fees
    worth = _worth(fills.moved, view.state.marks, view.book.numeraire)
    return Summary(view, session, strategy, fills, paid, worth, figures, start, end, before)


def _fills_of(book: str) -> Select[Any]:
    columns = (
        events.c.version,
        events.c.at,
        events.c.asset,
        events.c.asset_delta,
        events.c.quote_asset,
        events.c.quote_delta,
        events.c.fee_asset,
        events.c.fee_delta,
    )
    return select(*columns).where(events.c.book == book, events.c.type == "fill")


def _fill_rows(
    connection: Connection, book: str, session: str | None, strategy: str | None, where: ColumnElement[bool]
) -> Iterable[Row[Any]]:
    query = _fills_of(book).where(where)
    if session is not None:
        query = query.where(events.c.session_id == session)
    if strategy is not None:
        query = query.where(events.c.strategy == strategy)
    return store.stream(connection, query)


def fills_by_session(database: Database, name: str, moment: Moment, *, start: datetime | None) -> dict[str, Fills]:
    """The sums of the fills of each session that count at a moment; the key of fills without one is empty.

    `start`: those with `at` from then on; None for no limit. Raises Refused `book_unknown`; StorageError.
    """
    by_session: dict[str, Fills] = defaultdict(Fills)
    with database.reading() as connection:
        store.require_book(connection, name)
        reversals = store.reversals(connection, name, where=moment.condition())
        query = _fills_of(name).add_columns(events.c.session_id).where(moment.condition())
        if start is not None:
            query = query.where(events.c.at >= start)
        for row in store.stream(connection, query):
            _take(by_session[row.session_id or ""], row, reversals)
    return by_session


def _fee_rows(connection: Connection, book: str, session: str, where: ColumnElement[bool]) -> Iterable[Row[Any]]:
    """The adjustments of a session that are fees."""
    query = select(events.c.version, events.c.asset, events.c.asset_delta).where(
        events.c.book == book,
        events.c.type == "adjustment",
        events.c.reason.in_(sorted(FEE_REASONS)),
        events.c.session_id == session,
        where,
    )
    return store.stream(connection, query)


def _with_adjustments(
    fees: Mapping[str, Decimal], rows: Iterable[Row[Any]], reversals: Mapping[int, int]
) -> Mapping[str, Decimal]:
    paid = dict(fees)
    for row in rows:
        if row.version not in reversals:
            paid[row.asset] = subtract(paid.get(row.asset, ZERO), row.asset_delta)
    return paid


def sum_fills(rows: Iterable[Row[Any]], reversals: Mapping[int, int]) -> Fills:
    """The sums of fills; `reversals` by the version of what was reversed."""
    fills = Fills()
    for row in rows:
        _take(fills, row, reversals)
    return fills


def _take(fills: Fills, row: Row[Any], reversals: Mapping[int, int]) -> None:
    if row.version in reversals:
        fills.reversed += 1
        return
    fills.count += 1
    fills.first_at = row.at if fills.first_at is None else min(fills.first_at, row.at)
    fills.last_at = row.at if fills.last_at is None else max(fills.last_at, row.at)
    pair = ("buy" if row.asset_delta > 0 else "sell", row.asset, row.quote_asset)
    volume = fills.volumes.setdefault(pair, Volume())
    volume.fills += 1
    volume.base_amount = add(volume.base_amount, row.asset_delta.copy_abs())
    volume.quote_amount = add(volume.quote_amount, row.quote_delta.copy_abs())
    if row.fee_asset is None:
        fills.unknown_fees += 1
    else:
        fills.fees[row.fee_asset] = subtract(fills.fees.get(row.fee_asset, ZERO), row.fee_delta)
    for asset, delta in (
        (row.asset, row.asset_delta),
        (row.quote_asset, row.quote_delta),
        (row.fee_asset, row.fee_delta),
    ):
        if asset is not None:
            fills.moved[asset] = add(fills.moved.get(asset, ZERO), delta)


def _worth(moved: Mapping[str, Decimal], marks: Marks, numeraire: str) -> Decimal | None:
    """Σ value(delta, mark), each rounded once; None where a mark is missing."""
    held = {asset: delta for asset, delta in moved.items() if not delta.is_zero()}
    if any(asset != numeraire and asset not in marks for asset in held):
        return None
    return total(delta if asset == numeraire else value(delta, marks[asset].price) for asset, delta in held.items())
