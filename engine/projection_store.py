"""The stored projections of a book: reading their rows, and writing the rows that changed; see `projections.rows`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    TypeDecorator,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from ledger.book import Book, Head
from ledger.database.connections import Write, ask, write_together
from ledger.database.driver import driver_values, insert_text, update_text
from ledger.errors import StorageError, StorageFault, shown
from ledger.integrity.raw_rows import raw_columns
from ledger.mapper import require_sound
from projections import tables as tables
from projections.rows import RowKey, Rows, state_of
from projections.state import BookState
from projections.tables import key_column

_TABLES = {table.name: table for table in tables.TABLES}
# Built once: building a statement takes longer than running it.
_SELECT = {
    table.name: select(table).where(table.c.book == bindparam("of_book")).order_by(*table.primary_key)
    for table in tables.TABLES
}
_SELECT_RAW = {
    table.name: select(*raw_columns(table)).where(table.c.book == bindparam("of_book")) for table in tables.TABLES
}
_KEY_COLUMNS = {table.name: key_column(table) for table in tables.TABLES}
# By table the names of its columns, of its figures, and of its key.
_COLUMNS = {table.name: tuple(table.columns.keys()) for table in tables.TABLES}
_KEYS = {table.name: tuple(column.name for column in table.primary_key) for table in tables.TABLES}
_FIGURES = {name: tuple(column for column in _COLUMNS[name] if column not in _KEYS[name]) for name in _COLUMNS}


def stored_state(rows: Rows, book: Book, head: Head) -> BookState:
    """Decode stored rows into a state.

    Raises StorageError when the state is not at the head's version: `projections_behind`, or `database_damaged` when the
    head is behind the projections.
    """
    state = state_of(rows, book)
    if state.version > head.version:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            f"the head of the book {shown(book.name)} is behind its projections",
            expected=f"version {state.version} or later",
            actual=f"version {head.version}",
            advice="run `netbasis check`, and restore a backup",
        )
    if state.version != head.version:
        raise StorageError(
            StorageFault.PROJECTIONS_BEHIND,
            f"the stored projections of the book {shown(book.name)} are not at the end of its log",
            expected=f"version {head.version}",
            actual=f"version {state.version}",
            advice="rebuild them with `netbasis rebuild`",
        )
    return state


def load_rows(connection: Connection, book: str) -> Rows:
    """A book's stored rows. Raises StorageError `projections_behind` when a row holds a value of the wrong type."""
    rows: dict[RowKey, Mapping[str, Any]] = {}
    for table in tables.TABLES:
        try:
            # Ordered by key, so that a seed of `property-test` gives the same futures on both engines.
            for row in connection.execute(_SELECT[table.name], {"of_book": book}):
                require_sound(row, table)
                _take(rows, table, dict(row._mapping))
        except StorageError as error:
            raise StorageError(
                StorageFault.PROJECTIONS_BEHIND,
                f"the stored projection {table.name} of the book {shown(book)} is damaged",
                expected=error.expected,
                actual=error.actual,
                advice="rebuild it with `netbasis rebuild`",
            ) from error
    return rows


def read_rows(connection: Connection, book: str) -> Rows:
    """A book's stored rows, damaged or not; a value that cannot be decoded is left as the database has it."""
    rows: dict[RowKey, Mapping[str, Any]] = {}
    for table in tables.TABLES:
        for row in connection.execute(_SELECT_RAW[table.name], {"of_book": book}):
            figures = (_figure(column, raw, connection.dialect) for column, raw in zip(table.columns, row, strict=True))
            _take(rows, table, dict(zip(table.columns.keys(), figures, strict=True)))
    return rows


def _figure(column: Column[Any], raw: Any, dialect: Dialect) -> Any:
    if not isinstance(column.type, TypeDecorator):
        return raw
    try:
        figure = column.type.process_result_value(raw, dialect)
    except StorageError:
        return raw
    # On SQLite a figure is a canonical text; another spelling, such as `5.0`, was not written by netbasis.
    is_canonical = dialect.name != "sqlite" or column.type.process_bind_param(figure, dialect) == raw
    return figure if is_canonical else raw


def _take(rows: dict[RowKey, Mapping[str, Any]], table: Table, row: Mapping[str, Any]) -> None:
    by = _KEY_COLUMNS[table.name]
    columns = {name: value for name, value in row.items() if name not in ("book", by)}
    rows[table.name, row[by] if by else ""] = columns


def replace_rows(connection: Connection, book: str, wanted: Rows) -> None:
    """Replace all of a book's stored rows, whatever they are."""
    for table in tables.TABLES:
        connection.execute(delete(table).where(table.c.book == book))
    save_rows(connection, book, {}, wanted)


def rebuild_count(connection: Connection, book: str) -> int:
    """How often a rebuild has changed the book's stored rows."""
    return ask(connection, tables.rebuilds, "count", book=book) or 0


def count_rebuild(connection: Connection, book: str) -> None:
    """Count a rebuild that has changed the book's stored rows; snapshots taken before are then dropped."""
    table = tables.rebuilds
    counted = connection.execute(update(table).where(table.c.book == book).values(count=table.c.count + 1))
    if counted.rowcount == 0:
        connection.execute(insert(table).values(book=book, count=1))


def save_rows(connection: Connection, book: str, stored: Rows, wanted: Rows) -> None:
    """Turn a book's stored rows into the wanted ones, writing only those that differ; see `write_together`."""
    inserts: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    updates: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    dialect = connection.dialect.name
    for (name, key), row in wanted.items():
        table = _TABLES[name]
        given = {"book": book, **_key_value(table, key), **row}
        if (name, key) not in stored:
            inserts[name].append(driver_values(table, dialect, _COLUMNS[name], given))
        elif stored[name, key] != row:
            updates[name].append(driver_values(table, dialect, _FIGURES[name] + _KEYS[name], given))
    writes = [Write(insert_text(_TABLES[name], dialect), rows) for name, rows in inserts.items()]
    writes += [Write(update_text(_TABLES[name], dialect, _FIGURES[name]), rows) for name, rows in updates.items()]
    for name, key in stored.keys() - wanted.keys():
        writes.append(Write(delete(_TABLES[name]).where(_is_row(_TABLES[name], book, key)), [{}]))
    write_together(connection, writes)


def _key_value(table: Table, key: str) -> dict[str, str]:
    column = _KEY_COLUMNS[table.name]
    return {column: key} if column else {}


def _is_row(table: Table, book: str, key: str) -> ColumnElement[bool]:
    column = _KEY_COLUMNS[table.name]
    is_book = table.c.book == book
    return and_(is_book, table.c[column] == key) if column else is_book
