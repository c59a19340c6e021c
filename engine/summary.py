"""A summary of a book, or of one session in it: its fills, and what the whole book holds and has earned.

What is a session's: the fills, their volume, fees and time span, and what they add to total PnL at the newest marks. What is
the book's, whoever asks: inventory (the total, and the parts that it adds up from), net basis, profit and loss. A sum of
fills alone never stands under the name of a balance. A fill that was reversed is not counted, only told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from engine.bookkeeper import View, utc_now
from engine.projection_store import load_rows, stored_state
from engine.standing_marks import marks_now
from ledger import store
from ledger.amounts import ZERO, add, subtract, total, value
from ledger.database import Database
from ledger.tables import events
from projections.marks import Marks
from projections.pnl import Pnl, pnl

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

    `volumes`: by side, base asset and quote asset. `fees`: paid per asset, rebates subtracted. `unknown_fees`: fills
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
    """`session`: None for all fills of the book. `fills_pnl`: what the fills add to total PnL at the newest marks.

    `pnl`: the book's, at the newest marks. `fills_pnl` is None while a mark that it needs is missing.
    """

    view: View
    session: str | None
    fills: Fills
    fills_pnl: Decimal | None
    pnl: Pnl


def summarise(database: Database, name: str, session: str | None = None, *, now: datetime | None = None) -> Summary:
    """The summary of a book, its fills being those of a session where one is named, all from one state of the ledger.

    `now`: what the clock says, None for the system's; marks ahead of it do not count. Raises Refused `book_unknown`;
    StorageError.
    """
    with database.reading() as connection:
        book, head = store.require_book(connection, name)
        state = stored_state(load_rows(connection, name), book, head)
        marks = marks_now(connection, name, state.marks, now or utc_now())
        fills = sum_fills(_fill_rows(connection, name, session), store.reversals(connection, name))
    worth = _worth(fills.moved, marks, book.numeraire)
    view = View(book, head, replace(state, marks=marks))
    return Summary(view, session, fills, worth, pnl(state, marks, book.numeraire))


def _fill_rows(connection: Connection, book: str, session: str | None) -> Iterable[Row[Any]]:
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
    of_book = and_(events.c.book == book, events.c.type == "fill")
    query = select(*columns).where(of_book if session is None else and_(of_book, events.c.session_id == session))
    return store.stream(connection, query)


def sum_fills(rows: Iterable[Row[Any]], reversals: Mapping[int, int]) -> Fills:
    """The sums of fills; `reversals` by the version of what was reversed."""
    fills = Fills()
    for row in rows:
        if row.version in reversals:
            fills.reversed += 1
        else:
            _count(fills, row)
    return fills


def _count(fills: Fills, row: Row[Any]) -> None:
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
