"""Reading rows as the driver gives them, whatever somebody else has put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, type_coerce
from sqlalchemy.types import NullType

from ledger.amounts import amount_text
from ledger.times import time_text


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Within it, SQLite's texts that are not UTF-8 are read, with surrogates, where else the whole read would fail."""
    driver = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite" or driver is None:
        yield
        return
    driver.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = str


def raw_columns(table: Table) -> list[Any]:
    """The columns of a table, to be selected as the driver gives them."""
    return [type_coerce(column, NullType).label(column.name) for column in table.columns]


def shown_raw(value: Any) -> str:
    """A value of a damaged row as a text that can be printed, the same on every engine where it can be read."""
    if isinstance(value, Decimal) and value.is_finite():
        return amount_text(value)
    if isinstance(value, datetime):
        return time_text(value.astimezone(UTC))
    return value.hex() if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace").decode()
