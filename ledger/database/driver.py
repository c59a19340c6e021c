"""Rows that go to the driver as they are, and whole numbers that come from it.

SQLAlchemy takes five times as long to bind a row and to run a statement as SQLite takes to carry it out. So what an append
writes is given to the driver: texts of statements, and tuples of what the columns hold, which is on SQLite amounts and times
as texts, and on PostgreSQL as they are. What it asks each time and what needs no decoding is asked so, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Table

from ledger.amounts import amount_text
from ledger.database.columns import ExactDecimal, UtcTime
from ledger.times import time_text

Encode = Callable[[Any], object]


@lru_cache(maxsize=32)
def insert_text(table: Table, dialect: str) -> str:
    """The statement that inserts a row of a table, given as a tuple in the order of its columns. `dialect`: its name."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    places = ", ".join(_placeholder(dialect) for _ in table.columns)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({places})"  # noqa: S608 - names of columns


@lru_cache(maxsize=32)
def copy_text(table: Table) -> str:
    """The statement by which a server takes many rows of a table; the columns as in `insert_text`."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    return f"COPY {table.name} ({columns}) FROM STDIN"


@lru_cache(maxsize=32)
def update_text(table: Table, dialect: str, names: tuple[str, ...]) -> str:
    """The statement that sets columns of the row with a primary key, whose values come last in the tuple."""
    given = ", ".join(f'"{name}" = {_placeholder(dialect)}' for name in names)
    which = _where(dialect, [column.name for column in table.primary_key])
    return f"UPDATE {table.name} SET {given} {which}"  # noqa: S608 - names of columns


@lru_cache(maxsize=32)
def select_text(table: Table, dialect: str, name: str, by: tuple[str, ...]) -> str:
    """The query for a column of the rows in which other columns are what is given, in their order."""
    return f'SELECT "{name}" FROM {table.name} {_where(dialect, by)}'  # noqa: S608 - names of columns


def _where(dialect: str, names: Iterable[str]) -> str:
    return "WHERE " + " AND ".join(f'"{name}" = {_placeholder(dialect)}' for name in names)


def _placeholder(dialect: str) -> str:
    return "?" if dialect == "sqlite" else "%s"


def driver_values(table: Table, dialect: str, names: tuple[str, ...], row: Mapping[str, Any]) -> tuple[object, ...]:
    """The values of some columns of a row, in their order, for the driver."""
    encode = _encoders_by_name(table, dialect)
    return tuple([row[name] if name not in encode or row[name] is None else encode[name](row[name]) for name in names])


@lru_cache(maxsize=32)
def _encoders_by_name(table: Table, dialect: str) -> Mapping[str, Encode]:
    names = table.columns.keys()
    return {names[position]: encode for position, encode in encoders(table, dialect)}


@lru_cache(maxsize=32)
def encoders(table: Table, dialect: str) -> tuple[tuple[int, Encode], ...]:
    """The positions whose values the engine does not hold as they are, each with what makes them its own."""
    if dialect != "sqlite":
        return ()
    found: list[tuple[int, Encode]] = []
    for position, column in enumerate(table.columns):
        if isinstance(column.type, ExactDecimal):
            found.append((position, amount_text))
        elif isinstance(column.type, UtcTime):
            found.append((position, time_text))
    return tuple(found)


def as_driver_row(values: list[Any], encode: tuple[tuple[int, Encode], ...]) -> tuple[object, ...]:
    """A row for the driver. `values`: in the order of the columns; changed in place. `encode`: see `encoders`."""
    for position, to in encode:
        if values[position] is not None:
            values[position] = to(values[position])
    return tuple(values)
