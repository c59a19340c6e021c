"""States as JSON, for the manifest: the rows of the stored projections, decimals and times as canonical texts.

{"basis":{"":{"net_basis":"85",…}},"inventory":{"XRP":{"total":"10",…}},"marks":{"XRP":{"at":"2026-…Z",…}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any

import orjson
from sqlalchemy import String, Table
from sqlalchemy.types import TypeEngine

from ledger.amounts import amount_text
from ledger.book import Book
from ledger.database.columns import ExactDecimal, UtcTime
from ledger.times import parse_time, time_text
from projections.rows import RowKey, rows_of, state_of
from projections.state import BookState
from projections.tables import TABLES, key_column

_TABLES = {table.name: table for table in TABLES}


def encode_state(state: BookState, book: Book) -> str:
    """A state as canonical JSON."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, key), row in rows_of(state, book).items():
        tables.setdefault(name, {})[key] = {column: _plain(value) for column, value in row.items()}
    return orjson.dumps(tables, option=orjson.OPT_SORT_KEYS).decode()


def decode_state(text: str, book: Book) -> BookState | None:
    """The state that `encode_state` wrote; None for a text that it did not write, or whose projections count otherwise."""
    try:
        tables = orjson.loads(text)
        rows: dict[RowKey, Mapping[str, Any]] = {}
        for name, by_key in tables.items():
            for key, row in by_key.items():
                rows[name, key] = _row(_TABLES[name], row)
        state = state_of(rows, book)
    except (ValueError, TypeError, KeyError, AttributeError, DecimalException):
        return None
    # Figures that were counted otherwise, such as by another release, are not the ones that are asked for.
    return state if encode_state(state, book) == text else None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return amount_text(value)
    return time_text(value) if isinstance(value, datetime) else value


def _row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    names = {column.name for column in table.columns} - {"book", key_column(table)}
    if row.keys() != names:
        raise KeyError(table.name)
    return {name: _value(table.c[name].type, value) for name, value in row.items()}


def _value(kind: TypeEngine[Any], value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case ExactDecimal():
            return Decimal(value)
        case UtcTime():
            return parse_time(value)
        case _:
            if type(value) is not (str if isinstance(kind, String) else int):
                raise TypeError(value)
            return value
