"""The old rows as values, read from a copy of the old database. This module knows nothing about netbasis events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from engine.importers.legacy.columns import CAPITAL, FILLS, LEDGER, STATE, ColumnNames, Layout, find_layout, quoted
from engine.importers.legacy.copying import reading
from engine.importers.legacy.values import OldRow, parse_label
from ledger.amounts import ZERO, negate
from ledger.errors import Refusal, Refused
from ledger.events import MOVES_BASIS

SIDES = ("buy", "sell")


@dataclass(frozen=True, slots=True)
class CapitalRow:
    """A row of `capital_events`. None: the old database has no value."""

    id: str
    event_type: str
    asset: str
    amount: Decimal
    price: Decimal | None
    basis_delta: Decimal | None
    source_note: str | None
    tx_hash: str | None
    time: datetime

    @property
    def moved(self) -> Decimal:
        """What it moved of its asset, signed; 0 for a basis commit."""
        if self.event_type == "basis_commit":
            return ZERO
        return self.amount if self.event_type == "deposit" else negate(self.amount)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of `inventory_ledger`. None: the old database has no value."""

    id: str
    asset: str
    new_balance: Decimal
    change: Decimal | None
    fill_id: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class FillRow:
    """A row of `fills`. None: the old database has no value."""

    id: str
    session_id: str | None
    side: str
    price: Decimal | None
    quantity: Decimal
    quote_amount: Decimal | None
    base_asset: str
    quote_asset: str
    fee_amount: Decimal | None
    fee_asset: str | None
    order_id: str | None
    tx_hash: str | None
    time: datetime


@dataclass(slots=True)
class LegacyRows:
    """The content of an old database, each table in the order in which it was written.

    capital, ledger, fills:  the rows
    starting_value:          in the numeraire; None when `engine_state` has none
    notes:                   what is missing and worth knowing
    """

    capital: list[CapitalRow] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    fills: list[FillRow] = field(default_factory=list)
    starting_value: Decimal | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How to read an old database.

    numeraire, base_asset:  the book's
    starting_value_key:     the key of the starting value in `engine_state`
    mapped:                 columns with unusual names
    engine_start:           the time of rows that have none, UTC; None when all have one
    """

    numeraire: str
    base_asset: str
    starting_value_key: str
    mapped: ColumnNames = field(default_factory=dict)
    engine_start: datetime | None = None


def read_legacy(copy: Path, source: str, how: ReadingOptions) -> LegacyRows:
    """All rows of a copy of the old database. `source`: the original's name, for errors.

    Raises Refused: `field_required`, and whatever a value raises, naming table, row and column; StorageError.
    """
    with reading(copy, source) as connection:
        layout = find_layout(connection, how.numeraire, how.mapped, has_engine_start=how.engine_start is not None)
        fill_columns = layout.tables.get(FILLS, {})
        if "fee_amount" in fill_columns and "fee_asset" not in fill_columns:
            layout.notes.append(f"fills has no column fee_asset: its fees are taken to be {how.numeraire}")
        return LegacyRows(
            capital=[_capital(row, how) for row in _rows(connection, layout, CAPITAL)],
            ledger=[_ledger(row, how) for row in _rows(connection, layout, LEDGER)],
            fills=[_fill(row, how) for row in _rows(connection, layout, FILLS)],
            starting_value=_starting_value(connection, layout, how),
            notes=layout.notes,
        )


def _capital(row: OldRow, how: ReadingOptions) -> CapitalRow:
    return CapitalRow(
        id=row.id,
        event_type=row.choice("event_type", MOVES_BASIS),
        asset=row.text("asset"),
        amount=row.amount("amount"),
        price=row.optional_amount("price_rlusd"),
        basis_delta=row.optional_amount("basis_delta_rlusd"),
        source_note=row.optional_text("source_note"),
        tx_hash=row.optional_text("tx_hash") or None,
        time=row.time(how.engine_start),
    )


def _ledger(row: OldRow, how: ReadingOptions) -> LedgerRow:
    return LedgerRow(
        id=row.id,
        asset=row.text("asset"),
        new_balance=row.balance("new_balance"),
        change=row.optional_balance("change"),
        fill_id=row.optional_text("fill_id"),
        time=row.time(how.engine_start),
    )


def _fill(row: OldRow, how: ReadingOptions) -> FillRow:
    fee = row.optional_amount("fee_amount")
    quote_asset = row.optional_text("quote_asset") or how.numeraire
    return FillRow(
        id=row.id,
        session_id=row.optional_text("session_id"),
        side=row.choice("side", SIDES),
        price=row.optional_amount("price"),
        quantity=row.amount("quantity"),
        quote_amount=row.optional_balance("quote_amount"),
        base_asset=row.optional_text("base_asset") or how.base_asset,
        quote_asset=quote_asset,
        fee_amount=fee,
        fee_asset=None if fee is None else row.optional_text("fee_asset") or quote_asset,
        order_id=row.optional_text("order_id"),
        tx_hash=row.optional_text("tx_hash") or None,
        time=row.time(how.engine_start),
    )


def _starting_value(connection: sqlite3.Connection, layout: Layout, how: ReadingOptions) -> Decimal | None:
    for values in _select(connection, STATE, layout.tables.get(STATE, {})):
        if values["key"] == how.starting_value_key:
            return OldRow(STATE, how.starting_value_key, layout.tables[STATE], values).optional_amount("value")
    return None


def _rows(connection: sqlite3.Connection, layout: Layout, table: str) -> Iterator[OldRow]:
    """The rows of a table in the order in which they were written: by id if all ids are integers, otherwise by rowid.

    Raises Refused when two rows have the same id, since only one of them could be imported.
    """
    columns = layout.tables.get(table, {})
    found = [(_row_id(values, table), values) for values in _select(connection, table, columns)]
    if all(isinstance(row_id, int) for row_id, _ in found):
        found.sort(key=lambda row: row[0])
    seen: set[str] = set()
    for row_id, values in found:
        if str(row_id) in seen:
            raise Refused(Refusal.FIELD_DUPLICATE, f"two rows of {table} have the same id", actual=row_id)
        seen.add(str(row_id))
        yield OldRow(table, str(row_id), columns, values)


def _row_id(values: dict[str, object], table: str) -> int | str:
    found = values["id"]
    try:
        return found if isinstance(found, int) else parse_label(found)
    except Refused as refused:
        refused.where = f"{table}, an id"
        raise


def _select(connection: sqlite3.Connection, table: str, columns: dict[str, str]) -> Iterator[dict[str, object]]:
    """The rows as values by field, in the order in which they were written; without ids, the rowid takes their place."""
    if not columns:
        return
    has_rowid = _has_rowid(connection, table)
    places = {name: quoted(column) for name, column in columns.items()}
    if "id" not in places:
        places["id"] = "rowid" if has_rowid else "NULL"
    query = f"SELECT {', '.join(places.values())} FROM {table}{' ORDER BY rowid' if has_rowid else ''}"  # noqa: S608 quoted
    for row in connection.execute(query):
        yield dict(zip(places, row, strict=True))


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    try:
        connection.execute(f"SELECT rowid FROM {table} LIMIT 0")  # noqa: S608 one of four names
    except sqlite3.OperationalError:
        return False
    return True
