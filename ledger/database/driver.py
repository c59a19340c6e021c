"""Rows that go to the driver as they are.

SQLAlchemy's binding of a row of `events` takes longer than SQLite takes to insert it. So the rows of the log are given to
the driver as tuples of what its columns hold: on SQLite amounts and times as texts, on PostgreSQL as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import Table

from ledger.amounts import amount_text
from ledger.database.columns import ExactDecimal, UtcTime
from ledger.times import time_text

Encode = Callable[[Any], object]


@lru_cache(maxsize=8)
def insert_text(table: Table, dialect: str) -> str:
    """The statement that inserts a row of a table, given as a tuple in the order of its columns. `dialect`: its name."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    placeholder = "?" if dialect == "sqlite" else "%s"
    places = ", ".join(placeholder for _ in table.columns)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({places})"  # noqa: S608 - names of columns


@lru_cache(maxsize=8)
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
